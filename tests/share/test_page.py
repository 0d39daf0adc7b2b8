"""A page to take along: its files are whole and its own, its network answers as Python does, nothing is lost."""

import errno
import io
import json
import re
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pillow_heif
import pytest
from onnx import numpy_helper
from PIL import Image

from flowers.classifier import Classifier
from flowers.errors import ShareError
from flowers.models.calibration import UNFAMILIAR
from flowers.share import page, page_check, runtime
from flowers.share.runtime import FILES, VERSION, fetch_runtime
from flowers.studio import words as studio_words
from flowers.studio.language import texts

SOURCES = page.FILES


@pytest.fixture(autouse=True)
def no_browser(monkeypatch):
    """Chromium is asked in tests/browser/test_taken_page.py."""
    monkeypatch.setattr(page, "ask_in_chromium", lambda *_: None)


@pytest.fixture(scope="module")
def written(whole, ort_web, tmp_path_factory):
    """The folder of a page, and what is said of it; not to be changed."""
    folder = tmp_path_factory.mktemp("page") / "mine"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOWERS_ORT_WEB", str(ort_web))
        patch.setattr(page, "ask_in_chromium", lambda *_: None)
        return folder, page.write_page(whole, folder)


@pytest.fixture
def quick(monkeypatch, written):
    """A page is written from the network of ``written``, which takes no time."""
    folder, _ = written

    def copied(_checkpoint, _classifier, _photos, file):
        shutil.copyfile(folder / page.NETWORK, file)
        return True, [0.5, 0.3, 0.2]

    monkeypatch.setattr(page, "_write_network", copied)
    monkeypatch.setattr(page, "PHOTOS", 2)
    monkeypatch.setenv("FLOWERS_ORT_WEB", str(folder / "ort"))


def module_of(text: str):
    """What a JavaScript file exports that is nothing but JSON."""
    return json.loads(re.sub(r"^//.*\n", "", text, flags=re.MULTILINE).removeprefix("export default ").rstrip(";\n"))


# The files


def test_every_file_that_is_named_is_there_and_kept_for_offline_use(written):
    folder, _ = written
    there = {path.relative_to(folder).as_posix() for path in page.files_of(folder)}
    offline = (folder / "offline.js").read_text()
    kept = set(json.loads(re.search(r"FILES = (\[.*?\]);", offline, re.DOTALL)[1]))
    assert there == kept | {"offline.js", "README.md", "ort/LICENSE"}
    named = set(re.findall(r'(?:src|href)="([^"#:]+)"', (folder / "index.html").read_text()))
    for script in folder.glob("*.js"):
        named |= set(re.findall(r'from "\./([^"]+)"', script.read_text()))
    assert {"page.js", "facts.js", "icon.svg", "manifest.webmanifest"} <= named <= there
    assert "{{" not in offline


def test_the_page_may_reach_nothing_but_its_own_files(written):
    folder, _ = written
    html = (folder / "index.html").read_text()
    policy = dict(part.split(" ", 1) for part in re.search(r'Policy" content="([^"]+)"', html)[1].split("; "))
    assert policy["default-src"] == "'none'"
    assert set(" ".join(policy.values()).split()) == {"'none'", "'self'", "blob:", "'wasm-unsafe-eval'"}
    assert "blob:" not in policy["script-src"] + policy["connect-src"]
    for path in folder.glob("*.*"):
        if path.suffix in (".html", ".js", ".css", ".svg", ".webmanifest"):
            elsewhere = re.findall(r"\bhttps?://[\w.:-]+", path.read_text())
            own = {"http://localhost:8000", "http://www.w3.org"}
            assert set(elsewhere) <= own, path
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=", html), "which the policy would stop"


def test_what_strangers_named_is_text(written, whole):
    folder, _ = written
    html = (folder / "index.html").read_text()
    assert "<b>daisy</b>" in whole.classes
    assert "<b>daisy</b>" not in html
    assert "&lt;b&gt;daisy&lt;/b&gt;" in html
    assert module_of((folder / "facts.js").read_text())["classes"] == list(whole.classes)


