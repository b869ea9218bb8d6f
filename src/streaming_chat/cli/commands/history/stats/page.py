"""The statistics as one HTML page that needs nothing else: no script, no font, no request; its policy forbids them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streaming_chat.cli.commands.history.stats import pictures, words
from streaming_chat.cli.commands.history.stats.scale import Scale
from streaming_chat.cli.commands.history.stats.style import STYLE
from streaming_chat.documents.html import Markup, element, head, joined
from streaming_chat.history.statistics import TOKENS, Distribution, Figures, Group, Statistics
from streaming_chat.history.timeline import Timeline

#: Periods that the time is cut into, at most: bars on a phone are then three pixels wide.
_PERIODS = 90
_TITLE = "streaming-chat: statistics"


def page(statistics: Statistics, currency: str) -> str:
    """The whole page. The same figures give the same page."""
    body = joined(_sections(statistics, currency) if statistics.groups else _nothing())
    top = head(_TITLE, STYLE, color_scheme="light dark")
    return f"<!doctype html>\n{element('html', {'lang': 'en'}, top, element('body', {}, body))}\n"


def _nothing() -> Iterator[Markup]:
    yield element("h1", {}, _TITLE)
    yield element("p", {}, "No such turns.")


def _sections(statistics: Statistics, currency: str) -> Iterator[Markup]:
    figures = statistics.figures
    timeline = Timeline(figures.moments, _PERIODS)
    facts = [words.counted(figures.turns), words.days(figures.moments)]
    if figures.cost is not None:
        facts.append(words.cost(figures.cost, figures.turns, currency))
    yield element("h1", {}, _TITLE)
    yield element("p", {"class": "soft"}, " · ".join(facts))
    yield _turns(figures, timeline)
    yield element("h2", {}, "Turns")
    yield _outcomes(statistics)
    yield element("h2", {}, "Seconds")
    yield _times(statistics)
    yield element("h2", {}, "Tokens")
    yield _tokens(statistics, currency)
    yield from _distributions(statistics, "first_token", "First token")
    yield from _distributions(statistics, "total", "Total, of complete turns")
    yield element("h2", {}, "Over time")
    for group in statistics.groups:
        yield _heading(group)
        yield _turns(group.figures, timeline)
        yield from _first_tokens(group.figures, timeline)


def _turns(figures: Figures, timeline: Timeline) -> Markup:
    periods = timeline.periods(figures.moments)
    most = max(period.turns for period in periods)
    caption = element("figcaption", {}, f"turns over time; most {most:,} in {timeline.length}")
    return element("figure", {}, caption, pictures.turns_over_time(periods))


def _first_tokens(figures: Figures, timeline: Timeline) -> Iterator[Markup]:
    periods = timeline.periods(figures.moments)
    known = [period.first_token for period in periods if period.first_token is not None]
    if known:
        text = f"first token over time, p50 of {timeline.length}; most {max(known):.3f} s"
        yield element("figure", {}, element("figcaption", {}, text), pictures.first_token_over_time(periods))


def _distributions(statistics: Statistics, kind: str, title: str) -> Iterator[Markup]:
    known: list[tuple[Group, Distribution]] = [
        (group, found) for group in statistics.groups if (found := getattr(group.figures, kind)) is not None
    ]
    if not known:
        return
    scale = Scale(value for _, found in known for value in found.values)
    yield element("h2", {}, title)
    yield element("p", {"class": "soft"}, "The line is p50, the dashed ones are p95 and p99. The axis is logarithmic.")
    for group, found in known:
        yield _heading(group)
        yield element("figure", {}, pictures.distribution(found, scale))


def _times(statistics: Statistics) -> Markup:
    kinds = (("first_token", "first token"), ("total", "total"))
    over = [element("th", {"colspan": 4, "scope": "colgroup"}, title) for _, title in kinds]
    heads = [element("th", {"scope": "col"}, name) for _ in kinds for name in ("turns", "p50", "p95", "p99")]
    rows = []
    for group in statistics.groups:
        cells = [_name(group)]
        for kind, title in kinds:
            found = getattr(group.figures, kind)
            cells.append(_cell(title, words.ABSENT if found is None else f"{len(found.values):,}", "turns"))
            cells += [_cell(f"p{percent}", words.seconds(found, percent)) for percent in (50, 95, 99)]
        rows.append(element("tr", {}, *cells))
    corner = element("th", {"rowspan": 2, "scope": "col"}, "model, endpoint")
    head = element("thead", {}, element("tr", {}, corner, *over), element("tr", {}, *heads))
    return _whole_table(head, rows)


def _outcomes(statistics: Statistics) -> Markup:
    rows = []
    for group in statistics.groups:
        outcomes = [element("span", {"class": "whole"}, outcome) for outcome in words.outcomes(group.figures)]
        count = _cell("turns", f"{group.figures.turns:,}", "wide")
        rows.append([_name(group), count, _cell("outcomes", Markup(" · ".join(outcomes)), "wide words")])
    return _table(("turns", "outcomes"), rows)


def _tokens(statistics: Statistics, currency: str) -> Markup:
    has_cost = statistics.figures.cost is not None
    labels = [*(kind.removesuffix("_tokens") for kind in TOKENS), "tokens/s p50", *["cost"] * has_cost]
    rows = []
    for group in statistics.groups:
        figures, turns = group.figures, group.figures.turns
        facts = [
            *(words.tokens(figures.tokens[kind], turns) for kind in TOKENS),
            words.rate(figures.tokens_per_second, turns),
            *[words.cost(figures.cost, turns, currency)] * has_cost,
        ]
        cells = [_cell(label, _parted(fact), "wide") for label, fact in zip(labels, facts, strict=True)]
        rows.append([_name(group), *cells])
    return _table(labels, rows)


def _table(labels: Sequence[str], rows: Sequence[Sequence[Markup]]) -> Markup:
    classes = {"outcomes": {"class": "words"}}
    heads = [element("th", {"scope": "col", **classes.get(label, {})}, label) for label in ("model, endpoint", *labels)]
    head = element("thead", {}, element("tr", {}, *heads))
    return _whole_table(head, [element("tr", {}, *row) for row in rows])


def _whole_table(head: Markup, rows: Sequence[Markup]) -> Markup:
    # Should figures be so long that they do not fit, the table is moved sideways, not the page.
    return element("div", {"class": "table"}, element("table", {}, head, element("tbody", {}, joined(rows))))


def _parted(text: str) -> Markup:
    """`12,345 (38 of 40 turns)` in two parts, so that a line breaks between them."""
    figure, bracket, rest = text.partition(" (")
    parts = [element("span", {"class": "whole"}, figure)]
    if bracket:
        parts.append(element("span", {"class": "soft"}, f"({rest}"))
    return Markup(" ".join(parts))


def _cell(label: str, text: str, kind: str = "figure") -> Markup:
    # On a phone a cell bears the label of its column.
    return element("td", {"class": kind, "data-label": label}, text)


def _name(group: Group) -> Markup:
    return element("th", {"scope": "row"}, group.model, element("span", {"class": "endpoint"}, group.endpoint))


def _heading(group: Group) -> Markup:
    return element("h3", {}, group.model, element("span", {"class": "endpoint"}, group.endpoint))
