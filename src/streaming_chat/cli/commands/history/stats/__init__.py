"""`history stats`: the turns that were kept as figures; as text with sparklines, as plots, as JSON, as a page.

The figures are made in history/statistics.py, without any text of a turn; here is how they are shown, a file each.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from streaming_chat.cli.commands.history.stats.as_json import as_object
from streaming_chat.cli.commands.history.stats.text import text
from streaming_chat.core.errors import UsageError
from streaming_chat.core.prices import Prices
from streaming_chat.history import TurnSummary
from streaming_chat.history.statistics import Statistics, statistics
from streaming_chat.text.sanitize import sanitize_json


def stats(
    turns: list[TurnSummary], options: argparse.Namespace, prices: Prices, *, columns: int | None, color: bool
) -> list[str]:
    """Lines for standard output, as `options` ask; with `html`, a file is written too. UsageError when that is impossible.

    `columns` is the width of the terminal, None for a pipe.
    """
    if options.plot and options.json:
        raise UsageError("--plot draws, and --json is for programs", "leave one of the two out")
    figures = statistics(turns, prices)
    lines = list(_shown(figures, options, prices.currency, columns, color=color))
    if options.html is not None:
        _write_page(options.html, figures, prices.currency, force=options.force)
    return lines


def _shown(
    figures: Statistics, options: argparse.Namespace, currency: str, columns: int | None, *, color: bool
) -> Iterator[str]:
    if options.json:
        line = json.dumps(as_object(figures, currency), ensure_ascii=False)
        yield line if columns is None else sanitize_json(line)
    elif figures.groups and (options.plot or options.html is None):
        yield from text(figures, columns, currency)
        if options.plot:
            from streaming_chat.cli.commands.history.stats.plot import plots

            yield from plots(figures, columns, color=color)


def _write_page(path: Path, figures: Statistics, currency: str, *, force: bool) -> None:
    from streaming_chat.cli.commands.history.new_file import write_file
    from streaming_chat.cli.commands.history.stats.page import page

    if path.suffix.lower() not in ("", ".html", ".htm"):
        raise UsageError(f"{path} would hold a page of HTML", "name a file that ends in .html")
    write_file(path, page(figures, currency), force=force)
