import json
import sys
import time
import unicodedata

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming_chat.text import sanitize as module
from streaming_chat.text.sanitize import Sanitizer, sanitize, sanitize_json

ESC, BEL, ST = "\x1b", "\a", "\x1b\\"
ZWNJ, ZWJ, LRM, RLM = "\u200c", "\u200d", "\u200e", "\u200f"
ACUTE = "\u0301"
BLACK_FLAG = "\U0001f3f4"


def tags(text: str) -> str:
    return "".join(chr(0xE0000 + ord(char)) for char in text)


CANCEL_TAG = "\U000e007f"
SCOTLAND = BLACK_FLAG + tags("gbsct") + CANCEL_TAG

# What no output may contain, taken from the standards and not from the module's own tables.
VISIBLE_FORMATS = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}
IN_COMPANY_ONLY = {0x061C, *range(0x180B, 0x180E), 0x180F, *range(0x200C, 0x2010), *range(0xFE00, 0xFE10)}
IN_COMPANY_ONLY |= {*range(0xE0020, 0xE0080), *range(0xE0100, 0xE01F0)}
INVISIBLE = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2065, 0x3164, 0xFFA0, *range(0xFFF0, 0xFFF9)}
INVISIBLE |= {*range(0x13430, 0x13440), *range(0xE0000, 0xE1000), *range(0xFDD0, 0xFDF0)}
FORBIDDEN = {
    code
    for code in range(sys.maxunicode + 1)
    if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp") or code in INVISIBLE or code & 0xFFFE == 0xFFFE
} - {0x09, 0x0A, *VISIBLE_FORMATS}
NOT_ALONE = FORBIDDEN | IN_COMPANY_ONLY


def pieces_of(text: str, cuts: list[int]) -> list[str]:
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def stream(pieces: list[str]) -> str:
    sanitizer = Sanitizer()
    return "".join([*map(sanitizer.feed, pieces), sanitizer.finish()])


ORDINARY = {
    "English": "The quick “brown” fox – 3 × 4 ≈ 12 €…\n\tdef f(x): return x ** 2\n",
    "French": "Où est l’élève ?\u00a0« Là-bas\u202f! »",
    "Arabic": "مرحبًا بالعالم، كيف حالُك؟ ١٢٣",
    "Hebrew": "שָׁלוֹם עולם, שפת C++" + LRM + " היא (טובה)" + RLM + "!",
    "Hindi": "नमस्ते दुनिया, क्" + ZWJ + "ष और र्" + ZWJ + "क",
    "Bengali": "র" + ZWJ + "্যাব বাংলা",
    "Sinhala": "ශ්" + ZWJ + "රී ලංකා",
    "Malayalam": "നന്" + ZWJ + "മ കൺ",
    "Persian": "می" + ZWNJ + "خواهم کتاب" + ZWNJ + "ها را، API" + ZWNJ + "های ۵" + ZWNJ + "ام",
    "Urdu": "یہ اردو ہے۔",
    "Thai": "สวัสดีชาวโลก น้ำ ที่นี่",
    "Lao": "ສະບາຍດີ",
    "Khmer": "សួស្តី",
    "Burmese": "မင်္ဂလာပါ",
    "Tibetan": "བཀྲ་ཤིས་བདེ་ལེགས།",
    "Vietnamese, decomposed": unicodedata.normalize("NFD", "Tiếng Việt rất đẹp"),
    "Korean": "안녕하세요 세계",
    "Korean, decomposed": unicodedata.normalize("NFD", "안녕하세요 세계"),
    "Japanese": "こんにちは、世界！ カタカナ ﾊﾝｶｸ 葛\U000e0100城",
    "Chinese": "你好，世界。\u3000𠀋",
    "Russian": "Привет, мир; ё й",
    "Greek": "Γειά σου Κόσμε",
    "Georgian, Armenian": "გამარჯობა Բարեւ",
    "Amharic": "ሰላም ልዑል",
    "Mongolian": "ᠮᠣᠩᠭᠣᠯ ᠬᠡᠯᠡ\u180b",
    "mathematics": "∀x∈ℝ: √x² = |x|, ∑ᵢ aᵢ, x̂ ⃗v, ∩\ufe00, 𝒜",
    "emoji": "😀 👍🏽 ❤️ ☎︎ ©️ 👩‍👩‍👧‍👦 🧑🏾‍🚀 🏳️‍🌈 🏴‍☠️ ❤️‍🔥 🙂‍↔️ 🐻‍❄️",
    "flags": "🇩🇪🇯🇵 " + SCOTLAND + BLACK_FLAG + tags("gbeng") + CANCEL_TAG + BLACK_FLAG + tags("ustx") + CANCEL_TAG,
    "keycaps": "1️⃣ #️⃣ *️⃣",
    "drawing": "┌─┐ ▓▒░ ⠁⠀⠿ █▁",
    "private use": "\ue0b0 \uf8ff \U000f0000",
    "unassigned": "\u0378 \U0001fbff \U0003abcd",
}


