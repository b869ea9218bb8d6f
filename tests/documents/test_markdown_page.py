"""Turns as Markdown: whatever an answer holds, the document around it stays what it is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from markdown_strategies import documents
from streaming_chat.core.conversation import Message
from streaming_chat.core.events import Outcome
from streaming_chat.core.turn import ToolCall
from streaming_chat.documents.markdown_page import markdown_page
from streaming_chat.history import StoredError
from turns import stored

VIEWER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def outline(page: str) -> list[tuple[str, str]]:
    """The headings at the top of the document, and the blocks of text in fences."""
    found = []
    tokens = VIEWER.parse(page)
    for place, token in enumerate(tokens):
        if token.level == 0 and token.type == "heading_open" and token.tag in ("h2", "h3"):
            found.append((token.tag, tokens[place + 1].content))
        elif token.level == 0 and token.type == "fence" and token.info == "text":
            found.append(("text", token.content))
    return found


def test_a_turn_has_its_prompt_as_text_and_its_answer_as_markdown() -> None:
    page = markdown_page([stored("It is **so**.", "Why *is* it so?")])
    assert "# Why \\*is\\* it so?\n" in page
    assert "### You\n\n```text\nWhy *is* it so?\n```\n" in page
    assert "### Assistant\n\nIt is **so**.\n" in page
    assert "> (first token: 0.400s · total: 0.900s)\\\n> outcome: complete (finish\\_reason: stop)\n" in page
    assert "12 prompt tokens · 34 completion tokens" in page


@pytest.mark.parametrize(
    "answer",
    [
        "```python\nprint(1)",
        "~~~~\ncode\n~~~",
        "Here is a file:\n\n```markdown\n# Title\n\n```sh\nls\n```\n\nmore",
        "````\n```\nnever closed\n```",
        "- item\n\n  ```\n  open in an item",
        "> ```\n> open in a quote",
        "text <!-- a comment that is never closed",
        "<script>\nalert(1)",
        "<div>\n\n<pre>",
        "<details><summary>x</summary>",
        "see `a <b> c` and <b>bold</b>",
        "![a picture](https://evil.example/x.png) and ![ref][r] and `![code](x)`\n\n[r]: https://evil.example/y.png",
        "```html\n<b>stays</b>\n```\n\n<i>goes</i>",
        "~~~html\n<b>stays</b>\n~~~\n\n<i>goes</i>",
        "    <b>stays</b>\n\n<i>goes</i>",
        "[1] and more",
        "[1]: https://evil.example/ 'title'",
        "a [1]\n\n[1]: https://other.example/",
        "a paragraph",
        "Title\n---",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "ends in a backslash\\",
        "*open emphasis **and more",
        "\\`\\`\\` `` ` ``",
        "\n\n\n",
        "\x1b[2Jescape\u202e",
    ],
)
def test_whatever_an_answer_leaves_open_the_next_turn_is_there(answer: str) -> None:
    other = stored("Then [1].\n\n[1]: https://good.example/", "And then?", number=2)
    page = markdown_page([stored(answer), other])
    headings = [text for tag, text in outline(page) if tag in ("h2", "h3") and not text.startswith("turn")]
    assert [one for one in headings if one in ("You", "Assistant")] == ["You", "Assistant"] * 2
    assert ("text", "And then?\n") in outline(page)
    rendered = VIEWER.render(page)
    assert (
        VIEWER.render("Then [1].\n\n[1]: https://good.example/") in rendered
        or '<code class="language-markdown">Then' in rendered
    )
    assert not {"html_block", "html_inline", "image"} & {
        one.type for token in VIEWER.parse(page) for one in (token, *(token.children or ()))
    }
    assert "\x1b" not in page
    assert "\u202e" not in page
    for code in re.findall(r"<b>stays</b>", answer):
        assert code in page, "code is left as it is"


@given(answers=st.lists(documents(), min_size=2, max_size=3))
@settings(max_examples=60, deadline=None)
def test_no_answer_changes_what_stands_around_it(answers: list[str]) -> None:
    turns = [stored(answer, f"prompt {number}", number=number) for number, answer in enumerate(answers, 1)]
    found = outline(markdown_page(turns))
    for number in range(1, len(answers) + 1):
        assert ("text", f"prompt {number}\n") in found


@given(prompt=st.text(st.sampled_from("`~ \nab#<>|-"), max_size=40).filter(str.strip))
@settings(max_examples=100, deadline=None)
def test_no_prompt_leaves_its_fence(prompt: str) -> None:
    found = outline(markdown_page([stored("Fine.", prompt)]))
    assert [what for what, _ in found] == ["h2", "h3", "text", "h3"]
    # A viewer takes a line of blanks for an empty one.
    assert "".join(found[2][1].split()) == "".join(prompt.split())


def test_all_that_came_of_a_request_is_there() -> None:
    turn = stored(
        "",
        outcome=Outcome.ERROR,
        reasoning="hm",
        refusal="no",
        tool_calls=(ToolCall("look_up", '{"a": 1}'),),
        error=StoredError("ServerError", "it *failed*", "try <again>", 500, None),
        settings={"temperature": 0.5},
        arrivals=(),
    )
    page = markdown_page([turn])
    assert [text for _, text in outline(page)[1:]] == [
        *("You", "Why?\n", "Reasoning", "hm\n", "Refusal", "no\n", "Tool call", 'look_up({"a": 1})\n'),
    ]
    assert "error: it \\*failed\\*" in page
    assert "hint: try \\<again\\>" in page
    assert "temperature 0.5" in page


def test_what_was_said_before_is_said_once() -> None:
    system, first = Message("system", "Be brief."), Message("user", "One?")
    one = stored("1", "One?", messages=(system, first))
    two = stored("2", "Two?", number=2, messages=(system, first, Message("assistant", "1"), Message("user", "Two?")))
    again = stored("2", "Two?", number=3, messages=(system, Message("user", "Two?")))
    page = markdown_page([one, two, again])
    assert page.count("Be brief.") == 1
    assert [text for what, text in outline(page) if what == "text"] == ["Be brief.\n", "One?\n", "Two?\n", "Two?\n"]
    # Alone, a turn shows all that went along.
    assert [text for what, text in outline(markdown_page([two])) if what == "text"] == [
        "Be brief.\n",
        "One?\n",
        "1\n",
        "Two?\n",
    ]
