"""The man page: current, complete, readable by groff, and in the wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from conftest import ROOT, World
from streaming_chat.cli.man_page import man_page
from streaming_chat.cli.specification import every, specifications
from streaming_chat.config.options import OPTIONS

PAGE = ROOT / "data" / "share" / "man" / "man1" / "streaming-chat.1"
SECTIONS = ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES")


def test_the_page_that_is_installed_is_the_present_one(world: World) -> None:
    assert PAGE.read_text(encoding="utf-8") == man_page()
    done = world.run("man")
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, man_page(), b"")


def test_every_option_and_command_is_in_it() -> None:
    plain = man_page().replace("\\-", "-").replace("\\fB", "").replace("\\fI", "").replace("\\fR", "")
    assert plain.isascii()
    for option in OPTIONS.values():
        assert all(flag in plain for flag in option.flags)
    for one in every(specifications()):
        assert one.usage in plain
    assert [line[4:] for line in plain.splitlines() if line.startswith(".SH ")] == list(SECTIONS)


def test_groff_reads_it_without_a_warning() -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed")
    done = subprocess.run([groff, "-man", "-Tascii", "-ww", str(PAGE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    # Bold is a letter over itself.
    assert "EXAMPLES" in re.sub(r".\x08", "", done.stdout)


def test_the_wheel_installs_it(tmp_path: Path) -> None:
    code = f"from flit_core import buildapi; buildapi.build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (name,) = [one for one in names if one.endswith("share/man/man1/streaming-chat.1")]
        assert archive.read(name) == PAGE.read_bytes()
        assert "streaming_chat/py.typed" in names
