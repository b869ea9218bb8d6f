"""Moments → periods of equal length, consecutive, in the user's time zone; those without a moment are there too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Final

from streaming_chat.core.timing import percentile
from streaming_chat.history.statistics import Moment

#: Days that a period may have, the shortest first. 0 stands for an hour. The last one holds whatever a wrong clock wrote.
_DAYS: Final = (0, 1, 2, 7, 28, 364, 3640, 36400)
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True)
class Period:
    """What happened in it. `start` is a day, or the hour on the local clock; `first_token` is the p50, in seconds."""

    start: date
    turns: int
    first_token: float | None


class Timeline:
    """The time from the first of some moments to the last, cut into `count` periods.

    Days are those of the calendar, so the one in which the clocks change is as good as any other.
    """

    def __init__(self, moments: Sequence[Moment], most: int, zone: tzinfo | None = None) -> None:
        """`moments` in ascending order, at least one; the shortest periods of which there are at most `most` are taken.

        `zone` is where the user is; None is what the system says.
        """
        self._zone = zone
        self._first = self._local(moments[0].at).replace(minute=0, second=0, microsecond=0)
        # Hours are counted in UTC: where the clocks are set back, two of them have one name.
        self._first_hour = self._first.astimezone(timezone.utc)
        for days in _DAYS:
            self._days = days
            self.count = self._place(moments[-1]) + 1
            if self.count <= most:
                break

    @property
    def length(self) -> str:
        """How long a period is, in words that follow `in`: `an hour`, `a day`, `7 days`."""
        return {0: "an hour", 1: "a day"}.get(self._days, f"{self._days} days")

    def periods(self, moments: Sequence[Moment]) -> list[Period]:
        """All periods, with those of the first `moments` or a part of them."""
        members: list[list[Moment]] = [[] for _ in range(self.count)]
        for moment in moments:
            members[self._place(moment)].append(moment)
        return [Period(self._start(place), len(here), _median(here)) for place, here in enumerate(members)]

    def _place(self, moment: Moment) -> int:
        if not self._days:
            return (moment.at - self._first_hour) // _HOUR
        return (self._local(moment.at).date() - self._first.date()).days // self._days

    def _start(self, place: int) -> date:
        if not self._days:
            return self._local(self._first_hour + place * _HOUR).replace(tzinfo=None)
        return self._first.date() + timedelta(days=place * self._days)

    def _local(self, moment: datetime) -> datetime:
        return moment.astimezone(self._zone)


def _median(moments: Sequence[Moment]) -> float | None:
    known = sorted(moment.first_token for moment in moments if moment.first_token is not None)
    return percentile([known], 50) if known else None
