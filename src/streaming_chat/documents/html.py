"""HTML pages of this program: their elements, and what a browser may do with them.

Whatever is not `Markup` is text: sanitised and escaped here, always. Should that fail, the Content-Security-Policy still
allows nothing but the page's own style and scripts.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from html import escape
from typing import Final

from streaming_chat.text.sanitize import sanitize

_WITHOUT_CONTENT: Final = ("meta",)


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, attributes: Mapping[str, object], *content: str) -> Markup:
    """Return one element. Attributes are text, and so is `content` that is no `Markup`."""
    opening = "".join(f' {key}="{_escaped(str(value))}"' for key, value in attributes.items())
    if name in _WITHOUT_CONTENT:
        return Markup(f"<{name}{opening}>")
    inner = "".join(part if isinstance(part, Markup) else _escaped(part) for part in content)
    return Markup(f"<{name}{opening}>{inner}</{name}>")


def joined(parts: Iterable[Markup]) -> Markup:
    """Return the parts in their order, each on a line of its own."""
    return Markup("\n".join(parts))


def head(title: str, style: str, *, scripts: Iterable[str] = (), **more: str) -> Markup:
    """Return the head of a page: character set, policy, title, style. `more` has further `meta` names with their content."""
    metas: list[dict[str, object]] = [
        {"charset": "utf-8"},
        {"http-equiv": "Content-Security-Policy", "content": policy(style, *scripts)},
        {"name": "viewport", "content": "width=device-width, initial-scale=1"},
    ]
    metas += [{"name": name.replace("_", "-"), "content": content} for name, content in more.items()]
    metas.append({"name": "referrer", "content": "no-referrer"})
    elements = [element("meta", meta) for meta in metas]
    elements += [element("title", {}, title), element("style", {}, Markup(style))]
    return element("head", {}, joined(elements))


def policy(style: str, *scripts: str) -> str:
    """Return a Content-Security-Policy (Level 3) that allows this style and these scripts, by their hashes, alone."""
    allowed = f"; script-src {' '.join(map(_hash, scripts))}" if scripts else ""
    return f"default-src 'none'; style-src {_hash(style)}{allowed}; base-uri 'none'; form-action 'none'"


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _escaped(text: str) -> str:
    # A browser obeys no escape sequence, but it does obey bidirectional overrides, and copies what is invisible.
    return escape(sanitize(text), quote=True)
