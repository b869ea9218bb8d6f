"""The embedded model as a provider: starts providers/local/server.py, then speaks to it as to any other endpoint.

Strategy: the process starts with the program and loads while the user types; only a request waits for it. A process
that is gone is noticed at the next request, or by the failure of the running one, whose error then says why it is gone;
the request after that starts a new one.

Rule: nothing of llama.cpp's log reaches the screen but the one line that explains a failure, and of the key nothing.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from streaming_chat.core.conversation import ChatRequest
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import ChatError, ConnectionCut, RequestRejected, ServerError, TimedOut, UsageError
from streaming_chat.engine import deadline
from streaming_chat.engine.protocols import ChunkSource, Provider
from streaming_chat.providers.chunk_stream import ChunkStream
from streaming_chat.providers.local import weights as weights_
from streaming_chat.providers.local.weights import Weights
from streaming_chat.providers.openai_sdk import OpenAISDK
from streaming_chat.providers.sdk_import import import_openai

_PROGRAM = Path(__file__).with_name("server.py")
#: Runs `_PROGRAM` without the current folder on the search path, where `-m` would put it: a file `json.py` that happens
#: to lie there must not be run. (`-P` does it from Python 3.11 on; `-I` would also hide what `pip --user` installed.)
_RUN = "import sys; sys.path[:] = filter(None, sys.path); import runpy; runpy.run_path(sys.argv[1], run_name='__main__')"

#: The context in tokens: all that SmolLM2 has. A model trained on less gets its own (llama.cpp bounds it). One
#: trained on more could take it only at a price: 8192 tokens are 0.2 GB of memory for SmolLM2 and 1 GB for a model of 8
#: billion parameters, and the 128 k that such models are trained on would be 16 GB before the first word.
CONTEXT = 8192

#: How SmolLM2 answers best, for what the user does not set: its authors' sampling, a penalty against the loops into which so
#: small a model falls, and an end to those that it falls into all the same (8 s of answer). Another model knows better.
_SMOLLM2_DEFAULTS = {"temp": 0.2, "top_p": 0.9, "penalty_repeat": 1.05, "n_predict": 1024}

#: How long the end of a process may take, seconds.
_GRACE = 0.5
#: How long a process that has failed may take to be gone, seconds: until then its log cannot be read.
_FAILED_GRACE = 5.0
#: How long after a broken connection the process may still look alive, seconds.
_REAPING = 0.25

_TOO_LONG = re.compile(r"request \((\d+) tokens\) exceeds the available context size \((\d+) tokens\)")
#: A line that says what went wrong: llama.cpp's level E, a failed assertion, an uncaught exception of C++ or Python.
_COMPLAINT = re.compile(r"^\S+ E |GGML_ASSERT|what\(\): |^\w*Error: ")
#: What stands before the words: time, level, module, function.
_ORIGIN = re.compile(r"^\S+ E (?:\w+ +)?(?:\w+: )?")
_MEMORY = re.compile(r"memory|alloc", re.IGNORECASE)
#: The functions that complain when it is the file that is wrong.
_FILE_FAULT = re.compile(r"gguf_|llama_model_load")


class LocalProvider(Provider):
    """A model on this machine. `threads` None: what suits the machine. `timeout` is in seconds, for loading as well.

    `state_folder` is where it is remembered that the weights were checked; None: nowhere. Usable from several threads;
    answers come one after the other.
    """

    endpoint = "embedded model (llama.cpp, on this machine)"
    is_local = True

    def __init__(
        self,
        *,
        model_file: Path | None,
        threads: int | None,
        timeout: float,
        state_folder: Path | None,
        load_sdk: Callable[[], Any] = import_openai,
    ) -> None:
        self.model = weights_.model_name(model_file)
        self._model_file = model_file
        self._threads = threads
        self._timeout = timeout
        self._state_folder = state_folder
        self._load_sdk = load_sdk
        self._lock = threading.Lock()
        self._server: ServerProcess | None = None

    def start(self) -> None:
        """Start loading, and return at once. UsageError for what is not installed, or a file that cannot be a model."""
        self._running()

    def preload(self) -> None:
        """Import the SDK and, once the model is loaded, make the client: what a request would wait for. For a thread.

        What fails here is left for the request to say.
        """
        with contextlib.suppress(ChatError):
            # The import takes as long as loading: not one after the other.
            self._load_sdk()
            self._running().client(self._timeout).preload()

    def get_ready(self) -> None:
        """The model is on this machine: there is no way to it that would take time."""

    @contextmanager
    def stream(self, request: ChatRequest) -> Iterator[LocalChunks]:
        """Send `request`, once the model is loaded; the chunks of its answer. ChatError for every failure."""
        server = self._running()
        client = server.client(self._timeout)
        with contextlib.ExitStack() as stack:
            with server.explaining():
                chunks = stack.enter_context(client.stream(request))
            yield LocalChunks(chunks, server)

    def models(self) -> list[str]:
        """The names of the models: one. ChatError when it cannot be loaded."""
        server = self._running()
        client = server.client(self._timeout)
        with server.explaining():
            return client.models()

    def close(self) -> None:
        """End the process. Takes a second at the very most; a second call does nothing."""
        with self._lock:
            if self._server is not None:
                self._server.close()
                self._server = None

    def _running(self) -> ServerProcess:
        """The process, loading or loaded; a new one in place of one that is gone."""
        with self._lock:
            if self._server is not None and self._server.spent:
                self._server.close()
                self._server = None
            if self._server is None:
                self._server = ServerProcess(
                    weights_.find_weights(self._model_file), self._threads, self._state_folder, self._load_sdk
                )
            return self._server


class LocalChunks(ChunkSource):
    """The chunks of one answer, as `ChunkStream` gives them; a failure is told from the process's point of view."""

    def __init__(self, chunks: ChunkStream, server: ServerProcess) -> None:
        self.request_id = chunks.request_id
        self._chunks = chunks
        self._server = server

    def __iter__(self) -> Iterator[object]:
        """Yield until the end of the answer; ChatError when the stream fails."""
        with self._server.explaining():
            yield from self._chunks

    def call_before_waiting(self, callback: Callable[[int], None]) -> bool:
        """As `ChunkStream` does it."""
        return self._chunks.call_before_waiting(callback)


