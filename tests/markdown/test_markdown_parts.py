"""The corners of the Markdown renderer that whole documents rarely reach."""

from __future__ import annotations

import re
import sys
import unicodedata

import pytest
from pygments.lexer import RegexLexer
from pygments.lexers import get_all_lexers, get_lexer_by_name
from pygments.token import Keyword, Text

from markdown_screen import rows
from streaming_chat.markdown import MarkdownStream
from streaming_chat.markdown.code import Highlighter
from streaming_chat.markdown.lexing import _style_of
from streaming_chat.markdown.links import Tail

CODE = [
    "def f(x): return 'a' + \"b\"  # c",
    "<a href='x'>t</a> {{ x }} <% y %>",
    "  key: [1, {a: b}] && echo $HOME | grep 'x'",
    "",
    '\ttab\\ "unclosed',
    "text <<EOF",
    "@@ -1 +1 @@",
    "你好 ∀ x → y #{z} `x`",
    '"""',
]


def written(markdown: str, width: int = 80) -> str:
    stream = MarkdownStream(width)
    return stream.feed(markdown) + stream.finish()


def shown(markdown: str, width: int = 80) -> list[str]:
    return rows(written(markdown, width), width)


# Code -----------------------------------------------------------------------------------------------------------------


def test_no_lexer_loses_or_changes_a_character() -> None:
    for _, aliases, _, _ in get_all_lexers():
        highlighter = Highlighter(aliases[0] if aliases else "")
        for line in CODE:
            half = line[: len(line) // 2]
            assert "".join(piece.text for piece in highlighter.preview(half)) == half
            assert "".join(piece.text for piece in highlighter.preview(line)) == line
            assert "".join(piece.text for piece in highlighter.line(line)) == line


def test_a_lexer_that_fails_colours_nothing_and_costs_nothing() -> None:
    class Broken:
        """A lexer without tables."""

    highlighter = Highlighter("python")
    highlighter._lexer._lexer = Broken()
    assert highlighter.line("a b") == highlighter.line("a b")
    assert "".join(piece.text for piece in highlighter.line("a b")) == "a b"


def test_without_pygments_code_is_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygments.lexer", None)
    output = written("```python\ndef f\n```")
    assert rows(output, 80) == ["python", "def f"]
    assert set(re.findall(r"\x1b\[(\d+)m", output)) == {"2", "36", "0"}


def test_colours_go_on_across_lines() -> None:
    output = written('```python\ns = """a\nb c\n"""\nx = 1\n```')
    assert "\x1b[32mb c\x1b[0m" in output
    assert "\x1b[33m1\x1b[0m" in output


def test_a_language_whose_lexer_has_no_tables_is_coloured_line_by_line() -> None:
    output = written('```json\n{"a": 1,\n "b": true}\n```')
    assert rows(output, 80) == ["json", '{"a": 1,', ' "b": true}']
    assert "\x1b[33m1\x1b[0m" in output


def test_what_was_read_of_a_line_that_grows_is_not_read_again() -> None:
    """Also where nothing is blank, as in a chain of calls."""
    highlighter = Highlighter("rust")
    highlighter.line("fn main() {")
    read: list[int] = []
    matches = highlighter._matches
    highlighter._matches = lambda text, stack: read.append(len(text)) or matches(text, stack)
    line = "value." + ".".join(f"step{number}()" for number in range(100))
    for end in range(0, len(line), 4):
        highlighter.preview(line[:end])
    assert sum(read) < 4 * len(line)


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("js", "/**\n * Runs `f` for the ` char.\n */\nf(a); /* one */ let s = `a ${x}\n b`;\nlet y = 2;\n"),
        ("java", '/*\n * A 5" disk.\n */\npublic class A {\n  /** if for */ int x = 1;\n}\n'),
        ("php", "<?php\n/**\n * The user's \"name.\n */\nfunction f($x) { return $x; }\n"),
        ("bash", "cat <<EOF > x\nit's \" here $HOME\nEOF\necho done # c\ncat <<-'END'\n  a\n  END\nls\n"),
        ("perl", "print <<EOF;\nit's\nEOF\nmy $y = 2;\n"),
        ("cpp", "/* for a while\n   return if */\nint main() { return 0; }\n"),
        ("css", "/* a { color: red }\n   b */\na { color: red; }\n"),
        ("html", "<!-- a\n <b> -->\n<script>\nlet x = 1;\nif (x) { f('a'); }\n</script>\n<p class=\"x\">y</p>\n"),
        ("go", 'var s = `raw\nif for "x\n`\nfunc main() {}\n'),
        ("lua", "--[[ a\n if then\n]]\nlocal x = 1\n"),
        ("haskell", '{- a\n if then -}\nmain = putStrLn "x"\n'),
        ("rust", 'let s = r#"a\n"b"#;\n/* a\n if */ let x = 1;\n'),
        ("scala", 'val s = """a\n if"""\nval x = 1\n'),
        ("ocaml", "(* a\n if *)\nlet x = 1\n"),
        # What looks like the beginning of something, and is none.
        ("bash", '(( mask = 1 << bits ))\necho "hi"\nexport A=1\n'),
        ("cpp", '#define GLOB "/tmp/*"\nint main() { return 0; }\nsize_t x;\n'),
        ("latex", "`Hello', he said.\n\\textbf{x}\n"),
        ("html", "<p>\n`npm i` and\n`x\n</p>\n<b>c</b>\n"),
        ("lua", "local s = [[\nIt's a text\n]]\nlocal x = 1\n"),
        ("elixir", "defmodule A do\n  def f(x), do: x\nend\n"),
        ("python", 'def f():\n    """Doc\n    if "x"\n    """\n    return 1\n'),
    ],
)
def test_what_goes_over_several_lines_is_coloured_as_where_all_of_it_is_known(language: str, code: str) -> None:
    highlighter = Highlighter(language)
    whole = [
        (_style_of(kind), char)
        for _, kind, text in get_lexer_by_name(language).get_tokens_unprocessed(code)
        for char in text
    ]
    lines = []
    for line in code.splitlines():
        highlighter.preview(line[: len(line) // 2])
        lines += [(piece.style, char) for piece in highlighter.line(line) for char in piece.text]
    assert [one for one in lines if not one[1].isspace()] == [one for one in whole if not one[1].isspace()]


def test_a_line_that_nobody_wrote_by_hand_is_not_coloured() -> None:
    line = "def " * 1000
    assert "\x1b[35m" not in written(f"```python\n{line}\n```")[-1500:]


def test_a_line_of_code_goes_on_where_the_terminal_puts_it() -> None:
    output = written("```\naaaa bbbb\tc 雪雪雪雪雪雪e\u0301x\n```", 11)
    assert "\n" not in output.strip("\n")
    assert "".join(rows(output, 11)).replace(" ", "") == "aaaabbbbc雪雪雪雪雪雪e\u0301x"


# Rows -----------------------------------------------------------------------------------------------------------------


def test_an_address_that_comes_late_and_is_longer_than_the_row_is_broken() -> None:
    address = "https://example.com/" + "a" * 30
    assert "".join(shown(f"[a] e\u0301\n\n[a]: {address}", 20)).replace(" ", "").startswith(f"a({address})")


def test_a_line_end_behind_a_row_that_is_too_long() -> None:
    # What is taken for code until the end of the row turns out to be text, a line end included.
    assert shown("aaaa ` bbb  \ncc dd ee", 8) == ["aaaa `", "bbb", "cc dd ee"]


def test_a_mark_does_not_stand_alone_on_a_row() -> None:
    assert shown("abcde\u0301fg", 5) == ["abcd", "e\u0301fg"]
    assert shown("a bcde\u0301", 6) == ["a", "bcde\u0301"]


def test_a_character_of_two_columns_on_a_row_of_one() -> None:
    stream = MarkdownStream(1)
    assert stream.width == 1
    assert (stream.feed("你好") + stream.finish()).split() == ["你", "好"]


def test_frozen_emphasis_that_an_outer_one_closes_ends_there() -> None:
    output = written("*aaa **bbb ccc ddd* eee", 8)
    assert rows(output, 8) == ["aaa bbb", "ccc ddd", "eee"]
    assert "\x1b[3m" not in output.rpartition("eee")[0][-8:]


def test_flags_skin_tones_and_closing_marks_stay_with_what_is_before_them() -> None:
    assert shown("你好🇩🇪🇫🇷", 6)[0] in ("你好", "你好🇩🇪")
    assert shown("你好👍🏽", 6) == ["你好", "👍🏽"]


@pytest.mark.parametrize(
    "markdown",
    [
        "é🇩🇪&amp;~~",
        "🇩🇪🇫🇷🇩🇪🇫🇷",
        "👍🏽👍🏽👍🏽",
        "```\nabc🇩🇪🇫🇷  |\n```",
        "a👩\u200d👩\u200d👧bcdef",
        "हिन्दी भाषा में **सहायता** चाहिए *और* कुछ",
        "दुनिया दुनिया और [कड़ी](http://a.b)",
        "தமிழ் மொழியில் **உதவி** [இணைப்பு](http://a.b) வேண்டும்",
    ],
)
@pytest.mark.parametrize("width", [5, 8, 10, 24])
def test_where_terminals_disagree_about_a_width_the_cut_does_not_matter_on_either(markdown: str, width: int) -> None:
    stream = MarkdownStream(width)
    cut = "".join(map(stream.feed, markdown)) + stream.finish()
    for clusters in (True, False):
        assert rows(cut, width, clusters) == rows(written(markdown, width), width, clusters)


@pytest.mark.parametrize("markdown", ["👍🏽", "> 👍🏽", "- 👍🏽x", "1. 👍🏽\ufe0f y", "✔️", "a 👍🏽👍🏽 b"])
def test_what_is_wider_than_the_terminal_is_shown_as_it_can_be(markdown: str) -> None:
    for width in range(1, 8):
        stream = MarkdownStream(width)
        cut = "".join(map(stream.feed, markdown)) + stream.finish()
        assert rows(cut, width) == rows(written(markdown, width), width)
        assert "".join(markdown[-1:]) in cut


def test_vowel_signs_have_columns_where_a_row_is_filled() -> None:
    """As many as the larger of the two numbers that terminals have for them."""
    for row in shown("दुनिया में हिन्दी भाषा की सहायता चाहिए और कुछ", 17):
        assert sum(1 for char in row if char == " " or unicodedata.category(char) in ("Lo", "Mc")) <= 17


def test_what_is_read_again_at_the_edge_does_not_look_ahead() -> None:
    markdown = "*pger\naa longest\n~~op ` cl* "
    stream = MarkdownStream(14)
    assert rows("".join(map(stream.feed, markdown)) + stream.finish(), 14) == shown(markdown, 14)


def test_a_code_span_that_was_none_ends_with_the_rows_above_the_last() -> None:
    assert written("word `op longer x1 *em*", 16).endswith("\x1b[3mem\x1b[0m\n")


def test_a_cell_is_broken_where_it_has_to_be() -> None:
    table = "| a | b |\n|---|---|\n| 雪雪雪雪雪雪雪雪雪雪 averyveryverylongword | x |"
    assert all(len(row) <= 24 for row in shown(table, 24))
    assert (
        "".join(row.partition("│")[0].strip() for row in shown(table, 24)[2:]) == "雪雪雪雪雪雪雪雪雪雪averyveryverylongword"
    )


def test_a_table_without_room_is_a_list() -> None:
    table = "| a | b | c | d |\n|---|---|---|---|\n| 1 | 2 | 3 | 4 |"
    assert shown(table, 20) == ["a: 1", "b: 2", "c: 3", "d: 4", "───"]


def test_a_head_of_several_rows_stays_above_its_table() -> None:
    assert shown("aaa bbb ccc | d\n---|---\n1 | 2", 10)[:2] == ["aaa bbb", "ccc | d"]


# Links ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("a)", "done"),
        ("a )", "done"),
        ('a "b" )', "done"),
        ("a (b))", "done"),
        ("a (b(", "no"),
        ("a b", "no"),
        ("<a b>)", "done"),
        ("<a\n", "no"),
        ("<a>b", "no"),
        ("<a\\>b> )", "done"),
        ("(a)b)", "done"),
        ("( ", "no"),
        ("a\\))", "done"),
        ("a 'b\\'c')", "done"),
        (")", "done"),
        (" \n a", "plain"),
        ('a "b"c', "no"),
        ("a" * 5000, "no"),
    ],
)
def test_what_stands_behind_the_text_of_a_link(text: str, state: str) -> None:
    tail = Tail()
    for char in text:
        if tail.state in ("done", "no"):
            break
        tail.feed(char)
    assert tail.state == state


