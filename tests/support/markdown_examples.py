"""The examples of CommonMark's specification and of GitHub's extensions; `data/README.md` says where they come from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Example:
    """One example; its number counts within its specification."""

    number: int
    section: str
    markdown: str
    spec: str  # "CommonMark" or "GFM".

    def __str__(self) -> str:
        return f"{self.spec}-{self.number}"  # For pytest's ids.


EXAMPLES: Final = [
    Example(**entry, spec=spec)
    for spec, file in (("CommonMark", "commonmark.json"), ("GFM", "gfm.json"))
    for entry in json.loads((_DATA / file).read_text("utf-8"))
]
