"""The folders of this program, by the conventions of each system."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

_NAME = "streaming-chat"
#: What the files of a session are called, by the time at which it began (strftime).
SESSION_NAME = "project02-streaming-%Y%m%d-%H%M%S"


#: What is to be done where there is no such folder.
NO_HOME = "set HOME or XDG_STATE_HOME"


def config_folder() -> Path | None:
    """Where `config.toml` is looked for; None for a user without a home folder."""
    return _folder("user_config_path", "XDG_CONFIG_HOME", ".config")


def state_folder() -> Path | None:
    """Where history and typed lines are kept; None for a user without a home folder.

    It is made, for the user alone, by whoever writes there first.
    """
    return _folder("user_state_path", "XDG_STATE_HOME", ".local/state")


def make_private(folder: Path) -> None:
    """Make `folder` and its parents; the folder itself is for the user alone. OSError when that cannot be."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def reason_others_may_write(status: os.stat_result) -> str | None:
    """Why the file or folder of this `status` (os.stat, os.fstat) is not the user's alone to write; None when it is.

    The rule for everything that this program obeys: a `.env`, the state folder. Windows has no such modes: always None.
    """
    if not hasattr(os, "getuid"):
        return None
    if status.st_uid != os.getuid():
        return "it belongs to another user"
    return "others may write it (chmod go-w fixes that)" if others_may_write(status) else None


def others_may_write(status: os.stat_result) -> bool:
    """Whether the mode lets somebody other than the owner write. Not for Windows."""
    # The user's primary group may write: on many systems it has no other member, and the umask, 002, lets it.
    return bool(status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and status.st_gid != os.getgid()))


def create_private(folder: Path, name: str, ending: str) -> tuple[Path, int]:
    """A new file for the user alone, and its descriptor; numbered, because two sessions may begin within one second."""
    number = 1
    while True:
        path = folder / f"{name}{'' if number == 1 else f'-{number}'}{ending}"
        try:
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except FileExistsError:
            number += 1


def replace_private(path: Path, text: str) -> None:
    """Put a file with `text`, for the user alone, into the place of `path`, in one step. OSError when that fails."""
    temporary = path.with_suffix(f".{os.getpid()}")
    make_private(path.parent)
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _folder(of_platformdirs: str, variable: str, below_home: str) -> Path | None:
    try:
        folder = _found(of_platformdirs, variable, below_home)
    except RuntimeError:  # Neither HOME nor an entry in the list of users: the user id of a container, for one.
        return None
    # A relative HOME is none, and earlier versions of platformdirs leave the `~`, which would be a folder of that name.
    return folder if folder.is_absolute() else None


def _found(of_platformdirs: str, variable: str, below_home: str) -> Path:
    try:
        import platformdirs
    except ImportError:
        # The launcher's two packages do not bring platformdirs; the XDG rule is what it follows on Linux.
        base = os.environ.get(variable, "").strip()
        return (Path(base) if base else Path.home() / below_home) / _NAME
    return Path(getattr(platformdirs, of_platformdirs)(_NAME, appauthor=False))
