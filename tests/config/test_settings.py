"""The layering: flag > environment > .env > config.toml > built-in, and messages that say what and where."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from streaming_chat.cli.hints import Hints
from streaming_chat.config.load import load
from streaming_chat.config.options import OPTIONS, Settings
from streaming_chat.core.errors import ChatError, CredentialsError, UsageError
from streaming_chat.core.prices import Price

HINTS = Hints()


@pytest.fixture
def layers(tmp_path):
    """Load settings from the layers given as arguments; the notices are on the function."""
    folder = tmp_path / "work" / "deep"
    folder.mkdir(parents=True)

    def lay(*, flags=(), environment=(), dotenv: str | None = None, toml: str | bytes | None = None) -> Settings:
        if dotenv is not None:
            (folder.parent / ".env").write_text(dotenv, encoding="utf-8")
        if toml is not None:
            content = toml if isinstance(toml, bytes) else toml.encode()
            (tmp_path / "config.toml").write_bytes(content)
        return load(
            dict(flags),
            dict(environment),
            folder=folder,
            config_file=tmp_path / "config.toml",
            notice=lay.notices.append,
        )

    lay.notices = []
    lay.folder = tmp_path
    return lay


ALL = {
    "flags": {"temperature": "0.1"},
    "environment": {"STREAMING_CHAT_TEMPERATURE": "0.2"},
    "dotenv": "STREAMING_CHAT_TEMPERATURE=0.3\n",
    "toml": "temperature = 0.4\n",
}
ORDER = [("flags", 0.1), ("environment", 0.2), ("dotenv", 0.3), ("toml", 0.4)]


@pytest.mark.parametrize("first", range(len(ORDER) + 1))
def test_the_first_layer_that_has_a_value_wins(layers, first):
    given = {name: ALL[name] for name, _ in ORDER[first:]}
    expected = ORDER[first][1] if first < len(ORDER) else None
    settings = layers(**given)
    assert settings.temperature == expected
    origin = settings.origin("temperature")
    work = layers.folder / "work"
    assert (
        origin
        == [
            "--temperature",
            "STREAMING_CHAT_TEMPERATURE in the environment",
            f"STREAMING_CHAT_TEMPERATURE in {work / '.env'}",
            f"{layers.folder / 'config.toml'}, line 1",
            "built-in",
        ][first]
    )


def test_what_is_not_set_is_the_built_in_value(layers):
    settings = layers()
    assert (settings.model, settings.base_url, settings.retries) == ("gpt-4o-mini", "https://api.openai.com/v1", 2)
    assert not settings.origins


@pytest.mark.parametrize("value", ["", "   "])
def test_an_empty_variable_is_as_good_as_none(layers, value):
    settings = layers(environment={"OPENAI_BASE_URL": value, "OPENAI_API_KEY": value}, dotenv="OPENAI_API_KEY=sk-file\n")
    assert settings.base_url == "https://api.openai.com/v1"
    assert settings.api_key == "sk-file"


def test_the_environment_itself_is_not_changed(layers):
    before = dict(os.environ)
    layers(dotenv="OPENAI_API_KEY=sk-file\nSOMETHING_ELSE=1\n")
    assert dict(os.environ) == before


@pytest.mark.parametrize("key", ["sk-abcd1234", "  sk-abcd1234", "sk-abcd1234\n", "\tsk-abcd1234 \r\n"])
def test_blanks_around_a_key_are_not_part_of_it(layers, key):
    assert layers(environment={"OPENAI_API_KEY": key}).api_key == "sk-abcd1234"


@pytest.mark.parametrize("key", ["sk-ab\ncd", "sk-abсd", "sk-\x1b[31m"])
def test_a_damaged_key_is_told_without_being_shown(layers, key):
    with pytest.raises(CredentialsError) as caught:
        layers(environment={"OPENAI_API_KEY": key})
    assert "OPENAI_API_KEY in the environment" in caught.value.message
    assert key not in caught.value.message + HINTS.hint_of(caught.value)


def test_the_key_is_read_from_the_variable_that_is_named(layers):
    settings = layers(flags={"api_key_env": "GROQ_API_KEY"}, environment={"OPENAI_API_KEY": "no", "GROQ_API_KEY": "yes"})
    assert settings.api_key == "yes"


def test_a_key_is_not_in_the_representation_of_the_settings(layers):
    assert "sk-abcd1234" not in repr(layers(environment={"OPENAI_API_KEY": "sk-abcd1234"}))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("temperature", "3", "temperature must be a number from 0 to 2, not 3"),
        ("temperature", "-0.1", "temperature must be a number from 0 to 2, not -0.1"),
        ("temperature", "warm", "temperature must be a number from 0 to 2, not 'warm'"),
        ("temperature", "nan", "temperature must be a number from 0 to 2, not 'nan'"),
        ("top_p", "2", "top_p must be a number from 0 to 1, not 2"),
        ("max_tokens", "0", "max_tokens must be a whole number from 1 on, not 0"),
        ("max_tokens", "1.5", "max_tokens must be a whole number from 1 on, not '1.5'"),
        ("retries", "-1", "retries must be a whole number from 0 on, not -1"),
        ("timeout", "0", "timeout must be more than 0 and at most 86400 seconds, not 0"),
        ("timeout", "inf", "timeout must be a number of seconds, not 'inf'"),
        ("model", " ", "model must not be empty"),
        ("base_url", "localhost:8080", "base_url must be an address such as https://api.openai.com/v1"),
        ("base_url", "ftp://example.test/v1", "base_url must be an address such as"),
        ("base_url", "http://", "base_url must be an address such as"),
        ("base_url", "http://host:99999/v1", "base_url must be an address such as"),
        ("base_url", "http://ho st/v1", "base_url must be an address such as"),
        ("base_url", "http://me:secret@host/v1", "base_url must not hold a user name or password"),
        ("base_url", "http://host/v1/chat/completions", "base_url must end before /chat/completions: http://host/v1"),
        ("base_url", "http://host/v1?key=secret", "base_url must not have a part behind ? or #"),
        ("reasoning", "maybe", "reasoning must be show or hide, not 'maybe'"),
        ("api_key_env", "sk-abcd1234", "api_key_env must be the name of an environment variable"),
        ("param", "seed", "param must be KEY=VALUE, not 'seed'"),
        ("param", "stream=false", "param cannot change 'stream'"),
        ("stateful", "maybe", "stateful must be on or off, not 'maybe'"),
    ],
)
def test_a_value_that_cannot_be_says_what_and_where(layers, name, text, message):
    with pytest.raises(UsageError) as caught:
        layers(flags={name: text})
    flag = next(flag for flag in OPTIONS[name].flags if flag.startswith("--"))
    assert message in caught.value.message
    assert caught.value.message.endswith(f"(from {flag})")
    assert "secret" not in caught.value.message
    assert "sk-abcd1234" not in caught.value.message


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("model = 'm'\ntemperature = 3\n", "config.toml, line 2"),
        ("# one\n\nmodel = \n", "line 3"),
        ("model = 'm'\nstateful = 3\n", "stateful must be on or off"),
        ("temperature = [1]\n", "temperature has a value of the wrong type"),
        ("model = true\n", "model has a value of the wrong type"),
        ("model = 'm'\n\ntemprature = 1\n", "unknown setting 'temprature' (in"),
        ("api_key = 'sk-abcd1234'\n", "unknown setting 'api_key'"),
        ("json = true\n", "unknown setting 'json'"),
        (b"model = '\xff'\n", "is not UTF-8"),
    ],
)
def test_a_config_file_that_cannot_be_says_what_and_on_which_line(layers, toml, message):
    with pytest.raises(UsageError) as caught:
        layers(toml=toml)
    assert message in caught.value.message
    assert str(layers.folder / "config.toml") in caught.value.message
    assert "sk-abcd1234" not in caught.value.message + HINTS.hint_of(caught.value)


def test_an_unknown_setting_names_the_nearest_one_and_its_line(layers):
    with pytest.raises(UsageError) as caught:
        layers(toml="model = 'm'\n\ntemprature = 1\n")
    assert caught.value.message.endswith("line 3)")
    assert HINTS.hint_of(caught.value) == "did you mean temperature?"


def test_every_kind_of_value_may_stand_in_the_config_file(layers):
    settings = layers(
        toml="""
