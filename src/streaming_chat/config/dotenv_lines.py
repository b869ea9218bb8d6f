"""What the user is told about the `.env` of a session: what in it is ignored, and where it sends requests.

The folder's names and addresses are somebody else's text. So what matters comes first, before any of it; a path stands in
quotes where it has more than a path needs, and what is long is cut.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from streaming_chat.config.options import Settings
from streaming_chat.config.trust import BASE_URL_VARIABLE, Dotenv
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import CredentialsError
from streaming_chat.text.sanitize import sanitize

#: Characters of an address, or of a path, that a line shows.
_LONGEST: Final = 160


def how_to_trust(dotenv: Dotenv) -> str:
    """The command that trusts the file; without its path where a line cannot show that as it is."""
    command = f"streaming-chat config trust {shlex.quote(str(dotenv.path))}"
    if len(command) > _LONGEST or " ".join(sanitize(command).split()) != command:
        return "streaming-chat config trust (in this folder)"
    return command


def ignored_line(dotenv: Dotenv) -> str | None:
    """A line that names the variables that do not count; None where all do."""
    if not dotenv.ignored:
        return None
    names = ", ".join(dotenv.ignored)
    return f"ignored in a .env that {dotenv.trust.value}: {names} ({how_to_trust(dotenv)})"


def endpoint_line(settings: Settings) -> str | None:
    """A line that says that a `.env` decides where requests go; None where the user does."""
    dotenv = settings.dotenv
    if dotenv is None or not settings.is_base_url_from_dotenv:
        return None
    source = f"{shown_url(settings.base_url)}, {BASE_URL_VARIABLE} in {_shown_path(dotenv.path)}"
    if dotenv.is_trusted:
        return f"the endpoint comes from a .env that is trusted: {source}"
    key = "the key in it is sent" if settings.api_key else "no key is sent"
    return f"the endpoint comes from a .env that {dotenv.trust.value}, and {key}: {source}"


def origin_line(settings: Settings) -> str | None:
    """The same for the header of a chat, which shows the endpoint itself."""
    dotenv = settings.dotenv
    if dotenv is None or not settings.is_base_url_from_dotenv:
        return None
    return f"the endpoint comes from a .env that {dotenv.trust.value}: {_shown_path(dotenv.path)}"


def withheld_error(settings: Settings, dotenv: Dotenv) -> CredentialsError:
    """The error where the user's own key would go to an address that the user has not chosen."""
    # The key's variable stands in the environment, or in the file itself.
    origin = str(settings.withheld_key).replace(str(dotenv.path), "it")
    return CredentialsError(
        f"{origin} is not sent to an endpoint from a .env that {dotenv.trust.value}: {shown_url(settings.base_url)}, "
        f"{BASE_URL_VARIABLE} in {_shown_path(dotenv.path)}",
        kind=Kind.KEY_WITHHELD,
        trust=how_to_trust(dotenv),
    )


def shown_url(url: str) -> str:
    """An address, whose host comes first, cut to what a line has room for."""
    return url if len(url) <= _LONGEST else url[: _LONGEST - 1] + "…"


def _shown_path(path: Path) -> str:
    text = shlex.quote(sanitize(str(path)))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"
