"""The only importer of `openai`.

The SDK keeps what it is good at: endpoint, authentication, proxies, TLS, the connection pool. Its own stream decoder is not
used, because it hides `[DONE]` and loses text; the bytes go to chunk_stream.py. Its retries and redirects are
switched off: the first happen in the open (turn.py), the second would carry key and prompt to another place.
"""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from streaming_chat.core.conversation import ChatRequest
from streaming_chat.core.errors import ServerError
from streaming_chat.providers.chunk_stream import ChunkStream
from streaming_chat.providers.endpoint import Endpoint
from streaming_chat.providers.failures import translate, translate_construction

if TYPE_CHECKING:
    import openai

#: A connection that is not there after this many seconds will not come.
_CONNECT_TIMEOUT = 10.0
#: Sent where an endpoint needs no key: the SDK insists on one.
NO_KEY = "no-key"


class OpenAISDK:
    """An endpoint that speaks the Chat Completions API."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        timeout: float,
        *,
        key_variable: str = "OPENAI_API_KEY",
    ) -> None:
        self.endpoint = Endpoint(base_url, api_key or "", key_variable, timeout)
        self._lock = threading.Lock()
        self._made: openai.OpenAI | None = None

    @property
    def secret(self) -> str:
        """The key, where there is a real one."""
        return self.endpoint.secret

    def preload(self) -> None:
        """Do what needs no request yet, which is most of the time until the first one. May run in any thread."""
        self._client()

    def close(self) -> None:
        """Close the connections."""
        if self._made is not None:
            self._made.close()
            self._made = None

    @contextmanager
    def stream(self, request: ChatRequest) -> Iterator[ChunkStream]:
        """Send `request`; the chunks of its answer. ChatError for every failure."""
        client = self._client()
        fields: dict[str, Any] = {
            "model": request.model,
            "messages": [{"role": one.role, "content": one.content} for one in request.messages],
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_tokens,
            "extra_body": dict(request.extra) or None,
        }
        given = {name: value for name, value in fields.items() if value is not None}
        sending = client.chat.completions.with_streaming_response.create(stream=True, **given)
        try:
            response = sending.__enter__()
        except Exception as failure:  # noqa: BLE001 # every failure is translated
            raise translate(failure, self.endpoint) from None
        try:
            yield ChunkStream(response, self.endpoint)
        finally:
            sending.__exit__(None, None, None)

    def models(self) -> list[str]:
        """The names of the endpoint's models. ChatError for every failure."""
        client = self._client()
        try:
            body = client.models.with_raw_response.list().content
        except Exception as failure:  # noqa: BLE001 # every failure is translated
            raise translate(failure, self.endpoint) from None
        try:
            entries = json.loads(body)["data"]
            return sorted(self.endpoint.without_secret(str(entry["id"])) for entry in entries)
        except (ValueError, LookupError, TypeError, RecursionError):
            raise ServerError(
                f"{self.endpoint.host} sent no list of models",
                "the endpoint may not have one; name a model with --model",
            ) from None

    def _client(self) -> openai.OpenAI:
        with self._lock:
            if self._made is None:
                try:
                    self._made = self._make()
                except Exception as failure:  # noqa: BLE001 # every failure is translated
                    raise translate_construction(failure, self.endpoint) from None
            return self._made

    def _make(self) -> openai.OpenAI:
        sdk = import_sdk()
        timeout = sdk.Timeout(self.endpoint.timeout, connect=min(_CONNECT_TIMEOUT, self.endpoint.timeout))
        client: openai.OpenAI = sdk.OpenAI(
            api_key=self.endpoint.api_key or NO_KEY,
            base_url=self.endpoint.base_url,
            timeout=timeout,
            max_retries=0,
            http_client=sdk.DefaultHttpxClient(
                follow_redirects=False,
                timeout=timeout,
                # A proxy in the environment is for other machines: it would get to see what is meant for this one.
                trust_env=not self.endpoint.is_plain_loopback,
            ),
        )
        _rehearse(sdk, client)
        return client


class _Nowhere:
    """An HTTP transport that takes a request and sends nothing."""

    def handle_request(self, _request: object) -> NoReturn:
        raise ConnectionAbortedError

    def close(self) -> None:
        """Nothing is open."""


def _rehearse(sdk: Any, client: openai.OpenAI) -> None:
    """Make a request that is not sent.

    The SDK imports its resources, asks the platform for its name and works out the types of a request when it first needs
    them. That is 4 ms of the first answer's latency which are not the server's.
    """
    nowhere = sdk.DefaultHttpxClient(transport=_Nowhere(), trust_env=False)
    rehearsal = client.with_options(http_client=nowhere).chat.completions.with_streaming_response
    with (
        # SDK 2 wraps whatever a transport raises, SDK 3 only what its HTTP library does.
        suppress(sdk.APIConnectionError, ConnectionAbortedError),
        rehearsal.create(model="", messages=[{"role": "user", "content": ""}], stream=True),
    ):
        pass


def import_sdk() -> Any:
    """The SDK. The first call takes about half a second."""
    # The collector looks at every object made so far, again and again, while a thousand classes are being defined: a
    # fifth of the import (0.1 of 0.5 s on SDK 2.9.0). None of them is garbage.
    enabled = gc.isenabled()
    gc.disable()
    try:
        import openai
    finally:
        if enabled:
            gc.enable()
    return openai