@pytest.mark.parametrize("text", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_text_passes_unchanged(text: str) -> None:
    assert sanitize(text) == text
    assert stream(list(text)) == text


SHOWN = [
    ("\0", "^@"),
    ("a\x1bb", "a^[b"),
    ("\a\b\v\f\x0e", "^G^H^K^L^N"),
    ("\x7f", "^?"),
    ("\x80\x9b\x9d", "<80><9B><9D>"),
    ("\r\n", "\n"),
    ("a\rb", "a^Mb"),
    ("\r\r\n", "^M\n"),
    ("a\r", "a^M"),
    ("\r\x85", "^M\n"),
    ("a\x85b\u2028c\u2029d", "a\nb\nc\nd"),
    ("\u202eabc\u202c", "<U+202E>abc<U+202C>"),
    ("\u2066a\u2069", "<U+2066>a<U+2069>"),
    ("\u206a", "<U+206A>"),
    ("pass\u200bword\u2060\ufeff", "pass<U+200B>word<U+2060><U+FEFF>"),
    ("so\u00adft \u034f \u180e \u3164 \uffa0", "so<U+00AD>ft <U+034F> <U+180E> <U+3164> <U+FFA0>"),
    ("\ufff9 \U0001d173 \U0001bca0 \U00013430", "<U+FFF9> <U+1D173> <U+1BCA0> <U+13430>"),
    ("\ufdd0 \uffff \U0010fffe", "<U+FDD0> <U+FFFF> <U+10FFFE>"),
    ("\U000e0001", "<U+E0001>"),
    # Joiners
    (ZWJ, "<U+200D>"),
    ("ab" + ZWJ + "cd", "ab<U+200D>cd"),
    ("a" + ZWNJ, "a<U+200C>"),
    ("ہ" + ZWNJ + ".", "ہ<U+200C>."),
    ("می" + ZWNJ + ZWNJ + "خ", "می<U+200C><U+200C>خ"),
    ("می" + ZWNJ + ESC, "می<U+200C>^["),
    ("👩" + ZWJ, "👩<U+200D>"),
    ("👩" + ZWJ + "a", "👩<U+200D>a"),
    ("👩" + ZWNJ + "👩", "👩<U+200C>👩"),
    ("." + ZWJ + "👩", ".<U+200D>👩"),
    # Directions
    ("a" + LRM + "b" + RLM, "a<U+200E>b<U+200F>"),
    ("א" + RLM + RLM + LRM + "!", "א" + RLM + "<U+200F><U+200E>!"),
    (ESC + RLM + "א" + ESC + RLM, "^[<U+200F>א^[<U+200F>"),
    ("א\u061c!", "א\u061c!"),
    # Variation selectors
    ("a\ufe0f", "a<U+FE0F>"),
    ("\ufe0f", "<U+FE0F>"),
    ("❤\ufe0f\ufe0f", "❤\ufe0f<U+FE0F>"),
    ("😀\U000e0100\U000e0101", "😀<U+E0100><U+E0101>"),
    ("葛\U000e0100\U000e0100", "葛\U000e0100<U+E0100>"),
    ("葛\ufe05", "葛<U+FE05>"),
    # Tags
    (tags("hi"), "<U+E0068><U+E0069>"),
    (BLACK_FLAG + tags("gbsct"), BLACK_FLAG + "<U+E0067><U+E0062><U+E0073><U+E0063><U+E0074>"),
    (BLACK_FLAG + tags("g") + "x", BLACK_FLAG + "<U+E0067>x"),
    (BLACK_FLAG + CANCEL_TAG, BLACK_FLAG + "<U+E007F>"),
    (SCOTLAND + CANCEL_TAG, SCOTLAND + "<U+E007F>"),
    ("😀" + tags("gb"), "😀<U+E0067><U+E0062>"),
    # Surrogates
    ("\ud83d\ude00", "😀"),
    ("\ud83d", "\ufffd"),
    ("\ude00\ud83d", "\ufffd\ufffd"),
    ("\ud83d\ud83d\ude00a", "\ufffd😀a"),
    ("\udb40\udc01", "<U+E0001>"),
    # Marks
    ("e" + ACUTE * 16 + "x", "e" + ACUTE * 16 + "x"),
    ("e" + ACUTE * 17, "e" + ACUTE * 16 + "<marks ×1>"),
    ("e" + ACUTE * 100 + "x" + ACUTE, "e" + ACUTE * 16 + "<marks ×84>x" + ACUTE),
    (ESC + ACUTE * 17 + ESC, "^[" + ACUTE * 16 + "<marks ×1>^["),
    ("क" + "्" * 16 + ZWJ + "्", "क" + "्" * 16 + "<U+200D>्"),
    ("क" + "्" * 17 + ZWJ + "ष", "क" + "्" * 16 + "<marks ×1><U+200D>ष"),
    ("ᄀ" + "\u1161" * 17, "ᄀ" + "\u1161" * 16 + "<marks ×1>"),
    # Runs
    (BEL * 3 + "x", "^G^G^Gx"),
    (BEL * 4 + "x", "^G ×4x"),
    (BEL * 2000, "^G ×2000"),
    ("\r" * 2000 + "\n", "^M ×1999\n"),
    ("\u202e" * 5 + BEL, "<U+202E> ×5^G"),
    (BEL + "a" + BEL, "^Ga^G"),
]


@pytest.mark.parametrize(("text", "shown"), SHOWN)
def test_what_does_not_pass_is_shown(text: str, shown: str) -> None:
    assert sanitize(text) == shown
    assert sanitize(shown) == shown
    assert stream(list(text)) == shown


def test_every_character_passes_alone_or_is_shown_in_ascii() -> None:
    for code in range(sys.maxunicode + 1):
        char, written = chr(code), sanitize(chr(code))
        if code not in NOT_ALONE:
            assert written == char
        else:
            assert written in ("\n", "\ufffd") or (written.isascii() and written.isprintable()), hex(code)


@pytest.mark.parametrize("before", ["a", "😀", "葛", "1", BLACK_FLAG, "א", "क", "\u0301", "", ESC])
def test_no_character_gets_past_in_any_company(before: str) -> None:
    text = "".join(f"{before}{chr(code)}{after}" for code in sorted(NOT_ALONE) for after in (".", "a", "👩", "ष", "\n"))
    assert {ord(char) for char in sanitize(text)} & FORBIDDEN <= IN_COMPANY_ONLY


def test_the_quick_check_agrees_with_the_table() -> None:
    plain = [chr(code) for code in range(sys.maxunicode + 1) if module._is_plain(chr(code))]
    assert [char for char in plain if module._kind(char) != "base"] == []
    assert "é" in plain
    assert "世" in plain


@pytest.mark.parametrize("token", [" hello", "\n\n", "größe", "東京", "नमस्ते", "שלום", "สวัส", "👍🏽", "1️⃣", ACUTE, "^["])
def test_a_token_is_returned_at_once(token: str) -> None:
    sanitizer = Sanitizer()
    assert [sanitizer.feed(token) for _ in range(3)] == [token] * 3
    assert sanitizer.feed("") == sanitizer.finish() == ""


@pytest.mark.parametrize(
    ("pieces", "returned"),
    [
        (["a\r", "\nb"], ["a", "\nb", ""]),
        (["a\r", "b"], ["a", "^Mb", ""]),
        (["a\r", "", "\r"], ["a", "", "^M", "^M"]),
        (["a\ud83d", "\ude00b"], ["a", "😀b", ""]),
        (["a\ud83d", "b"], ["a", "\ufffdb", ""]),
        (["a\ud83d"], ["a", "\ufffd"]),
        (["می" + ZWNJ, "خ"], ["می", ZWNJ + "خ", ""]),
        (["👩" + ZWJ + "\ud83d", "\udc67"], ["👩", ZWJ + "👧", ""]),
        # Nothing can make this joiner pass, so it does not wait.
        (["." + ZWJ, "x"], [".<U+200D>", "x", ""]),
        (list(SCOTLAND), [BLACK_FLAG, "", "", "", "", "", SCOTLAND[1:], ""]),
        ([BLACK_FLAG, tags("gb"), "x"], [BLACK_FLAG, "", "<U+E0067><U+E0062>x", ""]),
        ([BLACK_FLAG, tags("4")], [BLACK_FLAG, "<U+E0034>", ""]),
        ([BEL, BEL, BEL, "x"], ["^G", "", "", "^G^Gx", ""]),
        ([BEL * 10, BEL * 10], ["^G", "", " ×20"]),
        (["e" + ACUTE * 20, ACUTE, "x"], ["e" + ACUTE * 16, "", "<marks ×5>x", ""]),
    ],
)
def test_only_the_undecided_waits(pieces: list[str], returned: list[str]) -> None:
    sanitizer = Sanitizer()
    assert [*map(sanitizer.feed, pieces), sanitizer.finish()] == returned
    assert sanitizer.finish() == ""


controls = [*"\t\n\r\a\x1b\x7f\x85\x9b\xad\u2028\u202e\u2066\u200b\ufeff\u3164\uffff", "\r\n", "\a\a\a"]
beside = [ZWNJ, ZWJ, LRM, RLM, "\u061c", ACUTE, ACUTE * 17, "\u20e3", "\u1161", "\ufe0f", "\ufe00", "\U000e0100"]
bases = [*"aA1#. कष्خ٣אָᄀ葛∩❤👩🏽", BLACK_FLAG, SCOTLAND]
parts = [*tags("g4z"), tags("gbsct"), CANCEL_TAG, "\ud83d", "\ude00", "\udb40", "\udc67"]
notable = st.sampled_from([*controls, *beside, *bases, *parts])
texts = st.lists(notable | st.characters(codec=None, exclude_categories=()), max_size=30).map("".join)


@settings(deadline=None, max_examples=500)  # Another process may have the machine.
@given(texts, st.data())
def test_the_cut_does_not_matter(text: str, draw: st.DataObject) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    assert stream(pieces_of(text, cuts)) == sanitize(text)
    assert stream(list(text)) == sanitize(text)


@settings(deadline=None, max_examples=500)
@given(texts)
def test_sanitising_twice_changes_nothing(text: str) -> None:
    assert sanitize(sanitize(text)) == sanitize(text)


@settings(deadline=None, max_examples=500)
@given(texts)
def test_json_is_the_same_json_and_nothing_in_it_is_changed(text: str) -> None:
    line = sanitize_json(json.dumps({text: [text]}, ensure_ascii=False))
    assert sanitize(line) == line
    # Two halves that stand side by side are the character: JSON has no other way to write it.
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    assert json.loads(line) == {whole: [whole]}


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("größe 東京 שלום\n", "größe 東京 שלום\n"),
        ("👩" + ZWJ + "👩 e" + ACUTE + " " + SCOTLAND, "👩" + ZWJ + "👩 e" + ACUTE + " " + SCOTLAND),
        ("ü\x9b31m\x7f\x85\u2028\u202e", "ü\\u009b31m\\u007f\\u0085\\u2028\\u202e"),
        ("\U000e0001\ud800", "\\udb40\\udc01\\ud800"),
        # What is innocent stays, unless something of its kind is not.
        ("\x9b 👩" + ZWJ + "👩", "\\u009b 👩" + ZWJ + "👩"),
        ("." + ZWJ + " 👩" + ZWJ + "👩", ".\\u200d 👩\\u200d👩"),
        ("e" + ACUTE * 17, "e" + "\\u0301" * 17),
    ],
)
def test_what_of_json_is_escaped(text: str, escaped: str) -> None:
    assert sanitize_json(text) == escaped


