"""Arguments → settings → a chat, an answer or a command; the one place where errors become a message and a status."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from streaming_chat import __version__
from streaming_chat.cli.argument_parser import ArgumentParser
from streaming_chat.cli.hints import Hints
from streaming_chat.config.describe import config_json, config_lines, shown
from streaming_chat.config.folders import NO_HOME, config_folder, state_folder, unsafe_place
from streaming_chat.config.load import CONFIG_FILE_NAME, load
from streaming_chat.config.options import OPTIONS, Settings
from streaming_chat.config.spelling import nearest
from streaming_chat.config.trust import Dotenv, TrustList
from streaming_chat.config.values import file_path
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import ChatError, CredentialsError, OutputClosed, UsageError
from streaming_chat.core.exit_status import ExitStatus
from streaming_chat.engine import deadline
from streaming_chat.observers.adaptations import Adaptations
from streaming_chat.terminal.notices import Notices
from streaming_chat.terminal.output import Output, color_wanted
from streaming_chat.terminal.signals import end_on_termination, heeded_in_time, status_of_signal
from streaming_chat.terminal.standard_input import StandardInput
from streaming_chat.text.lines import one_line
from streaming_chat.text.sanitize import sanitize, sanitize_json

if TYPE_CHECKING:
    from streaming_chat.engine.protocols import Provider
    from streaming_chat.history import StoredTurn
    from streaming_chat.observers.session_transcript import SessionTranscript
    from streaming_chat.session.session import Session

PROGRAM = "streaming-chat"
HISTORY_FILE_NAME = "history.db"

#: First words that are commands. Those without a handler in `run` are kept free for commands to come.
COMMAND_WORDS = ("compare", "batch", "bench", "history", "models", "config")

#: The word of a prompt that stands for standard input.
_STANDARD_INPUT = "-"

_OPENAI_HOST = "api.openai.com"

_DESCRIPTION = """\
Ask a model and see every token the moment it arrives. Without PROMPT, in a terminal, a chat opens. Piped input is the
prompt, or is added to the one given; - stands for it at another place.
"""

_EPILOG = f"""\
commands:
  {PROGRAM} history [ACTION]  list, search, show, replay and delete what was asked and answered
  {PROGRAM} models            the models of the endpoint
  {PROGRAM} config            every setting and where it came from
  {PROGRAM} config trust      let the nearest .env decide where your key goes; config untrust ends that
  A prompt that begins with such a word goes behind `--`.

settings come from flags, the environment, .env (the nearest one upward), config.toml, in this order.
The key is read from OPENAI_API_KEY, or the variable that --api-key-env names. Without a key, the embedded model answers.

exit status:
  0 the whole answer  1 unexpected  2 usage or settings  3 credentials  4 rate limit or quota  5 connection or server
  6 timeout  7 no whole answer  8 request rejected  130 interrupted  141 output closed
"""


class _Parser(ArgumentParser):
    """argparse, with errors of this program's form."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError, with the nearest flag for one that does not exist."""
        hint = f"{PROGRAM} --help lists the options"
        unknown = message.partition("unrecognized arguments: ")[2].split(" ")[0].partition("=")[0]
        if unknown:
            meant = nearest(unknown, [flag for option in OPTIONS.values() for flag in option.flags])
            message, hint = f"unknown option {unknown}", f"did you mean {meant}?" if meant else hint
        raise UsageError(message, hint)


