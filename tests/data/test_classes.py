"""Folders as people have them, and what is understood of each. The files are empty: no photo is opened for that."""

import json
import shutil
from pathlib import Path

import pytest

from flowers.data.classes import CLASS_NAMES, class_root, clean_name, is_litter, part_of, read_layout
from flowers.errors import DataError


def put(root: Path, *paths: str, **texts: str) -> Path:
    """Files in ``root``: empty ones, and at ``paths`` such as "rose/1-3.jpg" several."""
    for path in paths:
        stem, dash, last = path.rpartition(".")[0].rpartition("-")
        names = [path]
        if dash and last.isdecimal() and stem[-1].isdecimal():
            names = [f"{stem[:-1]}{n}.{path.rpartition('.')[2]}" for n in range(int(stem[-1]), int(last) + 1)]
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
    for name, text in texts.items():
        (root / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return root


def counts(root: Path) -> dict[str, int]:
    return {name: len(files) for name, files in read_layout(root).classes.items()}


def held(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in read_layout(root).held_back)


def said(root: Path) -> str:
    return " ".join(read_layout(root).notes)


def test_an_archive_that_stayed_packed_is_named(tmp_path):
    put(tmp_path, "rose/1-3.jpg", "tulip/1-2.jpg", "daisies.zip", "other.png")
    assert counts(tmp_path) == {"rose": 3, "tulip": 2}
    assert read_layout(tmp_path).notes == (
        "daisies.zip is an archive and is left out: unpack it, or make it again.",
        "Photos beside the folders are left out: 1.",
    )


def test_class_folders_need_no_word(tmp_path):
    put(tmp_path, "rose/1-3.jpg", "tulip/deep/er/1-2.jpg", "notes.txt")
    assert counts(tmp_path) == {"rose": 3, "tulip": 2}
    assert said(tmp_path) == "" and held(tmp_path) == []


def test_photos_beside_the_folders_are_told(tmp_path):
    put(tmp_path, "rose/1-3.jpg", "tulip/1-2.jpg", "loose 1.jpg", "other.png")
    assert (
        counts(tmp_path) == {"rose": 3, "tulip": 2} and said(tmp_path) == "Photos beside the folders are left out: 2."
    )


# The parts of a split


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train", "train"), ("Training", "train"), ("training_set", "train"), ("train_images", "train"),
        ("images-train", "train"), ("TrainData", "train"), ("val", "val"), ("valid", "val"), ("Validation Set", "val"),
        ("dev", "val"), ("eval", "val"), ("test", "test"), ("Testing", "test"), ("test_set2", "test"),
        ("trains", None), ("rose", None), ("tests", None), ("value", None), ("testimony", None), ("1", None),
        ("", None), ("seg_train", None), ("train station", None), ("my test set", "test"), ("trainImages2", "train"),
    ],
)  # fmt: skip
def test_the_parts_of_a_split_have_many_names(name, part):
    assert part_of(name) == part


def test_words_that_all_folders_have_do_not_count(tmp_path):
    assert part_of("seg_train", ["seg_train", "seg_test", "seg_pred"]) == "train"
    assert part_of("seg_pred", ["seg_train", "seg_test", "seg_pred"]) is None
    assert part_of("train station", ["train station", "bus station"]) == "train"
    put(
        tmp_path,
        "seg_train/seg_train/sea/1-3.jpg",
        "seg_train/seg_train/ice/1-3.jpg",
        "seg_test/seg_test/sea/1.jpg",
        "seg_test/seg_test/ice/1.jpg",
        "seg_pred/seg_pred/1-4.jpg",
        "a/b/train station/1.jpg",
        "a/b/bus station/1.jpg",
    )
    assert counts(tmp_path / "a") == {"bus station": 1, "train station": 1}, "there is nothing to check on beside"
    shutil.rmtree(tmp_path / "a")
    assert counts(tmp_path) == {"ice": 3, "sea": 3}
    assert "The photos in seg_test are left to be evaluated on" in said(tmp_path)
    assert "The folder seg_pred is left out" in said(tmp_path)


