"""The instruments of the Markdown tests, tried on what is known."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from markdown_escapes import check_escapes, never_above
from markdown_examples import EXAMPLES
from markdown_oracle import Glyph, equal, expected
from markdown_screen import rows, seen
from markdown_strategies import cuts, documents


def text(glyphs: list[Glyph]) -> str:
    return "".join(char for char, _ in glyphs)


def styles(glyphs: list[Glyph], char: str) -> set[str]:
    return set(dict(glyphs)[char])


def test_the_examples_are_those_of_both_specifications_and_none_is_there_twice():
    counts = {spec: sum(example.spec == spec for example in EXAMPLES) for spec in ("CommonMark", "GFM")}
    assert counts == {"CommonMark": 652, "GFM": 24}
    assert len({example.markdown for example in EXAMPLES}) == len(EXAMPLES)
    assert [str(example) for example in EXAMPLES if example.markdown == "~~Hi~~ Hello, world!\n"] == ["GFM-491"]
    assert EXAMPLES[0].markdown == "\tfoo\tbaz\t\tbim\n"


# The oracle -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("markdown", "visible"),
    [
        ("- a\n  1. b\n\n> c\n\n---\n", "abc"),
        ("- [ ] a\n- [x] b\n- \\[ ] c\n- d [ ]\n\n[ ] e", "ab[]cd[][]e"),
        ("- a\n\n  [x] b", "a[x]b"),
        ("[a *b*](/url 'title') ![c *d* `e`](/image)", "abcde"),
        ("<https://xn--bcher-kva.example/%C3%A4> <a@b.c>", "https://xn--bcher-kva.example/%C3%A4a@b.c"),
        ("```python\nx = 1\n```\n\n    y\n", "x=1y"),
        ("| a | b |\n|---|---|\n| c \\| d | e | f |\n| g |\n", "abc|deg"),
        ("a <b>*c*</b>\n\n<div>\n*d*\n</div>", "a<b>c</b><div>d</div>"),
        ("a\\\nb  \nc&nbsp;d &#0;", "abcd\ufffd"),
        ("&#x202e;&#12;&#27;", "<U+202E>^L\ufffd"),
        ("cafe\u0301 caf\u00e9 \u0301x", "cafe\u0301cafe\u0301x"),
        ("> " * 30 + "deep", "deep"),
    ],
)
def test_oracle_text(markdown, visible):
    assert text(expected(markdown)) == visible


def test_oracle_styles():
    glyphs = expected("# h*i*\n\na**b*c*** ~~d~~ `e`\n\n    f\n\n| g |\n|---|\n| j |\n\n**k *l***")
    assert {char: styles(glyphs, char) for char in "hiabcdefgjkl"} == {
        "h": {"heading"},
        "i": {"heading", "emphasis"},
        "a": set(),
        "b": {"strong"},
        "c": {"strong", "emphasis"},
        "d": {"strike"},
        "e": {"code"},
        "f": {"code", "block"},
        "g": {"heading", "table"},
        "j": {"table"},
        "k": {"strong"},
        "l": {"strong", "emphasis"},
    }


def test_strong_in_strong_ends_with_the_outer_one():
    assert all("strong" in marks for char, marks in expected("**a **b** c** d") if char != "d")


def test_a_mark_looks_like_what_it_stands_on():
    assert expected("**e**\u0301")[1] == ("\u0301", frozenset({"strong"}))


def test_oracle_leaves_nothing_out_of_the_examples():
    """Against markdown-it's own renderer: the text between its tags and in the images' `alt`, in the same order."""
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    for example in EXAMPLES:
        html = re.sub(r'<img [^>]*?alt="([^"]*)"[^>]*>', r"\1", parser.render(example.markdown))
        html = re.sub(r"(?<=<li>)(<p>)?\[[ xX]\]\s", "", html.replace("<li>\n", "<li>"))
        shown = unescape(re.sub(r"<[^>]*>", "", html))
        assert text(expected(example.markdown)) == text(expected("~~~~~~~~\n" + shown)), example


# The screen -----------------------------------------------------------------------------------------------------------


def test_styles_are_read_from_the_screen():
    glyphs = seen("a\x1b[1mb\x1b[0;1;3mc\x1b[0;9md\x1b[0;36me\x1b[38;5;2mf\x1b[38;2;1;2;3mg\x1b[0mh\x1b[4mi", 80)
    assert [(char, sorted(marks)) for char, marks in glyphs] == [
        ("a", []),
        ("b", ["strong"]),
        ("c", ["emphasis", "strong"]),
        ("d", ["strike"]),
        ("e", ["code"]),
        ("f", ["code"]),
        ("g", ["code"]),
        ("h", []),
        ("i", []),
    ]


@pytest.mark.parametrize("end", ["\x1b[0m", "\x1b[m", "\x1b[22m"])
@pytest.mark.parametrize("start", ["\x1b[2m", "\x1b[0;2m", "\x1b[2;36m", "\x1b[38;5;2;2m", "\x1b[38;2;1;2;3;2m"])
def test_what_is_faint_is_decoration(start, end):
    assert text(seen(f"{start}• {end}a", 80)) == "a"


@pytest.mark.parametrize("start", ["\x1b[22m", "\x1b[32m", "\x1b[38;5;2m", "\x1b[38;2;2;2;2m", "\x1b[2;0m", "\x1b[1;22m"])
def test_what_only_looks_faint_is_text(start):
    assert text(seen(f"{start}a", 80)) == "a"


def test_the_screen_is_what_counts():
    assert rows("abc\rx\x1b[K\x1b[1Dy\n\n  z \n\n", 80) == ["y", "", "  z"]
    assert text(seen("one two\x1b[3D\x1b[K\nthree" * 50, 10)).count("three") == 50
    assert rows("abcde\x1b[2D\x1b[K!", 5) == ["ab!"]  # Behind a full row the cursor is still in its last column.


def test_the_last_column_is_erased_from_behind_a_full_row():
    assert rows("abcde\x1b[K", 5) == ["abcd"]


def test_clusters_are_as_wide_as_one_character_or_as_their_parts():
    family = "👩\u200d👩\u200d👧"
    assert rows(f"ab{family}\x1b[2D\x1b[Kc", 6) == ["abc"]
    assert rows(f"ab{family}", 6, clusters=False) == ["ab👩\u200d👩\u200d", "👧"]
    assert text(seen(f"a{family} cafe\u0301 caf\u00e9 \u0301b", 80)) == text(
        expected(f"a{family} cafe\u0301 caf\u00e9 \u0301b")
    )
    assert rows("❤\ufe0f🇩🇪🇫🇷👍🏽\x1b[8D\x1b[K.", 8) == ["."]


def test_wide_characters_fill_rows():
    assert rows("あ" * 5, 5) == ["ああ", "ああ", "あ"]


# The comparison -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("markdown", "output"),
    [
        ("a **b** `c`", "a \x1b[1mb\x1b[0m \x1b[36mc\x1b[0m\n"),
        ("# a **b** *c*", "\x1b[1ma b \x1b[3mc\x1b[0m\n"),
        ("# a **b**", "a b\n"),
        ("```py\nif x: y\n```", "\x1b[2mpy\x1b[0m\n\x1b[1;35mif\x1b[0m \x1b[3mx\x1b[0m: y\n"),
        ("| a |\n|---|\n| b |", "\x1b[1ma\x1b[0m\n\x1b[2m───\x1b[0m\nb\n"),
        ("| ab | *cd* |\n|---|---|", "\x1b[1ma c\nb d\n".replace("c", "\x1b[3mc\x1b[23m").replace("d", "\x1b[3md\x1b[0m")),
        ("- [x] a", "\x1b[2m☑\x1b[0m a"),
    ],
)
def test_right_output_is_equal(markdown, output):
    assert equal(expected(markdown), seen(output, 80))


@pytest.mark.parametrize(
    ("markdown", "output"),
    [
        ("ab", "a"),
        ("ab", "ba"),
        ("a", "ab"),
        ("**a**", "a"),
        ("a", "\x1b[3ma"),
        ("`a`", "a"),
        ("a", "\x1b[36ma"),
        ("# *a*", "\x1b[1ma"),
        ("# `a`", "\x1b[1ma"),
        ("- a", "• a"),
        ("```\na\n```", "b"),
        ("| a | *b* |\n|---|---|", "b \x1b[3ma"),
        ("| a |\n|---|\n\nbc", "b ac"),
    ],
)
def test_wrong_output_is_not_equal(markdown, output):
    assert not equal(expected(markdown), seen(output, 80))


# Append-only ----------------------------------------------------------------------------------------------------------


def test_what_may_be_written():
    check_escapes("a\tb\r\n\x1b[m\x1b[0m\x1b[1;3;38;5;2m\x1b[K\x1b[12D ü 👩\u200d👧 \u05d0\u200f")


@pytest.mark.parametrize(
    "refused",
    [
        *(
            "\x1b[A",
            "\x1b[2J",
            "\x1b[2K",
            "\x1b[1K",
            "\x1b[H",
            "\x1b[?25l",
            "\x1b[3C",
            "\x1b[0D",
            "\x1b[D",
            "\x1b[?1049h",
            "\x1bM",
        ),
        *(
            "\x1b7",
            "\x1b]8;;x\x1b\\",
            "\x1b",
            "\x1b[\x1b[0m2J",
            "\x1b[>1m",
            "\x1b[4:3m",
            "\b",
            "\a",
            "\0",
            "\f",
            "\v",
            "\x7f",
            "\x9b2J",
        ),
        *("\u202e", "\u2028", "\u2066", "\u200b"),
    ],
)
def test_what_may_not_be_written(refused):
    with pytest.raises(AssertionError) as failure:
        check_escapes(f"before\x1b[1m{refused}after")
    assert repr(refused)[1:4] in str(failure.value)


def test_the_cursor_may_go_left_and_down():
    never_above("abcdefgh\rxyz\x1b[K\n\x1b[5D" * 20, 5)


def test_the_cursor_may_not_go_up():
    with pytest.raises(AssertionError, match="up from row 1 to 0"):
        never_above("a\nb\x1b[Ac", 5)


# The generator --------------------------------------------------------------------------------------------------------

_quick = settings(derandomize=True, deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))


@_quick
@given(documents())
def test_plain_text_of_a_document_shows_the_same_at_every_width(document):
    visible = text(expected("~~~~~~~~\n" + document))
    for width in (20, 120):
        assert text(seen("".join(char for char, _ in expected("~~~~~~~~\n" + document)), width)) == visible


@_quick
@given(st.data())
def test_pieces_are_the_whole(data):
    document = data.draw(documents())
    assert "".join(data.draw(cuts(document))) == document


def test_the_generator_reaches_every_construct_but_definitions_of_links():
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": 200}).enable(["table", "strikethrough"])
    reached: set[str] = set()
    found: dict[str, object] = {}

    @_quick
    @given(documents())
    def look(document: str) -> None:
        for token in parser.parse(document, found):
            reached.update({token.type, *(child.type for child in token.children or [])})

    look()
    assert not found.get("references")
    assert reached >= {
        *(
            "heading_open",
            "bullet_list_open",
            "ordered_list_open",
            "blockquote_open",
            "fence",
            "code_block",
            "hr",
            "table_open",
        ),
        *("strong_open", "em_open", "s_open", "code_inline", "link_open", "image", "hardbreak", "softbreak"),
    }
