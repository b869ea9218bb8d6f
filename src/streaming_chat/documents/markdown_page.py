"""Turns → one Markdown document.

Prompts are text, so they stand in fences, longer than any inside. Answers are Markdown, and stand as such: a fence that an
answer left open is closed, raw HTML is escaped, and pictures are links. Where an answer would still not look the same in the
document as alone (it ends in what swallows the rest, or another answer defines its links), it stands in a fence as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from streaming_chat.documents.facts import answers, end, facts, heading, speaker, title, with_new_messages
from streaming_chat.documents.markup import as_viewers_show, code_lines, is_active
from streaming_chat.history import StoredTurn
from streaming_chat.text.sanitize import sanitize

_SPECIAL: Final = re.compile(r"[\\`*_\[\]<>&~|#$]")
_FENCE: Final = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)
#: A code span, or what may begin a tag or a picture.
_SPAN_TAG_OR_PICTURE: Final = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)|(?:<(?=[A-Za-z/!?])|!(?=\[))", re.DOTALL)


def markdown_page(turns: Sequence[StoredTurn]) -> str:
    """The document. ImportError where the library for it is not installed."""
    texts = {turn.number: _with_its_ends(sanitize(turn.text)) for turn in turns}
    page = _page(turns, texts)
    whole = as_viewers_show(page)
    for number, text in texts.items():
        if as_viewers_show(text) not in whole or is_active(text):
            texts[number] = _fenced(sanitize(next(turn.text for turn in turns if turn.number == number)), "markdown")
    return _page(turns, texts)


def _page(turns: Sequence[StoredTurn], texts: dict[int, str]) -> str:
    parts = [f"# {_escaped(title(turns))}"]
    for turn, messages in with_new_messages(turns):
        parts += [f"## {_escaped(heading(turn))}"]
        if told := facts(turn):
            parts.append(_escaped(" · ".join(told)))
        for message in messages:
            parts += [f"### {_escaped(speaker(message))}", _fenced(sanitize(message.content), "text")]
        for what, text in answers(turn):
            parts += [f"### {what}", _fenced(sanitize(text), "text")]
        if turn.text:
            parts += ["### Assistant", texts[turn.number].strip("\n")]
        parts.append("\\\n".join(f"> {_escaped(line)}" for line in end(turn)))
    return "\n\n".join(parts) + "\n"


def _with_its_ends(text: str) -> str:
    """`text` with a last fence closed, if it is open, without raw HTML, and with links for pictures."""
    if is_active(text):
        text = _made_passive(text)
    alone = as_viewers_show(text)
    if as_viewers_show(f"{text}\n\n.") == alone + as_viewers_show("."):
        return text
    for fence in dict.fromkeys(_FENCE.findall(text)):
        closed = f"{text.rstrip()}\n{fence}"
        if as_viewers_show(closed).rstrip() == alone.rstrip():
            return closed
    return text


def _made_passive(text: str) -> str:
    lines = text.split("\n")
    code = code_lines(text)
    runs = [list(run) for _, run in groupby(range(len(lines)), code.__contains__)]
    parts = ["\n".join(lines[run[0] : run[-1] + 1]) for run in runs]
    escaped = [
        part if run[0] in code else _SPAN_TAG_OR_PICTURE.sub(lambda found: found[0] if found[1] else f"\\{found[0]}", part)
        for run, part in zip(runs, parts, strict=True)
    ]
    return "\n".join(escaped)


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _escaped(text: str) -> str:
    """`text`, on one line, as Markdown that shows it."""
    return _SPECIAL.sub(r"\\\g<0>", " ".join(sanitize(text).split()))
