"""The arguments of `streaming-chat history`: actions, and the options that say which turns are meant."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn

from streaming_chat.cli.argument_parser import ArgumentParser
from streaming_chat.config.values import file_path, number_between, one_of, one_or_more, seconds
from streaming_chat.core.errors import UsageError
from streaming_chat.documents import FORMATS
from streaming_chat.history import OUTCOMES, Selection

#: Turns that a list shows unless `--limit` says otherwise.
LIMIT: Final = 20
speed: Final = number_between(0.01, 1000)
_AGO: Final = re.compile(r"(\d{1,6})([hdw])")
_HOURS: Final = {"h": 1, "d": 24, "w": 168}


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"`{self.prog} --help` shows how it is used")


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options; `action` is always there. UsageError for wrong ones, SystemExit(0) behind `--help`."""
    parser = _Parser(prog="streaming-chat history", description="Look at the turns that were kept.")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = _action(actions, "list", "the last turns, newest last (this is what no action means)")
    search = _action(actions, "search", "turns whose prompt or answer holds words, newest last")
    search.add_argument("words", nargs="+", metavar="WORD", help='all of them; begin* for a beginning, "in a row" in quotes')
    show = _action(actions, "show", "one turn, whole")
    show.add_argument("number", type=_type(one_or_more), metavar="N", help="its number: the first column of the list")
    replay = _action(actions, "replay", "one answer again, at the speed at which it came")
    replay.add_argument("number", type=_type(one_or_more), metavar="N", help="its number")
    replay.add_argument("--speed", type=_type(speed), default=1.0, metavar="X", help="so many times as fast (default: 1)")
    replay.add_argument("--max-pause", type=_type(seconds), metavar="S", help="no pause longer than so many seconds")
    export = _action(actions, "export", "turns as a document: Markdown, HTML, JSON, a recording, a picture")
    export.add_argument("numbers", nargs="*", type=_type(one_or_more), metavar="N", help="their numbers")
    export.add_argument(
        "--format",
        type=_type(one_of(*FORMATS)),
        metavar="FORMAT",
        help=f"{', '.join(FORMATS)} (default: as FILE ends, or md)",
    )
    export.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    export.add_argument("--all", action="store_true", help="all turns")
    export.add_argument("-o", "--output", type=_type(file_path), metavar="FILE", help="where to (default: standard output)")
    _add_force(export)
    imported = _action(actions, "import", "take in turns that `export --format json` or `show --json` wrote")
    imported.add_argument("files", nargs="+", type=_type(file_path), metavar="FILE", help="the files; - is standard input")
    stats = _action(actions, "stats", "how many, how they ended, tokens and times for each model and endpoint")
    stats.add_argument("--plot", action="store_true", help="draw how the times are distributed, too")
    page = "write a page with pictures instead"
    stats.add_argument("--html", type=_type(file_path), metavar="FILE", help=page)
    _add_force(stats)
    delete = _action(actions, "delete", "remove turns for good")
    delete.add_argument("numbers", nargs="*", type=_type(one_or_more), metavar="N", help="their numbers")
    delete.add_argument("--all", action="store_true", help="all turns")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    _action(actions, "path", "where the history is kept")
    for action in (listing, search):
        limit = f"how many (default: {LIMIT})"
        action.add_argument("--limit", type=_type(one_or_more), default=LIMIT, metavar="N", help=limit)
    for action in (listing, search, export, stats, delete):
        _add_selection(action)
    for name, action in actions.choices.items():
        if name == "export":
            continue  # There it is a format.
        action.add_argument("--json", action="store_true", help="JSON, one object a line, times in seconds")
    no_action = not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help"))
    return parser.parse_args(["list", *arguments] if no_action else arguments)


def selection_of(options: argparse.Namespace) -> Selection:
    """The turns that the options mean."""
    numbers = getattr(options, "numbers", None)
    return Selection(
        numbers=numbers or None,
        model=options.model,
        endpoint=options.endpoint,
        since=options.since,
        until=options.until,
        outcome=options.outcome,
        session=options.session,
        words=" ".join(options.words) if getattr(options, "words", None) else None,
    )


def _action(actions: Any, name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, allow_abbrev=False, help=text, description=text)
    return parser


def _add_force(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="overwrite a file that exists")


def _add_selection(parser: argparse.ArgumentParser) -> None:
    which = parser.add_argument_group("which turns")
    which.add_argument("--model", metavar="NAME", help="as requested or as served; * stands for anything")
    which.add_argument("--endpoint", metavar="TEXT", help="a part of the base URL")
    which.add_argument(
        "--since", type=_type(moment), metavar="TIME", help="2025-12-10, 2025-12-10T17:30, 12h, 7d, 2w, today"
    )
    which.add_argument("--until", type=_type(moment), metavar="TIME", help="likewise; turns before it")
    which.add_argument("--outcome", type=_type(one_of(*OUTCOMES)), metavar="WORD", help=", ".join(OUTCOMES))
    which.add_argument("--session", metavar="NAME", help="the beginning of a session's name, as --json shows it")


def moment(text: str) -> datetime:
    """A date, a time, or how long ago; where the user is. ValueError for anything else."""
    now = datetime.now().astimezone()
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if text in ("today", "yesterday"):
        return today - timedelta(days=text == "yesterday")
    if ago := _AGO.fullmatch(text):
        try:
            return now - timedelta(hours=int(ago[1]) * _HOURS[ago[2]])
        except OverflowError:
            pass
    else:
        try:
            return datetime.fromisoformat(text).astimezone()
        except (ValueError, OverflowError, OSError):
            pass
    raise ValueError(f"must be a time such as 2025-12-10, 2025-12-10T17:30, 12h, 7d or today, not {text!r}")


def _type(parse_value: Callable[[str], Any]) -> Callable[[str], Any]:
    def checked(text: str) -> Any:
        try:
            return parse_value(text)
        except ValueError as problem:
            raise argparse.ArgumentTypeError(str(problem)) from None

    return checked
