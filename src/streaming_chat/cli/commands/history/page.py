"""One turn, whole, as a page to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from streaming_chat.cli.commands.history.lines import one_line
from streaming_chat.core.prices import NO_PRICES, Prices
from streaming_chat.documents.facts import answers, end, facts, heading, speaker
from streaming_chat.history import StoredTurn


def page(turn: StoredTurn, clean: Callable[[str], str], prices: Prices = NO_PRICES) -> Iterator[str]:
    """Header, messages, answer, end; each text out of the history has gone through `clean`."""
    yield one_line(clean(heading(turn)))
    # A stateless turn has its place in the conversation too, but was asked without what came before it.
    has_context = any(message.role == "assistant" for message in turn.messages)
    place = [f"after turn {turn.parent}"] if turn.parent is not None and has_context else []
    if told := " · ".join([*place, *facts(turn)]):
        yield one_line(clean(told))
    speeches = [(speaker(message), message.content) for message in turn.messages] + list(answers(turn))
    if turn.text:
        speeches.append(("Assistant", turn.text))
    for who, text in speeches:
        yield ""
        yield clean(f"{who}: {text}")
    yield ""
    for line in end(turn, prices.shown_cost(turn.model, turn.served_model, turn.usage)):
        yield one_line(clean(line))
