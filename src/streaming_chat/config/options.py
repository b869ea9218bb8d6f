"""Every option of the program, in one table: `Settings`, whose fields carry flag, environment variable, parser and help.

config/load.py fills them in, and keeps where each value came from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from streaming_chat.config.trust import BASE_URL_VARIABLE, Dotenv
from streaming_chat.config.values import (
    count,
    currency_sign,
    environment_variable,
    file_path,
    fraction,
    http_url,
    number_between,
    on_or_off,
    one_of,
    one_or_more,
    parameters,
    present,
    seconds,
    some_of,
    thread_count,
    unparsed,
    words,
)
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import UsageError
from streaming_chat.core.prices import NO_PRICES, Prices

BUILT_IN = "built-in"


#: Group of options → its title in help.
GROUPS: Mapping[str, str] = {
    "ask": "What is asked",
    "answer": "The answer",
    "endpoint": "Where it is asked",
    "record": "What is kept",
    "display": "How it is shown",
}


@dataclass(frozen=True)
class Option:
    """How one setting is given. `parse` turns text into the value, or raises ValueError with "must be …".

    One without flags is given in `config.toml` alone.
    """

    parse: Callable[[str], Any]
    help: str
    flags: tuple[str, ...] = ()
    environment: str | None = None
    metavar: str | None = None
    #: A flag without a value, whose presence means True.
    is_switch: bool = False
    #: A flag that may be given several times.
    is_repeated: bool = False
    #: Whether `/set` changes it in the chat.
    is_settable: bool = False
    #: Whether it may stand in `config.toml`: what shapes one call's output has no place there.
    in_config_file: bool = True
    #: Whether it counts in a `.env` that the user has not trusted. Only what can neither send anything elsewhere nor keep or
    #: hide anything: models, sampling, appearance. `base_url` and the key have rules of their own (`_with_key`).
    in_untrusted_dotenv: bool = False
    #: Whether it names a file that is read and obeyed.
    is_read_file: bool = False
    #: The group in which help lists it, a key of `GROUPS`.
    group: str = "ask"
    #: What the short help says of it, where it lists it: the options that are used every day.
    brief: str | None = None
    #: The values to choose from, where they are few.
    choices: tuple[str, ...] = ()


def _option(default: Any, parse: Callable[[str], Any], help: str, *flags: str, **more: Any) -> Any:  # noqa: A002 # the word that argparse uses
    metadata = {"option": Option(parse, help, flags, **more)}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """The values in force, and in `origins` where each that is not built-in came from."""

    model: str = _option(
        "gpt-4o-mini",
        words,
        "model to ask",
        "-m",
        "--model",
        environment="STREAMING_CHAT_MODEL",
        metavar="NAME",
        is_settable=True,
        in_untrusted_dotenv=True,
        group="ask",
        brief="model to ask",
    )
    temperature: float | None = _option(
        None,
        number_between(0, 2),
        "sampling temperature, 0 to 2",
        "--temperature",
        environment="STREAMING_CHAT_TEMPERATURE",
        metavar="T",
        is_settable=True,
        in_untrusted_dotenv=True,
        group="answer",
        brief="sampling temperature, 0 to 2",
    )
    top_p: float | None = _option(
        None,
        fraction,
        "nucleus sampling: the share of probability to sample from, 0 to 1",
        "--top_p",
        "--top-p",
        environment="STREAMING_CHAT_TOP_P",
        metavar="P",
        is_settable=True,
        in_untrusted_dotenv=True,
        group="answer",
        brief="share of probability to sample from, 0 to 1",
    )
    max_tokens: int | None = _option(
        None,
        one_or_more,
        "most tokens in an answer",
        "--max-tokens",
        environment="STREAMING_CHAT_MAX_TOKENS",
        metavar="N",
        is_settable=True,
        in_untrusted_dotenv=True,
        group="answer",
        brief="maximum tokens in the answer",
    )
    system: str | None = _option(
        None,
        words,
        "system message, sent before every prompt",
        "-s",
        "--system",
        environment="STREAMING_CHAT_SYSTEM",
        metavar="TEXT",
        is_settable=True,
        group="ask",
        brief="system message",
    )
    param: Mapping[str, Any] = _option(
        {},
        parameters,
        "any other field of the request; VALUE is JSON, or else text (may be repeated)",
        "--param",
        metavar="KEY=VALUE",
        is_repeated=True,
        group="ask",
    )
    stateful: bool = _option(
        False,
        on_or_off,
        "send the earlier turns of the chat along",
        "--stateful",
        environment="STREAMING_CHAT_STATEFUL",
        is_switch=True,
        group="ask",
        brief="include earlier turns as context",
    )
    context_tokens: int | None = _option(
        None,
        one_or_more,
        "most tokens of a request and its answer: what is older is left out of a stateful chat",
        "--context-tokens",
        environment="STREAMING_CHAT_CONTEXT_TOKENS",
        metavar="N",
        is_settable=True,
        group="ask",
    )
    continue_last: bool = _option(
        False,
        on_or_off,
        "go on with the last conversation of the history; implies --stateful",
        "-c",
        "--continue",
        is_switch=True,
        in_config_file=False,
        group="ask",
        brief="continue the last conversation",
    )
    resume: int | None = _option(
        None,
        one_or_more,
        "go on with the conversation that ends in turn N of the history; implies --stateful",
        "--resume",
        metavar="N",
        in_config_file=False,
        group="ask",
        brief="continue from turn N of the history",
    )
    base_url: str = _option(
        "https://api.openai.com/v1",
        http_url,
        "endpoint, up to and with /v1",
        "--base-url",
        environment=BASE_URL_VARIABLE,
        metavar="URL",
        group="endpoint",
        brief="endpoint, up to and with /v1",
    )
    no_stdin: bool = _option(
        False,
        on_or_off,
        "leave standard input alone: in a loop that reads a list, for one",
        "-n",
        "--no-stdin",
        is_switch=True,
        in_config_file=False,
        group="ask",
        brief="leave standard input alone",
    )
    insecure_http: bool = _option(
        False,
        on_or_off,
        "send the key over http:// to another network too, where others can read it",
        "--insecure-http",
        is_switch=True,
        in_config_file=False,
        group="endpoint",
    )
    ca: Path | None = _option(
        None,
        file_path,
        "file with the certificate authorities to trust, in place of the usual ones",
        "--ca",
        environment="STREAMING_CHAT_CA",
        is_read_file=True,
        metavar="FILE",
        group="endpoint",
    )
    api_key_env: str = _option(
        "OPENAI_API_KEY",
        environment_variable,
        "environment variable that holds the key (there is no flag for a key: `ps` would show it)",
        "--api-key-env",
        environment="STREAMING_CHAT_API_KEY_ENV",
        metavar="NAME",
        group="endpoint",
        brief="environment variable that holds the key",
    )
    timeout: float = _option(
        600.0,
        seconds,
        "longest silence of the server, in seconds",
        "--timeout",
        environment="STREAMING_CHAT_TIMEOUT",
        metavar="SECONDS",
        group="endpoint",
        brief="read timeout",
    )
    max_time: float | None = _option(
        None,
        seconds,
        "maximum time of a whole turn, in seconds: retries and their waits included",
        "--max-time",
        environment="STREAMING_CHAT_MAX_TIME",
        metavar="SECONDS",
        is_settable=True,
        group="endpoint",
        brief="maximum time of a whole turn",
    )
    retries: int = _option(
        2,
        count,
        "further attempts after a failure that may pass; never after the first text",
        "--retries",
        environment="STREAMING_CHAT_RETRIES",
        metavar="N",
        is_settable=True,
        group="endpoint",
    )
    local: bool = _option(
        False,
        on_or_off,
        "answer with the embedded model, on this machine",
        "--local",
        environment="STREAMING_CHAT_LOCAL",
        is_switch=True,
        group="endpoint",
        brief="answer with the embedded model, on this machine",
    )
    local_model: Path | None = _option(
        None,
        file_path,
        "GGUF file for the embedded model (means --local)",
        "--local-model",
        environment="STREAMING_CHAT_LOCAL_MODEL",
        is_read_file=True,
        metavar="FILE",
        group="endpoint",
    )
    local_threads: int | None = _option(
        None,
        thread_count,
        "threads of the embedded model",
        "--local-threads",
        environment="STREAMING_CHAT_LOCAL_THREADS",
        metavar="N",
        group="endpoint",
    )
    json: bool = _option(
        False,
        on_or_off,
        "print one JSON object a line for each event",
        "--json",
        is_switch=True,
        in_config_file=False,
        group="answer",
        brief="print one JSON object a line for each event",
    )
    raw: bool = _option(
        False,
        on_or_off,
        "show Markdown as it came",
        "--raw",
        environment="STREAMING_CHAT_RAW",
        is_switch=True,
        in_untrusted_dotenv=True,
        group="answer",
        brief="show Markdown as it came",
    )
    theme: str = _option(
        "dark",
        one_of("dark", "light", "plain"),
        "colours of formatted answers: for a dark or a light terminal, or none",
        "--theme",
        environment="STREAMING_CHAT_THEME",
        metavar="dark|light|plain",
        is_settable=True,
        in_untrusted_dotenv=True,
        group="display",
        choices=("dark", "light", "plain"),
    )
    hyperlinks: bool = _option(
        False,
        on_or_off,
        "make links to http, https and mailto clickable (OSC 8), where the terminal can",
        "--hyperlinks",
        environment="STREAMING_CHAT_HYPERLINKS",
        is_switch=True,
        group="display",
    )
    reasoning: str = _option(
        "show",
        one_of("show", "hide"),
        "show or hide what a model thinks before it answers; only ever on a terminal, apart from the answer",
        "--reasoning",
        environment="STREAMING_CHAT_REASONING",
        metavar="show|hide",
        is_settable=True,
        in_untrusted_dotenv=True,
        group="answer",
        brief="show or hide the model's reasoning",
        choices=("show", "hide"),
    )
    quiet: bool = _option(
        False,
        on_or_off,
        "no header, latency line or notice; errors stay",
        "-q",
        "--quiet",
        environment="STREAMING_CHAT_QUIET",
        is_switch=True,
        group="display",
        brief="no header, latency line or notice; errors stay",
    )
    no_color: bool = _option(
        False,
        present,
        "no colour",
        "--no-color",
        environment="NO_COLOR",
        is_switch=True,
        in_untrusted_dotenv=True,
        group="display",
        brief="no colour",
    )
    no_history: bool = _option(
        False,
        on_or_off,
        "keep no record of this session",
        "--no-history",
        environment="STREAMING_CHAT_NO_HISTORY",
        is_switch=True,
        group="record",
        brief="keep no record of this session",
    )
    private: bool = _option(
        False,
        on_or_off,
        "keep nothing of this session: no history, no typed lines, no log",
        "--private",
        environment="STREAMING_CHAT_PRIVATE",
        is_switch=True,
        group="record",
        brief="keep nothing at all of this session",
    )
    log_dir: Path | None = _option(
        None,
        file_path,
        "write a log of the session into this folder",
        "--log-dir",
        environment="STREAMING_CHAT_LOG_DIR",
        metavar="DIR",
        group="record",
    )
    export_dir: Path | None = _option(
        None,
        file_path,
        "write a transcript of the session into this folder when it ends",
        "--export-dir",
        environment="STREAMING_CHAT_EXPORT_DIR",
        metavar="DIR",
        group="record",
        brief="write a transcript of the session into this folder",
    )
    export_format: tuple[str, ...] = _option(
        ("md",),
        some_of("md", "html", "json", "cast", "svg"),
        "formats of that transcript: md, html, json, cast, svg, several with commas, or all",
        "--export-format",
        environment="STREAMING_CHAT_EXPORT_FORMAT",
        metavar="FORMATS",
        group="record",
        choices=("md", "html", "json", "cast", "svg", "all"),
    )
    otel: bool = _option(
        False,
        on_or_off,
        "export a span and measurements of every turn to an OpenTelemetry collector, by the OTEL_* variables",
        "--otel",
        environment="STREAMING_CHAT_OTEL",
        is_switch=True,
        group="record",
    )
    otel_content: bool = _option(
        False,
        on_or_off,
        "with --otel: export prompts and answers too",
        "--otel-content",
        environment="STREAMING_CHAT_OTEL_CONTENT",
        is_switch=True,
        group="record",
    )
    currency: str = _option("$", currency_sign, "sign or name of the currency of the prices", group="display")
    prices: Prices = _option(
        NO_PRICES,
        unparsed,
        'what a million tokens cost: tables [prices."MODEL"] with prompt, completion and cached',
        group="display",
    )
    #: The key itself: not an option, so that it cannot be given where `ps` or a file for others shows it.
    api_key: str | None = field(default=None, repr=False)
    origins: Mapping[str, str] = field(default_factory=dict)
    #: The `.env` that was read.
    dotenv: Dotenv | None = None
    #: Where the key came from that is not sent: the base URL is that of a `.env` which the user has not trusted.
    withheld_key: str | None = None

    @property
    def dotenv_file(self) -> Path | None:
        """The path of the `.env` that was read."""
        return None if self.dotenv is None else self.dotenv.path

    @property
    def is_base_url_from_dotenv(self) -> bool:
        """Whether a `.env` decides where requests go."""
        return self.dotenv is not None and self.origin("base_url") == f"{BASE_URL_VARIABLE} in {self.dotenv.path}"

    @property
    def is_base_url_trusted(self) -> bool:
        """Whether the user has chosen where requests go, be it by trusting a `.env`."""
        return self.dotenv is None or self.dotenv.is_trusted or not self.is_base_url_from_dotenv

    def origin(self, name: str) -> str:
        """Where the value of `name` came from."""
        return self.origins.get(name, BUILT_IN)

    def is_set(self, name: str) -> bool:
        """Whether the user gave a value for `name`."""
        return name in self.origins

    def changed(self, name: str, value: Any, origin: str) -> Settings:
        """These settings with another value for `name`; None for `value` goes back to the built-in one."""
        origins = {**self.origins, name: origin}
        if value is None:
            del origins[name]
            value = FIELDS[name].default
        return replace(self, **{name: value}, origins=origins)


FIELDS: Mapping[str, Field[Any]] = {one.name: one for one in fields(Settings)}
#: Name → option, in the order in which `--help` and `config` show them.
OPTIONS: Mapping[str, Option] = {name: one.metadata["option"] for name, one in FIELDS.items() if "option" in one.metadata}


def parse(name: str, text: str, origin: str) -> Any:
    """The value that `text` stands for, or UsageError with `origin`."""
    try:
        return OPTIONS[name].parse(text)
    except ValueError as problem:
        raise UsageError(
            f"{name} {problem} (from {origin})", kind=Kind.INVALID_SETTING, setting=name, meaning=OPTIONS[name].help
        ) from None
