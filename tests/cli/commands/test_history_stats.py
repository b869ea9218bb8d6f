"""`history stats`: the figures are right, absent is never 0, and no name that a server gave can act."""

from __future__ import annotations

import io
import json
import math
import os
import random
import re
import sqlite3
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import World
from streaming_chat.cli.commands.history.actions import history_command
from streaming_chat.cli.commands.history.lines import width_of
from streaming_chat.cli.commands.history.stats.scale import Scale
from streaming_chat.cli.commands.history.stats.sparkline import sparkline
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.errors import UsageError
from streaming_chat.core.events import Outcome, Usage
from streaming_chat.core.prices import Price, Prices
from streaming_chat.core.timing import Timing
from streaming_chat.core.turn import Turn
from streaming_chat.history import History, TurnSummary
from streaming_chat.history.statistics import TOKENS, Moment, TokenSum, statistics
from streaming_chat.history.timeline import Timeline

HOSTILE = "<script>alert(1)</script>\"' onload=x\x1b]52;c;AAAA\x07\x9b2J\u202e\x7f"
START = datetime(2025, 12, 10, 17, 34, tzinfo=timezone.utc)
NO_PRICES = Prices({})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.db"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        patch.setenv("TZ", "EST5")
        time.tzset()
        yield
    time.tzset()


def answered(
    *,
    model: str = "m",
    first: float | None = 0.5,
    total: float = 2.0,
    rate: float | None = None,
    outcome: Outcome = Outcome.COMPLETE,
    usage: Usage | None = None,
) -> Turn:
    request = ChatRequest(model, (Message("user", "a secret prompt"),))
    timing = Timing(total=total, first_token=first, tokens_per_second=rate)
    return Turn(request, "a secret answer", "", outcome, "stop", usage, timing)


def keep(path: Path, *turns: Turn | None, endpoint: str = "http://localhost:8080/v1", days: int = 0) -> None:
    """The turns, a day after one another, from `days` after START; None for one that never ended."""
    with closing(History(path, pytest.fail)) as history:
        numbers = []
        for turn in turns:
            recorder = history.recorder((turn or answered()).request, endpoint=endpoint, session="s")
            numbers.append(recorder.number)
            if turn is not None:
                recorder.end(turn)
    with closing(sqlite3.connect(path)) as connection:
        for place, number in enumerate(numbers):
            at = (START + timedelta(days=days + place)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
            connection.execute("UPDATE turns SET started_at = ? WHERE id = ?", (at, number))
        connection.commit()


def shown(path: Path, *arguments: str, terminal: bool = True, color: bool = False, prices: Prices = NO_PRICES) -> str:
    out = io.StringIO()
    assert history_command(["stats", *arguments], path=path, out=out, terminal=terminal, color=color, prices=prices) == 0
    return out.getvalue()


def as_json(path: Path, *arguments: str, prices: Prices = NO_PRICES) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shown(path, "--json", *arguments, terminal=False, prices=prices))
    return found


# The figures


def summary(**fields: Any) -> TurnSummary:
    blank = TurnSummary(1, "s", START, "e", "m", None, None, Outcome.COMPLETE, "stop", None, Timing(total=1.0), "")
    return replace(blank, **fields)


counts = st.none() | st.integers(0, 10**6)
seconds = st.floats(0, 1e6)
usages = st.none() | st.builds(Usage, counts, counts, counts, counts)
timings = st.none() | st.builds(
    Timing, total=seconds, first_token=st.none() | seconds, tokens_per_second=st.none() | st.floats(0.1, 1e4)
)
summaries = st.lists(
    st.builds(
        summary,
        model=st.sampled_from(["a", "b"]),
        endpoint=st.sampled_from(["e", "f"]),
        outcome=st.none() | st.sampled_from(Outcome),
        usage=usages,
        timing=timings,
        started_at=st.integers(0, 10**6).map(lambda seconds: START + timedelta(seconds=seconds)),
    ),
    max_size=60,
)
PRICES = Prices({"a": Price(0.1, 0.7, 0.03)})


def nearest_rank(values: list[float], percent: int) -> float:
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


