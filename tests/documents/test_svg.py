"""Turns as a picture of the terminal."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from streaming_chat.documents.svg import svg
from turns import stored

NAME = "{http://www.w3.org/2000/svg}"


def test_it_shows_every_row_in_its_place() -> None:
    picture = ET.fromstring(svg([stored("A **bold** word\n\n```python\nx = 1\n```", "Why?")]))
    rows: dict[float, str] = {}
    for text in picture.iter(f"{NAME}text"):
        rows[float(text.get("y") or 0)] = rows.get(float(text.get("y") or 0), "") + (text.text or "")
    assert list(rows.values()) == [
        *("You:Why?", "Assistant (streaming...):", "Aboldword", "python", "x =1", "(first token: 0.400s·total: 1.400s)"),
    ]
    assert next(one for one in picture.iter(f"{NAME}text") if one.text == "bold").get("class") == "b"


def test_no_text_is_anything_but_text() -> None:
    attack = '</text></svg><script>alert(1)</script><a href="javascript:1">]]>&\x1b[2J\x00\ufffe\x85'
    picture = ET.fromstring(svg([stored(attack, attack, model=attack, finish_reason=attack)]))
    assert {one.tag.removeprefix(NAME) for one in picture.iter()} == {"svg", "title", "style", "rect", "text"}
    assert "<script>alert(1)</script>" in "".join(picture.itertext())


def test_wide_characters_have_their_columns() -> None:
    picture = ET.fromstring(svg([stored("日本 ab")]))
    places = {one.text: float(one.get("x") or 0) for one in picture.iter(f"{NAME}text")}
    assert round((places["本"] - places["日"]) / 8.4) == 2
    assert round((places["ab"] - places["本"]) / 8.4) == 3
