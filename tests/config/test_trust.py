"""A `.env` is the folder's, not the user's: what it may decide, what is told, and where the user's key never goes."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import World
from server import Request, Server, http_error, json_reply
from streaming_chat.config.load import load
from streaming_chat.config.options import OPTIONS, Settings
from streaming_chat.config.trust import Trust

USERS_KEY = "sk-of-the-user-0123456789"
FILES_KEY = "sk-of-the-file-9876543210"
OTHERS_SECRET = "aws-secret-0123456789abcdef"
#: What a user has in the environment, none of which concerns the folder.
USERS = {"OPENAI_API_KEY": USERS_KEY, "AWS_SECRET_ACCESS_KEY": OTHERS_SECRET}

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def there(world: World, server: Server) -> Callable[..., None]:
    """Write the `.env` of the folder; `{url}` is the server's address."""

    def write(text: str, folder: Path = world.folder) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".env").write_text(text.replace("{url}", server.base_url), encoding="utf-8")

    return write


@pytest.fixture(autouse=True)
def no_secret_of_the_users_arrives(server: Server) -> Iterator[None]:
    """Whatever a test does: nothing of the user's own reaches the server, but where a test expects it."""
    yield
    for request in server.requests:
        sent = f"{request.path} {dict(request.headers)} {request.body.decode()}"
        assert OTHERS_SECRET not in sent
        if "may have the user's key" not in sent:
            assert USERS_KEY not in sent


def program() -> list[str]:
    return [sys.executable, "-m", "streaming_chat"]


def keys(server: Server) -> list[str]:
    return [request.headers["authorization"].removeprefix("Bearer ") for request in server.chats]


@pytest.mark.parametrize("arguments", [["hi"], ["models"], ["-q", "hi"], ["--json", "hi"], ["--model", "m", "hi"]])
def test_the_users_key_does_not_go_where_an_untrusted_file_says(
    world: World, server: Server, there: Callable[..., None], arguments: list[str]
) -> None:
    there("OPENAI_BASE_URL={url}\n")
    done = world.run(*arguments, env=USERS)
    assert (done.returncode, done.stdout) == (3, b"")
    error, hint = done.stderr.decode().splitlines()
    assert error.startswith(
        "error: OPENAI_API_KEY in the environment is not sent to an endpoint from a .env that is not trusted"
    )
    assert f"{server.base_url}, OPENAI_BASE_URL in {world.folder / '.env'}" in error
    assert f"streaming-chat config trust {world.folder / '.env'}" in hint
    assert USERS_KEY not in done.stderr.decode()
    assert not server.connections


def test_nor_from_a_chat_nor_from_another_variable(world: World, server: Server, there: Callable[..., None]) -> None:
    there("OPENAI_BASE_URL={url}\n")
    screen = world.screen(env=USERS)
    screen.wait_for("config trust")
    assert screen.wait_for_exit() == 3
    done = world.run("--api-key-env", "AWS_SECRET_ACCESS_KEY", "hi", env=USERS)
    assert done.returncode == 3
    assert b"AWS_SECRET_ACCESS_KEY in the environment" in done.stderr
    assert not server.connections


def test_a_key_of_the_same_file_goes_before_the_users_and_this_is_told(
    world: World, server: Server, there: Callable[..., None]
) -> None:
    there(f"OPENAI_BASE_URL={{url}}\nOPENAI_API_KEY={FILES_KEY}\n")
    for arguments in (["hi"], ["-q", "hi"]):
        done = world.run(*arguments, env=USERS)
        assert done.returncode == 0, done.stderr
        notice = done.stderr.decode().splitlines()[0]
        verdict = "the endpoint comes from a .env that is not trusted, and the key in it is sent"
        assert notice == f"notice: {verdict}: {server.base_url}, OPENAI_BASE_URL in {world.folder / '.env'}"
    assert keys(server) == [FILES_KEY] * 2


def test_without_any_key_the_address_is_used_and_this_is_told(
    world: World, server: Server, there: Callable[..., None]
) -> None:
    there("OPENAI_BASE_URL={url}\n")
    done = world.run("hi")
    assert (done.returncode, done.stdout) == (0, b"Hello, world!\n")
    verdict = "the endpoint comes from a .env that is not trusted, and no key is sent"
    assert f"notice: {verdict}: {server.base_url}, " in done.stderr.decode()
    assert keys(server) == ["no-key"]


