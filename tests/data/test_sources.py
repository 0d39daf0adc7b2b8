"""Photo sets from wherever they come: folders, zips, names, and flowers5 put together by hash from a local server."""

import contextlib
import functools
import hashlib
import io
import os
import tarfile
import tempfile
import threading
import zipfile
from collections import Counter
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from flowers.data import download, garden, manifest, sources
from flowers.data.dataset import scan
from flowers.data.decode import decode_image
from flowers.data.fingerprint import NEAR_BITS, fingerprint
from flowers.data.manifest import Entry
from flowers.data.sources import Origin, available, default_source, fetch, resolve
from flowers.errors import DataError, FlowersError, UsageError
from flowers.paths import cache_dir


def picture(seed: int, form: str = "PNG") -> bytes:
    """A photo that looks like no other."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((160, 120), Image.Resampling.BICUBIC).save(file, form)
    return file.getvalue()


# A small flowers5, in which one photo stands under two labels and one stands twice under one, as in the real one.
BOTH, TWICE = b"\xff\xd8 neither rose nor tulip", b"\xff\xd8 a sunflower"
PHOTOS = {
    ("daisy", "1.jpg"): b"\xff\xd8 a daisy",
    ("rose", "2.jpg"): BOTH,
    ("tulip", "2.jpg"): BOTH,
    ("sunflower", "3.jpg"): TWICE,
    ("sunflower", "4.jpg"): TWICE,
}
WIDE = (  # one of its photos, and two known by their looks
    Entry("daisy", "1.jpg", len(PHOTOS["daisy", "1.jpg"]), hashlib.sha256(PHOTOS["daisy", "1.jpg"]).hexdigest()),
    Entry("dandelion", "yellow.jpg", fingerprint=fingerprint(decode_image(picture(0))), kind="yellow", held_back=True),
    Entry("daisy", "white.jpg", fingerprint=fingerprint(decode_image(picture(1)))),
)
MORE = PHOTOS | {("daisy", "more.jpg"): b"not in the set", ("orchid", "5.jpg"): b"nor is this"}
ELSEWHERE = {
    "flower_photos/LICENSE.txt": b"-",
    "flower_photos/daisy/1.jpg": b"\xff\xd8 another daisy",
    "flower_photos/daisy/99.jpg": PHOTOS["daisy", "1.jpg"],
    "flower_photos/roses/99.jpg": BOTH,
    "flower_photos/sunflowers/99.jpg": TWICE,
}


@pytest.fixture(autouse=True)
def nothing_at_hand(monkeypatch, tmp_path):
    """An empty cache, no FLOWERS_DATA, no Kaggle, a TensorFlow that is not there, and a flowers5 of five photos."""
    monkeypatch.setenv("FLOWERS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FLOWERS_DATA", raising=False)
    monkeypatch.delenv("FLOWERS_EXTRA", raising=False)
    monkeypatch.chdir(tmp_path)
    rows = [(*key, len(content), hashlib.sha256(content).hexdigest()) for key, content in PHOTOS.items()]
    manifests = {"flowers5": tuple(Entry(*row) for row in rows), "flowers5-wide": WIDE, "flowers5-everyday": ()}
    monkeypatch.setattr(manifest, "manifest", manifests.get)
    monkeypatch.setattr(sources, "ORIGINS", (Origin("TensorFlow", sources._tensorflow),))
    monkeypatch.setattr(sources, "TENSORFLOW_URL", "http://127.0.0.1:1/flower_photos.tgz")
    monkeypatch.setattr(download, "BACKOFF", 0)


def fill(folder: Path, photos: dict = PHOTOS) -> Path:
    for (label, name), content in photos.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        (folder / label / name).write_bytes(content)
    return folder


def held(folder: Path) -> dict:
    return {(path.parent.name, path.name): path.read_bytes() for path in folder.glob("*/*")}


def zip_of(path: Path, photos: dict = PHOTOS, top: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for (label, name), content in photos.items():
            archive.writestr(f"{top}{label}/{name}", content)
    return path


@pytest.fixture
def tensorflow(monkeypatch, tmp_path):
    """Serve these files as TensorFlow's archive; the list of requests that came."""

    @contextlib.contextmanager
    def serving(files: dict):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        served = tmp_path / "served"
        served.mkdir(exist_ok=True)
        (served / "flower_photos.tgz").write_bytes(buffer.getvalue())
        asked = []

        class Handler(SimpleHTTPRequestHandler):
            def log_request(self, *_):
                asked.append(self.path)

        with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(served))) as server:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            monkeypatch.setattr(sources, "TENSORFLOW_URL", f"http://127.0.0.1:{server.server_port}/flower_photos.tgz")
            monkeypatch.setattr(sources, "TENSORFLOW_BYTES", len(buffer.getvalue()))
            monkeypatch.setattr(sources, "TENSORFLOW_SHA256", hashlib.sha256(buffer.getvalue()).hexdigest())
            yield asked
            server.shutdown()

    return serving


