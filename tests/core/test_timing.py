import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_chat.core.timing import Gaps, Stopwatch, Timing, percentile

START = 100.0


def test_an_answer_without_any_event_has_a_total_alone() -> None:
    assert Stopwatch(START).timing(101.5, None) == Timing(total=1.5)


def test_every_figure_counts_from_the_start_of_the_turn() -> None:
    watch = Stopwatch(START)
    watch.headers = 100.25
    watch.reasoning(100.5)
    watch.reasoning(100.75)
    watch.text(101.0)
    watch.text(101.25)
    watch.text(102.0)
    assert watch.timing(102.5, 7) == Timing(
        total=2.5,
        headers=0.25,
        first_token=1.0,
        first_reasoning=0.5,
        gaps=Gaps(p50=0.25, p95=0.75, max=0.75),
        tokens_per_second=6 / 1.5,
    )


@pytest.mark.parametrize(
    ("arrivals", "gaps"),
    [
        ([], None),
        ([1.0], None),
        ([1.0, 1.5], Gaps(0.5, 0.5, 0.5)),
        ([1.0, 1.0], Gaps(0.0, 0.0, 0.0)),
        ([float(second) for second in range(21)], Gaps(1.0, 1.0, 1.0)),
        ([*(float(second) for second in range(20)), 29.0], Gaps(1.0, 1.0, 10.0)),
        ([*(float(second) for second in range(19)), 28.0, 39.0], Gaps(1.0, 10.0, 11.0)),
    ],
    ids=["none", "one", "two", "at once", "even", "one stall in twenty", "two stalls in twenty"],
)
def test_gaps_lie_between_text_deltas(arrivals: list[float], gaps: Gaps | None) -> None:
    watch = Stopwatch(START)
    for at in arrivals:
        watch.text(START + at)
        # What is no text lies in no gap.
        watch.reasoning(START + at + 0.1)
        watch.tool_call(START + at + 0.2)
    assert watch.timing(200.0, None).gaps == gaps


@pytest.mark.parametrize(
    ("arrivals", "completion_tokens", "rate"),
    [
        ([1.0, 3.0], 5, 2.0),
        ([1.0, 3.0], None, None),
        ([1.0, 3.0], 0, None),
        ([1.0, 3.0], 1, None),
        ([1.0], 5, None),
        ([1.0, 1.0], 5, None),
        ([], 5, None),
    ],
    ids=["two", "no usage", "no token", "one token", "one delta", "at once", "no delta"],
)
def test_a_rate_needs_the_servers_count_and_two_moments(
    arrivals: list[float], completion_tokens: int | None, rate: float | None
) -> None:
    watch = Stopwatch(START)
    for at in arrivals:
        watch.text(START + at)
    assert watch.timing(200.0, completion_tokens).tokens_per_second == rate


def test_a_rate_reaches_from_the_first_to_the_last_delta_of_any_kind() -> None:
    watch = Stopwatch(START)
    watch.reasoning(101.0)
    watch.text(102.0)
    watch.tool_call(105.0)
    timing = watch.timing(110.0, 9)
    assert (timing.tokens_per_second, timing.first_token) == (2.0, 2.0)


def test_a_tool_call_is_not_a_first_token() -> None:
    watch = Stopwatch(START)
    watch.tool_call(101.0)
    assert watch.timing(102.0, None) == Timing(total=2.0)


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([1.0], 50, 1.0),
        ([1.0], 0, 1.0),
        ([1.0, 2.0], 50, 1.0),
        ([1.0, 2.0, 3.0], 50, 2.0),
        ([1.0, 2.0, 3.0], 95, 3.0),
        ([1.0, 2.0, 3.0], 100, 3.0),
        ([float(one) for one in range(1, 101)], 95, 95.0),
    ],
)
def test_a_percentile_is_the_nearest_rank(values: list[float], percent: float, expected: float) -> None:
    assert percentile([values], percent) == expected


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 100))
def test_a_percentile_is_a_value_that_occurred(values: list[float], percent: float) -> None:
    found = percentile([sorted(values)], percent)
    assert found in values
    assert sum(one <= found for one in values) >= len(values) * percent / 100 * (1 - 1e-9)


@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.0]) | st.floats(0, 10))), st.floats(0, 100))
def test_it_does_not_matter_in_which_parts_the_values_are_sorted(parts: list[list[float]], percent: float) -> None:
    together = sorted(value for part in parts for value in part)
    if together:
        assert percentile([sorted(part) for part in parts], percent) == percentile([together], percent)


def test_the_gaps_of_a_long_answer_are_those_of_all_of_it() -> None:
    watch = Stopwatch(START)
    at, gaps = START, []
    for number in range(20_000):
        watch.text(at)
        gaps.append(1 + number * 7919 % 10_007)
        at += gaps[-1]
    ordered = sorted(gaps[:-1])
    # Of 19,999 gaps, the 10,000th and the 19,000th.
    assert watch.timing(at, None).gaps == Gaps(p50=ordered[9_999], p95=ordered[18_999], max=ordered[-1])
