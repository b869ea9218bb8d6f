"""Code of one language → tokens with their styles, line by line, each line read once.

Strategy: Pygments' lexers are tables of states, and a stack of states is what one line needs to know of those before it.
But some of what goes over several lines (a comment in C, a here-document) is one pattern of a table, which matches only
where its end is there. So where one may open, the table is asked what it would make of the line if the end came right
behind it; if that is one match, what follows is of it until the end really comes.

Lexers without tables, and those that keep more than a stack, are asked line by line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

from streaming_chat.markdown.style import CODE, ROLES, role

#: Levels of a lexer's stack: a broken text must not let it grow for ever.
_DEEPEST: Final = 64
_ROLE_OF: Final = {name: role(name) for name in ROLES}
#: What may open something that one pattern takes whole; its end; and how that is found. {} is the group of the opener.
_OVER_LINES: Final = tuple(
    (re.compile(opener), end, closer)
    for opener, end, closer in (
        (r"/\*", "*/", r"\*/"),
        (r"<!--", "-->", "-->"),
        (r"--\[(=*)\[", "]{}]", r"\]{}\]"),
        (r"\[(=*)\[", "]{}]", r"\]{}\]"),
        (r"\{-", "-}", r"-\}"),
        (r"\(\*", "*)", r"\*\)"),
        (r"`", "`", "`"),
        (r'"""', '"""', '"""'),
        (r"'''", "'''", "'''"),
        (r"b?r(#*)\"", '"{}', '"{}'),
        (r"<<<[\"']?(\w+)[\"']?", "\n{}\n", r"^\s*{};?\s*$"),
        # Not a shift, whose number may stand there.
        (r"(?<![\w)\]])<<[-~]?[\"'\\]?([A-Za-z_][\w.-]*)[\"']?", "\n{}\n", r"^\s*{}\s*$"),
    )
)
_MAY_OPEN: Final = frozenset("/<-{([`\"'br")
#: States in which an HTML lexer leaves a script or a style behind the first line if its end is not there.
_EMBEDDED: Final = ("script-content", "style-content")

#: A piece of code and its style.
Token = tuple[str, int]


class LexerState(NamedTuple):
    """What has been left open: the states of the lexer, and something that goes over several lines."""

    stack: tuple[str, ...] = ("root",)
    #: The pattern of its end, "" for nothing, and its style.
    closer: str = ""
    style: int = CODE


#: The tokens of one match of a lexer, and the state behind it.
Match = tuple[list[Token], LexerState]