model = "m"
temperature = 1
max_tokens = 5
stateful = true
no_color = false
quiet = "on"
log_dir = "~/logs"
system = "You are\\nbrief."

[param]
seed = 7
stop = ["a", "b"]
user = "me = you"
"""
    )
    assert (settings.model, settings.temperature, settings.max_tokens) == ("m", 1.0, 5)
    assert (settings.stateful, settings.no_color, settings.quiet) == (True, False, True)
    assert settings.log_dir == Path.home() / "logs"
    assert settings.system == "You are\nbrief."
    assert settings.param == {"seed": 7, "stop": ["a", "b"], "user": "me = you"}


def test_parameters_are_json_or_else_text(layers):
    settings = layers(flags={"param": 'seed=7\0stop=["a"]\0user=me\0metadata={"a": "b\\n"}\0empty='})
    assert settings.param == {"seed": 7, "stop": ["a"], "user": "me", "metadata": {"a": "b\n"}, "empty": ""}


@pytest.mark.parametrize("value", ["1", "0", "false", "anything"])
def test_no_color_counts_whatever_its_value(layers, value):
    assert layers(environment={"NO_COLOR": value}).no_color


def test_a_line_of_dotenv_that_cannot_be_read_is_a_notice(layers, capfd):
    settings = layers(dotenv="OPENAI_API_KEY=sk-file\nthis is = = not 'one\n")
    assert settings.api_key == "sk-file"
    assert len(layers.notices) == 1
    assert "line 2" in layers.notices[0]
    assert capfd.readouterr() == ("", "")


def test_a_dotenv_that_is_not_text_is_a_notice(layers):
    (layers.folder / "work" / ".env").write_bytes(b"OPENAI_API_KEY=\xff\xfe\n")
    assert layers().api_key is None
    assert layers.notices == [f"{layers.folder / 'work' / '.env'} is not read: it is not UTF-8"]


def test_a_dotenv_of_another_user_is_not_read(layers):
    file = layers.folder / "work" / ".env"
    file.write_text("OPENAI_API_KEY=sk-file\nOPENAI_BASE_URL=http://elsewhere.test/v1\n")
    try:
        os.chown(file, os.getuid() + 1, -1)
    except PermissionError:
        pytest.skip("only root can give a file away")
    settings = layers()
    assert (settings.api_key, settings.base_url, settings.dotenv_file) == (None, "https://api.openai.com/v1", None)
    assert layers.notices == [f"{file} is not read: it belongs to another user"]


READ = {"api_key": "sk-file", "base_url": "http://elsewhere.test/v1"}
NOT_READ = {"api_key": None, "base_url": "https://api.openai.com/v1"}


@pytest.mark.parametrize(
    ("mode", "group", "values"),
    [
        pytest.param(0o600, "own", READ, id="the user alone"),
        pytest.param(0o644, "own", READ, id="others may read"),
        pytest.param(0o664, "own", READ, id="a group of the user's own, as with umask 002"),
        pytest.param(0o664, "another", NOT_READ, id="a group of others"),
        pytest.param(0o644, "another", READ, id="a group of others that may read"),
        pytest.param(0o666, "own", NOT_READ, id="everybody"),
        pytest.param(0o602, "own", NOT_READ, id="everybody but the group"),
    ],
)
def test_a_dotenv_that_others_may_write_is_not_read(layers, mode, group, values):
    file = layers.folder / "work" / ".env"
    file.write_text("OPENAI_API_KEY=sk-file\nOPENAI_BASE_URL=http://elsewhere.test/v1\n")
    if group == "another":
        try:
            os.chown(file, -1, os.getgid() + 1)
        except PermissionError:
            pytest.skip("only root can give a file to a group that it is not in")
    file.chmod(mode)
    settings = layers()
    assert {"api_key": settings.api_key, "base_url": settings.base_url} == values
    assert settings.dotenv_file == (file if values is READ else None)
    problem = f"{file} is not read: others may write it (chmod go-w fixes that)"
    assert layers.notices == ([] if values is READ else [problem])


def test_a_changed_setting_has_its_own_origin_and_can_go_back(layers):
    settings = layers(flags={"temperature": "0.1"}).changed("temperature", 0.5, "the chat")
    assert (settings.temperature, settings.origin("temperature")) == (0.5, "the chat")
    settings = settings.changed("temperature", None, "the chat")
    assert (settings.temperature, settings.origin("temperature")) == (None, "built-in")


def test_every_option_has_a_help_and_flags_or_a_place_in_the_config_file_alone():
    flags = [flag for option in OPTIONS.values() for flag in option.flags]
    assert len(flags) == len(set(flags))
    for name, option in OPTIONS.items():
        assert option.help
        if option.flags:
            assert any(flag.startswith("--") for flag in option.flags), name
        else:
            assert option.in_config_file, name
            assert option.environment is None, name
    assert issubclass(UsageError, ChatError)


def test_config_shows_values_and_origins_but_only_the_end_of_the_key(world):
    world.configure("temperature = 0.25\n")
    (world.folder / ".env").write_text("OPENAI_API_KEY=sk-secret-value-wxyz\n")
    done = world.run("config", "--max-tokens", "9", env={"STREAMING_CHAT_MODEL": "m"})
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in done.stdout.decode().splitlines() if line.strip()}
    assert rows["model"] == ["m", "STREAMING_CHAT_MODEL in the environment"]
    assert rows["temperature"] == ["0.25", f"{world.config_file}, line 1"]
    assert rows["max_tokens"] == ["9", "--max-tokens"]
    assert rows["top_p"] == ["–", "built-in"]
    assert rows["api_key"] == ["…wxyz", f"OPENAI_API_KEY in {world.folder / '.env'}"]
    assert "secret-value" not in done.stdout.decode()


def test_config_is_json_too(world):
    done = world.run("config", "--json", "--temperature", "0.5", env={"OPENAI_API_KEY": "sk-secret-value-wxyz"})
    table = json.loads(done.stdout)
    assert set(OPTIONS) <= set(table)
    assert table["temperature"] == {"value": 0.5, "origin": "--temperature"}
    assert table["api_key"] == {"value": "…wxyz", "origin": "OPENAI_API_KEY in the environment"}
    assert "secret-value" not in done.stdout.decode()


def test_a_key_that_stands_in_another_setting_by_mistake_is_not_shown_there(world):
    key = "sk-test-0123456789abcdef"
    (world.folder / ".env").write_text(f"OPENAI_API_KEY={key}\nSTREAMING_CHAT_MODEL={key}\n", encoding="utf-8")
    for arguments in (("config",), ("config", "--json")):
        done = world.run(*arguments)
        assert key.encode() not in done.stdout + done.stderr
        assert "…cdef".encode() in done.stdout


PRICED = """\
currency = "€"
model = "m"

