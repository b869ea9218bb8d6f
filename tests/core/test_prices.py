"""What an answer cost, by the user's prices."""

from __future__ import annotations

import pytest

from streaming_chat.core.events import Usage
from streaming_chat.core.prices import Price, Prices, money

USAGE = Usage(prompt_tokens=1000, completion_tokens=500, cached_tokens=400, reasoning_tokens=200)


def test_prompt_cached_and_completion_tokens_have_prices_of_their_own():
    prices = Prices({"m": Price(prompt=2.0, completion=8.0, cached=0.5)})
    assert prices.cost("m", USAGE) == pytest.approx((600 * 2.0 + 400 * 0.5 + 500 * 8.0) / 1e6)


def test_cached_tokens_without_a_price_cost_like_others():
    assert Prices({"m": Price(2.0, 8.0)}).cost("m", USAGE) == pytest.approx((1000 * 2.0 + 500 * 8.0) / 1e6)


def test_more_cached_tokens_than_prompt_tokens_do_not_make_it_negative():
    cost = Prices({"m": Price(2.0, 8.0, 0.0)}).cost("m", Usage(10, 0, 99, None))
    assert cost == 0


@pytest.mark.parametrize(
    "usage",
    [None, Usage(), Usage(prompt_tokens=5), Usage(completion_tokens=5)],
    ids=["none", "nothing", "half", "other half"],
)
def test_what_the_server_did_not_count_has_no_cost(usage):
    assert Prices({"m": Price(2.0, 8.0)}).cost("m", usage) is None


def test_a_model_without_a_price_has_no_cost():
    assert Prices({"m": Price(2.0, 8.0)}).cost("other", USAGE) is None


def test_the_name_itself_goes_before_a_pattern_and_the_longest_pattern_before_others():
    prices = Prices({"*": Price(1, 0), "gpt-4o*": Price(2, 0), "gpt-4o-mini*": Price(3, 0), "gpt-4o-mini": Price(4, 0)})
    usage = Usage(prompt_tokens=1_000_000, completion_tokens=0)
    costs = [prices.cost(name, usage) for name in ("x", "gpt-4o", "gpt-4o-mini-2024", "gpt-4o-mini")]
    assert costs == [1, 2, 3, 4]


def test_brackets_in_a_name_are_only_brackets():
    assert Prices({"[m]*": Price(1, 1)}).cost("m", USAGE) is None
    assert Prices({"[m]*": Price(1, 1)}).cost("[m]1", USAGE) is not None


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (0, "$", "$0.00"),
        (0.0000123, "$", "$0.000012"),
        (0.00123, "$", "$0.0012"),
        (0.000001, "$", "$0.000001"),
        (0.0000009, "$", "<$0.000001"),
        (1e-15, "EUR", "<0.000001 EUR"),
        (0.25, "€", "€0.25"),
        (0.5, "EUR", "0.50 EUR"),
        (3.4, "$", "$3.40"),
        (1234.5, "EUR", "1234.50 EUR"),
    ],
)
def test_an_amount_has_as_many_digits_as_it_needs(amount, currency, shown):
    assert money(amount, currency) == shown


def test_a_turn_costs_what_the_requested_name_says_else_the_served_one():
    prices = Prices({"asked": Price(1, 1), "served*": Price(2, 2)})
    usage = Usage(1_000_000, 0)
    assert prices.cost_of_turn("asked", "served-1", usage) == 1
    assert prices.cost_of_turn("other", "served-1", usage) == 2
    assert prices.cost_of_turn("other", None, usage) is None
    assert prices.cost_of_turn("asked", None, None) is None
    assert prices.shown_cost("other", "served-1", usage) == "$2.00"
    assert prices.shown_cost("other", "other", usage) is None


def test_a_cost_has_no_dust_of_binary_fractions():
    assert Prices({"m": Price(0.15, 0.6)}).cost_of_turn("m", None, Usage(31, 3)) == 6.45e-06
