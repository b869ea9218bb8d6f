"""SVG of the statistics. Widths are per cent, so that a picture fits a phone while its text keeps its size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from streaming_chat.cli.commands.history.stats import words
from streaming_chat.cli.commands.history.stats.scale import Scale, short
from streaming_chat.documents.html import Markup, element
from streaming_chat.history.statistics import Distribution
from streaming_chat.history.timeline import Period

#: Heights in px: of what is drawn, and of the text below an axis.
_BARS = 64
_TEXT = 18
#: Parts that the axis of a distribution is cut into, and marks below it: as many as a phone has room for.
_BINS = 64
_MARKS = 7
#: The widest bar, per cent: one period alone is no wall.
_WIDEST = 6.0


def turns_over_time(periods: Sequence[Period]) -> Markup:
    """A bar for each period with turns."""
    most = max(period.turns for period in periods)
    slot = 100 / len(periods)
    width = min(0.8 * slot, _WIDEST)
    bars = [
        _bar((place + 0.5) * slot - width / 2, width, period.turns / most, _BARS, _told(period))
        for place, period in enumerate(periods)
        if period.turns
    ]
    return _picture("turns over time", _BARS + _TEXT, *bars, *_days(periods))


def first_token_over_time(periods: Sequence[Period]) -> Markup:
    """The p50 of each period as a dot, joined where two follow one another; from 0."""
    most = max((period.first_token or 0 for period in periods), default=0) or 1
    slot = 100 / len(periods)
    places = [
        None if period.first_token is None else ((place + 0.5) * slot, 4 + (_BARS - 4) * (1 - period.first_token / most))
        for place, period in enumerate(periods)
    ]
    lines = [
        element("line", {"class": "path", "x1": _percent(a[0]), "y1": _px(a[1]), "x2": _percent(b[0]), "y2": _px(b[1])})
        for a, b in pairwise(places)
        if a is not None and b is not None
    ]
    dots = [
        element("circle", {"class": "dot", "cx": _percent(place[0]), "cy": _px(place[1]), "r": 3}, _title(_told(period)))
        for place, period in zip(places, periods, strict=True)
        if place is not None
    ]
    return _picture("first token over time, p50", _BARS + _TEXT, *lines, *dots, *_days(periods))


def distribution(values: Distribution, scale: Scale) -> Markup:
    """A histogram on the axis of `scale`, with a line for p50 and dashed ones for p95 and p99."""
    counts = scale.counts(values.values, _BINS)
    slot = 100 / _BINS
    bars = [
        _bar(place * slot, 0.9 * slot, count / max(counts), _BARS, words.counted(count))
        for place, count in enumerate(counts)
        if count
    ]
    marks = []
    for percent in (50, 95, 99):
        x = _percent(100 * scale.place(values.at(percent)))
        looks = "mark" if percent == 50 else "mark rare"
        told = _title(f"p{percent}: {words.seconds(values, percent)} s")
        marks.append(element("line", {"class": looks, "x1": x, "y1": 0, "x2": x, "y2": _BARS}, told))
    percentiles = ", ".join(f"p{percent} {words.seconds(values, percent)} s" for percent in (50, 95, 99))
    label = f"{words.counted(len(values.values))}: {percentiles}"
    return _picture(label, _BARS + _TEXT, *bars, *marks, *_axis(scale))


def _axis(scale: Scale) -> Iterator[Markup]:
    yield _line()
    for seconds in scale.marks(_MARKS):
        place = scale.place(seconds)
        # What stands at an end must not reach over it.
        anchor = "start" if place < 0.03 else "end" if place > 0.97 else "middle"
        yield _text(100 * place, anchor, f"{short(seconds)} s")


def _days(periods: Sequence[Period]) -> Iterator[Markup]:
    yield _line()
    first, last = words.moment(periods[0]), words.moment(periods[-1])
    yield _text(0, "start", first)
    if last != first:
        yield _text(100, "end", last)


def _told(period: Period) -> str:
    first = "" if period.first_token is None else f", first token p50 {period.first_token:.3f} s"
    return f"{words.moment(period)}: {words.counted(period.turns)}{first}"


def _picture(label: str, height: int, *content: Markup) -> Markup:
    # The title is for the pointer, and would hide those of the bars: for screen readers a label does it.
    return element("svg", {"width": "100%", "height": height, "role": "img", "aria-label": label}, *content)


def _bar(x: float, width: float, share: float, height: int, told: str) -> Markup:
    # At least a pixel: a bar that cannot be seen says that nothing happened.
    bar = max(1.0, share * height)
    place = {"x": _percent(x), "y": _px(height - bar), "width": _percent(width), "height": _px(bar)}
    return element("rect", {"class": "bar", **place}, _title(told))


def _line() -> Markup:
    return element("line", {"class": "axis", "x1": 0, "y1": _BARS, "x2": "100%", "y2": _BARS})


def _text(x: float, anchor: str, text: str) -> Markup:
    return element("text", {"x": _percent(x), "y": _BARS + _TEXT - 4, "text-anchor": anchor}, text)


def _title(text: str) -> Markup:
    return element("title", {}, text)


def _percent(value: float) -> str:
    return f"{value:.2f}%"


def _px(value: float) -> str:
    return f"{value:.1f}"
