"""Every exception class of the SDK and of the HTTP library below it has a translation, or a reason why it needs none.

A new version of either may bring a class that nobody here has heard of: then this test fails before a user sees
"unexpected".
"""

from __future__ import annotations

import inspect
from types import ModuleType

import openai
import pytest
from openai import _exceptions

from http_library import httpx
from streaming_chat.cli.hints import Hints
from streaming_chat.core.errors import ChatError
from streaming_chat.providers.endpoint import Endpoint
from streaming_chat.providers.failures import translate

HINTS = Hints()

ENDPOINT = Endpoint("https://api.example.test/v1", "sk-test-0123456789abcdef", "OPENAI_API_KEY", 30.0)

#: Classes that never reach `translate`.
OUT_OF_REACH = {
    "OpenAIError": "the root of the SDK's tree; itself raised for a client without a key, and ours always has one",
    "APIError": "raised by the SDK's own stream decoder, which is not used",
    "APIResponseValidationError": "raised by strict validation of typed responses, which is off",
    "LengthFinishReasonError": "raised by .parse() of structured outputs, which is not used",
    "ContentFilterFinishReasonError": "raised by .parse() of structured outputs, which is not used",
    "InvalidWebhookSignatureError": "raised by the check of webhooks, of which there are none",
    "_AmbiguousModuleClientUsageError": "raised by the client of the module, which is not used",
    "HTTPError": "a root that is never raised itself",
    "RequestError": "a root that is never raised itself",
    "HTTPStatusError": "raised by raise_for_status(), which the SDK turns into an APIStatusError",
    "TooManyRedirects": "redirects are not followed",
    "CookieConflict": "raised by reading cookies by name, which nobody does",
}

#: Likewise, of a newer SDK than 2.9.0.
OUT_OF_REACH_LATER = {
    "SubjectTokenProviderError": "raised by workload identities, which are not used",
    "WebSocketConnectionClosedError": "raised by WebSockets, which are not used",
    "WebSocketQueueFullError": "raised by WebSockets, which are not used",
}


def exceptions_of(*modules: ModuleType) -> dict[str, type[Exception]]:
    # dir() and not vars(): the SDK makes some of its names when they are asked for.
    found = [getattr(module, name) for module in modules for name in {*dir(module), *getattr(module, "__all__", ())}]
    return {one.__name__: one for one in found if inspect.isclass(one) and issubclass(one, Exception)}


KINDS = exceptions_of(openai, _exceptions, httpx)
OUT_OF_REACH |= {name: reason for name, reason in OUT_OF_REACH_LATER.items() if name in KINDS}


def failure_of(kind: type[Exception]) -> Exception:
    """A failure of this class, whatever its constructor wants."""
    failure = kind.__new__(kind)
    if issubclass(kind, openai.APIStatusError):
        failure.status_code = getattr(kind, "status_code", 500)
        failure.response = httpx.Response(failure.status_code)
        failure.body = None
    return failure


@pytest.mark.parametrize("name", sorted(set(KINDS) - set(OUT_OF_REACH)))
@pytest.mark.parametrize("began", [False, True], ids=["before the answer", "in mid-answer"])
def test_every_exception_is_translated(name: str, began: bool) -> None:
    error = translate(failure_of(KINDS[name]), ENDPOINT, began=began)
    assert type(error) is not ChatError, f"{name} is told as {error.message!r}: give it a translation, or a reason"
    assert "unexpected" not in error.message
    assert HINTS.hint_of(error)


def test_the_reasons_are_about_classes_that_exist_and_are_not_translated() -> None:
    assert set(OUT_OF_REACH) - set(KINDS) == set()
    assert [name for name in OUT_OF_REACH if type(translate(failure_of(KINDS[name]), ENDPOINT)) is not ChatError] == []


def test_the_trees_are_looked_at_whole() -> None:
    def below(kind: type[Exception]) -> set[str]:
        return {kind.__name__}.union(*(below(one) for one in kind.__subclasses__() if one.__module__ == kind.__module__))

    roots = [openai.OpenAIError, *(kind for kind in KINDS.values() if Exception in kind.__bases__)]
    assert set().union(*(below(root) for root in roots)) <= set(KINDS)
