"""`streaming-chat history [list] [--limit N] [--json]` and `streaming-chat history show N [--json]`.

On a terminal every text out of the history is sanitised, because a server wrote it. Into a pipe it goes as it is
stored, except that what belongs on one line is folded to one line.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn, Protocol

from streaming_chat.core.errors import ExitStatus, UsageError
from streaming_chat.core.sanitize import sanitize, sanitize_json
from streaming_chat.core.timing import Timing
from streaming_chat.history import History, StoredTurn, TurnSummary
from streaming_chat.renderers.status import latency_line
from streaming_chat.values import one_or_more

#: Turns that a list shows unless `--limit` says otherwise.
LIMIT = 20
#: How much of a prompt a list shows where there is no terminal to say how much fits.
PROMPT_CHARACTERS = 200

#: Columns of a terminal that a model's name may take in a list: the prompt needs the room more.
MODEL_COLUMNS = 20

SPEAKERS = {"system": "System", "user": "You", "assistant": "Assistant"}


def history_command(arguments: list[str], *, path: Path, out: Writable, terminal: bool) -> int:
    """Carry out `history` with these `arguments` on the file at `path`, write to `out`, return the exit status.

    `terminal` says whether `out` is one. Raises ChatError when the arguments are wrong, when there is no such turn, and
    when the file cannot be read. `--help` leaves by SystemExit(0).
    """
    options = _options(arguments)
    # Reading has nothing to notice: what fails is raised.
    with closing(History(path, notice=lambda _: None)) as history:
        lines = _show(history, options, terminal) if options.action == "show" else _list(history, options, terminal)
    out.write("".join(line + "\n" for line in lines))
    return ExitStatus.COMPLETE


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"`{self.prog} --help` shows how it is used")


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = _Parser(prog="streaming-chat history", description="Look at the turns that were kept.")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = actions.add_parser(
        "list", allow_abbrev=False, help="the last turns, newest last (this is what no action means)"
    )
    listing.add_argument("--limit", type=_number, default=LIMIT, metavar="N", help=f"how many (default: {LIMIT})")
    show = actions.add_parser("show", allow_abbrev=False, help="one turn, whole")
    show.add_argument("number", type=_number, metavar="N", help="its number: the first column of the list")
    for action in (listing, show):
        action.add_argument("--json", action="store_true", help="JSON, one object a line, times in seconds")
    no_action = not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help"))
    return parser.parse_args(["list", *arguments] if no_action else arguments)


def _number(text: str) -> int:
    try:
        return one_or_more(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


class Writable(Protocol):
    """Where the text goes."""

    def write(self, text: str, /) -> object:
        """Write `text`."""


def _list(history: History, options: argparse.Namespace, terminal: bool) -> list[str]:
    turns = history.turns(options.limit)
    if not turns:
        # Not an entry of the list, so not where the list goes.
        sys.stderr.write("the history is empty\n")
    if options.json:
        return [_as_json(turn, terminal) for turn in turns]
    return _table(turns, shutil.get_terminal_size().columns if terminal else None)


def _show(history: History, options: argparse.Namespace, terminal: bool) -> list[str]:
    turn = history.turn(options.number)
    if turn is None:
        raise UsageError(
            f"no turn {options.number} in the history", "`streaming-chat history` lists the turns that there are"
        )
    if options.json:
        return [_as_json(turn, terminal)]
    return list(_page(turn, sanitize if terminal else str))


# One turn


def _page(turn: StoredTurn, clean: Callable[[str], str]) -> Iterator[str]:
    """Header, messages, answer, end; each text out of the history has gone through `clean`."""
    yield _one_line(clean(f"turn {turn.number} · {_local_time(turn)} · {turn.model} · {turn.endpoint}"))
    if facts := " · ".join(_facts(turn)):
        yield _one_line(clean(facts))
    for speaker, text in _speeches(turn):
        yield ""
        yield clean(f"{speaker}: {text}")
    yield ""
    if turn.timing is not None:
        yield latency_line(turn.timing)
    yield _one_line(clean(_end(turn)))
    if turn.error is not None:
        yield _one_line(clean(f"error: {turn.error.message}"))
        yield _one_line(clean(f"hint: {turn.error.hint}"))


def _facts(turn: StoredTurn) -> Iterator[str]:
    for name, value in turn.settings.items():
        yield f"{name} {json.dumps(value, ensure_ascii=False)}"
    if turn.served_model not in (None, turn.model):
        yield f"served by {turn.served_model}"
    if turn.request_id is not None:
        yield f"request id {turn.request_id}"
    if turn.usage is not None:
        for name, count in asdict(turn.usage).items():
            if count is not None:
                yield f"{count} {name.replace('_', ' ')}"


def _speeches(turn: StoredTurn) -> Iterator[tuple[str, str]]:
    for message in turn.messages:
        yield SPEAKERS.get(message.role, message.role), message.content
    if turn.reasoning:
        yield "Reasoning", turn.reasoning
    if turn.refusal:
        yield "Refusal", turn.refusal
    for call in turn.tool_calls:
        yield "Tool call", f"{call.name}({call.arguments})"
    if turn.text:
        yield "Assistant", turn.text


def _end(turn: StoredTurn) -> str:
    if turn.outcome is None:
        return "outcome: unfinished (it is still running, or its process was killed)"
    reason = f" (finish_reason: {turn.finish_reason})" if turn.finish_reason is not None else ""
    return f"outcome: {turn.status}{reason}"


# Many turns


def _table(turns: Sequence[TurnSummary], columns: int | None) -> list[str]:
    """A line for each of `turns`, at most `columns` wide; None for a pipe, where only the prompt is cut."""
    rows = [
        (
            str(turn.number),
            _local_time(turn)[:-3],  # without seconds
            _cell(turn.model, columns and MODEL_COLUMNS),
            turn.status,
            _seconds(turn.timing),
            _cell(turn.prompt, columns) if columns else _beginning(turn.prompt),
        )
        for turn in turns
    ]
    widths = [max((_width(row[column]) for row in rows), default=0) for column in range(5)]
    lines = []
    for number, *cells, prompt in rows:
        padded = [cell + " " * (width - _width(cell)) for cell, width in zip(cells, widths[1:], strict=True)]
        line = "  ".join((number.rjust(widths[0]), *padded, prompt)).rstrip()
        lines.append(line if columns is None else _cut(line, columns))
    return lines


def _seconds(timing: Timing | None) -> str:
    """First token and total, as far as there are any."""
    if timing is None:
        return "–"
    first = "–" if timing.first_token is None else f"{timing.first_token:.2f}"
    return f"{first}/{timing.total:.2f}s"


def _cell(text: str, columns: int | None) -> str:
    """`text` on one line; for a terminal sanitised, and no wider than `columns`."""
    if columns is None:
        return _one_line(text)
    # A prompt may be a whole file: only its beginning can be seen. A character takes a column, and some take none.
    return _cut(_one_line(sanitize(text.lstrip()[: 8 * columns])), columns)


def _beginning(prompt: str) -> str:
    """The first words of a prompt, which may be a whole file."""
    return _cut(_one_line(prompt[: 8 * PROMPT_CHARACTERS]), PROMPT_CHARACTERS)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cut(text: str, columns: int) -> str:
    if _width(text) <= columns:
        return text
    width, end = 1, 0  # 1 for the ellipsis
    while (width := width + _width(text[end])) <= columns:
        end += 1
    return text[:end].rstrip() + "…"


def _width(text: str) -> int:
    """Columns on a terminal, near enough for a table: 2 for East Asian and emoji, 0 for marks."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


# Either


def _local_time(turn: TurnSummary) -> str:
    return turn.started_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _as_json(turn: TurnSummary, terminal: bool) -> str:
    fields = {**asdict(turn), "status": turn.status, "started_at": turn.started_at.isoformat()}
    line = json.dumps(fields, ensure_ascii=False)
    return sanitize_json(line) if terminal else line
