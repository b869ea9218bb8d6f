"""What went wrong, by name: the fact that decides which advice fits.

The advice itself stands in one table of the command line's (cli/hints.py), in its words and in the chat's.
"""

from __future__ import annotations

from enum import Enum


class Kind(str, Enum):
    """The kind of an error. Its value is stable, and may be compared with a string.

    In brackets: the facts (`ChatError.facts`) that an error of this kind carries beside its message.
    """

    UNEXPECTED = "unexpected"
    USAGE = "usage"

    # The request, as the server saw it
    KEY_MISSING = "key_missing"  # [host, key_variable]
    KEY_REJECTED = "key_rejected"  # [host, key_variable, key: masked]
    KEY_EXPOSED = "key_exposed"
    KEY_FORBIDDEN = "key_forbidden"  # [key_variable, key: masked]
    QUOTA = "quota"
    RATE_LIMIT = "rate_limit"  # [wait: seconds that the server asks for, or None]
    MODEL_NOT_FOUND = "model_not_found"
    PATH_NOT_FOUND = "path_not_found"  # [base_url]
    PROMPT_TOO_LARGE = "prompt_too_large"
    REQUEST_REJECTED = "request_rejected"
    REDIRECTED = "redirected"  # [location]

    # The server, and what it sent
    SERVER_FAILED = "server_failed"
    SERVER_TIMED_OUT = "server_timed_out"
    ANSWER_CUT = "answer_cut"
    ANSWER_TOO_LONG = "answer_too_long"  # [began: whether some of it is kept]
    TOO_MUCH_SENT = "too_much_sent"
    HEADERS_TOO_LONG = "headers_too_long"
    NOT_A_STREAM = "not_a_stream"
    NOT_HTTP = "not_http"
    DAMAGED_ANSWER = "damaged_answer"
    NO_MODEL_LIST = "no_model_list"

    # The connection
    READ_TIMEOUT = "read_timeout"
    CONNECT_TIMEOUT = "connect_timeout"
    TIME_LIMIT = "time_limit"
    NO_TIME_TO_RETRY = "no_time_to_retry"
    CONNECTION_BROKEN = "connection_broken"
    CONNECTION_REFUSED = "connection_refused"
    UNREACHABLE = "unreachable"
    CERTIFICATE = "certificate"
    TLS = "tls"
    PROXY_UNREACHABLE = "proxy_unreachable"
    PROXY = "proxy"
    PROXY_PACKAGE = "proxy_package"
    NO_PROXY = "no_proxy"
    BASE_URL = "base_url"
    HEADER_CHARACTER = "header_character"
    CERTIFICATES_UNREADABLE = "certificates_unreadable"
    SDK_MISSING = "sdk_missing"

    # The embedded model
    MODEL_NOT_INSTALLED = "model_not_installed"  # [runtime, weights: packages]
    MODEL_RUNTIME = "model_runtime"  # [runtime: package]
    WEIGHTS_DAMAGED = "weights_damaged"  # [weights: package]
    MODEL_FILE = "model_file"
    MODEL_FILE_DAMAGED = "model_file_damaged"
    MODEL_NOT_STARTED = "model_not_started"
    MODEL_LOADING = "model_loading"
    MODEL_MEMORY = "model_memory"
    MODEL_NOT_LOADED = "model_not_loaded"
    MODEL_STOPPED = "model_stopped"
    ONLY_MODEL = "only_model"

    # Settings and their files
    INVALID_SETTING = "invalid_setting"  # [setting, meaning]
    UNKNOWN_SETTING = "unknown_setting"  # [nearest: or None, allowed]
    SETTINGS_CONFLICT = "settings_conflict"  # [private: where it comes from]
    NOT_JSON = "not_json"
    PRICES = "prices"
    PRICE_KEY = "price_key"  # [nearest]
    PRICE_NAME = "price_name"  # [model]
    KEY_DAMAGED = "key_damaged"  # [key_variable]
    KEY_WITHHELD = "key_withheld"  # [trust: the command that trusts the file]
    FILE_UNREADABLE = "file_unreadable"
    FILE_UNSAFE = "file_unsafe"
    FILE_ENCODING = "file_encoding"
    INVALID_TOML = "invalid_toml"
    TOML_PARSER_MISSING = "toml_parser_missing"
    TRUST_LIST_UNREADABLE = "trust_list_unreadable"
    TRUST_LIST_UNSAFE = "trust_list_unsafe"
    TRUST_LIST_DAMAGED = "trust_list_damaged"
    TRUST_LIST_UNWRITABLE = "trust_list_unwritable"
    TRUST_FOLDER_UNSAFE = "trust_folder_unsafe"
    NO_STATE_FOLDER = "no_state_folder"

    # Input and output
    INVALID_MESSAGES = "invalid_messages"
    OUTPUT_CLOSED = "output_closed"
    OUTPUT_FAILED = "output_failed"
    INPUT_UNREADABLE = "input_unreadable"
    INPUT_LEFT_ALONE = "input_left_alone"
    NOT_TEXT = "not_text"

    # What is kept
    HISTORY_UNREADABLE = "history_unreadable"  # [path]
    HISTORY_NOT_IMPORTED = "history_not_imported"  # [path]
    HISTORY_NOT_OURS = "history_not_ours"
    HISTORY_TOO_NEW = "history_too_new"  # [path]
    NOT_TURNS = "not_turns"
    LOG_UNWRITABLE = "log_unwritable"
    TRANSCRIPT_UNWRITABLE = "transcript_unwritable"
    DOCUMENT_LIBRARY = "document_library"
    TELEMETRY_LIBRARY = "telemetry_library"
