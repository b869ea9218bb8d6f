import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_chat.text.surrogates import SurrogateJoiner, has_surrogate

#: 😀 as JSON escapes it, in two halves.
HIGH, LOW = "\ud83d", "\ude00"

#: Any text that JSON can hold, rich in halves.
TEXT = st.text(st.one_of(st.characters(exclude_categories=()), st.sampled_from([HIGH, LOW, "\udbff", "a", "é", "😀"])))


def joined(*pieces: str) -> list[str]:
    joiner = SurrogateJoiner()
    return [*(joiner.feed(piece) for piece in pieces), joiner.finish()]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["Hello", " wörld 😀"], ["Hello", " wörld 😀", ""]),
        ([HIGH + LOW], ["😀", ""]),
        (["a" + HIGH, LOW + "b"], ["a", "😀b", ""]),
        ([HIGH, "", LOW], ["", "", "😀", ""]),
        ([HIGH, "b"], ["", "\ufffdb", ""]),
        ([HIGH, HIGH, LOW], ["", "\ufffd", "😀", ""]),
        ([LOW], ["\ufffd", ""]),
        ([LOW + HIGH], ["\ufffd", "\ufffd"]),
        (["a" + HIGH], ["a", "\ufffd"]),
    ],
)
def test_halves_are_joined_and_lone_ones_replaced(pieces: list[str], expected: list[str]) -> None:
    assert joined(*pieces) == expected


@given(st.lists(TEXT))
def test_the_cut_does_not_matter_and_what_comes_out_can_be_encoded(pieces: list[str]) -> None:
    whole = "".join(joined(*pieces))
    assert whole == "".join(pieces).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    whole.encode()


@given(st.text())
def test_whole_characters_are_never_held_back(text: str) -> None:
    assert joined(text) == [text, ""]


def test_a_joiner_can_go_on_after_its_end() -> None:
    joiner = SurrogateJoiner()
    assert [joiner.feed(HIGH), joiner.finish(), joiner.feed("a" + LOW), joiner.finish()] == ["", "\ufffd", "a\ufffd", ""]


@given(TEXT)
def test_a_surrogate_is_what_utf_8_cannot_hold(text: str) -> None:
    assert has_surrogate(text) == any("\ud800" <= one <= "\udfff" for one in text)