def assert_sentence(error: BaseException, *words: str) -> None:
    text = str(error)
    assert text.endswith(".") and "\n" not in text
    for word in words:
        assert word in text


# Folders, zips and names


def test_a_folder_of_class_folders_is_itself(tmp_path):
    folder = fill(tmp_path / "mine")
    assert resolve(folder) == resolve(str(folder)) == resolve("mine") == folder


def test_a_folder_around_the_folder_is_stepped_into(tmp_path):
    inner = fill(tmp_path / "outer" / "middle" / "mine")
    (tmp_path / "outer" / "README.txt").write_text("about")
    (tmp_path / "outer" / ".git").mkdir()
    (tmp_path / "outer" / "__MACOSX").mkdir()
    assert resolve(tmp_path / "outer") == inner


def test_a_single_class_folder_is_not_stepped_into(tmp_path):
    folder = fill(tmp_path / "mine", {("daisy", "1.jpg"): b"x"})
    assert resolve(folder) == folder


def test_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = fill(tmp_path / "mine")
    assert resolve("~/mine/") == folder


@pytest.mark.parametrize("top", ["", "mine/"])
def test_a_zip_is_unpacked_once_into_the_cache(tmp_path, monkeypatch, top):
    archive = zip_of(tmp_path / "mine.zip", top=top)
    folder = resolve(archive)
    assert held(folder) == PHOTOS
    assert (tmp_path / "cache") in folder.parents
    monkeypatch.setattr(sources, "extract", lambda *_, **__: pytest.fail("it is unpacked already"))
    assert resolve(str(archive.rename(tmp_path / "renamed.zip"))) == folder


@pytest.mark.parametrize("top", ["", "inner/", "outer/inner/"])
@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("My roses.zip", "My roses"),
        ("gänse.v2.tar.gz", "gänse.v2"),
        ("no ending", "no ending"),
        ("__MACOSX.zip", "__MACOSX"),
        ("..zip", "zip"),
        (".unpacked.zip", "unpacked"),
        ("a:b?\n<c>.zip", "a b c"),
        (f"{'x' * 200}.zip", "x" * 40),
    ],
)
def test_the_folder_is_called_as_the_zip(tmp_path, name, title, top):
    folder = sources.unpack(zip_of(tmp_path / name, top=top))
    assert folder.name == title
    assert held(folder) == PHOTOS
    assert folder.parent.parent == tmp_path / "cache" / sources.UNPACKED
    assert list(folder.parent.iterdir()) == [folder]
    assert resolve(str(folder)) == folder


@given(st.text(max_size=300))
def test_whatever_an_archive_is_called_its_folder_can_be_made(name):
    title = sources._title(name)
    assert 1 <= len(title) <= 40
    assert len(os.fsencode(title)) <= 160
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / title).mkdir()
        assert [path.name for path in Path(folder).glob("[!.]*")] == [title]


def test_a_changed_zip_is_another_set(tmp_path):
    first = resolve(zip_of(tmp_path / "mine.zip"))
    second = resolve(zip_of(tmp_path / "mine.zip", {("daisy", "1.jpg"): b"new"}))
    assert first != second and held(second) == {("daisy", "1.jpg"): b"new"}


def test_an_unknown_name_lists_the_known_ones():
    for ask in (resolve, fetch, available):
        with pytest.raises(UsageError) as failure:
            ask("roses")
        assert_sentence(failure.value, "'roses'", "flowers5", "garden")


