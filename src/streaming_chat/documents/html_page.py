"""Turns → one self-contained HTML page: nothing is fetched, and nothing but the page's own script can run.

The texts are sanitised, then escaped or read as Markdown without raw HTML (markup.py). Should that fail, the
Content-Security-Policy still stands: it allows the one style and the one script of this page, by their hashes, and nothing
from anywhere else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.resources import files

from streaming_chat.core.arrivals import KINDS
from streaming_chat.core.conversation import Message
from streaming_chat.core.events import Outcome
from streaming_chat.documents.facts import answers, end, facts, heading, speaker, title, with_new_messages
from streaming_chat.documents.html import Markup, element, head, joined
from streaming_chat.documents.markup import html_of
from streaming_chat.history import StoredTurn
from streaming_chat.text.sanitize import Sanitizer, sanitize

#: The kinds of text that are played again, by the numbers that replay.js knows them by.
_PLAYED = ("text", "reasoning", "refusal")


def html_page(turns: Sequence[StoredTurn]) -> str:
    """Return the page. ImportError where the library for it is not installed."""
    style, script = _part("page.css"), _part("replay.js")
    articles = [_article(turn, new) for turn, new in with_new_messages(turns)]
    name = title(turns)
    body = element("body", {}, joined([element("h1", {}, name), *articles, element("script", {}, Markup(script))]))
    page = element("html", {"lang": "und"}, head(name, style, scripts=[script], generator="streaming-chat"), body)
    return f"<!DOCTYPE html>\n{page}\n"


def _part(name: str) -> str:
    return f"\n{files(__package__).joinpath(name).read_text(encoding='utf-8')}"


def _article(turn: StoredTurn, messages: Sequence[Message]) -> Markup:
    parts = [_line("facts", heading(turn))]
    if told := facts(turn):
        parts.append(_line("facts", " · ".join(told)))
    for message in messages:
        who = speaker(message)
        parts += [_line("who", who), element("pre", {"class": f"said {_class(who)}"}, message.content)]
    if pieces := list(_pieces(turn)):
        # Above what it plays, so that it stays where it is.
        played = Markup(json.dumps(pieces, separators=(",", ":")))
        parts += [element("div", {"class": "replay"}), element("script", {"type": "application/json"}, played)]
    for what, text in answers(turn):
        parts += _aside(what, sanitize(text))
    if turn.text:
        answer = Markup(html_of(sanitize(turn.text)))
        parts += [_line("who", "Assistant"), element("div", {"class": "answer", "data-pane": "text"}, answer)]
    parts += [_line("end" if turn.outcome is Outcome.COMPLETE else "end bad", line) for line in end(turn)]
    return element("article", {}, joined(parts))


def _aside(what: str, text: str) -> list[Markup]:
    """Return what is not the answer itself; reasoning, which may be long, is folded. `text` is sanitised."""
    attributes: dict[str, object] = {"class": f"said {_class(what)}"}
    if what.lower() in _PLAYED:
        attributes |= {"data-pane": what.lower(), "data-from": 0, "data-to": len(text)}
    said = element("pre", attributes, text)
    if what == "Reasoning":
        return [element("details", {}, joined([element("summary", {}, what), said]))]
    return [_line("who", what), said]


def _class(who: str) -> str:
    return {"System": "system", "Reasoning": "reasoning", "Tool call": "call"}.get(who, "text")


def _line(style: str, text: str) -> Markup:
    return element("p", {"class": style}, " ".join(sanitize(text).split()))


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
