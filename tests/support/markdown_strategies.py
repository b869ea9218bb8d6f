"""Markdown as language models write it, and as nobody should: documents for property tests, and ways to cut them.

Left out on purpose is what a stream cannot know: definitions of links, which may come after their use (`[a]: /url`).
"""

from __future__ import annotations

import itertools

from hypothesis import strategies as st

_WORDS = (
    *(
        "the",
        "a",
        "token",
        "stream",
        "I",
        "said:",
        "e.g.",
        "won't",
        "2 < 3",
        "x_1",
        "snake_case_name",
        "5*3",
        "C#",
        "a|b",
        "~5",
    ),
    *(
        "(see",
        "above)",
        "–",
        "…",
        "“quoted”",
        '"quoted"',
        "100%",
        "$x^2$",
        "R&D",
        "1.",
        "2)",
        "+1",
        "-1",
        "#tag",
        "[1]",
        "!",
        "==",
    ),
    *(
        "日本語のテキスト",
        "中文，标点。",
        "한국어",
        "Ünïcödé",
        "cafe\u0301",
        "क्षि",
        "नमस्ते",
        "Привет",
        "שלום",
        "n\u0303o\u0323\u0302",
    ),
    *("👍🏽", "👩\u200d👩\u200d👧", "❤\ufe0f", "🇩🇪🇫🇷", "✓", "🙂", "e\u0301" * 3),
    *("Donaudampfschifffahrtsgesellschaft" * 4, "https://example.com/" + "path/" * 25, "あ" * 90, "/" * 130),
)
_MARKERS = (
    "*",
    "**",
    "***",
    "_",
    "__",
    "~~",
    "~",
    "`",
    "``",
    "[",
    "]",
    "](",
    "![",
    "<",
    ">",
    "\\",
    "&",
    "|",
    "****",
    "*_",
    "_*",
)
_ENTITIES = (
    "&amp;",
    "&lt;",
    "&nbsp;",
    "&copy;",
    "&#65;",
    "&#x1F600;",
    "&#27;",
    "&#x9b;",
    "&#x202e;",
    "&#12;",
    "&#10;",
    "&#0;",
    "&no;",
)
_AUTOLINKS = (
    "<https://example.com/a_b_c?x=*y*>",
    "<me@example.com>",
    "<mailto:me@example.com>",
    "<http://a b>",
    "www.example.com",
)
_HTML = ("<b>", "</b>", "<br/>", "<!-- no -->", '<a href="*x*">', "<think>")
_TARGETS = (
    "/url",
    "<a b>",
    'https://example.com/a_(b) "title *x*"',
    "",
    "https://example.com/" + "long/" * 20,
    "javascript:alert(1)",
)
_LANGUAGES = ("", "python", "json", "c++ title=x", "no-such-language", "diff")
_CODE = (
    "def f(x: int) -> int:",
    "    return x * 2  # *no* emphasis",
    "",
    "\tindented by a tab",
    '{"a": [1, 2, "ü"]}',
    "# not a heading",
    "- not a list",
    "> no quote",
    '"""a string',
    "| no | table |",
    "trailing  ",
    "x" * 200,
    "漢字 = '👩\u200d👧'",
    "``",
    "&amp; <b> \\*",
)