def test_a_given_split_is_kept(tmp_path):
    put(
        tmp_path,
        "train/rose/1-4.jpg",
        "train/tulip/1-3.jpg",
        "valid/rose/7-8.jpg",
        "valid/tulip/9.jpg",
        "test/rose/1-2.jpg",
    )
    assert counts(tmp_path) == {"rose": 6, "tulip": 4}
    assert held(tmp_path) == ["valid/rose/7.jpg", "valid/rose/8.jpg", "valid/tulip/9.jpg"]
    assert said(tmp_path).startswith(
        "The photos in train are learned from, those in valid are held back. The photos in test are left to"
    )


def test_without_a_part_to_check_on_lots_are_drawn(tmp_path):
    put(tmp_path, "training_set/rose/1-4.jpg", "training_set/tulip/1-3.jpg", "test_set/1-5.jpg")
    assert counts(tmp_path) == {"rose": 4, "tulip": 3}
    assert held(tmp_path) == []
    assert "in training_set" in said(tmp_path) and "The folder test_set holds no class folders and is left out" in said(
        tmp_path
    )


def test_parts_that_differ_in_their_classes_are_put_together(tmp_path):
    put(tmp_path, "train/rose/1-4.jpg", "train/tulip/1-3.jpg", "val/rose/7-8.jpg")
    assert counts(tmp_path) == {"rose": 6, "tulip": 3}
    assert held(tmp_path) == [] and "lots are drawn" in said(tmp_path)


def test_parts_may_stand_inside_the_classes(tmp_path):
    put(tmp_path, "rose/train/1-4.jpg", "rose/val/5.jpg", "rose/test/6-7.jpg", "tulip/train/1-4.jpg", "tulip/val/5.jpg")
    assert counts(tmp_path) == {"rose": 5, "tulip": 5}
    assert held(tmp_path) == ["rose/val/5.jpg", "tulip/val/5.jpg"]
    assert "rose/test is left out" in said(tmp_path)


def test_a_folder_beside_the_parts_is_left_out_with_a_word(tmp_path):
    put(tmp_path, "train/rose/1-4.jpg", "train/tulip/1-3.jpg", "test/rose/1.jpg", "samples/1-3.jpg")
    assert counts(tmp_path) == {"rose": 4, "tulip": 3}
    assert "samples holds no class folders and is left out" in said(tmp_path)


def test_parts_without_classes_are_asked_about(tmp_path):
    put(tmp_path, "train/1-4.jpg", "test/1-4.jpg")
    with pytest.raises(DataError, match=r"test, train in .* hold no class folders.*class-names.json\.$"):
        read_layout(tmp_path)
    put(tmp_path, **{"class-names__json": json.dumps({"train": "train", "test": "test"})})
    assert counts(tmp_path) == {"test": 4, "train": 4}


def test_a_class_may_be_called_as_a_part(tmp_path):
    put(tmp_path, "train/1-4.jpg", "bus/1-4.jpg", "tram/1-2.jpg")
    assert counts(tmp_path) == {"bus": 4, "train": 4, "tram": 2}
    assert said(tmp_path) == ""


# Folders around, folders inside


def test_folders_around_the_classes_do_not_matter(tmp_path):
    put(tmp_path, "export/v1/photos/rose/1-2.jpg", "export/v1/photos/tulip/1-2.jpg", "export/readme.txt")
    assert class_root(tmp_path) == tmp_path / "export" / "v1" / "photos"
    assert counts(tmp_path) == {"rose": 2, "tulip": 2}


def test_folders_of_documents_are_no_classes(tmp_path):
    put(tmp_path, "images/rose/1-2.jpg", "images/tulip/1-2.jpg", "annotations/1-9.xml", "docs/readme.md")
    assert counts(tmp_path) == {"rose": 2, "tulip": 2}


