"""Markdown on a terminal: right, whatever the cut; append-only; at once; and harmless."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from markdown_escapes import check_escapes, never_above
from markdown_examples import EXAMPLES, Example
from markdown_oracle import equal, expected
from markdown_screen import rows, seen
from markdown_strategies import cuts, documents
from streaming_chat.markdown import THEMES, MarkdownStream

PAGE = Path(__file__).resolve().parents[2] / "docs" / "markdown.md"
SGR = re.compile(r"\x1b\[[0-9;]*m")

_few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def written(markdown: str, width: int = 80, pieces: list[str] | None = None, **options: object) -> str:
    stream = MarkdownStream(width, **options)
    return "".join(map(stream.feed, [markdown] if pieces is None else pieces)) + stream.finish()


def differs(example: Example) -> bool:
    return not equal(expected(example.markdown), seen(written(example.markdown), 80))


# Right ----------------------------------------------------------------------------------------------------------------


def test_at_least_95_of_100_examples_of_the_specifications_are_right() -> None:
    wrong = [example for example in EXAMPLES if differs(example)]
    assert len(wrong) <= 0.05 * len(EXAMPLES)


def test_those_that_are_not_are_listed_with_their_reasons() -> None:
    listed = set(re.findall(r"^\| ((?:CommonMark|GFM)-\d+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert {str(example) for example in EXAMPLES if differs(example)} == listed


words = st.sampled_from(["the", "token", "Ünïcödé", "2 < 3", "snake_case", "日本語", "C#", "won't", "x_1", "5 * 3"])
_spans = st.one_of(
    words,
    words,
    st.builds("**{}** ".format, words),
    st.builds("*{} {}*".format, words, words),
    st.builds("***{}***".format, words),
    st.builds("~~{}~~".format, words),
    st.builds("`{}`".format, words),
    st.builds("`` ` {} ``".format, words),
    st.builds("[{} **{}**](https://example.com/{{}})".format, words, words),
    st.builds("![{}](picture.png)".format, words),
    st.sampled_from(["<https://example.com/a_b>", "&amp;", "\\*", "&copy;", "end\\\nof line", "over\nthere"]),
)
lines = st.lists(_spans, min_size=1, max_size=12).map(" ".join)
_blocks = st.one_of(
    lines,
    lines,
    st.builds("{} {}".format, st.sampled_from(["#", "##", "######"]), words),
    st.builds("> {}\n> {}".format, words, words),
    st.lists(words, min_size=1, max_size=4).map(lambda items: "\n".join(f"- {item}" for item in items)),
    st.lists(words, min_size=1, max_size=4).map(lambda items: "\n".join(f"{n}. {item}" for n, item in enumerate(items, 1))),
    st.builds("- {}\n  - **{}**\n\n    {}".format, words, words, words),
    st.builds("```{}\n{}\n  {}\n```".format, st.sampled_from(["python", "", "no-such-language", "js"]), words, words),
    st.builds("    {}\n    {}".format, words, words),
    st.builds("| {} | {} |\n|---|:-:|\n| {} | **{}** |".format, words, words, words, words),
    st.just("---"),
)
well_formed = st.lists(_blocks, min_size=1, max_size=6).map("\n\n".join)


@pytest.mark.parametrize("width", [40, 80, 400])
@given(markdown=well_formed)
@_few
def test_what_is_well_formed_looks_as_it_should(width: int, markdown: str) -> None:
    output = written(markdown, width)
    assert equal(expected(markdown), seen(output, width)), rows(output, width)


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        ("Title\n=====\n\ntext", ["Title", "", "text"]),
        ("- one\n- two\n  1. a\n  2. b", ["• one", "• two", "  1. a", "  2. b"]),
        ("3. a\n3. b\n\nend", ["3. a", "4. b", "", "end"]),
        ("- [ ] open\n- [x] done", ["☐ open", "☑ done"]),
        ("> a\n>\n> b\n\nc", ["│ a", "│", "│ b", "", "c"]),
        ("a\nb  \nc\\\nd", ["a b", "c", "d"]),
        ("```py\nx = 1\n\n\ny\n```\nend", ["py", "x = 1", "", "", "y", "end"]),
        ("1. a\n\n   ```\n   b\n     c\n   ```", ["1. a", "", "b", "  c"]),
        ("[text](https://example.com) and <https://example.com>", ["text (https://example.com) and https://example.com"]),
        ("[https://example.com](https://example.com)", ["https://example.com"]),
        ("![a *b*](c.png)", ["a b"]),
        ("[^1] and $x^2$ and <b>bold</b>", ["[^1] and $x^2$ and <b>bold</b>"]),
        ("[text][1]\n\n[1]: https://example.com", ["text (https://example.com)"]),
        (
            "Boils[^1].\n\n[^1]: Smith2020\n[^2]: https://example.com",
            ["Boils[^1].", "", "[^1]: Smith2020", "[^2]: https://example.com"],
        ),
        (
            "| a | b |\n|---|--:|\n| 1 |",
            [f"{'a':32} │ {'b':>32}", f"{'─' * 33}┼{'─' * 33}", f"{'1':32} │"],
        ),
        ("See:\n| a |\n| - |\n| b |", ["See:", "a", "───", "b"]),
        ("| no table\n| at all", ["| no table", "| at all"]),
        ("-\n\n-", ["•", "", "•"]),
        ("\ttab", ["tab"]),
        ("# Closed ##\n#\n# \\#", ["Closed", "", "#"]),
        ("[x](javascript:alert(1))", ["[x](javascript:alert(1))"]),
        ("a\r\nb\r\rc", ["a b", "", "c"]),
        # A definition that a link has use of is not shown; any other is not lost.
        ("[a]: /u\n\n[a]", ["a (/u)"]),
        ("text\n\n[a]: /u\n\n[a]", ["text", "", "a (/u)"]),
        ("[a]: /u\n\nend", ["end", "", "[a]: /u"]),
        ("See [1].\n\nEnd.\n\n[1]: /u 'x'\n[2]: /v", ["See [1].", "", "End.", "", "[1]: /u 'x'", "[2]: /v"]),
        ("See [1] and [1].\n> [1]: /u", ["See [1] and [1].", "│ [1]: /u"]),
        ("[a]\n[a]: /u\n\n> x\n\n[a]: /u/" + "v" * 90, ["[a] [a]: /u", "", "│ x", "", "[a]:", "/u/" + "v" * 77, "v" * 13]),
        ("[a]: /u\n[a]: /v\n\n[a]", ["a (/u)"]),
        ("[Note]: important", ["[Note]: important"]),
        ("[a]:\n[b] [c]: /u", ["[a]: [b] [c]: /u"]),
        # Formulas are left alone.
        ("$a*b*c$, \\(a*b*c\\), \\[ a*b*c \\], $$a*b$c*d$$ *e*", ["$a*b*c$, \\(a*b*c\\), \\[ a*b*c \\], $$a*b$c*d$$ e"]),
        ("$5 to **$10** and *more* for US$6*a*", ["$5 to $10 and more for US$6a"]),
        ("\\(\\) $$ $ \\[1\\] \\)*a*", ["() $$ $ [1] )a"]),
        ("where\n$$\na_1*b*c\n= d\n- e$$\n*f*", ["where", "$$", "a_1*b*c", "= d", "- e$$", "f"]),
        ("- \\[\n  x\n  \\]\n\n$$\na\n\n*b*\n\n$$x\n$", ["•", "\\[", "x", "\\]", "", "$$", "a", "", "b", "", "$$x $"]),
        # An address is left alone, but for what stands around it.
        ("**https://x.org/a*b*c_d_** __www://a__.", ["https://x.org/a*b*c_d_ www://a."]),
        ("1. [x] done\n2. [ ] open", ["1. ☑ done", "2. ☐ open"]),
        ("Note[^1]\n[^1]: a\n[^2]: b\n[x", ["Note[^1]", "[^1]: a", "[^2]: b [x"]),
        (
            f"| # | {'b ' * 40}|\n| - | - |\n| 1 | c |",
            ["#      │ " + "b " * 35 + "b", "       │ b b b b", "─" * 7 + "┼" + "─" * 72, "1      │ c"],
        ),
        (f"- | {'b ' * 50}\n  c", ["• | " + "b " * 37 + "b", "  " + "b " * 12 + "c"]),
        (f"| {'b ' * 50}", ["| " + "b " * 38 + "b", "b " * 10 + "b"]),
        ("a ~~~b~~", ["a ~b"]),
        # Dashes of one length say nothing of a width; words in cells go down whole; heads are broken last.
        (
            "| # | Name | About |\n| --- | --- | --- |\n| 1 | Configuration manager | x |",
            [
                f"#      │ {'Name':24} │ About",
                "─" * 7 + "┼" + "─" * 26 + "┼" + "─" * 6,
                f"1      │ {'Configuration manager':24} │ x",
            ],
        ),
        (
            "| A | B | C |\n|--|--|--|\n| x | y | 一二三四五、六七八九十、WebAssembly |",
            [
                f"{'A':24} │ {'B':24} │ C",
                "─" * 25 + "┼" + "─" * 26 + "┼" + "─" * 4,
                f"{'x':24} │ {'y':24} │ 一二三四五、六七八九十、",
                f"{'':24} │ {'':24} │ WebAssembly",
            ],
        ),
        ("1. a\n[^1]: b\n> c\n[^2]: d", ["1. a", "[^1]: b", "│ c", "[^2]: d"]),
        (
            "Set **$HOME** and **$PATH** now, $100 *per* item, 200$ *total*.",
            ["Set $HOME and $PATH now, $100 per item, 200$ total."],
        ),
        ("**https://x.org**は *a*", ["https://x.orgは a"]),
        (
            "Il y a 10\u00a0000 euros\u00a0: " + "oui " * 15,
            ["Il y a 10\u00a0000 euros\u00a0: " + "oui " * 13 + "oui", "oui"],
        ),
        ("\u3000一\u3000二\u00a0\u00a0三", ["\u3000一\u3000二\u00a0\u00a0三"]),
        ("a[i](x 'y" + " y" * 60, ["a[i](x 'y" + " y" * 35, "y" + " y" * 24]),
        ("1. " * 40 + "x", [" " + "1. " * 13 + "1. " * 7 + "x"]),
        ("|x| is " + "so " * 60, ["|x| is" + " so" * 24, "so" + " so" * 26, "so" + " so" * 8]),
        ("", []),
    ],
)
def test_the_rows_of(markdown: str, shown: list[str]) -> None:
    assert rows(written(markdown), 80) == shown
    assert rows(written(markdown, pieces=list(markdown)), 80) == shown


@pytest.mark.parametrize(
    ("markdown", "shown"),
    [
        # What looks like code is no markup once the row is full, and what was meant to close something neither.
        ("f(*args, **kwargs) is a call", ["f(*args, **kwargs)", "is a call"]),
        ("the files src/**/*.py are", ["the files", "src/**/*.py are"]),
        ("of *.py files that are here", ["of *.py files that", "are here"]),
        ("it`s a lone backtick here", ["it`s a lone backtick", "here"]),
        ("**注意：**这里是一个很长的段落", ["**注意：**这里是一个", "很长的段落"]),
        ("**so bold that it is long**", ["so bold that it is", "long"]),
        ("*args and **kwargs are what is left", ["*args and **kwargs", "are what is left"]),
        ("use *p and *q here or there", ["use *p and *q here", "or there"]),
        # What is usual is kept.
        ("(**so bold that it is long**)", ["(so bold that it is", "long)"]),
        ("这被称为**泛化误差的上界估计**的。", ["这被称为泛化误差的上", "界估计的。"]),
        ("这被称为的这被称为`error`的", ["这被称为的这被称为", "error的"]),
        ("这被称为的这被称为**Rust**的", ["这被称为的这被称为", "Rust的"]),
    ],
)
def test_a_guess_that_is_rarely_right_is_not_carried_over_the_edge(markdown: str, shown: list[str]) -> None:
    assert rows(written(markdown, 20), 20) == shown
    assert rows(written(markdown, 20, pieces=list(markdown)), 20) == shown


def test_what_was_never_closed_ends_with_the_rows_above_the_last() -> None:
    glyphs = written("some *words that go on and on and on and on", 20).split("\n")
    assert [row.rpartition("\r")[2].rpartition("K")[2] for row in glyphs] == [
        "some \x1b[3mwords that go\x1b[0m",
        "\x1b[3mon and on and on and\x1b[0m",
        "on",
        "",
    ]


def test_a_table_has_the_width_of_the_terminal_as_it_is_now() -> None:
    stream = MarkdownStream(80)
    wide = stream.feed("| Name | About |\n|---|---|\n| a | " + "word " * 20 + "|\n")
    stream.width = 40
    narrow = stream.feed("| b | " + "word " * 20 + "|\n") + stream.finish()
    assert max(map(len, rows(wide, 80))) > 40
    assert max(map(len, rows(narrow, 40))) <= 40
    assert len(rows(narrow, 80)) == len(rows(narrow, 40))


def test_what_may_be_a_head_is_a_text_when_the_terminal_becomes_narrower() -> None:
    stream = MarkdownStream(40)
    first = stream.feed("|x| is the absolute value of x")
    stream.width = 20
    second = stream.feed(", that is how large it is.") + stream.finish()
    assert rows(first, 40) == ["|x| is the absolute value of x"]
    assert [row for row in rows(second, 20) if row] == [", that is how large", "it is."]


# The cut --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [20, 80, 120])
@given(data=st.data())
@_few
def test_the_cut_does_not_matter(width: int, data: st.DataObject) -> None:
    markdown = data.draw(documents())
    pieces = data.draw(cuts(markdown))
    whole, cut = written(markdown, width), written(markdown, width, pieces)
    assert rows(cut, width) == rows(whole, width)
    assert seen(cut, width) == seen(whole, width)
    check_escapes(cut)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_is_the_same_character_by_character_and_never_goes_up(example: Example) -> None:
    for width in (20, 80):
        whole, cut = written(example.markdown, width), written(example.markdown, width, list(example.markdown))
        assert rows(cut, width) == rows(whole, width)
        assert seen(cut, width) == seen(whole, width)
        check_escapes(cut)
        never_above(cut, width)


# At once --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tokens",
    [
        ["Here", " is", " **str", "ong", "** and", " `co", "de", "`."],
        ["-", " it", "em", "\n", "- and", " an", "other"],
        ["> qu", "oted"],
        ["# He", "ading"],
        ["```python\n", "de", "f f", "(x", "):\n", "    ret", "urn"],
        ["a [li", "nk](ht", "tps://exa", "mple.com) b"],
        ["| a", " | b", " |\n|-|-|\n| c", " | d"],
        ["4", "2"],
        ["19", "69", ".", " It", "\n\n", "2", ".", " two"],
        ["- ", "12", " apples", "\n- ", "3", ".", " third"],
        ["> ", "7", ")", " > q"],
        ["text\n", "20", "24"],
        ["|a|b|\n|-|-|\n", "1", "0", "|2"],
        ["Claim[^1].\n\n", "[^1", "]: ", "Smith", ", 2020"],
        ["See [docs](http://a.b).\n\n", "[Ano", "ther", " link](", "http://c.d", ")"],
        ["See [1].\n\n", "[No", "te]:", " this", " is", " long"],
        ["~~~~ st", "ruck", " and on"],
        ["```const", " x", " = 5", "``` done"],
        ["- ```py", "thon", "\nx"],
    ],
    ids=lambda tokens: "".join(tokens)[:12],
)
def test_what_is_visible_of_a_token_is_in_the_write_in_which_it_arrived(tokens: list[str]) -> None:
    stream = MarkdownStream(80)
    for token in tokens:
        write = SGR.sub("", stream.feed(token))
        for word in re.findall(r"[A-Za-z0-9:]+", token):
            assert word in write


def test_ordinary_prose_is_written_once() -> None:
    prose = ("It was the best of times, it was the worst of times, it was the age of wisdom. " * 40).split(" ")
    text = " ".join(prose)
    stream = MarkdownStream(80)
    output = "".join(stream.feed(f" {word}") for word in prose) + stream.finish()
    assert len(output) <= 1.1 * len(text)


# Rows -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 2, 5, 40, 400])
def test_no_row_is_wider_than_the_terminal_and_none_ends_in_blanks(width: int) -> None:
    markdown = (
        "Some **words** of `code` and a-very-long-word-indeed, 日本語の.\n\n> > - deep\n\n| a | b |\n|-|-|\n| d | e f |"
    )
    output = written(markdown, width, color=False)
    for line in output.split("\n"):
        row = line.rpartition("\r")[2]
        assert row == row.rstrip()
    # Were one wider, the terminal would break it, and it would have two rows for a line.
    if width >= 40:
        assert len(rows(output, width)) == output.rstrip("\n").count("\n") + 1


def test_words_go_down_whole() -> None:
    assert rows(written("one two three four five", 10), 10) == ["one two", "three four", "five"]
    assert rows(written("one twothreefourfive", 10), 10) == ["one", "twothreefo", "urfive"]
    assert (
        rows(written("你好世界，再见。", 10), 10) == ["你好世", "界，再见。"]
        or rows(written("你好世界，再见。", 10), 10)[0] == "你好世界，"
    )


def test_code_is_not_broken_by_words_and_nothing_stands_before_it() -> None:
    output = written("- item\n\n  ```\n  aaaa bbbb cccc\n  ```\n> ```\n> dddd\n> ```", 10, color=False)
    assert output == "• item\n\naaaa bbbb cccc\ndddd\n"


def test_a_new_width_counts_from_the_next_row_on() -> None:
    stream = MarkdownStream(20)
    output = stream.feed("one two three four ")
    stream.width = 40
    output += stream.feed("five six seven eight nine ten eleven twelve") + stream.finish()
    assert rows(output, 40) == ["one two three four", "five six seven eight nine ten eleven", "twelve"]


def test_a_terminal_that_becomes_narrower_goes_on_below() -> None:
    stream = MarkdownStream(40)
    output = stream.feed("one two **three")
    stream.width = 10
    output += stream.feed("** four five") + stream.finish()
    assert [row.strip() for row in SGR.sub("", output).split("\n")] == ["one two three", "four five", ""]


@pytest.mark.parametrize("width", [10, 60])
def test_a_line_of_code_is_written_once_when_the_width_changes_in_it(width: int) -> None:
    stream = MarkdownStream(20)
    output = stream.feed("```python\nx = [1, 2,")
    stream.width = width
    rest = stream.feed(" 3, None]  # a, b") + stream.feed("\n")
    assert SGR.sub("", rest) == " 3, None]  # a, b"
    assert rows(stream.feed("y = 2\n") + stream.finish(), width) == ["", "y = 2"]
    assert "x = [1, 2," in SGR.sub("", output)


def test_the_row_of_the_cursor_is_known() -> None:
    stream = MarkdownStream(20)
    stream.feed("- one two **three** four five")
    assert stream.row == "  five"


# What is written ------------------------------------------------------------------------------------------------------


def test_without_colour_there_is_no_escape_and_the_same_text() -> None:
    for example in EXAMPLES:
        plain = written(example.markdown, 40, list(example.markdown), color=False)
        assert "\x1b" not in plain
        assert rows(plain, 40) == rows(written(example.markdown, 40), 40)


def test_strong_emphasis_strikethrough_and_code_have_their_sequences() -> None:
    assert written("**a**", color=True) == "\x1b[1ma\x1b[0m\n"
    assert written("*a*", color=True) == "\x1b[3ma\x1b[0m\n"
    assert written("~~a~~", color=True) == "\x1b[9ma\x1b[0m\n"
    assert written("`a`", color=True) == "\x1b[36ma\x1b[0m\n"
    assert written("## a", color=True) == "\x1b[1ma\x1b[0m\n"


@pytest.mark.parametrize("theme", THEMES)
def test_a_theme_has_only_colours_of_the_palette(theme: str) -> None:
    output = written(
        "`a`\n\n```python\n@x\nclass A:\n    def f(self): return 'a' + 1  # no\n```\n```diff\n+a\n-b\n```", theme=theme
    )
    codes = {code for found in SGR.findall(output) for code in found[2:-1].split(";")}
    assert codes <= {"0", "1", "2", "3"} | {str(code) for code in range(30, 38)} | {"90"}
    assert (theme == "plain") == (not codes & {str(code) for code in range(30, 38)})


def test_hyperlinks_are_written_when_asked_for_and_to_safe_places_alone() -> None:
    markdown = "[a](https://example.com/x) [b](ftp://example.com) [c](mailto:a@b.c) [d](https://e\u0301.com)"
    assert "\x1b]8" not in written(markdown)
    output = written(markdown, hyperlinks=True)
    assert re.findall(r"\x1b\]8;;([^\x1b]+)\x1b\\a\x1b\]8;;\x1b\\", output) == ["https://example.com/x"]
    assert set(re.findall(r"\x1b\]8;;([^\x1b]*)\x1b\\", output)) == {"", "https://example.com/x", "mailto:a@b.c"}


@pytest.mark.parametrize(
    "entity",
    ["&#27;", "&#x1b;", "&#7;", "&#x9b;", "&#x202e;", "&#8203;", "&#0;", "&#xfeff;", "&#xd800;", "&#9999999;", "&zwj;"],
)
def test_an_entity_brings_in_nothing_that_a_terminal_obeys(entity: str) -> None:
    check_escapes(written(f"a{entity}[31mb `{entity}` [{entity}]({entity})"))


# Without bounds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "markdown",
    [
        "*a " * 5000,
        "**a* " * 3000,
        "[" * 5000,
        "[a](" * 3000,
        "`" * 3000 + "a",
        "` `` ``` " * 1000,
        "<" * 5000,
        "&" * 5000,
        "> " * 500 + "a",
        "- " * 300 + "a",
        "-" * 20000,
        "#" * 20000,
        "a" * 100_000,
        "e\u0301" * 5000,
        "|" * 3000,
        "a|" * 3000 + "\n" + "-|" * 3000 + "\n" + "b|" * 3000,
        "a " + "~" * 3000,
        "\\" * 5000,
        "[a]: " + "b" * 10000,
        "```" + "x" * 10000 + "\n" + "y" * 10000,
    ],
    ids=lambda markdown: markdown[:6],
)
def test_no_text_is_too_much(markdown: str) -> None:
    whole = written(markdown, 40)
    assert rows(whole, 40)
    check_escapes(whole)
