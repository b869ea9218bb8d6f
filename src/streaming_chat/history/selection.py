"""Which turns are meant: by number, model, endpoint, time, outcome, session and words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from streaming_chat.core.events import Outcome
from streaming_chat.core.kinds import stamp

#: What a turn without an outcome is called: it runs, or its process was killed.
UNFINISHED: Final = "unfinished"
#: The words for `outcome`.
OUTCOMES: Final = (*(outcome.value for outcome in Outcome), UNFINISHED)
#: Scripts without blanks between words, of which the index has no words: they are looked for in the texts themselves.
_WITHOUT_BLANKS: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]"
)
#: The text so far of a turn without an outcome; empty for one that has ended.
PIECES_OF_TURN: Final = """coalesce(
    (SELECT group_concat(text, '') FROM (SELECT text FROM pieces WHERE turn_id = turns.id ORDER BY seq)), ''
)"""
_WORD: Final = re.compile(r"\w")
_TERM: Final = re.compile(r'"([^"]*)"?|(\S+)')


@dataclass(frozen=True)
class Selection:
    """Turns that are all of what is given; None is no condition.

    `model` is the requested or the served name, `*` standing for anything; `endpoint` a part of the base URL; `since` and
    `until` moments, the second one excluded; `outcome` one of `OUTCOMES`; `session` the beginning of a session's name;
    `words` what prompt or answer hold: words, a `*` behind the beginning of one, and "several in a row".
    """

    numbers: Sequence[int] | None = None
    model: str | None = None
    endpoint: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    outcome: str | None = None
    session: str | None = None
    words: str | None = None

    def where(self) -> tuple[str, list[Any]]:
        """The conditions on `turns` in SQL, and their values."""
        conditions, values = ["1"], []
        for condition, value in self._conditions():
            conditions.append(condition)
            values += value
        return " AND ".join(conditions), values

    @property
    def index_query(self) -> str | None:
        """What is asked of the full-text index; None when nothing is."""
        return " ".join(_quoted(term) for term in self._terms() if _is_indexed(term)) or None

    def _terms(self) -> Iterator[str]:
        # What no text in the file has cannot be asked for.
        words = (self.words or "").replace("\0", " ").encode(errors="replace").decode()
        for phrase, word in _TERM.findall(words):
            if term := phrase or word:
                yield term

    def _conditions(self) -> Iterator[tuple[str, list[Any]]]:
        if self.numbers is not None:
            yield "id IN (SELECT value FROM json_each(?))", [json.dumps(list(self.numbers))]
        if self.model is not None:
            # GLOB has signs that stand for more than a name of a model means by them.
            pattern = re.sub(r"[\[?]", lambda found: f"[{found[0]}]", self.model)
            yield "(model GLOB ? OR served_model GLOB ?)", [pattern, pattern]
        if self.endpoint is not None:
            yield "instr(endpoint, ?) > 0", [self.endpoint]
        for sign, moment in ((">=", self.since), ("<", self.until)):
            if moment is not None:
                yield f"started_at {sign} ?", [stamp(moment)]
        if self.outcome is not None:
            yield "outcome IS ?", [None if self.outcome == UNFINISHED else self.outcome]
        if self.session is not None:
            yield "substr(session, 1, ?) = ?", [len(self.session), self.session]
        for term in self._terms():
            if not _is_indexed(term):
                places = " OR ".join(f"instr({text}, ?) > 0" for text in ("turns.prompt", "turns.text", PIECES_OF_TURN))
                yield f"({places})", [term] * 3


def _is_indexed(term: str) -> bool:
    return bool(_WORD.search(term)) and not _WITHOUT_BLANKS.search(term)


def _quoted(term: str) -> str:
    """A term as FTS5 takes any text: in quotes, with a `*` behind them for the beginning of a word."""
    is_beginning = term.endswith("*")
    return '"' + term.removesuffix("*").replace('"', '""') + '"' + ("*" if is_beginning else "")
