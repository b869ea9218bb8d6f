"""`streaming-chat config` and `/config`: every setting, its value, and where that came from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from streaming_chat.config.options import OPTIONS, Settings
from streaming_chat.config.trust import Dotenv
from streaming_chat.core.adaptation import ADAPTATIONS
from streaming_chat.core.prices import Price, Prices
from streaming_chat.text.secret import masked, without_secret


def config_lines(settings: Settings, files: Mapping[str, Path | None], adapted: Sequence[str]) -> list[str]:
    """A line a setting: name, value, origin; then the files, by what they are for, and how the model was adapted to."""
    rows = [(name, one_line(shown(getattr(settings, name))), one_line(settings.origin(name))) for name in OPTIONS]
    rows.append(("api_key", shown_key(settings), _origin_of_key(settings)))
    name_width = max(len(name) for name, _, _ in rows)
    value_width = min(40, max(len(value) for _, value, _ in rows))
    lines = [f"{name:<{name_width}}  {value:<{value_width}}  {origin}".rstrip() for name, value, origin in rows]
    lines.append("")
    for name, path in files.items():
        lines.append(f"{name:<{name_width}}  {one_line(str(path or 'none'))}")
        if path is not None and settings.dotenv is not None and path == settings.dotenv.path:
            lines.append(f"{'.env trust':<{name_width}}  {_trust_words(settings.dotenv)}")
    lines += [f"{'adapted':<{name_width}}  {ADAPTATIONS[name].says}" for name in adapted if name in ADAPTATIONS]
    # A key may stand in another setting by mistake.
    return [without_secret(line, settings.api_key) for line in lines]


def config_json(settings: Settings, files: Mapping[str, Path | None], adapted: Sequence[str]) -> str:
    """The same as one JSON object."""
    table: dict[str, Any] = {
        name: {"value": _plain(getattr(settings, name)), "origin": settings.origin(name)} for name in OPTIONS
    }
    table["api_key"] = {
        "value": shown_key(settings) or None,
        "origin": settings.origin("api_key") if settings.api_key else None,
    }
    if settings.withheld_key is not None:
        table["api_key"]["withheld"] = settings.withheld_key
    table["files"] = {name: str(path) if path else None for name, path in files.items()}
    dotenv = settings.dotenv
    table["dotenv"] = dotenv and {"path": str(dotenv.path), "trusted": dotenv.is_trusted, "ignored": list(dotenv.ignored)}
    table["adapted"] = list(adapted)
    return without_secret(json.dumps(table, indent=2, ensure_ascii=False), settings.api_key)


def one_line(text: str) -> str:
    """`text` as it is, or as JSON where a character of it would begin another line or disturb this one."""
    return text if text.isprintable() else json.dumps(text)


def shown_key(settings: Settings) -> str:
    """The key as it may be shown; "" where there is none."""
    return masked(settings.api_key) if settings.api_key else ""


def _origin_of_key(settings: Settings) -> str:
    if settings.withheld_key is not None:
        return f"not sent: {settings.withheld_key} does not go to an address from a .env that is not trusted"
    return settings.origin("api_key") if settings.api_key else "not set"


def _trust_words(dotenv: Dotenv) -> str:
    ignored = f"; ignored: {', '.join(dotenv.ignored)}" if dotenv.ignored else ""
    return f"{dotenv.trust.value.removeprefix('is ')}{ignored}"


def _plain(value: Any) -> Any:
    if isinstance(value, Prices):
        return {model: asdict(price) for model, price in value.by_model.items()}
    return str(value) if isinstance(value, Path) else value


def shown(value: Any) -> str:
    """A value as a person would write it."""
    if isinstance(value, Prices):
        return " · ".join(f"{model}: {_price(price)}" for model, price in value.by_model.items()) or "–"
    if value is None or value == {}:
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _price(price: Price) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in asdict(price).items() if amount is not None)
