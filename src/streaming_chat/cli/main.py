"""Arguments → a command, an answer or a chat; the one place where errors become a message and a status."""

from __future__ import annotations

from collections.abc import Sequence

from streaming_chat.cli.context import Context, as_utf8, standard_error
from streaming_chat.cli.parser import CommandLine, parse
from streaming_chat.cli.prompt import prompt_of
from streaming_chat.core.errors import ChatError, OutputClosed
from streaming_chat.core.exit_status import ExitStatus
from streaming_chat.terminal.signals import end_on_termination, heeded_in_time, status_of_signal


def run(argv: Sequence[str]) -> int:
    """Run the program, and return its exit status. Every ChatError is told here."""
    end_on_termination()
    context: Context | None = None
    try:
        with heeded_in_time():
            line = parse(list(argv))
            context = Context(line.flags, line.options)
            return _run(line, context)
    except Exception as failure:  # noqa: BLE001 # never a traceback
        ended_by_signal = status_of_signal()
        if ended_by_signal is not None:
            return ended_by_signal
        if isinstance(failure.__cause__, KeyboardInterrupt):
            # Up to Python 3.11, a Ctrl-C inside `__set_name__`, while a class is made in an import, comes as RuntimeError.
            return ExitStatus.INTERRUPTED
        error = failure if isinstance(failure, ChatError) else ChatError.unexpected(failure)
        # OutputClosed is a quiet end; OutputFailed, which is one too, is not.
        if type(error) is not OutputClosed:
            notices = context.notices if context else standard_error(no_color="--no-color" in argv, quiet=False)
            notices.error(error)
        return error.exit_status


def _run(line: CommandLine, context: Context) -> int:
    if line.command is not None:
        return line.command.run(context)
    prompt = prompt_of([as_utf8(word) for word in line.words], context.standard_input)
    if prompt is None:
        from streaming_chat.cli.commands import chat

        return chat.run(context)
    from streaming_chat.cli.commands import ask

    return ask.run(context, prompt)