class LineLexer:
    """Reads code of `language`; ValueError where nobody knows how."""

    def __init__(self, language: str) -> None:
        try:
            from pygments.lexer import ExtendedRegexLexer, RegexLexer
            from pygments.lexers import get_lexer_by_name
            from pygments.util import ClassNotFound
        except ImportError:
            raise ValueError("without Pygments") from None
        try:
            self._lexer: Any = get_lexer_by_name(language)
        except ClassNotFound:
            raise ValueError(language) from None
        # YAML's and its like keep more than a stack, each in its own way.
        self._has_tables = isinstance(self._lexer, RegexLexer) and not isinstance(self._lexer, ExtendedRegexLexer)
        # Such a lexer knows some words better than its tables do: Elixir's `def`, the `size_t` of C.
        self._knows_words = type(self._lexer).get_tokens_unprocessed is not RegexLexer.get_tokens_unprocessed
        self._words: dict[tuple[Any, str], int] = {}

    def read(self, text: str, state: LexerState) -> list[Match]:
        """What `text`, a line or a part of one, is; its tokens join to it. ValueError where the lexer fails."""
        try:
            matches = list(self._matches(text, state) if self._has_tables else self._line(text))
        except Exception:  # noqa: BLE001 # there are five hundred lexers, and none of them is worth an answer
            matches = []
        if "".join(piece for tokens, _ in matches for piece, _ in tokens) != text:
            raise ValueError(text)
        return matches

    def _line(self, text: str) -> Iterator[Match]:
        for _, kind, piece in self._lexer.get_tokens_unprocessed(text):
            yield [(piece, _style_of(kind))], LexerState()

    def _matches(self, text: str, state: LexerState) -> Iterator[Match]:
        place = 0
        if state.closer:
            closed = re.search(state.closer, text)
            place = closed.end() if closed else len(text)
            yield [(text[:place], state.style)], LexerState(state.stack) if closed else state
        stack = list(state.stack)
        while place < len(text):
            if text[place] in _MAY_OPEN and (opened := self._opened(text, place, stack)) is not None:
                yield opened
                return
            found = self._match(text, place, stack)
            if found is None:
                if text[place] == "\n":
                    stack[:] = ["root"]
                tokens, end = [(text[place], CODE)], place + 1
            else:
                tokens, end = found
            place = end
            yield tokens, LexerState(tuple(stack[-_DEEPEST:]))

    def _match(self, text: str, place: int, stack: list[str]) -> tuple[list[Token], int] | None:
        """The tokens of the first rule that matches at `place`, and where they end; `stack` is left as it leaves it."""
        for match, action, new_state in self._lexer._tokens[stack[-1]]:  # noqa: SLF001 # the tables have no other name
            found = match(text, place)
            if not found:
                continue
            end = found.end()
            if new_state is None and end == place:
                continue  # Nothing was read and nothing has changed: the next rule may.
            tokens: list[Token] = []
            if type(action) is not _token_type():
                tokens = [(piece, _style_of(kind)) for _, kind, piece in action(self._lexer, found)] if action else []
            elif end > place:
                tokens = [(text[place:end], self._style(action, text[place:end]))]
            if new_state is not None and not (stack[-1] in _EMBEDDED and text.endswith("\n") and end == len(text)):
                _change(stack, new_state)
            return tokens, end
        return None

    def _style(self, kind: Any, text: str) -> int:
        """The style of what the tables take for `kind`; of a word as the lexer itself understands it."""
        if not self._knows_words or kind[:1] != ("Name",):
            return _style_of(kind)
        style = self._words.get((kind, text))
        if style is None:
            alone = [(known, piece) for _, known, piece in self._lexer.get_tokens_unprocessed(text)]
            is_word = bool(alone) and alone[0][1] == text and alone[0][0][:1] in (("Name",), ("Keyword",), ("Operator",))
            style = self._words[kind, text] = _style_of(alone[0][0] if is_word else kind)
        return style

    def _opened(self, text: str, place: int, stack: list[str]) -> Match | None:
        """The rest of the line, if something begins at `place` that goes on behind it; and what ends that."""
        for opener, end, closer in _OVER_LINES:
            found = opener.match(text, place)
            if not found:
                continue
            name = found[1] if found.lastindex else ""
            until = closer.replace("{}", name)
            # What stands between quotes opens nothing; lexers do not see to that in a `#define`.
            if re.search(until, text[found.end() :]) or text.count('"', 0, place) % 2:
                continue
            whole = (text if text.endswith("\n") else f"{text}\n") + end.replace("{}", name)
            inside = list(stack)
            taken = self._match(whole, place, inside)
            if taken is None or taken[1] < len(whole.rstrip("\n")):
                continue
            tokens: list[Token] = []
            for piece, style in taken[0]:
                if place < len(text):
                    tokens.append((piece[: len(text) - place], style))
                place += len(piece)
            if tokens[-1][1] == CODE:
                continue  # Plain text, which has no end to wait for.
            return tokens, LexerState(tuple(inside[-_DEEPEST:]), until, tokens[-1][1])
        return None


def _change(stack: list[str], new_state: Any) -> None:
    if isinstance(new_state, tuple):
        for state in new_state:
            if state == "#pop":
                if len(stack) > 1:
                    stack.pop()
            elif state == "#push":
                stack.append(stack[-1])
            else:
                stack.append(state)
    elif isinstance(new_state, int):
        del stack[max(1, len(stack) + new_state) :]
    else:
        stack.append(stack[-1])


@lru_cache(maxsize=1)
def _token_type() -> Any:
    from pygments.token import _TokenType

    return _TokenType


@lru_cache(maxsize=512)
def _style_of(kind: Any) -> int:
    while kind:
        style = _ROLE_OF.get(".".join(kind))
        if style is not None:
            return style
        kind = kind.parent
    return CODE