def test_the_chat_says_where_its_endpoint_comes_from(world: World, there: Callable[..., None]) -> None:
    there(f"OPENAI_BASE_URL={{url}}\nOPENAI_API_KEY={FILES_KEY}\n")
    screen = world.screen(env=USERS, columns=200)
    screen.wait_for("You:")
    assert f"\nthe endpoint comes from a .env that is not trusted: {world.folder / '.env'}" in screen.text
    assert "notice: the endpoint comes from a .env that is not trusted, and the key in it is sent: " in screen.text
    screen.line("/config")
    screen.wait_for(re.compile(r"^\.env trust +not trusted", re.M))
    screen.line("/exit")
    assert screen.wait_for_exit() == 0


def test_the_way_of_the_project_page_asks_nothing(world: World, server: Server, there: Callable[..., None]) -> None:
    there(f"OPENAI_API_KEY={FILES_KEY}\nSTREAMING_CHAT_MODEL=m\nNO_COLOR=1\n")
    done = world.run("hi", "--base-url", server.base_url)
    assert done.returncode == 0
    assert b"notice" not in done.stderr
    assert keys(server) == [FILES_KEY]
    assert server.chats[0].json["model"] == "m"


@pytest.mark.parametrize("address", [Settings.base_url, f"{Settings.base_url}/", f" {Settings.base_url} "])
def test_an_address_that_is_the_users_anyway_is_no_question(world: World, there: Callable[..., None], address: str) -> None:
    there(f"OPENAI_BASE_URL='{address}'\n")
    table = json.loads(world.run("config", "--json", env=USERS).stdout)
    assert table["base_url"] == {"value": "https://api.openai.com/v1", "origin": "built-in"}
    assert table["api_key"]["value"] == "…6789"
    world.configure('base_url = "https://elsewhere.test/v1"\n')
    table = json.loads(world.run("config", "--json", env=USERS).stdout)
    assert table["base_url"]["value"] == "https://api.openai.com/v1"
    assert table["api_key"] == {"value": None, "origin": None, "withheld": "OPENAI_API_KEY in the environment"}


HARMFUL = {
    "STREAMING_CHAT_API_KEY_ENV": "AWS_SECRET_ACCESS_KEY",
    "STREAMING_CHAT_SYSTEM": "obey the folder",
    "STREAMING_CHAT_LOG_DIR": "logs-of-the-folder",
    "STREAMING_CHAT_EXPORT_DIR": "exports-of-the-folder",
    "STREAMING_CHAT_LOCAL_MODEL": "model.gguf",
    "STREAMING_CHAT_LOCAL": "1",
    "STREAMING_CHAT_CA": "ca.pem",
    "STREAMING_CHAT_OTEL": "1",
    "STREAMING_CHAT_OTEL_CONTENT": "1",
    "STREAMING_CHAT_NO_HISTORY": "1",
    "STREAMING_CHAT_QUIET": "1",
    "STREAMING_CHAT_HYPERLINKS": "1",
    "STREAMING_CHAT_STATEFUL": "1",
}


def test_what_else_an_untrusted_file_sets_is_ignored_and_named_in_one_notice(
    world: World, server: Server, there: Callable[..., None]
) -> None:
    there("".join(f"{name}={value}\n" for name, value in HARMFUL.items()))
    done = world.run("hi", env={**USERS, "OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": FILES_KEY})
    assert done.returncode == 0, done.stderr
    notices = [line for line in done.stderr.decode().splitlines() if line.startswith("notice: ")]
    assert len(notices) == 1
    assert all(name in notices[0] for name in HARMFUL)
    assert f"streaming-chat config trust {world.folder / '.env'}" in notices[0]
    assert [message["role"] for message in server.chats[0].json["messages"]] == ["user"]
    assert keys(server) == [FILES_KEY]
    assert [path.name for path in world.folder.iterdir()] == [".env"]
    assert (world.state / "history.db").exists()


def test_every_setting_is_judged() -> None:
    allowed = {name for name, option in OPTIONS.items() if option.in_untrusted_dotenv}
    assert allowed == {"model", "temperature", "top_p", "max_tokens", "raw", "theme", "reasoning", "no_color"}
    variables = {option.environment for option in OPTIONS.values() if option.environment and not option.in_untrusted_dotenv}
    assert set(HARMFUL) <= variables


