"""What a command works with: settings, standard streams, notices, folders. Each is made when it is first asked for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Final

from streaming_chat.cli.hints import Hints
from streaming_chat.config.folders import NO_HOME, config_folder, state_folder, unsafe_place
from streaming_chat.config.load import CONFIG_FILE_NAME, load
from streaming_chat.config.options import OPTIONS, Settings
from streaming_chat.config.trust import TrustList
from streaming_chat.config.values import file_path
from streaming_chat.core.errors import UsageError
from streaming_chat.observers.adaptations import Adaptations
from streaming_chat.terminal.notices import Notices
from streaming_chat.terminal.output import Output, color_wanted
from streaming_chat.terminal.standard_input import StandardInput

HISTORY_FILE_NAME: Final = "history.db"


class Context:
    """One call of the program."""

    def __init__(self, flags: Mapping[str, str], options: argparse.Namespace) -> None:
        """`flags` has the text of each global option that was given, by its name."""
        #: The command's own arguments.
        self.options = options
        self._flags = {name: text if OPTIONS[name].parse is file_path else as_utf8(text) for name, text in flags.items()}
        #: Where the program says what it has to say; before the settings are known, by the flags alone.
        self.notices = standard_error(no_color="no_color" in self._flags, quiet="quiet" in self._flags)

    @cached_property
    def settings(self) -> Settings:
        """The values in force. UsageError, CredentialsError for one that cannot be used."""
        settings = load(
            self._flags,
            os.environ,
            folder=self.working_folder,
            config_file=self.config_file,
            notice=self.notices.notice,
            trust_of=self.trusted.trust_of,
        )
        self.notices = self._notices_of(settings, in_chat=False)
        return settings

    def open_chat(self) -> None:
        """From now on, give advice in the words of the chat."""
        self.notices = self._notices_of(self.settings, in_chat=True)

    def _notices_of(self, settings: Settings, *, in_chat: bool) -> Notices:
        keys = (settings.api_key, os.environ.get(settings.api_key_env, "").strip())
        return standard_error(no_color=settings.no_color, quiet=settings.quiet, keys=keys, in_chat=in_chat)

    @cached_property
    def output(self) -> Output:
        """Standard output."""
        return Output.of("stdout", color=self.has_color)

    @cached_property
    def plain_output(self) -> Output:
        """Standard output for what has no colour, and does not depend on the settings: they may be damaged."""
        return Output.of("stdout", color=False)

    @cached_property
    def standard_input(self) -> StandardInput:
        """Standard input."""
        return StandardInput(
            self.notices.notice, left_alone=self.settings.no_stdin, how_to_leave="--no-stdin leaves it alone"
        )

    @property
    def has_color(self) -> bool:
        """Whether the user wants colour."""
        return color_wanted(os.environ, no_color=self.settings.no_color)

    def print(self, text: str, clean: Callable[[str], str]) -> None:
        """Write a line or several to standard output: on a terminal, after `clean`."""
        self.output.write((clean(text) if self.output.is_terminal else text) + "\n")

    @cached_property
    def trusted(self) -> TrustList:
        """The `.env` files that the user trusts."""
        return TrustList(state_folder())

    @cached_property
    def config_file(self) -> Path | None:
        """The `config.toml`, whether it is there or not; None without a home folder."""
        folder = config_folder()
        return None if folder is None else folder / CONFIG_FILE_NAME

    @property
    def working_folder(self) -> Path:
        """The working folder; the root where it has been deleted, which holds no `.env` either."""
        try:
            return Path.cwd()
        except FileNotFoundError:
            return Path("/")

    @cached_property
    def state(self) -> Path | None:
        """The state folder; None where there is none, or where others may put something into it, which is told once."""
        folder = state_folder()
        if folder is None:
            if not self.settings.no_history:
                self.notices.notice(f"no history is kept: there is no home folder ({NO_HOME})")
            return None
        if found := unsafe_place(folder):
            self.notices.notice(f"the state folder is not used, and no history is kept: {_unsafe(folder, *found)}")
            return None
        return folder

    @property
    def kept_state(self) -> Path | None:
        """The state folder, unless nothing of this session is to be kept in it."""
        return None if self.settings.no_history else self.state

    def require_safe_state(self) -> None:
        """UsageError where the history may be another one's."""
        folder = state_folder()
        if folder is not None and (found := unsafe_place(folder)):
            raise UsageError(
                f"the history is not read: {_unsafe(folder, *found)}",
                f"chmod go-w {found[0]}, if it is yours; or XDG_STATE_HOME names another folder",
            )

    @property
    def history_path(self) -> Path:
        """The file of the history. UsageError without a home folder."""
        folder = state_folder()
        if folder is None:
            raise UsageError("there is no history: there is no home folder to keep it in", NO_HOME)
        return folder / HISTORY_FILE_NAME

    def files(self, log: Path | None) -> dict[str, Path | None]:
        """The files of this session, by what they are, for `config`; `log` is that of the session."""
        return {
            "config file": self.config_file,
            ".env": self.settings.dotenv_file,
            "history": None if self.kept_state is None else self.history_path,
            "log": log,
        }

    def adaptations(self, endpoint: str) -> Adaptations:
        """What is known of the models of an endpoint."""
        state = self.kept_state
        return Adaptations(state and state / "adaptations.json", endpoint)


def standard_error(*, no_color: bool, quiet: bool, keys: Iterable[str | None] = (), in_chat: bool = False) -> Notices:
    """Return the notices on standard error. The user's keys are in none, wherever they were put by mistake."""
    is_plain = no_color or bool(os.environ.get("NO_COLOR"))
    return Notices(
        Output.of("stderr", color=color_wanted(os.environ, no_color=is_plain)),
        quiet=quiet,
        keys=[os.environ.get("OPENAI_API_KEY", "").strip(), *keys],
        advice=Hints(in_chat=in_chat),
    )


def as_utf8(argument: str) -> str:
    """Return `argument` with U+FFFD for what is not UTF-8: such bytes can stand in a path, and in no request."""
    return argument.encode(errors="surrogateescape").decode(errors="replace")


def _unsafe(folder: Path, place: Path, reason: str) -> str:
    return f"{folder}: {reason}" if place == folder else f"{folder} lies in {place}: {reason}"
