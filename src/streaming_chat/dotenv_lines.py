"""What the user is told about the `.env` of a session: what in it is ignored, and where it sends requests."""

from __future__ import annotations

import shlex

from streaming_chat.core.errors import CredentialsError
from streaming_chat.settings import Settings
from streaming_chat.trust import Dotenv


def how_to_trust(dotenv: Dotenv) -> str:
    """The command that trusts the file."""
    return f"streaming-chat config trust {shlex.quote(str(dotenv.path))}"


def ignored_line(dotenv: Dotenv) -> str | None:
    """A line that names the variables that do not count; None where all do."""
    if not dotenv.ignored:
        return None
    names = ", ".join(dotenv.ignored)
    return f"ignored in {dotenv.path}, which is {dotenv.trust.value}: {names}; to use them: {how_to_trust(dotenv)}"


def endpoint_line(settings: Settings) -> str | None:
    """A line that says that a `.env` decides where requests go; None where the user does."""
    dotenv = settings.dotenv
    if dotenv is None or not settings.is_base_url_from_dotenv:
        return None
    source = f"the endpoint {settings.base_url} comes from {settings.origin('base_url')}"
    if dotenv.is_trusted:
        return source
    key = f"the key in it ({settings.api_key_env}) is sent" if settings.api_key else "no key is sent"
    return f"{source}, which is {dotenv.trust.value}: {key}"


def withheld_error(settings: Settings, dotenv: Dotenv) -> CredentialsError:
    """The error where the user's own key would go to an address that the user has not chosen."""
    return CredentialsError(
        f"{settings.withheld_key} is not sent to {settings.base_url}: that address comes from "
        f"{settings.origin('base_url')}, which is {dotenv.trust.value}",
        f"if you trust the file: {how_to_trust(dotenv)}; to ask another address: --base-url URL",
    )
