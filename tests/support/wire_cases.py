"""What servers really send, and what this program makes of it: the table behind tests/wire/test_wire.py and docs/wire.md.

Rule: a case says what should be, not what is. Its bytes are what the named server sends, less what has nothing to do with
the matter; `constructed` marks the few that nobody is known to send, but that a rule of the program speaks about.

Most answers are "Hello world", and the odd thing stands between its two words or around them, so that a loss shows.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from server import LAST_FRAME, Close, Hang, Reset, Script, Send, Step, Wait, chunk, frame, head, json_reply, sse
from streaming_chat.core.errors import (
    ChatError,
    ConnectionCut,
    ConnectionFailed,
    CredentialsError,
    NotAStream,
    QuotaError,
    RateLimitError,
    RequestRejected,
    ServerError,
    TimedOut,
)
from streaming_chat.core.events import Outcome, Usage
from streaming_chat.core.turn import ToolCall

#: For `WireCase.finish_reason`: nothing is promised about it.
ANY: Final = object()
#: Longest excerpt of a case's bytes in the table, characters.
LONGEST_EXCERPT = 190


@dataclass(frozen=True)
class WireCase:
    """One thing that a server sends.

    `does` is the sentence for the table. The defaults are the expectations of a whole "Hello world". `reasoning` is compared
    without the white space around it. `error` is the class of the turn's error and `says` a pattern in its two lines.
    """

    name: str
    source: str
    does: str
    script: Script
    group: str = ""
    outcome: Outcome = Outcome.COMPLETE
    text: str = "Hello world"
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: Any = "stop"
    usage: Usage | None = None
    status: int = 0
    error: type[ChatError] | None = None
    says: str = ""
    #: Fields that the request has beside model and messages.
    extra: Mapping[str, Any] = field(default_factory=dict)
    timeout: float = 5.0
    #: Whether not even the two seconds of grace after a finish_reason may be waited for.
    at_once: bool = False
    retries: int = 0
    #: What the attempts after the first one get, and how many requests there are in all.
    then: Script | None = None
    requests: int = 1
    #: Whether the bytes may be cut anywhere: not where there are too many of them, or where silence is the point.
    cut: bool = True
    #: The excerpt for the table, " … " for what is left out; what is not boilerplate when not given.
    shown: str = ""

    @property
    def data(self) -> bytes:
        """All bytes that the server sends, without the framing of a chunked body."""
        return b"".join(_unframed(step.data) for step in self.script if isinstance(step, Send))

    @property
    def excerpt(self) -> str:
        """The bytes that matter, with line ends as `\\n` and `\\r`."""
        if self.shown:
            return self.shown
        body = self.data.partition(b"\r\n\r\n")[2]
        for usual in _BOILERPLATE:
            body = body.replace(usual, b"")
        text = printable(body).removesuffix("\\n\\n").replace(_IDENTITY, "…")
        return text if len(text) <= LONGEST_EXCERPT else f"{text[: LONGEST_EXCERPT - 2]} …"


def printable(data: bytes) -> str:
    """`data` as text on one line."""
    text = data.decode("utf-8", "backslashreplace").replace("\r", "\\r").replace("\n", "\\n")
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)


def _unframed(data: bytes) -> bytes:
    found = re.fullmatch(rb"([0-9a-f]+)\r\n(.+)\r\n", data, re.DOTALL)
    if found and len(found[2]) == int(found[1], 16):
        return found[2]
    return data


# Bytes ----------------------------------------------------------------------------------------------------------------


def event(*args: Any, **fields: Any) -> bytes:
    """One chunk as an event; the arguments are those of `server.chunk`."""
    return sse(chunk(*args, **fields))


def raw(value: object) -> bytes:
    """Any JSON value as an event."""
    return sse(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def choice(**fields: Any) -> bytes:
    """A chunk with one choice that has exactly these fields."""
    return event(choices=[fields])


def stream(*events: bytes, headers: Mapping[str, str] | None = None, content_type: str = "text/event-stream") -> list[Step]:
    """A chunked answer with these events, a frame for each."""
    return [*begun(*events, headers=headers, content_type=content_type), Send(LAST_FRAME)]


def begun(*events: bytes, headers: Mapping[str, str] | None = None, content_type: str = "text/event-stream") -> list[Step]:
    """A chunked answer that is not over."""
    return [Send(head(headers=headers, content_type=content_type)), *(Send(frame(one)) for one in events)]


def between(*events: bytes) -> list[Step]:
    """A whole "Hello world" with these events between its two words."""
    return stream(ROLE, HELLO, *events, WORLD, STOP, DONE)


def after(*events: bytes) -> list[Step]:
    """An answer that begins with "Hello", goes on with these events and ends without `[DONE]`."""
    return stream(ROLE, HELLO, *events)


def contents(*pieces: Any, finish_reason: str = "stop") -> list[Step]:
    """A whole answer with these contents."""
    return stream(ROLE, *(event(delta={"content": one}) for one in pieces), event(finish_reason=finish_reason), DONE)


def deltas(*fields: Mapping[str, Any], finish_reason: str = "stop") -> list[Step]:
    """A whole answer with these deltas."""
    return stream(ROLE, *(event(delta=one) for one in fields), event(finish_reason=finish_reason), DONE)


def page(status: int, body: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> list[Step]:
    """An answer that is no stream."""
    fields = {"Content-Length": str(len(body)), **(headers or {})}
    return [Send(head(status, fields, content_type, chunked=False)), Send(body)]


def gzipped(events: Iterable[bytes]) -> list[bytes]:
    """The events as one gzip stream, flushed after each."""
    packer = zlib.compressobj(wbits=31)
    parts = [packer.compress(one) + packer.flush(zlib.Z_SYNC_FLUSH) for one in events]
    return [*parts, packer.flush()]


def call(name: str | None = None, arguments: str | None = None, **more: Any) -> dict[str, Any]:
    """One entry of `tool_calls`."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {**more, "function": function}


ROLE = event("", role="assistant")
HELLO = event("Hello")
WORLD = event(" world")
STOP = event(finish_reason="stop")
DONE = sse("[DONE]")
_BOILERPLATE = (LAST_FRAME, ROLE, HELLO, WORLD, STOP, DONE)
_IDENTITY = '"id":"chatcmpl-test","object":"chat.completion.chunk","created":1700000000,"model":"test-model",'

COUNTED = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
USAGE = Usage(prompt_tokens=9, completion_tokens=2)
COMPLETION = {
    "id": "chatcmpl-test",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "test-model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello world"}, "finish_reason": "stop"}],
    "usage": COUNTED,
}
FILTER = {"hate": {"filtered": False, "severity": "safe"}}
HTML = b"<!doctype html><html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
ELSEWHERE = "http://127.0.0.1:9/elsewhere"
WEATHER = ToolCall("weather", '{"city":"Oslo"}')
TIME = ToolCall("time", '{"zone":"CET"}')

# Expectations that several cases share --------------------------------------------------------------------------------

NOTHING: Mapping[str, Any] = {"text": "", "finish_reason": None}
FAILED: Mapping[str, Any] = {
    "outcome": Outcome.ERROR,
    "finish_reason": None,
    "text": "Hello",
    "status": 5,
    "error": ServerError,
}
CUT: Mapping[str, Any] = {"outcome": Outcome.TRUNCATED, "finish_reason": None, "text": "Hello", "status": 7}
NO_STREAM: Mapping[str, Any] = {**FAILED, **NOTHING, "error": NotAStream}
CALLED: Mapping[str, Any] = {"outcome": Outcome.TOOL_CALLS, "finish_reason": "tool_calls", "text": "", "status": 7}
SILENT: Mapping[str, Any] = {**FAILED, "status": 6, "error": TimedOut, "says": "sent nothing for", "timeout": 1.0}

# Sources that are no issue and no pull request ------------------------------------------------------------------------

CONSTRUCTED = "constructed"
OPENAI = "OpenAI, API reference, chat completion chunk"
STANDARD = "WHATWG HTML, server-sent events <https://html.spec.whatwg.org/multipage/server-sent-events.html>"
HTTP = "RFC 9110, HTTP semantics <https://www.rfc-editor.org/rfc/rfc9110>"
HTTP_1 = "RFC 9112, HTTP/1.1 <https://www.rfc-editor.org/rfc/rfc9112>"
OPENROUTER_STREAM = "OpenRouter, Streaming <https://openrouter.ai/docs/api_reference/streaming>"
OPENROUTER_ERRORS = "OpenRouter, Errors <https://openrouter.ai/docs/api/reference/errors-and-debugging>"

# Whole or not ---------------------------------------------------------------------------------------------------------

_whole = partial(WireCase, group="Whole or not")


def _failing(reason: str, source: str) -> WireCase:
    return _whole(
        f"finish-{reason.replace('_', '-')}",
        source,
        "An error: the text so far is kept, and the reason is named.",
        stream(ROLE, HELLO, event(finish_reason=reason), DONE),
        **{**FAILED, "finish_reason": reason},
    )