def test_a_trusted_file_counts_whole_until_it_changes(world: World, server: Server, there: Callable[..., None]) -> None:
    server.play(lambda _: json_reply({"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]}))
    text = "OPENAI_BASE_URL={url}\nSTREAMING_CHAT_SYSTEM=may have the user's key\n"
    there(text)
    done = world.run("config", "trust", env=USERS)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == (
        f"trusted until it changes: {world.folder / '.env'}\n"
        f"  OPENAI_BASE_URL        {server.base_url}\n"
        "  STREAMING_CHAT_SYSTEM  may have the user's key\n"
    )
    done = world.run("hi", env=USERS)
    assert done.returncode == 0, done.stderr
    assert keys(server) == [USERS_KEY]
    assert server.chats[0].json["messages"][0] == {"role": "system", "content": "may have the user's key"}
    assert f"notice: the endpoint comes from a .env that is trusted: {server.base_url}, " in done.stderr.decode()
    assert world.run("-q", "hi", env=USERS).stderr == b""
    assert ".env trust  trusted" in re.sub(" {2,}", "  ", world.run("config", env=USERS).stdout.decode())

    there(text + "# changed\n")
    done = world.run("hi", env=USERS)
    assert done.returncode == 3
    assert "has changed since you trusted it" in done.stderr.decode()
    there(text)
    assert world.run("-q", "hi", env=USERS).returncode == 0
    done = world.run("config", "untrust")
    assert done.stdout.decode() == f"no longer trusted: {world.folder / '.env'}\n"
    assert world.run("hi", env=USERS).returncode == 3
    assert world.run("config", "untrust").stdout.decode() == f"was not trusted: {world.folder / '.env'}\n"
    assert len(server.chats) == 3


def test_trust_is_for_one_place_and_one_content(world: World, server: Server, there: Callable[..., None]) -> None:
    there("OPENAI_BASE_URL={url}\n")
    assert world.run("config", "trust").returncode == 0
    other = world.folder.parent / "other"
    there("OPENAI_BASE_URL={url}\n", other)
    done = subprocess.run(
        [*program(), "hi"], cwd=other, env={**world.environment, **USERS}, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 3
    assert not server.chats


@pytest.mark.parametrize("name", [".", ".env", "../work/.env", "{absolute}"])
def test_a_file_is_named_by_its_path_or_its_folder(world: World, there: Callable[..., None], name: str) -> None:
    there("OPENAI_BASE_URL={url}\n")
    done = world.run("config", "trust", name.replace("{absolute}", str(world.folder / ".env")), "--json")
    assert done.returncode == 0, done.stderr
    (entries,) = [json.loads((world.state / "trusted.json").read_text())]
    assert list(entries) == [str(world.folder / ".env")]
    told = json.loads(done.stdout)
    assert told["trusted"] is True
    assert told["sha256"] == entries[str(world.folder / ".env")]["sha256"]
    assert (world.state / "trusted.json").stat().st_mode & 0o777 == 0o600
    assert json.loads(world.run("config", "--json").stdout)["dotenv"]["trusted"] is True


def test_a_folder_is_trusted_through_a_link_too(world: World, there: Callable[..., None]) -> None:
    there("OPENAI_BASE_URL={url}\n")
    link = world.folder.parent / "link"
    link.symlink_to(world.folder)
    assert world.run("config", "trust", str(link)).returncode == 0
    assert json.loads(world.run("config", "--json").stdout)["dotenv"]["trusted"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trust"], "there is no .env in"),
        (["untrust"], "there is no .env in"),
        (["trust", "none/.env"], "there is no file"),
        (["trust", "notes.txt"], "is never read"),
        (["trust", "a", "b"], "takes one file"),
        (["distrust"], "takes no 'distrust'"),
    ],
)
def test_what_cannot_be_trusted_is_an_error(world: World, arguments: list[str], message: str) -> None:
    (world.folder / "notes.txt").write_text("OPENAI_BASE_URL=x\n")
    done = world.run("config", *arguments)
    assert done.returncode == 2
    error, hint = done.stderr.decode().splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert hint.startswith("hint: ")


def test_a_file_that_is_refused_is_not_called_missing(world: World, there: Callable[..., None]) -> None:
    there("OPENAI_API_KEY=x\n")
    (world.folder / ".env").chmod(0o666)
    done = world.run("config", "trust")
    assert done.returncode == 2
    assert f"error: {world.folder / '.env'} cannot be trusted: others may write it" in done.stderr.decode()


def test_a_named_pipe_can_be_trusted_though_it_serves_once(world: World) -> None:
    os.mkfifo(world.folder / ".env", 0o600)
    writer = fed(world.folder / ".env", [b"STREAMING_CHAT_SYSTEM=once\n"])
    done = world.run("config", "trust")
    writer.join(60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"STREAMING_CHAT_SYSTEM  once" in done.stdout


def test_a_list_that_others_may_write_or_that_is_damaged_trusts_nothing(
    world: World, server: Server, there: Callable[..., None]
) -> None:
    there("OPENAI_BASE_URL={url}\n")
    assert world.run("config", "trust").returncode == 0
    file = world.state / "trusted.json"
    file.chmod(0o666)
    assert world.run("hi", env=USERS).returncode == 3
    done = world.run("config", "trust")
    assert done.returncode == 2
    assert b"others may write it" in done.stderr
    file.chmod(0o600)
    for damage in (b"", b"[1]", b"{", b'{"a": 1}', b'{"a": {}}', b"[" * 100_000, b"\xff"):
        file.write_bytes(damage)
        done = world.run("hi", env=USERS)
        assert done.returncode == 3, damage
        assert b"Traceback" not in done.stderr
        assert world.run("config", "trust").returncode == 2
    file.unlink()
    assert world.run("config", "trust").returncode == 0
    assert not server.chats


def test_a_state_folder_that_others_may_write_trusts_nothing(world: World, there: Callable[..., None]) -> None:
    there("OPENAI_BASE_URL={url}\n")
    assert world.run("config", "trust").returncode == 0
    for place in (world.state, world.state.parent):
        mode = place.stat().st_mode & 0o777
        place.chmod(0o777)
        assert world.run("hi", env=USERS).returncode == 3
        done = world.run("config", "trust")
        assert done.returncode == 2
        assert str(place) in done.stderr.decode()
        place.chmod(mode)
    assert world.run("-q", "hi").returncode == 0


@pytest.mark.parametrize(
    "line",
    [
        "STREAMING_CHAT_MODEL=${OPENAI_API_KEY}",
        "STREAMING_CHAT_MODEL=$OPENAI_API_KEY",
        'STREAMING_CHAT_MODEL="${AWS_SECRET_ACCESS_KEY:-x}"',
        "OPENAI_BASE_URL={url}/${OPENAI_API_KEY}",
        "STREAMING_CHAT_SYSTEM=${OPENAI_API_KEY}",
        "OPENAI_API_KEY=${AWS_SECRET_ACCESS_KEY}",
    ],
)
@pytest.mark.parametrize("trusted", [False, True])
def test_nothing_is_replaced_from_the_environment(
    world: World, server: Server, there: Callable[..., None], line: str, *, trusted: bool
) -> None:
    there(f"OPENAI_BASE_URL={{url}}\nOPENAI_API_KEY={FILES_KEY}\n{line}\n")
    if trusted:
        assert world.run("config", "trust").returncode == 0
    done = world.run("hi", env=USERS)
    assert USERS_KEY not in done.stderr.decode()
    world.run("models", env=USERS)
    # What arrived at the server is looked at by `no_secret_of_the_users_arrives`.
    assert done.returncode == 0 or not server.chats


def test_organisation_and_project_go_to_openai_alone(world: World, server: Server) -> None:
    account = {"OPENAI_ORG_ID": "org-of-the-user", "OPENAI_PROJECT_ID": "proj-of-the-user"}
    done = world.run("hi", "--base-url", server.base_url, env={**account, "OPENAI_API_KEY": FILES_KEY})
    assert done.returncode == 0
    world.run("models", "--base-url", server.base_url, env={**account, "OPENAI_API_KEY": FILES_KEY})
    assert len(server.requests) == 2
    for request in server.requests:
        assert "of-the-user" not in str(dict(request.headers))
        assert not {"openai-organization", "openai-project"} & set(request.headers)


# What is read


def judged(folder: Path, notices: list[str]) -> Settings:
    return load({}, {}, folder=folder, config_file=folder / "none.toml", notice=notices.append)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"A=1\n" * 17_000, "it is larger than 64 KiB"),
        (b"\0" * 70_000, "it is larger than 64 KiB"),
        (b"OPENAI_API_KEY=x\0y\n", "it is not text: it holds NUL bytes"),
        ("OPENAI_API_KEY=x\n".encode("utf-16"), "it is not UTF-8"),
    ],
    ids=["many lines", "many NULs", "a NUL", "UTF-16"],
)
def test_what_is_no_dotenv_is_not_read_and_told(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / ".env").write_bytes(content)
    notices: list[str] = []
    assert judged(tmp_path, notices).dotenv is None
    assert notices == [f"{tmp_path / '.env'} is not read: {reason}"]


def test_a_file_without_an_end_is_not_read_to_it(tmp_path: Path) -> None:
    with (tmp_path / ".env").open("wb") as file:
        file.truncate(300 << 30)
    notices: list[str] = []
    assert judged(tmp_path, notices).dotenv is None
    assert len(notices) == 1


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfOPENAI_API_KEY=sk-1\r\nSTREAMING_CHAT_MODEL=m\r\n")
    settings = judged(tmp_path, [])
    assert (settings.api_key, settings.model) == ("sk-1", "m")


def test_lines_that_cannot_be_parsed_are_one_notice(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("STREAMING_CHAT_MODEL=m\n" + "no assignment = 'here\n" * 2000)
    notices: list[str] = []
    assert judged(tmp_path, notices).model == "m"
    assert len(notices) == 1
    assert re.search(r"line 2, line 3, line 4 and \d+ more$", notices[0])


@pytest.mark.parametrize("kind", ["folder", "missing link", "loop", "socket", "device"])
def test_what_is_no_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "deep" / ".env"
    path.parent.mkdir()
    (tmp_path / ".env").write_text("STREAMING_CHAT_MODEL=above\n")
    with socket.socket(socket.AF_UNIX) as listener:
        if kind == "folder":
            path.mkdir()
        elif kind == "missing link":
            path.symlink_to("nowhere")
        elif kind == "loop":
            path.symlink_to(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        else:
            os.chdir(path.parent)
            listener.bind(".env")
            os.chdir("/")
        notices: list[str] = []
        settings = judged(path.parent, notices)
    if kind in ("folder", "missing link"):
        # A virtual environment is often called so, and an editor's link leads nowhere: the next one upward counts.
        assert (settings.model, notices) == ("above", [])
    else:
        assert settings.dotenv is None
        assert len(notices) == 1
        assert notices[0].startswith(f"{path} is not read: ")


def fed(path: Path, pieces: list[bytes], *, end: bool = True) -> threading.Thread:
    """Write `pieces` into the named pipe at `path` as a password manager does: when somebody reads it."""

    def write() -> None:
        descriptor = os.open(path, os.O_WRONLY)
        for piece in pieces:
            os.write(descriptor, piece)
        if not end:
            threading.Event().wait(3)
        os.close(descriptor)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


@given(st.lists(st.integers(0, 60), max_size=6))
def test_a_named_pipe_of_the_users_own_is_read_once(cuts: list[int]) -> None:
    text = b"OPENAI_API_KEY=sk-from-a-pipe-0123456789\nSTREAMING_CHAT_MODEL=m\n"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.mkfifo(folder / ".env", 0o600)
        edges = [0, *sorted(cuts), len(text)]
        writer = fed(folder / ".env", [text[left:right] for left, right in pairwise(edges)])
        notices: list[str] = []
        settings = judged(folder, notices)
        writer.join(60)
    assert (settings.api_key, settings.model, notices) == ("sk-from-a-pipe-0123456789", "m", [])


@pytest.mark.parametrize("writer", ["none", "hangs", "endless", "another's"])
def test_a_named_pipe_that_does_not_deliver_is_told(tmp_path: Path, writer: str) -> None:
    path = tmp_path / ".env"
    os.mkfifo(path, 0o600)
    if writer == "another's":
        try:
            os.chown(path, os.getuid() + 1, -1)
        except PermissionError:
            pytest.skip("only root can give a file away")
    thread = None
    if writer in ("hangs", "endless"):
        thread = fed(path, [b"OPENAI_API_KEY=x\n" * (1 if writer == "hangs" else 3900)], end=writer == "endless")
    notices: list[str] = []
    assert judged(tmp_path, notices).dotenv is None
    assert len(notices) == 1
    reasons = {"another's": "belongs to another user", "endless": "larger than 64 KiB"}
    assert reasons.get(writer, "named pipe") in notices[0]
    if thread is not None:
        thread.join(60)


@pytest.mark.parametrize(
    ("mode", "owner", "reason"),
    [
        (0o777, "own", "its folder is not safe: others may write it (chmod go-w fixes that)"),
        (0o755, "another", "its folder is not safe: it belongs to another user"),
        (0o1777, "another", "its folder is not safe: it belongs to another user"),
        (0o1777, "own", None),
        (0o755, "own", None),
        (0o311, "own", None),
    ],
)
def test_the_folder_counts_too(tmp_path: Path, mode: int, owner: str, reason: str | None) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / ".env").write_text("STREAMING_CHAT_MODEL=m\n")
    if owner == "another":
        try:
            os.chown(folder, os.getuid() + 1, -1)
        except PermissionError:
            pytest.skip("only root can give a folder away")
    folder.chmod(mode)
    notices: list[str] = []
    settings = judged(folder, notices)
    assert notices == ([] if reason is None else [f"{folder / '.env'} is not read: {reason}"])
    assert settings.model == ("m" if reason is None else "gpt-4o-mini")
    folder.chmod(0o700)


def test_a_file_that_is_swapped_while_it_is_read_is_never_anothers(tmp_path: Path) -> None:
    """Between a file of the user's and a link to one of somebody else's, as fast as another process can."""
    folder, stop = tmp_path / "folder", threading.Event()
    folder.mkdir()
    theirs = tmp_path / "theirs" / ".env"
    theirs.parent.mkdir()
    theirs.write_text("STREAMING_CHAT_MODEL=theirs\n")
    try:
        os.chown(theirs, os.getuid() + 1, -1)
    except PermissionError:
        pytest.skip("only root can give a file away")

    def swap() -> None:
        while not stop.is_set():
            (folder / "link").symlink_to(theirs)
            os.replace(folder / "link", folder / ".env")
            (folder / "file").write_text("STREAMING_CHAT_MODEL=ours\n")
            os.replace(folder / "file", folder / ".env")

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        seen = {judged(folder, []).model for _ in range(1000)}
    finally:
        stop.set()
        swapper.join()
    assert "theirs" not in seen
    assert "ours" in seen


def test_the_hint_can_be_pasted_into_a_shell(world: World, server: Server, there: Callable[..., None]) -> None:
    folder = world.folder / "it's a $(touch x) folder"
    there("OPENAI_BASE_URL={url}\n", folder)
    environment = {**world.environment, **USERS}
    done = subprocess.run([*program(), "hi"], cwd=folder, env=environment, capture_output=True, timeout=60, check=False)
    command = re.search(r"streaming-chat (config trust .+?); to ask", done.stderr.decode())
    assert command
    assert shlex.split(command[1])[-1] == str(folder / ".env")
    assert not server.chats


@pytest.mark.parametrize("name", ["two  blanks", "a\nline", "\x1b[31m", "\u202e", "x" * 200])
def test_a_path_that_a_line_cannot_show_is_not_in_the_hint(world: World, there: Callable[..., None], name: str) -> None:
    folder = world.folder / name
    there("OPENAI_BASE_URL={url}\n", folder)
    environment = {**world.environment, **USERS}
    run = {"cwd": folder, "env": environment, "capture_output": True, "timeout": 60, "check": False}
    done = subprocess.run([*program(), "hi"], **run)
    assert done.returncode == 3
    assert "hint: if you trust the file: streaming-chat config trust (in this folder); to ask" in done.stderr.decode()
    assert subprocess.run([*program(), "config", "trust"], **run).returncode == 0
    assert list(json.loads((world.state / "trusted.json").read_text())) == [str(folder / ".env")]


def test_what_a_trusted_pair_sends(tmp_path: Path) -> None:
    """A key and a base URL of one file belong together, trusted or not."""
    (tmp_path / ".env").write_text(f"OPENAI_BASE_URL=http://near.test/v1\nOPENAI_API_KEY={FILES_KEY}\n")
    for trust in Trust:
        settings = load(
            {}, USERS, folder=tmp_path, config_file=tmp_path / "none", notice=pytest.fail, trust_of=lambda _, t=trust: t
        )
        # One that the user has trusted to be sent to another address may be the user's own.
        expected = None if trust is Trust.REDIRECTED else FILES_KEY
        assert (settings.api_key, settings.base_url) == (expected, "http://near.test/v1")
    own = {"base_url": "http://own.test/v1"}
    settings = load(own, USERS, folder=tmp_path, config_file=tmp_path / "none", notice=pytest.fail)
    assert settings.api_key == USERS_KEY


def test_an_error_of_the_server_does_not_bring_the_key_of_the_user(
    world: World, server: Server, there: Callable[..., None]
) -> None:
    def refuse(request: Request) -> list[object]:
        return http_error(401, {"error": {"message": f"bad key {request.headers['authorization']}"}})

    server.play(refuse)
    there(f"OPENAI_BASE_URL={{url}}\nOPENAI_API_KEY={FILES_KEY}\n")
    done = world.run("hi", env=USERS)
    assert done.returncode == 3
    assert FILES_KEY not in done.stderr.decode()


def test_a_key_that_was_trusted_for_one_address_does_not_go_to_another(
    world: World, server: Server, there: Callable[..., None]
) -> None:
    """A user fills in the key and trusts the file; then whoever wrote the folder changes the address in it."""
    there(f"OPENAI_BASE_URL=http://127.0.0.1:9/v1\nOPENAI_API_KEY={FILES_KEY}\n")
    assert world.run("config", "trust").returncode == 0
    there(f"OPENAI_BASE_URL={{url}}\nOPENAI_API_KEY={FILES_KEY}\n")
    done = world.run("hi", env=USERS)
    assert done.returncode == 3
    assert "OPENAI_API_KEY in it is not sent" in done.stderr.decode()
    assert "names another address" in done.stderr.decode()
    assert not server.connections
    assert world.run("config", "trust").returncode == 0
    there(f"OPENAI_BASE_URL={{url}}\nOPENAI_API_KEY={FILES_KEY}\n# the same address\n")
    assert world.run("hi", env=USERS).returncode == 0
    assert keys(server) == [FILES_KEY]


@pytest.mark.parametrize("target", ["../.bash_history", "/dev/stdin", "/proc/self/fd/0", "/proc/self/environ", "notes"])
def test_a_link_leads_to_no_other_file_of_the_users(world: World, server: Server, target: str) -> None:
    (world.folder.parent / ".bash_history").write_text("export OPENAI_API_KEY=x\nexport STREAMING_CHAT_MODEL=theirs\n")
    (world.folder / "notes").write_text("STREAMING_CHAT_MODEL=theirs\n")
    (world.folder / ".env").symlink_to(target)
    done = world.run("sum up:", "--base-url", server.base_url, stdin=b"one\nSTREAMING_CHAT_MODEL=theirs\n")
    assert done.returncode == 0, done.stderr
    assert b"is not read: it is a link to a file that is not called .env" in done.stderr
    assert server.chats[0].json["model"] == "gpt-4o-mini"
    assert "one\nSTREAMING_CHAT_MODEL" in server.chats[0].json["messages"][0]["content"]


def test_a_link_to_the_dotenv_of_another_folder_is_read(tmp_path: Path) -> None:
    for name in (".env", ".env.local"):
        (tmp_path / "other").mkdir(exist_ok=True)
        (tmp_path / "other" / name).write_text("STREAMING_CHAT_MODEL=m\n")
        folder = tmp_path / f"with{name}"
        folder.mkdir()
        (folder / ".env").symlink_to(tmp_path / "other" / name)
        assert judged(folder, []).model == "m"


def test_what_the_users_own_config_file_adds_to_requests_stays_there(
    world: World, server: Server, there: Callable[..., None]
) -> None:
    world.configure("[param]\nuser = 'may-not-go'\n")
    there(f"OPENAI_BASE_URL={{url}}\nOPENAI_API_KEY={FILES_KEY}\n")
    done = world.run("-q", "hi")
    assert b"notice: param in config.toml is not sent" in done.stderr
    assert "user" not in server.chats[-1].json
    assert world.run("hi", "--param", "user=flag").returncode == 0
    assert server.chats[-1].json["user"] == "flag"
    assert world.run("config", "trust").returncode == 0
    assert world.run("hi").returncode == 0
    assert server.chats[-1].json["user"] == "may-not-go"


def test_an_earlier_conversation_does_not_go_where_an_untrusted_file_says(
    world: World, server: Server, there: Callable[..., None]
) -> None:
    with Server() as own:
        assert world.run("a private matter", "--base-url", own.base_url).returncode == 0
        there("OPENAI_BASE_URL={url}\n")
        for arguments in (["--continue"], ["--resume", "1"]):
            done = world.run("and?", *arguments)
            assert done.returncode == 2
            assert f"the conversation with {own.base_url} is not sent" in done.stderr.decode()
        assert world.run("and?", "--continue", "--base-url", own.base_url).returncode == 0
    assert not server.chats


@pytest.mark.parametrize("variable", ["XDG_CONFIG_HOME", "XDG_STATE_HOME"])
@pytest.mark.parametrize("value", [".config", "~/.config", "."])
def test_a_relative_folder_is_not_the_working_folders(world: World, server: Server, variable: str, value: str) -> None:
    place = world.folder / value / "streaming-chat"
    place.mkdir(parents=True)
    (place / "config.toml").write_text(f'base_url = "{server.base_url}"\n')
    (world.folder / ".env").write_text(f"OPENAI_BASE_URL={server.base_url}\n")
    entry = {"sha256": "", "base_url": server.base_url}
    (place / "trusted.json").write_text(json.dumps({str(world.folder / ".env"): entry}))
    done = world.run("hi", env={**USERS, variable: value})
    assert done.returncode == 3
    assert not server.connections


def test_a_config_file_that_others_may_write_is_not_read(world: World, server: Server) -> None:
    world.configure(f'base_url = "{server.base_url}"\n')
    for place, mode in ((world.config_file, 0o666), (world.config_file.parent, 0o777)):
        before = place.stat().st_mode & 0o777
        place.chmod(mode)
        done = world.run("hi", env=USERS)
        assert done.returncode == 2
        assert f"{world.config_file} is not read: {place}: others may write it" in done.stderr.decode()
        place.chmod(before)
    assert not server.connections


def test_a_file_that_is_obeyed_lies_beside_the_one_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("ca = 'certs/ca.pem'\nlocal_model = '/models/m.gguf'\n")
    settings = load({}, {}, folder=tmp_path / "elsewhere", config_file=tmp_path / "config.toml", notice=pytest.fail)
    assert (settings.ca, settings.local_model) == (tmp_path / "certs" / "ca.pem", Path("/models/m.gguf"))
    (tmp_path / "config.toml").unlink()
    (tmp_path / "deep").mkdir()
    (tmp_path / ".env").write_text("STREAMING_CHAT_CA=certs/ca.pem\n")
    settings = load({}, {}, folder=tmp_path / "deep", config_file=None, notice=pytest.fail, trust_of=lambda _: Trust.TRUSTED)
    assert settings.ca == tmp_path / "certs" / "ca.pem"
    settings = load({"ca": "a.pem"}, {}, folder=tmp_path, config_file=None, notice=pytest.fail)
    assert settings.ca == Path("a.pem")


@pytest.mark.parametrize(
    "line",
    [
        "OPENAI_BASE_URL=http://127.0.0.1:9/" + "\u2800" * 1500 + "the⠀endpoint⠀is⠀yours",
        "OPENAI_BASE_URL=https://elsewhere.test/" + "x" * 4000,
        "STREAMING_CHAT_MODEL=" + "m" * 20_000,
        "STREAMING_CHAT_MODEL='a\nbase_url  https://api.openai.com/v1'",
        "STREAMING_CHAT_MODEL='a\x1b[31m'",
        "STREAMING_CHAT_MAX_TOKENS=" + "9" * 4200,
        "STREAMING_CHAT_SYSTEM=" + "x" * 5000,
    ],
)
def test_what_would_hide_a_notice_or_forge_one_is_ignored_and_named(
    world: World, server: Server, there: Callable[..., None], line: str
) -> None:
    there(f"{line}\n")
    done = world.run("-q", "hi", env={"OPENAI_BASE_URL": server.base_url} if "BASE_URL" not in line else {})
    if "BASE_URL" not in line:
        assert done.returncode == 0
        assert (server.chats[0].json["model"], "max_tokens" in server.chats[0].json) == ("gpt-4o-mini", False)
        assert f"ignored in a .env that is not trusted: {line.partition('=')[0]} (" in done.stderr.decode()
    assert len(done.stderr.decode()) < 1500
    done = world.run("config")
    assert len(done.stdout.decode()) < 10_000
    assert f"ignored: {line.partition('=')[0]}\n" in done.stdout.decode()


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("OPENAI_BASE_URL=https://\u0430pi.openai.com/v1", 2),
        ("OPENAI_BASE_URL=https://@elsewhere.test/v1", 2),
        ("OPENAI_BASE_URL=https://api.openai.com@elsewhere.test/v1", 2),
        ("OPENAI_API_KEY=" + "k" * 60_000, 3),
        ("OPENAI_API_KEY='import numpy as np'", 3),
    ],
)
def test_an_address_that_looks_like_another_and_a_key_that_is_none_are_errors(
    world: World, there: Callable[..., None], line: str, status: int
) -> None:
    there(f"{line}\n")
    done = world.run("hi")
    assert done.returncode == status
    assert done.stderr.count(b"\n") == 2
    assert len(done.stderr) < 1500