@settings(deadline=None, max_examples=500)
@given(texts)
def test_nothing_that_a_terminal_obeys_comes_out(text: str) -> None:
    out = sanitize(text)
    assert {ord(char) for char in out} & (FORBIDDEN - IN_COMPANY_ONLY) == set()
    marks = 0
    for char in out:
        if unicodedata.category(char) == "Mn" and ord(char) not in IN_COMPANY_ONLY:
            marks += 1
            assert marks <= module.MOST_MARKS
        elif ord(char) not in IN_COMPANY_ONLY:
            marks = 0


ATTACKS = {
    "clipboard": f"{ESC}]52;c;ZXZpbA=={BEL}",
    "clipboard, C1": "\x9d52;c;ZXZpbA==\x9c",
    "link": f"{ESC}]8;;http://evil.example{ST}bank{ESC}]8;;{ST}",
    "title set": f"{ESC}]0;root@prod{BEL}",
    "title report": f"{ESC}[21t",
    "title stack": f"{ESC}[22;0t{ESC}[23;0t",
    "palette": f"{ESC}]4;1;rgb:00/00/00{ST}{ESC}]10;?{BEL}",
    "working folder": f"{ESC}]7;file:///etc{ST}",
    "DCS": f"{ESC}P1;1|evil{ST}",
    "DECRQSS": f"{ESC}P$qm{ST}",
    "DECUDK": f"{ESC}P1;1|17/6c730a{ST}",
    "APC": f"{ESC}_evil{ST}",
    "PM": f"{ESC}^evil{ST}",
    "SOS": f"{ESC}Xevil{ST}",
    "device attributes": f"{ESC}[c{ESC}[>c{ESC}Z",
    "status report": f"{ESC}[6n{ESC}[5n",
    "answerback": "\x05",
    "alternate screen": f"{ESC}[?1049h{ESC}[?47h",
    "mouse": f"{ESC}[?1000h{ESC}[?1006h",
    "bracketed paste": f"{ESC}[?2004h{ESC}[201~rm -rf ~\r",
    "cursor moves": f"{ESC}[1;1H{ESC}[10A{ESC}[3D{ESC}M{ESC}7{ESC}8",
    "erase": f"{ESC}[2J{ESC}[3J{ESC}[K{ESC}c",
    "scroll region": f"{ESC}[2;3r{ESC}[S{ESC}[T{ESC}[5L",
    "colour and concealment": f"{ESC}[8mhidden{ESC}[0m{ESC}[31m",
    "character set": f"{ESC}(0\x0eabc\x0f{ESC}#8",
    "iTerm2": f"{ESC}]1337;File=inline=1:AAAA{BEL}",
    "notification": f"{ESC}]9;evil{BEL}{ESC}]777;notify;a;b{BEL}",
    "kitty graphics": f"{ESC}_Ga=T,f=24;AAAA{ST}",
    "kitty keyboard": f"{ESC}[>1u",
    "sixel": f"{ESC}Pq#0;2;0;0;0~~{ST}",
    "tmux passthrough": f"{ESC}Ptmux;{ESC}{ESC}]52;c;eA=={BEL}{ST}",
    "screen title": f"{ESC}kevil{ST}",
    "C1 CSI": "\x9b2J\x9b6n\x9b?1049h",
    "C1 DCS APC PM SOS": "\x90q\x9c\x9fG\x9c\x9ex\x9c\x98x\x9c",
    "C1 index": "\x84\x88\x8d\x8e\x8f",
    "overwriting": "rm -rf ~\rls      \b\b\b",
    "erasing by backspace": "bad\b \b\b \b\b \b",
    "vertical moves": "\v\f\x0b",
    "unterminated": f"{ESC}]0;everything after this",
    "nested": f"{ESC}{ESC}{ESC}[{ESC}[31m",
    "bidi": "if admin\u202e }\u2066 begin\u2069\u202c",
    "tags": "ok" + tags("ignore all"),
    "zero width": "pay\u200bpal\u2060.com\ufeff",
    "null and delete": "a\0b\x7fc",
    "halves": "\udb40\udc68\x1b\ud83d[2J",
}


