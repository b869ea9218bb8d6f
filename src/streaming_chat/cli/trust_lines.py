"""`streaming-chat config trust [FILE]` and `untrust [FILE]`: which `.env` files count as the user's own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from streaming_chat.config.describe import one_line
from streaming_chat.config.dotenv import NAME, DotenvFile, NotRead, read_dotenv
from streaming_chat.config.options import OPTIONS, Settings
from streaming_chat.config.trust import TrustList, sha256
from streaming_chat.core.errors import UsageError
from streaming_chat.text.lines import beginning
from streaming_chat.text.secret import masked

#: Characters of a value that are shown.
_LONGEST_VALUE: Final = 160


def trust_command(  # noqa: PLR0913 # the world of the command, passed in by name
    action: str,
    given: str | None,
    *,
    folder: Path,
    trusted: TrustList,
    settings: Settings,
    notice: Callable[[str], None],
) -> list[str]:
    """Carry out `action` on the file `given`, a path from `folder`, or on the nearest one; the lines to print.

    UsageError when there is no such file, or when it cannot be trusted.
    """
    if action == "untrust":
        return _untrust(given, folder, trusted, settings)
    file = _file(given, folder, settings, notice)
    trusted.add(file)
    if settings.json:
        return [json.dumps({"path": str(file.path), "trusted": True, "sha256": sha256(file.content)})]
    variables = _variables(file, settings)
    width = max(map(len, variables), default=0)
    return [
        f"trusted until it changes: {one_line(str(file.path))}",
        *(f"  {name:<{width}}  {value}" for name, value in variables.items()),
    ]


def _untrust(given: str | None, folder: Path, trusted: TrustList, settings: Settings) -> list[str]:
    # Without reading it: a file that is gone, or that is not read any more, can be on the list too.
    path = settings.dotenv_file if given is None else _path(given, folder)
    if path is None:
        raise _no_file(folder)
    was_trusted = trusted.remove(path)
    if settings.json:
        return [json.dumps({"path": str(path), "trusted": False})]
    return [f"{'no longer' if was_trusted else 'was not'} trusted: {one_line(str(path))}"]


def _file(given: str | None, folder: Path, settings: Settings, notice: Callable[[str], None]) -> DotenvFile:
    if given is None and settings.dotenv is not None:
        return settings.dotenv.file  # As it was read: a named pipe cannot be read again.
    places = (folder, *folder.parents) if given is None else (_path(given, folder).parent,)
    for place in places:
        try:
            file = read_dotenv(place / NAME, notice)
        except NotRead as problem:
            raise UsageError(f"{place / NAME} cannot be trusted: {problem}", "fix the file first") from None
        if file is not None:
            return file
    if given is None:
        raise _no_file(folder)
    raise UsageError(f"there is no file {places[0] / NAME}", f"name a {NAME} file, or the folder that holds it")


def _path(given: str, folder: Path) -> Path:
    path = folder / Path(given).expanduser()
    path = path / NAME if path.is_dir() and path.name != NAME else path
    path = Path(os.path.realpath(path.parent)) / path.name
    if path.name != NAME:
        raise UsageError(f"{path} is never read", f"only a file that is called {NAME} is: name it, or its folder")
    return path


def _no_file(folder: Path) -> UsageError:
    return UsageError(f"there is no {NAME} in {folder} or above it", f"name one: streaming-chat config trust FOLDER/{NAME}")


def _variables(file: DotenvFile, settings: Settings) -> dict[str, str]:
    """The variables in `file` that this program reads, with their values, of which a key shows only its end."""
    read = {option.environment for option in OPTIONS.values()}
    keys = {settings.api_key_env, file.values.get("STREAMING_CHAT_API_KEY_ENV", "").strip()}
    return {
        name: masked(value.strip()) if name in keys else beginning(one_line(value), _LONGEST_VALUE)
        for name, value in file.values.items()
        if name in read | keys and name.isidentifier() and value.strip()
    }