WHOLE_OR_NOT = (
    _whole(
        "finish-and-done",
        OPENAI,
        "Complete.",
        stream(ROLE, HELLO, WORLD, STOP, DONE),
        shown='"finish_reason":"stop"}]}\\n\\ndata: [DONE]',
    ),
    _whole(
        "finish-without-done",
        "Azure AI Foundry: experientiallabs/experiential#962",
        "Complete: a finish_reason is enough.",
        stream(ROLE, HELLO, WORLD, STOP),
        shown='"finish_reason":"stop"}]}\\n\\n',
    ),
    _whole(
        "done-without-finish",
        "Gemini behind a proxy: open-learning-exchange/planet#10281",
        "Complete: `[DONE]` is enough.",
        stream(ROLE, HELLO, WORLD, DONE),
        finish_reason=None,
        shown='{"content":" world"},"finish_reason":null}]}\\n\\ndata: [DONE]',
    ),
    _whole(
        "neither-finish-nor-done",
        "OpenCode Zen: anomalyco/opencode#43882",
        "The text is kept and marked as cut: nobody said that this is all.",
        stream(ROLE, HELLO, WORLD),
        **{**CUT, "text": "Hello world"},
        shown='{"content":" world"},"finish_reason":null}]}\\n\\n',
    ),
    _whole(
        "finish-empty-in-every-chunk",
        "Ollama: ollama/ollama#4357",
        "An empty finish_reason is none: the answer goes on until the real one.",
        stream(event("Hello", finish_reason=""), event(" world", finish_reason=""), STOP, DONE),
    ),
    _whole(
        "finish-empty-and-no-end",
        "GenieX: qualcomm/GenieX#1246",
        "Cut: an empty finish_reason says nothing about the end.",
        stream(event("Hello", finish_reason=""), event("", finish_reason="")),
        **CUT,
    ),
    _whole(
        "finish-number",
        CONSTRUCTED,
        "What is no text is no finish_reason; `[DONE]` makes the answer whole.",
        stream(ROLE, HELLO, WORLD, choice(index=0, delta={}, finish_reason=1), DONE),
        finish_reason=None,
    ),
    _whole(
        "finish-length",
        OPENAI,
        "The text is kept; the answer is not whole.",
        stream(ROLE, HELLO, event(finish_reason="length"), DONE),
        outcome=Outcome.LENGTH,
        text="Hello",
        finish_reason="length",
        status=7,
    ),
    _whole(
        "finish-context-window",
        "GLM: mozilla-ai/any-llm#1204",
        "As `length`: the model had no more room.",
        stream(ROLE, HELLO, event(finish_reason="model_context_window_exceeded"), DONE),
        outcome=Outcome.LENGTH,
        text="Hello",
        finish_reason="model_context_window_exceeded",
        status=7,
    ),
    _whole(
        "finish-content-filter",
        "Azure AI Foundry: experientiallabs/experiential#962",
        "The text is kept; the answer is filtered, not whole.",
        after(event(finish_reason="content_filter")),
        outcome=Outcome.FILTERED,
        text="Hello",
        finish_reason="content_filter",
        status=7,
    ),
    _whole(
        "finish-sensitive",
        "GLM: langgenius/dify#7559",
        "As `content_filter`, under the name that GLM gives it.",
        stream(ROLE, HELLO, event(finish_reason="sensitive"), DONE),
        outcome=Outcome.FILTERED,
        text="Hello",
        finish_reason="sensitive",
        status=7,
    ),
    _whole(
        "finish-length-then-stop",
        CONSTRUCTED,
        "The first reason that takes something from the answer stands.",
        stream(ROLE, HELLO, event(finish_reason="length"), STOP, DONE),
        outcome=Outcome.LENGTH,
        text="Hello",
        finish_reason="length",
        status=7,
    ),
    _whole(
        "finish-then-text-then-reset",
        CONSTRUCTED,
        "Cut: what goes on behind a finish_reason was not finished.",
        [*begun(ROLE, HELLO, STOP, WORLD), Wait(0.05), Reset()],
        **{**CUT, "text": "Hello world", "finish_reason": "stop", "error": ConnectionCut},
        cut=False,
        shown='"finish_reason":"stop"}]}\\n\\ndata: { … {"content":" world"}',
    ),
    _failing("error", "OpenRouter: maximhq/bifrost#5425"),
    _failing(
        "insufficient_system_resource",
        "DeepSeek: openai-interface, documentation <https://docs.rs/openai-interface/0.12.0/openai_interface/chat/enum.FinishReason.html>",
    ),
    _failing("network_error", "GLM: promptfoo/promptfoo#9905"),
    _failing("abort", "vLLM: vllm-project/vllm#57082"),
    _failing("aborted", CONSTRUCTED),
    _whole(
        "finish-unknown",
        "TGI: huggingface/text-generation-inference#2344",
        "Complete; the unknown reason is shown as it is.",
        stream(ROLE, HELLO, WORLD, event(finish_reason="eos_token"), DONE),
        finish_reason="eos_token",
    ),
)

# Shape ----------------------------------------------------------------------------------------------------------------

_shape = partial(WireCase, group="Shape")


def _ignored(name: str, source: str, value: object, does: str = "Ignored: it holds nothing.") -> WireCase:
    return _shape(name, source, does, between(raw(value)))


