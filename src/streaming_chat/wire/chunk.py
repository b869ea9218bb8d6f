"""What a chunk says, by its shape: the API's fields, and the forms in which other servers send the same.

Nothing here trusts a type. A field of the wrong type is as good as absent, and nothing that JSON can express raises. Which
servers send which form is told in docs/wire.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from streaming_chat.core.events import Usage
from streaming_chat.text.lines import cut
from streaming_chat.text.surrogates import SurrogateJoiner

#: What a piece of text may have beside it in its choice and its delta, as long as there is nothing in it.
_OF_CHOICE: Final = frozenset({"index", "delta"})
_OF_DELTA: Final = frozenset({"content", "role"})

#: More than 64 bits: nobody has counted that far, and neither the history's file nor a float holds it.
_TOO_LARGE: Final = 2**63


def plain_text_of(chunk: object) -> str | None:  # one test after the other, as it runs for every chunk
    """The text of a chunk that is a piece of text and nothing else, as nearly all are; None for any other.

    It says what the functions below would say, in a tenth of their time. `tests/wire/test_reply.py` compares the two.
    """
    if type(chunk) is not dict or chunk.get("usage") or "error" in chunk or chunk.get("object") != "chat.completion.chunk":
        return None
    choices = chunk.get("choices")
    if type(choices) is not list or len(choices) != 1:
        return None
    choice = choices[0]
    if type(choice) is not dict or choice.get("index") != 0:
        return None
    for field, value in choice.items():
        if value is not None and field not in _OF_CHOICE:
            return None
    return _plain_content(choice.get("delta"))


def _plain_content(delta: object) -> str | None:
    """The text of a delta that has nothing else in it; None for any other."""
    if type(delta) is not dict:
        return None
    content = delta.get("content")
    if type(content) is not str or not content:
        return None
    for field, value in delta.items():
        if value and field not in _OF_DELTA:
            return None
    return content


def text_of(value: object) -> str:
    """Text, or nothing."""
    return value if isinstance(value, str) else ""


def whole_number(value: object) -> int | None:
    """A number without a fraction, which some servers write as 0.0, or nothing."""
    return int(value) if isinstance(value, int) or (isinstance(value, float) and value.is_integer()) else None


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
    return whole_number(choice.get("index")) or 0


def finish_reason_of(choice: Mapping[str, Any]) -> str:
    """Why the answer ended; nothing while it goes on, which some servers write as "null"."""
    reason = cut(name_of(choice.get("finish_reason")))
    return "" if reason == "null" else reason


def has_answer(chunk: Mapping[str, Any]) -> bool:
    """Whether a chunk brings a piece of an answer: text, reasoning, a refusal or a call."""
    choice, _ = choices_of(chunk, several=True)
    delta = delta_of(choice) if choice is not None else {}
    return bool(content_of(delta) or reasoning_of(delta) or refusal_of(delta) or delta.get("tool_calls"))


def delta_of(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """`delta`, or `message` in its place, or the `text` of a completion."""
    for field in ("delta", "message"):
        if isinstance(choice.get(field), Mapping):
            found: Mapping[str, Any] = choice[field]
            return found
    return {"content": choice.get("text")}


def content_of(delta: Mapping[str, Any]) -> str:
    """Text, or the text of one part or of a list of them (`[{"type": "text", "text": "…"}]`), or `text` in its place."""
    return "".join(text_of(part.get("text")) for part in _parts_of(delta)) or text_of(delta.get("text"))


def refusal_of(delta: Mapping[str, Any]) -> str:
    """The model's refusal, in a field of its own or among the parts of the content."""
    return text_of(delta.get("refusal")) or "".join(text_of(part.get("refusal")) for part in _parts_of(delta))


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
    return "".join(_thinking_of(part) for part in _parts_of(delta))


def calls_of(delta: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tool calls, each with `name` and `arguments` as text beside the fields of its own.

    They come as a list or alone, as the `function` of a call, as the `custom` tool whose arguments are called input, without
    either, or as the one `function_call` of the API before there were tools.
    """
    one = delta.get("function_call")
    calls = delta.get("tool_calls") or ({"function": one} if one else [])
    found: list[Mapping[str, Any]] = []
    for call in calls if isinstance(calls, list) else [calls]:
        if isinstance(call, Mapping):
            named = next((call[form] for form in ("function", "custom") if isinstance(call.get(form), Mapping)), call)
            arguments = next((named[name] for name in ("arguments", "input") if named.get(name) is not None), None)
            name = cut(text_of(named.get("name")))
            if name or arguments is not None:
                found.append({**call, "name": name, "arguments": _as_written(arguments)})
            elif named is not call:
                found.append({**call, "name": "", "arguments": ""})
    return found


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


def _parts_of(delta: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The content as a list of parts, whichever form it has."""
    content = delta.get("content")
    parts = content if isinstance(content, list) else [content]
    return [{"text": part} if isinstance(part, str) else part for part in parts if isinstance(part, (str, Mapping))]


def _as_written(arguments: object) -> str:
    """The arguments of a call as the text that they are in the API; there are servers that send the object itself."""
    if isinstance(arguments, str) or arguments is None:
        return arguments or ""
    try:
        return json.dumps(arguments, ensure_ascii=False)
    except RecursionError:  # Brackets inside brackets: what could just be read is too deep to be written from here.
        return ""


def _thinking_of(part: Mapping[str, Any]) -> str:
    """Mistral's `{"type": "thinking", "thinking": [{"type": "text", "text": "…"}]}`."""
    thinking = part.get("thinking")
    return content_of({"content": thinking}) if isinstance(thinking, (str, list)) else ""


def _count(value: object, field: str) -> int | None:
    number = value.get(field) if isinstance(value, Mapping) else None
    is_count = isinstance(number, int) and not isinstance(number, bool) and 0 <= number < _TOO_LARGE
    return number if is_count else None
