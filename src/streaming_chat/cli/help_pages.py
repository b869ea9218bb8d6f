"""The pages of `--help` and `--help-all`: options in groups, the commands, where settings come from, exit statuses."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Iterator
from typing import Final

from streaming_chat.cli import PROGRAM
from streaming_chat.cli.commands import RESERVED, commands
from streaming_chat.config.describe import shown
from streaming_chat.config.options import GROUPS, OPTIONS, Option, Settings
from streaming_chat.core.exit_status import MEANINGS

#: The column in which the text beside an option begins.
_COLUMN: Final = 27
#: Lines are no longer than this, however wide the terminal is.
_LONGEST: Final = 100

DESCRIPTION: Final = (
    "Ask a model and see every token the moment it arrives. Without PROMPT, in a terminal, a chat opens. Piped input is the "
    "prompt, or is added to the one given; - stands for it at another place."
)
SOURCES: Final = (
    "Settings come from flags, the environment, .env (the nearest one upward) and config.toml, in this order. The key is "
    "read from OPENAI_API_KEY, or the variable that --api-key-env names. Without a key, the embedded model answers."
)


def short_help() -> str:
    """Return the help that fits on a screen: the options that are used every day."""
    lines = [f"usage: {PROGRAM} [OPTIONS] [PROMPT ...]", "", *_wrapped(DESCRIPTION), ""]
    for group, title in GROUPS.items():
        common = [
            (_invocation(one), one.brief) for one in OPTIONS.values() if one.group == group and one.brief and one.flags
        ]
        lines += [f"{title}:", *_table((flags, brief or "") for flags, brief in common)]
    lines += ["", "Commands:", *_commands(), ""]
    lines += _wrapped(f"All options, environment variables and exit statuses: {PROGRAM} --help-all.")
    return "\n".join(lines) + "\n"


def full_help() -> str:
    """Return the help with everything."""
    lines = [f"usage: {PROGRAM} [OPTIONS] [PROMPT ...]", f"       {PROGRAM} [OPTIONS] COMMAND [ARGUMENTS]", ""]
    lines += [*_wrapped(DESCRIPTION), ""]
    for group, title in GROUPS.items():
        rows = ((_invocation(one), described(name)) for name, one in OPTIONS.items() if one.group == group and one.flags)
        lines += [f"{title}:", *_table(rows), ""]
    lines += [
        "Help:",
        *_table([("-h, --help", "the most used options"), ("--help-all", "this"), ("--version", "the version")]),
    ]
    lines += ["", "Commands:", *_commands()]
    words = ", ".join(RESERVED)
    lines += _wrapped(f"A prompt that begins with such a word, or with {words}, must follow --.", indent="  ")
    lines += ["", *_wrapped(SOURCES), "", "Exit status:"]
    lines += [f"  {status:>3}  {meaning}" for status, meaning in MEANINGS.items()]
    return "\n".join(lines) + "\n"


def described(name: str) -> str:
    """Return what an option means, its default and its environment variable, on one line."""
    option, default = OPTIONS[name], getattr(Settings(), name)
    notes = []
    if default not in (None, False, {}):
        notes.append(f"default: {shown(default)}")
    if option.environment:
        notes.append(f"environment: {option.environment}")
    return f"{option.help} ({'; '.join(notes)})" if notes else option.help


def _invocation(option: Option) -> str:
    flags = sorted(option.flags, key=lambda flag: flag.startswith("--"))
    return ", ".join(flags) + (f" {option.metavar}" if option.metavar else "")


def _commands() -> Iterator[str]:
    yield from _table((one.NAME, one.HELP) for one in commands())


def _table(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    for left, right in rows:
        texts = textwrap.wrap(right, _width() - _COLUMN, break_on_hyphens=False) or [""]
        if len(left) + 4 > _COLUMN:
            yield f"  {left}"
        else:
            yield f"  {left:<{_COLUMN - 2}}{texts.pop(0)}"
        for text in texts:
            yield " " * _COLUMN + text


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, _width(), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _width() -> int:
    return max(50, min(_LONGEST, shutil.get_terminal_size().columns))
