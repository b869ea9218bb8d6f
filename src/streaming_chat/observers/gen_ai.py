"""A turn in the words of OpenTelemetry's semantic conventions for generative AI.

The names are those of the conventions of 2026 (github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai:
gen-ai-spans.md, gen-ai-metrics.md, gen-ai-input-messages.json, gen-ai-output-messages.json). What a server did not say is
not there. `outcome`, which they have no name for, is under `streaming_chat.`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from streaming_chat.core.events import Outcome
from streaming_chat.core.turn import Turn

Attribute: TypeAlias = "str | bool | int | float | list[str]"
Attributes: TypeAlias = "dict[str, Attribute]"

#: The bucket boundaries that the conventions advise: for all times in seconds, and for tokens.
SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS: Final = tuple(4**power for power in range(14))

#: The end of a host's name → the provider's name in the conventions.
_PROVIDERS: Final[Mapping[str, str]] = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "api.anthropic.com": "anthropic",
    "api.cohere.ai": "cohere",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.moonshot.cn": "moonshot_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "amazonaws.com": "aws.bedrock",
}
#: For every other host. It is no claim about who made the model: `server.address` tells who serves it.
_COMPATIBLE: Final = "openai_compatible"
_EMBEDDED: Final = "llama.cpp"
#: The protocol has whole numbers of 64 bits.
_TOO_LARGE: Final = 2**63


@dataclass(frozen=True)
class Peer:
    """Who answers: the provider's name, and where it is, unless it is a child of this process."""

    provider: str
    address: str | None = None
    port: int | None = None


def peer(host: str | None, port: int | None) -> Peer:
    """Who answers at `host`; None for the embedded model."""
    if host is None:
        return Peer(_EMBEDDED)
    fitting = (name for end, name in _PROVIDERS.items() if host == end or host.endswith("." + end))
    return Peer(next(fitting, _COMPATIBLE), host, port)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _TOO_LARGE


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or _is_whole(value)


#: Field of the request → name, and how to make a value of it; None where it has none.
_EXTRA: Final[Mapping[str, tuple[str, Callable[[Any], Attribute | None]]]] = {
    "max_completion_tokens": ("gen_ai.request.max_tokens", lambda value: value if _is_whole(value) else None),
    "seed": ("gen_ai.request.seed", lambda value: value if _is_whole(value) else None),
    "n": ("gen_ai.request.choice.count", lambda value: value if _is_whole(value) and value != 1 else None),
    "top_k": ("gen_ai.request.top_k", lambda value: float(value) if _is_number(value) else None),
    "frequency_penalty": (
        "gen_ai.request.frequency_penalty",
        lambda value: float(value) if _is_number(value) else None,
    ),
    "presence_penalty": (
        "gen_ai.request.presence_penalty",
        lambda value: float(value) if _is_number(value) else None,
    ),
}


def common_attributes(turn: Turn, peer: Peer) -> Attributes:
    """What spans and metrics have alike."""
    return _without_none(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": peer.provider,
            "gen_ai.request.model": turn.request.model,
            "gen_ai.response.model": turn.model or None,
            "server.address": peer.address,
            "server.port": peer.port,
        }
    )


def span_attributes(turn: Turn, peer: Peer, *, conversation: str, first_chunk: float | None) -> Attributes:
    """Those of a span. `first_chunk` is seconds after the start. Nothing that was asked or answered is among them."""
    request = turn.request
    usage = turn.usage
    extra = {name: make(request.extra[field]) for field, (name, make) in _EXTRA.items() if field in request.extra}
    return common_attributes(turn, peer) | _without_none(
        {
            **extra,
            "gen_ai.conversation.id": conversation,
            "gen_ai.request.stream": True,
            "gen_ai.request.temperature": request.temperature,
            "gen_ai.request.top_p": request.top_p,
            "gen_ai.request.max_tokens": request.max_tokens or extra.get("gen_ai.request.max_tokens"),
            "gen_ai.response.finish_reasons": [turn.finish_reason] if turn.finish_reason else None,
            "gen_ai.response.time_to_first_chunk": first_chunk,
            "gen_ai.usage.input_tokens": usage and usage.prompt_tokens,
            "gen_ai.usage.output_tokens": usage and usage.completion_tokens,
            "gen_ai.usage.cache_read.input_tokens": usage and usage.cached_tokens,
            "gen_ai.usage.reasoning.output_tokens": usage and usage.reasoning_tokens,
            "error.type": error_type(turn),
            "streaming_chat.outcome": turn.outcome.value,
        }
    )


def content_attributes(turn: Turn) -> Attributes:
    """What was asked and answered, as JSON: spans have no attributes of that structure in every language."""
    asked = [{"role": one.role, "parts": [{"type": "text", "content": one.content}]} for one in turn.request.messages]
    parts = [
        {"type": kind, "content": text}
        for kind, text in (("reasoning", turn.reasoning), ("text", turn.text), ("text", turn.refusal))
        if text
    ]
    calls = [{"type": "tool_call", "name": call.name, "arguments": call.arguments} for call in turn.tool_calls]
    # The schema wants a reason; where the server gave none, how it ended is the nearest thing.
    answered = [{"role": "assistant", "parts": [*parts, *calls], "finish_reason": turn.finish_reason or turn.outcome.value}]
    return {
        "gen_ai.input.messages": json.dumps(asked, ensure_ascii=False),
        "gen_ai.output.messages": json.dumps(answered, ensure_ascii=False),
    }


def error_type(turn: Turn) -> str | None:
    """The class of a failure: the HTTP status, or the name of this program's own class for it. None for no failure.

    An answer that was interrupted is what the user wanted; one that is cut by a limit or a filter is the model's answer.
    """
    if turn.outcome is Outcome.INTERRUPTED:
        return None
    if turn.error is not None:
        return str(turn.error.status_code or type(turn.error).__name__)
    return turn.outcome.value if turn.outcome is Outcome.TRUNCATED else None


def _without_none(attributes: Mapping[str, Any]) -> Attributes:
    """Those that have a value, and one that can be told."""
    return {
        name: value
        for name, value in attributes.items()
        if value is not None and (not isinstance(value, int) or abs(value) < _TOO_LARGE)
    }
