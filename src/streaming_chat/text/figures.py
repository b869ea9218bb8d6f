"""Figures as text: the latency line, each figure of a turn's timing, counts."""

from __future__ import annotations

from streaming_chat.core.timing import Timing


def latency_line(timing: Timing, cost: str | None = None) -> str:
    """`(first token: 0.410s · total: 1.920s)`, with further figures after the total where there are any, and the cost."""
    first = "none" if timing.first_token is None else f"{timing.first_token:.3f}s"
    figures = [f"first token: {first}", f"total: {timing.total:.3f}s"]
    if timing.tokens_per_second is not None:
        figures.append(f"{timing.tokens_per_second:.1f} tokens/s")
    if timing.attempts > 1:
        figures.append(f"attempts: {timing.attempts}")
    if cost is not None:
        figures.append(cost)
    return f"({' · '.join(figures)})"


def timing_lines(timing: Timing) -> list[str]:
    """Every figure with its name, a line each. docs/latency.md defines them."""
    gaps = timing.gaps
    figures = {
        "headers": _seconds(timing.headers),
        "first reasoning": _seconds(timing.first_reasoning),
        "first token": _seconds(timing.first_token),
        "total": _seconds(timing.total),
        "gaps": gaps and f"p50 {gaps.p50:.3f}s · p95 {gaps.p95:.3f}s · max {gaps.max:.3f}s (the longest stall)",
        "tokens/s": None if timing.tokens_per_second is None else f"{timing.tokens_per_second:.1f}",
        "attempts": str(timing.attempts),
    }
    return [f"  {name:<15}  {figure or 'none'}" for name, figure in figures.items()]


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}s"


def counted(count: int, one: str, several: str) -> str:
    """`count` in words that fit it: "1 turn goes", "2 turns go", "no turns go"."""
    return f"{count or 'no'} {one if count == 1 else several}"