def test_brackets_that_are_no_link_are_text() -> None:
    assert shown("[a](b c) [d]( [e][f] ![g") == ["[a](b c) [d]( [e][f] ![g"]
    assert shown("a <b c> <d") == ["a <b c> <d"]
    assert shown("[a [b](c) d](e)") == ["[a b (c) d](e)"]


def test_a_link_in_the_text_of_an_image() -> None:
    assert shown("[![a *b*](c.png)](https://example.com)") == ["a b (https://example.com)"]


def test_a_rule_below_a_head_of_one_cell_makes_a_table() -> None:
    assert shown("| a |\n-\n| b |") == ["a", "───", "b"]


def test_frozen_emphasis_of_another_kind_ends_with_the_outer_one() -> None:
    output = written("*aaa __bbb ccc ddd* eee", 8)
    assert rows(output, 8) == ["aaa bbb", "ccc ddd", "eee"]
    assert output.endswith("\neee\n")


def test_a_bracket_that_may_become_a_link_goes_down_whole() -> None:
    assert shown("a 你好 [你好你好](https://x.y)", 16)[0] == "a 你好"


def test_a_lexer_that_pops_more_than_it_has_and_reads_no_line_end_is_survived() -> None:
    class Odd(RegexLexer):
        """Rules as no lexer should have them."""

        tokens = {  # noqa: RUF012 # as Pygments has it
            "root": [
                (r"(?=c)", lambda _lexer, _found: iter(())),
                (r"a", Text, ("#push", "#pop", "#pop")),
                (r"b", Keyword, "#push"),
            ]
        }

    highlighter = Highlighter("python")
    highlighter._lexer._lexer = Odd()
    for line in ("ab?", "bbaa", "b", "cb"):
        assert "".join(piece.text for piece in highlighter.line(line)) == line


