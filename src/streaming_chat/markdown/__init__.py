"""Markdown → styled text for a terminal, while it arrives, append-only.

All that is written besides the text:

    CSI … m      SGR: 1 strong and headings, 2 what is not text, 3 emphasis, 4 first headings, 9 struck through, 0 the end of
                 all of them; 30–37 and 90 code, in the colours of the theme
    CR           to the start of the row
    CSI K        erase to the end of the row
    CSI n D      cursor left by n columns

and with `hyperlinks`, around the text of a link to http, https or mailto:

    OSC 8 ; ; address ST … OSC 8 ; ; ST

None of them goes up a row: what has been left behind stays as it is, and the scrollback is true. With `color=False` there
are no escape sequences at all.

What belongs where:

    lines     stream.py gives lines to blocks; head.py collects its beginning, blocks.py tells what it is (lines.py)
    blocks    block.py, paragraph.py, code_block.py (code.py, lexing.py), table_block.py (table.py), definition.py
    screen    page.py has the rows, containers.py what stands before them, flow.py breaks a text into rows, rows.py writes
    text      inline.py has one text and inline_reader.py reads it, with link_reader.py (links.py), literal_reader.py and
              emphasis.py; reading.py holds what has been read (atoms.py, facts.py, state.py)
"""

from streaming_chat.markdown.stream import MarkdownStream
from streaming_chat.markdown.style import THEMES

__all__ = ["THEMES", "MarkdownStream"]
