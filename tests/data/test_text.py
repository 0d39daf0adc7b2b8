"""Text that does not say how it is written."""

import pytest

from flowers.data.text import OEM, likeliest, read_text

NAMES = [
    ("gb18030", "雏菊 玫瑰"), ("gb18030", "猫 狗"), ("gb18030", "正常 异常"), ("gb18030", "苹果 香蕉"),
    ("cp932", "ひまわり バラ"), ("cp932", "犬 猫"), ("cp949", "장미 튤립"), ("big5", "玫瑰 鬱金香"),
    ("cp866", "роза тюльпан"), ("cp866", "да нет"), ("cp850", "Gänseblümchen Löwenzahn"), ("cp850", "chêne hêtre"),
    ("cp850", "Maçã Pêra"), ("cp852", "růže tulipán"),
]  # fmt: skip


@pytest.mark.parametrize(("encoding", "names"), NAMES)
def test_the_names_of_two_classes_are_enough_to_guess_from(encoding, names):
    text = names.replace(" ", "\n")
    content = text.encode(encoding)
    assert content.decode(likeliest(content, OEM)) == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"])
def test_text_is_read_as_it_was_written(encoding):
    text = "Gänseblümchen/1.jpg\r\nLöwenzahn/2.jpg"
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    assert read_text(f"{mark}{text}".encode(encoding)).removeprefix("\ufeff") == text


def test_whatever_the_bytes_are_there_is_text():
    assert isinstance(read_text(bytes(range(256))), str)
    assert read_text(b"") == ""