def test_config_shows_every_value_on_one_line(world: World, there: Callable[..., None]) -> None:
    there("STREAMING_CHAT_SYSTEM='a\napi_key  forged\x1b]52;c;x\x07'\nSTREAMING_CHAT_API_KEY_ENV='x'\n'a\nb'=1\n")
    done = world.run("config", "trust")
    assert done.returncode == 0
    assert b"\x1b" not in done.stdout
    assert done.stdout.count(b"\n") == 3
    done = world.run("config")
    assert b"\x1b" not in done.stdout
    assert done.stdout.decode().count("\napi_key ") == 1


def test_a_key_in_the_wrong_place_is_not_in_the_message(world: World) -> None:
    for arguments, environment in (
        (["hi", "--theme", USERS_KEY], USERS),
        (["hi", "--temperature", USERS_KEY], USERS),
        (["config", USERS_KEY], USERS),
        (["hi", "--log-dir", f"/proc/{USERS_KEY}"], USERS),
        (["hi"], {"OPENAI_BASE_URL": USERS_KEY, "OPENAI_API_KEY": "https://api.openai.com/v1"}),
    ):
        done = world.run(*arguments, env=environment)
        assert done.returncode in (2, 3), arguments
        assert USERS_KEY not in done.stdout.decode() + done.stderr.decode(), arguments
