"""Write rag_grpc/core/characters.txt: what each character is to whoever takes words from text.

Python's unicodedata grows with Python, and the mock embedder's vectors may not. So the
classes are frozen at Unicode 14, that of the oldest Python we run on, and this is run
with that Python alone: it refuses others. A new file means another fingerprint.
"""

from __future__ import annotations

import sys
import unicodedata
from itertools import groupby
from pathlib import Path

UNICODE = "14.0.0"
TARGET = Path(__file__).parent.parent / "rag_grpc" / "core" / "characters.txt"

# Scripts that put no spaces between words, by block.
UNSPACED = (
    (0x0E00, 0x0EFF, "Thai, Lao"),
    (0x1000, 0x109F, "Myanmar"),
    (0x1780, 0x17FF, "Khmer"),
    (0x1950, 0x19DF, "Tai Le, New Tai Lue"),
    (0x1A20, 0x1AAF, "Tai Tham"),
    (0x1B00, 0x1B7F, "Balinese"),
    (0x2E80, 0x2FDF, "CJK radicals"),
    (0x3005, 0x3007, "ideographic iteration marks and zero"),
    (0x3040, 0x312F, "Hiragana, Katakana, Bopomofo"),
    (0x31F0, 0x31FF, "Katakana extensions"),
    (0x3400, 0x4DBF, "CJK extension A"),
    (0x4E00, 0x9FFF, "CJK"),
    (0xA980, 0xA9FF, "Javanese, Myanmar extension B"),
    (0xAA60, 0xAADF, "Myanmar extension A, Tai Viet"),
    (0xF900, 0xFAFF, "CJK compatibility"),
    (0x1B000, 0x1B16F, "Kana supplement"),
    (0x20000, 0x3FFFF, "CJK extensions"),
)
# Emoji and text presentation say nothing of what is meant.
VARIATION_SELECTORS = ((0xFE00, 0xFE0F), (0xE0100, 0xE01EF))

BY_CATEGORY = {
    "Cf": "ignored",
    "Cn": "unassigned",
    "Co": "alone",
    "Cs": "alone",
    "L": "letter",
    "M": "mark",
    "N": "letter",
    "S": "alone",
}


def character_class(code: int) -> str:
    """Name the class of one code point; the names are explained in the file's head."""
    if any(first <= code <= last for first, last in VARIATION_SELECTORS):
        return "ignored"
    category = unicodedata.category(chr(code))
    name = BY_CATEGORY.get(category) or BY_CATEGORY.get(category[0], "separator")
    if name == "letter" and any(first <= code <= last for first, last, _ in UNSPACED):
        return "alone"
    if category[0] == "S" and chr(code).isascii():  # marks of Markdown and code, not words
        return "separator"
    return name


HEAD = f"""\
# What each character is to whoever takes words from text, frozen at Unicode {UNICODE}.
# Written by tools/generate_character_classes.py; another file is another fingerprint of the mock embedder.
#
# separator   ends a word: white space, punctuation, ASCII symbols, controls. Not listed below.
# letter      is part of a word: letters and digits
# mark        belongs to what stands before it: combining marks
# alone       is a word of its own: scripts without spaces, symbols, emoji
# ignored     is dropped: format characters, variation selectors
# unassigned  is not known to Unicode {UNICODE}
#
# first last class, in hexadecimal
"""


def main() -> int:
    """Write the file; 2 with another Python than the one it is frozen for."""
    if unicodedata.unidata_version != UNICODE:
        print(f"run this with a Python of Unicode {UNICODE}, not {unicodedata.unidata_version}")
        return 2
    lines = []
    for name, run in groupby(range(sys.maxunicode + 1), key=character_class):
        codes = list(run)
        if name != "separator":
            lines.append(f"{codes[0]:x} {codes[-1]:x} {name}\n")
    TARGET.write_text(HEAD + "".join(lines), encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