@pytest.mark.parametrize("path", ["no/such/folder", "./nothing", "photos.zip", Path("no/where")])
def test_a_missing_path_is_a_sentence(path, monkeypatch):
    with pytest.raises(FlowersError) as failure:
        resolve(path)
    assert_sentence(failure.value, Path(path).name)
    monkeypatch.setenv("FLOWERS_DATA", str(path))
    with pytest.raises(FlowersError) as failure:
        resolve()
    assert_sentence(failure.value, Path(path).name, "FLOWERS_DATA")


def test_a_file_that_is_no_archive_is_a_sentence(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(DataError) as failure:
        resolve("photo.jpg")
    assert_sentence(failure.value, "photo.jpg")


def test_a_name_beyond_what_the_system_takes_is_a_sentence():
    with pytest.raises(DataError) as failure:
        resolve("x" * 5000)
    assert_sentence(failure.value)


def test_a_known_name_wins_over_a_folder_of_that_name(tmp_path):
    beside = fill(tmp_path / "flowers5")
    with pytest.raises(DataError, match="could not be downloaded"):
        resolve("flowers5")
    assert resolve("./flowers5") == resolve(Path("flowers5")) == beside


# The default and the garden


def test_the_default_is_the_environments_then_flowers5_then_the_garden(tmp_path, monkeypatch):
    assert default_source() == "garden"
    fill(tmp_path / "cache" / "flowers5")
    assert default_source() == "flowers5"
    monkeypatch.setenv("FLOWERS_DATA", "")
    assert default_source() == "flowers5"
    monkeypatch.setenv("FLOWERS_DATA", str(fill(tmp_path / "mine")))
    assert default_source() == str(tmp_path / "mine")
    assert resolve() == tmp_path / "mine"


def test_the_garden_is_painted_once(monkeypatch):
    monkeypatch.setattr(sources, "GARDEN_PER_CLASS", 1)
    seen = []
    assert available("garden")
    folder = resolve("garden", progress=lambda *now: seen.append(now))
    assert Counter(label for label, _ in held(folder)) == Counter(garden.CLASSES)
    assert seen[-1] == (5, 5)
    monkeypatch.setattr(sources, "module", lambda *_: pytest.fail("it is painted already"))
    assert resolve("garden") == fetch("garden").folder == resolve() == folder


def test_a_garden_that_is_given_up_is_painted_no_further(monkeypatch, tmp_path):
    """The painter is a process of its own: it hears that nobody listens any more."""
    monkeypatch.setattr(sources, "GARDEN_PER_CLASS", 1000)

    def give_up(done, total):
        raise UsageError("That is enough.")

    with pytest.raises(UsageError, match="enough"):
        resolve("garden", progress=give_up)
    assert [path.name for path in cache_dir().iterdir() if path.is_dir()] == []


def test_a_garden_that_cannot_be_written_is_one_sentence(monkeypatch):
    monkeypatch.setattr(sources, "GARDEN_FOLDER", "garden.lock/garden")  # in what is a file
    with pytest.raises(DataError, match=r"^The garden cannot be written to .*choose another folder\.$"):
        resolve("garden")


def test_the_known_sets_tell_the_truth():
    assert set(sources.KNOWN) == {"flowers5", "flowers5-wide", "flowers5-everyday", "garden"}
    assert sources.KNOWN["garden"].classes == garden.CLASSES
    assert all(name == known.name and known.description.endswith(".") for name, known in sources.KNOWN.items())


# flowers5


def test_flowers5_is_put_together_by_hash_from_the_download(tensorflow, tmp_path):
    seen = []
    assert not available("flowers5")
    with tensorflow(ELSEWHERE) as asked:
        fetched = fetch("flowers5", progress=lambda *now: seen.append(now))
    assert (fetched.found, fetched.expected, fetched.origins) == (5, 5, ("TensorFlow",))
    assert held(fetched.folder) == PHOTOS, "under the manifest's names, duplicates under all of theirs, others left out"
    assert seen[-1] == (sources.TENSORFLOW_BYTES, sources.TENSORFLOW_BYTES)
    assert asked == ["/flower_photos.tgz"]
    assert available("flowers5") and resolve("flowers5") == fetched.folder
    assert fetch("flowers5") == fetched._replace(origins=("the cache",))
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == [fetched.folder], "no leftovers"


def test_a_part_is_kept_said_and_completed_later(tensorflow):
    part = {name: content for name, content in ELSEWHERE.items() if content != TWICE}
    with tensorflow(part) as asked:
        fetched = fetch("flowers5")
        assert (fetched.found, fetched.expected) == (3, 5)
        assert len(held(fetched.folder)) == 3
        assert not available("flowers5") and default_source() == "garden"
        assert resolve("flowers5") == fetched.folder, "rather three photos than none"
    assert asked == ["/flower_photos.tgz"], "the archive is kept while it may be needed"
    with tensorflow({"sunflowers/3.jpg": TWICE}):
        fetched = fetch("flowers5")
    assert fetched.found == 5 and fetched.origins == ("the cache", "TensorFlow")
    assert held(fetched.folder) == PHOTOS


def test_nearly_all_is_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "ENOUGH", 0.8)
    fill(tmp_path / "cache" / "flowers5", dict(list(PHOTOS.items())[:4]))
    assert available("flowers5") and fetch("flowers5").found == 4


