"""Untrusted text → text that a terminal can only print.

Strategy: a table says for every character whether it passes, is shown in plain
ASCII, or passes in some company only. There is no parser of escape sequences:
without its ESC or C1 character a sequence is ordinary text, so nothing that is
split, unterminated or put together from halves can defeat it.

Rule: what comes out depends on the text alone, never on how it was cut, and
every decision looks at what was written, not at what was read. Hence sanitising
twice changes nothing.

What is done with a character:

* LF and TAB pass. CR LF, U+0085, U+2028 and U+2029 become LF.
* Every other control is shown: `^[` for C0 and DEL, `<9B>` for C1.
* What is invisible or changes the order of other characters is shown: `<U+202E>`.
* ZWJ and ZWNJ pass between two letters, digits or marks of which at least one
  belongs to a script that needs them (Persian, Hindi …; a Persian ending on a
  Latin word counts), and ZWJ between two emoji. Elsewhere they are shown.
* LRM, RLM and ALM cannot turn letters round as the overrides do, and right-to-left
  text needs them beside punctuation: they pass, one at a time, once the text has
  had a right-to-left letter. Before that, and in a row, they are shown, because
  nothing but hidden writing needs them there.
* A variation selector passes directly after a base that has variants (emoji and
  keycaps, ideographs, mathematical operators, Myanmar, Mongolian). Each further
  one is shown: rows of them carry hidden messages.
* Tag characters pass in a flag only: U+1F3F4, a subdivision code, U+E007F.
* 16 combining marks on a base pass, and `<marks ×84>` stands for the rest. Hangul
  vowels and finals count as marks, because terminals stack them likewise.
* The halves of a surrogate pair are joined; a half alone becomes U+FFFD.
* A shown character that comes more than three times in a row is written as
  `^G ×2000`.
* All else passes: all scripts, unassigned characters (a newer Unicode's emoji),
  private use (a visible box or an icon) and blanks that take up a cell (no-break
  space, U+2800 of Braille pictures).

Weak spots: a joiner at the end of a word is shown, though Persian abbreviations
end so. What is shown looks like the same ASCII characters sent by the server.

Sources: The Unicode Standard 23.2 (layout controls, joiners), 23.3 (deprecated
format characters), 23.4 (variation selectors), 23.7 (noncharacters); UAX #9
(directional characters); UTS #51 (emoji, flags, keycaps); UAX #44
`Default_Ignorable_Code_Point` (invisible characters); ECMA-48 (C0 and C1).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import ClassVar, Final

__all__ = ["Sanitizer", "sanitize", "sanitize_json"]

MOST_MARKS = 16
"""Combining marks that one base may carry."""
LONGEST_RUN = 3
"""Times that a shown character is written out; a longer run is written as a count."""

# How a character is shown; {0} is its code point, {1} the character 64 places away.
_CARET, _BYTE, _CODE = "^{1:c}", "<{0:02X}>", "<U+{0:04X}>"

# Shown wherever they stand: first, last, notation.
_SHOWN = (
    (0x0000, 0x0008, _CARET),  # C0 up to backspace
    (0x000B, 0x000C, _CARET),  # vertical tab, form feed
    (0x000D, 0x000D, _CARET),  # a CR that no LF follows
    (0x000E, 0x001F, _CARET),  # C0 from shift out, with ESC
    (0x007F, 0x007F, _CARET),  # DEL
    (0x0080, 0x0084, _BYTE),  # C1 before NEL
    (0x0086, 0x009F, _BYTE),  # C1 after NEL, with CSI, OSC, DCS
    (0x00AD, 0x00AD, _CODE),  # soft hyphen: a hyphen, a blank or nothing, as the terminal likes
    (0x034F, 0x034F, _CODE),  # combining grapheme joiner
    (0x115F, 0x1160, _CODE),  # Hangul choseong and jungseong filler
    (0x17B4, 0x17B5, _CODE),  # Khmer inherent vowels
    (0x180E, 0x180E, _CODE),  # Mongolian vowel separator
    (0x200B, 0x200B, _CODE),  # zero-width space
    (0x202A, 0x202E, _CODE),  # bidirectional embeddings and overrides
    (0x2060, 0x2065, _CODE),  # word joiner, invisible operators
    (0x2066, 0x2069, _CODE),  # bidirectional isolates
    (0x206A, 0x206F, _CODE),  # deprecated format characters
    (0x3164, 0x3164, _CODE),  # Hangul filler
    (0xFDD0, 0xFDEF, _CODE),  # noncharacters
    (0xFEFF, 0xFEFF, _CODE),  # byte order mark, zero-width no-break space
    (0xFFA0, 0xFFA0, _CODE),  # halfwidth Hangul filler
    (0xFFF0, 0xFFF8, _CODE),  # unassigned, reserved as invisible
    (0xFFF9, 0xFFFB, _CODE),  # interlinear annotation
    (0x13430, 0x1343F, _CODE),  # Egyptian hieroglyph format controls
    (0x1BCA0, 0x1BCA3, _CODE),  # shorthand format controls
    (0x1D173, 0x1D17A, _CODE),  # musical format controls
    (0xE0000, 0xE0FFF, _CODE),  # language tag, tags, selectors, and what is reserved as invisible
    *((plane + 0xFFFE, plane + 0xFFFF, _CODE) for plane in range(0, 0x110000, 0x10000)),  # noncharacters
)

# Pass or are shown, as their neighbours say; what the neighbours do not allow is shown as _CODE.
_JOINERS = ((0x200C, 0x200D),)
_DIRECTIONS = ((0x061C, 0x061C), (0x200E, 0x200F))
_TAGS = ((0xE0020, 0xE007F),)

# Counted as marks besides the general category M: blocks that newer Unicodes fill up, and conjoining jamo.
_MARKS = (
    (0x0300, 0x036F),
    (0x1161, 0x11FF),  # Hangul jungseong and jongseong
    (0x1AB0, 0x1AFF),
    (0x1DC0, 0x1DFF),
    (0x20D0, 0x20FF),
    (0xD7B0, 0xD7FF),  # Hangul Jamo Extended-B
    (0xFE20, 0xFE2F),
)

_LINE_BREAKS = "\x85\u2028\u2029"

# Where emoji stand. Wider than the property, so that newer emoji are in; everything here is visible.
_EMOJI = (
    (0x00A9, 0x00A9),
    (0x00AE, 0x00AE),
    (0x203C, 0x203C),
    (0x2049, 0x2049),
    (0x2122, 0x2122),
    (0x2139, 0x2139),
    (0x2190, 0x21FF),
    (0x2300, 0x23FF),
    (0x24C2, 0x24C2),
    (0x25A0, 0x27BF),
    (0x2934, 0x2935),
    (0x2B00, 0x2BFF),
    (0x3030, 0x3030),
    (0x303D, 0x303D),
    (0x3297, 0x3299),
    (0x1F000, 0x1FAFF),
)
_KEYCAPS = ((0x23, 0x23), (0x2A, 0x2A), (0x30, 0x39))
_IDEOGRAPHS = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFD))

# Variation selectors: first, last, the bases that have variants.
_SELECTORS = (
    (0x180B, 0x180D, ((0x1820, 0x18AA),)),  # Mongolian free variation selectors
    (0x180F, 0x180F, ((0x1820, 0x18AA),)),
    (0xFE00, 0xFE00, ((0x1000, 0x109F), (0x2200, 0x22FF), (0x2A00, 0x2AFF), (0xAA60, 0xAA7F), *_IDEOGRAPHS)),
    (0xFE01, 0xFE02, _IDEOGRAPHS),
    (0xFE03, 0xFE0D, ()),  # no variants are registered
    (0xFE0E, 0xFE0F, (*_EMOJI, *_KEYCAPS)),  # text and emoji style
    (0xE0100, 0xE01EF, _IDEOGRAPHS),  # ideographic variation sequences
)

# Scripts whose words need ZWJ or ZWNJ.
_JOINING = (
    (0x0600, 0x08FF),  # Arabic, Syriac, Thaana, N'Ko, Samaritan, Mandaic
    (0x0900, 0x0DFF),  # Devanagari to Sinhala
    (0x0F00, 0x109F),  # Tibetan, Myanmar
    (0x1700, 0x18AF),  # Philippine scripts, Khmer, Mongolian
    (0x1900, 0x1C4F),  # Limbu to Lepcha
    (0xA840, 0xA95F),  # Phags-pa to Rejang
    (0xA980, 0xAA7F),  # Javanese, Cham, Myanmar
    (0xAAE0, 0xAAFF),  # Meetei Mayek
    (0xABC0, 0xABFF),
    (0xFB50, 0xFDCF),  # Arabic presentation forms
    (0xFDF0, 0xFDFF),
    (0xFE70, 0xFEFE),
    (0x10A00, 0x10A5F),  # Kharoshthi
    (0x10AC0, 0x10FDF),  # Manichaean to Chorasmian
    (0x11000, 0x11FFF),  # Brahmi and its relatives
    (0x1E900, 0x1E95F),  # Adlam
)

# Passes without a further look: no marks, nothing invisible, nothing from right to left, nothing with a memory.
# A test compares it with the tables above, character by character.
_PLAIN = (
    "\t\n -~\xa0-\xac\xae-\u02ff"  # ASCII, Latin
    "\u0370-\u0482\u048a-\u058f\u10a0-\u115e\u13a0-\u167f\u1e00-\u1fff"  # Greek, Cyrillic, Georgian, Hangul …
    "\u2000-\u200a\u2010-\u2027\u202f-\u205f\u2070-\u20cf\u2100-\u2cee\u2e00-\u3029"  # punctuation, symbols
    "\u3030-\u3098\u309b-\u3163\u3165-\ua66e\uac00-\ud7a3\uf900-\ufb1c\uff01-\uff9f"  # East Asia
    "\ufffd\U0001f000-\U0001fbff\U00020000-\U0002fffd"  # emoji, rare ideographs
)
_surrogate = re.compile("[\ud800-\udfff]")

# A subdivision code in tag characters: a region's two letters and one to four letters or digits (UTS #51, annex C).
_FLAG = "\U0001f3f4"
_tag_letter, _tag_digit = "\U000e0061-\U000e007a", "\U000e0030-\U000e0039"
_flag_tags = re.compile(f"[{_tag_letter}]{{2}}[{_tag_letter}{_tag_digit}]{{1,4}}\U000e007f")
_flag_tags_so_far = re.compile(f"[{_tag_letter}](?:[{_tag_letter}][{_tag_letter}{_tag_digit}]{{0,4}})?\\Z")

_Ranges = tuple[tuple[int, int], ...]


def _in(ranges: _Ranges, char: str) -> bool:
    code = ord(char)
    return any(first <= code <= last for first, last in ranges)


#: Whether a character falls under a rule, and which: the first that fits, else "base".
_KINDS: Final[Sequence[tuple[Callable[[str], bool], str]]] = (
    (lambda char: char == "\r", "cr"),
    (lambda char: char in _LINE_BREAKS, "line break"),
    (lambda char: _in(_JOINERS, char), "joiner"),
    (lambda char: _in(_DIRECTIONS, char), "direction"),
    (lambda char: _in(_TAGS, char), "tag"),
    (lambda char: any(first <= ord(char) <= last for first, last, _ in _SELECTORS), "selector"),
    (lambda char: any(first <= ord(char) <= last for first, last, _ in _SHOWN), "shown"),
    (lambda char: _in(_MARKS, char) or unicodedata.category(char).startswith("M"), "mark"),
    (lambda char: unicodedata.bidirectional(char) in ("R", "AL"), "right to left"),
)


@lru_cache(maxsize=4096)  # The table is searched once per character in use; the size bounds the memory.
def _kind(char: str) -> str:
    """Name the rule for `char`, a key of `Sanitizer._RULES`."""
    return next((name for is_meant, name in _KINDS if is_meant(char)), "base")


@cache  # Compiling takes 2.6 ms: too much at import, nothing at the first text beyond ASCII.
def _notable() -> re.Pattern[str]:
    return re.compile(f"[^{_PLAIN}]")


def _is_plain(text: str) -> bool:
    if text.isascii():
        return text.isprintable() or text.replace("\n", "").isprintable()
    return _notable().search(text) is None


def _is_emoji(char: str) -> bool:
    return char == "\ufe0f" or _in(_EMOJI, char)


def _is_in_word(char: str) -> bool:
    kind = _kind(char)
    return kind == "mark" or (kind in ("base", "right to left") and char.isalnum())


@lru_cache(maxsize=512)
def _notation(char: str) -> str:
    """Return how `char` is shown, in printable ASCII."""
    code = ord(char)
    form = next((form for first, last, form in _SHOWN if first <= code <= last), _CODE)
    return form.format(code, code ^ 0x40)


def sanitize(text: str) -> str:
    """Return `text` with nothing in it that a terminal obeys, besides LF and TAB. Never raises."""
    if _is_plain(text):
        return text
    sanitizer = Sanitizer()
    return sanitizer.feed(text) + sanitizer.finish()


# The kinds that never pass, and those that pass in some company only.
_NEVER = ("shown", "cr", "line break")
_IN_COMPANY = ("joiner", "direction", "selector", "tag", "mark")


def sanitize_json(text: str) -> str:
    r"""Return `text`, which is JSON, with the escape (`\u009b`) of every character that `sanitize` would change.

    It is the same JSON for whoever decodes it. Where one that passes in company only (a joiner, a mark) has not got it,
    all of them are escaped, those of an innocent emoji too.
    """
    for kinds in (_NEVER, (*_NEVER, *_IN_COMPANY)):
        if sanitize(text) == text:
            break
        text = "".join(_json_escape(char) if _kind(char) in kinds or _surrogate.match(char) else char for char in text)
    return text


def _json_escape(char: str) -> str:
    # JSON names the halves in UTF-16 of a character outside the basic plane.
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


class Sanitizer:
    """Sanitise one text that comes in pieces: the pieces that come out join to `sanitize` of the whole.

    Everything is returned by the feed that brings it, except what the next
    character decides:

    * a CR at the end of a feed (CR LF or a lone CR);
    * a high surrogate at the end of a feed (its other half may follow);
    * a ZWJ or ZWNJ at the end of a feed, after an emoji or a word;
    * up to six tag characters of an unfinished flag (the flag itself is out already);
    * from its second time on, a shown character in a row: `^G` is out at once,
      ` ×2000` or the second and third `^G` come when the run ends;
    * the number of the marks left out, when the run of marks ends.

    None of these holds back the text after it, and what is kept in memory is a
    handful of characters and numbers.
    """

    __slots__ = ("_final", "_held", "_last", "_marks", "_out", "_right_to_left", "_run", "_run_of")

    def __init__(self) -> None:
        self._held = ""  # Read, but not decided.
        self._last = ""  # The last character that passed; "" when something shown came after it.
        self._marks = 0  # Marks written on the present base.
        self._right_to_left = False  # A right-to-left letter has passed.
        self._run = 0  # How often _run_of has come in a row; 0 when there is no run.
        self._run_of = ""  # A shown character, or "" for the marks left out.
        self._final = False  # No more text will follow.
        self._out: list[str] = []

    def feed(self, text: str) -> str:
        """Return the next piece, printable as it is; "" when nothing is decided yet."""
        if text and not self._held and not self._run and _is_plain(text):
            self._last = text[-1]
            self._marks = 0
            return text
        return self._process(text)

    def finish(self) -> str:
        """Return what was held back. Nothing may be fed afterwards."""
        self._final = True
        return self._process("")

    def _process(self, text: str) -> str:
        text = self._held + text
        half = ""
        if _surrogate.search(text):
            if not self._final and "\ud800" <= text[-1] <= "\udbff":
                text, half = text[:-1], text[-1]
            # UTF-16 joins the halves of a pair, which JSON escapes cut across chunks keep apart.
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        at = 0
        while at < len(text):
            taken = self._RULES[_kind(text[at])](self, text, at)
            if not taken:
                break
            at += taken
        self._held = text[at:] + half
        if self._final:
            self._end_run()
        out = "".join(self._out)
        self._out.clear()
        return out

    # The rules. Each looks at text[at] and what follows, and returns how many
    # characters it has dealt with; 0 when the next feed must decide.

    def _base(self, text: str, at: int) -> int:
        notable = _notable().search(text, at + 1)
        stop = notable.start() if notable else len(text)
        self._pass(text[at:stop])
        return stop - at

    def _right_to_left_letter(self, text: str, at: int) -> int:
        self._pass(text[at])
        self._right_to_left = True
        return 1

    def _mark(self, text: str, at: int) -> int:
        if self._run_of:
            self._end_run()
        if self._marks < MOST_MARKS:
            self._pass_beside(text[at])
            self._marks += 1
        else:
            self._run += 1
            self._last = ""
        return 1

    def _line_break(self, text: str, at: int) -> int:  # noqa: ARG002 - a rule, called as the others
        self._pass("\n")
        return 1

    def _carriage_return(self, text: str, at: int) -> int:
        following = text[at + 1 : at + 2]
        if not following and not self._final:
            return 0
        if following == "\n":
            self._pass("\n")
            return 2
        return self._show(text, at)

    def _joiner(self, text: str, at: int) -> int:
        before, following = self._last, text[at + 1 : at + 2]
        joins_emoji = before != "" and text[at] == "\u200d" and _is_emoji(before)
        joins_word = before != "" and _is_in_word(before)
        if (joins_emoji or joins_word) and not following and not self._final:
            return 0
        if following and (
            (joins_emoji and _in(_EMOJI, following))
            or (
                joins_word
                and _is_in_word(following)
                and (_in(_JOINING, before) or _in(_JOINING, following))
                # A mark that will be left out leaves the joiner at the word's end.
                and (self._marks < MOST_MARKS or _kind(following) != "mark")
            )
        ):
            self._pass_beside(text[at])
            return 1
        return self._show(text, at)

    def _direction(self, text: str, at: int) -> int:
        if self._right_to_left and self._last and _kind(self._last) != "direction":
            self._pass_beside(text[at])
            return 1
        return self._show(text, at)

    def _selector(self, text: str, at: int) -> int:
        code = ord(text[at])
        bases = next(bases for first, last, bases in _SELECTORS if first <= code <= last)
        if self._last and _in(bases, self._last):
            self._pass_beside(text[at])
            return 1
        return self._show(text, at)

    def _tag(self, text: str, at: int) -> int:
        if self._last == _FLAG:
            tags = _flag_tags.match(text, at)
            if tags:
                self._pass_beside(tags[0])
                return len(tags[0])
            if not self._final and _flag_tags_so_far.match(text, at):
                return 0
        return self._show(text, at)

    def _show(self, text: str, at: int) -> int:
        if self._run and self._run_of == text[at]:
            self._run += 1
        else:
            self._pass(_notation(text[at]))
            self._run_of, self._run = text[at], 1
            self._last = ""
        return 1

    # What the rules do.

    def _pass(self, text: str) -> None:
        """Write text that starts a new base; `text` is not empty."""
        self._end_run()
        self._out.append(text)
        self._last = text[-1]
        self._marks = 0

    def _pass_beside(self, char: str) -> None:
        """Write something without a width: it belongs to the base before it, and the marks go on counting."""
        self._out.append(char)
        self._last = char[-1]

    def _end_run(self) -> None:
        """Write what a run owes."""
        if self._run:
            if not self._run_of:
                self._out.append(f"<marks ×{self._run}>")
            elif self._run > LONGEST_RUN:
                self._out.append(f" ×{self._run}")
            else:
                self._out.append(_notation(self._run_of) * (self._run - 1))
            self._run_of, self._run, self._last, self._marks = "", 0, "", 0

    _RULES: ClassVar[dict[str, Callable[[Sanitizer, str, int], int]]] = {
        "base": _base,
        "right to left": _right_to_left_letter,
        "mark": _mark,
        "line break": _line_break,
        "cr": _carriage_return,
        "joiner": _joiner,
        "direction": _direction,
        "selector": _selector,
        "tag": _tag,
        "shown": _show,
    }
