"""A checkpoint as a page to take along: a folder that any web host can serve, and that then works without a network.

    index.html page.css *.js     the page, of plain HTML and JavaScript: page_files/ as it is, but for its name and card
    facts.js                     what the page must know of the checkpoint
    network.onnx                 from pixels to confidences, as ``onnx`` writes it; weights in half precision where the
                                 answers stay the same
    ort/                         onnxruntime-web, which computes it in the browser (``runtime``)
    offline.js                   the service worker, which keeps all these files in the browser
    README.md                    how to put it on a host, and the card

It prepares photos as Python does (page_files/prepare.js), and is compared with Python before it is handed over.
"""

import errno
import hashlib
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from flowers.classifier import Classifier, Source
from flowers.data.dataset import listing
from flowers.data.decode import decode_image, is_drawn_by_browsers
from flowers.data.download import Progress
from flowers.data.garden import render_flower
from flowers.data.preprocess import Preprocessing
from flowers.data.sources import CLASSES, KNOWN, available, default_source, resolve
from flowers.errors import DecodeError, FlowersError, ShareError
from flowers.files import whole_folder
from flowers.models.calibration import UNFAMILIAR
from flowers.models.checkpoint import Checkpoint, read_checkpoint
from flowers.processes import give_way, module
from flowers.share.bundle import file_name
from flowers.share.card import body, listed, model_card
from flowers.share.onnx import EXPORT_SECONDS, FAMILIARITY_TOLERANCE, export_onnx
from flowers.share.page_check import ask_in_chromium
from flowers.share.runtime import SIZE as RUNTIME_SIZE
from flowers.share.runtime import fetch_runtime
from flowers.training.run import Run

FILES = Path(__file__).with_name("page_files")
NETWORK = "network.onnx"
PHOTOS = 10  # of the run, that both are asked about
HALF_TOLERANCE = 0.005  # how far half precision may move a confidence
TOLERANCE = 0.03  # how far a browser's answer may be from Python's: its decoder rounds colours in its own way
SHORT = 1024  # pixels of the short side of a photo that is made PNG: a whole one would have 20 MB
LEAST_HALVED = 256  # numbers in a tensor: of fewer there is nothing to win
LOWER = {f"h{n}": f"h{min(n + 1, 6)}" for n in range(1, 7)}  # headings
ICONS = (180, 192, 512)  # pixels: of an iPhone's home screen, and of Android's


@dataclass(frozen=True)
class Made:
    """What is known of a page that was written."""

    size: int  # bytes, without the runtime
    half: bool  # whether the weights are in half precision
    photos: int  # that it was compared on
    painted: bool  # whether they are the garden's: no real ones were at hand
    browser: bool  # whether Chromium answered; else ONNX Runtime did, from Python's own pixels
    agreed: int  # of the photos, those that got the same label
    difference: float  # the largest of any confidence, 0..1

    @property
    def points(self) -> str:
        """The difference in percentage points, such as ``0.3``."""
        return f"{100 * self.difference:.1g}" if 0 < self.difference < 0.1 else f"{100 * self.difference:.0f}"

    def sentence(self) -> str:
        """The comparison in words."""
        photos = f"{self.photos} {'painted flowers' if self.painted else 'photos'}"
        precision = "half" if self.half else "full"
        told = (
            f"Its weights are in {precision} precision. On {photos} it gave Python's label {self.agreed} times, and no "
            f"confidence differs by more than {self.points} percentage points"
        )
        if self.browser:
            return f"{told}: compared in Chromium."
        return (
            f"{told}: compared by ONNX Runtime in Python. No browser was asked, for none is here with the package "
            "playwright."
        )


def usage(target: Path) -> str:
    """The command that serves a page, or one in a zip once that is unpacked, to the computer it is on."""
    folder = target.stem if target.suffix.lower() == ".zip" else target
    return f"python -m http.server --directory {shlex.quote(str(folder))}\n# and open http://localhost:8000"


def write_page(checkpoint: Checkpoint, target: Path, progress: Progress | None = None) -> Made:
    """Write a saved checkpoint's page to ``target``, whole: a folder that is not there yet or empty, or a ``.zip``.

    Not while other threads here use modules: see ``engines.make``. ``write_page_apart`` may be called at any time.
    ``progress`` counts the bytes of the runtime, where that is fetched.

    Raises ShareError where the folder is there, where the network or the runtime cannot be had, where the page's
    answers are not Python's, or where the disk does not take it; CheckpointError for a damaged checkpoint.
    """
    target = Path(target)
    try:
        check_target(target)
        if target.suffix.lower() == ".zip":
            return _write_zip(checkpoint, target, progress)
        with whole_folder(target) as folder:
            return fill(checkpoint, folder, progress)
    except OSError as error:
        raise ShareError(
            f"The page could not be written ({error.strerror or error}): free some disk space, or choose another "
            "folder."
        ) from error