class ServerProcess:
    """One run of providers/local/server.py, from its start to its end. ServerError when not even a process can be had."""

    def __init__(
        self,
        weights: Weights,
        threads: int | None,
        state_folder: Path | None,
        load_sdk: Callable[[], Any] = import_openai,
    ) -> None:
        self.weights = weights
        self._load_sdk = load_sdk
        self._state_folder = state_folder
        self._key = secrets.token_urlsafe(32)
        self._lock = threading.Lock()
        self._client: OpenAISDK | None = None
        self._answered = threading.Event()
        self._answer: dict[str, str] = {}
        self._failure_told = False
        self._unchecked = weights.sha256 is not None and not weights_.is_checked(weights, state_folder)
        order = {
            "file": str(weights.file),
            "model": weights.model,
            "key": self._key,
            "sha256": weights.sha256 if self._unchecked else None,
            "threads": threads,
            "context": CONTEXT,
            "defaults": _SMOLLM2_DEFAULTS if weights.model == weights_.MODEL else {},
        }
        # Without a name, so that nothing is left behind however this program ends.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 # closed by close()
        try:
            self.process = subprocess.Popen(  # noqa: S603 # this very interpreter, and a file of this package
                [sys.executable, "-c", _RUN, str(_PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                # Ctrl-C in the terminal is for the chat alone.
                start_new_session=True,
            )
        except OSError as failure:
            self._log.close()
            raise ServerError(
                f"the embedded model cannot be started: {failure.strerror}", kind=Kind.MODEL_NOT_STARTED
            ) from None
        self._orders = cast("IO[bytes]", self.process.stdin)
        self._answers = cast("IO[bytes]", self.process.stdout)
        # A process that is gone already is found out when its answer does not come.
        with contextlib.suppress(OSError):
            self._orders.write(json.dumps(order).encode() + b"\n")
            self._orders.flush()
        self._listener = threading.Thread(target=self._listen, name="embedded model", daemon=True)
        self._listener.start()

    @property
    def spent(self) -> bool:
        """Whether nothing is to be had from it any more: neither an answer nor the reason why it never gave one."""
        return self._failure_told or ("base_url" in self._answer and self.process.poll() is not None)

    def client(self, timeout: float) -> OpenAISDK:
        """A client for it, once it is ready.

        TimedOut when that takes longer than `timeout` seconds (it goes on loading), UsageError when the file is at
        fault, ServerError when the process failed.
        """
        if not self._answered.wait(deadline.capped(timeout)):
            deadline.check()
            raise TimedOut(
                f"the embedded model is not loaded after {timeout:g} s",
                kind=Kind.MODEL_LOADING,
            )
        if "base_url" not in self._answer:
            raise self._why_not_loaded()
        with self._lock:
            if self._client is None:
                self._client = OpenAISDK(self._answer["base_url"], self._key, timeout, load_sdk=self._load_sdk)
            return self._client

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Turn failures in the block into what they mean here."""
        try:
            yield
        except RequestRejected as error:
            raise _too_long(error) from None
        except ServerError as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_REAPING)
            if self.process.poll() is None:
                raise
            stopped = ConnectionCut if isinstance(error, ConnectionCut) else ServerError
            raise self._stopped(stopped, Kind.MODEL_STOPPED) from None

    def close(self) -> None:
        """End it, and wait for that. Never longer than a second; a second call does nothing."""
        if self._client is not None:
            self._client.close()
        # It has nothing to save, and this always works.
        self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_GRACE)
        self._listener.join(_GRACE)
        with contextlib.suppress(OSError):
            self._orders.close()
        self._log.close()

    def _listen(self) -> None:
        """Take the one line that the process answers with, or its end."""
        try:
            with self._answers as answers, contextlib.suppress(ValueError):
                self._answer = json.loads(answers.readline())
            if self._unchecked and "base_url" in self._answer:
                weights_.remember_checked(self.weights, self._state_folder)
        finally:
            self._answered.set()

    def _why_not_loaded(self) -> ChatError:
        self._failure_told = True
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_FAILED_GRACE)
        embedded = self.weights.sha256 is not None
        # The first complaint is the cause, the others are its consequences.
        complaints = self._complaints()
        reason = _ORIGIN.sub("", complaints[0]) if complaints else self._answer.get("message", "")
        error: ChatError
        if "error" not in self._answer:
            error = self._stopped(ServerError, Kind.MODEL_MEMORY)
        elif self._answer["error"] == "package":
            error = UsageError(
                f"xllamacpp cannot be loaded: {reason}", kind=Kind.MODEL_RUNTIME, runtime=weights_.RUNTIME_PACKAGE
            )
        elif _MEMORY.search(reason):
            error = ServerError(
                f"not enough memory for the embedded model: {reason}",
                kind=Kind.MODEL_MEMORY,
            )
        elif self._answer["error"] == "checksum" or any(map(_FILE_FAULT.search, complaints)):
            error = UsageError(
                f"the model file {self.weights.file} cannot be used: {reason}",
                kind=Kind.WEIGHTS_DAMAGED if embedded else Kind.MODEL_FILE_DAMAGED,
                weights=weights_.WEIGHTS_PACKAGE,
            )
        else:
            error = ServerError(f"the embedded model cannot be loaded: {reason}", kind=Kind.MODEL_NOT_LOADED)
        error.transient = False
        return error

    def _stopped(self, error: type[ServerError], kind: Kind) -> ServerError:
        """The error for a process that ended by itself."""
        status = self.process.poll()
        if status is None:
            how = "it closed its output"
        elif status < 0:
            how = f"signal {-status}: {(signal.strsignal(-status) or 'unknown').lower()}"
            if -status == signal.SIGKILL:
                how += "; out of memory?"
        else:
            how = f"exit status {status}"
        complaints = self._complaints()
        last = f": {_ORIGIN.sub('', complaints[-1])}" if complaints else ""
        return error(f"the embedded model stopped ({how}){last}", kind=kind)

    def _complaints(self) -> list[str]:
        """The lines of the log that say what went wrong."""
        # The two processes share one position in the file: reading moves the place where the other writes.
        if self.process.poll() is None:
            return []
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        return [" ".join(line.split()) for line in lines if _COMPLAINT.search(line)]


def _too_long(error: RequestRejected) -> RequestRejected:
    """`error`, in this program's words where a conversation is too long: the server's advice is for its own options."""
    match = _TOO_LONG.search(error.message)
    if match is None:
        return error
    return RequestRejected(
        f"the prompt is too long for the embedded model: {match[1]} tokens, and it takes {match[2]}",
        kind=Kind.PROMPT_TOO_LARGE,
        status_code=error.status_code,
        request_id=error.request_id,
        code=error.code,
    )