def test_an_address_that_is_none_and_whose_bracket_stands_on_the_row_above_is_text() -> None:
    assert shown('""bcd  [bcd [*a x](', 6) == ['""bcd', "[bcd", "[*a", "x]("]


def test_blanks_over_the_edge_when_a_formula_ends_fall_away() -> None:
    assert shown("\\(*aaaaaa* \\)", 10) == ["\\(*aaaaaa*", "\\)"]


def test_a_hard_break_behind_a_full_row_makes_no_empty_one() -> None:
    assert shown("aaaa \\\nb", 4) == ["aaaa", "b"]


def test_a_character_of_two_columns_in_a_cell_of_one() -> None:
    assert shown("| a |\n|---|\n| 漢b |", 1)[-3:] == ["漢", "b", "─"]


def test_a_definition_longer_than_a_row_is_shown_on_several() -> None:
    words = ["[1]", *["word"] * 20, "[2]"]
    assert shown(" ".join(words) + "\n\n[1]: /u" + "v" * 90)[2:] == ["", "[1]: /u" + "v" * 73, "v" * 17]


def test_the_width_is_that_of_the_next_row() -> None:
    stream = MarkdownStream(80)
    for columns in (20, 20):
        stream.width = columns
        assert stream.width == columns


def test_a_character_of_two_columns_in_code_goes_down_from_the_last_column() -> None:
    assert shown("```\naaa漢b\n```", 4) == ["aaa", "漢b"]


def test_what_is_left_of_a_run_when_the_text_ends_is_not_lost() -> None:
    assert shown("(((_ ( ____(_", 5) == ["(((_", "(", "___("]
