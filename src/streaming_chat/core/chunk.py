"""What a chunk says, by its shape: the API's fields, and the forms in which other servers send the same.

Nothing here trusts a type. A field of the wrong type is as good as absent, and nothing that JSON can express raises. Which
servers send which form is told in docs/wire.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streaming_chat.core.events import Usage
from streaming_chat.core.surrogates import SurrogateJoiner


def text_of(value: object) -> str:
    """Text, or nothing."""
    return value if isinstance(value, str) else ""


def name_of(value: object) -> str:
    """Text that comes in one piece, so that half a character in it stays one."""
    joiner = SurrogateJoiner()
    return joiner.feed(text_of(value)) + joiner.finish()


def choices_of(chunk: Mapping[str, Any], *, several: bool) -> tuple[Mapping[str, Any] | None, list[Mapping[str, Any]]]:
    """The choice that is shown, number 0, and the others.

    Who did not ask for `several` gets one, whatever number it has: there are servers that count chunks in it.
    """
    choices = chunk.get("choices")
    found = [choice for choice in choices if isinstance(choice, Mapping)] if isinstance(choices, list) else []
    shown = next((choice for choice in found if index_of(choice) == 0), None)
    if shown is None and not several:
        shown = next(iter(found), None)
    return shown, [choice for choice in found if choice is not shown]


def index_of(choice: Mapping[str, Any]) -> int:
    """The number of a choice; one without a number (text, say, is none) is number 0."""
    index = choice.get("index")
    return int(index) if isinstance(index, int) or (isinstance(index, float) and index.is_integer()) else 0


def finish_reason_of(choice: Mapping[str, Any]) -> str:
    """Why the answer ended; nothing while it goes on, which some servers write as "null"."""
    reason = name_of(choice.get("finish_reason"))
    return "" if reason == "null" else reason


def delta_of(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """`delta`, or `message` in its place, or the `text` of a completion."""
    for field in ("delta", "message"):
        if isinstance(choice.get(field), Mapping):
            found: Mapping[str, Any] = choice[field]
            return found
    return {"content": choice.get("text")}


def content_of(delta: Mapping[str, Any]) -> str:
    """Text, or the text of a list of parts (`[{"type": "text", "text": "…"}]`), or `text` in its place."""
    content = delta.get("content")
    if isinstance(content, list):
        return "".join(text_of(part.get("text")) if isinstance(part, Mapping) else text_of(part) for part in content)
    return text_of(content) or text_of(delta.get("text"))


def reasoning_of(delta: Mapping[str, Any]) -> str:
    """Reasoning, under any of the names that it has, as a list of details or among the parts of the content."""
    for field in ("reasoning_content", "reasoning"):
        if text := text_of(delta.get(field)):
            return text
    details = delta.get("reasoning_details")
    if isinstance(details, list):
        return "".join(
            text_of(detail.get("text")) or text_of(detail.get("summary"))
            for detail in details
            if isinstance(detail, Mapping)
        )
    content = delta.get("content")
    if isinstance(content, list):
        return "".join(_thinking_of(part) for part in content if isinstance(part, Mapping))
    return ""


def calls_of(delta: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tool calls, or the one `function_call` of the API before there were tools."""
    calls = delta.get("tool_calls")
    if not isinstance(calls, list) or not calls:
        calls = [{"function": delta.get("function_call")}]
    return [call for call in calls if isinstance(call, Mapping) and isinstance(call.get("function"), Mapping)]


def usage_of(chunk: Mapping[str, Any]) -> Usage | None:
    """The counts of tokens; None when there is none."""
    value = chunk.get("usage")
    if not isinstance(value, Mapping):
        return None
    usage = Usage(
        prompt_tokens=_count(value, "prompt_tokens"),
        completion_tokens=_count(value, "completion_tokens"),
        cached_tokens=_count(value.get("prompt_tokens_details"), "cached_tokens"),
        reasoning_tokens=_count(value.get("completion_tokens_details"), "reasoning_tokens"),
    )
    return None if usage == Usage() else usage


def _thinking_of(part: Mapping[str, Any]) -> str:
    """Mistral's `{"type": "thinking", "thinking": [{"type": "text", "text": "…"}]}`."""
    thinking = part.get("thinking")
    return content_of({"content": thinking}) if isinstance(thinking, (str, list)) else ""


def _count(value: object, field: str) -> int | None:
    number = value.get(field) if isinstance(value, Mapping) else None
    return number if isinstance(number, int) and not isinstance(number, bool) and number >= 0 else None
