"""How much of what a server sends is read, kept and shown. A reader of docs/wire.md finds the same figures there.

The figures belong together: with all of them at their worst (text of which every copy takes four bytes a character, an event
of nothing but brackets), the program stays below 200 MiB. No model gets near them: the longest answers of 2026 have 128,000
tokens, half a million characters.
"""

from __future__ import annotations

from typing import Final

#: A line, an event, and an answer in one piece, bytes after decompression. An image in base64 fits in.
LONGEST_EVENT: Final = 8 << 20
#: The body of an error, bytes after decompression.
LONGEST_ERROR_BODY: Final = 1 << 20
#: Commas and opening brackets in an event of more than a mebibyte: each of them may stand for an object of 250 bytes.
MOST_VALUES: Final = 200_000
#: The same in words, for an error.
TOO_LONG: Final = f"of more than {LONGEST_EVENT >> 20} MiB"
TOO_MANY_VALUES: Final = f"of more than {MOST_VALUES:,} values"
#: What an answer may have in characters, with reasoning, refusal and tool calls; a quarter where not all are ASCII, as
#: one emoji makes a text of four bytes a character of all of them; …
MOST_CHARACTERS: Final = 16_000_000
MOST_WIDE_CHARACTERS: Final = MOST_CHARACTERS // 4
#: … in pieces, for each of which the time of its arrival is kept, …
MOST_PIECES: Final = 1 << 19
#: … and in tool calls.
MOST_CALLS: Final = 10_000
#: The head of a response, with all informational responses (1xx) before it, bytes. Nothing of those is kept.
LONGEST_HEAD: Final = 64 << 20
#: Encodings of one body, one around the other.
MOST_ENCODINGS: Final = 2
#: A short field (a message, a name, an id, a reason), characters.
LONGEST_FIELD: Final = 500
