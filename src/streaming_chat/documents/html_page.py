"""Turns → one self-contained HTML page: nothing is fetched, and nothing but the page's own script can run.

The texts are sanitised, then escaped or read as Markdown without raw HTML (markup.py). Should that fail, the
Content-Security-Policy still stands: it allows the one style and the one script of this page, by their hashes, and nothing
from anywhere else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files

from streaming_chat.core.arrivals import KINDS
from streaming_chat.core.events import Outcome
from streaming_chat.documents.facts import answers, end, facts, heading, speaker, title, with_new_messages
from streaming_chat.documents.markup import html_of
from streaming_chat.documents.policy import policy
from streaming_chat.history import StoredTurn
from streaming_chat.text.sanitize import Sanitizer, sanitize

#: The kinds of text that are played again, by the numbers that replay.js knows them by.
_PLAYED = ("text", "reasoning", "refusal")


def html_page(turns: Sequence[StoredTurn]) -> str:
    """The page. ImportError where the library for it is not installed."""
    style, script = _part("page.css"), _part("replay.js")
    articles = "".join(
        _article(turn, [(speaker(one), one.content) for one in new]) for turn, new in with_new_messages(turns)
    )
    name = escape(sanitize(title(turns)))
    return f"""\
<!DOCTYPE html>
<html lang="und">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy(style, script)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="streaming-chat">
<title>{name}</title>
<style>{style}</style>
</head>
<body>
<h1>{name}</h1>
{articles}<script>{script}</script>
</body>
</html>
"""


def _part(name: str) -> str:
    return f"\n{files(__package__).joinpath(name).read_text(encoding='utf-8')}"


def _article(turn: StoredTurn, messages: Sequence[tuple[str, str]]) -> str:
    parts = [f'<p class="facts">{_line(heading(turn))}</p>']
    if told := facts(turn):
        parts.append(f'<p class="facts">{_line(" · ".join(told))}</p>')
    for who, text in messages:
        parts.append(f'<p class="who">{_line(who)}</p>\n<pre class="said {_class(who)}">{escape(sanitize(text))}</pre>')
    if pieces := list(_pieces(turn)):
        # Above what it plays, so that it stays where it is.
        played = json.dumps(pieces, separators=(",", ":"))
        parts.append(f'<div class="replay"></div>\n<script type="application/json">{played}</script>')
    for what, text in answers(turn):
        parts.append(_aside(what, sanitize(text)))
    if turn.text:
        parts.append(
            f'<p class="who">Assistant</p>\n<div class="answer" data-pane="text">{html_of(sanitize(turn.text))}</div>'
        )
    whole = "end" if turn.outcome is Outcome.COMPLETE else "end bad"
    parts += [f'<p class="{whole}">{_line(line)}</p>' for line in end(turn)]
    return "<article>\n" + "\n".join(parts) + "\n</article>\n"


def _aside(what: str, text: str) -> str:
    """What is not the answer itself; reasoning, which may be long, is folded."""
    played = what.lower() in _PLAYED
    pane = f' data-pane="{what.lower()}" data-from="0" data-to="{len(text)}"' if played else ""
    said = f'<pre class="said {_class(what)}"{pane}>{escape(text)}</pre>'
    if what == "Reasoning":
        return f"<details>\n<summary>{what}</summary>\n{said}\n</details>"
    return f'<p class="who">{what}</p>\n{said}'


def _class(who: str) -> str:
    return {"System": "system", "Reasoning": "reasoning", "Tool call": "call"}.get(who, "text")


def _line(text: str) -> str:
    return escape(" ".join(sanitize(text).split()))


def _pieces(turn: StoredTurn) -> Iterator[tuple[int, int, int]]:
    """Of each piece: milliseconds after the request, its kind, and how many characters the sanitised text gained."""
    texts = {"text": turn.text, "reasoning": turn.reasoning, "refusal": turn.refusal}
    places = dict.fromkeys(KINDS, 0)
    sanitizers = {kind: Sanitizer() for kind in texts}
    for at, kind, length in turn.arrivals:
        if kind in texts:
            place = places[kind]
            places[kind] += length
            gained = sanitizers[kind].feed(texts[kind][place : place + length])
            yield round(at * 1000), _PLAYED.index(kind), len(gained)
