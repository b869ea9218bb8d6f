"""The settings → a provider: which endpoint is asked, or the embedded model, and what the user is told about that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from streaming_chat.cli.context import Context
from streaming_chat.config.options import Settings
from streaming_chat.config.trust import Dotenv
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import CredentialsError, UsageError

if TYPE_CHECKING:
    from streaming_chat.engine.protocols import Provider

_OPENAI_HOST: Final = "api.openai.com"


def connect(context: Context, *, in_chat: bool) -> tuple[Provider, Settings]:
    """The provider, and the settings with the model that it serves."""
    settings = context.settings
    local = settings.local or settings.local_model is not None
    if settings.dotenv is not None:
        _tell_of_dotenv(context, settings, settings.dotenv, local=local, in_chat=in_chat)
    if not local:
        if settings.api_key or urlsplit(settings.base_url).hostname != _OPENAI_HOST:
            return _openai(context), _for_address(context, settings)
        _allow_embedded_model(context)
        settings = settings.changed("local", True, "no key is set")
    for name, flag in (("model", "--model"), ("base_url", "--base-url")):
        if local and settings.origin(name) == flag:
            context.notices.notice(f"{flag} {getattr(settings, name)} is not used: the embedded model answers")
    from streaming_chat.providers.local.provider import LocalProvider
    from streaming_chat.providers.sdk_import import import_sdk

    provider = LocalProvider(
        model_file=settings.local_model,
        threads=settings.local_threads,
        timeout=settings.timeout,
        state_folder=context.state,
        load_sdk=import_sdk,
    )
    provider.start()
    return provider, settings.changed("model", provider.model, "the embedded model")


def _for_address(context: Context, settings: Settings) -> Settings:
    """`settings` without the fields in config.toml where a `.env` that is not trusted says where they go.

    They are meant for the user's own endpoint, and can hold names and secrets.
    """
    if settings.is_base_url_trusted or not settings.param or settings.origin("param").startswith("--"):
        return settings
    context.notices.warning("param in config.toml is not sent to an endpoint from a .env that is not trusted")
    return settings.changed("param", {}, settings.origin("param"))


def _openai(context: Context) -> Provider:
    from streaming_chat.providers.openai_sdk import OpenAISDK
    from streaming_chat.providers.sdk_import import import_sdk

    settings = context.settings
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


def _tell_of_dotenv(context: Context, settings: Settings, dotenv: Dotenv, *, local: bool, in_chat: bool) -> None:
    """Say what a `.env` decides and what in it is ignored. CredentialsError where the user's key would go astray."""
    from streaming_chat.config.dotenv_lines import endpoint_line, ignored_line, withheld_error

    # Also where the user wants quiet: the request is not the one that the file, or the user, asks for.
    if line := ignored_line(dotenv):
        context.notices.warning(line)
    if local:
        return
    if settings.withheld_key is not None:
        raise withheld_error(settings, dotenv)
    if (line := endpoint_line(settings)) and not settings.is_base_url_trusted:
        context.notices.warning(line)
    elif line and not in_chat:  # There, the header says it.
        context.notices.notice(line)


def _allow_embedded_model(context: Context) -> None:
    """Without a key: say that the embedded model answers, or CredentialsError where it must not or cannot."""
    from streaming_chat.providers.local.weights import embedded_model_installed

    variable = context.settings.api_key_env
    if context.settings.is_set("model") or context.settings.is_set("base_url"):
        raise CredentialsError(
            f"no key: {variable} is not set",
            f"export {variable}=sk-…, or write it into .env; --base-url for another endpoint; --local needs no key",
        )
    if not embedded_model_installed():
        raise CredentialsError(
            f"no key: {variable} is not set, and the embedded model is not installed",
            f"export {variable}=sk-…, or write it into .env; or ask another endpoint with --base-url",
        )
    context.notices.notice(
        f"{variable} is not set: a small embedded model answers on this machine. For OpenAI: export {variable}=sk-…"
    )