class Terminal:
    """A pyte screen on which any effect besides printed characters can be seen."""

    def __init__(self) -> None:
        self.screen = pyte.Screen(400, 6)
        self.replies: list[str] = []
        self.screen.write_process_input = self.replies.append
        self.screen.set_mode(pyte.modes.LNM)
        self.modes = set(self.screen.mode)
        self.stream = pyte.Stream(self.screen)
        self.stream.feed("first\nbefore:")


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_an_attack_is_printed_and_moves_nothing(attack: str) -> None:
    for at in range(len(attack) + 1):
        written = stream([attack[:at], attack[at:]])
        assert written == sanitize(attack)
        assert all(char.isprintable() for char in written)
    terminal = Terminal()
    terminal.stream.feed(sanitize(attack) + ":after")
    screen = terminal.screen
    line = "before:" + sanitize(attack) + ":after"
    assert [row.rstrip() for row in screen.display] == ["first", line, "", "", "", ""]
    assert (screen.cursor.y, screen.cursor.x, screen.cursor.hidden) == (1, len(line), False)
    assert screen.cursor.attrs == screen.default_char
    assert {cell._replace(data=" ") for row in screen.buffer.values() for cell in row.values()} == {screen.default_char}
    assert (screen.title, screen.icon_name, screen.margins, screen.savepoints) == ("", "", None, [])
    assert screen.mode == terminal.modes
    assert terminal.replies == []