def test_folders_of_folders_of_classes_get_a_word_and_a_way(tmp_path):
    put(tmp_path, "plants/rose/1-2.jpg", "plants/tulip/1-2.jpg", "pets/cat/1-2.jpg", "pets/dog/1-2.jpg")
    assert counts(tmp_path) == {"pets": 4, "plants": 4}
    assert 'as in {"pets/cat": "cat"}' in said(tmp_path)
    names = {"plants/rose": "rose", "plants/tulip": "tulip", "pets/cat": "cat"}
    put(tmp_path, **{"class-names__json": json.dumps(names)})
    assert counts(tmp_path) == {"cat": 2, "rose": 2, "tulip": 2} and said(tmp_path) == ""


@pytest.mark.parametrize("session", ["20{}", "session {}", "{}"])
def test_sessions_inside_classes_need_no_word(tmp_path, session):
    for name in ("rose", "tulip"):
        put(tmp_path, *(f"{name}/{session.format(number)}/1-2.jpg" for number in (20, 21)))
    assert counts(tmp_path) == {"rose": 4, "tulip": 4} and said(tmp_path) == ""


def test_versions_of_one_set_side_by_side_get_a_word(tmp_path):
    put(tmp_path, *(f"{kind}/{name}/1-2.jpg" for kind in ("colour", "grey") for name in ("healthy", "rust")))
    assert counts(tmp_path) == {"colour": 4, "grey": 4} and "inside colour are taken for one class" in said(tmp_path)
    apart = read_layout(tmp_path).apart
    assert {path.parent.name: name for path, name in apart.items()} == {name: name for name in set(apart.values())}
    assert len(apart) == 8


# Names of files


@pytest.mark.parametrize("form", ["{}.{}.jpg", "{}_{}.jpg", "{} ({}).png", "{}{}.jpg", "{}-0{}.jpeg", "{}_{}_.jpg"])
def test_numbered_photos_are_of_what_they_are_called(tmp_path, form):
    put(tmp_path / "train", *(form.format(name, number) for name in ("cat", "great dane") for number in (1, 2, 13)))
    put(tmp_path / "test1", "1.jpg", "2.jpg")
    assert counts(tmp_path) == {"cat": 3, "great dane": 3}
    assert (
        said(tmp_path)
        == "The classes are what the file names begin with: cat, great dane. The folder test1 is left out."
    )


@pytest.mark.parametrize(
    "names",
    [
        ["IMG_1.jpg", "IMG_2.jpg", "DSC01.jpg", "DSC02.jpg"], ["1.jpg", "2.jpg", "3.jpg"], ["rose.jpg", "rose 2.jpg"],
        ["cat1.jpg", "cat2.jpg"], ["cat1.jpg", "cat2.jpg", "dog1.jpg"], ["a1.jpg", "b1.jpg", "c1.jpg", "d1.jpg"],
        ["PXL_20240101_120000.jpg", "PXL_20240101_120001.jpg", "rose 1.jpg", "rose 2.jpg"],
    ],
)  # fmt: skip
def test_names_that_say_nothing_make_no_classes(tmp_path, names):
    put(tmp_path, *names)
    assert counts(tmp_path) == {}


# Tables


def test_a_table_beside_a_heap_of_photos_gives_the_classes(tmp_path):
    rows = "image_id,label\na,daisy\nb,daisy\nc,rose\nd,rose"
    put(tmp_path, "train_images/a.jpg", "train_images/b.jpg", "train_images/c.jpg", "train_images/d.jpg",
        "test_images/x.jpg", train__csv=rows, sample__csv="image_id,label")  # fmt: skip
    assert counts(tmp_path) == {"daisy": 2, "rose": 2}
    assert said(tmp_path).startswith(
        "The table train.csv says in label what 4 photos show. Photos that the table does not name"
    )
    assert said(tmp_path).endswith("are left out: 1.")