[prices."gpt-4o-mini"]
prompt = 0.15
completion = 1

[prices.'gpt-4.1*']
prompt = 2
completion = 8.0
cached = 0.5
"""


def test_prices_stand_in_the_config_file(layers):
    settings = layers(toml=PRICED)
    assert settings.prices.by_model == {"gpt-4o-mini": Price(0.15, 1.0), "gpt-4.1*": Price(2.0, 8.0, 0.5)}
    assert settings.prices.currency == settings.currency == "€"
    assert settings.origin("prices") == f"{layers.folder / 'config.toml'}, line 4"
    inline = layers(toml="prices = { m = { prompt = 1, completion = 2 } }\n")
    assert (inline.prices.by_model, inline.prices.currency) == ({"m": Price(1.0, 2.0)}, "$")


@pytest.mark.parametrize(
    ("before", "after", "message", "hint"),
    [
        ("prompt = 2", "prompt = -2", """prices."gpt-4.1*".prompt must be a number from 0 on, not -2 (from""", ""),
        ("prompt = 2", "prompt = '2'", """prices."gpt-4.1*".prompt must be a number from 0 on, not '2' (from""", ""),
        ("prompt = 2", "prompt = nan", """prices."gpt-4.1*".prompt must be a number from 0 on, not nan (from""", ""),
        ("prompt = 2", "prompt = inf", """prices."gpt-4.1*".prompt must be a number from 0 on, not inf (from""", ""),
        ("prompt = 2", "prompt = true", """prices."gpt-4.1*".prompt must be a number from 0 on, not True (from""", ""),
        ("prompt = 2", "prompt = " + "9" * 400, """prices."gpt-4.1*".prompt must be a number from 0 on, not 999""", ""),
        ("prompt = 2", "propmt = 2", """unknown key 'propmt' in prices."gpt-4.1*" (in""", "did you mean prompt?"),
        ("prompt = 2", "# no prompt", """prices."gpt-4.1*" has no prompt (in""", "[prices"),
        ("cached = 0.5", "cached = []", """prices."gpt-4.1*".cached must be a number from 0 on, not [] (from""", ""),
        ("'gpt-4.1*'", "gpt-4.1", """unknown key '1' in prices."gpt-4" (in""", 'in quotes: [prices."gpt-4.1"]'),
    ],
)
def test_a_price_that_cannot_be_says_what_and_on_which_line(layers, before, after, message, hint):
    toml = PRICED.replace(before, after)
    with pytest.raises(UsageError) as caught:
        layers(toml=toml)
    assert message in caught.value.message
    assert hint in HINTS.hint_of(caught.value)
    # Where the key is missing, the table is named.
    where = after if not after.startswith("#") else "gpt-4.1*"
    line = next(number for number, one in enumerate(toml.splitlines(), 1) if where in one)
    assert caught.value.message.endswith(f"config.toml, line {line})")


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("prices = 3", "prices has a value of the wrong type (in"),
        ("[prices]\nm = 3", 'prices."m" must be a table (from'),
        ("currency = 3\n[prices]", "currency must be"),
        ("currency = 'dollars of the USA'", "currency must be a sign or a short name, such as € or EUR, not"),
        ('currency = "a\\nb"', "currency must be a sign or a short name"),
    ],
)
def test_a_price_list_that_is_none_is_told(layers, toml, message):
    if "= 3\n[prices]" in toml:
        # As every setting that is text: a number will do for one.
        assert layers(toml=toml).prices.currency == "3"
        return
    with pytest.raises(UsageError, match=re.escape(message)):
        layers(toml=toml)


def test_config_shows_prices_and_where_they_came_from(world):
    world.configure(PRICED)
    shown = world.run("config").stdout.decode()
    origin = f"{world.config_file}, line 4"
    assert f"gpt-4o-mini: 0.15 prompt, 1 completion · gpt-4.1*: 2 prompt, 8 completion, 0.5 cached  {origin}" in shown
    assert re.search(rf"^currency +€ +{re.escape(str(world.config_file))}, line 1$", shown, re.MULTILINE)
    table = json.loads(world.run("config", "--json").stdout)
    assert table["prices"] == {
        "value": {
            "gpt-4o-mini": {"prompt": 0.15, "completion": 1.0, "cached": None},
            "gpt-4.1*": {"prompt": 2.0, "completion": 8.0, "cached": 0.5},
        },
        "origin": origin,
    }
    world.configure("")
    assert json.loads(world.run("config", "--json").stdout)["prices"] == {"value": {}, "origin": "built-in"}
    assert re.search(r"^prices +– +built-in$", world.run("config").stdout.decode(), re.MULTILINE)


def test_prices_have_no_flag_and_a_wrong_one_ends_the_program_with_status_2(world):
    assert b"prices" not in world.run("--help").stdout
    world.configure(PRICED.replace("0.15", "-1"))
    done = world.run("hi")
    assert done.returncode == 2
    assert f"(from {world.config_file}, line 5)" in done.stderr.decode()


def test_private_switches_off_what_keeps_something(layers):
    settings = layers(toml="private = true\n")
    assert (settings.no_history, settings.log_dir) == (True, None)
    assert settings.origin("no_history") == f"private, from {layers.folder / 'config.toml'}, line 1"
    assert layers.notices == []
    # What was said anyway needs no words.
    assert layers(flags={"private": "1", "no_history": "1"}).origin("no_history") == "--no-history"
    assert layers.notices == []


@pytest.mark.parametrize(
    "given",
    [
        {"flags": {"private": "1"}, "toml": "log_dir = 'logs'\n"},
        {"flags": {"log_dir": "logs"}, "toml": "private = true\n"},
        {"flags": {"log_dir": "logs"}, "environment": {"STREAMING_CHAT_PRIVATE": "1"}},
    ],
    ids=["a log in the file", "private in the file", "private in the environment"],
)
def test_private_wins_over_a_log_that_is_asked_for_elsewhere_and_says_so(layers, given):
    settings = layers(**given)
    asked, origin = (
        ("--log-dir", settings.origin("private"))
        if "log_dir" in given["flags"]
        else (f"{layers.folder / 'config.toml'}, line 1", "--private")
    )
    assert settings.log_dir is None
    assert layers.notices == [f"log_dir (from {asked}) is not heeded: the session is private (from {origin})"]


def test_private_and_a_log_on_one_command_line_exclude_each_other(layers):
    with pytest.raises(UsageError, match="--log-dir and --private exclude each other"):
        layers(flags={"private": "1", "log_dir": "logs"})


def test_the_environment_can_take_back_what_the_config_file_says(layers):
    assert not layers(toml="private = true\n", environment={"STREAMING_CHAT_PRIVATE": "off"}).private
