"""Sums of what was counted, and of how many turns."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_chat.chat.usage_lines import summary, usage_lines
from streaming_chat.core.events import Usage
from streaming_chat.core.usage_sums import Sum, UsageSums

counts = st.none() | st.integers(0, 10**9)
usages = st.none() | st.builds(Usage, counts, counts, counts, counts)
costs = st.none() | st.floats(0, 1e6)
NAMES = (*asdict(Usage()), "cost")


@given(st.lists(st.tuples(usages, costs)))
def test_each_figure_is_the_sum_of_the_turns_that_have_it(turns: list[tuple[Usage | None, float | None]]) -> None:
    sums = UsageSums()
    for usage, cost in turns:
        sums.add(usage, cost)
    assert sums.turns == len(turns)
    for name in NAMES:
        amounts = [cost if name == "cost" else getattr(usage, name, None) for usage, cost in turns]
        counted = [amount for amount in amounts if amount is not None]
        found = sums.of(name)
        if not counted:
            assert found is None
        else:
            assert found == Sum(pytest.approx(sum(counted)), len(counted))


@given(st.lists(st.tuples(usages, costs), min_size=1))
def test_what_is_absent_is_never_shown_as_0(turns: list[tuple[Usage | None, float | None]]) -> None:
    sums = UsageSums()
    for usage, cost in turns:
        sums.add(usage, cost)
    last, last_cost = turns[-1]
    for name, line in zip(NAMES, _in_order(usage_lines(last, last_cost, sums, "$")), strict=False):
        one, total = line[13:].split(maxsplit=1)
        assert (one == "–") == ((last_cost if name == "cost" else getattr(last, name, None)) is None)
        assert (total == "–") == (sums.of(name) is None)


def _in_order(lines: list[str]) -> list[str]:
    """The rows in the order of NAMES."""
    _, prompt, cached, completion, reasoning, *cost = lines
    return [prompt, completion, cached, reasoning, *cost]


def test_a_sum_says_of_how_many_turns_it_is() -> None:
    sums = UsageSums()
    sums.add(Usage(1000, 30, None, 7), 0.5)
    sums.add(None, None)
    sums.add(Usage(234, 4), None)
    assert usage_lines(Usage(234, 4), None, sums, "EUR") == [
        "               last turn  session (3 turns)",
        "  prompt             234  1,234 (2 of 3 turns)",
        "    cached             –  –",
        "  completion           4  34 (2 of 3 turns)",
        "    reasoning          –  7 (1 of 3 turns)",
        "  cost                 –  0.50 EUR (1 of 3 turns)",
    ]
    assert summary(sums, "EUR") == "3 turns · prompt 1,234 (2 of 3) · completion 34 (2 of 3) · cost 0.50 EUR (1 of 3)"


def test_without_counts_there_is_nothing_to_sum_up() -> None:
    sums = UsageSums()
    sums.add(None, None)
    assert summary(sums, "$") is None
    assert not [line for line in usage_lines(None, None, sums, "$") if "cost" in line]
