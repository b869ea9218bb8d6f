"""Append-only, checked: which controls a stream may write, and that the cursor never goes up."""

from __future__ import annotations

import re

from markdown_screen import Paper

# Colours, erase to the end of the line, cursor left.
_ALLOWED = re.compile(r"\x1b\[(?:[0-9;]*m|K|[1-9][0-9]*D)")
# Controls, and what turns text around, ends lines or hides: the sanitiser lets none of them pass, nor may an entity.
_REFUSED = re.compile(
    r"\x1b.{0,12}|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]",
    re.DOTALL,
)


def check_escapes(output: str) -> None:
    """Fail if the output holds any control but LF, TAB, CR and the allowed sequences."""
    # A NUL in place of a sequence would itself be refused; a character that is nothing else keeps the parts apart.
    refused = _REFUSED.search(_ALLOWED.sub("\ufffc", output))
    assert refused is None, f"{refused[0]!r} in {refused.string[max(0, refused.start() - 30) : refused.end() + 30]!r}"


def never_above(output: str, width: int, clusters: bool = True) -> None:
    """Fail if the cursor ever moves to a row above the one in which it is."""
    paper = Paper(output, width, clusters)
    lowest = 0
    for place, char in enumerate(output):
        paper.write(char)
        assert paper.cursor.y >= lowest, f"up from row {lowest} to {paper.cursor.y} after {output[: place + 1][-60:]!r}"
        lowest = paper.cursor.y