SHAPE = (
    _shape(
        "role-only-first",
        OPENAI,
        "No text yet, and no first token.",
        stream(event(role="assistant"), HELLO, WORLD, STOP, DONE),
    ),
    _shape(
        "role-empty",
        "MiniMax: MiniMax-AI/MiniMax-M2.5#2",
        "The role is not looked at.",
        stream(event("Hello", role=""), event(" world", role=""), STOP, DONE),
    ),
    _ignored("chunk-null", "earendil-works/pi#2466", None),
    _ignored("chunk-number", CONSTRUCTED, 42),
    _ignored("chunk-list", CONSTRUCTED, [{"choices": []}]),
    _ignored("chunk-text", CONSTRUCTED, "ping", "Ignored: only an object is a chunk."),
    _ignored("chunk-empty", "llama.cpp: ggml-org/llama.cpp#10694", {}),
    _ignored("chunk-ping", "copilot-api: caozhiyuan/copilot-api#88", {"type": "ping"}),
    _shape(
        "message-for-delta",
        CONSTRUCTED,
        "Read as a delta.",
        stream(
            choice(index=0, message={"role": "assistant", "content": "Hello"}, finish_reason=None),
            choice(index=0, message={"role": "assistant", "content": " world"}, finish_reason="stop"),
            DONE,
        ),
    ),
    _shape(
        "completion-as-one-event",
        CONSTRUCTED,
        "Read as an answer that came in one piece.",
        stream(raw(COMPLETION), DONE),
        usage=USAGE,
        shown='data: { … "object":"chat.completion", … "message":{"role":"assistant","content":"Hello world"}',
    ),
    _shape(
        "message-repeats-the-answer",
        "MiniMax: GCWing/OpenBitFun#792",
        "The whole answer, sent again at the end as a `message`, is not shown twice.",
        stream(ROLE, HELLO, WORLD, raw(COMPLETION)),
        usage=USAGE,
        shown='{"content":" world"} … "object":"chat.completion", … "message":{"role":"assistant","content":"Hello world"}',
    ),
    _shape(
        "delta-and-message",
        "Foundry Local: microsoft/foundry-local#144",
        "The delta is read, its copy under `message` is not.",
        stream(
            choice(index=0, delta={"content": "Hello"}, message={"content": "Hello"}, finish_reason=None),
            choice(index=0, delta={"content": " world"}, message={"content": " world"}, finish_reason="stop"),
            DONE,
        ),
        shown='"delta":{"content":"Hello"},"message":{"content":"Hello"}',
    ),
    _shape(
        "choice-index-counts-chunks",
        "Foundry Local: microsoft/foundry-local#144",
        "All of it is shown: who did not ask for several choices gets one, whatever its number.",
        stream(
            choice(index=0, delta={"content": "Hello"}, finish_reason=None),
            choice(index=1, delta={"content": " wor"}, finish_reason=None),
            choice(index=2, delta={"content": "ld"}, finish_reason="stop"),
            DONE,
        ),
        shown='"index":0,"delta":{"content":"Hello"} … "index":1,"delta":{"content":" wor"} … "index":2,"delta":',
    ),
    _shape(
        "text-for-delta",
        "llama-cpp-python: abetlen/llama-cpp-python#133",
        "The `text` of a completions server is the answer.",
        stream(
            choice(text="Hello", index=0, logprobs=None, finish_reason=None),
            choice(text=" world", index=0, logprobs=None, finish_reason=None),
            choice(text="", index=0, logprobs=None, finish_reason="stop"),
        ),
    ),
    _shape("text-for-content", CONSTRUCTED, "Read as `content`.", deltas({"text": "Hello"}, {"text": " world"})),
    _shape(
        "content-parts",
        "Mistral: BerriAI/litellm#16272",
        "The text parts are the answer.",
        contents([{"type": "text", "text": "Hello"}], [{"type": "text", "text": " wor"}, {"type": "text", "text": "ld"}]),
    ),
    _shape("content-parts-of-text", CONSTRUCTED, "Bare texts in the list count too.", contents(["Hello", " "], ["world"])),
    _shape(
        "content-null",
        "triton-inference-server/perf_analyzer#386",
        "No text.",
        between(event(delta={"content": None, "role": "assistant"})),
    ),
    _shape("content-empty", "vercel/ai#7772", "No text, and no first token.", between(event(""))),
    _shape("content-missing", OPENAI, "No text.", between(choice(index=0, delta={}, finish_reason=None))),
    _shape(
        "delta-null",
        "Azure OpenAI: microsoft/agent-framework#5734",
        "No text; its finish_reason counts.",
        stream(ROLE, HELLO, WORLD, choice(index=0, delta=None, finish_reason="stop"), DONE),
    ),
    _shape(
        "delta-missing",
        "Azure OpenAI: openai/openai-python#1677",
        "No text: Azure's content filter reports about text that was sent before.",
        between(
            choice(index=0, finish_reason=None, content_filter_results=FILTER, content_filter_offsets={"check_offset": 44})
        ),
    ),
    _ignored("choices-missing", CONSTRUCTED, {"id": "chatcmpl-test", "object": "chat.completion.chunk"}),
    _shape(
        "choices-null",
        "vLLM: openai-interface, source <https://docs.rs/openai-interface/0.12.0/src/openai_interface/chat/create/response.rs.html>",
        "No text; the usage beside it is read.",
        stream(ROLE, HELLO, WORLD, STOP, event(choices=None, usage=COUNTED), DONE),
        usage=USAGE,
    ),
    _shape(
        "choices-empty",
        "Azure OpenAI: meilisearch/meilisearch#6477",
        "No text, and no end either.",
        between(event(choices=[])),
    ),
    _shape("choices-with-null", CONSTRUCTED, "No text.", between(event(choices=[None]))),
    _shape(
        "several-choices",
        "Azure OpenAI: BerriAI/litellm#3276",
        "Choice 0 is shown and decides; the others are events of `--json`.",
        stream(
            choice(index=0, delta={"role": "assistant", "content": ""}, finish_reason=None),
            choice(index=1, delta={"role": "assistant", "content": ""}, finish_reason=None),
            choice(index=1, delta={"content": "Good"}, finish_reason=None),
            choice(index=0, delta={"content": "Hello"}, finish_reason=None),
            choice(index=1, delta={"content": " day"}, finish_reason="length"),
            choice(index=0, delta={"content": " world"}, finish_reason="stop"),
            DONE,
        ),
        extra={"n": 2},
        shown='"index":1,"delta":{"content":"Good"} … "index":0,"delta":{"content":"Hello"} … "index":1,"delta":',
    ),
    _shape(
        "several-choices-in-one-chunk",
        CONSTRUCTED,
        "Choice 0 is shown, wherever it stands in the list.",
        stream(
            event(
                choices=[
                    {"index": 1, "delta": {"content": "Good day"}, "finish_reason": "stop"},
                    {"index": 0, "delta": {"content": "Hello world"}, "finish_reason": "stop"},
                ]
            ),
            DONE,
        ),
        extra={"n": 2},
    ),
    _shape(
        "unknown-fields",
        "llama.cpp: ggml-org/llama.cpp#10694",
        "Ignored, at the top, in the choice and in the delta.",
        between(
            event(
                choices=[
                    {"index": 0, "delta": {"annotations": [], "audio": None}, "stop_reason": None, "finish_reason": None}
                ],
                system_fingerprint="fp_2f57f81c11",
                timings={"prompt_n": 1},
            )
        ),
    ),
    _shape("created-float", CONSTRUCTED, "Not looked at.", between(event("", created=1700000000.123))),
    _shape("id-null", CONSTRUCTED, "Not looked at.", between(event("", id=None))),
    _shape(
        "id-missing",
        "OpenVINO Model Server: openvinotoolkit/model_server#3553",
        "Not looked at.",
        stream(
            raw({"choices": [{"delta": {"content": "Hello"}, "finish_reason": None, "index": 0, "logprobs": None}]}),
            raw({"choices": [{"delta": {"content": " world"}, "finish_reason": "stop", "index": 0, "logprobs": None}]}),
            DONE,
        ),
    ),
    _shape(
        "id-changes",
        "llama.cpp: ggml-org/llama.cpp#5876",
        "Not looked at: it is one answer all the same.",
        stream(event("Hello", id="chatcmpl-2EHC"), event(" world", id="chatcmpl-Cm7q"), STOP, DONE),
        shown='"id":"chatcmpl-2EHC" … {"content":"Hello"} … "id":"chatcmpl-Cm7q" … {"content":" world"}',
    ),
    _shape(
        "model-null",
        "Foundry Local: microsoft/foundry-local#144",
        "The model asked for is named.",
        between(event("", model=None)),
    ),
    _shape(
        "index-missing",
        CONSTRUCTED,
        "The choice without a number is the answer.",
        stream(
            choice(delta={"content": "Hello"}), choice(delta={"content": " world"}), choice(delta={}, finish_reason="stop")
        ),
    ),
    _shape(
        "index-text",
        CONSTRUCTED,
        "The choice whose number is none is the answer.",
        stream(choice(index="0", delta={"content": "Hello"}), choice(index="0", delta={"content": " world"}), STOP, DONE),
    ),
    _shape(
        "finish-with-text",
        "vLLM: vllm-project/vllm#36944",
        "The text in the chunk of the finish_reason is shown.",
        stream(ROLE, HELLO, event(" world", finish_reason="stop"), DONE),
    ),
    _shape(
        "finish-twice",
        CONSTRUCTED,
        "The second one changes nothing.",
        stream(ROLE, HELLO, WORLD, STOP, STOP, DONE),
        shown='{},"finish_reason":"stop"}]}\\n\\n … {},"finish_reason":"stop"}]}\\n\\ndata: [DONE]',
    ),
    _shape(
        "finish-in-every-chunk",
        "Open WebUI: open-webui/open-webui#16377",
        "What comes after the first finish_reason is shown as well.",
        stream(event("Hello", finish_reason="stop"), event(" world", finish_reason="stop"), DONE),
    ),
    _shape(
        "text-after-finish",
        CONSTRUCTED,
        "Shown: the finish_reason need not be in the last chunk.",
        stream(ROLE, HELLO, STOP, WORLD, DONE),
        shown='{},"finish_reason":"stop"}]}\\n\\n … {"content":" world"},"finish_reason":null}]}',
    ),
    _shape(
        "filter-report-after-finish",
        "Azure OpenAI: Azure/azure-sdk-for-net#45136",
        "The finish_reason holds, although it is null in a later chunk.",
        stream(ROLE, HELLO, WORLD, STOP, choice(index=0, finish_reason=None, content_filter_results=FILTER), DONE),
    ),
    _shape(
        "usage-last",
        OPENAI,
        "Read from the chunk that has no choices.",
        stream(ROLE, HELLO, WORLD, STOP, event(choices=[], usage=COUNTED), DONE),
        usage=USAGE,
    ),
    _shape(
        "usage-in-every-chunk",
        "vLLM: vllm-project/vllm#7262",
        "The latest count is the one that holds.",
        stream(
            event("Hello", usage={"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}),
            event(" world", usage=COUNTED),
            event(finish_reason="stop", usage=COUNTED),
            DONE,
        ),
        usage=USAGE,
    ),
    _shape("usage-null", OPENAI, "No count.", stream(event("Hello", usage=None), event(" world", usage=None), STOP, DONE)),
    _shape(
        "usage-nulls",
        "OpenRouter: maximhq/bifrost#5425",
        "A count of null is no count.",
        stream(
            ROLE,
            HELLO,
            WORLD,
            event(finish_reason="stop", usage={"prompt_tokens": None, "completion_tokens": 2, "total_tokens": 0}),
            DONE,
        ),
        usage=Usage(completion_tokens=2),
    ),
    _shape(
        "azure-first-chunk",
        "Azure OpenAI: AbanteAI/archive-old-cli-mentat#429",
        "No text: Azure reports about the prompt before the answer begins.",
        stream(
            raw(
                {
                    "id": "",
                    "choices": [],
                    "created": 0,
                    "model": "",
                    "object": "",
                    "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": FILTER}],
                }
            ),
            ROLE,
            HELLO,
            WORLD,
            STOP,
            DONE,
        ),
    ),
    _shape(
        "tool-calls-empty-list",
        "vLLM: microsoft/vscode#330038",
        "An empty list calls nothing, and the text beside it is shown.",
        deltas({"content": "Hello", "tool_calls": []}, {"content": " world", "tool_calls": []}),
    ),
    _shape(
        "content-one-part",
        CONSTRUCTED,
        "Content that is one part is its text.",
        contents({"type": "text", "text": "Hello"}, {"type": "text", "text": " world"}),
    ),
    _shape(
        "error-bare-code",
        CONSTRUCTED,
        "An error without the word `error`: the text so far is kept.",
        stream(ROLE, HELLO, raw({"code": 1302, "message": "Too many at once"}), DONE),
        **FAILED,
        says="Too many at once",
    ),
    _shape(
        "error-bare-detail",
        "FastAPI, Handling Errors <https://fastapi.tiangolo.com/tutorial/handling-errors/>",
        "The form of errors in FastAPI, on which vLLM and others are built: an error inside a stream too.",
        stream(ROLE, HELLO, raw({"detail": "The worker is gone"}), DONE),
        **FAILED,
        says="The worker is gone",
    ),
    _shape(
        "error-bare-type",
        CONSTRUCTED,
        "An object of the type `error` is one.",
        stream(ROLE, HELLO, raw({"type": "error", "message": "Overloaded"}), DONE),
        **FAILED,
        says="Overloaded",
    ),
    _shape(
        "error-bare-beside-no-choices",
        CONSTRUCTED,
        "Choices that are null or empty make no answer of an error.",
        stream(ROLE, HELLO, raw({"choices": None, "code": 500, "message": "The worker is gone"}), DONE),
        **FAILED,
        says="The worker is gone",
    ),
    _shape(
        "error-in-a-list",
        CONSTRUCTED,
        "A list around the error is taken off, as it is behind a status of 400.",
        stream(ROLE, HELLO, raw([{"error": {"code": 500, "message": "The worker is gone"}}]), DONE),
        **FAILED,
        says="The worker is gone",
    ),
    _shape(
        "chunk-in-a-list",
        CONSTRUCTED,
        "A list around a chunk is taken off: no word is lost.",
        stream(ROLE, HELLO, raw([chunk(" world")]), STOP, DONE),
    ),
    _shape(
        "code-of-success",
        CONSTRUCTED,
        "A message whose code says that all is well is no error.",
        between(raw({"code": 0, "message": "success"})),
    ),
    _shape(
        "error-object",
        "vLLM, SGLang, OpenAI: aaif-goose/goose#8027",
        "An error: the text so far is kept, the server's words are shown.",
        after(raw({"error": {"message": "The engine died", "type": "server_error", "param": None, "code": None}})),
        **FAILED,
        says="The engine died",
    ),
    _shape(
        "error-object-with-status",
        "SGLang: BerriAI/litellm#25505",
        "The status in the code decides: 400 is a rejected request.",
        stream(raw({"error": {"message": "Too long", "type": "BadRequestError", "param": None, "code": 400}}), DONE),
        **{**FAILED, **NOTHING, "status": 8, "error": RequestRejected},
        says="Too long",
    ),
    _shape(
        "error-credentials",
        OPENROUTER_ERRORS,
        "401 inside the stream is what it would be as a status.",
        stream(raw({"error": {"message": "No auth", "code": 401}})),
        **{**FAILED, **NOTHING, "status": 3, "error": CredentialsError},
        says="No auth",
    ),
    _shape(
        "error-rate-limit",
        OPENROUTER_ERRORS,
        "429 inside the stream: the text so far is kept.",
        after(raw({"error": {"message": "Slow down", "code": 429}})),
        **{**FAILED, "status": 4, "error": RateLimitError},
        says="Slow down",
    ),
    _shape(
        "error-quota",
        "OpenAI, error codes",
        "Nothing left to spend, and told apart from too many requests.",
        stream(raw({"error": {"message": "quota exceeded", "code": "insufficient_quota"}}), DONE),
        **{**FAILED, **NOTHING, "status": 4, "error": QuotaError},
        says="quota exceeded",
    ),
    _shape(
        "error-beside-a-finish",
        "OpenRouter: damianvtran/local-operator#223",
        "OpenRouter's form: an error, although the chunk has a finish_reason; the text so far is kept.",
        after(
            raw(
                {
                    "id": "cmpl-abc",
                    "object": "chat.completion.chunk",
                    "error": {"code": 502, "message": "Provider disconnected"},
                    "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
                }
            ),
        ),
        **{**FAILED, "finish_reason": ANY},
        says="Provider disconnected",
    ),
    _shape(
        "error-beside-no-choices",
        "OpenRouter: dcdpr/jp#978",
        "The same with empty choices, before the first text.",
        stream(raw({"error": {"code": 400, "message": "prompt is too long"}, "choices": []})),
        **{**FAILED, **NOTHING, "status": 8, "error": RequestRejected},
        says="prompt is too long",
    ),
    _shape(
        "error-in-the-choice",
        "OpenRouter: genkit-ai/genkit#6079",
        "The error of choice 0 is the answer's: the text so far is kept.",
        after(choice(index=0, delta={}, error={"code": 502, "message": "Provider gone"}, finish_reason="error")),
        **{**FAILED, "finish_reason": ANY},
        says="Provider gone",
    ),
    _shape(
        "error-at-the-top",
        "SGLang and older vLLM, `ErrorResponse` in entrypoints/openai/protocol.py",
        "A form without `error`: the status in the code decides.",
        stream(raw({"object": "error", "message": "Too long", "type": "BadRequestError", "param": None, "code": 400}), DONE),
        **{**FAILED, **NOTHING, "status": 8, "error": RequestRejected},
        says="Too long",
    ),
    _shape(
        "error-at-the-top-after-text",
        "FastChat, `ErrorResponse` and `ErrorCode`",
        "A code that is no HTTP status is the server's failure; the text so far is kept.",
        after(raw({"object": "error", "message": "Network error", "code": 50004}), DONE),
        **FAILED,
        says="Network error",
    ),
    _shape(
        "error-text",
        "bigduu/Bamboo-agent#98",
        "An error whose message is the text.",
        after(raw({"error": "an error was encountered while running the model"})),
        **FAILED,
        says="an error was encountered while running the model",
    ),
    _shape(
        "error-without-type",
        "LM Studio: zendev-sh/goai#110",
        "LM Studio's form: an error all the same.",
        after(raw({"error": {"message": "Compute error."}, "message": "Compute error."})),
        **FAILED,
        says=r"Compute error\.",
    ),
    _shape(
        "error-null",
        "Foundry Local: microsoft/foundry-local#144",
        "No error.",
        stream(event("Hello", error=None), event(" world", error=None), STOP, DONE),
    ),
    _shape(
        "error-then-done",
        "apache/rocketmq-dashboard#2178",
        "The `[DONE]` behind an error does not make the answer whole.",
        after(raw({"error": {"message": "quota exceeded"}}), DONE),
        **FAILED,
        says="quota exceeded",
    ),
)