def test_a_card_runs_and_loads_nothing():
    card = (
        "# A\n<script>alert(1)</script> [x](javascript:alert(1)) ![y](http://x.example/y.png)\n\n"
        "[there](https://there.example/a) [beside](../benchmarks/a.md) [mail](mailto:a@b.example)\n\n"
        "| a | b |\n| --- | --: |\n| 1 | 2 |\n"
    )
    html = page.as_html(card)
    assert "<script" not in html and "<img" not in html and "style=" not in html
    assert re.findall(r'href="(https[^"]+)"', html) == ["https://there.example/a"]
    assert re.findall(r'(?:src|href)="(?!http)', html) == []
    assert 'rel="noopener noreferrer"' in html
    assert "beside mail" in html
    assert '<td class="number">2</td>' in html
    assert "<h2>A</h2>" in html, "for the page has a heading above it"


def test_the_page_says_what_python_says(written, whole):
    folder, made = written
    facts = module_of((folder / "facts.js").read_text())
    assert (facts["size"], facts["resize"], facts["unfamiliar_below"]) == (64, 72, UNFAMILIAR)
    assert facts["accuracy"] == whole.accuracy
    session = onnxruntime.InferenceSession(folder / page.NETWORK)
    confidences = session.run(["confidences"], {"pixels": page.pattern(64)[None]})[0][0]
    np.testing.assert_allclose(facts["known"], confidences, atol=1e-5)
    sizes = [folder / page.NETWORK, folder / "ort" / "ort-wasm-simd.wasm"]
    assert facts["bytes"] == sum(path.stat().st_size for path in sizes)
    assert made.photos == made.agreed == page.PHOTOS
    assert not made.browser
    assert made.difference <= page.HALF_TOLERANCE
    assert made.size == sum(path.stat().st_size for path in page.files_of(folder)) - runtime.SIZE


def test_another_checkpoint_is_another_version(whole, quick, tmp_path):
    versions = []
    for name, checkpoint in (("one", whole), ("same", whole), ("other", replace(whole, metrics={"val_accuracy": 0.5}))):
        page.write_page(checkpoint, tmp_path / name)
        versions.append(module_of((tmp_path / name / "facts.js").read_text())["version"])
        assert versions[-1] in (tmp_path / name / "offline.js").read_text()
    assert versions[0] == versions[1] != versions[2]


# The words


@pytest.fixture(scope="module")
def spoken():
    return module_of((SOURCES / "words.js").read_text(encoding="utf-8"))


def test_every_word_is_there_in_both_languages_and_takes_the_same_values(spoken):
    english, chinese = spoken["en"], spoken["zh-CN"]
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", chinese[key])), key


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_answers_are_said_in_the_studios_words(spoken, language):
    shared = [key for key in spoken[language] if key.startswith(("words.", "number."))]
    assert len(shared) == 22
    for key in [*shared, "confident", "unlike"]:
        assert spoken[language][key] == texts(language)[f"classify.{key}"], key


def test_the_page_is_as_sure_as_the_studio():
    script = (SOURCES / "page.js").read_text()
    for name in ("CERTAIN", "SURE", "PROBABLE", "MENTIONED"):
        assert float(re.search(rf"\b{name} = ([\d.]+)", script)[1]) == getattr(studio_words, name)


def test_every_word_that_is_used_is_there_and_every_one_is_used(spoken):
    scripts = "".join(path.read_text(encoding="utf-8") for path in SOURCES.glob("*.js") if path.name != "words.js")
    html = (SOURCES / "index.html").read_text(encoding="utf-8")
    used = set(re.findall(r'data-(?:say|label|alt)="([\w.]+)"', html))
    used |= set(re.findall(r'\bsay\("([\w.]+)"', scripts))
    used |= {f"problem.{key}" for key in re.findall(r'new Problem\("(\w+)"', scripts)}
    assert used <= set(spoken["en"])
    put_together = {key for key in spoken["en"] if key.startswith(("words.", "number."))}
    quoted = {key for key in spoken["en"] if re.search(rf'"(?:problem\.)?{key.removeprefix("problem.")}"', scripts)}
    assert set(spoken["en"]) == used | put_together | quoted


