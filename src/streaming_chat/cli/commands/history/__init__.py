"""`streaming-chat history`: list, search, show, replay, export, import, add up and delete what was kept."""

from __future__ import annotations

from streaming_chat.cli.argument_parser import ArgumentParser
from streaming_chat.cli.context import Context

NAME = "history"
HELP = "list, search, show, replay, export, delete turns"

# The actions need SQLite, documents and more: not to be loaded where the command is only listed.


def add_arguments(parser: ArgumentParser) -> None:
    """Add the actions and their options."""
    from streaming_chat.cli.commands.history.arguments import add_actions

    add_actions(parser)


def run(context: Context) -> int:
    """Carry out the action on the user's history."""
    context.require_safe_state()
    from streaming_chat.cli.commands.history import actions

    return actions.run(context)
