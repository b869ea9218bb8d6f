"""The man page, in the macros of man(7), made of what the command line takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from streaming_chat import __version__
from streaming_chat.cli import PROGRAM
from streaming_chat.cli.help_pages import DESCRIPTION, SOURCES, described
from streaming_chat.cli.specification import HELP_OPTIONS, Argument, Specification, every, specifications
from streaming_chat.config.options import GROUPS, OPTIONS
from streaming_chat.core.exit_status import MEANINGS

_FILES = (
    ("config.toml", "settings, in the configuration folder: $XDG_CONFIG_HOME/streaming-chat, ~/.config/streaming-chat"),
    (".env", "settings of a folder and the folders below it; `config trust` says how far they count"),
    ("history.db", "the history, in the state folder: $XDG_STATE_HOME/streaming-chat, ~/.local/state/streaming-chat"),
)
_EXAMPLES = (
    (f'{PROGRAM} "Why is the sky blue?"', "Ask one question."),
    (f"{PROGRAM}", "Chat."),
    (f'git diff | {PROGRAM} "Review this"', "Ask about what is piped in."),
    (f"{PROGRAM} --base-url http://127.0.0.1:8080/v1 --model llama hello", "Ask a server of your own."),
    (f"{PROGRAM} history search gravity", "Find an earlier answer."),
)


def man_page() -> str:
    """Return the page: roff, every line of it in ASCII."""
    return "\n".join(_escaped_controls(_lines())) + "\n"


def _lines() -> Iterator[str]:
    yield f'.TH {PROGRAM.upper()} 1 "" "{PROGRAM} {__version__}" "User Commands"'
    yield from (".SH NAME", f"{PROGRAM} \\- {_text('ask a model, and see every token the moment it arrives')}")
    yield ".SH SYNOPSIS"
    for rest in ("[\\fIOPTIONS\\fR] [\\fIPROMPT\\fR ...]", "[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]"):
        yield from (f"\\fB{_text(PROGRAM)}\\fR {rest}", ".br")
    yield from (".SH DESCRIPTION", _text(DESCRIPTION))
    yield from _options()
    yield ".SH COMMANDS"
    yield _text("A prompt that begins with the word of a command must follow --.")
    for one in every(specifications()):
        yield from _command(one)
    yield ".SH EXIT STATUS"
    yield from _list("B", ((str(status), meaning) for status, meaning in MEANINGS.items()))
    yield from (".SH ENVIRONMENT", _text(SOURCES))
    yield from _list("B", ((one.environment, f"as {one.flags[-1]}") for one in OPTIONS.values() if one.environment))
    yield ".SH FILES"
    yield from _list("I", _FILES)
    yield ".SH EXAMPLES"
    for call, text in _EXAMPLES:
        yield from (_text(text), ".PP", ".RS 4", ".nf", _text(call), ".fi", ".RE", ".PP")


def _options() -> Iterator[str]:
    yield ".SH OPTIONS"
    yield _text("Options stand before a command, after it, or after its action.")
    for group, title in GROUPS.items():
        yield f".SS {_text(title)}"
        for name, option in OPTIONS.items():
            if option.group == group and option.flags:
                yield from _item(Argument(option.flags, option.metavar, described(name)))
    yield ".SS Help"
    for argument in HELP_OPTIONS:
        yield from _item(argument)


def _list(font: str, entries: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, text in entries:
        yield from (".TP", f"\\f{font}{_text(name)}\\fR", _text(text))


def _command(one: Specification) -> Iterator[str]:
    yield f".SS {_text(one.usage)}"
    yield _text(f"{one.help[:1].upper()}{one.help[1:]}.")
    for argument in one.arguments:
        if argument.flags[:1] != ("-h",):
            yield from _item(argument)


def _item(argument: Argument) -> Iterator[str]:
    flags = ", ".join(f"\\fB{_text(flag)}\\fR" for flag in sorted(argument.flags, key=lambda flag: flag.startswith("--")))
    value = f"\\fI{_text(argument.metavar)}\\fR" if argument.metavar else ""
    yield from (".TP", " ".join(part for part in (flags, value) if part), _text(argument.help))


def _text(text: str) -> str:
    """Return `text` as roff: no character of it is a command, and each is in ASCII."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return "".join(char if char.isascii() else f"\\[u{ord(char):04X}]" for char in text)


def _escaped_controls(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines; one of text that begins with a control character would be a request."""
    requests = (".TH ", ".SH ", ".SS ", ".TP", ".PP", ".br", ".RS", ".RE", ".nf", ".fi")
    for line in lines:
        yield line if not line.startswith((".", "\\(aq")) or line.startswith(requests) else f"\\&{line}"