def test_the_words_in_the_html_are_those_of_the_page(spoken):
    html = (SOURCES / "index.html").read_text(encoding="utf-8")
    for key, text in re.findall(r'data-say="([\w.]+)"[^>]*>([^<]+)<', html):
        assert text == spoken["en"][key]


# Half precision


def weights_of(file):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer}


def test_large_weights_are_halved_and_the_answers_stay(written, whole, tmp_path):
    folder, made = written
    assert made.half
    halved = weights_of(folder / page.NETWORK)
    large = {name: values for name, values in halved.items() if values.size >= page.LEAST_HALVED}
    assert large and all(values.dtype == np.float16 for values in large.values())
    assert all(values.dtype != np.float16 for name, values in halved.items() if name not in large)


def test_weights_that_half_precision_cannot_hold_stay_whole(written, whole, tmp_path, monkeypatch):
    folder, _ = written
    classifier, photos = Classifier(whole, engine="eager"), [page._painted(0)]

    def exported(_checkpoint, file):
        """The network of before, of which the first weights are too large, and made small again."""
        model = onnx.load(folder / page.NETWORK)
        first = next(tensor for tensor in model.graph.initializer if tensor.name.endswith(".half"))
        values = numpy_helper.to_array(first).astype(np.float32) * 1e6
        cast = next(node for node in model.graph.node if node.input[:] == [first.name])
        cast.op_type, cast.input[:] = "Mul", [first.name, "small"]
        del cast.attribute[:]
        first.CopyFrom(numpy_helper.from_array(values, first.name))
        model.graph.initializer.append(numpy_helper.from_array(np.float32(1e-6), "small"))
        onnx.save(model, file)

    monkeypatch.setattr(page, "export_onnx", exported)
    half, known = page._write_network(whole, classifier, photos, tmp_path / "network.onnx")
    assert not half
    assert [path.name for path in tmp_path.iterdir()] == ["network.onnx"]
    assert max(values.max() for values in weights_of(tmp_path / "network.onnx").values()) > 65_504
    assert np.isfinite(known).all() and sum(known) == pytest.approx(1)


# Where it is written


def test_a_zip_holds_the_folder(whole, quick, tmp_path):
    page.write_page(whole, tmp_path / "mine.zip")
    page.write_page(whole, tmp_path / "mine")
    with zipfile.ZipFile(tmp_path / "mine.zip") as archive:
        assert archive.testzip() is None
        packed = {name: archive.read(name) for name in archive.namelist()}
    folder = tmp_path / "mine"
    assert packed == {f"{whole.name}/{p.relative_to(folder).as_posix()}": p.read_bytes() for p in page.files_of(folder)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "mine.zip"]


def test_a_folder_that_is_there_is_left_alone(whole, quick, tmp_path):
    (tmp_path / "empty").mkdir()
    page.write_page(whole, tmp_path / "empty")
    assert (tmp_path / "empty" / "index.html").is_file()
    (tmp_path / "empty" / "CNAME").write_text("mine.example")
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder.zip").mkdir()
    for name in ("empty", "file", "folder.zip"):
        with pytest.raises(ShareError, match=r"is there already: choose another name for the page"):
            page.write_page(whole, tmp_path / name)
    assert (tmp_path / "empty" / "CNAME").read_text() == "mine.example"
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("name", ["mine", "mine.zip"])
def test_a_full_disk_leaves_nothing_behind(whole, quick, tmp_path, monkeypatch, name):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(page, "_write_files", full)
    with pytest.raises(ShareError, match=r"could not be written \(No space left on device\): free some disk space"):
        page.write_page(whole, tmp_path / name)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ShareError, match=r"\(No such file or directory\)"):
        page.write_page(whole, tmp_path / "nowhere" / name)


