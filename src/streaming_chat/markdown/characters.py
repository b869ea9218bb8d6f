"""Characters that mean something in a text, as sets of patterns."""

from __future__ import annotations

import re
from typing import Final

from streaming_chat.text.widths import WIDE

#: White space, where a row may end: CommonMark's, that is ASCII's. A no-break space is of its word.
BLANK: Final = " \t\n\v\f\r"
#: What may be markup.
SPECIAL: Final = re.compile(r"[\\`*_~\[\]!&$]")
#: Whatever is neither a word nor white space.
MARKUP: Final = re.compile(r"[\\`*_~\[\]!<&$]")
RUN: Final = re.compile(r"\*+|_+|~+")
TICKS: Final = re.compile(r"`+")


def piece(stop: str, alone: str = "") -> re.Pattern[str]:
    """What is read at once: characters but for white space and those of `stop`.

    Those of `alone`, and those between which a row may end, are read one by one.
    """
    return re.compile(rf"[^{BLANK}{stop}{alone}{WIDE}]+|[{alone}{WIDE}]")
