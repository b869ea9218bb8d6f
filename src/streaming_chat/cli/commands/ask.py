"""One prompt, one answer: what the program does with a prompt, or with piped input."""

from __future__ import annotations

from streaming_chat.cli.context import Context
from streaming_chat.cli.open_session import open_session


def run(context: Context, prompt: str) -> int:
    """Ask `prompt`, show the answer, and return the exit status."""
    session = open_session(context, in_chat=False)
    try:
        return session.ask(prompt).exit_status
    finally:
        session.close()