@given(summaries)
def test_percentiles_and_sums_are_those_of_a_plain_reckoning(turns: list[TurnSummary]) -> None:
    found = statistics(turns, NO_PRICES)
    assert found.figures.turns == len(turns) == sum(group.figures.turns for group in found.groups)
    assert {(group.model, group.endpoint) for group in found.groups} == {(turn.model, turn.endpoint) for turn in turns}
    for group in found.groups:
        own = [turn for turn in turns if (turn.model, turn.endpoint) == (group.model, group.endpoint)]
        timed = [turn for turn in own if turn.timing is not None]
        expected = {
            "first_token": [turn.timing.first_token for turn in timed if turn.timing.first_token is not None],
            "total": [turn.timing.total for turn in timed if turn.outcome is Outcome.COMPLETE],
            "tokens_per_second": [
                turn.timing.tokens_per_second for turn in timed if turn.timing.tokens_per_second is not None
            ],
        }
        for kind, values in expected.items():
            distribution = getattr(group.figures, kind)
            assert (distribution is None) == (not values)
            if distribution is not None:
                assert list(distribution.values) == sorted(values)
                for percent in (50, 95, 99):
                    assert distribution.at(percent) == nearest_rank(values, percent)
        for kind in TOKENS:
            known = [getattr(turn.usage, kind) for turn in own if turn.usage and getattr(turn.usage, kind) is not None]
            assert group.figures.tokens[kind] == (TokenSum(sum(known), len(known)) if known else None)
        assert sum(group.figures.outcomes.values()) == len(own)


@given(summaries, st.randoms(use_true_random=False))
def test_the_order_of_the_turns_does_not_matter(turns: list[TurnSummary], chance: random.Random) -> None:
    shuffled = list(turns)
    chance.shuffle(shuffled)
    assert statistics(turns, PRICES) == statistics(shuffled, PRICES)


def test_a_cost_is_that_of_the_turns_with_a_price_and_a_count() -> None:
    turns = [
        summary(model="a", usage=Usage(1_000_000, 1_000_000)),
        summary(model="a", usage=Usage(1_000_000, None)),
        summary(model="b", usage=Usage(1, 1)),
    ]
    found = statistics(turns, PRICES)
    assert found.groups[0].figures.cost is not None
    assert found.groups[0].figures.cost.amount == pytest.approx(0.8)
    assert found.groups[0].figures.cost.turns == 1
    assert found.groups[1].figures.cost is None


# Over time


def moments(*hours: float) -> list[Moment]:
    return [Moment(START + timedelta(hours=hour), hour) for hour in hours]


def test_a_few_hours_are_cut_into_hours_and_nothing_happened_is_told() -> None:
    some = moments(0, 0.2, 3)
    timeline = Timeline(some, 48, timezone.utc)
    periods = timeline.periods(some)
    assert timeline.length == "an hour"
    assert [period.turns for period in periods] == [2, 0, 0, 1]
    assert [period.first_token for period in periods] == [0, None, None, 3]
    assert [period.start for period in periods] == [datetime(2025, 12, 10, hour) for hour in (17, 18, 19, 20)]


@pytest.mark.parametrize(
    ("most", "length", "count"),
    [(24 * 40, "an hour", 30 * 24 + 1), (40, "a day", 31), (20, "2 days", 16), (10, "7 days", 5), (1, "364 days", 1)],
)
def test_the_shortest_periods_are_taken_of_which_there_is_room(most: int, length: str, count: int) -> None:
    timeline = Timeline(moments(0, 30 * 24), most, timezone.utc)
    assert (timeline.length, timeline.count) == (length, count)


def test_a_day_is_a_day_where_the_user_is() -> None:
    # 23:30 and 00:30 in New York, two days; the second of November 2025 has 25 hours there.
    at = [datetime(2025, 11, 1, 3, 30), datetime(2025, 11, 1, 4, 30), datetime(2025, 11, 3, 4, 59), datetime(2025, 12, 1)]
    some = [Moment(moment.replace(tzinfo=timezone.utc), None) for moment in at]
    os.environ["TZ"] = "EST5EDT,M3.2.0,M11.1.0"
    time.tzset()
    periods = Timeline(some, 40).periods(some)
    assert [period.start for period in periods if period.turns] == [
        *(date(2025, 10, 31), date(2025, 11, 1), date(2025, 11, 2), date(2025, 11, 30))
    ]


@given(st.lists(st.datetimes(datetime(1980, 1, 1), datetime(2200, 1, 1)), min_size=1), st.integers(1, 200))
def test_every_moment_has_its_period(at: list[datetime], most: int) -> None:
    some = [Moment(moment.replace(tzinfo=timezone.utc), None) for moment in sorted(at)]
    timeline = Timeline(some, most)
    periods = timeline.periods(some)
    assert sum(period.turns for period in periods) == len(some)
    assert periods[0].turns
    assert periods[-1].turns
    assert len(periods) <= max(most, 3)


