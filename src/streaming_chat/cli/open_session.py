"""Settings and a provider → a session, with the observers that the settings ask for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from streaming_chat.cli import PROGRAM
from streaming_chat.cli.connect import connect
from streaming_chat.cli.context import Context
from streaming_chat.config.options import Settings
from streaming_chat.core.errors import UsageError

if TYPE_CHECKING:
    from streaming_chat.history import StoredTurn
    from streaming_chat.observers.session_transcript import SessionTranscript
    from streaming_chat.session.session import Session


def open_session(context: Context, *, in_chat: bool) -> Session:
    """Connect, and open a session with what the settings keep of it. ChatError where that fails."""
    from streaming_chat.history import History, kept_endpoint
    from streaming_chat.observers.session_log import SessionLog
    from streaming_chat.session.session import Records, Session

    provider, settings = connect(context, in_chat=in_chat)
    endpoint = provider.endpoint
    earlier = _earlier(context)
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
        log = SessionLog(settings.log_dir, header=header, secret=settings.api_key, notice=context.notices.notice)
    telemetry = None
    if settings.otel:
        from streaming_chat.observers.telemetry import Telemetry

        telemetry = Telemetry(
            base_url=None if provider.is_local else settings.base_url,
            content=settings.otel_content,
            secret=settings.api_key,
            notice=context.notices.notice,
        )
    history = None
    if context.kept_state is not None:
        history = History(context.history_path, context.notices.notice, secret=settings.api_key)
    return Session(
        settings,
        provider,
        name=name,
        output=context.output,
        notices=context.notices,
        records=Records(context.adaptations(endpoint), history, log, _transcript(context, endpoint, name), telemetry),
        in_chat=in_chat,
        earlier=earlier,
    )


def _transcript(context: Context, endpoint: str, session: str) -> SessionTranscript | None:
    """The transcript of a session, which is written when it ends; None where none is wanted."""
    settings = context.settings
    if settings.export_dir is None:
        return None
    from streaming_chat.observers.session_transcript import SessionTranscript

    return SessionTranscript(
        settings.export_dir,
        settings.export_format,
        endpoint=endpoint,
        session=session,
        secret=settings.api_key,
        notice=context.notices.notice,
        advice=context.notices.advice,
    )


def _earlier(context: Context) -> StoredTurn | None:
    """The turn of the history to go on behind; None when nothing was said of one."""
    from contextlib import closing

    from streaming_chat.history import History

    settings = context.settings
    if settings.resume is None and not settings.continue_last:
        return None
    context.require_safe_state()
    with closing(History(context.history_path, context.notices.notice)) as history:
        number = settings.resume
        turn = history.latest() if number is None else history.turn(number)
    if turn is None:
        what = "no conversation" if number is None else f"no turn {number}"
        raise UsageError(f"there is {what} in the history to go on with", f"`{PROGRAM} history` lists the turns")
    return turn


def _given(settings: Settings) -> dict[str, Any]:
    """The settings that the user gave and that shape requests, for the header of a log."""
    return {
        name: getattr(settings, name)
        for name in ("temperature", "top_p", "max_tokens", "system", "param", "stateful")
        if getattr(settings, name) != getattr(Settings(), name)
    }
