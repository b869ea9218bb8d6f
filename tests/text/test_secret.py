"""A key that a server repeats does not come out, however it is cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_chat.text.secret import SecretMask, is_secret, masked, without_secret

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


PLACEHOLDERS = ["", "x", "a1", "EMPTY", "none", "no-key", "ollama", "lm-studio", "not-needed", "12345"]


@pytest.mark.parametrize("key", PLACEHOLDERS)
def test_what_a_text_may_hold_by_chance_stays(key: str) -> None:
    text = f"explain x to ollama, EMPTY or not-needed: {key} 12345 a1"
    assert not is_secret(key)
    assert without_secret(text, key) == text
    assert shown(key, list(text)) == text


KEYS = [SECRET, "sk-1234", "hunter2", "token-abc123", "sk-no-key-required", 'a"b\\c/d-0123456789', "////////////////1"]


@pytest.mark.parametrize("key", KEYS)
def test_what_is_a_key_is_masked_by_the_same_rule_whole_and_in_pieces(key: str) -> None:
    text = f"explain {key}: the key is {key}{key}."
    expected = text.replace(key, masked(key))
    assert is_secret(key)
    assert without_secret(text, key) == expected
    assert shown(key, [text]) == expected
    assert key not in shown(key, list(text))


def escaped(key: str, draw: Callable[[int], int], depth: int) -> str:
    """`key` as JSON may write it, inside `depth` strings of JSON."""
    pieces = []
    for char in key:
        forms = [json.dumps(char)[1:-1], f"\\u{ord(char):04x}", f"\\u{ord(char):04X}"]
        forms += ["\\/"] if char == "/" else []
        pieces.append(forms[draw(len(forms))])
    written = "".join(pieces)
    for _ in range(depth - 1):
        written = json.dumps(written)[1:-1]
    return written


@given(st.sampled_from(KEYS), st.randoms(use_true_random=False), st.integers(1, 3))
def test_a_key_in_json_is_found_in_every_spelling(key: str, random: Random, depth: int) -> None:
    written = escaped(key, random.randrange, depth)
    text = f'{{"message": "your key {written} is bad", "line": "a\\nb"}}'
    seen = without_secret(text, key)
    assert seen == f'{{"message": "your key {masked(key)} is bad", "line": "a\\nb"}}'


@pytest.mark.parametrize(
    "key", [SECRET, "\\" * 12 + "1234567890abcdef", '\\"/' * 8 + "1"], ids=["ordinary", "backslashes", "mixed"]
)
@pytest.mark.parametrize(
    "text", ["\\" * 200_000 + "u0073", "\\u005c" * 50_000, '\\"\\/' * 50_000], ids=["run", "escapes", "mixed"]
)
def test_a_text_of_backslashes_is_searched_in_linear_time(key: str, text: str) -> None:
    # In the square of its length, or worse, this would not end.
    assert without_secret(text, key) == text


@given(
    st.sampled_from([*KEYS, "abcd1234", "aab1aab1aab1aab1"]),
    st.randoms(use_true_random=False),
    st.lists(st.sampled_from(["plain", "escaped", " and ", "\\n", 'say \\"x\\" ', "\\u00", "start"]), max_size=6),
    st.integers(1, 30),
)
def test_a_key_in_json_is_found_in_pieces_too(key: str, random: Random, parts: list[str], size: int) -> None:
    forms = {"plain": key, "escaped": escaped(key, random.randrange, 1), "start": key[: len(key) // 2]}
    text = "".join(forms.get(part, part) for part in parts)
    seen = shown(key, [text[at : at + size] for at in range(0, len(text), size)])
    assert key not in seen
    assert forms["escaped"] not in seen
    if without_secret(text, key) == text:
        assert seen == text


@pytest.mark.parametrize("key", ["abcd1234", "sk-1234"])
def test_of_a_short_key_that_is_cut_nothing_but_its_end_is_shown(key: str) -> None:
    assert shown(key, list(f"key {key}.")) == f"key {masked(key)}."
