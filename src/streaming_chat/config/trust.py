"""What a `.env` may decide, and the list of those that the user trusts.

Whoever wrote a folder wrote its `.env`: a cloned repository, an unpacked archive. So a file that the user has not trusted
can choose a model, sampling and appearance (`Option.in_untrusted_dotenv`), and bring a key of its own. A base URL in it
counts as well, but the user's own key is never sent there. Everything else in it is ignored.

The list is a JSON object in the state folder: path → SHA-256 of the content, and the base URL in it. It counts only while
no other user can have written it. A file that changes is no longer trusted. If it names another address than the one
that the user has trusted it with, a key in it may be the user's own, and is not sent there either.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from streaming_chat.config.dotenv import DotenvFile
from streaming_chat.config.folders import reason_others_may_write, replace_private, unsafe_place
from streaming_chat.core.error_kinds import Kind
from streaming_chat.core.errors import UsageError

LIST_NAME = "trusted.json"
#: The one setting of a `.env` that says where a key goes.
BASE_URL_VARIABLE = "OPENAI_BASE_URL"


class Trust(Enum):
    """What the user has said of a file; the values are words that follow its name."""

    TRUSTED = "is trusted"
    CHANGED = "has changed since you trusted it"
    REDIRECTED = "has changed since you trusted it, and names another address"
    UNTRUSTED = "is not trusted"
    UNKNOWN = "is not trusted while the list of trusted files cannot be used"


@dataclass(frozen=True)
class Dotenv:
    """The `.env` of a session: `ignored` are the variables in it that do not count, because it is not trusted."""

    file: DotenvFile
    trust: Trust
    ignored: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.file.path

    @property
    def is_trusted(self) -> bool:
        """Whether all of it counts."""
        return self.trust is Trust.TRUSTED


class TrustList:
    """The files that the user trusts, in the state folder `folder`; None for a user who has none."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / LIST_NAME

    def trust_of(self, file: DotenvFile) -> Trust:
        """What the list says of `file` as it was read. One that cannot be used, or that others may write, says nothing."""
        try:
            entry = self._read().get(_key(file.path))
        except UsageError:
            return Trust.UNKNOWN
        if entry is None:
            return Trust.UNTRUSTED
        if entry["sha256"] == sha256(file.content):
            return Trust.TRUSTED
        return Trust.CHANGED if entry["base_url"] == _base_url(file) else Trust.REDIRECTED

    def add(self, file: DotenvFile) -> None:
        """Trust `file` with the content that was read. UsageError when that cannot be recorded."""
        entry = {"sha256": sha256(file.content), "base_url": _base_url(file)}
        self._write({**self._read(), _key(file.path): entry})

    def remove(self, path: Path) -> bool:
        """Trust the file at `path` no more; whether it was on the list. UsageError when that cannot be recorded."""
        entries = self._read()
        if entries.pop(_key(path), None) is None:
            return False
        self._write(entries)
        return True

    def _read(self) -> dict[str, Mapping[str, str]]:
        """The entries; none where there is no list yet. UsageError when it cannot be used."""
        if self._path is None:
            return {}
        try:
            if found := unsafe_place(self._path.parent):
                raise UsageError(
                    f"no trust is recorded in {self._path.parent}: {found[0]}: {found[1]}",
                    kind=Kind.TRUST_FOLDER_UNSAFE,
                )
            with self._path.open("rb") as file:
                if reason := reason_others_may_write(os.fstat(file.fileno())):
                    raise UsageError(f"{self._path} is not used: {reason}", kind=Kind.TRUST_LIST_UNSAFE)
                entries: Any = json.load(file)
        except FileNotFoundError:
            return {}
        except OSError as problem:
            raise UsageError(f"{self._path} cannot be read: {problem.strerror}", kind=Kind.TRUST_LIST_UNREADABLE) from None
        except (ValueError, RecursionError):
            entries = None
        if not isinstance(entries, dict) or not all(
            isinstance(entry, dict) and isinstance(entry.get("sha256"), str) and isinstance(entry.get("base_url"), str)
            for entry in entries.values()
        ):
            raise UsageError(f"{self._path} is damaged", kind=Kind.TRUST_LIST_DAMAGED)
        return entries

    def _write(self, entries: Mapping[str, Mapping[str, str]]) -> None:
        if self._path is None:
            raise UsageError("there is no state folder to record trust in", kind=Kind.NO_STATE_FOLDER)
        try:
            replace_private(self._path, json.dumps(dict(sorted(entries.items())), indent=1))
        except OSError as problem:
            raise UsageError(
                f"{self._path} cannot be written: {problem.strerror}", kind=Kind.TRUST_LIST_UNWRITABLE
            ) from None


def sha256(content: bytes) -> str:
    """The SHA-256 of `content` in hexadecimal."""
    import hashlib  # Loads OpenSSL: a start without a trusted file does not need it.

    return hashlib.sha256(content).hexdigest()


def _base_url(file: DotenvFile) -> str:
    """The base URL in `file`, as it stands there; "" where it names none."""
    return file.values.get(BASE_URL_VARIABLE, "").strip()


def _key(path: Path) -> str:
    """The path under which a file is listed: that of its folder without links, since the working folder has none either."""
    return str(Path(os.path.realpath(path.parent)) / path.name)
