"""Archives: good ones arrive, hostile and broken ones leave a sentence and nothing else."""

import copy
import io
import itertools
import os
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowers.data.archive import extract, extract_all
from flowers.errors import DataError

PHOTOS = {"daisy/one.jpg": b"\xff\xd8 one", "daisy/two.jpg": os.urandom(5000), "rose/one.jpg": b"\xff\xd8 three"}
HOSTILE_NAMES = [
    "../out.jpg",
    "daisy/../../out.jpg",
    "/out.jpg",
    "C:/out.jpg",
    "a\\..\\..\\out.jpg",
    "a/" * 40 + "x.jpg",
]


def zipped(files, compression=zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of (name or ZipInfo, content) pairs or of a dict."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in files.items() if isinstance(files, dict) else files:
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files, mode="w:gz", **header) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items() if isinstance(files, dict) else files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for field, value in header.items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


MAKERS = pytest.mark.parametrize("make", [zipped, tarred], ids=["zip", "tar.gz"])


def unpacked(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def put(tmp_path):
    """Extract bytes; what the folder then holds."""

    def extract_bytes(content: bytes, **limits) -> dict[str, bytes]:
        archive = tmp_path / "photos.zip"
        archive.write_bytes(content)
        return unpacked(extract(archive, tmp_path / "room" / "photos", **limits))

    return extract_bytes


@pytest.fixture
def refused(put, tmp_path):
    """Assert that bytes are refused in one sentence, without a trace anywhere."""

    def assert_refused(content: bytes, match: str = "", **limits) -> None:
        with pytest.raises(DataError, match=match) as failure:
            put(content, **limits)
        message = str(failure.value)
        assert "photos" in message and message.endswith(".") and message.isprintable()
        assert unpacked(tmp_path) == {"photos.zip": content}

    return assert_refused


@MAKERS
def test_photos_arrive(make, put, tmp_path):
    seen = []
    assert put(make(PHOTOS), progress=lambda *now: seen.append(now)) == PHOTOS
    assert [path.name for path in (tmp_path / "room").iterdir()] == ["photos"], "no temporary folder is left"
    size = (tmp_path / "photos.zip").stat().st_size
    assert {total for _, total in seen} == {size}
    assert all(before[0] <= after[0] <= size for before, after in itertools.pairwise(seen))


def test_a_plain_tar_arrives(put):
    assert put(tarred(PHOTOS, mode="w")) == PHOTOS


@pytest.mark.filterwarnings("ignore:Duplicate name")
@given(st.lists(st.tuples(st.text("aAé./ ", min_size=1, max_size=6), st.binary(max_size=50)), min_size=1, max_size=6))
def test_whatever_the_names_nothing_gets_out(files):
    for make in (zipped, tarred):
        with tempfile.TemporaryDirectory() as root:
            archive, folder = Path(root, "a.zip"), Path(root, "inner", "photos")
            archive.write_bytes(make(files))
            try:
                extract(archive, folder)
            except DataError:
                assert not folder.exists()
            else:
                contents = [content for name, content in files]
                assert all(content in contents for content in unpacked(folder).values())
            inside = {archive.name, *(f"inner/photos/{name}" for name in (unpacked(folder) if folder.exists() else ()))}
            assert unpacked(Path(root)).keys() == inside


@MAKERS
@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_paths_that_lead_outside_are_refused(make, name, refused):
    refused(make([("daisy/one.jpg", b"fine"), (name, b"hostile")]), "not a path to unpack")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_tar_links_and_devices_are_refused(kind, refused):
    refused(tarred([("daisy", b"")], type=kind, linkname="/etc/passwd"), "link or a device")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_zip_links_and_devices_are_refused(kind, refused):
    info = zipfile.ZipInfo("daisy")
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    refused(zipped([(info, b"/etc"), ("daisy/passwd", b"through the link")]), "link or a device")


def test_sparse_files_are_refused(refused):
    refused(tarred([("big.jpg", b"")], type=tarfile.GNUTYPE_SPARSE), "link or a device|broken")


@MAKERS
def test_bombs_are_refused_by_their_ratio(make, refused):
    refused(make({"daisy/bomb.jpg": bytes(20_000_000)}), "bomb")


def test_a_zip_bomb_is_not_hidden_by_honest_files(refused):
    honest = zipfile.ZipInfo("rose/large.jpg")  # stored: the archive as a whole has a harmless ratio
    refused(zipped([(honest, os.urandom(1_000_000)), ("daisy/bomb.jpg", bytes(20_000_000))]), "bomb", max_ratio=100)


@MAKERS
def test_the_bytes_written_may_reach_the_limit(make, put, refused):
    files = {f"daisy/{i}.jpg": os.urandom(1000) for i in range(5)}
    assert put(make(files), max_bytes=5000) == files


@MAKERS
def test_the_bytes_written_may_not_pass_the_limit(make, refused):
    refused(make({f"daisy/{i}.jpg": os.urandom(1000) for i in range(5)}), "limits", max_bytes=4999)


def test_a_skipped_tar_member_counts_too(refused):
    refused(tarred([("__MACOSX/junk", bytes(10_000)), ("daisy/one.jpg", b"one")]), "limits", max_bytes=9999)


def test_a_zip_that_lies_about_its_size_is_refused(refused):
    content = bytearray(zipped({"daisy/one.jpg": bytes(100_000)}))
    at = content.index(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<L", 10)
    refused(bytes(content), "broken", max_bytes=1000)


@MAKERS
def test_as_many_entries_as_allowed_arrive(make, put):
    files = [(f"daisy/{i}.jpg", b"x") for i in range(10)]
    assert len(put(make(files), max_files=10)) == 10


@MAKERS
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_one_entry_too_many_is_refused(make, kind, refused):
    entries = [(f"daisy/{i}.jpg" if kind == "file" else f"daisy{i}/", b"") for i in range(11)]
    header = {"type": tarfile.DIRTYPE} if kind == "folder" and make is tarred else {}
    refused(make(entries, **header), "more than 10 files", max_files=10)


def test_a_giant_directory_is_refused_unread(refused):
    content = bytearray(zipped(PHOTOS))
    at = content.index(b"PK\x05\x06")
    content[at + 12 : at + 16] = struct.pack("<L", 0xF0000000)
    refused(bytes(content), "more than 100 files", max_files=100)


def test_overlapping_members_are_refused(refused):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("daisy/one.jpg", b"x" * 1000)
        archive.filelist += [copy.copy(archive.filelist[0]) for _ in range(5)]  # the same bytes again and again
    refused(buffer.getvalue(), "broken")


def test_a_password_is_named(refused):
    content = bytearray(zipped(PHOTOS))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    refused(bytes(content), "password")


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_unusual_methods_are_named(method, refused):
    refused(zipped(PHOTOS, method), "ordinary zip")


def test_a_giant_tar_header_does_not_fill_the_memory(refused):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("daisy/one.jpg")
        info.pax_headers = {"comment": "x" * (8 << 20)}
        archive.addfile(info)
    refused(buffer.getvalue(), "broken")


def test_an_end_record_that_points_before_the_file_is_refused(refused):
    content = bytearray(zipped(PHOTOS))
    at = content.index(b"PK\x05\x06") + 16
    content[at : at + 4] = struct.pack("<L", struct.unpack("<L", content[at : at + 4])[0] + 1000)
    refused(bytes(content), "broken")


@MAKERS
def test_litter_is_left_out(make, put):
    litter = ["__MACOSX/daisy/._one.jpg", "daisy/.DS_Store", "rose/Thumbs.db", "rose/desktop.ini", "daisy/._one.jpg"]
    litter += [".git/config", "daisy/.hidden.jpg"]
    assert put(make([*PHOTOS.items(), *((name, b"litter") for name in litter)])) == PHOTOS


@MAKERS
def test_an_archive_of_nothing_is_refused(make, refused):
    refused(make([]), "no files|broken")
    refused(make([("daisy/.DS_Store", b"litter")]), "no files")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@MAKERS
def test_equal_names_are_numbered(make, put):
    files = [("daisy/a.jpg", b"1"), ("daisy/a.jpg", b"2"), ("daisy/A.JPG", b"3"), ("daisy/a (2).jpg", b"4")]
    held = put(make(files))
    assert sorted(held.values()) == [b"1", b"2", b"3", b"4"]
    assert len({name.casefold() for name in held}) == 4 and {Path(name).suffix.lower() for name in held} == {".jpg"}


@MAKERS
def test_a_name_for_both_a_file_and_a_folder_is_refused(make, refused):
    refused(make([("daisy", b"file"), ("daisy/one.jpg", b"in it")]), "twice")


@MAKERS
def test_decomposed_names_are_composed(make, put):
    assert put(make({"pa\u0302querette/e\u0301.jpg": b"x"})) == {"p\u00e2querette/\u00e9.jpg": b"x"}


def test_utf8_names_without_the_flag_are_read_as_such(put):
    content = zipped({"gänse/blümchen.jpg": b"x"})
    for signature, offset in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        at = content.index(signature) + offset
        content = content[:at] + bytes([content[at] & ~0x08]) + content[at + 1 :]
    assert put(content) == {"gänse/blümchen.jpg": b"x"}


def test_tar_names_that_are_no_unicode_stay_readable(put):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        archive.addfile(tarfile.TarInfo("gänse/x.jpg"), io.BytesIO())
    assert put(buffer.getvalue()) == {"g\ufffdnse/x.jpg": b""}


def named(names: dict[bytes, bytes], extra=lambda raw: b"") -> bytes:
    """A zip as old programs of Windows make it: names in bytes that do not say their encoding."""
    stands = {raw: f"{n}".rjust(len(raw), "q") for n, raw in enumerate(names)}
    entries = []
    for raw, stand in stands.items():
        info = zipfile.ZipInfo(stand)
        info.extra = extra(raw)
        entries.append((info, names[raw]))
    content = zipped(entries)
    for raw, stand in stands.items():
        content = content.replace(stand.encode(), raw)
    return content


@pytest.mark.parametrize(
    ("encoding", "classes"),
    [
        ("gbk", ("雏菊", "玫瑰")),
        ("cp932", ("ひまわり", "バラ")),
        ("cp866", ("роза", "тюльпан")),
        ("cp850", ("Gänseblümchen", "Käse")),
    ],
)
def test_names_that_do_not_say_their_encoding_are_guessed_together(put, encoding, classes):
    files = {f"{name}/{n}.jpg": b"x" for name in classes for n in range(3)}
    assert put(named({name.encode(encoding): content for name, content in files.items()})) == files


def test_a_name_told_once_more_in_unicode_counts(put):
    def told(raw: bytes) -> bytes:
        field = b"\1" + struct.pack("<L", zlib.crc32(raw)) + raw.decode("gbk").encode()
        return struct.pack("<HH", 0x7075, len(field)) + field

    assert put(named({"猫/1.jpg".encode("gbk"): b"x"}, told)) == {"猫/1.jpg": b"x"}


def test_a_unicode_name_of_another_entry_is_not_believed(put):
    field = b"\1" + struct.pack("<L", 12345) + b"../../evil.jpg"
    held = put(named({"роза/1.jpg".encode("cp866"): b"x"}, lambda _: struct.pack("<HH", 0x7075, len(field)) + field))
    assert held == {"роза/1.jpg": b"x"}


def test_backslashes_separate_folders_where_nothing_else_does(put):
    info = zipfile.ZipInfo("q")
    info.filename = "flowers\\rose\\1.jpg"
    folder = zipfile.ZipInfo("q")
    folder.filename = "flowers\\tulip\\"
    assert put(zipped([(info, b"x"), (folder, b"")])) == {"flowers/rose/1.jpg": b"x"}


@MAKERS
@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("A:C units/1.jpg", "A_C units/1.jpg"),
        ('why?/*"1".jpg', "why_/__1_.jpg"),
        ("c:out.jpg", "c_out.jpg"),
        ("rose/\x1b[2J.jpg", "rose/_[2J.jpg"),
        ("rose/" + "玫" * 100 + ".jpg", "rose/" + "玫" * 78 + ".jpg"),
        ("rose/" + "x" * 300, "rose/" + "x" * 240),
    ],
)
def test_one_odd_name_does_not_cost_the_rest(make, put, name, kept):
    assert put(make([("rose/1.jpg", b"1"), (name, b"2")])) == {"rose/1.jpg": b"1", kept: b"2"}


