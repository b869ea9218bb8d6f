"""The arguments of `streaming-chat history`: actions, and the options that say which turns are meant."""

from __future__ import annotations

import argparse
import re
from datetime import datetime, timedelta
from typing import Any, Final

from streaming_chat.cli.argument_parser import FILE, MODEL, ArgumentParser
from streaming_chat.cli.parser import checked
from streaming_chat.config.values import file_path, number_between, one_of, one_or_more, seconds
from streaming_chat.documents import FORMATS
from streaming_chat.history import OUTCOMES, Selection

#: Turns that a list shows unless `--limit` says otherwise.
LIMIT: Final = 20
speed: Final = number_between(0.01, 1000)
_AGO: Final = re.compile(r"(\d{1,6})([hdw])")
_HOURS: Final = {"h": 1, "d": 24, "w": 168}


def add_actions(parser: ArgumentParser) -> None:
    """Add the actions, the first of which is what no action means, and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = _action(actions, "list", "the last turns, newest last (default)")
    search = _action(actions, "search", "turns whose prompt or answer holds words, newest last")
    search.add_argument("words", nargs="+", metavar="WORD", help='all of them; begin* for a beginning, "in a row" in quotes')
    show = _action(actions, "show", "one turn, whole")
    show.add_argument("number", type=checked(one_or_more), metavar="N", help="its number: the first column of the list")
    replay = _action(actions, "replay", "one answer again, at the speed at which it came")
    replay.add_argument("number", type=checked(one_or_more), metavar="N", help="its number")
    replay.add_argument("--speed", type=checked(speed), default=1.0, metavar="X", help="so many times as fast (default: 1)")
    replay.add_argument("--max-pause", type=checked(seconds), metavar="S", help="no pause longer than so many seconds")
    export = _action(actions, "export", "turns as a document: Markdown, HTML, JSON, a recording, a picture")
    export.add_argument("numbers", nargs="*", type=checked(one_or_more), metavar="N", help="their numbers")
    export.add_argument(
        "--format",
        type=checked(one_of(*FORMATS)),
        metavar="FORMAT",
        help=f"{', '.join(FORMATS)} (default: as FILE ends, or md)",
    )
    export.add_argument("--json", dest="format", action="store_const", const="json", help="the same as --format json")
    export.add_argument("--all", action="store_true", help="all turns")
    export.add_argument(
        "-o", "--output", type=checked(file_path), metavar="FILE", help="where to (default: standard output)"
    )
    _add_force(export)
    imported = _action(actions, "import", "take in turns that `export --format json` or `show --json` wrote")
    imported.add_argument("files", nargs="+", type=checked(file_path), metavar="FILE", help="the files; - is standard input")
    stats = _action(actions, "stats", "how many, how they ended, tokens and times for each model and endpoint")
    stats.add_argument("--plot", action="store_true", help="draw how the times are distributed, too")
    page = "write a page with pictures instead"
    stats.add_argument("--html", type=checked(file_path), metavar="FILE", help=page)
    _add_force(stats)
    delete = _action(actions, "delete", "remove turns for good")
    delete.add_argument("numbers", nargs="*", type=checked(one_or_more), metavar="N", help="their numbers")
    delete.add_argument("--all", action="store_true", help="all turns")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    _action(actions, "path", "where the history is kept")
    for action in (listing, search):
        limit = f"how many (default: {LIMIT})"
        action.add_argument("--limit", type=checked(one_or_more), default=LIMIT, metavar="N", help=limit)
    for action in (listing, search, export, stats, delete):
        _add_selection(action)
    for completed in (export, stats, imported):
        completed.completions |= {"output": FILE, "html": FILE, "files": FILE, "format": FORMATS}
    for name, action in actions.choices.items():
        if name == "export":
            continue  # There it is a format.
        action.add_argument("--json", action="store_true", help="JSON, one object a line, times in seconds")


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


def _action(actions: Any, name: str, text: str) -> ArgumentParser:
    parser: ArgumentParser = actions.add_parser(name, help=text, description=text)
    return parser


def _add_force(parser: ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="overwrite a file that exists")


def _add_selection(parser: ArgumentParser) -> None:
    which = parser.add_argument_group("which turns")
    which.add_argument("--model", metavar="NAME", help="as requested or as served; * stands for anything")
    which.add_argument("--endpoint", metavar="TEXT", help="a part of the base URL")
    which.add_argument(
        "--since", type=checked(moment), metavar="TIME", help="2025-12-10, 2025-12-10T17:30, 12h, 7d, 2w, today"
    )
    which.add_argument("--until", type=checked(moment), metavar="TIME", help="likewise; turns before it")
    which.add_argument("--outcome", type=checked(one_of(*OUTCOMES)), metavar="WORD", help=", ".join(OUTCOMES))
    parser.completions |= {"outcome": OUTCOMES, "model": MODEL}
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
