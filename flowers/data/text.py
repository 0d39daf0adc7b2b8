"""Text that does not say in which encoding it is: files of tables and lists, and the names in zips."""

import codecs
from collections.abc import Iterable

import chardet

MAX_BYTES = 50_000_000  # of a text file beside photos: a line a photo, half a million lines
# What Windows writes into zips and calls OEM; each language has one, and Russian two that differ in no Russian letter.
OEM = ("gb18030", "cp932", "cp949", "big5", "cp866", "cp850", "cp852", "cp437")
# What it writes into text files and calls ANSI.
ANSI = ("gb18030", "cp932", "cp949", "big5", "cp1252", "cp1250", "cp1251", "cp1253", "cp1254")
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read_text(content: bytes) -> str:
    """The text in ``content``. What is neither UTF-8 nor marked as UTF-16 is in the likeliest of ANSI."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode(likeliest(content, ANSI), "replace")


def with_slashes(path: str) -> str:
    """A path in a text, which Windows or a shell may have written, as photo sets have theirs."""
    return path.strip().replace("\\", "/").removeprefix("./")


def likeliest(content: bytes, encodings: Iterable[str]) -> str:
    """Which of ``encodings`` text that is no UTF-8 is most probably in: a guess, the better the longer the text is."""
    first, *_ = encodings = tuple(encodings)
    found = chardet.detect(content, include_encodings=encodings, compat_names=False, no_match_encoding=first)
    return found["encoding"] or first  # None for what is no text