def check_target(target: Path) -> None:
    """Raises ShareError where a page may not be written to ``target``: somebody's files would be lost."""
    if not target.parent.is_dir():  # told before the work is done
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(target.parent))
    is_zip = target.suffix.lower() == ".zip"
    if target.exists() and (target.is_dir() if is_zip else not target.is_dir() or any(target.iterdir())):
        raise ShareError(f"{target} is there already: choose another name for the page, or remove that first.")


def _write_zip(checkpoint: Checkpoint, file: Path, progress: Progress | None) -> Made:
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}.", suffix=".tmp") as scratch:
        folder, made = Path(scratch) / "page", Path(scratch) / "made.zip"
        folder.mkdir()
        told = fill(checkpoint, folder, progress)
        pack(folder, file_name(checkpoint), made)
        os.replace(made, file)
    return told


def pack(folder: Path, name: str, file: Path) -> None:
    """Write a page's folder to a zip, in which it is called ``name``."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files_of(folder):
            archive.write(path, f"{name}/{path.relative_to(folder).as_posix()}")


def files_of(folder: Path) -> list[Path]:
    """All files in a page's folder, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def fill(checkpoint: Checkpoint, folder: Path, progress: Progress | None = None) -> Made:
    """Fill an empty ``folder`` with the page, and compare it with Python. Raises as ``write_page``, and OSError."""
    (folder / "ort").mkdir()
    fetch_runtime(folder / "ort", progress)
    samples, painted = sample_photos(checkpoint)
    classifier = Classifier(checkpoint, engine="eager")
    half, known = _write_network(checkpoint, classifier, samples, folder / NETWORK)
    _write_files(checkpoint, classifier, known, folder)
    seen = ask_in_chromium(folder, samples)
    given = seen if seen is not None else _ask_here(folder / NETWORK, classifier, samples)
    agreed, difference = compare(classifier, samples, given)
    if not difference <= TOLERANCE:  # also of what is no number
        raise ShareError(
            f"The page of {checkpoint.name} was thrown away: its answers differ from Python's by up to "
            f"{difference:.2g}; try other versions of onnxscript and of the browser."
        )
    size = sum(path.stat().st_size for path in files_of(folder)) - RUNTIME_SIZE
    return Made(size, half, len(samples), painted, seen is not None, agreed, difference)


def compare(classifier: Classifier, photos: Sequence[Source], given: Sequence[Sequence[float]]) -> tuple[int, float]:
    """(how many labels are Python's, the largest difference of a confidence) of somebody's confidences, by photo.

    The difference is no number where one of those given is none.
    """
    answers = list(classifier.classify_many(photos))
    right = np.array([[answer.confidences[name] for name in classifier.classes] for answer in answers])
    asked = np.asarray(given, dtype=float)
    return int((asked.argmax(1) == right.argmax(1)).sum()), float(np.abs(asked - right).max())


# The network


def _write_network(
    checkpoint: Checkpoint, classifier: Classifier, photos: Sequence[bytes], file: Path
) -> tuple[bool, list[float]]:
    """Write the ONNX file; whether it is in half precision, and its answer to ``pattern``."""
    smaller = file.with_name("half.onnx")
    export_onnx(checkpoint, file)
    halve(file, smaller)
    frames = np.stack([*_frames(classifier, photos), pattern(classifier.preprocessing.size)])
    before, after = _ask(file, frames), _ask(smaller, frames)
    gaps = [float(np.abs(one - other).max()) for one, other in zip(before, after, strict=True)]
    same = bool((before[0].argmax(1) == after[0].argmax(1))[:-1].all())  # of photos; noise has no right label
    # A weight that half precision cannot hold makes answers that are no numbers, and no gap at all.
    is_half = same and all(
        gap <= most for gap, most in zip(gaps, (HALF_TOLERANCE, FAMILIARITY_TOLERANCE), strict=False)
    )
    if is_half:
        os.replace(smaller, file)
    else:
        smaller.unlink()
    return is_half, (after if is_half else before)[0][-1].tolist()


