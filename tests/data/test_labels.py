"""Tables of labels as competitions, sites and scripts write them."""

import json
from pathlib import Path

import pytest

from flowers.data.labels import Labels, labels_beside
from flowers.errors import DataError

FILES = [f"img_{n}.jpg" for n in range(6)]
SHOWN = ["cat", "dog", "cat", "dog", "cat", "dog"]


def read(root: Path, name: str, text: str | bytes, files: list[str] = FILES) -> Labels | None:
    photos = [root / "photos" / file for file in files]
    for photo in photos:
        photo.parent.mkdir(parents=True, exist_ok=True)
        photo.touch()
    (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return labels_beside(root, root, photos)


def by_name(labels: Labels) -> dict[str, str]:
    return {path.name: label for path, label in labels.labels.items()}


def table(*columns: str, separator: str = ",", rows) -> str:
    return "\n".join(separator.join(row) for row in [columns, *rows])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_separator_is_found(tmp_path, separator):
    text = table("file", "label", separator=separator, rows=list(zip(FILES, SHOWN, strict=True)))
    assert by_name(read(tmp_path, "a.csv", text)) == dict(zip(FILES, SHOWN, strict=True))


@pytest.mark.parametrize(
    "named",
    ["img_{}", "img_{}.jpg", "photos/img_{}.jpg", "./photos/img_{}.jpg", "photos\\img_{}.jpg", "Photos/IMG_{}.JPG",
     "old place/photos/img_{}.jpg", "/content/data/img_{}.jpg"],
)  # fmt: skip
def test_photos_are_found_however_they_are_named(tmp_path, named):
    text = table("file", "label", rows=[(named.format(n), label) for n, label in enumerate(SHOWN)])
    assert by_name(read(tmp_path, "a.csv", text)) == dict(zip(FILES, SHOWN, strict=True))


def test_a_name_that_may_mean_several_photos_means_none(tmp_path):
    files = ["a/1.jpg", "b/1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    for folder in "ab":
        (tmp_path / "photos" / folder).mkdir(parents=True)
    text = "file,label\n1.jpg,cat\n2.jpg,cat\n3.jpg,dog\n4.jpg,dog"
    assert by_name(read(tmp_path, "a.csv", text, files)) == {"2.jpg": "cat", "3.jpg": "dog", "4.jpg": "dog"}


@pytest.mark.parametrize(
    "value",
    [
        dict(zip(FILES, SHOWN, strict=True)),
        {label: [file for file, shown in zip(FILES, SHOWN, strict=True) if shown == label] for label in ("cat", "dog")},
        [{"image": file, "class": label, "size": [1, 2]} for file, label in zip(FILES, SHOWN, strict=True)],
        {
            "images": [{"id": n, "file_name": file} for n, file in enumerate(FILES)],
            "categories": [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}],
            "annotations": [{"image_id": n, "category_id": 7 + 2 * (n % 2), "bbox": [0] * 4} for n in range(6)],
        },
    ],
    ids=["by file", "by label", "rows", "COCO"],
)
def test_json_in_its_usual_forms(tmp_path, value):
    assert by_name(read(tmp_path, "labels.json", json.dumps(value))) == dict(zip(FILES, SHOWN, strict=True))


def test_a_photo_of_several_categories_has_no_label(tmp_path):
    value = {
        "images": [{"id": n, "file_name": file} for n, file in enumerate(FILES)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [{"image_id": n, "category_id": c} for n, c in ((0, 1), (0, 2), (1, 2), (2, 1), (3, 2), (4, 1))],
    }
    assert by_name(read(tmp_path, "c.json", json.dumps(value))).keys() == {
        "img_1.jpg",
        "img_2.jpg",
        "img_3.jpg",
        "img_4.jpg",
    }


def test_one_column_a_class(tmp_path):
    rows = [
        (file, *(str(int(label == name)) for name in ("cat", "dog"))) for file, label in zip(FILES, SHOWN, strict=True)
    ]
    assert by_name(read(tmp_path, "train.csv", table("id", "cat", "dog", rows=rows))) == dict(
        zip(FILES, SHOWN, strict=True)
    )


def test_words_are_better_than_numbers(tmp_path):
    rows = [(file, str(int(label == "dog")), label, "x") for file, label in zip(FILES, SHOWN, strict=True)]
    labels = read(tmp_path, "a.csv", table("id", "label", "name", "note", rows=rows))
    assert labels.column == "name" and by_name(labels)["img_1.jpg"] == "dog"


def test_the_column_that_is_called_label_counts(tmp_path):
    rows = [(file, "m" if n < 3 else "f", label) for n, (file, label) in enumerate(zip(FILES, SHOWN, strict=True))]
    assert read(tmp_path, "a.csv", table("id", "sex", "Label", rows=rows)).column == "Label"


def test_what_is_called_label_is_better_than_marks(tmp_path):
    rows = [(file, label, str(n % 2), str(1 - n % 2)) for n, (file, label) in enumerate(zip(FILES, SHOWN, strict=True))]
    assert read(tmp_path, "a.csv", table("file", "label", "is_train", "is_test", rows=rows)).column == "label"
    rows = [(file, str(n % 2), str(1 - n % 2)) for n, file in enumerate(FILES)]
    with pytest.raises(DataError, match="several columns"):
        read(tmp_path, "a.csv", table("file", "is_train", "is_test", rows=rows))


def test_a_table_may_have_no_header(tmp_path):
    text = "\n".join(f"{file},{label}" for file, label in zip(FILES, SHOWN, strict=True))
    assert by_name(read(tmp_path, "a.csv", text)) == dict(zip(FILES, SHOWN, strict=True))


def test_a_table_of_more_photos_than_are_here_counts_as_well(tmp_path):
    rows = [(f"img_{n}.jpg", SHOWN[n % 2]) for n in range(40)]
    assert len(read(tmp_path, "a.csv", table("file", "label", rows=rows)).labels) == 6


def test_several_columns_are_asked_about(tmp_path):
    rows = [(file, "m" if n < 3 else "f", label) for n, (file, label) in enumerate(zip(FILES, SHOWN, strict=True))]
    with pytest.raises(DataError, match=r"a.csv has several columns that may hold the labels \(sex, pet\)"):
        read(tmp_path, "a.csv", table("id", "sex", "pet", rows=rows))


def test_parts_are_told(tmp_path):
    rows = [
        (file, label, "valid" if n > 3 else "train") for n, (file, label) in enumerate(zip(FILES, SHOWN, strict=True))
    ]
    labels = read(tmp_path, "a.csv", table("id", "label", "split", rows=rows))
    assert {path.name for path, part in labels.parts.items() if part == "valid"} == {"img_4.jpg", "img_5.jpg"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gb18030"])
def test_whatever_excel_wrote_is_read(tmp_path, encoding):
    text = table("文件", "标签", rows=list(zip(FILES, ["玫瑰", "雏菊"] * 3, strict=True)))
    assert by_name(read(tmp_path, "a.csv", text.encode(encoding)))["img_0.jpg"] == "玫瑰"


@pytest.mark.parametrize(
    "text",
    ["", "file,label", "name,photographer\nx,y\nz,w", "file\nimg_0.jpg\nimg_1.jpg", '{"a": ', "[1, 2]", "[" * 10_000],
)
@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.tsv"])
def test_what_says_nothing_of_the_photos_is_none(tmp_path, name, text):
    assert read(tmp_path, name, text) is None


def test_of_several_tables_the_one_that_names_most_photos_counts(tmp_path):
    (tmp_path / "0.csv").write_text("file,label\nimg_0.jpg,x\nimg_1.jpg,y\nimg_2.jpg,x")
    assert read(tmp_path, "a.csv", table("file", "label", rows=list(zip(FILES, SHOWN, strict=True)))).table == "a.csv"
