"""`streaming-chat models`: the models of the endpoint."""

from __future__ import annotations

import json

from streaming_chat.cli.argument_parser import ArgumentParser
from streaming_chat.cli.context import Context
from streaming_chat.core.exit_status import ExitStatus
from streaming_chat.text.lines import one_line
from streaming_chat.text.sanitize import sanitize, sanitize_json

NAME = "models"
HELP = "list the models of the endpoint"


def add_arguments(_parser: ArgumentParser) -> None:
    """It has none of its own."""


def run(context: Context) -> int:
    """Print the names, and keep them for completion."""
    from streaming_chat.cli.connect import connect
    from streaming_chat.cli.model_names import keep_names
    from streaming_chat.engine import deadline

    provider, settings = connect(context, in_chat=False)
    try:
        with deadline.at_most(settings.max_time):
            names = provider.models()
    finally:
        provider.close()
    if settings.json:
        context.print(json.dumps(names), sanitize_json)
    else:
        for name in names:
            context.print(one_line(name), sanitize)
    if not provider.is_local and (state := context.kept_state) is not None:
        keep_names(state, names)
    return ExitStatus.COMPLETE