# One draw for each piece, made beforehand: strategies inside strategies for every word would be ten times slower.
_CODE_SPANS = tuple(
    # Runs of other lengths than the fence, and spaces that are cut off or are not.
    fence + text + fence
    for fence in ("`", "``", "```")
    for text in ("code", "a `b` c", " x ", " `` ", "*no*", "a\nb", "\\", "&amp;", "<b>", "  ", "日本", "x|y", "~~z~~")
)
_LINKS = tuple(
    f"{mark}[{text}]({target})"
    for mark in ("", "!")
    for text in (
        "text",
        "*em* text",
        "**bold",
        "a [b] c",
        "![alt *x*](y)",
        "",
        "two\nlines",
        "`code`",
        "日本 👩\u200d👧",
        "]",
    )
    for target in _TARGETS
)
_STYLED = tuple(
    f"{mark}{text}{mark}"
    for mark in ("*", "**", "***", "_", "__", "~~")
    for text in (
        "word",
        "two words",
        "a *b* c",
        "a **b** c",
        "a _b",
        "`x`",
        "~~x~~",
        "日本。",
        " spaced ",
        "a\nb",
        '"quoted"',
        "[a](/u)",
    )
)
_ESCAPES = tuple("\\" + char for char in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~a")
_BREAKS = ("  \n", "\\\n", "\n", "\n    ", " \n")
_KINDS = (_CODE_SPANS, _LINKS, _STYLED, _ESCAPES, _MARKERS, _MARKERS, _ENTITIES, _AUTOLINKS + _HTML, _BREAKS)

_words = st.lists(st.sampled_from(_WORDS), min_size=1, max_size=4).map(" ".join)
_WORDS_AND_GAPS = tuple(word + gap for word in _WORDS for gap in (" ", " ", ""))
_NASTY = (*[_WORDS_AND_GAPS] * 5, *(tuple(piece + gap for piece in kind for gap in ("", " ")) for kind in _KINDS))
_ORDINARY = (_WORDS, _WORDS, _WORDS, ("*so*", "**very much**", "~~no~~", "***both***"), ("`code`", "``a ` b``"), _LINKS[:1])


@st.composite
def _text(draw: st.DrawFn, nasty: bool) -> str:
    # The pieces are no arguments, since hypothesis would write them all out as the strategy's name.
    kinds = _NASTY if nasty else _ORDINARY
    count = draw(st.integers(1, 12))
    pieces = [draw(st.sampled_from(kinds[draw(st.integers(0, len(kinds) - 1))])) for _ in range(count)]
    return ("" if nasty else " ").join(pieces)


_inline = _text(nasty=True)
_sentences = _text(nasty=False)


def _without_blank_lines(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if line.strip())


_one_line = _inline.map(lambda text: text.replace("\n", " "))

_headings = st.one_of(
    st.builds(
        "{} {}{}".format,
        st.sampled_from(("#", "##", "###", "######", "#######")),
        _one_line,
        st.sampled_from(("", " ##", " \\#")),
    ),
    st.builds("{}\n{}".format, _inline.map(_without_blank_lines), st.sampled_from(("===", "---", "=", "-  ", "== ="))),
)
_code_lines = st.lists(st.sampled_from(_CODE), max_size=6)
_fences = st.builds(
    lambda fence, language, lines, end: "\n".join([fence + language, *lines, *([] if end is None else [fence + end])]),
    st.sampled_from(("```", "````", "~~~", "  ```")),
    st.sampled_from(_LANGUAGES),
    _code_lines,
    st.sampled_from(("", "", "", "`", "  ", " no end", None)),
)
_indented = _code_lines.map(lambda lines: "\n".join("    " + line for line in lines))
_rules = st.sampled_from(("---", "***", "_ _ _", "* * *", "----------", "**", "- - x"))
_html_blocks = st.sampled_from(
    ("<div>\n*text*\n</div>", "<!-- a\n\nb -->", "<details><summary>x</summary>", "<pre>\n  a\n</pre>")
)


@st.composite
def _tables(draw: st.DrawFn) -> str:
    columns = draw(st.integers(1, 4))
    cells = st.one_of(
        _words, _one_line.map(lambda text: text.replace("|", "\\|")), st.sampled_from(("", "a \\| b", "`x \\| y`", "1"))
    )

    def row(count: int) -> str:
        texts = draw(st.lists(cells, min_size=count, max_size=count))
        return draw(st.sampled_from(("| {} |", "| {} |", "{}", "|{}", " {} | "))).format(" | ".join(texts))

    rule = " | ".join(draw(st.lists(st.sampled_from(("---", ":--", ":-:", "--:", "-")), min_size=columns, max_size=columns)))
    body = [row(max(1, columns + draw(st.sampled_from((0, 0, 0, -1, 1))))) for _ in range(draw(st.integers(0, 4)))]
    return "\n".join([row(columns), f"| {rule} |", *body])


@st.composite
def _lists(draw: st.DrawFn, blocks: st.SearchStrategy[str]) -> str:
    marker = draw(st.sampled_from(("-", "*", "+", "1.", "1)", "9.", "0.", "123.")))
    items = []
    for number in range(draw(st.integers(1, 4))):
        bullet = f"{int(marker[:-1]) + number}{marker[-1]}" if marker[0].isdigit() else marker
        bullet += draw(st.sampled_from((" ", " ", " ", "  ", "    ", "\t")))
        box = draw(st.sampled_from(("", "", "", "[ ] ", "[x] ")))
        # Too little indentation is common: then it depends on what stands there.
        indent = " " * draw(st.sampled_from((len(bullet), len(bullet), len(bullet), 2, 4, 0)))
        first, *others = (box + draw(blocks)).split("\n")
        items.append("\n".join([bullet + first, *(indent + line if line else "" for line in others)]))
    return draw(st.sampled_from(("\n", "\n", "\n\n"))).join(items)


@st.composite
def _quotes(draw: st.DrawFn, blocks: st.SearchStrategy[str]) -> str:
    lines = draw(blocks).split("\n")
    prefixes = draw(st.lists(st.sampled_from(("> ", "> ", "> ", ">", "", "> > ")), min_size=len(lines), max_size=len(lines)))
    return "\n".join(map(str.__add__, ["> ", *prefixes[1:]], lines))


_leaves = st.one_of(
    _sentences,
    _sentences,
    _inline,
    _inline,
    _inline.map(_without_blank_lines),
    _headings,
    _fences,
    _indented,
    _rules,
    _tables(),
    _html_blocks,
)


def _joined(blocks: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    gap = st.sampled_from(("\n\n", "\n\n", "\n", "\n\n\n"))
    return st.builds(lambda gap, parts: gap.join(parts), gap, st.lists(blocks, min_size=1, max_size=3))


_blocks = st.recursive(_leaves, lambda inner: st.one_of(_lists(_joined(inner)), _quotes(_joined(inner))), max_leaves=6)


def documents() -> st.SearchStrategy[str]:
    """Return a strategy of whole documents."""
    return st.builds(
        lambda blocks, end: "".join(text + gap for text, gap in blocks) + end,
        st.lists(st.tuples(_blocks, st.sampled_from(("\n\n", "\n\n", "\n"))), min_size=1, max_size=5),
        st.sampled_from(("", "\n", "last words", "*", "`", "- ", "**unclosed")),
    )


def cuts(text: str) -> st.SearchStrategy[list[str]]:
    """Return a strategy of ways to cut a text: whole, in single characters, or somewhere."""

    def pieces(places: set[int]) -> list[str]:
        bounds = [0, *sorted(places), len(text)]
        return [text[start:end] for start, end in itertools.pairwise(bounds)]

    somewhere = st.sets(st.integers(0, len(text)), max_size=20).map(pieces)
    return st.one_of(st.just([text]), st.just(list(text)), somewhere, somewhere)