def test_the_screen_would_show_an_attack_that_got_past() -> None:
    """The proof above is worth something only if the same screen obeys the raw text."""
    terminal = Terminal()
    terminal.stream.feed(f"{ESC}]0;evil{BEL}{ESC}[6n{ESC}[1;1H")
    assert terminal.screen.title == "evil"
    assert terminal.replies
    assert (terminal.screen.cursor.y, terminal.screen.cursor.x) == (0, 0)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a" * 1_000_000, id="a long line"),
        pytest.param("é" * 999_999 + ESC, id="a long line with a control at its end"),
        pytest.param(BEL * 1_000_000, id="bells"),
        pytest.param("\r" * 1_000_000, id="carriage returns"),
        pytest.param("e" + ACUTE * 1_000_000, id="marks"),
        pytest.param(ZWJ * 1_000_000, id="joiners"),
        pytest.param((BLACK_FLAG + tags("gbsct")) * 150_000, id="unfinished flags"),
        pytest.param("\ud83d" * 1_000_000, id="halves"),
        pytest.param(f"{ESC}[" * 500_000, id="escapes"),
    ],
)
def test_a_flood_costs_linear_time(text: str) -> None:
    # A second of the processor on a slow machine at most; quadratic would be hours.
    started = time.process_time()
    assert len(sanitize(text)) < 10 * len(text)
    assert time.process_time() - started < 60


@pytest.mark.parametrize("flood", ["\r", BEL, ACUTE, ZWJ, "👩" + ZWJ, BLACK_FLAG + tags("gbsc"), "\ud83d", "א" + RLM])
def test_a_flood_leaves_little_in_memory(flood: str) -> None:
    sanitizer = Sanitizer()
    for piece in flood * 2_000:
        sanitizer.feed(piece)
        assert len(sanitizer._held) <= 7
        assert sanitizer._out == []