# Text kinds -----------------------------------------------------------------------------------------------------------

_kind = partial(WireCase, group="Text kinds")

TEXT_KINDS = (
    _kind(
        "refusal-part",
        CONSTRUCTED,
        "A refusal among the parts of the content is a refusal.",
        deltas({"content": [{"type": "refusal", "refusal": "I can't"}]}, {"content": [{"type": "refusal", "refusal": "."}]}),
        outcome=Outcome.REFUSED,
        text="",
        refusal="I can't.",
        status=7,
    ),
    _kind(
        "tool-call-object-arguments",
        CONSTRUCTED,
        "Arguments that are an object are shown as the JSON that they are.",
        deltas({"tool_calls": [{"index": 0, "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]}),
        **{**CALLED, "finish_reason": "stop"},
        tool_calls=(ToolCall("weather", '{"city": "Oslo"}'),),
    ),
    _kind(
        "tool-call-flat",
        CONSTRUCTED,
        "A call without `function`, or without the list: its name and arguments are found.",
        deltas({"tool_calls": {"name": "weather", "arguments": '{"city":"Oslo"}'}}),
        **{**CALLED, "finish_reason": "stop"},
        tool_calls=(WEATHER,),
    ),
    _kind(
        "tool-call-custom",
        "OpenAI, API reference, custom tools",
        "A call of a custom tool: its input is what is shown.",
        deltas({"tool_calls": [{"index": 0, "type": "custom", "custom": {"name": "run", "input": "ls"}}]}),
        **{**CALLED, "finish_reason": "stop"},
        tool_calls=(ToolCall("run", "ls"),),
    ),
    _kind(
        "tool-calls-float-index",
        CONSTRUCTED,
        "Numbers written with a fraction of nothing are the same numbers.",
        deltas(
            {"tool_calls": [call("weather", '{"city":"Oslo"}', index=0.0)]},
            {"tool_calls": [call("time", '{"zone":"CET"}', index=1.0)]},
        ),
        **{**CALLED, "finish_reason": "stop"},
        tool_calls=(WEATHER, TIME),
    ),
    _kind(
        "tool-calls-without-index-and-id",
        CONSTRUCTED,
        "Two calls in one list are two.",
        deltas({"tool_calls": [call("weather", '{"city":"Oslo"}'), call("time", '{"zone":"CET"}')]}),
        **{**CALLED, "finish_reason": "stop"},
        tool_calls=(WEATHER, TIME),
    ),
    _kind(
        "tool-calls-at-one-index",
        CONSTRUCTED,
        "Another name at the same index, without an id, is another call.",
        deltas(
            {"tool_calls": [call("weather", '{"city":"Oslo"}', index=0)]},
            {"tool_calls": [call("time", '{"zone":"CET"}', index=0)]},
        ),
        **{**CALLED, "finish_reason": "stop"},
        tool_calls=(WEATHER, TIME),
    ),
    _kind(
        "tool-call-name-repeated",
        CONSTRUCTED,
        "A name that comes with every piece is one name.",
        deltas(
            {"tool_calls": [call("weather", '{"city":', index=0, id="call_1")]},
            {"tool_calls": [call("weather", '"Oslo"}', index=0, id="call_1")]},
        ),
        **{**CALLED, "finish_reason": "stop"},
        tool_calls=(WEATHER,),
    ),
    _kind(
        "think-tag-in-a-fence",
        CONSTRUCTED,
        "A closing tag that is quoted, in a code fence, is text.",
        contents("Hello:\n```\nhm\n</think>\n", "x\n```\n"),
        text="Hello:\n```\nhm\n</think>\nx\n```\n",
        shown="</think>",
    ),
    _kind(
        "reasoning-content",
        "vercel/ai#7772",
        "Reasoning: shown apart from the answer, never in a pipe.",
        deltas({"content": "", "reasoning_content": "Hm"}, {"reasoning_content": ", well"}, {"content": "Hello world"}),
        reasoning="Hm, well",
    ),
    _kind(
        "reasoning",
        "vLLM: vllm-project/vllm-ascend#9131",
        "The same under its shorter name.",
        deltas({"reasoning": "Hm"}, {"reasoning": ", well"}, {"content": "Hello world"}),
        reasoning="Hm, well",
    ),
    _kind(
        "reasoning-under-three-names",
        "OpenRouter: braintrustdata/braintrust-sdk-javascript#1883",
        "One text under three names is shown once.",
        deltas(
            {"reasoning": "Hm", "reasoning_content": "Hm", "reasoning_details": [{"type": "reasoning.text", "text": "Hm"}]},
            {"content": "Hello world"},
        ),
        reasoning="Hm",
    ),
    _kind(
        "reasoning-details",
        "MiniMax: MiniMax-AI/MiniMax-M2#95",
        "Their texts are the reasoning where no other field has it.",
        deltas(
            {"reasoning_details": [{"type": "reasoning.text", "text": "Hm"}]},
            {"reasoning_details": [{"type": "reasoning.text", "text": ", well"}]},
            {"content": "Hello world"},
        ),
        reasoning="Hm, well",
    ),
    _kind(
        "reasoning-details-summary",
        "OpenRouter: clbrge/mohdel, release 4.0.0 <https://github.com/clbrge/mohdel/releases/tag/v4.0.0>",
        "A summary is reasoning, what is encrypted is nothing.",
        deltas(
            {"reasoning_details": [{"type": "reasoning.summary", "summary": "Hm"}]},
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "eyJlbmNyeXB0ZWQi"}]},
            {"content": "Hello world"},
        ),
        reasoning="Hm",
    ),
    _kind(
        "reasoning-beside-text",
        "Ollama: ollama/ollama#14648",
        "Each goes its own way.",
        deltas({"reasoning": "Hm", "content": "Hello"}, {"content": " world"}),
        reasoning="Hm",
    ),
    _kind(
        "reasoning-alone",
        "vLLM: vllm-project/vllm-ascend#9131",
        "Reasoning is no answer: the answer is empty.",
        deltas({"reasoning": "Hm"}),
        outcome=Outcome.EMPTY,
        text="",
        reasoning="Hm",
        status=7,
    ),
    _kind(
        "thinking-parts",
        "Mistral: BerriAI/litellm#16272",
        "Magistral's thinking parts are reasoning.",
        contents(
            [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}],
            [{"type": "thinking", "thinking": [{"type": "text", "text": ", well"}]}],
            "Hello world",
        ),
        reasoning="Hm, well",
    ),
    _kind(
        "think-tags",
        "pydantic/pydantic-ai#3007",
        "The block before the answer is reasoning; the line ends around it belong to neither.",
        contents("<think>", "\nHm, well\n", "</think>", "\n\n", "Hello world"),
        reasoning="Hm, well",
    ),
    _kind(
        "think-tags-in-one-piece",
        "pydantic/pydantic-ai#3007",
        "The same when it comes in one chunk.",
        contents("<think>Hm, well</think>Hello world"),
        reasoning="Hm, well",
    ),
    _kind(
        "think-tags-cut",
        "Amazon Nova: LibreChat-AI/agents#40",
        "The same when the tags are cut.",
        contents("<", "thi", "nk", ">Hm, w", "ell<", "/thin", "k", ">Hel", "lo world"),
        reasoning="Hm, well",
    ),
    _kind(
        "think-tags-empty",
        "Qwen3 asked not to think, model card",
        "Nothing was thought: neither reasoning nor empty lines.",
        contents("<think>\n\n</think>\n\nHello world"),
    ),
    _kind(
        "think-tag-not-opened",
        "llama.cpp with DeepSeek R1: ggml-org/llama.cpp#12107",
        "What came before the lone closing tag counts as reasoning in history and `--json`.",
        contents("Hm, ", "well", "\n</th", "ink>\n", "\nHello", " world"),
        reasoning="Hm, well",
    ),
    _kind(
        "think-tag-not-closed",
        CONSTRUCTED,
        "All of it is reasoning, and the answer is empty.",
        contents("<think>", "Hm, well"),
        outcome=Outcome.EMPTY,
        text="",
        reasoning="Hm, well",
        status=7,
    ),
    _kind(
        "think-tags-in-the-answer",
        CONSTRUCTED,
        "Tags behind the beginning are text about tags.",
        contents("Put it between <think> and </think>", ", please."),
        text="Put it between <think> and </think>, please.",
    ),
    _kind(
        "think-tag-almost",
        CONSTRUCTED,
        "Half a tag is text, and is not held back for ever.",
        contents("<thi"),
        text="<thi",
    ),
    _kind(
        "refusal",
        OPENAI,
        "Shown in place of the answer, which is not whole.",
        deltas({"refusal": "I cannot"}, {"refusal": " do that."}),
        outcome=Outcome.REFUSED,
        text="",
        refusal="I cannot do that.",
        status=7,
    ),
    _kind(
        "tool-calls",
        OPENAI,
        "Shown as a call, never executed.",
        deltas(
            {"tool_calls": [call("weather", "", index=0, id="call_1", type="function")]},
            {"tool_calls": [call(None, '{"city":', index=0)]},
            {"tool_calls": [call(None, '"Oslo"}', index=0)]},
            finish_reason="tool_calls",
        ),
        **CALLED,
        tool_calls=(WEATHER,),
    ),
    _kind(
        "tool-calls-two",
        OPENAI,
        "The index tells them apart.",
        deltas(
            {"tool_calls": [call("weather", "", index=0, id="call_1"), call("time", "", index=1, id="call_2")]},
            {"tool_calls": [call(None, '{"zone":"CET"}', index=1)]},
            {"tool_calls": [call(None, '{"city":"Oslo"}', index=0)]},
            finish_reason="tool_calls",
        ),
        **CALLED,
        tool_calls=(WEATHER, TIME),
    ),
    _kind(
        "tool-call-without-index",
        "Gemini: THU-MAIC/OpenMAIC#1556",
        "One call; a finish_reason of `stop` does not make it an answer.",
        deltas({"tool_calls": [call("weather", '{"city":"Oslo"}', id="call_297140", type="function")]}),
        **{**CALLED, "finish_reason": "stop"},
        tool_calls=(WEATHER,),
    ),
    _kind(
        "tool-calls-without-index",
        "SamSaffron/term-llm#314",
        "A new id is a new call.",
        deltas(
            {"tool_calls": [call("weather", '{"city":"Oslo"}', id="call_1")]},
            {"tool_calls": [call("time", '{"zone":"CET"}', id="call_2")]},
            finish_reason="tool_calls",
        ),
        **CALLED,
        tool_calls=(WEATHER, TIME),
    ),
    _kind(
        "tool-call-continued-without-index",
        "Gemini behind a proxy: AstrBotDevs/AstrBot#6661",
        "Arguments with an empty id go on with the call before them.",
        deltas(
            {"tool_calls": [call("weather", "", id="call_1")]},
            {"tool_calls": [call(None, '{"city":"Oslo"}', id="", type="")]},
            finish_reason="tool_calls",
        ),
        **CALLED,
        tool_calls=(WEATHER,),
    ),
    _kind(
        "tool-calls-with-one-index",
        "vLLM: InternLM/lmdeploy#3412",
        "A new id under an old index is a new call.",
        deltas(
            {"tool_calls": [call("weather", "", index=0, id="call_1")]},
            {"tool_calls": [call(None, '{"city":"Oslo"}', index=0, id="")]},
            {"tool_calls": [call("time", "", index=0, id="call_2")]},
            {"tool_calls": [call(None, '{"zone":"CET"}', index=0, id="")]},
            finish_reason="tool_calls",
        ),
        **CALLED,
        tool_calls=(WEATHER, TIME),
    ),
    _kind(
        "tool-call-without-id",
        "vLLM: vllm-project/vllm#18412",
        "The id is not needed.",
        deltas({"tool_calls": [call("weather", '{"city":"Oslo"}', index=0)]}, finish_reason="tool_calls"),
        **CALLED,
        tool_calls=(WEATHER,),
    ),
    _kind(
        "tool-call-after-text",
        OPENAI,
        "The text is kept, and the call is what the answer ends in.",
        deltas(
            {"content": "Let me see."},
            {"content": None, "tool_calls": [call("weather", '{"city":"Oslo"}', index=0, id="call_1")]},
            finish_reason="tool_calls",
        ),
        **{**CALLED, "text": "Let me see."},
        tool_calls=(WEATHER,),
    ),
    _kind(
        "function-call",
        OPENAI,
        "The API's form before tools: shown as a call.",
        deltas(
            {"function_call": {"name": "weather", "arguments": ""}},
            {"function_call": {"arguments": '{"city":'}},
            {"function_call": {"arguments": '"Oslo"}'}},
            finish_reason="function_call",
        ),
        **{**CALLED, "finish_reason": "function_call"},
        tool_calls=(WEATHER,),
    ),
    _kind(
        "logprobs",
        OPENAI,
        "Kept in `--json`; the text is what it is without them.",
        stream(
            choice(
                index=0,
                delta={"content": "Hello"},
                logprobs={"content": [{"token": "Hello", "logprob": -0.25, "bytes": [72], "top_logprobs": []}]},
                finish_reason=None,
            ),
            choice(index=0, delta={"content": " world"}, logprobs={"content": []}, finish_reason="stop"),
            DONE,
        ),
    ),
)