def test_a_network_that_cannot_be_exported_leaves_nothing_behind(whole, ort_web, tmp_path, monkeypatch):
    def fails(*_):
        raise ShareError("mine could not be written as ONNX (no such operator): try another version of onnxscript.")

    monkeypatch.setenv("FLOWERS_ORT_WEB", str(ort_web))
    monkeypatch.setattr(page, "export_onnx", fails)
    with pytest.raises(ShareError, match="could not be written as ONNX"):
        page.write_page(whole, tmp_path / "mine")
    assert not list(tmp_path.iterdir())


def test_a_page_with_other_answers_is_thrown_away(whole, quick, tmp_path, monkeypatch):
    right = page._ask_here

    def wrong(*arguments):
        return [[share + 0.04 * (n == 0) for n, share in enumerate(row)] for row in right(*arguments)]

    monkeypatch.setattr(page, "_ask_here", wrong)
    with pytest.raises(ShareError, match=r"was thrown away: its answers differ from Python's by up to 0\.04"):
        page.write_page(whole, tmp_path / "mine")
    monkeypatch.setattr(page, "_ask_here", lambda *arguments: [[float("nan")] * 3 for _ in right(*arguments)])
    with pytest.raises(ShareError, match="was thrown away"):
        page.write_page(whole, tmp_path / "mine")
    assert not list(tmp_path.iterdir())


def test_a_process_of_its_own_says_what_was_made_or_why_not(whole, written, tmp_path, monkeypatch, capsys):
    _, made = written

    def run(args, **_):
        monkeypatch.setattr(page, "give_way", lambda niceness: None)
        page.main(args[3:])
        return type("Done", (), {"stdout": capsys.readouterr().out})

    monkeypatch.setattr(page.subprocess, "run", run)
    monkeypatch.setattr(page, "write_page", lambda checkpoint, target: made)
    assert page.write_page_apart(whole, tmp_path / "x") == made
    (tmp_path / "x").write_text("there")
    monkeypatch.setattr(page, "write_page", lambda checkpoint, target: page.check_target(target))
    with pytest.raises(ShareError, match="is there already"):
        page.write_page_apart(whole, tmp_path / "x")


def test_what_was_compared_is_told():
    made = page.Made(1, True, 10, False, True, 10, 0.0042)
    assert made.sentence() == (
        "Its weights are in half precision. On 10 photos it gave Python's label 10 times, and no confidence differs by "
        "more than 0.4 percentage points: compared in Chromium."
    )
    here = replace(made, browser=False, painted=True, half=False, difference=0.0)
    assert "in full precision. On 10 painted flowers" in here.sentence()
    assert here.sentence().endswith("No browser was asked, for none is here with the package playwright.")
    assert here.points == "0"
    assert replace(made, difference=0.25).points == "25"