def build_parser() -> argparse.ArgumentParser:
    """The parser for everything but the arguments of a command; flags are stored as text, by option name."""
    parser = _Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [OPTIONS] [PROMPT ...]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("prompt", nargs="*", default=[], metavar="PROMPT", help="what to ask")
    options = parser.add_argument_group("options")
    for name, option in OPTIONS.items():
        if not option.flags:
            continue
        keywords: dict[str, Any] = {"dest": name, "help": _help(name)}
        if option.is_switch:
            keywords |= {"action": "store_const", "const": "1"}
        else:
            keywords |= {"metavar": option.metavar, "action": "append" if option.is_repeated else "store"}
        options.add_argument(*option.flags, **keywords)
    options.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}", help="show the version")
    options.add_argument("-h", "--help", action="help", help="show this")
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the program; its exit status. Every ChatError is told here."""
    end_on_termination()
    notices = _notices(no_color="--no-color" in argv, quiet=False, keys=_keys_of(os.environ))
    try:
        with heeded_in_time():
            program = _Program(list(argv))
            notices = program.notices
            return program.run()
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
            notices.error(error)
        return error.exit_status


class _Program:
    """One call of the program."""

    def __init__(self, argv: list[str]) -> None:
        position = _first_word(argv)
        self._command: str | None = None
        self._command_arguments: list[str] = []
        if position is not None and argv[position] in COMMAND_WORDS:
            self._command = argv[position]
            self._command_arguments = argv[position + 1 :]
            argv = argv[:position]
            if self._command != "history":
                argv, self._command_arguments = argv + self._command_arguments, []
        separator = argv.index("--") if "--" in argv else len(argv)
        parsed = vars(build_parser().parse_intermixed_args(argv[:separator]))
        self._arguments: list[str] = [*parsed.pop("prompt"), *argv[separator + 1 :]]
        self._words = [_text(word) for word in self._arguments]
        flags = {name: "\0".join(value) if isinstance(value, list) else value for name, value in parsed.items()}
        flags = {name: value if OPTIONS[name].parse is file_path else _text(value) for name, value in flags.items()}

        self._notices = _notices(no_color="no_color" in flags, quiet="quiet" in flags, keys=_keys_of(os.environ))
        folder = config_folder()
        self._config_file = None if folder is None else folder / CONFIG_FILE_NAME
        self._trusted = TrustList(state_folder())
        self._settings = load(
            flags,
            os.environ,
            folder=_working_folder(),
            config_file=self._config_file,
            notice=self._notices.notice,
            trust_of=self._trusted.trust_of,
        )
        self._notices = self._own_notices(in_chat=False)
        self._output = Output.of("stdout", color=color_wanted(os.environ, no_color=self._settings.no_color))
        self._input = StandardInput(
            self._notices.notice,
            left_alone=self._settings.no_stdin,
            how_to_leave="--no-stdin leaves it alone",
        )

    def _own_notices(self, *, in_chat: bool) -> Notices:
        return _notices(
            no_color=self._settings.no_color,
            quiet=self._settings.quiet,
            keys=(self._settings.api_key, *_keys_of(os.environ, self._settings.api_key_env)),
            in_chat=in_chat,
        )

    @property
    def notices(self) -> Notices:
        """Where errors are told."""
        return self._notices

    def run(self) -> int:
        """Do what was asked; the exit status."""
        if self._command is not None:
            return self._run_command(self._command)
        prompt = self._prompt()
        return self._chat() if prompt is None else self._answer(prompt)

    def _run_command(self, command: str) -> int:
        if command == "history":
            from streaming_chat.cli.commands.history import history_command

            if not {"-h", "--help"} & set(self._command_arguments):
                self._require_safe_state()
            as_json = ["--json"] if self._settings.json else []
            return history_command(
                [*self._command_arguments, *as_json],
                path=self._history_path,
                out=self._output,
                terminal=self._output.is_terminal,
                color=self._output.has_color,
                play=self._play,
                prices=self._settings.prices,
                notices=self._notices,
                standard_input=self._input,
            )
        handlers: dict[str, Callable[[], int]] = {"models": self._models, "config": self._config}
        if command not in handlers:
            raise UsageError(
                f"`{PROGRAM} {command}` does not exist yet",
                f"a prompt that begins with this word: {PROGRAM} -- {command} …",
            )
        if command == "config" and self._words and self._words[0] in ("trust", "untrust"):
            return self._trust()
        if self._words:
            raise UsageError(
                f"`{PROGRAM} {command}` takes no {self._words[0]!r}",
                f"a prompt that begins with this word: {PROGRAM} -- {command} …",
            )
        return handlers[command]()

    def _play(self, turn: StoredTurn, options: argparse.Namespace) -> int:
        from streaming_chat.session.replay import replay

        settings = self._settings.changed("json", options.json, "--json") if options.json else self._settings
        return replay(turn, settings, self._output, self._notices, speed=options.speed, max_pause=options.max_pause)

    def _config(self) -> int:
        files = self._files(None)
        adapted = self._adaptations(self._settings.base_url).known(self._settings.model)
        if self._settings.json:
            self._print(config_json(self._settings, files, adapted), sanitize_json)
        else:
            self._print("\n".join(config_lines(self._settings, files, adapted)), sanitize)
        return ExitStatus.COMPLETE

    def _trust(self) -> int:
        from streaming_chat.cli.commands.config_trust import trust_command

        action, *files = self._arguments
        if len(files) > 1:
            raise UsageError(f"`{PROGRAM} config {action}` takes one file", "give them one after the other")
        lines = trust_command(
            action,
            files[0] if files else None,
            folder=_working_folder(),
            trusted=self._trusted,
            settings=self._settings,
            notice=self._notices.notice,
        )
        for line in lines:
            self._print(line, sanitize_json if self._settings.json else sanitize)
        return ExitStatus.COMPLETE

    def _models(self) -> int:
        provider, _ = self._connect(in_chat=False)
        try:
            with deadline.at_most(self._settings.max_time):
                names = provider.models()
        finally:
            provider.close()
        if self._settings.json:
            self._print(json.dumps(names), sanitize_json)
        else:
            for name in names:
                self._print(one_line(name), sanitize)
        return ExitStatus.COMPLETE

    def _print(self, text: str, clean: Callable[[str], str]) -> None:
        """Write a line or several: on a terminal, after `clean`."""
        self._output.write((clean(text) if self._output.is_terminal else text) + "\n")

    def _answer(self, prompt: str) -> int:
        session = self._session(in_chat=False)
        try:
            return session.ask(prompt).exit_status
        finally:
            session.close()

    def _chat(self) -> int:
        from streaming_chat.chat.commands import Chat
        from streaming_chat.chat.repl import run_chat

        # Whatever keeps the chat from opening is told in the command line's words: `run` has those notices.
        self._notices = self._own_notices(in_chat=True)
        session = self._session(in_chat=True)
        log_path = session.log.path if session.log else None
        try:
            run_chat(
                Chat(session, self._files(log_path), []),
                state_folder=None if self._settings.no_history else self._state,
                color=self._color,
            )
        finally:
            session.close()
        return ExitStatus.COMPLETE

    def _prompt(self) -> str | None:
        """What to ask, or None for a chat."""
        if not self._words and self._input.is_terminal:
            return None
        place = self._words.index(_STANDARD_INPUT) if _STANDARD_INPUT in self._words else None
        # It can be read once, and is at its end when it is named again: as with `cat - -`.
        words = [word if word != _STANDARD_INPUT else "" for word in self._words]
        if place is None:
            parts = [_joined(words), self._input.piped()]
        else:
            parts = [_joined(words[:place]), self._input.text(), _joined(words[place:])]
        prompt = "\n\n".join(part for part in (part.strip("\r\n") for part in parts) if part.strip())
        if not prompt:
            raise UsageError(
                "there is nothing to ask", f'{PROGRAM} "question", or pipe a text in; alone, in a terminal, it chats'
            )
        return prompt

    def _session(self, *, in_chat: bool) -> Session:
        from streaming_chat.history import History, kept_endpoint
        from streaming_chat.observers.session_log import SessionLog
        from streaming_chat.session.session import Session

        provider, settings = self._connect(in_chat=in_chat)
        endpoint = provider.endpoint
        earlier = self._earlier()
        name = os.urandom(16).hex() if earlier is None else earlier.session
        if earlier is not None:
            if not settings.is_base_url_trusted and earlier.endpoint != kept_endpoint(endpoint):
                raise UsageError(
                    f"the conversation with {earlier.endpoint} is not sent to an endpoint from a .env that is not trusted",
                    "trust the file with `streaming-chat config trust`, or name the endpoint with --base-url",
                )
            settings = settings.changed("stateful", True, settings.origin("resume" if settings.resume else "continue_last"))
            # Elsewhere its model may be unknown, or be called otherwise.
            is_there = not provider.is_local and earlier.endpoint == kept_endpoint(endpoint)
            if is_there and not settings.is_set("model"):
                settings = settings.changed("model", earlier.model, f"turn {earlier.number}")
        log = None
        if settings.log_dir:
            header = {"model": settings.model, "endpoint": endpoint, **_given(settings)}
            log = SessionLog(settings.log_dir, header=header, secret=settings.api_key, notice=self._notices.notice)
        telemetry = None
        if settings.otel:
            from streaming_chat.observers.telemetry import Telemetry

            telemetry = Telemetry(
                base_url=None if provider.is_local else settings.base_url,
                content=settings.otel_content,
                secret=settings.api_key,
                notice=self._notices.notice,
            )
        history = None
        if not settings.no_history and self._state is not None:
            history = History(self._history_path, self._notices.notice, secret=settings.api_key)
        return Session(
            settings,
            provider,
            name=name,
            output=self._output,
            notices=self._notices,
            history=history,
            log=log,
            transcript=self._transcript(endpoint, name),
            telemetry=telemetry,
            adaptations=self._adaptations(endpoint),
            in_chat=in_chat,
            earlier=earlier,
        )

    def _transcript(self, endpoint: str, session: str) -> SessionTranscript | None:
        """The transcript of a session, which is written when it ends; None where none is wanted."""
        settings = self._settings
        if settings.export_dir is None:
            return None
        from streaming_chat.observers.session_transcript import SessionTranscript

        return SessionTranscript(
            settings.export_dir,
            settings.export_format,
            endpoint=endpoint,
            session=session,
            secret=settings.api_key,
            notice=self._notices.notice,
            advice=self._notices.advice,
        )

    def _earlier(self) -> StoredTurn | None:
        """The turn of the history to go on behind; None when nothing was said of one."""
        from contextlib import closing

        from streaming_chat.history import History

        settings = self._settings
        if settings.resume is None and not settings.continue_last:
            return None
        self._require_safe_state()
        with closing(History(self._history_path, self._notices.notice)) as history:
            number = settings.resume
            turn = history.latest() if number is None else history.turn(number)
        if turn is None:
            what = "no conversation" if number is None else f"no turn {number}"
            raise UsageError(f"there is {what} in the history to go on with", f"`{PROGRAM} history` lists the turns")
        return turn

    def _connect(self, *, in_chat: bool) -> tuple[Provider, Settings]:
        """The provider, and the settings with the model that it serves."""
        settings = self._settings
        local = settings.local or settings.local_model is not None
        if settings.dotenv is not None:
            self._tell_of_dotenv(settings, settings.dotenv, local=local, in_chat=in_chat)
        if not local:
            if settings.api_key or urlsplit(settings.base_url).hostname != _OPENAI_HOST:
                return self._openai(), self._for_address(settings)
            self._allow_embedded_model()
            settings = settings.changed("local", True, "no key is set")
        for name, flag in (("model", "--model"), ("base_url", "--base-url")):
            if local and settings.origin(name) == flag:
                self._notices.notice(f"{flag} {getattr(settings, name)} is not used: the embedded model answers")
        from streaming_chat.providers.local.provider import LocalProvider
        from streaming_chat.providers.sdk_import import import_sdk

        provider = LocalProvider(
            model_file=settings.local_model,
            threads=settings.local_threads,
            timeout=settings.timeout,
            state_folder=self._state,
            load_sdk=import_sdk,
        )
        provider.start()
        return provider, settings.changed("model", provider.model, "the embedded model")

    def _for_address(self, settings: Settings) -> Settings:
        """`settings` without the fields in config.toml where a `.env` that is not trusted says where they go.

        They are meant for the user's own endpoint, and can hold names and secrets.
        """
        if settings.is_base_url_trusted or not settings.param or settings.origin("param").startswith("--"):
            return settings
        self._notices.warning("param in config.toml is not sent to an endpoint from a .env that is not trusted")
        return settings.changed("param", {}, settings.origin("param"))

    def _openai(self) -> Provider:
        from streaming_chat.providers.openai_sdk import OpenAISDK
        from streaming_chat.providers.sdk_import import import_sdk

        settings = self._settings
        provider = OpenAISDK(
            settings.base_url,
            settings.api_key,
            settings.timeout,
            key_variable=settings.api_key_env,
            ca=None if settings.ca is None else str(settings.ca),
            is_users_address=settings.is_base_url_trusted,
            load_sdk=import_sdk,
        )
        if settings.api_key and provider.address.is_exposed and not settings.insecure_http:
            raise UsageError(
                f"the key would travel to {provider.address.host} over http://, where others can read it",
                kind=Kind.KEY_EXPOSED,
            )
        return provider

    def _tell_of_dotenv(self, settings: Settings, dotenv: Dotenv, *, local: bool, in_chat: bool) -> None:
        """Say what a `.env` decides and what in it is ignored. CredentialsError where the user's key would go astray."""
        from streaming_chat.config.dotenv_lines import endpoint_line, ignored_line, withheld_error

        # Also where the user wants quiet: the request is not the one that the file, or the user, asks for.
        if line := ignored_line(dotenv):
            self._notices.warning(line)
        if local:
            return
        if settings.withheld_key is not None:
            raise withheld_error(settings, dotenv)
        if (line := endpoint_line(settings)) and not settings.is_base_url_trusted:
            self._notices.warning(line)
        elif line and not in_chat:  # There, the header says it.
            self._notices.notice(line)

    def _allow_embedded_model(self) -> None:
        """Without a key: say that the embedded model answers, or CredentialsError where it must not or cannot."""
        from streaming_chat.providers.local.weights import embedded_model_installed

        variable = self._settings.api_key_env
        if self._settings.is_set("model") or self._settings.is_set("base_url"):
            raise CredentialsError(
                f"no key: {variable} is not set",
                f"export {variable}=sk-…, or write it into .env; --base-url for another endpoint; --local needs no key",
            )
        if not embedded_model_installed():
            raise CredentialsError(
                f"no key: {variable} is not set, and the embedded model is not installed",
                f"export {variable}=sk-…, or write it into .env; or ask another endpoint with --base-url",
            )
        self._notices.notice(
            f"{variable} is not set: a small embedded model answers on this machine. For OpenAI: export {variable}=sk-…"
        )

    def _adaptations(self, endpoint: str) -> Adaptations:
        state = None if self._settings.no_history else self._state
        return Adaptations(state and state / "adaptations.json", endpoint)

    @property
    def _color(self) -> bool:
        return color_wanted(os.environ, no_color=self._settings.no_color)

    @cached_property
    def _state(self) -> Path | None:
        """The state folder; None where there is none, or where others may put something into it, which is told once."""
        folder = state_folder()
        if folder is None:
            if not self._settings.no_history:
                self._notices.notice(f"no history is kept: there is no home folder ({NO_HOME})")
            return None
        if found := unsafe_place(folder):
            self._notices.notice(f"the state folder is not used, and no history is kept: {_unsafe(folder, *found)}")
            return None
        return folder

    def _require_safe_state(self) -> None:
        """UsageError where the history may be another one's."""
        folder = state_folder()
        if folder is not None and (found := unsafe_place(folder)):
            raise UsageError(
                f"the history is not read: {_unsafe(folder, *found)}",
                f"chmod go-w {found[0]}, if it is yours; or XDG_STATE_HOME names another folder",
            )

    @property
    def _history_path(self) -> Path:
        folder = state_folder()
        if folder is None:
            raise UsageError("there is no history: there is no home folder to keep it in", NO_HOME)
        return folder / HISTORY_FILE_NAME

    def _files(self, log: Path | None) -> dict[str, Path | None]:
        return {
            "config file": self._config_file,
            ".env": self._settings.dotenv_file,
            "history": None if self._settings.no_history or self._state is None else self._history_path,
            "log": log,
        }


