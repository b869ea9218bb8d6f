"""The chat: what the program does in a terminal without a prompt."""

from __future__ import annotations

from streaming_chat.cli.context import Context
from streaming_chat.cli.open_session import open_session
from streaming_chat.core.exit_status import ExitStatus


def run(context: Context) -> int:
    """Chat until the user leaves, and return the exit status."""
    from streaming_chat.chat.commands import Chat
    from streaming_chat.chat.repl import run_chat

    context.open_chat()
    session = open_session(context, in_chat=True)
    log_path = session.log.path if session.log else None
    try:
        run_chat(Chat(session, context.files(log_path), []), state_folder=context.kept_state, color=context.has_color)
    finally:
        session.close()
    return ExitStatus.COMPLETE
