from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming_chat.core.arrivals import KINDS, Arrival, arrival_words, decode_arrivals, encode_arrivals

LONGEST = 2**20 - 1


@given(
    st.lists(
        st.builds(
            Arrival,
            at=st.integers(0, 2**40 - 1).map(lambda microseconds: microseconds / 1e6),
            kind=st.sampled_from(KINDS),
            length=st.integers(0, LONGEST),
        ),
        max_size=20,
    )
)
def test_what_was_encoded_is_decoded_in_eight_bytes_each(arrivals: list[Arrival]) -> None:
    encoded = encode_arrivals(arrivals)
    assert decode_arrivals(encoded) == arrivals
    assert len(encoded) == 8 * len(arrivals)


@pytest.mark.parametrize("length", [LONGEST + 1, 2 * LONGEST, 2 * LONGEST + 1])
def test_a_delta_that_is_too_long_for_one_entry_takes_several_whose_lengths_add_up(length: int) -> None:
    decoded = decode_arrivals(encode_arrivals([Arrival(1.5, "text", length)]))
    assert [(one.at, one.kind) for one in decoded] == [(1.5, "text")] * -(-length // LONGEST)
    assert sum(one.length for one in decoded) == length
    assert all(one.length for one in decoded)


@pytest.mark.parametrize(("at", "kept"), [(-1.0, 0.0), (1e9, (2**40 - 1) / 1e6), (0.0000004, 0.0)])
def test_a_time_out_of_range_counts_as_the_nearest(at: float, kept: float) -> None:
    assert decode_arrivals(encode_arrivals([Arrival(at, "refusal", 1)])) == [Arrival(kept, "refusal", 1)]


def test_the_form_is_fixed() -> None:
    assert arrival_words(0.000002, "tool_call", 5) == [2 << 24 | 5 << 4 | 3]
