"""A key that a server repeats does not come out, however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_chat.core.secret import SecretMask, masked

SECRET = "sk-test-0123456789abcdef"


def shown(secret: str, pieces: list[str]) -> str:
    mask = SecretMask(secret)
    return "".join([*map(mask.feed, pieces), mask.finish()])


@pytest.mark.parametrize("size", range(1, len(SECRET) + 1))
def test_it_is_found_in_pieces_of_any_size(size: int) -> None:
    text = f"Your key is {SECRET}, sk-test-012 is not, {SECRET}{SECRET}."
    seen = shown(SECRET, [text[at : at + size] for at in range(0, len(text), size)])
    assert SECRET not in seen
    assert SECRET[8:-4] not in seen
    assert seen.endswith(f"{masked(SECRET)}{masked(SECRET)}.") or size < len(SECRET)
    assert "sk-test-012 is not" in seen


@given(st.lists(st.sampled_from(["sk-", "sk-te", "st-0123", SECRET[:10], SECRET[10:], SECRET, " ", "x"]), max_size=12))
def test_nothing_else_is_lost_and_nothing_of_it_is_left(pieces: list[str]) -> None:
    seen, whole = shown(SECRET, pieces), "".join(pieces)
    assert SECRET not in seen
    if SECRET not in whole:
        assert seen == whole


def test_a_text_is_not_kept_waiting_for_what_may_be_a_coincidence() -> None:
    mask = SecretMask(SECRET)
    assert mask.feed("it ends in s") == "it ends in s"
    assert mask.feed("k-test") == "k-test"
    assert mask.feed("-0") == ""
    assert mask.feed("!") == "-0!"


@pytest.mark.parametrize("secret", ["", "EMPTY", "no-key"])
def test_what_is_no_key_is_not_looked_for(secret: str) -> None:
    assert shown(secret, ["no-key EMPTY"]) == "no-key EMPTY"
