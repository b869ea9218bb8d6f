"""Which refusals are answered with another request, and with which."""

from __future__ import annotations

import pytest

from streaming_chat.core.adaptation import ADAPTATIONS, adapt, adaptation_for
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.errors import ChatError, RequestRejected, ServerError

FULL = ChatRequest(
    "m",
    (Message("system", "S"), Message("user", "U")),
    temperature=0.7,
    top_p=0.9,
    max_tokens=5,
    extra={"stream_options": {"include_usage": True}, "seed": 7},
)
BARE = ChatRequest("m", (Message("user", "U"),))


def rejected(message: str, code: str | None = None, param: str | None = None, status: int = 400) -> RequestRejected:
    return RequestRejected(message, "hint", status_code=status, code=code, param=param)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (
            rejected(
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                "unsupported_parameter",
                "max_tokens",
            ),
            "max_completion_tokens",
        ),
        (
            rejected(
                "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is"
                " supported.",
                "unsupported_value",
                "temperature",
            ),
            "no_temperature",
        ),
        (rejected("Unsupported parameter: 'top_p' is not supported with this model.", None, "top_p"), "no_top_p"),
        (rejected("Unrecognized request argument supplied: stream_options"), "no_stream_options"),
        (rejected("stream_options: Extra inputs are not permitted", status=422), "no_stream_options"),
        (
            rejected(
                "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
                "unsupported_value",
                "messages[0].role",
            ),
            "developer",
        ),
        (rejected("the system role is not supported by this model"), "developer"),
        # What is not a refusal of the field is left to the user.
        (
            rejected(
                "max_tokens is too large: 999999. This model supports at most 16384 completion tokens.",
                "invalid_value",
                "max_tokens",
            ),
            None,
        ),
        (rejected("temperature must be at most 1", None, "temperature"), None),
        (rejected("max_tokens_to_sample is not supported"), None),
        (rejected("Invalid parameter: max_tokens is too large: 999999. This model supports at most 4096."), None),
        (rejected("max_tokens=99999 is not supported, must be <= 4096", "invalid_value"), None),
        (rejected("temperature: 3 is not allowed, must be between 0 and 2"), None),
        (rejected("Unknown model foo. (request: max_tokens=5)"), None),
        (rejected("does not support prompts that long: reduce max_tokens"), None),
        (rejected("Unexpected role order: system message must be at the beginning"), None),
        (rejected("Your role is not allowed to use the system"), None),
        (rejected("The system is not supported"), None),
        (rejected("Unsupported parameter: 'seed'", "unsupported_parameter", "seed"), None),
        (rejected("Unsupported parameter: 'top_p'", "unsupported_parameter", "top_p", status=404), None),
        (ServerError("'temperature' is not supported", "hint", status_code=500, param="temperature"), None),
    ],
)
def test_a_refusal_of_a_field_is_answered_and_nothing_else_is(error: ChatError, name: str | None) -> None:
    assert adaptation_for(FULL, error) == name
    # What changes nothing is not sent again.
    assert adaptation_for(BARE, error) is None


@pytest.mark.parametrize(
    "error",
    [
        rejected("body stream_options extra_forbidden", status=422),
        rejected("This endpoint has never heard of that field.", param="stream_options"),
    ],
)
def test_what_the_user_did_not_ask_for_is_given_up_in_whatever_words_it_is_refused(error: ChatError) -> None:
    request = ChatRequest("m", (Message("user", "U"),), include_usage=True)
    assert adaptation_for(request, error) == "no_stream_options"
    assert adapt(request, ["no_stream_options"]) == BARE
    assert adaptation_for(BARE, error) is None


def test_adaptations_change_their_field_alone() -> None:
    adapted = adapt(FULL, [*ADAPTATIONS, "of a later version"])
    assert adapted == ChatRequest(
        "m", (Message("developer", "S"), Message("user", "U")), extra={"seed": 7, "max_completion_tokens": 5}
    )
    assert adapt(BARE, ADAPTATIONS) == BARE
