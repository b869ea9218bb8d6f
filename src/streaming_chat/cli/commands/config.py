"""`streaming-chat config`: every setting and where it came from; `config trust` and `config untrust` for a `.env`."""

from __future__ import annotations

from streaming_chat.cli import PROGRAM
from streaming_chat.cli.argument_parser import FILE, ArgumentParser
from streaming_chat.cli.context import Context, as_utf8
from streaming_chat.config.describe import config_json, config_lines
from streaming_chat.core.errors import UsageError
from streaming_chat.core.exit_status import ExitStatus
from streaming_chat.text.sanitize import sanitize, sanitize_json

NAME = "config"
HELP = "show settings and their origins; trust a .env"

_ACTIONS = ("trust", "untrust")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the action and its file."""
    parser.add_argument(
        "action", nargs="?", metavar="trust|untrust", help="let a .env decide where your key goes, or end that"
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="the .env; the nearest one without it")
    parser.completions |= {"action": _ACTIONS, "files": FILE}


def run(context: Context) -> int:
    """Print the settings, or trust a file."""
    action = context.options.action
    if action is None:
        _show(context)
    elif action in _ACTIONS:
        _trust(context, action, context.options.files)
    else:
        raise UsageError(
            f"`{PROGRAM} config` takes no {as_utf8(action)!r}",
            f"a prompt that begins with this word: {PROGRAM} -- config …",
        )
    return ExitStatus.COMPLETE


def _show(context: Context) -> None:
    settings = context.settings
    files = context.files(None)
    adapted = context.adaptations(settings.base_url).known(settings.model)
    if settings.json:
        context.print(config_json(settings, files, adapted), sanitize_json)
    else:
        context.print("\n".join(config_lines(settings, files, adapted)), sanitize)


def _trust(context: Context, action: str, files: list[str]) -> None:
    from streaming_chat.cli.trust_lines import trust_command

    settings = context.settings
    if len(files) > 1:
        raise UsageError(f"`{PROGRAM} config {action}` takes one file", "give them one after the other")
    lines = trust_command(
        action,
        files[0] if files else None,
        folder=context.working_folder,
        trusted=context.trusted,
        settings=settings,
        notice=context.notices.notice,
    )
    for line in lines:
        context.print(line, sanitize_json if settings.json else sanitize)