def test_numbered_folders_are_a_heap_where_a_table_says_so(tmp_path):
    rows = "lesion,image_id,dx,age\n" + "\n".join(f"L{n},{n},{'nv' if n % 2 else 'mel'},{n % 3}" for n in range(1, 7))
    put(tmp_path, "part_1/1-3.jpg", "part_2/4-6.jpg", metadata__csv=rows)
    assert counts(tmp_path) == {"mel": 3, "nv": 3}


def test_numbered_folders_without_a_table_are_classes(tmp_path):
    put(tmp_path, "class 1/1-3.jpg", "class 2/4-6.jpg", metadata__csv="photographer,camera\nA,B\nC,D")
    assert counts(tmp_path) == {"class 1": 3, "class 2": 3}


def test_a_table_beside_class_folders_changes_nothing(tmp_path):
    put(tmp_path, "rose/1-3.jpg", "tulip/4-6.jpg", photos__csv="file,light\n1.jpg,sun\n2.jpg,sun\n3.jpg,shade")
    assert counts(tmp_path) == {"rose": 3, "tulip": 3} and said(tmp_path) == ""


def test_a_table_in_a_folder_of_its_own_is_found(tmp_path):
    put(tmp_path, "images/1-4.jpg", "annotations/readme.txt")
    put(tmp_path / "annotations", labels__json=json.dumps({f"{n}.jpg": "ab"[n % 2] for n in range(1, 5)}))
    assert counts(tmp_path) == {"a": 2, "b": 2}


def test_a_tables_own_split_is_kept(tmp_path):
    rows = [f"{n}.jpg,{'ab'[n % 2]},{('train', 'train', 'valid', 'test')[n // 2]}" for n in range(8)]
    put(tmp_path, "images/0-7.jpg", labels__csv="\n".join(["file,label,split", *rows]))
    assert counts(tmp_path) == {"a": 3, "b": 3}
    assert held(tmp_path) == ["images/4.jpg", "images/5.jpg"]


def test_a_table_may_lie_among_its_photos(tmp_path):
    put(
        tmp_path,
        "0-7.jpg",
        labels__csv="\n".join([",file,label", *(f"{n},{7 - n}.jpg,{'ab'[n % 2]}" for n in range(8))]),
    )
    assert counts(tmp_path) == {"a": 4, "b": 4}
    assert tmp_path / "7.jpg" in read_layout(tmp_path).classes["a"], "the column of names counts, not that of numbers"


def test_a_table_of_something_else_leaves_numbered_classes(tmp_path):
    put(tmp_path, "class1/1-4.jpg", "class2/5-8.jpg")
    (tmp_path / "credits.csv").write_text("\n".join(["file,author", *(f"{n}.jpg,{'xy'[n % 2]}" for n in range(1, 9))]))
    assert counts(tmp_path) == {"class1": 4, "class2": 4}


# Names


@pytest.mark.parametrize("names", [{"x/..": "a"}, {"/etc/ssl": "a"}, {"rose/x": "a", "..": "b"}, {"a\\b/c": "a"}])
def test_names_of_folders_lead_nowhere_else(tmp_path, names):
    put(tmp_path, "rose/x/1-2.jpg", **{"class-names__json": json.dumps(names)})
    with pytest.raises(DataError, match="which is no folder of the set"):
        read_layout(tmp_path)


def test_a_link_out_of_the_set_is_no_folder_of_it(tmp_path):
    put(tmp_path, "outside/1-2.jpg", "set/rose/x/1-2.jpg")
    (tmp_path / "set" / "rose" / "y").symlink_to(tmp_path / "outside")
    put(tmp_path / "set", **{"class-names__json": json.dumps({"rose/x": "x", "rose/y": "y"})})
    assert counts(tmp_path / "set") == {"x": 2}


