"""Two hundred answers at once, from a server that fails at random: each turn is its own, and what became of it is true."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from server import LAST_FRAME, Close, Request, Reset, Send, Server, Step, Wait, answer, frame, http_error, split, sse
from streaming_chat.core.conversation import ChatRequest, Message
from streaming_chat.core.errors import ChatError, ConnectionCut, ConnectionFailed, RateLimitError, ServerError
from streaming_chat.core.events import Event, Finished, Outcome, TextDelta
from streaming_chat.core.turn import Turn
from streaming_chat.engine.loop import run_turn
from streaming_chat.engine.protocols import TurnObserver
from streaming_chat.providers import network as connection
from streaming_chat.providers.openai_sdk import OpenAISDK

STREAMS = 200
SEED = 20251210
#: How a stream ends → the outcome, the kind of error, and whether the text arrives. A reset may overtake what was sent.
FATES: dict[str, tuple[Outcome, type[ChatError] | None, str]] = {
    "whole": (Outcome.COMPLETE, None, "all"),
    "slow": (Outcome.COMPLETE, None, "all"),
    "byte by byte": (Outcome.COMPLETE, None, "all"),
    "done alone": (Outcome.COMPLETE, None, "all"),
    "length": (Outcome.LENGTH, None, "all"),
    "content_filter": (Outcome.FILTERED, None, "all"),
    "cut": (Outcome.TRUNCATED, ConnectionCut, "all"),
    "clean cut": (Outcome.TRUNCATED, None, "all"),
    "reset": (Outcome.TRUNCATED, ConnectionCut, "a part"),
    "error chunk": (Outcome.ERROR, ServerError, "all"),
    "no JSON": (Outcome.ERROR, ServerError, "all"),
    "500": (Outcome.ERROR, ServerError, "none"),
    "429": (Outcome.ERROR, RateLimitError, "none"),
    "gone": (Outcome.ERROR, ConnectionFailed, "none"),
    "429, then whole": (Outcome.COMPLETE, None, "all"),
    "503, then whole": (Outcome.COMPLETE, None, "all"),
}


@dataclass(frozen=True)
class Plan:
    """What happens to stream `number`, and what it says if it comes to that."""

    number: int
    fate: str
    words: tuple[str, ...]
    steps: tuple[Step, ...]

    @property
    def text(self) -> str:
        return "".join(self.words)


def plan(number: int, fate: str, dice: random.Random) -> Plan:
    words = tuple(f"{number}.{position} 雪😀 " for position in range(dice.randint(2, 30)))
    return Plan(number, fate, words, tuple(steps(number, fate, words, dice)))


def steps(number: int, fate: str, words: tuple[str, ...], dice: random.Random) -> list[Step]:
    """The script for the last attempt."""
    if fate in ("500", "429"):
        return http_error(int(fate), {"error": {"message": f"failure of {number}"}})
    if fate in BROKEN:
        return BROKEN[fate](number, words, dice)
    if fate == "done alone":
        return answer(words, finish_reason=None)
    if fate == "slow":
        return [
            Wait(dice.uniform(0, 0.3)),
            *answer(words, delay=dice.uniform(0.001, 0.02), first_delay=dice.uniform(0, 0.3)),
        ]
    script = answer(words, finish_reason=fate if fate in ("length", "content_filter") else "stop")
    size = sum(len(step.data) for step in script if isinstance(step, Send))
    if fate == "byte by byte":
        return split(script, range(size))
    return split(script, dice.sample(range(size), dice.randint(0, 20)))


def open_end(words: tuple[str, ...]) -> list[Step]:
    """An answer without its end."""
    return answer(words, finish_reason=None, done=False)[:-1]


#: Fate → the script of an answer that breaks.
BROKEN: dict[str, Callable[[int, tuple[str, ...], random.Random], list[Step]]] = {
    "gone": lambda _number, _words, dice: [Reset() if dice.random() < 0.5 else Close()],
    "cut": lambda _number, words, _dice: [*open_end(words), Close()],
    "clean cut": lambda _number, words, _dice: answer(words, finish_reason=None, done=False),
    "reset": lambda _number, words, _dice: [*open_end(words), Wait(0.05), Reset()],
    "error chunk": lambda number, words, _dice: [
        *open_end(words),
        Send(frame(sse({"error": {"message": f"failure of {number}"}}))),
        Send(LAST_FRAME),
    ],
    "no JSON": lambda _number, words, _dice: [*open_end(words), Send(frame(b"data: {oops\n\n")), Send(LAST_FRAME)],
}


class Witness(TurnObserver):
    """A renderer that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.turns: list[Turn] = []

    def handle(self, event: Event) -> None:
        self.events.append(event)

    def end(self, turn: Turn) -> None:
        self.turns.append(turn)


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    dice = random.Random(SEED)
    fates = [list(FATES)[number % len(FATES)] for number in range(STREAMS)]
    dice.shuffle(fates)
    return [plan(number, fate, dice) for number, fate in enumerate(fates)]