def _given(settings: Settings) -> dict[str, Any]:
    """The settings that the user gave and that shape requests, for the header of a log."""
    return {
        name: getattr(settings, name)
        for name in ("temperature", "top_p", "max_tokens", "system", "param", "stateful")
        if getattr(settings, name) != getattr(Settings(), name)
    }


def _joined(words: Sequence[str]) -> str:
    """The words of a prompt as one text."""
    return " ".join(word for word in words if word).strip()


def _keys_of(environment: Mapping[str, str], *more: str) -> list[str | None]:
    """The user's own keys, which are in no message, wherever they were put by mistake."""
    return [environment.get(variable, "").strip() for variable in ("OPENAI_API_KEY", *more)]


def _notices(*, no_color: bool, quiet: bool, keys: Iterable[str | None], in_chat: bool = False) -> Notices:
    return Notices(
        Output.of("stderr", color=color_wanted(os.environ, no_color=no_color or bool(os.environ.get("NO_COLOR")))),
        quiet=quiet,
        keys=keys,
        advice=Hints(in_chat=in_chat),
    )


def _unsafe(folder: Path, place: Path, reason: str) -> str:
    return f"{folder}: {reason}" if place == folder else f"{folder} lies in {place}: {reason}"


def _working_folder() -> Path:
    """The working folder; the root where it has been deleted, which holds no `.env` either."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path("/")


def _text(argument: str) -> str:
    """`argument` with U+FFFD for what is not UTF-8: such bytes can stand in a path, and in no request."""
    return argument.encode(errors="surrogateescape").decode(errors="replace")


def _first_word(argv: list[str]) -> int | None:
    """The position of the first argument that is neither a flag nor a flag's value; None behind `--`."""
    with_value = {flag for option in OPTIONS.values() if not option.is_switch for flag in option.flags}
    skip = False
    for position, argument in enumerate(argv):
        if skip:
            skip = False
        elif argument == "--":
            return None
        elif argument.startswith("-") and argument != "-":
            # Short flags may stand together, with the value of the last one behind them: `-qm gpt-4o`.
            last = argument if argument.startswith("--") else f"-{argument[-1]}"
            skip = last in with_value
        else:
            return position
    return None


def _help(name: str) -> str:
    option = OPTIONS[name]
    default = getattr(Settings(), name)
    notes = []
    if default not in (None, False, {}):
        notes.append(f"default: {shown(default)}")
    if option.environment:
        notes.append(f"environment: {option.environment}")
    text = f"{option.help} ({'; '.join(notes)})" if notes else option.help
    return text.replace("%", "%%")