def test_names_that_are_cut_alike_are_numbered(put):
    assert len(put(zipped([("x" * 300 + end, b"1") for end in ("a.jpg", "b.jpg")]))) == 2


# Archives in archives


@pytest.fixture
def put_all(tmp_path):
    """Extract bytes and the archives in them; what the folder then holds."""

    def extract_bytes(content: bytes, **limits) -> dict[str, bytes]:
        archive = tmp_path / "photos.zip"
        archive.write_bytes(content)
        return unpacked(extract_all(archive, tmp_path / "photos", **limits))

    return extract_bytes


def test_archives_inside_are_unpacked_beside_their_names(put_all):
    inner = {"rose-samples.zip": zipped({"1.jpg": b"1"}), "deep/tulip.tar.gz": tarred({"a/2.jpg": b"2"}), "x.jpg": b"3"}
    assert put_all(zipped(inner)) == {"rose/1.jpg": b"1", "deep/tulip/a/2.jpg": b"2", "x.jpg": b"3"}


def test_an_archive_inside_takes_no_folders_place(put_all):
    assert put_all(zipped({"rose/1.jpg": b"1", "rose.zip": zipped({"2.jpg": b"2"})})) == {
        "rose/1.jpg": b"1",
        "rose (2)/2.jpg": b"2",
    }