@pytest.fixture(scope="module")
def results(plans: list[Plan]) -> list[tuple[Turn, Witness]]:
    """What came of the plans, all of which were carried out at once."""
    refused: set[int] = set()
    all_there = threading.Barrier(STREAMS, timeout=60)

    def script(request: Request) -> list[Step]:
        mine = plans[int(request.json["messages"][0]["content"])]
        status, then, _ = mine.fate.partition(", then ")
        if then and mine.number not in refused:
            refused.add(mine.number)
            return http_error(int(status), {"error": {"message": "not yet"}}, {"retry-after-ms": "10"})
        return list(mine.steps)

    def ask(number: int) -> tuple[Turn, Witness]:
        witness = Witness()
        request = ChatRequest("test-model", (Message("user", str(number)),))
        # A client for every four: some share their connections, others do not.
        all_there.wait()
        retries = 1 if ", then " in plans[number].fate else 0
        return run_turn(request, providers[number // 4], [witness], retries=retries), witness

    with pytest.MonkeyPatch.context() as patch, Server(script) as server:
        # However long it takes from the connection that is opened ahead to the request, it is not one that has been idle,
        # on which a request that brings nothing is sent again unseen.
        patch.setattr(connection, "_FRESH", 600.0)
        providers = [OpenAISDK(server.base_url, "sk-test-0123456789", 30.0) for _ in range(STREAMS // 4)]
        for provider in providers:
            provider.preload()
        with ThreadPoolExecutor(STREAMS) as pool:
            found = list(pool.map(ask, range(STREAMS), timeout=60))
        for provider in providers:
            provider.close()
        assert len(server.chats) == STREAMS + sum(", then " in one.fate for one in plans)
    return found


def test_every_turn_has_the_outcome_of_its_own_stream(plans: list[Plan], results: list[tuple[Turn, Witness]]) -> None:
    for mine, (turn, _) in zip(plans, results, strict=True):
        outcome, kind, _ = FATES[mine.fate]
        assert (turn.outcome, type(turn.error) if turn.error else None) in [
            (outcome, kind),
            # An error of another kind of the same family, such as the one for data that is no JSON.
            *([(outcome, type(turn.error))] if kind and isinstance(turn.error, kind) else []),
        ], (mine.number, mine.fate, turn.error)
        assert turn.request.prompt == str(mine.number)
        assert turn.timing.attempts == (2 if ", then " in mine.fate else 1)
        if turn.error and "failure of" in turn.error.message:
            assert turn.error.message.endswith(f"failure of {mine.number}")


def test_every_turn_has_exactly_the_text_of_its_own_stream(plans: list[Plan], results: list[tuple[Turn, Witness]]) -> None:
    for mine, (turn, witness) in zip(plans, results, strict=True):
        arrives = FATES[mine.fate][2]
        if arrives == "a part":
            assert mine.text.startswith(turn.text), mine.fate
        else:
            assert turn.text == (mine.text if arrives == "all" else ""), (mine.number, mine.fate)
        assert "".join(event.text for event in witness.events if isinstance(event, TextDelta)) == turn.text
        assert witness.turns == [turn]
        assert [type(event) for event in witness.events].count(Finished) == 1


def test_the_times_of_every_turn_are_in_order(results: list[tuple[Turn, Witness]]) -> None:
    for _, witness in results:
        times = [event.at for event in witness.events if hasattr(event, "at")]
        assert times == sorted(times)
