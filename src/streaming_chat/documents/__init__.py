"""Turns as documents: to read, to play again, to show to others, and to take along.

Each format is one function from turns to text, in a file of its own. What every one of them tells of a turn is in facts.py.
All texts but those of the JSON are sanitised: these files are opened by programs that obey what stands in them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import UsageError
from streaming_chat.history import StoredTurn
from streaming_chat.terminal.notices import NO_ADVICE, Advice

#: The formats, which are the endings of their files too.
FORMATS: Final = ("md", "html", "json", "cast", "svg")
#: Ending of a file → format. Markdown is a text to read as it is.
FORMAT_OF_ENDING: Final = {**{name: name for name in FORMATS}, "markdown": "md", "txt": "md", "htm": "html"}


def written(
    turns: Sequence[StoredTurn],
    format: str,  # noqa: A002 # the word of the option
    advice: Advice = NO_ADVICE,
) -> str:
    """Return `turns`, of which there is one at least, as a document. UsageError where a library for it is not installed.

    `advice` has the words of the hints that a terminal showed.
    """
    try:
        return _writer(format, advice)(turns)
    except ImportError as missing:
        # The launcher runs with the SDK and python-dotenv alone.
        raise UsageError(
            f"{format} needs the library {missing.name}, which is not installed",
            kind=Kind.DOCUMENT_LIBRARY,
        ) from None


def _writer(format: str, advice: Advice) -> Callable[[Sequence[StoredTurn]], str]:  # noqa: A002 # likewise
    # A list of turns needs none of these, and is not to wait for them.
    if format == "md":
        from streaming_chat.documents.markdown_page import markdown_page

        return markdown_page
    if format == "html":
        from streaming_chat.documents.html_page import html_page

        return html_page
    if format == "json":
        from streaming_chat.documents.turns_json import turns_json

        return turns_json
    if format == "cast":
        from streaming_chat.documents.cast import cast

        return partial(cast, advice=advice)
    from streaming_chat.documents.svg import svg

    return partial(svg, advice=advice)
