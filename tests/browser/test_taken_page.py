"""The page to take along, in a real Chromium: it answers as Python does, works offline, and says what is wrong.

It is tests/share/test_page.py's page, but for its checkpoint: one that knows the garden's flowers and what is none.
"""

import ast
import base64
import io
import json
import random
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from flowers.classifier import Classifier
from flowers.data.preprocess import Preprocessing
from flowers.models.calibration import Calibration, Neighbours, directions, write_calibration
from flowers.models.checkpoint import find_checkpoint, read_checkpoint
from flowers.paths import DEFAULT_CHECKPOINT
from flowers.share import page as pages
from flowers.share.page_check import ask, serving
from flowers.studio.words import in_words
from tests.browser.axe import findings
from tests.browser.conftest import CAMERAS_ON, ROOT, WATCH_CAMERAS, say_yes, wait_for
from tests.studio.visiting import visit

PHONE = {"width": 390, "height": 844}
PLACE = "some/where/mine"  # on a host that has other things as well
PREPARED = """async ([photo, wanted]) => {
    const bytes = Uint8Array.from(atob(photo), (letter) => letter.charCodeAt(0));
    const { openPhoto } = await import("./photo.js"), { prepare } = await import("./prepare.js");
    const { source } = await openPhoto(new Blob([bytes]));
    return btoa(Array.from(prepare(source, wanted), (byte) => String.fromCharCode(byte)).join(""));
}"""


@pytest.fixture(scope="module")
def checkpoint(taught, garden, tiny_networks, tmp_path_factory):
    """It knows the garden's flowers, and takes what is far from all of them for none."""
    folder = tmp_path_factory.mktemp("checkpoints") / "my-garden"
    shutil.copytree(taught, folder)
    known = read_checkpoint(folder)
    classifier = Classifier(known, engine="eager")
    frames = [classifier.preprocessing.frame(Image.open(path)) for path in sorted(garden.glob("*/*"))]
    scores, features = classifier.network.look(np.stack([np.asarray(frame) for frame in frames]).transpose(0, 3, 1, 2))
    near = Neighbours(directions(features[::2]), 1, np.zeros(0))
    likeness = near.likeness(features[1::2], scores[1::2]).astype(float)
    near = replace(near, scale=np.quantile(likeness, np.linspace(0, 1, 11)))
    write_calibration(known, Calibration(2.0, near))
    return read_checkpoint(folder)


@pytest.fixture(scope="module")
def host(checkpoint, ort_web, tmp_path_factory):
    """The folder of a host that has the page somewhere."""
    folder = tmp_path_factory.mktemp("host")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOWERS_ORT_WEB", str(ort_web))
        patch.setattr(pages, "ask_in_chromium", lambda *_: None)  # while this module's Chromium is open
        (folder / PLACE).parent.mkdir(parents=True)
        pages.write_page(checkpoint, folder / PLACE)
    return folder


@pytest.fixture(scope="module")
def address(host):
    with serving(host) as address:
        yield f"{address}/{PLACE}/"


