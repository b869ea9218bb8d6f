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
    """Make `folder` and its parents, for the user alone as far as they are new. OSError when that cannot be.

    Mode 0700 is what the XDG Base Directory Specification says; what a generous umask left would not be used next time.
    """
    if not folder.parent.exists():
        make_private(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def reason_others_may_write(status: os.stat_result) -> str | None:
    """Why the file or folder of this `status` (os.stat, os.fstat) is not the user's alone to write; None when it is.

    The rule for everything that this program obeys: a `.env`, the state folder. Windows has no such modes: always None.
    """
    if not hasattr(os, "getuid"):
        return None
    if status.st_uid != os.getuid():
        return "it belongs to another user"
    return _reason_of_mode(status)


def reason_others_may_replace(status: os.stat_result, *, is_parent: bool = True) -> str | None:
    """Why others could put something else into the place of what lies in this folder; None when they could not.

    Root may own it. Further up than the parent the owner does not count: in a container root has other numbers.
    """
    if not hasattr(os, "getuid"):
        return None
    if is_parent and status.st_uid not in (0, os.getuid()):
        return "it belongs to another user"
    # In a folder such as /tmp, only the owner of a file may replace it.
    return None if status.st_mode & stat.S_ISVTX else _reason_of_mode(status)


def _reason_of_mode(status: os.stat_result) -> str | None:
    # The user's primary group may write: on many systems it has no other member, and the umask, 002, lets it.
    if status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and status.st_gid != os.getgid()):
        return "others may write it (chmod go-w fixes that)"
    return None


def unsafe_place(folder: Path) -> tuple[Path, str] | None:
    """The place by which others could put something of theirs into `folder`, and why; None when there is none.

    It is the folder itself or one above it, where they could put another folder into its place. A folder that is not there
    yet is as safe as those above it. Every name of the way counts, and where links lead to.
    """
    try:
        # Not `Path.resolve`, which fails where links go round.
        absolute, resolved = folder.absolute(), Path(os.path.realpath(folder))
    except OSError:
        return None  # A name that begins at a working folder that has been deleted: nothing can be opened there.
    for place in dict.fromkeys((absolute, resolved, *absolute.parents, *resolved.parents)):
        with suppress(OSError):
            status = place.stat()
            if place in (absolute, resolved):
                reason = _reason_not_own(place, status)
            else:
                reason = reason_others_may_replace(status, is_parent=place in (absolute.parent, resolved.parent))
            if reason is not None:
                return place, reason
    return None


def _reason_not_own(folder: Path, status: os.stat_result) -> str | None:
    """Why what is in the state folder of this `status` may be another one's; None when it is the user's own."""
    if not hasattr(os, "getuid") or not status.st_mode & stat.S_ISVTX or status.st_uid != os.getuid():
        return reason_others_may_write(status)
    # A file system of its own begins so. Others may add to it but not replace, and Linux keeps the user from writing to what
    # they add (fs.protected_regular). What they have added before is seen here.
    with os.scandir(folder) as entries:
        if any(entry.stat(follow_symlinks=False).st_uid != status.st_uid for entry in entries):
            return "others may write it, and something in it belongs to another user (chmod go-w, and remove it)"
    return None


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
    """None where there is no absolute path: a relative one would be the working folder's, whoever wrote that."""
    try:
        folder = _found(of_platformdirs, variable)
        if folder is None or not folder.is_absolute():
            # A relative path in a variable is to be ignored (XDG Base Directory Specification).
            folder = Path.home() / below_home / _NAME
    except RuntimeError:  # Neither HOME nor an entry in the list of users: the user id of a container, for one.
        return None
    return folder if folder.is_absolute() else None


def _found(of_platformdirs: str, variable: str) -> Path | None:
    try:
        import platformdirs
    except ImportError:
        # The launcher's two packages do not bring platformdirs; the XDG rule is what it follows on Linux.
        base = os.environ.get(variable, "").strip()
        return Path(base) / _NAME if base else None
    return Path(getattr(platformdirs, of_platformdirs)(_NAME, appauthor=False))
