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

What belongs where: stream.py puts lines together to blocks, blocks.py tells what a line is, inline.py and inline_reader.py
read the text in it (emphasis.py and links.py with them), flow.py breaks it into rows, code.py (lexing.py with it) and
table.py are the blocks with rows of their own, and rows.py writes.
"""

from streaming_chat.markdown.stream import MarkdownStream
from streaming_chat.markdown.style import THEMES

__all__ = ["THEMES", "MarkdownStream"]