@pytest.fixture
def open_page(chromium):
    """``open_page(address)`` opens it as somebody new, and waits until it is ready, or says why not."""
    contexts = []

    def open_(address, prepare=lambda page: None, wait=True, **options):
        options = {"viewport": PHONE, "reduced_motion": "reduce", "permissions": ["camera"], **options}
        contexts.append(chromium.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        prepare(page)
        page.goto(address)
        if wait:
            page.wait_for_selector("html[data-ready=true]", state="attached")
        return page

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def lodged(chromium, address):
    """A page at which several tests look."""
    context = chromium.new_context(viewport=PHONE, reduced_motion="reduce", permissions=["camera"])
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.complaints = []
    page.on("console", lambda message: message.type == "error" and page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(address)
    page.wait_for_selector("html[data-ready=true]", state="attached")
    yield page
    context.close()


def encoded(picture, kind="PNG", **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def meadow(width: int, height: int) -> Image.Image:
    """A picture with fine and coarse detail, different at every place."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    fine = Image.effect_noise((width, height), 60).convert("RGB")
    return Image.blend(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC), fine, 0.2)


def held(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def choose(page, content: bytes, name: str = "photo.jpg") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "application/octet-stream", "buffer": content})


# Photos are prepared as Python prepares them


def prepared(page, photo: bytes, wanted: Preprocessing) -> tuple[np.ndarray, np.ndarray]:
    """The pixels that the network sees of a photo, by the page and by Python, as int (3, size, size)."""
    sides = {"size": wanted.size, "resize": wanted.resize}
    made = page.evaluate(PREPARED, [base64.b64encode(photo).decode(), sides])
    right = np.asarray(wanted.frame(wanted.working_copy(photo))).transpose(2, 0, 1).astype(int)
    return np.frombuffer(base64.b64decode(made), np.uint8).reshape(right.shape).astype(int), right


LOSSLESS = {
    "as most are": lambda: encoded(meadow(500, 333)),
    "upright": lambda: encoded(meadow(333, 500)),
    "large, by blocks first": lambda: encoded(meadow(1000, 800), compress_level=1),
    "smaller than the network's": lambda: encoded(meadow(120, 90)),
    "of a few pixels": lambda: encoded(meadow(9, 12)),
    "of the very size": lambda: encoded(meadow(256, 300)),
    "a panorama": lambda: encoded(meadow(3000, 300)),
    "a strip": lambda: encoded(meadow(40, 1500)),
    "half transparent": lambda: encoded(
        Image.merge("RGBA", [*meadow(300, 280).split(), Image.linear_gradient("L").resize((300, 280))])
    ),
    "a palette's": lambda: encoded(meadow(300, 280).quantize(64)),
    "in grey of 16 bits": lambda: encoded(
        Image.fromarray(np.asarray(meadow(300, 280).convert("L")).astype(np.uint16) * 257)
    ),
    "a GIF": lambda: encoded(meadow(300, 280).quantize(64), "GIF"),
    "a BMP": lambda: encoded(meadow(300, 280), "BMP"),
    "a WebP": lambda: encoded(meadow(300, 280), "WEBP", lossless=True),
}  # fmt: skip


@pytest.mark.parametrize("kind", LOSSLESS)
def test_every_pixel_is_as_python_makes_it(lodged, kind):
    photo = LOSSLESS[kind]()
    for wanted in (Preprocessing(224, 256), Preprocessing(64, 72), Preprocessing(96, 96)):
        made, right = prepared(lodged, photo, wanted)
        assert np.abs(made - right).max() <= 1, wanted


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_upright_and_its_blocks_lie_as_pythons(lodged, orientation):
    """Its sides are no multiples of eight, so a block that begins elsewhere would be seen."""
    photo = encoded(meadow(1213, 1097), "JPEG", quality=92, exif=held(orientation))
    made, right = prepared(lodged, photo, Preprocessing(224, 256))
    gap = np.abs(made - right)
    assert gap.mean() < 1 and gap.max() < 32
    for turned in (np.rot90(made, 1, (1, 2)), np.rot90(made, 2, (1, 2)), made[:, :, ::-1]):
        assert np.abs(turned - right).mean() > 10


@pytest.mark.thorough
def test_a_photo_of_48_megapixels_is_seen(lodged):
    photo = encoded(meadow(8064, 6048), "JPEG", quality=85, exif=held(6))
    made, right = prepared(lodged, photo, Preprocessing(224, 256))
    assert np.abs(made - right).mean() < 1


# It answers as Python does


def test_answers_are_pythons_in_the_studios_words(lodged, address, checkpoint, garden):
    classifier = Classifier(checkpoint, engine="eager")
    photos = [path.read_bytes() for path in sorted(garden.glob("*/*"))[::7]]
    photos += [encoded(Image.new("RGB", (300, 200), colour)) for colour in ("black", "white", "magenta")]
    photos.append(encoded(Image.effect_noise((300, 300), 90).convert("RGB")))
    known = set()
    for photo, answer in zip(photos, classifier.classify_many(photos), strict=True):
        lodged.evaluate("document.getElementById('words').textContent = ''")  # those of the photo before
        choose(lodged, photo)
        with visit():
            expect(lodged.locator("#words")).to_have_text(in_words(answer))
        expect(lodged.locator("#answer")).not_to_have_attribute("aria-busy", "true")
        shares = {
            row.locator(".name").text_content(): float(row.locator(".share").text_content().rstrip("%")) / 100
            for row in lodged.locator("#bars li").all()
        }
        assert shares == pytest.approx(answer.confidences, abs=0.01)
        known.add(answer.known)
    assert known == {True, False}
    assert lodged.complaints == []


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_two_hundred_photos_get_pythons_answers(ort_web, real_photos, tmp_path, monkeypatch, chromium):
    """The bundled checkpoint, at its full size, and under the size that was promised."""
    monkeypatch.setenv("FLOWERS_ORT_WEB", str(ort_web))
    monkeypatch.setattr(pages, "ask_in_chromium", lambda *_: None)
    made = pages.write_page(find_checkpoint(DEFAULT_CHECKPOINT), tmp_path / "page")
    assert made.half and made.size < 15_000_000
    photos = [path.read_bytes() for path in random.Random(1).sample(sorted(real_photos.glob("*/*")), 200)]
    with serving(tmp_path / "page") as address:
        given = ask(chromium.new_page(), f"{address}/", photos)
    agreed, difference = pages.compare(Classifier.load(DEFAULT_CHECKPOINT, engine="eager"), photos, given)
    assert agreed >= 198
    assert difference <= 0.03


def test_a_photo_is_dropped_and_pasted(lodged, garden):
    transfer = """([event, photo]) => {
        const bytes = Uint8Array.from(atob(photo), (letter) => letter.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], "photo.png"));
        const made = event === "paste" ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
            : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
        document.getElementById("frame").dispatchEvent(made);
        return made.defaultPrevented;
    }"""
    for event in ("drop", "paste"):
        choose(lodged, b"no photo")  # so that no answer is there
        expect(lodged.locator("#answer")).to_be_hidden()
        photo = base64.b64encode(sorted(garden.glob("rose/*"))[0].read_bytes()).decode()
        taken_over = lodged.evaluate(transfer, [event, photo])
        expect(lodged.locator("#answer")).to_be_visible()
        assert taken_over == (event == "drop"), "else the browser would open the photo in the page's place"


# Offline


def test_it_works_without_a_network_after_the_first_visit(open_page, host, garden):
    asked = []
    with serving(host) as address:

        def listen(page):
            page.context.on("request", lambda request: asked.append(request.url))

        page = open_page(f"{address}/{PLACE}/", listen)
        expect(page.locator("#kept")).to_contain_text("from now on the page also works offline")
    # The host is gone, and so is the network.
    page.context.set_offline(True)
    page.reload()
    page.wait_for_selector("html[data-ready=true]", state="attached")
    choose(page, sorted(garden.glob("tulip/*"))[0].read_bytes())
    expect(page.locator("#answer")).to_be_visible()
    page.goto(f"{address}/{PLACE}/index.html")
    expect(page.locator("header h1")).to_have_text("my-garden")
    own = [url for url in asked if url.startswith((f"{address}/{PLACE}/", f"blob:{address}/"))]
    assert own == asked
    assert sum(url.endswith("network.onnx") for url in asked) <= 2  # of the first visit, and of the second


def test_the_worker_that_keeps_the_page_lets_nothing_else_through(open_page, address, host):
    page = open_page(address)
    expect(page.locator("#kept")).to_contain_text("offline")
    worker = page.context.service_workers[0]
    outside = address.replace(PLACE, "elsewhere")
    (host / "elsewhere").mkdir(exist_ok=True)
    (host / "elsewhere" / "there.txt").write_text("something else of the host's")
    ask = "(url) => answer(new Request(url)).then((given) => given.type)"
    assert worker.evaluate(ask, f"{outside}there.txt") == "error"
    assert worker.evaluate(ask, f"{address}facts.js") != "error"
    # And the page's own policy, for what is asked before that worker is there.
    assert page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', (error) => error.name)") == "TypeError"
    expect(page.locator("header h1")).to_be_visible()


def test_a_newer_page_takes_the_place_of_the_one_that_was_kept(open_page, host, tmp_path):
    site = tmp_path / "site"
    shutil.copytree(host / PLACE, site)
    version = json.loads((site / "facts.js").read_text().removeprefix("export default ").rstrip(";\n"))["version"]
    with serving(site) as address:
        page = open_page(address)
        expect(page.locator("#kept")).to_contain_text("offline")
        for name in ("facts.js", "offline.js"):
            (site / name).write_text((site / name).read_text().replace(version, "newer"))
        index = (site / "index.html").read_text()
        (site / "index.html").write_text(index.replace("<h1>my-garden</h1>", "<h1>newer</h1>"))
        page.reload()
        wait_for(lambda: [name.split()[-1] for name in page.evaluate("caches.keys()")] == ["newer"])
        page.reload()
        expect(page.locator("header h1")).to_have_text("newer")


# The camera


@pytest.fixture(scope="module")
def studio_of_film(chromium, address):
    """A page in which Playwright may wait for what a string says, which the page's own policy forbids."""
    context = chromium.new_context(viewport=PHONE, reduced_motion="reduce", permissions=["camera"], bypass_csp=True)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(address)
    page.wait_for_selector("html[data-ready=true]", state="attached")
    yield page
    context.close()


@pytest.fixture
def filming(studio_of_film):
    """A page whose camera waits for ``say_yes``."""
    page = studio_of_film
    page.evaluate("() => { window.untouched ??= navigator.mediaDevices.getUserMedia }")
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = untouched }")
    page.evaluate(WATCH_CAMERAS)
    yield page
    page.evaluate(HIDDEN, False)
    page.evaluate("document.getElementById('live').hidden || document.getElementById('camera').click()")
    wait_for(lambda: page.evaluate(CAMERAS_ON) == 0)  # also one that was on its way


