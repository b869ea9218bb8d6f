"""Markdown of an answer → HTML that is safe to stand in a page, by markdown-it-py.

Raw HTML is shown as text, links lead to http, https and mailto only, pictures are links, and nothing needs a `style`
attribute, which a strict Content-Security-Policy forbids. Code is coloured by the lexers that colour it on the terminal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_SAFE_ADDRESS: Final = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_ALIGNMENT: Final = re.compile(r"text-align:(left|center|right)")


def html_of(text: str) -> str:
    """`text` as HTML. Each block at the top says in `data-from` and `data-to` of which characters of `text` it is made."""
    markdown = _markdown()
    tokens = markdown.parse(text)
    starts = _line_starts(text)
    for token in tokens:
        if token.level == 0 and token.map and token.nesting >= 0:
            token.attrs |= {"data-from": starts[token.map[0]], "data-to": starts[min(token.map[1], len(starts) - 1)]}
    html: str = markdown.renderer.render(tokens, markdown.options, {})
    return html


def as_viewers_show(text: str) -> str:
    """`text` as HTML as a viewer of Markdown files makes it, raw HTML included: to compare, not to show."""
    html: str = _viewer().render(text)
    return html


def is_active(text: str) -> bool:
    """Whether a viewer of Markdown files would take a part of `text` for HTML, or fetch a picture."""
    return any(
        one.type in ("html_block", "html_inline", "image")
        for token in _viewer().parse(text)
        for one in (token, *(token.children or ()))
    )


def code_lines(text: str) -> set[int]:
    """The numbers of the lines, from 0 on, that are code for a viewer of Markdown files."""
    tokens = [token for token in _viewer().parse(text) if token.type in ("fence", "code_block") and token.map]
    return {line for token in tokens if token.map for line in range(*token.map)}


@lru_cache(maxsize=1)
def _viewer() -> MarkdownIt:
    return _library()("commonmark").enable(["table", "strikethrough"])


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    markdown = _library()("commonmark", {"html": False}).enable(["table", "strikethrough"])
    markdown.validateLink = _is_safe  # type: ignore[method-assign] # the library's own way to say which links it makes
    for name, rule in (
        ("fence", _code),
        ("code_block", _code),
        ("image", _picture),
        ("link_open", _link),
        ("table_open", _table_open),
        ("table_close", _table_close),
        ("th_open", _cell),
        ("td_open", _cell),
    ):
        markdown.add_render_rule(name, rule)
    return markdown


def _is_safe(url: str) -> bool:
    return bool(_SAFE_ADDRESS.match(url))


def _library() -> type[MarkdownIt]:
    from markdown_it import MarkdownIt

    return MarkdownIt


def _code(renderer: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    token = tokens[index]
    language = token.info.split(maxsplit=1)[0] if token.info.strip() else ""
    return f"<pre{renderer.renderAttrs(token)}><code>{highlighted(token.content, language)}</code></pre>\n"


def highlighted(code: str, language: str) -> str:
    """Code as HTML, each piece in a class that page.css gives the colour that it has on a terminal."""
    from streaming_chat.markdown.code import Highlighter
    from streaming_chat.markdown.style import role_name

    highlighter = Highlighter(language)
    lines = code.removesuffix("\n").split("\n")
    html = []
    for line in lines:
        for text, style, _ in highlighter.line(line):
            name = role_name(style)
            html.append(f'<span class="{name}">{escape(text)}</span>' if name else escape(text))
        html.append("\n")
    return "".join(html)


def _picture(_renderer: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    token = tokens[index]
    text = escape(token.content or "picture")
    address = str(token.attrs["src"])
    if not _is_safe(address):  # The parser lets an empty one pass.
        return text
    return f'<a class="picture" rel="noopener noreferrer" href="{escape(address)}">{text}</a>'


def _link(renderer: Any, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    token.attrSet("rel", "noopener noreferrer")
    if not _is_safe(str(token.attrs["href"])):  # An empty one, which would lead to the page itself.
        del token.attrs["href"]
    html: str = renderer.renderToken(tokens, index, options, env)
    return html


def _table_open(renderer: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    return f'<div class="table"{renderer.renderAttrs(tokens[index])}><table>\n'


def _table_close(_renderer: Any, _tokens: Sequence[Token], _index: int, _options: Any, _env: Any) -> str:
    return "</table></div>\n"


def _cell(_renderer: Any, tokens: Sequence[Token], index: int, _options: Any, _env: Any) -> str:
    token = tokens[index]
    alignment = _ALIGNMENT.search(str(token.attrs.get("style", "")))
    return f'<{token.tag} class="{alignment[1]}">' if alignment else f"<{token.tag}>"


def _line_starts(text: str) -> list[int]:
    """Where each line of `text` begins, and where the last one ends."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(min(starts[-1] + len(line) + 1, len(text)))
    return starts