def test_archives_are_unpacked_no_deeper(put_all):
    innermost = zipped({"1.jpg": b"1"})
    assert put_all(zipped({"a.zip": zipped({"b.zip": innermost})})) == {"a/b.zip": innermost}


@pytest.mark.parametrize("places", [["roses.zip"], ["deep/er/roses.zip"], ["roses.zip", "README.txt", "a/roses.zip"]])
def test_a_broken_archive_inside_is_named_where_there_is_no_photo_besides(put_all, places):
    with pytest.raises(DataError, match=r"roses\.zip is broken"):
        put_all(zipped(dict.fromkeys(places, b"PK\x03\x04 no")))


def test_a_broken_archive_inside_costs_the_others_nothing(put_all):
    broken = b"PK\x03\x04 no"
    inside = {"roses.zip": broken, "tulips.zip": zipped({"1.jpg": b"1"}), "x.jpg": b"3"}
    assert put_all(zipped(inside)) == {"roses.zip": broken, "tulips/1.jpg": b"1", "x.jpg": b"3"}


def test_all_together_keep_within_the_limits(put_all):
    files = {f"{n}.zip": zipped({f"{m}.jpg": os.urandom(100_000) for m in range(3)}) for n in range(4)}
    with pytest.raises(DataError, match=r"holds more than \d files"):
        put_all(zipped(files), max_files=12)
    with pytest.raises(DataError, match="unpacks to more than"):
        put_all(zipped(files), max_bytes=2_000_000)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x1f\x8b", b"\xff\xd8 a photo", bytes(2000)])
def test_what_is_no_archive_is_refused(content, refused):
    refused(content, "broken|no files")


@MAKERS
def test_wherever_it_is_cut_an_archive_is_refused(make, refused):
    content = make(PHOTOS)
    for length in range(0, len(content) - 30, 97):  # the very end of a tar.gz is padding
        refused(content[:length], "broken|no files")


def test_a_changed_byte_is_noticed(refused):
    content = bytearray(zipped(PHOTOS))
    content[content.index(b"daisy/two.jpg") + 1000] ^= 1
    refused(bytes(content), "broken")


def test_a_missing_archive_is_a_sentence(tmp_path):
    with pytest.raises(DataError, match="no archive"):
        extract(tmp_path / "nothing.zip", tmp_path / "photos")
    with pytest.raises(DataError, match="cannot be read"):
        extract(tmp_path, tmp_path / "photos")


def test_a_failure_leaves_the_folder_that_was_there(put, tmp_path):
    put(zipped(PHOTOS))
    with pytest.raises(DataError):
        put(zipped({"../out.jpg": b"x"}))
    assert unpacked(tmp_path / "room" / "photos") == PHOTOS
