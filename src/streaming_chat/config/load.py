"""Values of the options from all their sources, laid over one another.

A value comes from the first of these that has one: flag, environment, `.env` (the nearest one upward from the working
folder, as far as trust.py lets it count), `config.toml`, built-in. An empty environment variable counts as absent. Where a
value came from is kept, for `config` and for the message about one that is invalid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from streaming_chat.config.dotenv import DotenvFile, nearest_dotenv
from streaming_chat.config.options import FIELDS, OPTIONS, Settings, parse
from streaming_chat.config.price_list import read_prices
from streaming_chat.config.spelling import nearest
from streaming_chat.config.toml import read_toml
from streaming_chat.config.trust import Dotenv, Trust
from streaming_chat.config.values import file_path
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import CredentialsError, UsageError
from streaming_chat.core.prices import NO_PRICES

CONFIG_FILE_NAME = "config.toml"
#: Characters. Tokens with claims inside (JWT) have some thousand.
_LONGEST_KEY = 8192
#: Characters of a value in a `.env` that is not trusted.
_LONGEST_UNTRUSTED = 500
#: Setting → its value while `private` is on, whatever else was said: what would keep something of the session is off.
_UNDER_PRIVATE: Mapping[str, Any] = {"no_history": True, "log_dir": None, "export_dir": None, "otel_content": False}


def load(  # noqa: PLR0913 # the sources of the settings, each by its name
    flags: Mapping[str, str],
    environment: Mapping[str, str],
    *,
    folder: Path,
    config_file: Path | None,
    notice: Callable[[str], None],
    trust_of: Callable[[DotenvFile], Trust] = lambda _file: Trust.UNTRUSTED,
) -> Settings:
    """Lay all sources over one another.

    `flags` has the text of each flag that was given, by option name; `.env` is looked for from `folder` upward, and
    `trust_of` says what the user thinks of it. UsageError names the value that cannot be used and where it stands.
    """
    from_config_file = _read_config_file(config_file) if config_file else {}
    file = nearest_dotenv(folder, notice)
    own_base_url = str(from_config_file.get("base_url", (Settings.base_url,))[0])
    dotenv, from_dotenv = _judged(file, trust_of, own_base_url) if file else (None, {})

    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, option in OPTIONS.items():
        variable = option.environment
        found: tuple[Any, str] | None = None
        if name in flags:
            found = flags[name], next(flag for flag in option.flags if flag.startswith("--"))
        elif variable and environment.get(variable, "").strip():
            found = environment[variable], f"{variable} in the environment"
        elif dotenv and variable and from_dotenv.get(variable, "").strip():
            found = from_dotenv[variable], f"{variable} in {dotenv.path}"
        elif name in from_config_file:
            found = from_config_file[name]
        if found is not None:
            given, origins[name] = found
            values[name] = parse(name, given, origins[name]) if isinstance(given, str) else given
            if option.is_read_file and not origins[name].startswith("--"):
                # As in the folder of the file that says so, not in whichever folder the program is started.
                values[name] = _place(name, origins[name], dotenv, config_file) / values[name]

    settings = Settings(**values, origins=origins, dotenv=dotenv)
    settings = _with_key(settings, environment, file.values if file else {})
    return _kept_private(settings, notice) if settings.private else settings


def _place(name: str, origin: str, dotenv: Dotenv | None, config_file: Path | None) -> Path:
    """The folder from which the path in `name` is meant; the working folder for a variable of the environment."""
    if dotenv is not None and origin == f"{OPTIONS[name].environment} in {dotenv.path}":
        return dotenv.path.parent
    return config_file.parent if config_file is not None and origin.startswith(f"{config_file}, ") else Path()


def _judged(
    file: DotenvFile, trust_of: Callable[[DotenvFile], Trust], own_base_url: str
) -> tuple[Dotenv, Mapping[str, str]]:
    """The `.env` as the session knows it, and the variables in it that count. `own_base_url` is in force without it."""
    trust = trust_of(file)
    if trust is Trust.TRUSTED:
        return Dotenv(file, trust), file.values
    counting: dict[str, str] = {}
    ignored: list[str] = []
    for name, option in OPTIONS.items():
        value = file.values.get(option.environment or "", "")
        if not option.environment or not value.strip():
            continue
        # A page of blanks, or a line break, could hide or forge what is told about the file.
        is_plain = len(value) <= _LONGEST_UNTRUSTED and value.strip().isprintable()
        if name == "base_url" and value.strip().rstrip("/") == own_base_url.rstrip("/"):
            continue  # One that is in force anyway decides nothing, and stays the user's.
        if is_plain and (name == "base_url" or option.in_untrusted_dotenv):
            counting[option.environment] = value
        else:
            ignored.append(option.environment)
    return Dotenv(file, trust, tuple(ignored)), counting


def _kept_private(settings: Settings, notice: Callable[[str], None]) -> Settings:
    """`settings` with all that would keep something switched off. UsageError where one command line asks for both."""
    origin = settings.origin("private")
    for name, value in _UNDER_PRIVATE.items():
        given = getattr(settings, name)
        if given == value:
            continue
        if settings.is_set(name):
            asked = settings.origin(name)
            if asked.startswith("--") and origin.startswith("--"):
                raise UsageError(f"{asked} and {origin} exclude each other", kind=Kind.SETTINGS_CONFLICT, private=origin)
            notice(f"{name} (from {asked}) is not heeded: the session is private (from {origin})")
        settings = replace(settings, **{name: value}, origins={**settings.origins, name: f"private, from {origin}"})
    return settings


def _with_key(settings: Settings, environment: Mapping[str, str], in_dotenv: Mapping[str, str]) -> Settings:
    """`settings` with the key that may go to their base URL. `in_dotenv` has all variables of the `.env`.

    A key and a base URL of one `.env` belong together. Where an untrusted one has no key, the user's own is withheld; so is
    a key in it that the user has trusted to be sent to another address.
    """
    variable = settings.api_key_env
    sources = [(environment, f"{variable} in the environment"), (in_dotenv, f"{variable} in {settings.dotenv_file}")]
    if settings.is_base_url_from_dotenv:
        sources.reverse()
    for source, origin in sources:
        key = source.get(variable, "").strip()
        if not key:
            continue
        is_own = source is environment or (settings.dotenv is not None and settings.dotenv.trust is Trust.REDIRECTED)
        if is_own and not settings.is_base_url_trusted:
            return replace(settings, withheld_key=origin)
        if not (key.isascii() and key.isprintable() and " " not in key and len(key) <= _LONGEST_KEY):
            # Such a key cannot stand in a header; what the SDK says of it ("Connection error.") explains nothing. And a
            # sentence would be masked wherever an answer has it.
            raise CredentialsError(
                f"the key is damaged: it is too long, or has a character that no key has (from {origin})",
                kind=Kind.KEY_DAMAGED,
                key_variable=variable,
            )
        return replace(settings, api_key=key, origins={**settings.origins, "api_key": origin})
    return settings


def _read_config_file(path: Path) -> dict[str, tuple[Any, str]]:
    """Option name → text, or `Prices`, and origin."""
    table, where = read_toml(path)
    found: dict[str, tuple[Any, str]] = {}
    for name, value in table.items():
        origin = where(name)
        if name not in OPTIONS or not OPTIONS[name].in_config_file:
            allowed = [option for option in OPTIONS if OPTIONS[option].in_config_file]
            raise UsageError(
                f"unknown setting {name!r} (in {origin})",
                kind=Kind.UNKNOWN_SETTING,
                nearest=nearest(name, allowed),
                allowed=allowed,
            )
        if name == "prices":
            prices = read_prices(value, str(table.get("currency", NO_PRICES.currency)), partial(where, name))
            found[name] = prices, origin
        else:
            found[name] = _text_of(name, value, origin), origin
    return found


def _text_of(name: str, value: Any, origin: str) -> str:
    """A TOML value in the form in which a flag would give it, so that one parser judges both."""
    if isinstance(value, bool) and OPTIONS[name].is_switch:
        return "1" if value else ""
    if isinstance(value, dict) and OPTIONS[name].is_repeated:
        import json

        try:
            return "\0".join(f"{key}={json.dumps(one, allow_nan=False)}" for key, one in value.items())
        except (TypeError, ValueError):
            problem = f"{name} has a value that JSON does not have (in {origin})"
            raise UsageError(problem, kind=Kind.NOT_JSON) from None
    if isinstance(value, list) and isinstance(FIELDS[name].default, tuple):
        return ",".join(map(str, value))
    is_path = OPTIONS[name].parse is file_path  # A number there is a slip, and would be the name of a folder.
    if isinstance(value, (str, int, float)) and not isinstance(value, bool) and (isinstance(value, str) or not is_path):
        return str(value)
    raise UsageError(
        f"{name} has a value of the wrong type (in {origin})",
        kind=Kind.INVALID_SETTING,
        setting=name,
        meaning=OPTIONS[name].help,
    )
