"""A terminal client for the Chat Completions API that shows every token the moment it arrives.

From Python: `from streaming_chat import stream` (docs/api.md). Each name is imported when it is first asked for, so that
importing the package costs nothing and loads neither the SDK nor anything of the command line.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from streaming_chat.api import AnswerStream as AnswerStream
    from streaming_chat.api import stream as stream
    from streaming_chat.core.conversation import Message as Message
    from streaming_chat.core.error_kinds import Kind as Kind
    from streaming_chat.core.errors import ChatError as ChatError
    from streaming_chat.core.errors import ConnectionCut as ConnectionCut
    from streaming_chat.core.errors import ConnectionFailed as ConnectionFailed
    from streaming_chat.core.errors import CredentialsError as CredentialsError
    from streaming_chat.core.errors import NotAStream as NotAStream
    from streaming_chat.core.errors import QuotaError as QuotaError
    from streaming_chat.core.errors import RateLimitError as RateLimitError
    from streaming_chat.core.errors import RequestRejected as RequestRejected
    from streaming_chat.core.errors import ServerError as ServerError
    from streaming_chat.core.errors import TimedOut as TimedOut
    from streaming_chat.core.errors import TooMuchSent as TooMuchSent
    from streaming_chat.core.errors import UsageError as UsageError
    from streaming_chat.core.events import Adapted as Adapted
    from streaming_chat.core.events import Event as Event
    from streaming_chat.core.events import Finished as Finished
    from streaming_chat.core.events import Logprobs as Logprobs
    from streaming_chat.core.events import NotStreamed as NotStreamed
    from streaming_chat.core.events import OtherChoice as OtherChoice
    from streaming_chat.core.events import Outcome as Outcome
    from streaming_chat.core.events import ReasoningDelta as ReasoningDelta
    from streaming_chat.core.events import ReasoningUnmarked as ReasoningUnmarked
    from streaming_chat.core.events import RefusalDelta as RefusalDelta
    from streaming_chat.core.events import Retrying as Retrying
    from streaming_chat.core.events import Sent as Sent
    from streaming_chat.core.events import Skipped as Skipped
    from streaming_chat.core.events import Started as Started
    from streaming_chat.core.events import TextDelta as TextDelta
    from streaming_chat.core.events import ToolCallDelta as ToolCallDelta
    from streaming_chat.core.events import Usage as Usage
    from streaming_chat.core.events import UsageReported as UsageReported
    from streaming_chat.core.timing import Gaps as Gaps
    from streaming_chat.core.timing import Timing as Timing
    from streaming_chat.core.turn import ToolCall as ToolCall
    from streaming_chat.core.turn import Turn as Turn

__version__ = "0.1.0"

#: Module → the public names that it defines.
_HOMES = {
    "api": ("AnswerStream", "stream"),
    "core.conversation": ("Message",),
    "core.error_kinds": ("Kind",),
    "core.errors": (
        *(
            "ChatError",
            "ConnectionCut",
            "ConnectionFailed",
            "CredentialsError",
            "NotAStream",
            "QuotaError",
            "RateLimitError",
        ),
        *("RequestRejected", "ServerError", "TimedOut", "TooMuchSent", "UsageError"),
    ),
    "core.events": (
        *("Adapted", "Event", "Finished", "Logprobs", "NotStreamed", "OtherChoice", "Outcome", "ReasoningDelta"),
        *("ReasoningUnmarked", "RefusalDelta", "Retrying", "Sent", "Skipped", "Started", "TextDelta", "ToolCallDelta"),
        *("Usage", "UsageReported"),
    ),
    "core.timing": ("Gaps", "Timing"),
    "core.turn": ("ToolCall", "Turn"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]  # all of them are text


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return sorted({*globals(), *__all__})
