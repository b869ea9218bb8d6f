"""The embedded model's process: llama.cpp, through xllamacpp, as a server on loopback.

Strategy: a process of its own, because a crash in C must not take the chat along, and because xllamacpp holds the
interpreter lock while it loads. One JSON line comes in on stdin, one goes out on stdout, the rest is HTTP:

    in   {"file": PATH, "model": NAME, "key": KEY, "sha256": HEX or null, "threads": N or null, "context": TOKENS,
          "defaults": {NAME: VALUE of what a request leaves open: `n_predict` or a field of llama.cpp's sampling}}
    out  {"base_url": "http://127.0.0.1:PORT/v1", "model": NAME}
    or   {"error": "package" | "checksum" | "load", "message": TEXT}     and the process ends

The key comes this way because arguments and environment can be read by others. stderr takes llama.cpp's log.

Rule: this process never outlives its parent, which keeps stdin open while it lives: the end of stdin is the end.

Nothing of the package is imported here: the parent runs this file by its path.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

#: More threads than this wait for each other more than they compute, with models that suit a terminal.
_MOST_THREADS = 8
#: Tokens that are computed before llama.cpp looks whether the question was taken back. Its default of 2048 keeps the
#: next question waiting for 5 s and more, 256 for about 1 s, with the same throughput.
_BATCH = 256
#: Levels of llama.cpp's log: 2 is warnings. From 3 on it grows with every request.
_LOG_WARNINGS = 2


def main() -> None:
    """Serve until stdin ends. Never returns: llama.cpp has nothing to save, and its teardown takes time."""
    # Whatever C code prints goes to the log; the answer alone goes to the parent.
    answers = os.dup(1)
    os.dup2(2, 1)
    line = sys.stdin.buffer.readline()
    if not line:
        os._exit(0)
    _end_with_parent()
    server, answer = _serve(json.loads(line))
    os.write(answers, json.dumps(answer).encode() + b"\n")
    os.close(answers)
    if server is not None:
        os.read(0, 1)
    os._exit(0)


def _end_with_parent() -> None:
    """From here on, the end of stdin ends this process.

    A thread that waits for it would not do: xllamacpp holds the interpreter lock while it loads. So the kernel does it:
    the closing of the pipe raises SIGIO, whose default action on Linux is the end of the process. Elsewhere that signal
    is ignored by default, and the end is noticed when loading is over (`os.read` in `main`). PR_SET_PDEATHSIG would
    add nothing but a trap: it fires when the *thread* that started this process ends.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        import fcntl

        # A parent can hand down signals ignored or blocked.
        signal.signal(signal.SIGIO, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGIO, signal.SIGTERM})
        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
        # Nothing comes after the first line: readable means that the end came before the signal was asked for.
        if select.select([0], [], [], 0)[0]:
            os._exit(0)


def _serve(order: dict[str, Any]) -> tuple[object | None, dict[str, str]]:
    """The running server, or None, and the answer to the parent."""
    try:
        import xllamacpp
    except ImportError as failure:
        return None, {"error": "package", "message": str(failure)}
    try:
        if order["sha256"] is not None and _sha256(order["file"]) != order["sha256"]:
            return None, {"error": "checksum", "message": "its SHA-256 is not that of the released file"}
    except OSError as failure:
        return None, {"error": "load", "message": failure.strerror or str(failure)}

    parameters = xllamacpp.CommonParams()
    parameters.model.path = order["file"]
    parameters.model_alias = {order["model"]}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [order["key"]]
    parameters.n_ctx = order["context"]
    parameters.n_parallel = 1
    parameters.n_batch = parameters.n_ubatch = _BATCH
    parameters.cpuparams.n_threads = order["threads"] or default_threads()
    parameters.verbosity = _LOG_WARNINGS
    # A prompt that is too long is an error, and an answer that grows too long ends with `length`: nothing is dropped.
    parameters.ctx_shift = False
    # A long prompt sends nothing for many seconds; a comment every second tells that from a stall.
    parameters.sse_ping_interval = 1
    # Trial runs that double the time to load: the first only matters where a GPU's memory is to be shared out.
    parameters.fit_params = False
    parameters.warmup = False
    # Up to 8 GiB of earlier conversations by default. The last one's beginning is still reused.
    parameters.cache_ram_mib = 0
    parameters.cache_idle_slots = False
    # One client, which needs completions and the list of models.
    parameters.ui = False
    parameters.endpoint_slots = False
    parameters.endpoint_props = False
    parameters.endpoint_metrics = False
    for name, value in order["defaults"].items():
        setattr(parameters if name == "n_predict" else parameters.sampling, name, value)
    try:
        server = xllamacpp.Server(parameters)
    except (RuntimeError, ValueError, MemoryError) as failure:
        # xllamacpp says no more than "failed"; the reason is in the log, which the parent reads.
        _finish_log(xllamacpp)
        return None, {"error": "load", "message": str(failure)}
    return server, {"base_url": f"{server.listening_address}/v1", "model": order["model"]}


def _finish_log(xllamacpp: Any) -> None:
    """Wait until the log is written: a thread of llama.cpp's does that, and the end of the process would cut it off."""
    try:
        import ctypes

        # xllamacpp has no way to it, but is one library with all of llama.cpp in it.
        library = ctypes.CDLL(xllamacpp.xllamacpp.__file__)
        log, finish = library["_Z15common_log_mainv"], library["_Z16common_log_pauseP10common_log"]
        log.restype = ctypes.c_void_p
        finish(ctypes.c_void_p(log()))
    except (ImportError, OSError, AttributeError):
        # These are the names that GCC and Clang make. Elsewhere the thread gets many times what it needs on an idle machine.
        time.sleep(0.2)


def _sha256(file: str) -> str:
    digest = hashlib.sha256()
    with open(file, "rb") as weights:
        while block := weights.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def default_threads() -> int:
    """Threads that answer fast whatever else runs: one for each core that this process may really use, less one.

    The threads wait for each other after every step, and spin meanwhile: where one of them has to wait for a processor,
    all stand still. On two cores, 1 thread makes 125 tokens a second, and 70 beside two busy programs; 2 threads make
    145, and 2; 4 threads make 40. So one core is left to the chat itself and to others, siblings of a core count once,
    and a container's share of time counts.
    """
    cpus: set[int] = set(range(os.cpu_count() or 1))
    if sys.platform == "linux":
        cpus = os.sched_getaffinity(0)
    cores = len({_siblings(cpu) for cpu in cpus})
    return max(1, min(cores - 1, _quota(), _MOST_THREADS))


def _siblings(cpu: int) -> str:
    """A name for the core that `cpu` is a part of; `cpu` itself where the system does not tell."""
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(cpu)


def _quota() -> int:
    """Whole processors' worth of time that the control group grants (`docker run --cpus`); plenty without a bound."""
    try:
        granted, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return int(granted) // int(period)
    except (OSError, ValueError):
        return _MOST_THREADS


if __name__ == "__main__":
    main()