# Framing --------------------------------------------------------------------------------------------------------------

_framing = partial(WireCase, group="Framing")


def _lines(newline: bytes) -> list[Step]:
    return stream(*(one.replace(b"\n", newline) for one in (ROLE, HELLO, WORLD, STOP, DONE)))


_LINE_SEPARATORS = "one\u2028two\u2029three\u0085four"
_GREETING = "Grüße, 世界 🌍"
_ACROSS = event(_GREETING)
_INSIDE = _ACROSS.index("世".encode()) + 1

FRAMING = (
    _framing(
        "lines-lf",
        STANDARD,
        "One of the three line ends.",
        _lines(b"\n"),
        shown='{"content":"Hello"},"finish_reason":null}]}\\n\\n',
    ),
    _framing(
        "lines-crlf",
        "sse-starlette: hey-api/hey-api#3054",
        "The same.",
        _lines(b"\r\n"),
        shown='{"content":"Hello"},"finish_reason":null}]}\\r\\n\\r\\n',
    ),
    _framing(
        "lines-cr",
        "Recouse/EventSource#40",
        "The same.",
        _lines(b"\r"),
        shown='{"content":"Hello"},"finish_reason":null}]}\\r\\r',
    ),
    _framing(
        "lines-mixed",
        STANDARD,
        "Each line may have its own end.",
        stream(
            ROLE,
            HELLO.replace(b"\n", b"\r\n"),
            WORLD.replace(b"\n\n", b"\r\n\n"),
            STOP.replace(b"\n\n", b"\n\r"),
            DONE,
        ),
        shown='"finish_reason":null}]}\\r\\n\\r\\n … {"content":" world"},"finish_reason":null}]}\\r\\n\\n',
    ),
    _framing("line-ends-first", CONSTRUCTED, "They say nothing.", stream(b"\n\n\r\n", ROLE, HELLO, WORLD, STOP, DONE)),
    _framing(
        "comments-after-an-id",
        "LLM Gateway: theopenco/llmgateway#2334",
        "An id changes nothing for the comments and empty lines after it.",
        stream(b"id: 1\n" + HELLO, b": ping\n\n", b"\n", b"id: 2\n" + WORLD, b": ping\n\n", STOP, DONE),
        shown="id: 1\\ndata: { … }\\n\\n: ping\\n\\n\\nid: 2\\ndata: {",
    ),
    _framing("retry", "openai/openai-python#2722", "Nothing to show.", between(b"retry: 3000\n\n")),
    _framing("id-alone", "openai/openai-python#3833", "Nothing to show.", between(b"id: 7\n\n")),
    _framing(
        "data-empty",
        "cli-proxy-api: omnigent-ai/omnigent#1474",
        "A keep-alive.",
        between(b"data:\n\n", b"data: \n\n", b"data\n\n"),
    ),
    _framing("event-without-data", "NousResearch/hermes-agent#111887", "A keep-alive.", between(b"event: ping\n\n")),
    _framing(
        "event-and-id-lines",
        STANDARD,
        "Every event is read, whatever its name.",
        stream(b"event: message\nid: 1\n" + HELLO, b"event: completion\nid: 2\n" + WORLD, STOP, DONE),
        shown="event: message\\nid: 1\\ndata: { … event: completion\\nid: 2\\ndata: {",
    ),
    _framing(
        "event-error",
        "openai/openai-python#2943",
        "An error, as its data says.",
        after(b"event: error\n" + raw({"error": {"message": "Out of memory", "code": 500}})),
        **FAILED,
        says="Out of memory",
    ),
    _framing(
        "event-error-without-error",
        "openai/openai-python#2943",
        "An error, as its name says.",
        after(b"event: error\n" + raw({"message": "Out of memory", "code": 500}), DONE),
        **FAILED,
        says="Out of memory",
    ),
    _framing(
        "field-error",
        "llama.cpp: ggml-org/llama.cpp#16109",
        "llama.cpp's field of its own: an error, in spite of the `[DONE]` behind it.",
        after(b'error: {"code":500,"message":"context shift is disabled","type":"server_error"}\n\n', DONE),
        **FAILED,
        says="context shift is disabled",
    ),
    _framing(
        "last-event-without-empty-line",
        "llama.cpp: darshi1337/apogee#139",
        "The last event counts without its empty line.",
        stream(ROLE, HELLO, WORLD, STOP.rstrip(b"\n")),
        shown='{},"finish_reason":"stop"}]}',
    ),
    _framing(
        "last-text-without-empty-line",
        CONSTRUCTED,
        "Its text is shown; nobody said that it is all.",
        stream(ROLE, HELLO, WORLD.rstrip(b"\n")),
        **{**CUT, "text": "Hello world"},
        shown='{"content":" world"},"finish_reason":null}]}',
    ),
    _framing("comment-openrouter", OPENROUTER_STREAM, "Ignored.", between(b": OPENROUTER PROCESSING\n\n" * 3)),
    _framing("comment-empty", STANDARD, "Ignored.", between(b":\n\n", b":keepalive\n")),
    _framing(
        "comment-between-lines",
        STANDARD,
        "A comment inside an event is no part of it.",
        between(b": one\n" + event("").replace(b"\n\n", b"\n: two\n\n")),
    ),
    _framing(
        "data-in-several-lines",
        STANDARD,
        "The lines are one JSON text.",
        stream(sse(json.dumps(chunk("Hello"), indent=1)), sse(json.dumps(chunk(" world"), indent=1)), STOP, DONE),
        shown='data: {\\ndata:  "id": "chatcmpl-test",\\ndata:  "object"',
    ),
    _framing(
        "data-without-space",
        "Spring: openai/openai-python#498",
        "The space is optional.",
        stream(*(one.replace(b"data: ", b"data:", 1) for one in (ROLE, HELLO, WORLD, STOP, DONE))),
        shown="data:{ … }\\n\\ndata:[DONE]",
    ),
    _framing(
        "data-with-two-spaces",
        STANDARD,
        "One space belongs to the framing, JSON does not mind the other.",
        stream(*(one.replace(b"data: ", b"data:  ", 1) for one in (ROLE, HELLO, WORLD, STOP, DONE))),
        shown="data:  { … }\\n\\ndata:  [DONE]",
    ),
    _framing(
        "byte-order-mark",
        "openai/openai-python#3819",
        "Not part of the first field's name: the first words are there.",
        stream(b"\xef\xbb\xbf" + HELLO, WORLD, STOP, DONE),
        shown="\\ufeffdata: {",
    ),
    _framing(
        "done-without-line-end",
        "llama.cpp: darshi1337/apogee#139",
        "It counts.",
        stream(ROLE, HELLO, WORLD, DONE.rstrip(b"\n")),
        finish_reason=None,
        shown="data: [DONE]",
    ),
    _framing(
        "done-with-blanks",
        CONSTRUCTED,
        "It counts.",
        stream(ROLE, HELLO, WORLD, b"data:  [DONE] \n\n"),
        finish_reason=None,
    ),
    _framing(
        "data-after-done",
        CONSTRUCTED,
        "Not read: the answer is over.",
        stream(ROLE, HELLO, WORLD, STOP, DONE, event(" and more"), raw({"error": {"message": "late"}})),
        shown='data: [DONE]\\n\\ndata: { … {"content":" and more"}',
    ),
    _framing(
        "done-then-silence",
        "agentscope-ai/agentscope-java#2073",
        "Over at once: nothing is waited for behind `[DONE]`.",
        [*begun(ROLE, HELLO, WORLD, STOP, DONE), Hang()],
        at_once=True,
        timeout=120.0,
        cut=False,
        shown="data: [DONE]\\n\\n",
    ),
    _framing(
        "done-in-lower-case",
        CONSTRUCTED,
        "It counts.",
        stream(ROLE, HELLO, WORLD, sse("[done]")),
        finish_reason=None,
    ),
    _framing(
        "event-error-as-text",
        CONSTRUCTED,
        "An error, as the name of the event says, whatever its data are.",
        stream(ROLE, HELLO, b"event: error\ndata: overloaded\n\n", DONE),
        **FAILED,
        says="overloaded",
    ),
    _framing(
        "event-error-empty",
        CONSTRUCTED,
        "An error without a reason is one.",
        stream(ROLE, HELLO, b"event: error\ndata: \n\n", DONE),
        **FAILED,
        says="no reason",
    ),
    _framing(
        "byte-order-mark-in-an-event",
        CONSTRUCTED,
        "No part of the JSON: the word is there.",
        stream(ROLE, HELLO, WORLD.replace(b"data: ", b"data: \xef\xbb\xbf"), STOP, DONE),
        shown="data: \\ufeff{",
    ),
    _framing(
        "not-json-at-its-front",
        CONSTRUCTED,
        "Damage, wherever it is: an error.",
        stream(ROLE, HELLO, b'data: oices":[{"index":0,"delta":{"content":" world"}}]}\n\n', STOP, DONE),
        **FAILED,
        says="not JSON",
    ),
    _framing(
        "finish-then-pings",
        CONSTRUCTED,
        "Complete: events that say nothing do not prolong the two seconds behind a finish_reason.",
        [*begun(ROLE, HELLO, WORLD, STOP), *([Wait(0.5), Send(frame(sse("ping")))] * 240), Hang()],
        cut=False,
        timeout=120.0,
        shown="data: ping",
    ),
    _framing(
        "data-ping",
        CONSTRUCTED,
        "An event that was never meant to be JSON is skipped, and told.",
        between(sse("ping")),
    ),
    _framing(
        "last-words-then-reset",
        CONSTRUCTED,
        "An event that lacks its blank line when the connection breaks is read: its words are there.",
        [*begun(ROLE, HELLO, WORLD.rstrip(b"\n") + b"\n"), Wait(0.05), Reset()],
        **{**CUT, "text": "Hello world", "error": ConnectionCut},
        cut=False,
        shown='{"content":" world"},"finish_reason":null}]}\\n',
    ),
    _framing(
        "not-json",
        "amd/gaia#3501",
        "An error: what came before it is kept, nothing is left out in silence.",
        after(b'data: {"choices":[{"delta":{"con\n\n', WORLD, STOP, DONE),
        **FAILED,
        says="not JSON",
    ),
    _framing(
        "utf-8-cut",
        "xberg-io/liter-llm#152",
        "The character is whole.",
        stream(ROLE, _ACROSS[:_INSIDE], _ACROSS[_INSIDE:], STOP, DONE),
        text=_GREETING,
    ),
    _framing(
        "utf-8-invalid",
        "llama.cpp: ggml-org/llama.cpp#28926",
        "What is no character is shown as U+FFFD, and the rest is kept.",
        stream(ROLE, HELLO, event(" w?rld").replace(b"?", b"\xff"), STOP, DONE),
        text="Hello w\ufffdrld",
    ),
    _framing(
        "utf-8-invalid-halves",
        CONSTRUCTED,
        "Two halves in two chunks were broken by the server: each is U+FFFD.",
        stream(ROLE, event("a?").replace(b"?", b"\xe4\xb8"), event("?b").replace(b"?", b"\x96"), STOP, DONE),
        text="a\ufffd\ufffdb",
    ),
    _framing(
        "surrogates-cut",
        CONSTRUCTED,
        "Two escaped halves in two chunks are one character.",
        stream(ROLE, event("Hello \ud83c"), event("\udf0d"), STOP, DONE),
        text="Hello 🌍",
    ),
    _framing(
        "surrogate-alone",
        CONSTRUCTED,
        "Half a character is U+FFFD.",
        stream(ROLE, event("Hello \ud83c"), event("!"), STOP, DONE),
        text="Hello \ufffd!",
    ),
    _framing(
        "line-separators-in-text",
        STANDARD,
        "Only CR and LF end a line: other separators are text.",
        stream(ROLE, sse(json.dumps(chunk(_LINE_SEPARATORS), ensure_ascii=False)), STOP, DONE),
        text=_LINE_SEPARATORS,
        shown='{"content": "one\\u2028two\\u2029three\\u0085four"}',
    ),
    _framing(
        "five-megabytes",
        CONSTRUCTED,
        "Shown whole.",
        stream(ROLE, event("Hello " * 873_814), STOP, DONE),
        text="Hello " * 873_814,
        timeout=20.0,
        cut=False,
        shown='{"content":"Hello Hello Hello Hello Hello … (5 MB)',
    ),
    _framing(
        "hundred-thousand-chunks",
        CONSTRUCTED,
        "Shown whole.",
        stream(*[raw({"choices": [{"delta": {"content": "x"}}]}) * 1000] * 100, STOP, DONE),
        text="x" * 100_000,
        timeout=20.0,
        cut=False,
        shown='{"choices":[{"delta":{"content":"x"}}]} … (100,000 times)',
    ),
    _framing(
        "gzip",
        "epam/ai-dial-core#1646",
        "Decoded as it comes.",
        stream(*gzipped([ROLE, HELLO, WORLD, STOP, DONE]), headers={"Content-Encoding": "gzip"}),
        shown="Content-Encoding: gzip … (compressed)",
    ),
    _framing(
        "gzip-cut",
        CONSTRUCTED,
        "What could be decoded is kept and marked as cut.",
        stream(*gzipped([ROLE, HELLO, WORLD, STOP, DONE])[:2], headers={"Content-Encoding": "gzip"}),
        **CUT,
        shown="Content-Encoding: gzip … (compressed, cut)",
    ),
    _framing(
        "gzip-damaged",
        "NVIDIA-NeMo/nemo-platform#1218",
        "What could be decoded is kept and marked as cut.",
        [
            *begun(*gzipped([ROLE, HELLO, WORLD, STOP, DONE])[:2], headers={"Content-Encoding": "gzip"}),
            Send(frame(b"\xff" * 20)),
            Send(LAST_FRAME),
        ],
        **CUT,
        error=ConnectionCut,
        says="damaged",
        shown="Content-Encoding: gzip … (compressed, damaged)",
    ),
    _framing(
        "gzip-is-a-lie",
        "langgenius/dify#9275",
        "An error before the first text.",
        stream(ROLE, HELLO, WORLD, STOP, DONE, headers={"Content-Encoding": "gzip"}),
        **NO_STREAM,
        says="damaged",
        shown="Content-Encoding: gzip\\r\\n\\r\\ndata: {",
    ),
    _framing(
        "gzip-is-not-told",
        "Wei-Shaw/claude-relay-service#1027",
        "Not an event stream.",
        stream(*gzipped([ROLE, HELLO, WORLD, STOP, DONE])),
        **NO_STREAM,
        shown="\\u001f\\x8b\\u0008",
    ),
    _framing(
        "http-1-0",
        HTTP_1,
        "The body ends with the connection.",
        [Send(head(chunked=False, version="HTTP/1.0")), *(Send(one) for one in (ROLE, HELLO, WORLD, STOP, DONE)), Close()],
        shown="HTTP/1.0 200 OK",
    ),
    _framing(
        "content-type-wrong",
        CONSTRUCTED,
        "The bytes decide: an event stream under another name is one.",
        stream(ROLE, HELLO, WORLD, STOP, DONE, content_type="application/json"),
        shown="Content-Type: application/json … data: {",
    ),
)

