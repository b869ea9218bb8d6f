"""Where `openai` is used, and nowhere else.

The SDK keeps what it is good at: endpoint, authentication, proxies, the HTTP of it. Its own stream decoder is not
used, because it hides `[DONE]` and loses text; the bytes go to chunk_stream.py. Its retries and redirects are
switched off: the first happen in the open (engine/loop.py), the second would carry key and prompt to another place.

Requests go by `client.post`, the SDK's way to any endpoint, and not by `client.chat.completions`: that imports the classes
of all endpoints, a quarter of the time until the first request, and builds the same request. Connections: network.py.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from streaming_chat.core.conversation import ChatRequest
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import ServerError
from streaming_chat.core.json_text import from_json, has_too_many_values
from streaming_chat.core.limits import LONGEST_EVENT, TOO_LONG, TOO_MANY_VALUES
from streaming_chat.engine.protocols import Provider
from streaming_chat.providers.body import ACCEPTED, response_hook
from streaming_chat.providers.chunk_stream import ChunkStream
from streaming_chat.providers.endpoint import Endpoint
from streaming_chat.providers.failures import too_much, translate, translate_construction
from streaming_chat.providers.network import KEPT_FOR, Connector, KeptConnections, ProxiedConnector
from streaming_chat.providers.sdk_import import import_openai
from streaming_chat.text.lines import cut

if TYPE_CHECKING:
    import openai

#: A connection that is not there after this many seconds will not come.
_CONNECT_TIMEOUT = 10.0
#: Seconds that nobody is faster than between the first key of a message and the last.
_A_MOMENT = 0.1
#: Sent where an endpoint needs no key: the SDK insists on one.
NO_KEY = "no-key"
#: Asks the SDK for the response itself, unread: what its `with_streaming_response` sends, too.
_UNREAD = {"X-Stainless-Raw-Response": "stream"}


class OpenAISDK(Provider):
    """An endpoint that speaks the Chat Completions API."""

    def __init__(  # noqa: PLR0913 # an endpoint and how it is reached, each by its name
        self,
        base_url: str,
        api_key: str | None,
        timeout: float,
        *,
        key_variable: str = "OPENAI_API_KEY",
        ca: str | None = None,
        is_users_address: bool = True,
        load_sdk: Callable[[], Any] = import_openai,
    ) -> None:
        """`is_users_address`: whether the user has chosen the address, or a file that the user has not trusted.

        `load_sdk` imports the SDK: as usual, or as sdk_import.py does for a program that has no other use for it.
        """
        self.endpoint = base_url
        self.address = Endpoint(base_url, api_key or "", key_variable, timeout)
        self._load_sdk = load_sdk
        self._is_users_address = is_users_address
        self._lock = threading.Lock()
        self._made: openai.OpenAI | None = None
        self._connect_timeout = min(_CONNECT_TIMEOUT, timeout)
        self._connector = Connector(*self.address.address, tls=self.address.is_https, ca=ca, timeout=self._connect_timeout)
        self._kept: KeptConnections | None = None

    @property
    def secret(self) -> str:
        """The key, where there is a real one."""
        return self.address.secret

    def preload(self) -> None:
        """Do what needs no request yet, which is most of the time until the first one. May run in any thread."""
        self._client()

    def get_ready(self) -> None:
        """Have a connection open, for a request that is likely to come. Returns at once."""
        threading.Thread(target=self._get_ready, daemon=True).start()

    def _get_ready(self) -> None:
        # The end of the last answer may still be on its way, and with it that of its connection.
        time.sleep(_A_MOMENT)
        if self._kept is not None and not self._kept.is_warm:
            self._connector.open_ahead()

    def close(self) -> None:
        """Close the connections."""
        if self._made is not None:
            self._made.close()
            self._made = self._kept = None
        self._connector.close()

    @contextmanager
    def stream(self, request: ChatRequest) -> Iterator[ChunkStream]:
        """Send `request`; the chunks of its answer. ChatError for every failure."""
        client = self._client()
        fields: dict[str, Any] = {
            "messages": [{"role": one.role, "content": one.content} for one in request.messages],
            "model": request.model,
            "max_tokens": request.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True} if request.include_usage else None,
            "temperature": request.temperature,
            "top_p": request.top_p,
        }
        body = {name: value for name, value in fields.items() if value is not None} | dict(request.extra)
        try:
            response = _post(client, body, self._load_sdk().Stream)
        except Exception as failure:  # noqa: BLE001 # every failure is translated
            raise translate(failure, self.address) from None
        chunks = ChunkStream(response, self.address)
        try:
            yield chunks
        finally:
            chunks.close()

    def models(self) -> list[str]:
        """The names of the endpoint's models. ChatError for every failure."""
        client = self._client()
        try:
            response: Any = client.get(
                "/models", cast_to=object, options={"headers": _UNREAD}, stream=True, stream_cls=self._load_sdk().Stream
            )
            body = self._read(response)
        except Exception as failure:  # noqa: BLE001 # every failure is translated
            raise translate(failure, self.address) from None
        try:
            entries = from_json(body)["data"]
            return sorted(cut(self.address.without_secret(str(entry["id"]))) for entry in entries)
        except (ValueError, LookupError, TypeError, RecursionError):
            raise ServerError(
                f"{self.address.host} sent no list of models",
                kind=Kind.NO_MODEL_LIST,
            ) from None

    def _read(self, response: Any) -> str:
        """The text of a body that comes in one piece; TooMuchSent when it is too long."""
        body = bytearray()
        try:
            for piece in response.iter_bytes():
                body += piece
                if len(body) > LONGEST_EVENT:
                    raise too_much(self.address, f"a list {TOO_LONG}", began=False)
        finally:
            response.close()
        text = body.decode("utf-8-sig", errors="replace")
        if has_too_many_values(text):
            raise too_much(self.address, f"a list {TOO_MANY_VALUES}", began=False)
        return text

    def _client(self) -> openai.OpenAI:
        with self._lock:
            if self._made is None:
                try:
                    self._made = self._make()
                except Exception as failure:  # noqa: BLE001 # every failure is translated
                    raise translate_construction(failure, self.address) from None
            return self._made

    def _make(self) -> openai.OpenAI:
        proxy = self.address.proxy
        if proxy is None:
            # Beside the import, which takes longer as a rule.
            threading.Thread(target=self._connector.open_ahead, daemon=True).start()
        sdk = self._load_sdk()
        http = sys.modules[sdk.DefaultHttpxClient.__base__.__module__.partition(".")[0]]
        timeout = http.Timeout(self.address.timeout, connect=self._connect_timeout)
        core = import_module(http.__name__.replace("httpx", "httpcore"))
        if proxy is None:
            self._kept = KeptConnections(http, core, self._connector)
            way = {"transport": self._kept, "trust_env": False}
        else:
            limits = http.Limits(keepalive_expiry=KEPT_FOR)
            way = {"verify": self._connector.context(), "limits": limits}
        hooks = {"response": [response_hook(http)]}
        http_client = sdk.DefaultHttpxClient(follow_redirects=False, timeout=timeout, event_hooks=hooks, **way)
        if proxy is not None:
            _bound_proxies(http_client, core)
        # SDK 3 takes headers from OPENAI_CUSTOM_HEADERS. Another key among them would go to this endpoint, unmasked.
        headers = {"Authorization": f"Bearer {self.address.api_key or NO_KEY}", "Accept-Encoding": ACCEPTED}
        client: openai.OpenAI = sdk.OpenAI(
            api_key=self.address.api_key or NO_KEY,
            default_headers=headers,
            base_url=self.address.base_url,
            timeout=timeout,
            max_retries=0,
            http_client=http_client,
        )
        if not (self.address.is_openai and self._is_users_address):
            # From OPENAI_ORG_ID and OPENAI_PROJECT_ID. They name the user's account at OpenAI, and are for OpenAI only.
            client.organization = client.project = None
        if not self._is_users_address:
            # All that OPENAI_CUSTOM_HEADERS has added. The SDK has no parameter for leaving it out.
            client._custom_headers = headers  # noqa: SLF001
        _rehearse(sdk, client)
        return client