def test_one_photo_is_of_one_class(tmp_path):
    put(tmp_path, "a/b/1-2.jpg", **{"class-names__json": json.dumps({"a/b": "x", "a": "y"})})
    with pytest.raises(DataError, match="names a folder and one that is inside it"):
        read_layout(tmp_path)


def test_a_name_that_somebody_chose_loses_nothing_to_another(tmp_path):
    put(tmp_path, "1/1-2.jpg", "Rose /3-4.jpg", "x/5-6.jpg", **{"class-names__json": json.dumps({"1": "Rose"})})
    assert counts(tmp_path) == {"Rose": 4, "x": 2}


def test_one_name_in_several_spellings_is_one_class(tmp_path):
    put(tmp_path, "Caf\u00e9/1-2.jpg", "Cafe\u0301/3-4.jpg", "tulip /1.jpg", "tulip/2-3.jpg")
    assert counts(tmp_path) == {"Caf\u00e9": 4, "tulip": 3} and said(tmp_path) == ""


def test_of_names_that_differ_in_their_capitals_a_word_is_said(tmp_path):
    put(tmp_path, "Rose/1-2.jpg", "rose/3-5.jpg", "tulip/1-2.jpg")
    assert counts(tmp_path) == {"rose": 5, "tulip": 2}
    assert said(tmp_path) == "One class is meant by Rose, rose: it is called rose."


def test_names_that_somebody_chose_stay_apart(tmp_path):
    put(
        tmp_path,
        "rose/1-2.jpg",
        "rose 2/3-5.jpg",
        **{"class-names__json": json.dumps({"rose 2": "Rose", "rose": "rose"})},
    )
    assert counts(tmp_path) == {"Rose": 3, "rose": 2}


def test_a_class_name_is_one_clean_line():
    assert clean_name(" a\u202eb\n\tc\u0301 ") == "ab \u0107"


LITTER = [
    ".DS_Store", "._rose.jpg", ".ipynb_checkpoints", ".Trash-1000", "__MACOSX", "Icon\r", "Thumbs.db", "thumbs.DB",
    "ehthumbs.db", "Desktop.ini", "$RECYCLE.BIN", "RECYCLER", "System Volume Information", "found.000", "lost+found",
    "@eaDir", "#recycle", "#snapshot", "@Recycle", "SYNOFILE@SynoResource", "__pycache__", "~$notes.docx", "Picasa.ini",
    "IMG_0001.AAE", "IMG_0001.xmp", "IMG_0001.jpg.json", "IMG_0001.HEIC.supplemental-metadata.json",
    "IMG_0001.jpg.supplemental-me(1).json", "metadata.json", "metadata(2).json", "MOV_1.THM", "Rose.lnk",
]  # fmt: skip


@pytest.mark.parametrize("name", LITTER)
def test_what_systems_leave_behind_is_litter(name):
    assert is_litter(name)


@pytest.mark.parametrize(
    "name",
    [
        "rose",
        "Recycled",
        "rose.jpg",
        "IMG_0001.HEIC",
        "labels.json",
        "Thumbs",
        "recycle",
        "icons",
        "a.b.png",
        "train",
        "#1",
    ],
)
def test_what_people_call_their_own_is_none(name):
    assert not is_litter(name)


def test_litter_is_left_out_everywhere(tmp_path):
    put(tmp_path, "rose/1-2.jpg", "tulip/1-2.jpg", "tulip/deep/3.jpg", CLASS_NAMES.replace(".json", ".txt"))
    put(tmp_path, *(f"rose/{name}" for name in LITTER), *(f"tulip/deep/{name}" for name in LITTER))
    for name in ("$RECYCLE.BIN", "@eaDir", "System Volume Information"):
        put(tmp_path, f"{name}/1-2.jpg", f"tulip/{name}/1.jpg/SYNOPHOTO_THUMB_M.jpg")
    assert counts(tmp_path) == {"rose": 2, "tulip": 3}