# Not a stream ---------------------------------------------------------------------------------------------------------

_other = partial(WireCase, group="Not a stream")


def _redirect(status: int, source: str = HTTP) -> WireCase:
    return _other(
        f"redirect-{status}",
        source,
        "Not followed: neither key nor prompt goes to the other place, which the message names.",
        page(status, b"", "text/plain", {"Location": ELSEWHERE}),
        **NO_STREAM,
        says=re.escape(ELSEWHERE),
        shown=f"HTTP/1.1 {status} … Location: {ELSEWHERE}",
    )


NOT_A_STREAM = (
    _other(
        "json-completion",
        "LM Studio: pot-app/pot-desktop#1096",
        "Shown, with a notice that the server does not stream.",
        json_reply(COMPLETION),
        usage=USAGE,
        shown='Content-Type: application/json … "message":{"role":"assistant","content":"Hello world"}',
    ),
    _other(
        "json-completion-cut-by-length",
        OPENAI,
        "Shown; its finish_reason says that it is not whole.",
        json_reply({**COMPLETION, "choices": [{**COMPLETION["choices"][0], "finish_reason": "length"}]}),
        outcome=Outcome.LENGTH,
        finish_reason="length",
        usage=USAGE,
        status=7,
        shown='"content":"Hello world"},"finish_reason":"length"',
    ),
    _other(
        "json-completion-pretty",
        CONSTRUCTED,
        "Shown, on however many lines it stands.",
        page(200, json.dumps(COMPLETION, indent=2).encode(), "application/json"),
        usage=USAGE,
        shown='{\\n  "id": "chatcmpl-test",\\n',
    ),
    _other(
        "json-completion-byte-order-mark",
        CONSTRUCTED,
        "Shown: the mark is no part of the JSON.",
        page(200, b"\xef\xbb\xbf" + json.dumps(COMPLETION).encode(), "application/json"),
        usage=USAGE,
        shown='\\ufeff{"id": "chatcmpl-test"',
    ),
    _other(
        "json-completion-behind-a-comment",
        CONSTRUCTED,
        "Shown: a comment does not make a stream of it.",
        page(200, b": OPENROUTER PROCESSING\n\n" + json.dumps(COMPLETION).encode(), "text/event-stream"),
        usage=USAGE,
        shown=": OPENROUTER PROCESSING",
    ),
    _other(
        "json-completion-then-done",
        CONSTRUCTED,
        "Shown: nor does `[DONE]` behind it.",
        page(200, json.dumps(COMPLETION).encode() + b"\n\n" + DONE, "text/event-stream"),
        usage=USAGE,
        shown="data: [DONE]",
    ),
    _other(
        "json-completion-large",
        CONSTRUCTED,
        "Shown, all five million characters of it.",
        page(
            200,
            json.dumps(
                {**COMPLETION, "choices": [{"message": {"content": "x" * 5_000_000}, "finish_reason": "stop"}]}
            ).encode(),
            "application/json",
        ),
        text="x" * 5_000_000,
        usage=USAGE,
        cut=False,
        shown="xxxxxxxx",
    ),
    _other(
        "json-completion-then-silence",
        CONSTRUCTED,
        "Shown after two seconds of silence, without waiting for the end of a connection that stays open.",
        [Send(head(200, content_type="application/json")), Send(frame(json.dumps(COMPLETION).encode())), Hang()],
        usage=USAGE,
        cut=False,
        timeout=120.0,
    ),
    _other(
        "json-completion-then-reset",
        CONSTRUCTED,
        "Shown: the connection broke behind its last brace.",
        [
            Send(head(200, content_type="application/json")),
            Send(frame(json.dumps(COMPLETION).encode())),
            Wait(0.05),
            Reset(),
        ],
        usage=USAGE,
        cut=False,
    ),
    _other(
        "json-completion-cut",
        CONSTRUCTED,
        "Half an answer in one piece cannot be read; nothing of it is passed off as an answer.",
        [
            Send(head(200, content_type="application/json")),
            Send(frame(json.dumps(COMPLETION).encode()[:-9])),
            Wait(0.05),
            Reset(),
        ],
        **{**NO_STREAM, "error": ConnectionFailed},
        cut=False,
    ),
    _other(
        "json-completion-as-event-stream",
        "9router: decolua/9router#3492",
        "The bytes decide: a completion under another name is one.",
        page(200, json.dumps(COMPLETION).encode(), "text/event-stream"),
        usage=USAGE,
        shown='Content-Type: text/event-stream … {"id": "chatcmpl-test"',
    ),
    _other(
        "json-error",
        OPENROUTER_ERRORS,
        "An error in spite of the status 200; the code inside decides.",
        json_reply({"error": {"code": 502, "message": "Your chosen model is down"}}),
        **{**FAILED, **NOTHING},
        says="Your chosen model is down",
        shown='HTTP/1.1 200 OK … {"error":{"code":502,"message":"Your chosen model is down"}}',
    ),
    _other(
        "json-something",
        CONSTRUCTED,
        "Not an event stream: the beginning of the body is quoted.",
        json_reply({"detail": "It works"}),
        **NO_STREAM,
        says="It works",
        shown='{"detail":"It works"}',
    ),
    _other(
        "json-lines",
        "Ollama: coasys/ad4m#1001",
        "Not an event stream: Ollama's own interface does not speak this API.",
        page(200, b'{"message":{"content":"Hello"},"done":false}\n{"done":true}\n', "application/x-ndjson"),
        **NO_STREAM,
        says="instead of an event stream",
        shown='{"message":{"content":"Hello"},"done":false}\\n{"done":true}\\n',
    ),
    _other(
        "html-200",
        "nginx: Mintplex-Labs/anything-llm#3223",
        "Not an event stream: the page's title is named.",
        page(200, HTML, "text/html"),
        **NO_STREAM,
        says="502 Bad Gateway",
        shown="HTTP/1.1 200 OK … <!doctype html><html><head><title>502 Bad Gateway</title>",
    ),
    _other(
        "html-502",
        "Kong and nginx: Kong/kong#927",
        "The server's failure: status and title are named.",
        page(502, HTML, "text/html"),
        **{**FAILED, **NOTHING},
        says="502",
        shown="HTTP/1.1 502 Bad Gateway … <!doctype html><html><head><title>502 Bad Gateway</title>",
    ),
    _other(
        "empty-body",
        "9router: decolua/9router#3051",
        "Not an event stream: an empty answer.",
        page(200, b"", "text/event-stream"),
        **NO_STREAM,
        says="an empty answer",
        shown="Content-Length: 0\\r\\n\\r\\n",
    ),
    _other(
        "empty-chunked-body",
        "earendil-works/pi#2537",
        "Not an event stream: an empty answer.",
        stream(),
        **NO_STREAM,
        says="an empty answer",
        shown="Transfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n",
    ),
    _other(
        "comments-alone",
        OPENROUTER_STREAM,
        "An event stream without an answer, which is not whole.",
        stream(b": OPENROUTER PROCESSING\n\n"),
        **{**CUT, "text": ""},
    ),
    _other(
        "done-alone",
        "vLLM: vllm-project/vllm#40986",
        "The answer is empty.",
        stream(DONE),
        outcome=Outcome.EMPTY,
        **NOTHING,
        status=7,
        shown="data: [DONE]",
    ),
    _other(
        "status-204",
        HTTP,
        "Not an event stream: an empty answer.",
        [Send(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")],
        **NO_STREAM,
        says="an empty answer",
        shown="HTTP/1.1 204 No Content",
    ),
    _other(
        "plain-text",
        "huggingface/chat-ui#430",
        "Not an event stream: the beginning of the body is quoted.",
        page(200, b"Ollama is running", "text/plain; charset=utf-8"),
        **NO_STREAM,
        says="Ollama is running",
        shown="Ollama is running",
    ),
    _other(
        "ssh-banner",
        "RFC 4253, 4.2 <https://www.rfc-editor.org/rfc/rfc4253#section-4.2>",
        "No answer. One that greets before it is asked is told by its greeting (`tests/providers/test_greeting.py`).",
        [Send(b"SSH-2.0-OpenSSH_9.6\r\n"), Wait(0.05), Send(b"Invalid SSH identification string.\r\n"), Close()],
        **{**NO_STREAM, "error": ConnectionFailed},
        says="broke before",
        shown="SSH-2.0-OpenSSH_9.6\\r\\n",
    ),
    _other(
        "smtp-greeting",
        "RFC 5321, 4.2 <https://www.rfc-editor.org/rfc/rfc5321#section-4.2>",
        "The same.",
        [Send(b"220 ready\r\n\r\n"), Close()],
        **NO_STREAM,
        says="does not speak HTTP",
        shown="220 ready\\r\\n\\r\\n",
    ),
    _redirect(301, "startfellows/tonapi-sdk-js#11"),
    _redirect(302),
    _redirect(303),
    _redirect(307, "FastAPI: Kaoruha/GinkGO#5389"),
    _redirect(308),
)

# Ends -----------------------------------------------------------------------------------------------------------------

_end = partial(WireCase, group="Ends")

WHOLE = stream(ROLE, HELLO, WORLD, STOP, DONE)
BROKEN: Mapping[str, Any] = {**FAILED, **NOTHING, "error": ConnectionFailed}

ENDS = (
    _end(
        "reset-before-the-first-byte",
        HTTP_1,
        "Tried again as often as `--retries` says, then an error.",
        [Reset()],
        **BROKEN,
        says="broke before",
        retries=2,
        requests=3,
        cut=False,
        shown="(reset)",
    ),
    _end(
        "reset-then-an-answer",
        HTTP_1,
        "The second attempt's answer is whole.",
        [Reset()],
        retries=2,
        then=WHOLE,
        requests=2,
        cut=False,
        shown="(reset)",
    ),
    _end(
        "close-before-the-first-byte",
        HTTP_1,
        "Tried again, then an error.",
        [Close()],
        **BROKEN,
        says="broke before",
        retries=1,
        requests=2,
        cut=False,
        shown="(close)",
    ),
    _end(
        "head-then-close",
        HTTP_1,
        "Nothing has been shown yet: tried again.",
        [*begun(), Close()],
        retries=1,
        then=WHOLE,
        requests=2,
        shown="Transfer-Encoding: chunked\\r\\n\\r\\n",
    ),
    _end(
        "role-then-close",
        HTTP_1,
        "Nothing has been shown yet: tried again.",
        [*begun(ROLE), Close()],
        retries=1,
        then=WHOLE,
        requests=2,
        shown='{"role":"assistant","content":""}',
    ),
    _end(
        "error-before-text",
        "SGLang: sgl-project/sglang#19357",
        "A failure that may pass, and nothing has been shown yet: tried again.",
        stream(ROLE, raw({"error": {"message": "Overloaded", "code": 503}})),
        retries=1,
        then=WHOLE,
        requests=2,
    ),
    _end(
        "reset-after-text",
        "OpenAI: openai/openai-python#2356",
        "The text is kept and marked as cut; it is never asked for again in silence.",
        [*begun(ROLE, HELLO), Wait(0.1), Reset()],
        **CUT,
        error=ConnectionCut,
        retries=2,
        then=WHOLE,
        shown='{"content":"Hello"} … (reset)',
    ),
    _end(
        "reset-after-reasoning",
        CONSTRUCTED,
        "The same: reasoning has been shown too.",
        [*begun(event(delta={"reasoning_content": "Hm"})), Wait(0.1), Reset()],
        **{**CUT, "text": ""},
        reasoning="Hm",
        error=ConnectionCut,
        retries=2,
        then=WHOLE,
    ),
    _end(
        "reset-after-finish",
        CONSTRUCTED,
        "Complete: the server had said that this is all.",
        [*begun(ROLE, HELLO, WORLD, STOP), Wait(0.1), Reset()],
        shown='{},"finish_reason":"stop"}]}\\n\\n … (reset)',
    ),
    _end(
        "close-without-finish",
        "Command Code: CommandCodeAI/command-code#785",
        "The text is kept and marked as cut.",
        [Send(head(chunked=False)), Send(ROLE), Send(HELLO), Close()],
        **CUT,
        shown='Connection: close … {"content":"Hello"} … (close)',
    ),
    _end(
        "close-inside-an-event",
        HTTP_1,
        "The text before the half event is kept and marked as cut.",
        [Send(head(chunked=False)), Send(ROLE), Send(HELLO), Send(WORLD[:40]), Close()],
        **CUT,
        shown='{"content":"Hello"} … data: {"id":"chatcmpl-test" … (close)',
    ),
    _end(
        "chunked-body-cut",
        "OpenAI: openai/openai-python#2065",
        "The text is kept and marked as cut.",
        [*begun(ROLE, HELLO), Close()],
        **CUT,
        error=ConnectionCut,
        retries=2,
        then=WHOLE,
        shown='{"content":"Hello"} … (close)',
    ),
    _end(
        "chunked-body-cut-inside-a-frame",
        "OpenAI: openai/openai-python#2065",
        "The text before the half frame is kept and marked as cut.",
        [*begun(ROLE, HELLO), Send(frame(WORLD)[:60]), Close()],
        **CUT,
        error=ConnectionCut,
        shown='{"content":"Hello"} … data: {"id":"chatcmpl-test" … (close)',
    ),
    _end(
        "chunked-body-cut-after-finish",
        CONSTRUCTED,
        "Complete: the server had said that this is all.",
        [*begun(ROLE, HELLO, WORLD, STOP), Close()],
        shown='{},"finish_reason":"stop"}]}\\n\\n … (close)',
    ),
    _end(
        "body-shorter-than-its-length",
        HTTP,
        "The text is kept and marked as cut.",
        [Send(head(headers={"Content-Length": "9999"}, chunked=False)), Send(ROLE), Send(HELLO), Close()],
        **CUT,
        error=ConnectionCut,
        shown='Content-Length: 9999 … {"content":"Hello"} … (close)',
    ),
    _end(
        "json-shorter-than-its-length",
        HTTP,
        "An error: half a completion is no answer.",
        [
            Send(head(headers={"Content-Length": "9999"}, content_type="application/json", chunked=False)),
            Send(json.dumps(COMPLETION).encode()[:150]),
            Close(),
        ],
        **{**FAILED, **NOTHING},
        shown='Content-Length: 9999 … {"id": "chatcmpl-test" … (close)',
    ),
    _end(
        "error-after-finish",
        CONSTRUCTED,
        "Complete: a late failure takes nothing from a whole answer.",
        stream(ROLE, HELLO, WORLD, STOP, raw({"error": {"message": "late", "code": 500}}), DONE),
    ),
    _end(
        "stall-before-the-head",
        HTTP_1,
        "An error after `--timeout` seconds without a byte.",
        [Hang()],
        **{**SILENT, "text": ""},
        cut=False,
        shown="(silence)",
    ),
    _end(
        "stall-after-the-head",
        HTTP_1,
        "The same.",
        [*begun(), Hang()],
        **{**SILENT, "text": ""},
        cut=False,
        shown="Transfer-Encoding: chunked\\r\\n\\r\\n … (silence)",
    ),
    _end(
        "stall-after-text",
        "DeepSeek: deepseek-ai/DeepSeek-V3#1608",
        "The text is kept; the same error.",
        [*begun(ROLE, HELLO), Hang()],
        **SILENT,
        retries=2,
        cut=False,
        shown='{"content":"Hello"} … (silence)',
    ),
    _end(
        "comments-while-waiting",
        OPENROUTER_STREAM,
        "No stall: a comment is a sign of life.",
        [
            *begun(ROLE),
            *[step for _ in range(5) for step in (Wait(0.5), Send(frame(b": OPENROUTER PROCESSING\n\n")))],
            *(Send(frame(one)) for one in (HELLO, WORLD, STOP, DONE)),
            Send(LAST_FRAME),
        ],
        timeout=2.0,
        cut=False,
        shown=": OPENROUTER PROCESSING\\n\\n: OPENROUTER PROCESSING\\n\\n",
    ),
    _end(
        "finish-then-silence",
        "musistudio/claude-code-router#1271",
        "Complete: waited for at most two seconds more.",
        [*begun(ROLE, HELLO, WORLD, STOP), Hang()],
        timeout=120.0,
        cut=False,
        shown='{},"finish_reason":"stop"}]}\\n\\n … (silence)',
    ),
    _end(
        "finish-then-comments",
        "maximhq/bifrost#6784",
        "Complete: comments do not prolong the two seconds.",
        [
            *begun(ROLE, HELLO, WORLD, STOP),
            *[step for _ in range(600) for step in (Wait(0.2), Send(frame(b": heartbeat\n\n")))],
            Hang(),
        ],
        timeout=120.0,
        cut=False,
        shown='{},"finish_reason":"stop"}]}\\n\\n: heartbeat\\n\\n: heartbeat\\n\\n',
    ),
    _end(
        "finish-then-late-usage",
        "musistudio/claude-code-router#1271",
        "The usage that comes within the two seconds is read.",
        [
            *begun(ROLE, HELLO, WORLD, STOP),
            Wait(0.4),
            Send(frame(event(choices=[], usage=COUNTED))),
            Send(frame(DONE)),
            Send(LAST_FRAME),
        ],
        usage=USAGE,
        cut=False,
        shown='{},"finish_reason":"stop"}]}\\n\\n … "choices":[],"usage":{"prompt_tokens":9',
    ),
)

CASES: tuple[WireCase, ...] = (*WHOLE_OR_NOT, *SHAPE, *TEXT_KINDS, *FRAMING, *NOT_A_STREAM, *ENDS)