def _bound_proxies(client: Any, core: Any) -> None:
    """Let the connections to proxies, which the library takes from the environment, keep to the bounds of the others."""
    backend = ProxiedConnector(core)
    for transport in client._mounts.values():  # noqa: SLF001 # neither the client nor the transport has a parameter for it
        if transport is not None:
            transport._pool._network_backend = backend  # noqa: SLF001


def _post(client: openai.OpenAI, body: dict[str, Any], stream_class: Any) -> Any:
    """Send a request; the response with its body unread."""
    return client.post(
        "/chat/completions",
        cast_to=object,
        body=body,
        options={"headers": _UNREAD},
        stream=True,
        stream_cls=stream_class,
    )


class _Nowhere:
    """An HTTP transport that takes a request and sends nothing."""

    def handle_request(self, _request: object) -> NoReturn:
        raise ConnectionAbortedError

    def close(self) -> None:
        """Nothing is open."""


def _rehearse(sdk: Any, client: openai.OpenAI) -> None:
    """Make a request that is not sent.

    The SDK asks the platform for its name and makes its templates of a request when it first needs them: time of the first
    answer's latency which is not the server's.
    """
    nowhere = sdk.DefaultHttpxClient(transport=_Nowhere(), trust_env=False)
    # SDK 2 wraps whatever a transport raises, SDK 3 only what its HTTP library does.
    with suppress(sdk.APIConnectionError, ConnectionAbortedError):
        _post(client.with_options(http_client=nowhere), {"model": "", "messages": [], "stream": True}, sdk.Stream)