def test_a_sparkline_goes_from_0_to_the_highest_and_has_gaps() -> None:
    assert sparkline([1, None, 4, 8, 0]) == "▁ ▄█▁"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([]) == ""


@given(st.lists(st.floats(0, 1e12), min_size=1), st.integers(1, 50))
def test_every_value_has_a_place_on_the_axis(values: list[float], bins: int) -> None:
    scale = Scale(values)
    assert sum(scale.counts(values, bins)) == len(values)
    assert all(0 <= scale.place(value) <= 1 for value in values)
    assert 1 <= len(scale.marks(7)) <= 7


# As text


def test_the_figures_stand_below_one_another_in_a_terminal(path: Path) -> None:
    keep(
        path,
        answered(first=0.4, total=2.0, rate=50.0, usage=Usage(1000, 200, 100)),
        answered(first=0.6, total=4.0, usage=Usage(500, 50)),
        answered(first=0.8, total=9.0, outcome=Outcome.INTERRUPTED),
        answered(first=None, total=0.1, outcome=Outcome.ERROR),
        None,
    )
    keep(path, answered(model="n", first=0.1, total=1.5), endpoint="https://api.example.com/v1", days=6)
    expected = """\
6 turns · 2025-12-10 to 2025-12-16

                                         first token                       total
   seconds                turns    p50    p95    p99  turns    p50    p95    p99
1  m · localhost:8080/v1      3  0.600  0.800  0.800      2  2.000  4.000  4.000
2  n · api.example.com/…      1  0.100  0.100  0.100      1  1.500  1.500  1.500

   all
   turns over time  █████ █  most 1 in a day
   first token p50  ▄▆█   ▁  most 0.800 s

1  m · http://localhost:8080/v1
   turns            5 in all · 2 complete · 1 interrupted · 1 error
                    1 unfinished
   tokens           prompt 1,500 (2 of 5 turns)
                    completion 250 (2 of 5 turns) · cached 100 (1 of 5 turns)
                    reasoning –
   tokens/s p50     50.0 (1 of 5 turns)
   turns over time  █████    most 1 in a day
   first token p50  ▄▆█      most 0.800 s

2  n · https://api.example.com/v1
   turns            1 in all · 1 complete
   tokens           –
   tokens/s p50     –
   turns over time        █  most 1 in a day
   first token p50        █  most 0.100 s
"""
    assert shown(path) == expected


def test_reading_takes_no_prompt_and_no_answer(path: Path) -> None:
    keep(path, answered(model=HOSTILE))
    with closing(History(path, pytest.fail)) as history:
        (turn,) = history.figures()
        assert turn.prompt == ""
        assert replace(turn, prompt="a secret prompt") == history.turns()[0]
    for arguments in ([], ["--json"], ["--plot"]):
        assert "secret" not in shown(path, *arguments)


def test_what_was_never_reported_is_a_dash_and_what_was_for_some_says_so(path: Path) -> None:
    keep(path, answered(usage=Usage(12_345, 40)), answered(usage=Usage(1, 2, 0)), answered())
    text = shown(path)
    assert "prompt 12,346 (2 of 3 turns)" in text
    assert "cached 0 (1 of 3 turns)" in text
    assert "reasoning –" in text
    assert re.search(r"tokens/s p50 +–\n", text)
    assert "cost" not in text
    found = as_json(path)["groups"][0]
    assert found["prompt_tokens"] == {"sum": 12_346, "turns": 2}
    assert found["reasoning_tokens"] is None
    assert found["tokens_per_second"] is None
    assert found["cost"] is None


def test_all_is_absent_where_nothing_was_reported(path: Path) -> None:
    keep(path, answered(first=None, outcome=Outcome.ERROR), None)
    text = shown(path, "--plot")
    assert re.search(r"tokens +–\n", text)
    assert not re.search(r"\b0\b|\b0\.0", text)
    group = as_json(path)["groups"][0]
    assert [group[kind] for kind in ("first_token", "total", "prompt_tokens")] == [None] * 3
    assert group["outcomes"] == {"error": 1, "unfinished": 1}