def test_the_environments_folder_is_used_in_place(tmp_path, monkeypatch):
    folder = fill(tmp_path / "around" / "mine")
    (folder / "daisy" / ".DS_Store").write_bytes(b"litter")
    monkeypatch.setenv("FLOWERS_DATA", str(tmp_path / "around"))
    assert available("flowers5") and resolve("flowers5") == folder
    assert fetch("flowers5") == (folder, 5, 5, ("FLOWERS_DATA",))
    assert not (tmp_path / "cache" / "flowers5").exists()


@pytest.mark.parametrize("pack", [lambda root: fill(root / "more", MORE), lambda root: zip_of(root / "more.zip", MORE)])
def test_a_larger_set_in_the_environment_is_picked_from(tmp_path, monkeypatch, pack):
    monkeypatch.setenv("FLOWERS_DATA", str(pack(tmp_path)))
    assert not available("flowers5")
    fetched = fetch("flowers5")
    assert fetched == (tmp_path / "cache" / "flowers5", 5, 5, ("FLOWERS_DATA",))
    assert held(fetched.folder) == PHOTOS


def test_photos_of_the_right_name_and_size_but_another_content_are_not_taken(tmp_path, monkeypatch):
    forged = {key: bytes(len(content)) for key, content in PHOTOS.items()}
    monkeypatch.setenv("FLOWERS_DATA", str(fill(tmp_path / "forged", forged)))
    with pytest.raises(DataError, match="FLOWERS_DATA: none of its photos"):
        fetch("flowers5")


def test_kaggle_comes_first_and_its_failure_is_no_end(tensorflow, tmp_path, monkeypatch):
    kagglehub = pytest.importorskip("kagglehub")
    monkeypatch.setattr(sources, "ORIGINS", (Origin("Kaggle", sources._kaggle), *sources.ORIGINS))
    asked = []

    def dataset_download(handle):
        asked.append(handle)
        if len(asked) == 1:
            raise ConnectionError("swallowed by the network")
        return str(fill(tmp_path / "kaggle" / "flowers"))

    monkeypatch.setattr(kagglehub, "dataset_download", dataset_download)
    with tensorflow({"daisy/1.jpg": PHOTOS["daisy", "1.jpg"]}):
        assert fetch("flowers5")[1:] == (1, 5, ("TensorFlow",))
        assert fetch("flowers5")[1:] == (5, 5, ("the cache", "Kaggle"))
    assert asked == [sources.KAGGLE_DATASET] * 2


def test_kagglehub_is_not_waited_for_without_end(monkeypatch):
    requests = pytest.importorskip("requests")
    timeouts = []
    monkeypatch.setattr(requests.Session, "send", lambda *_, **options: timeouts.append(options["timeout"]))
    mocked = requests.Session.send
    with sources._requests_time_out():
        requests.Session().send(None, timeout=None)
        requests.Session().send(None)
        requests.Session().send(None, timeout=3)
    assert timeouts == [sources.TIMEOUTS, sources.TIMEOUTS, 3]
    assert requests.Session.send is mocked


def test_offline_is_one_sentence_with_the_ways_on(tmp_path):
    for ask in (fetch, resolve):
        with pytest.raises(DataError) as failure:
            ask("flowers5")
        assert_sentence(failure.value, "TensorFlow", "cannot be reached", "FLOWERS_DATA", "--data garden", "zip")
    assert not (tmp_path / "cache" / "flowers5").exists()