def test_photos_of_the_run_are_asked_about(whole, garden, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(page, "PHOTOS", 2)
        photos, painted = page.sample_photos(whole)
    assert painted and len(photos) == 2  # the run's photos are gone, and there are no others here
    monkeypatch.setattr(page, "_source", lambda _: str(garden))
    photos, painted = page.sample_photos(whole)
    assert not painted
    assert photos == [path.read_bytes() for folder in sorted(garden.iterdir()) for path in sorted(folder.iterdir())[:2]]


def test_photos_lie_as_they_do_and_browsers_can_draw_them(tmp_path):
    """In the parts of a split, some of an iPhone, some unreadable."""
    for name, colour in (("cat", "orange"), ("dog", "brown")):
        folder = tmp_path / "train" / name
        folder.mkdir(parents=True)
        picture = Image.new("RGB", (300, 200), colour)
        picture.save(folder / "b.jpg")
        pillow_heif.from_pillow(picture).save(folder / "a.heic")
        (folder / "c.jpg").write_bytes(b"\xff\xd8\xff cut short")
    photos = page._photos_of(str(tmp_path))
    assert [photo[:4] for photo in photos] == [b"\x89PNG", b"\xff\xd8\xff\xe0"] * 2
    assert photos[1] == (tmp_path / "train" / "cat" / "b.jpg").read_bytes()
    assert Image.open(io.BytesIO(photos[0])).size == (300, 200)


def test_a_set_that_would_have_to_be_fetched_is_not_asked_about(monkeypatch):
    monkeypatch.setattr(page, "resolve", lambda _: pytest.fail("it was fetched"))
    for source in ("flowers5", "garden"):
        assert page._photos_of(source) == []


def test_where_there_is_no_playwright_no_browser_is_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(page_check.importlib.util, "find_spec", lambda _: None)
    assert page_check.ask_in_chromium(tmp_path, [b"x"]) is None


# The runtime


@pytest.fixture
def offered(ort_web, monkeypatch, tmp_path):
    """The package's files behind an address, in place of the real one."""
    site = tmp_path / "site"
    shutil.copytree(ort_web, site)
    with page_check.serving(site) as address:
        monkeypatch.setattr(runtime, "PLACE", f"{address}/")
        yield site


def test_the_runtime_is_fetched_once_and_kept(offered, tmp_path, monkeypatch):
    (tmp_path / "one").mkdir()
    seen = []
    fetch_runtime(tmp_path / "one", lambda done, total: seen.append((done, total)))
    assert {path.name for path in (tmp_path / "one").iterdir()} == set(FILES)
    assert seen[-1][0] == seen[-1][1]
    for name in FILES:
        (offered / name).unlink()
    (tmp_path / "two").mkdir()
    fetch_runtime(tmp_path / "two")
    assert {path.name for path in (tmp_path / "two").iterdir()} == set(FILES)


def test_another_file_than_the_expected_is_refused(offered, tmp_path, monkeypatch):
    name = "ort-wasm-simd.wasm"
    content = bytearray((offered / name).read_bytes())
    content[1000] ^= 1
    (offered / name).write_bytes(content)
    with pytest.raises(ShareError, match=rf"onnxruntime-web {VERSION}, which could not be fetched .*checksum differs"):
        fetch_runtime(tmp_path)
    monkeypatch.setenv("FLOWERS_ORT_WEB", str(offered))
    with pytest.raises(ShareError, match=rf"{name} in FLOWERS_ORT_WEB is not that of onnxruntime-web {VERSION}"):
        fetch_runtime(tmp_path)
    (offered / name).unlink()
    with pytest.raises(ShareError, match=rf"FLOWERS_ORT_WEB has no {name}: unpack onnxruntime-web {VERSION}"):
        fetch_runtime(tmp_path)


def test_without_a_network_a_sentence_says_how(monkeypatch, tmp_path):
    monkeypatch.setattr(runtime, "PLACE", "http://127.0.0.1:9/")  # where nobody listens
    with pytest.raises(ShareError) as error:
        fetch_runtime(tmp_path)
    assert re.fullmatch(
        rf"A page needs onnxruntime-web {VERSION}, which could not be fetched \(127\.0\.0\.1/ort\.wasm-core\.min\.js "
        r"cannot be reached: check the network and try again\): go online once, or set FLOWERS_ORT_WEB to the folder "
        r"of that npm package, unpacked\.",
        str(error.value),
    )


@pytest.mark.parametrize("place", ["", "dist", "package/dist"])
def test_the_package_may_be_brought_along(ort_web, monkeypatch, tmp_path, place):
    shutil.copytree(ort_web, tmp_path / "given" / place, dirs_exist_ok=True)
    monkeypatch.setenv("FLOWERS_ORT_WEB", str(tmp_path / "given"))
    monkeypatch.setattr(runtime, "PLACE", "http://127.0.0.1:9/")
    (tmp_path / "to").mkdir()
    fetch_runtime(tmp_path / "to")
    assert {path.name for path in (tmp_path / "to").iterdir()} == set(FILES)