def halve(file: Path, target: Path) -> None:
    """Write an ONNX file with its large tensors in half precision; they are made whole again as it is opened, so that
    everything is computed as before.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(file)
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < LEAST_HALVED:
            continue
        name = tensor.name
        with np.errstate(over="ignore"):  # what does not fit is found out by its answers
            values = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(values, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], name=f"{name}.whole", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    onnx.save(model, target)


def pattern(size: int) -> np.ndarray:
    """Noise, uint8 (3, size, size), the same as network.js makes it: the question by which the page tries itself."""
    places = np.arange(3 * size * size, dtype=np.uint64)
    return ((places * 2_654_435_761 & 0xFFFFFFFF) >> 24).astype(np.uint8).reshape(3, size, size)


def _ask(file: Path, frames: np.ndarray) -> list[np.ndarray]:
    """What the network in ``file`` gives: confidences, and familiarity where it can tell."""
    import onnxruntime

    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"pixels": frames})


def _ask_here(file: Path, classifier: Classifier, photos: Sequence[bytes]) -> list[list[float]]:
    return _ask(file, np.stack(_frames(classifier, photos)))[0].tolist()


def _frames(classifier: Classifier, photos: Sequence[bytes]) -> list[np.ndarray]:
    prepared = classifier.preprocessing
    return [np.asarray(prepared.frame(prepared.working_copy(photo))).transpose(2, 0, 1) for photo in photos]


def sample_photos(checkpoint: Checkpoint) -> tuple[list[bytes], bool]:
    """Photo files of the run that made the checkpoint, or of the default set; or painted flowers, and then True."""
    for source in filter(None, (_source(checkpoint), default_source())):
        if photos := _photos_of(source):
            return photos, False
    return [_painted(n) for n in range(PHOTOS)], True


def _source(checkpoint: Checkpoint) -> str | None:
    """The photo set of the run that made the checkpoint, where it was one."""
    if checkpoint.folder is None or checkpoint.folder.name != "best":
        return None
    try:
        return Run(checkpoint.folder.parent).source
    except (FlowersError, OSError, ValueError):
        return None


def _photos_of(source: str) -> list[bytes]:
    """The first photos of every class of a set that is on this machine; none of the garden, which is painted."""
    if source == "garden" or (source in KNOWN and not available(source)):
        return []
    try:
        root = resolve(source)
        classes = list(listing(root).values())[:PHOTOS]
    except (FlowersError, OSError):
        return []
    each = PHOTOS // max(1, len(classes))
    photos = [_as_browsers_draw(root / path) for paths in classes for path in paths[:each]]
    return [photo for photo in photos if photo is not None]


def _as_browsers_draw(path: Path) -> bytes | None:
    """A photo file's bytes, as PNG where browsers do not draw it, which iPhones' photos are; None: it is unreadable."""
    try:
        image = decode_image(path)
        return (
            path.read_bytes() if is_drawn_by_browsers(path) else _file(Preprocessing(resize=SHORT).reduce(image), "PNG")
        )
    except (DecodeError, OSError):
        return None


def _painted(number: int) -> bytes:
    return _file(render_flower(CLASSES[number % len(CLASSES)], number, 256), "JPEG", quality=92)


def _file(image: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


# The files


def _write_files(checkpoint: Checkpoint, classifier: Classifier, known: Sequence[float], folder: Path) -> None:
    made = {"index.html", "offline.js"}
    for path in FILES.iterdir():
        if path.is_file() and path.name not in made:
            shutil.copyfile(path, folder / path.name)
    shutil.copyfile(FILES / "ort" / "LICENSE", folder / "ort" / "LICENSE")
    for side in ICONS:
        _draw_icon(side).save(folder / f"icon-{side}.png", optimize=True)
    (folder / "index.html").write_text(_index(checkpoint), encoding="utf-8")
    (folder / "manifest.webmanifest").write_text(json.dumps(_manifest(checkpoint), indent=2) + "\n")
    (folder / "README.md").write_text(_readme(checkpoint), encoding="utf-8")
    facts = {
        "name": checkpoint.name,
        "classes": list(checkpoint.classes),
        "flowers": list(CLASSES),  # names that take an article in a sentence
        "size": classifier.preprocessing.size,
        "resize": classifier.preprocessing.resize,
        "unfamiliar_below": UNFAMILIAR if classifier.calibration.neighbours else None,
        "accuracy": checkpoint.accuracy,
        "known": [round(share, 6) for share in known],
        "bytes": (folder / NETWORK).stat().st_size + (folder / "ort" / "ort-wasm-simd.wasm").stat().st_size,
    }
    facts["version"] = version = _version(folder, facts)  # last: it is of all the others
    (folder / "facts.js").write_text(f"export default {json.dumps(facts, indent=2)};\n")
    names = [path.relative_to(folder).as_posix() for path in files_of(folder)]
    kept = [name for name in names if name not in ("README.md", "ort/LICENSE")]
    offline = (FILES / "offline.js").read_text(encoding="utf-8")
    offline = offline.replace("{{version}}", version).replace("{{files}}", json.dumps(kept, indent=2))
    (folder / "offline.js").write_text(offline, encoding="utf-8")


def _version(folder: Path, facts: dict) -> str:
    whole = hashlib.sha256(json.dumps(facts).encode())
    for path in files_of(folder):
        whole.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()[:12]


def _index(checkpoint: Checkpoint) -> str:
    from jinja2 import Environment, FileSystemLoader

    page = Environment(loader=FileSystemLoader(FILES), autoescape=True, keep_trailing_newline=True)
    about = f"Tells {listed(checkpoint.classes)} apart."
    card = as_html(body(model_card(checkpoint)))
    return page.get_template("index.html").render(name=checkpoint.name, about=about, card=card)


def as_html(card: str) -> str:
    """A card's Markdown as HTML that runs nothing and loads nothing, whoever wrote it.

    Of its links those to other sites remain: what stood beside the card does not stand beside the page.
    """
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = reader.parse(card)
    for token in tokens:
        if token.tag in LOWER:  # the page has a heading above them
            token.tag = LOWER[token.tag]
        if token.type == "table_open":
            token.attrs = {"tabindex": "0"}  # it may be wider than a phone: the keyboard scrolls it
        if style := token.attrGet("style"):  # of a column's numbers; the page allows no styles within it
            token.attrs = {"class": "number"} if "right" in str(style) else {}
        token.children = _links_elsewhere(token.children or [])
    return reader.renderer.render(tokens, reader.options, {}).replace("<pre>", '<pre tabindex="0">')


def _links_elsewhere(parts: list) -> list:
    kept, dropped = [], False  # links do not stand within links
    for part in parts:
        if part.type == "link_open":
            dropped = not str(part.attrGet("href")).startswith(("https://", "http://"))
            part.attrs |= {"target": "_blank", "rel": "noopener noreferrer"}
        if not (dropped and part.type in ("link_open", "link_close")):
            kept.append(part)
    return kept


def _manifest(checkpoint: Checkpoint) -> dict:
    return {
        "name": checkpoint.name,
        "short_name": checkpoint.name[:20],
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#fbfaf6",
        "theme_color": "#fbfaf6",
        "icons": [
            {"src": f"icon-{side}.png", "sizes": f"{side}x{side}", "type": "image/png", "purpose": purpose}
            for side in ICONS[1:] for purpose in ("any", "maskable")
        ],
    }  # fmt: skip


def _readme(checkpoint: Checkpoint) -> str:
    how = (FILES / "README.md").read_text(encoding="utf-8")
    return f"{how}\n---\n\n{body(model_card(checkpoint))}\n"


def _draw_icon(side: int) -> Image.Image:
    """The studio's flower on paper, square, ``side`` pixels."""
    fine = 3  # drawn so many times larger and made smaller: its edges are smooth
    unit, middle = fine * side / 130, fine * side / 2
    picture = Image.new("RGB", (fine * side, fine * side), "#fbfaf6")
    drawing = ImageDraw.Draw(picture)
    around = np.linspace(0, 2 * np.pi, 90)
    petal = np.stack([13 * np.cos(around), 21 * np.sin(around) - 27])
    for turn in 2 * np.pi * np.arange(5) / 5:
        turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ petal
        drawing.polygon([tuple(point) for point in (middle + unit * turned.T).tolist()], fill="#d9486e")
    drawing.ellipse([middle - 13 * unit, middle - 13 * unit, middle + 13 * unit, middle + 13 * unit], fill="#f2bd3a")
    return picture.resize((side, side), Image.Resampling.LANCZOS)


# In a process of its own


def write_page_apart(checkpoint: Checkpoint, target: Path) -> Made:
    """As ``write_page``, politely and in a process of its own: others here may be answering meanwhile."""
    writing = module("flowers.share.page", checkpoint.folder, target)
    try:
        done = subprocess.run(**writing, timeout=EXPORT_SECONDS, capture_output=True, text=True, check=False)
        said = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        raise ShareError(
            f"Writing the page of {checkpoint.name} took too long: try again when less is going on."
        ) from None
    except (OSError, ValueError, IndexError):
        raise ShareError(
            f"The page of {checkpoint.name} could not be written: the process that writes it ended."
        ) from None
    if "problem" in said:
        raise ShareError(said["problem"])
    return Made(**said)


def main(arguments: Sequence[str]) -> None:
    """The process of ``write_page_apart``: the checkpoint's folder and the target; prints what was made."""
    give_way(10)
    try:
        said = asdict(write_page(read_checkpoint(Path(arguments[0])), Path(arguments[1])))
    except FlowersError as error:
        said = {"problem": str(error)}
    print(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1:])
