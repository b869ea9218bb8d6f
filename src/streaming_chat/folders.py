"""The folders of this program, by the conventions of each system."""

from __future__ import annotations

import os
from pathlib import Path

_NAME = "streaming-chat"
#: What the files of a session are called, by the time at which it began (strftime).
SESSION_NAME = "project02-streaming-%Y%m%d-%H%M%S"


#: What is to be done where there is no such folder.
NO_HOME = "set HOME to a folder of the user's"


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


def create_private(folder: Path, name: str, ending: str) -> tuple[Path, int]:
    """A new file for the user alone, and its descriptor; numbered, because two sessions may begin within one second."""
    number = 1
    while True:
        path = folder / f"{name}{'' if number == 1 else f'-{number}'}{ending}"
        try:
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except FileExistsError:
            number += 1


def _folder(of_platformdirs: str, variable: str, below_home: str) -> Path | None:
    try:
        folder = _found(of_platformdirs, variable, below_home)
    except RuntimeError:  # Neither HOME nor an entry in the list of users: the user id of a container, for one.
        return None
    # Earlier versions of platformdirs leave the `~`, which would be a folder of that name.
    return None if folder.parts[0] == "~" else folder


def _found(of_platformdirs: str, variable: str, below_home: str) -> Path:
    try:
        import platformdirs
    except ImportError:
        # The launcher's two packages do not bring platformdirs; the XDG rule is what it follows on Linux.
        base = os.environ.get(variable, "").strip()
        return (Path(base) if base else Path.home() / below_home) / _NAME
    return Path(getattr(platformdirs, of_platformdirs)(_NAME, appauthor=False))
