"""Capital letters 5 dots wide and 7 high, enough to write a name into a test picture."""

import unicodedata
from typing import Final

import numpy as np
from numpy.typing import NDArray

GLYPH_WIDTH = 5
GLYPH_HEIGHT = 7
ADVANCE = GLYPH_WIDTH + 1

_GLYPHS: Final = {
    # One hexadecimal pair per row, top first; bit 4 is the leftmost dot.
    "A": "0e11111f111111",
    "B": "1e11111e11111e",
    "C": "0e11101010110e",
    "D": "1e11111111111e",
    "E": "1f10101e10101f",
    "F": "1f10101e101010",
    "G": "0e11101713110f",
    "H": "1111111f111111",
    "I": "0e04040404040e",
    "J": "0702020202120c",
    "K": "11121418141211",
    "L": "1010101010101f",
    "M": "111b1515111111",
    "N": "11191513111111",
    "O": "0e11111111110e",
    "P": "1e11111e101010",
    "Q": "0e11111115120d",
    "R": "1e11111e141211",
    "S": "0f10100e01011e",
    "T": "1f040404040404",
    "U": "1111111111110e",
    "V": "11111111110a04",
    "W": "1111111515150a",
    "X": "11110a040a1111",
    "Y": "11110a04040404",
    "Z": "1f01020408101f",
    "0": "0e11131519110e",
    "1": "040c040404040e",
    "2": "0e11010204081f",
    "3": "1f02040201110e",
    "4": "02060a121f0202",
    "5": "1f101e0101110e",
    "6": "0608101e11110e",
    "7": "1f010204080808",
    "8": "0e11110e11110e",
    "9": "0e11110f01020c",
    " ": "00000000000000",
    "-": "0000001f000000",
    "_": "0000000000001f",
    ".": "00000000000c0c",
    "'": "0c040800000000",
    "+": "0004041f040400",
    "%": "18190204081303",
}
_UNKNOWN = "1f11111111111f"
"""A hollow box stands for what the font lacks."""


def lettering(text: str, dot_px: int) -> NDArray[np.bool_]:
    """Mask of *text* in capitals, (7 * dot_px, (6 * n - 1) * dot_px) bool, True where inked.

    Accents are dropped; characters without a glyph become a hollow box.
    """
    plain = "".join(
        letter
        for letter in unicodedata.normalize("NFKD", text).upper()
        if not unicodedata.combining(letter)
    )
    mask = np.zeros((GLYPH_HEIGHT, max(1, ADVANCE * len(plain) - 1)), dtype=np.bool_)
    for position, letter in enumerate(plain):
        left = position * ADVANCE
        mask[:, left : left + GLYPH_WIDTH] = _glyph(letter)
    return mask.repeat(dot_px, axis=0).repeat(dot_px, axis=1)


def _glyph(letter: str) -> NDArray[np.bool_]:
    rows = np.frombuffer(bytes.fromhex(_GLYPHS.get(letter, _UNKNOWN)), dtype=np.uint8)
    dots = rows[:, np.newaxis] >> np.arange(GLYPH_WIDTH - 1, -1, -1, dtype=np.uint8)
    return (dots & 1).astype(np.bool_)