def test_a_cost_is_shown_where_there_is_a_price(path: Path) -> None:
    keep(path, answered(usage=Usage(1_000_000, 1_000_000)), answered())
    prices = Prices({"m": Price(1.0, 2.4)}, currency="EUR")
    assert "3.40 EUR (1 of 2 turns)" in shown(path, prices=prices)
    assert as_json(path, prices=prices)["cost"] == {"amount": 3.4, "currency": "EUR", "turns": 1}
    shown(path, "--html", str(path.parent / "page.html"), prices=prices)
    assert "3.40 EUR" in (path.parent / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("columns", [1, 20, 40, 60, 80, 140])
def test_no_line_is_wider_than_the_terminal(path: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    keep(path, *[answered(model=model, total=1e9, usage=Usage(10**18, 1)) for model in ("漢字" * 50, HOSTILE, "a b")])
    lines = shown(path).splitlines()
    assert max(map(width_of, lines)) <= columns
    assert max(map(width_of, shown(path, "--plot").splitlines())) <= max(20, columns)


def test_the_conditions_of_a_list_hold(path: Path) -> None:
    keep(path, answered(), answered(model="gpt-4o"), answered(outcome=Outcome.LENGTH))
    keep(path, answered(), endpoint="https://api.example.com/v1", days=10)
    for arguments, turns in (
        (["--model", "gpt*"], 1),
        (["--endpoint", "example"], 1),
        (["--since", "2025-12-11"], 3),
        (["--until", "2025-12-11"], 1),
        (["--outcome", "length"], 1),
        (["--session", "other"], 0),
    ):
        assert as_json(path, *arguments)["turns"] == turns


def test_json_has_all_figures(path: Path) -> None:
    keep(path, answered(first=0.25, total=1.5, usage=Usage(10, 5, 2, 1), rate=20.0))
    figures = {
        "turns": 1,
        "outcomes": {"complete": 1},
        "first_token": {"turns": 1, "p50": 0.25, "p95": 0.25, "p99": 0.25},
        "total": {"turns": 1, "p50": 1.5, "p95": 1.5, "p99": 1.5},
        "tokens_per_second": {"turns": 1, "p50": 20.0, "p95": 20.0, "p99": 20.0},
        "prompt_tokens": {"sum": 10, "turns": 1},
        "completion_tokens": {"sum": 5, "turns": 1},
        "cached_tokens": {"sum": 2, "turns": 1},
        "reasoning_tokens": {"sum": 1, "turns": 1},
        "cost": None,
        "timeline": [{"start": "2025-12-10T12:00:00", "turns": 1, "first_token_p50": 0.25}],
    }
    assert as_json(path) == {
        "first": "2025-12-10T17:34:00+00:00",
        "last": "2025-12-10T17:34:00+00:00",
        "period": "an hour",
        **figures,
        "groups": [{"model": "m", "endpoint": "http://localhost:8080/v1", **figures}],
    }


# Nothing, and what cannot be


def test_no_turns_are_told_beside_the_output(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(path) == ""
    assert capsys.readouterr().err == "the history is empty\n"
    keep(path, answered())
    page = path.parent / "page.html"
    assert shown(path, "--plot", "--model", "none", "--html", str(page)) == ""
    assert capsys.readouterr().err == f"no such turns\nthe page is in {page}\n"
    assert "No such turns." in page.read_text(encoding="utf-8")
    found = as_json(path, "--model", "none")
    assert (found["turns"], found["groups"], found["first"], found["timeline"]) == (0, [], None, [])


def test_a_plot_is_no_json(path: Path) -> None:
    with pytest.raises(UsageError, match="--plot"):
        shown(path, "--plot", "--json")


def test_without_plotext_it_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(path, answered())
    monkeypatch.setitem(sys.modules, "plotext", None)
    with pytest.raises(UsageError) as caught:
        shown(path, "--plot")
    assert "pip install plotext" in caught.value.hint
    assert "complete" in shown(path)


# Plots


def test_plots_stand_below_the_text_with_colour_only_where_it_may_be(path: Path) -> None:
    keep(path, answered(), answered(first=0.05))
    plain = shown(path, "--plot")
    assert plain.startswith(shown(path))
    assert plain.count("█") > 8
    assert plain.count("first token · 1 m · http://localhost:8080/v1") == 1
    assert "\x1b" not in plain
    assert "\x1b[" in shown(path, "--plot", color=True)
    assert max(map(len, shown(path, "--plot", terminal=False).splitlines())) <= 80


# The page


class Tags(HTMLParser):
    """The elements of a page, with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def page(path: Path) -> str:
    keep(path, answered(usage=Usage(3, 4)), answered(model=HOSTILE, first=0.1), None)
    keep(path, answered(), endpoint=HOSTILE)
    file = path.parent / "page.html"
    assert shown(path, "--html", str(file)) == ""
    return file.read_text(encoding="utf-8")


def test_the_page_has_no_script_and_a_policy_that_forbids_all_but_its_style(page: str) -> None:
    found = Tags(page)
    names = {name for name, _ in found.tags}
    assert names.isdisjoint({"script", "iframe", "img", "link", "a", "object", "foreignobject", "base", "form"})
    attributes = {key for _, attributes in found.tags for key in attributes}
    assert not [key for key in attributes if key.startswith("on") or key in ("style", "href", "src")]
    assert "://" not in re.sub(r"https?://(localhost:8080/v1)", "", page)
    (policy,) = [attributes["content"] for _, attributes in found.tags if "http-equiv" in attributes]
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; ")
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_names_are_text_on_the_page(page: str) -> None:
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27; onload=x^[]52" in page
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", page)


def test_the_page_has_pictures_with_titles_and_fits_a_phone(page: str) -> None:
    found = Tags(page)
    pictures = [attributes for name, attributes in found.tags if name == "svg"]
    # Over time: all and three groups, and two of these with a first token more; distributions: first token and total.
    assert len(pictures) == 13
    assert all(picture["width"] == "100%" and picture["aria-label"] for picture in pictures)
    assert page.count("<title>") > len(pictures)
    assert 'content="width=device-width, initial-scale=1"' in page
    assert "prefers-color-scheme: dark" in page
    assert "secret" not in page


def test_the_same_figures_give_the_same_page(path: Path, page: str) -> None:
    shown(path, "--html", str(path.parent / "again.html"))
    assert (path.parent / "again.html").read_text(encoding="utf-8") == page


def test_a_page_takes_the_place_of_a_file_at_once(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(path, answered())
    file, link = tmp_path / "page.html", tmp_path / "link.html"
    file.write_text("before", encoding="utf-8")
    file.chmod(0o600)
    link.symlink_to(file)
    with file.open(encoding="utf-8") as reader:
        with pytest.raises(UsageError, match="exists"):
            shown(path, "--html", str(link))
        assert file.read_text(encoding="utf-8") == "before"
        shown(path, "--html", str(link), "--force")
        assert reader.read() == "before"  # another file by now
    assert link.is_symlink()
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["link.html", "page.html", "state"]
    assert capsys.readouterr().err == f"the page is in {link}\n"


def test_a_new_page_has_the_mode_that_the_umask_leaves(path: Path, tmp_path: Path) -> None:
    keep(path, answered())
    before = os.umask(0o027)
    try:
        shown(path, "--html", str(tmp_path / "page.html"))
    finally:
        os.umask(before)
    assert (tmp_path / "page.html").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", ["", "no/such/folder/page.html", "nul\0"])
def test_a_page_that_cannot_be_written_is_told(path: Path, tmp_path: Path, name: str) -> None:
    keep(path, answered())
    with pytest.raises(UsageError, match="cannot be written"):
        shown(path, "--html", str(tmp_path / name))
    assert [entry.name for entry in tmp_path.iterdir()] == ["state"]


def test_a_device_is_written_to(path: Path) -> None:
    keep(path, answered())
    shown(path, "--html", os.devnull)
    assert not Path(os.devnull).is_file()


# From outside


def test_the_program_shows_them(world: World) -> None:
    keep(world.state / "history.db", answered(usage=Usage(7, 5)), answered(model=HOSTILE))
    done = world.run("history", "stats", "--plot")
    assert done.returncode == 0
    assert done.stderr == b""
    text = done.stdout.decode()
    assert text.startswith("2 turns · 2025-12-10 to 2025-12-11\n")
    assert "prompt 7 · completion 5" in text
    done = world.run("history", "stats", "--html", "page.html")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"the page is in page.html\n")
    assert (world.folder / "page.html").exists()
    done = world.run("history", "stats", "--html", "no/page.html")
    assert done.returncode == 2
    assert re.fullmatch(rb"error: no/page.html cannot be written: .*\nhint: .*\n", done.stderr)
    done = world.run("--json", "history", "stats", "--since", "1h")
    assert (done.returncode, json.loads(done.stdout)["turns"], done.stderr) == (0, 0, b"no such turns\n")


def test_no_name_acts_on_a_terminal(world: World) -> None:
    keep(world.state / "history.db", answered(model=HOSTILE), answered())
    for arguments in ([], ["--plot"], ["--json"]):
        screen = world.screen("history", "stats", *arguments)
        assert screen.wait_for_exit() == 0
        sent = screen.raw.decode()
        assert "\x1b]" not in sent
        assert not re.search("[\x07\x7f-\x9f\u202e]", sent)