def test_a_tampered_download_is_refused(tensorflow, monkeypatch):
    with tensorflow(ELSEWHERE):
        monkeypatch.setattr(sources, "TENSORFLOW_SHA256", "0" * 64)
        with pytest.raises(DataError, match="not the expected file"):
            fetch("flowers5")
    assert not available("flowers5")


def test_two_at_once_download_once(tensorflow):
    results = []
    with tensorflow(ELSEWHERE) as asked:
        threads = [threading.Thread(target=lambda: results.append(fetch("flowers5"))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert asked == ["/flower_photos.tgz"]
    assert sorted(fetched.origins for fetched in results) == [("TensorFlow",), ("the cache",), ("the cache",)]


# The sets around flowers5


def test_a_set_is_put_together_from_the_reports_photos_and_further_ones(tmp_path, monkeypatch):
    reports = dict(list(PHOTOS.items())[:1])
    further = {("sunflower", "yellow.jpg"): picture(0, "PNG"), ("daisy", "white.jpg"): picture(1, "BMP")}
    monkeypatch.setenv("FLOWERS_DATA", str(fill(tmp_path / "reports", reports)))
    monkeypatch.setenv("FLOWERS_EXTRA", str(fill(tmp_path / "further", further)))
    assert not available("flowers5-wide")
    fetched = fetch("flowers5-wide")
    assert (fetched.found, fetched.expected, fetched.origins) == (3, 3, ("FLOWERS_DATA", "FLOWERS_EXTRA"))
    assert (fetched.folder / "held-back.txt").read_text() == "dandelion/yellow.jpg\n"
    assert held(fetched.folder) == reports | {
        ("dandelion", "yellow.jpg"): further["sunflower", "yellow.jpg"],
        ("daisy", "white.jpg"): further["daisy", "white.jpg"],
    }, "under the manifest's labels, not under those they were found with"
    assert available("flowers5-wide") and resolve("flowers5-wide") == fetched.folder
    assert fetch("flowers5-wide") == fetched._replace(origins=("the cache",))


def test_a_further_photo_that_does_not_look_like_it_is_not_taken(tmp_path, monkeypatch):
    forged = {("dandelion", "yellow.jpg"): picture(2), ("daisy", "white.jpg"): b"no picture"}
    monkeypatch.setenv("FLOWERS_EXTRA", str(fill(tmp_path / "further", forged)))
    with pytest.raises(DataError, match=r"flowers5-wide is not on this machine.*FLOWERS_EXTRA: none of its photos"):
        fetch("flowers5-wide")


# The real photos


@pytest.fixture
def shipped(monkeypatch, tmp_path):
    monkeypatch.undo()  # the small sets, and FLOWERS_DATA where it is set
    monkeypatch.setenv("FLOWERS_CACHE", str(tmp_path / "cache"))


@pytest.mark.skipif(not os.environ.get("FLOWERS_DATA"), reason="needs the real photos: set FLOWERS_DATA")
def test_the_real_photos_are_used_in_place(shipped):
    if not available("flowers5"):
        pytest.skip("FLOWERS_DATA holds another set")
    folder = Path(os.environ["FLOWERS_DATA"]).resolve()
    assert resolve("flowers5") == resolve() == folder
    assert fetch("flowers5") == (folder, 2848, 2848, ("FLOWERS_DATA",))


@pytest.mark.thorough
@pytest.mark.skipif(not os.environ.get("FLOWERS_EXTRA"), reason="needs the further photos: set FLOWERS_EXTRA")
def test_the_wide_set_learns_from_nothing_that_is_held_back(shipped):
    report, wide, everyday = (scan(resolve(name)) for name in ("flowers5", "flowers5-wide", "flowers5-everyday"))
    assert (len(wide), len(everyday)) == (3239, 220)
    split = wide.split(seed=1, val_fraction=0.5)
    held_back = [wide.photos[i] for i in split.val]
    assert [photo.path for photo in held_back] == [report.photos[i].path for i in report.split(seed=0).val]
    unseen = [photo.fingerprint for photo in (*held_back, *everyday.photos)]
    codes = np.array([[int(half, 16) for half in (f[:16], f[16:])] for f in unseen], dtype=np.uint64)
    for photo in (wide.photos[i] for i in split.train):
        code = np.array([int(photo.fingerprint[:16], 16), int(photo.fingerprint[16:], 16)], dtype=np.uint64)
        assert np.bitwise_count(codes ^ code).sum(1).min() > NEAR_BITS, photo.path
