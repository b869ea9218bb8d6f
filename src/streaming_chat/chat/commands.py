"""The commands of the chat: name, arguments, help and handler of each in one place. `/help` is made from them.

A handler gets the chat and the text behind the command's name. It returns a prompt to be sent, or None. ChatError is shown
and does no harm; Leave ends the chat.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from streaming_chat.chat.editor import edit
from streaming_chat.chat.usage_lines import usage_lines
from streaming_chat.config.describe import config_lines
from streaming_chat.config.options import OPTIONS
from streaming_chat.config.spelling import nearest
from streaming_chat.core.errors import UsageError
from streaming_chat.engine import deadline
from streaming_chat.session.session import Session
from streaming_chat.terminal.signals import no_interrupt
from streaming_chat.text.figures import counted, timing_lines
from streaming_chat.text.lines import beginning


class Leave(Exception):  # not an error: the user wants to go
    """The chat ends."""


@dataclass(frozen=True)
class Command:
    """One command, as `/help` shows it."""

    name: str
    arguments: str
    help: str
    handler: Callable[[Chat, str], str | None]


@dataclass
class Chat:
    """What a command may look at and change."""

    session: Session
    #: The files of this session, by what they are for.
    files: Mapping[str, Path | None]
    #: Model names for completion, once `/models` or a completion has asked for them.
    model_names: list[str]


COMMANDS: dict[str, Command] = {}


def command(
    name: str,
    arguments: str,
    help: str,  # noqa: A002 # the word that argparse uses
) -> Callable[[Callable[[Chat, str], str | None]], Callable[[Chat, str], str | None]]:
    """Register the function below as the command `name`."""

    def register(handler: Callable[[Chat, str], str | None]) -> Callable[[Chat, str], str | None]:
        COMMANDS[name] = Command(name, arguments, help, handler)
        return handler

    return register


def run_command(chat: Chat, line: str) -> str | None:
    """Run the command in `line`, which begins with a slash. UsageError when there is none of that name."""
    name, *rest = line.strip().split(maxsplit=1)
    argument = rest[0] if rest else ""
    found = COMMANDS.get(name)
    if found is None:
        meant = nearest(name.lower(), list(COMMANDS))
        raise UsageError(
            f"there is no command {name}",
            f"did you mean {meant}?" if meant else "/help lists the commands; a blank before the slash makes it a message",
        )
    if argument and not found.arguments:
        raise UsageError(f"{name} takes no arguments", f"a blank before the slash makes a message of it: {name} {argument}")
    return found.handler(chat, argument)


@command("/help", "", "list the commands")
def _help(chat: Chat, _argument: str) -> None:
    width = max(len(f"{one.name} {one.arguments}") for one in COMMANDS.values())
    lines = [f"  {f'{one.name} {one.arguments}':<{width}}  {one.help}" for one in COMMANDS.values()]
    chat.session.notices.always("\n".join(lines))


@command("/config", "", "show every setting and where it came from")
def _config(chat: Chat, _argument: str) -> None:
    session = chat.session
    adapted = session.adaptations.known(session.settings.model)
    session.notices.always("\n".join(config_lines(session.settings, chat.files, adapted)))


@command("/model", "[NAME]", "show or change the model")
def _model(chat: Chat, argument: str) -> None:
    if argument:
        chat.session.change("model", argument)
    chat.session.notices.always(f"model: {chat.session.settings.model}")


@command("/models", "", "list the endpoint's models")
def _models(chat: Chat, _argument: str) -> None:
    with deadline.at_most(chat.session.settings.max_time):
        chat.model_names[:] = chat.session.provider.models()
    chat.session.notices.always("\n".join(chat.model_names) or "the endpoint lists no models")


@command("/system", "[TEXT|off]", "show, change or remove the system message")
def _system(chat: Chat, argument: str) -> None:
    if argument:
        chat.session.change("system", None if argument == "off" else argument)
    chat.session.notices.always(f"system: {chat.session.settings.system or '–'}")


@command("/set", "[KEY [VALUE]]", "show or change a setting; without VALUE, back to the built-in one")
def _set(chat: Chat, argument: str) -> None:
    settable = [name for name, option in OPTIONS.items() if option.is_settable]
    # `KEY VALUE`, and `KEY=VALUE` for whoever has the habit.
    name, value = (*re.split(r"\s*=\s*|\s+", argument, maxsplit=1), "")[:2]
    name = name.replace("-", "_")
    if name:
        if name not in settable:
            meant = nearest(name, settable)
            raise UsageError(
                f"{name} cannot be set in the chat",
                f"did you mean {meant}?" if meant else f"these can: {', '.join(settable)}",
            )
        chat.session.change(name, value or None)
        settable = [name]
    values = {one: getattr(chat.session.settings, one) for one in settable}
    chat.session.notices.always("\n".join(f"{one}: {'–' if value is None else value}" for one, value in values.items()))


@command("/retry", "", "ask the last question again")
def _retry(chat: Chat, _argument: str) -> str:
    prompt = chat.session.take_back()
    if prompt is None:
        raise UsageError("there is nothing to ask again", "ask something first")
    return prompt


@command("/edit", "[TEXT]", "write the message in $EDITOR")
def _edit(chat: Chat, argument: str) -> str | None:
    # Ctrl-C is the editor's own then.
    with chat.session.keyboard.as_found(), no_interrupt():
        text = edit(argument)
    if not text.strip():
        chat.session.notices.notice("nothing written, nothing sent")
        return None
    chat.session.notices.always(text.rstrip("\n"), style="dim")
    return text.rstrip("\n")


@command("/stateful", "[on|off]", "let earlier turns go along with each message, or not")
def _stateful(chat: Chat, argument: str) -> None:
    session = chat.session
    if argument:
        if argument not in ("on", "off"):
            raise UsageError(f"/stateful is on or off, not {argument!r}", "/stateful alone shows which")
        session.set_stateful(stateful=argument == "on")
    if session.conversation.stateful:
        session.notices.always(f"stateful: {_going_along(session)}")
    else:
        session.notices.always("stateless: every message is asked on its own")


def _going_along(session: Session) -> str:
    return counted(len(session.conversation.along), "turn goes along", "turns go along")


@command("/history", "", "show the turns that go along with the next message")
def _history(chat: Chat, _argument: str) -> None:
    conversation = chat.session.conversation
    left_out = [f"–  {beginning(one.prompt, 70)} (left out, for want of room)" for one in conversation.left_out]
    along = [f"{number}  {beginning(one.prompt, 70)}" for number, one in enumerate(conversation.along, 1)]
    lines = left_out + along
    if conversation.aside is not None:
        lines.append(f"–  {beginning(conversation.aside.prompt, 70)} (not whole; /keep lets it go along)")
    chat.session.notices.always("\n".join(lines) or "no turn goes along with the next message")


@command("/keep", "", "let the last answer go along although it is not whole")
def _keep(chat: Chat, _argument: str) -> None:
    if chat.session.conversation.keep() is None:
        raise UsageError("there is no answer to keep", "whole answers go along by themselves, in a stateful chat")
    chat.session.notices.always(f"kept: {_going_along(chat.session)}")


@command("/undo", "", "forget the last turn")
def _undo(chat: Chat, _argument: str) -> None:
    undone = chat.session.conversation.undo()
    if undone is None:
        raise UsageError("there is no turn to forget", "a stateless chat keeps none")
    chat.session.notices.always(f"forgotten: {beginning(undone.prompt, 70)}")


@command("/clear", "", "forget all turns: the next message begins anew")
def _clear(chat: Chat, _argument: str) -> None:
    count = chat.session.clear()
    chat.session.notices.always(f"forgotten: {counted(count, 'turn', 'turns')}")


@command("/raw", "", "show answers as they come, with their Markdown")
def _raw(chat: Chat, _argument: str) -> None:
    chat.session.change("raw", "on")
    chat.session.notices.always("answers are shown as they come; /md formats them")


@command("/md", "", "format the Markdown of answers")
def _md(chat: Chat, _argument: str) -> None:
    chat.session.change("raw", "off")
    chat.session.notices.always("answers are formatted; /raw shows them as they come")


@command("/timing", "", "show every latency figure of the last answer")
def _timing(chat: Chat, _argument: str) -> None:
    if chat.session.last_turn is None:
        raise UsageError("there is no answer yet", "ask something first")
    chat.session.notices.always("\n".join(timing_lines(chat.session.last_turn.timing)))


@command("/usage", "", "show the tokens of the last answer and of this session, and what they cost")
def _usage(chat: Chat, _argument: str) -> None:
    session = chat.session
    turn = session.last_turn
    if turn is None:
        raise UsageError("there is no answer yet", "ask something first")
    lines = usage_lines(turn.usage, session.cost(turn), session.usage_sums, session.settings.currency)
    session.notices.always("\n".join(lines))


@command("/exit", "", "leave (so does Ctrl-D)")
def _exit(_chat: Chat, _argument: str) -> None:
    raise Leave


@command("/quit", "", "leave")
def _quit(_chat: Chat, _argument: str) -> None:
    raise Leave
