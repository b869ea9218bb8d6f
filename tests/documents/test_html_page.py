"""Turns as a page: readable, played again, and never able to run what a model wrote."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from browser import CHROMIUM, Browser
from markdown_strategies import documents
from streaming_chat.core.arrivals import Arrival
from streaming_chat.core.conversation import Message
from streaming_chat.core.events import Outcome
from streaming_chat.core.turn import ToolCall
from streaming_chat.documents.html_page import html_page
from streaming_chat.history import StoredError, StoredTurn
from turns import stored

#: What a page that runs scripts out of texts would do: each of these, run, sets the page's mark.
RUN = "document.documentElement.dataset.ran=1"
ATTACKS = [
    f"<script>{RUN}</script>",
    f"</script><script>{RUN}</script>",
    f"</style><script>{RUN}</script>",
    f"</title><script>{RUN}</script>",
    f"</pre></code></article><script>{RUN}</script>",
    f'<img src=x onerror="{RUN}">',
    f"<svg onload={RUN}>",
    f"<body onload={RUN}>",
    f'<details open ontoggle="{RUN}">x</details>',
    f'<iframe srcdoc="<script>parent.{RUN}</script>"></iframe>',
    f"[click](javascript:{RUN})",
    f"[click](JaVaScRiPt:{RUN})",
    f"[click](java&#115;cript:{RUN})",
    f"[click](<java\tscript:{RUN}>)",
    f"[click](data:text/html,<script>{RUN}</script>)",
    f"[click](vbscript:{RUN})",
    f"![x](javascript:{RUN})",
    '![x](https://x.invalid/" onerror="' + RUN + ")",
    f'[x](https://x.invalid/"onmouseover="{RUN})',
    f'[x](https://x.invalid/ "t\\" onmouseover={RUN}")',
    f"<javascript:{RUN}>",
    f"<https://x.invalid/'onclick={RUN}'>",
    f'```html" onclick={RUN}\n<script>{RUN}</script>\n```',
    f"```<script>{RUN}</script>\n</code></pre><script>{RUN}</script>\n```",
    f"| <script>{RUN}</script> |\n|---|\n| <img src=x onerror={RUN}> |",
    f"[a]: javascript:{RUN}\n\n[a]",
    f"&lt;script&gt;{RUN}&lt;/script&gt;",
    f"<!--><script>{RUN}</script>-->",
    f"<![CDATA[><script>{RUN}</script>]]>",
    f"`<script>{RUN}</script>`",
    "<style>@import 'https://x.invalid/x.css'</style><link rel=stylesheet href=https://x.invalid/>",
    "<meta http-equiv=refresh content=0;url=https://x.invalid/>",
    "<base href=https://x.invalid/>",
    "<form action=https://x.invalid/><button>x</button></form>",
]


def everywhere(attack: str, number: int = 1) -> StoredTurn:
    """A turn with the attack in each of its texts."""
    return stored(
        attack,
        attack,
        number=number,
        model=attack,
        served_model=attack,
        endpoint=attack,
        request_id=attack,
        finish_reason=attack,
        outcome=Outcome.ERROR,
        reasoning=attack,
        refusal=attack,
        tool_calls=(ToolCall(attack, attack),),
        settings={"extra": {attack: attack}},
        messages=(Message("system", attack), Message(attack, attack), Message("user", attack)),
        error=StoredError("ServerError", attack, attack, 500, attack),
    )


class Page(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in ("script", "style"):
            self.texts.setdefault(self._open[-1], []).append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass


def check_harmless(html: str) -> None:
    page = Page(html)
    policies = [
        attrs["content"] or "" for tag, attrs in page.elements if attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'; ")
    assert "unsafe" not in policies[0]
    allowed = re.findall(r"'sha256-([^']+)'", policies[0])
    kinds = [attrs.get("type") for tag, attrs in page.elements if tag == "script"]
    assert set(kinds[:-1]) <= {"application/json"}
    assert kinds[-1] is None
    for content in (page.texts["style"][0], page.texts["script"][-1]):
        assert base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() in allowed
    for data in page.texts["script"][:-1]:
        assert re.fullmatch(r"[\[\]\d,]*", data), "numbers alone"
    for tag, attributes in page.elements:
        assert tag not in ("iframe", "img", "link", "form", "base", "svg", "object", "embed", "button", "input")
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "src", "srcdoc", "srcset")]
        if "href" in attributes:
            assert re.match(r"(?:https?://|mailto:)", attributes["href"] or "", re.IGNORECASE), attributes


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_of_a_text_becomes_an_element_that_does_something(attack: str) -> None:
    check_harmless(html_page([everywhere(attack)]))


@given(
    text=documents()
    | st.lists(st.sampled_from([*ATTACKS, "\n", "\n\n", "> ", "- ", "`", "*", '"', "'", "<", ">"])).map("".join)
)
@settings(max_examples=80, deadline=None)
def test_no_text_becomes_an_element_that_does_something(text: str) -> None:
    check_harmless(html_page([stored(text)]))


def test_no_escape_sequence_and_nothing_invisible_is_left() -> None:
    html = html_page([everywhere("a\x1b]8;;x\x07b\u202ec\u200bd")])
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u200b]", html)


def test_code_has_the_colours_of_its_language() -> None:
    html = html_page([stored("```python\ndef f(): return 'x'  # y\n```")])
    assert '<span class="keyword">def</span> <span class="name-function">f</span>' in html
    assert '<span class="comment"># y</span>' in html


def test_tables_are_aligned_by_classes() -> None:
    html = html_page([stored("| a | b |\n|:-:|--:|\n| 1 | 2 |")])
    assert '<td class="center">1</td>' in html
    assert '<td class="right">2</td>' in html
    assert "style=" not in html


def test_what_is_played_adds_up_to_what_is_shown() -> None:
    # Sanitised, a text has another length than the one that came: and pieces are cut inside a run.
    turn = stored("a\r\nb\x1bc" + "\x07" * 50 + "d\u202e", piece=3, reasoning="hm")
    data = json.loads(Page(html_page([turn])).texts["script"][0])
    assert [piece[0] for piece in data] == [round(arrival.at * 1000) for arrival in turn.arrivals]
    assert sum(count for _, kind, count in data if kind == 0) == len("a\nb^[c^G ×50d<U+202E>")


def test_where_nothing_is_shown_piece_by_piece_there_is_nothing_to_play() -> None:
    call = stored("", tool_calls=(ToolCall("f", "{}"),), arrivals=(Arrival(0.1, "tool_call", 3),))
    assert '<div class="replay">' not in html_page([call])


in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@in_a_browser
class TestInABrowser:
    def test_a_script_in_a_page_would_be_seen_to_run(self, browser: Browser, tmp_path: Path) -> None:
        page = tmp_path / "page.html"
        for place, attack in enumerate(ATTACKS[:7]):
            page.write_text(f"<!DOCTYPE html><title>{place}</title><p>{attack}", encoding="utf-8")
            browser.open(page)
            browser.wait_until("document.documentElement.dataset.ran === '1'")

    def test_nothing_runs_and_nothing_is_fetched(self, browser: Browser, tmp_path: Path) -> None:
        page = tmp_path / "page.html"
        page.write_text(html_page([everywhere(attack, n) for n, attack in enumerate(ATTACKS, 1)]), encoding="utf-8")
        browser.events.clear()
        browser.open(page)
        # Whatever is there to be clicked or passed over, but what leads elsewhere for the reader to see.
        browser.value("""
            for (const one of document.querySelectorAll("*")) {
              if (one.tagName === "A") one.addEventListener("click", (event) => event.preventDefault());
              if (one.tagName !== "BUTTON" && one.tagName !== "SELECT") one.click?.();
              for (const type of ["mouseover", "focus", "toggle", "error", "load"]) one.dispatchEvent(new Event(type));
            }
        """)
        assert browser.value("document.documentElement.dataset.ran") is None
        assert browser.value("document.querySelectorAll('article').length") == len(ATTACKS)
        requests = [
            one["params"]["request"]["url"] for one in browser.events if one["method"] == "Network.requestWillBeSent"
        ]
        assert set(requests) == {page.as_uri()}
        assert browser.value("location.href") == page.as_uri()

    def test_the_policy_alone_would_stop_a_script(self, browser: Browser, tmp_path: Path) -> None:
        page = tmp_path / "page.html"
        html = html_page([stored("MARK")]).replace(
            "MARK", f"<script>{RUN}</script><img src=https://x.invalid/ onerror={RUN}>"
        )
        page.write_text(html, encoding="utf-8")
        browser.open(page)
        assert browser.value("document.documentElement.dataset.ran") is None
        assert browser.value("document.querySelectorAll('.answer script, .answer img').length") == 2

    @pytest.mark.parametrize("width", [320, 360, 1280])
    def test_nothing_is_wider_than_the_window(self, browser: Browser, tmp_path: Path, width: int) -> None:
        wide = "x" * 300
        table = f"| a | {wide} |\n|---|---|\n| {wide} | b |"
        text = f"# {wide}\n\n{wide}\n\n```\n{wide}\n```\n\n`{wide}`\n\n{table}\n\n- > 1. {wide}"
        page = tmp_path / "page.html"
        page.write_text(html_page([stored(text, wide, reasoning=wide, model=wide)]), encoding="utf-8")
        for dark in (False, True):
            browser.open(page, width=width, dark=dark)
            assert browser.value("document.documentElement.scrollWidth") <= width

    def test_it_is_dark_where_the_reader_is(self, browser: Browser, tmp_path: Path) -> None:
        page = tmp_path / "page.html"
        page.write_text(html_page([stored("x")]), encoding="utf-8")
        colours = []
        for dark in (False, True):
            browser.open(page, dark=dark)
            colours.append(browser.value("getComputedStyle(document.body).backgroundColor"))
        assert colours == ["rgb(255, 255, 255)", "rgb(13, 17, 23)"]

    @pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 800)])
    def test_the_button_stays_under_the_finger(self, browser: Browser, tmp_path: Path, width: int, height: int) -> None:
        long = "A paragraph with some words in it.\n\n" * 60
        page = tmp_path / "page.html"
        page.write_text(html_page([stored(long, number=n, piece=200) for n in (1, 2)]), encoding="utf-8")
        browser.open(page, width=width, height=height)
        place = "Math.round(document.querySelectorAll('button')[1].getBoundingClientRect().top)"
        browser.value("document.querySelectorAll('button')[1].scrollIntoView()")
        before = browser.value(place)
        browser.value("document.querySelectorAll('button')[1].click()")
        places = [browser.value(place) for _ in range(10)]
        assert set(places) == {before}
        browser.value("document.querySelectorAll('button')[1].click()")
        assert browser.value(place) == before

    def test_an_answer_is_played_piece_by_piece_and_whole_in_the_end(self, browser: Browser, tmp_path: Path) -> None:
        text = "# Title\n\nA 🙂 **bold** start.\n\n- one\n- two\n\n```python\nprint('x')\n```\n\nThe end."
        thought = tuple(Arrival(0.05 * n, "reasoning", 1) for n in range(4))
        turn = stored(text, piece=2, reasoning="hmm!")
        turn = stored(text, piece=2, reasoning="hmm!", arrivals=(*thought, *turn.arrivals))
        page = tmp_path / "page.html"
        page.write_text(html_page([turn]), encoding="utf-8")
        browser.open(page)
        whole = browser.value("document.querySelector('.answer').innerText")
        markup = browser.value("document.querySelector('.answer').innerHTML")
        browser.value("""
            window.seen = [];
            window.title_ = document.querySelector(".answer");
            new MutationObserver(() => seen.push(title_.innerText)).observe(
              title_, {subtree: true, childList: true, characterData: true, attributes: true});
            const speed = document.querySelector("select");
            speed.value = "4";
            speed.dispatchEvent(new Event("change"));
            document.querySelector("button").click();
        """)
        browser.wait_until("document.querySelector('button').textContent.includes('Replay')")
        seen = browser.value("seen")
        assert len(seen) > 10
        shown = ["".join(one.split()) for one in seen]
        assert all("".join(whole.split()).startswith(one) for one in shown), "only what comes next is added"
        assert [len(one) for one in shown] == sorted(len(one) for one in shown)
        assert shown[0] == ""
        assert browser.value("document.querySelector('.answer').innerText") == whole
        assert browser.value("document.querySelector('.answer').innerHTML") == markup
        assert browser.value("document.querySelector('output').textContent") >= "4"
        assert browser.value("document.querySelector('[data-pane=reasoning]').textContent") == "hmm!"
        # Played again, and stopped: all is there.
        browser.value("document.querySelector('button').click(); document.querySelector('button').click()")
        assert browser.value("document.querySelector('.answer').innerText") == whole