HIDDEN = """(hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_the_camera_is_answered_live_and_its_light_goes_off(filming):
    page = filming
    choose(page, b"no photo")
    expect(page.locator("#answer")).to_be_hidden()
    page.get_by_role("button", name="Use the camera").click()
    say_yes(page)
    expect(page.locator("#answer")).to_be_visible()
    expect(page.locator("#answer")).to_have_attribute("aria-live", "off")
    assert page.evaluate(CAMERAS_ON) == 1
    page.evaluate("document.getElementById('words').textContent = ''")
    expect(page.locator("#words")).not_to_be_empty()  # the next picture's
    page.get_by_role("button", name="Stop the camera").click()
    assert page.evaluate(CAMERAS_ON) == 0
    expect(page.locator("#live")).to_be_hidden()
    page.get_by_role("button", name="Use the camera").click()
    say_yes(page)
    expect(page.get_by_role("button", name="Stop the camera")).to_be_visible()
    page.evaluate(HIDDEN, True)
    assert page.evaluate(CAMERAS_ON) == 0
    page.evaluate(HIDDEN, False)
    expect(page.get_by_role("button", name="Use the camera")).to_be_visible()


def test_a_camera_that_is_allowed_too_late_is_off_at_once(filming):
    page = filming
    page.get_by_role("button", name="Use the camera").click()
    page.wait_for_function("asked.length")
    page.evaluate(HIDDEN, True)
    say_yes(page)
    page.wait_for_function("cameras.length")
    page.wait_for_function(f"{CAMERAS_ON} === 0")
    page.evaluate(HIDDEN, False)
    expect(page.locator("#live")).to_be_hidden()


def test_there_is_another_camera_to_turn_to(filming):
    page = filming
    page.evaluate(
        """() => {
            const media = navigator.mediaDevices, ask = media.getUserMedia;
            window.wishes = [];
            media.getUserMedia = (wish) => { wishes.push(wish.video.facingMode.ideal); return ask(wish) };
            media.enumerateDevices = async () => [{ kind: "videoinput" }, { kind: "videoinput" }];
        }"""
    )
    page.get_by_role("button", name="Use the camera").click()
    say_yes(page)
    for _ in range(2):
        page.get_by_role("button", name="Other camera").click()
        say_yes(page)
        page.wait_for_function(f"{CAMERAS_ON} === 1")
    assert page.evaluate("wishes") == ["environment", "user", "environment"]
    expect(page.locator("#live")).not_to_have_class("mirrored")


# What is wrong is said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("NotFoundError", "No camera was found here"),
        ("NotAllowedError", "The camera was not allowed"),
        ("NotReadableError", "The camera is in use by something else"),
    ],
)
def test_why_there_is_no_camera(filming, name, said):
    refuse = "(name) => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', name) } }"
    filming.evaluate(refuse, name)
    filming.get_by_role("button", name="Use the camera").click()
    expect(filming.get_by_role("alert")).to_contain_text(said)
    expect(filming.locator("#live")).to_be_hidden()


NO_PHOTOS = {
    "empty": (b"", "This file is no photo"),
    "text": (b"hello, this is text", "This file is no photo"),
    "a drawing": (b'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"/>', "This file is no photo"),
    "HEIC": (b"\0\0\0\x18ftypheic" + bytes(99), "This browser cannot read photos of this kind"),
    "cut short": (b"\xff\xd8\xff\xe0\0\x10JFIF", "This photo is damaged"),
    "a dot": (encoded(Image.new("RGB", (4, 4))), "too small or too narrow"),
    "a line": (encoded(Image.new("RGB", (600, 9))), "too small or too narrow"),
}


@pytest.mark.parametrize("kind", NO_PHOTOS)
def test_a_file_that_is_no_photo_is_told(lodged, garden, kind):
    content, said = NO_PHOTOS[kind]
    choose(lodged, content)
    expect(lodged.get_by_role("alert")).to_contain_text(said)
    expect(lodged.locator("#answer")).to_be_hidden()
    choose(lodged, sorted(garden.glob("daisy/*"))[0].read_bytes())
    expect(lodged.locator("#answer")).to_be_visible()
    expect(lodged.locator("#problem")).to_be_hidden()


BROWSERS = {
    "no SIMD": ("WebAssembly.validate = () => false", "This browser lacks WebAssembly SIMD"),
    "no pixels": (
        "CanvasRenderingContext2D.prototype.getImageData = (x, y, w, h) => new ImageData(w, h)",
        "This browser hides pictures from pages",
    ),
    "no modules": ("delete HTMLScriptElement.prototype.noModule", "This browser is too old"),
}


@pytest.mark.parametrize("kind", BROWSERS)
def test_a_browser_in_which_it_cannot_work_is_told(open_page, address, kind):
    script, said = BROWSERS[kind]
    page = open_page(address, lambda page: page.add_init_script(script), wait=False)
    expect(page.get_by_role("alert").filter(has_text=said)).to_be_visible()


def test_a_page_that_is_not_at_https_says_that_the_camera_needs_it(open_page, address, garden):
    script = "Object.defineProperty(window, 'isSecureContext', { get: () => false });"
    script += "delete Navigator.prototype.serviceWorker"  # as in such a page
    page = open_page(address, lambda page: page.add_init_script(script))
    with page.expect_file_chooser() as chooser:  # on a phone the camera's own, for one photo
        page.get_by_role("button", name="Use the camera").click()
    expect(page.get_by_role("alert")).to_contain_text("Browsers give a page the live camera only at https or localhost")
    chooser.value.set_files(sorted(garden.glob("rose/*"))[0])
    expect(page.locator("#answer")).to_be_visible()
    expect(page.locator("#kept")).to_be_hidden()


def test_a_browser_that_computes_wrongly_is_told(open_page, host, tmp_path):
    shutil.copytree(host / PLACE, tmp_path / "site")
    facts = json.loads((tmp_path / "site" / "facts.js").read_text().removeprefix("export default ").rstrip(";\n"))
    facts["known"] = facts["known"][1:] + facts["known"][:1]
    (tmp_path / "site" / "facts.js").write_text(f"export default {json.dumps(facts)};")
    with serving(tmp_path / "site") as address:
        page = open_page(address, wait=False)
        expect(page.get_by_role("alert")).to_contain_text("computes other answers than it should")


def test_a_network_that_is_missing_is_told(open_page, host, garden, tmp_path):
    shutil.copytree(host / PLACE, tmp_path / "site")
    (tmp_path / "site" / "network.onnx").unlink()
    with serving(tmp_path / "site") as address:
        page = open_page(address, wait=False)
        expect(page.get_by_role("alert")).to_contain_text("The network could not be loaded")
        expect(page.locator("#loading")).to_be_hidden()
        choose(page, b"no photo")
        expect(page.get_by_role("alert")).to_contain_text("This file is no photo")
        choose(page, sorted(garden.glob("rose/*"))[0].read_bytes())
        expect(page.get_by_role("alert")).to_contain_text("The network could not be loaded")


def test_a_browser_without_room_still_answers(open_page, address, garden):
    def fill_up(page):
        quota = {"origin": address.split("/some")[0], "quotaSize": 300_000}
        page.context.new_cdp_session(page).send("Storage.overrideQuotaForOrigin", quota)

    page = open_page(address, fill_up)
    expect(page.locator("#kept")).to_contain_text("This browser has no room to keep the page")
    choose(page, sorted(garden.glob("rose/*"))[0].read_bytes())
    expect(page.locator("#answer")).to_be_visible()


def test_from_the_disk_it_says_that_it_needs_a_host(open_page, host):
    page = open_page(f"file://{host / PLACE / 'index.html'}", wait=False)
    expect(page.get_by_role("alert").filter(has_text="A browser does not run this page from a folder")).to_be_visible()
    expect(page.locator("#loading")).to_be_hidden()


# For everybody


@pytest.mark.parametrize(("width", "scheme"), [pytest.param(1280, "light", marks=pytest.mark.thorough), (390, "dark")])
def test_axe_finds_nothing(open_page, address, garden, width, scheme):
    page = open_page(address, viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
    assert findings(page) == []
    choose(page, sorted(garden.glob("rose/*"))[0].read_bytes())
    expect(page.locator("#answer")).to_be_visible()
    page.locator("summary").click()
    assert findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_keyboard_reaches_everything(open_page, address):
    page = open_page(address)
    reached = []
    for _ in range(5):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.localName"))
    assert reached == ["language", "dark", "file", "camera", "summary"]
    page.keyboard.press("Enter")
    expect(page.get_by_role("article")).to_be_visible()


def test_language_and_light_are_chosen_and_kept(open_page, address):
    page = open_page(address, locale="zh-CN")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.get_by_role("button", name="使用摄像头")).to_be_visible()
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("button", name="Use the camera")).to_be_visible()
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Light or dark").click()
    dark = page.evaluate(ground)
    assert light != dark
    page.reload()
    expect(page.get_by_role("button", name="Use the camera")).to_be_visible()
    assert page.evaluate(ground) == dark


# Before it is handed over


def test_chromium_is_asked_before_it_is_handed_over(host, checkpoint, garden):
    """In a process of its own, as an export is: in this one Playwright is at work already."""
    photos = [str(path) for path in sorted(garden.glob("*/*"))[::20]]
    script = (
        "import sys; from pathlib import Path; from flowers.share.page_check import ask_in_chromium\n"
        "print(ask_in_chromium(Path(sys.argv[1]), [Path(name).read_bytes() for name in sys.argv[2:]]))"
    )
    command = [sys.executable, "-c", script, str(host / PLACE), *photos]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    classifier = Classifier(checkpoint, engine="eager")
    agreed, difference = pages.compare(classifier, photos, ast.literal_eval(done.stdout))
    assert agreed == len(photos)
    assert difference < 0.03
