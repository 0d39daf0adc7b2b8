"""Photos to try at once: the report's where they are on this machine, painted ones of the garden otherwise."""

import functools
from pathlib import Path

import gradio as gr

from flowers.data.garden import render_flower
from flowers.data.sources import CLASSES, available, resolve
from flowers.files import whole_folder
from flowers.paths import cache_dir

# One photo of each class, all from the part that training with the default split holds back.
PHOTOS = (
    "daisy/13953307149_f8de6a768c_m.jpg",
    "dandelion/11775820493_10fedf4bff_n.jpg",
    "rose/4764674741_82b8f93359_n.jpg",
    "sunflower/20407896403_a50fef58ac_n.jpg",
    "tulip/112951022_4892b1348b_n.jpg",
)
PAINTED_SEEDS = {"daisy": 6, "dandelion": 3, "rose": 7, "sunflower": 4, "tulip": 7}  # pretty ones


@functools.cache
def photos() -> list[str]:
    """Paths of one example of each class."""
    if available("flowers5"):
        found = [resolve("flowers5") / path for path in PHOTOS]
        if all(path.exists() for path in found):
            return [str(path) for path in found]
    return [str(path) for path in sorted(_painted().glob("*/*.jpg"))]


def name_of(path: str | Path) -> str | None:
    """The class of an example, or of a copy of it under its own name; None for any other photo."""
    example = next((one for one in map(Path, photos()) if one.name == Path(path).name), None)
    return example and example.parent.name


def _painted() -> Path:
    folder = cache_dir() / "examples-v2"
    if not folder.exists():
        with whole_folder(folder) as new:
            for name in CLASSES:
                (new / name).mkdir()  # called as nobody's own photo is: by its name an example is known again
                render_flower(name, PAINTED_SEEDS[name], size=448).save(new / name / f"painted-{name}.jpg", quality=92)
    return folder


def build(photo: gr.Image) -> None:
    """A row of buttons, each with its picture and its name, that put an example into ``photo``."""
    # Served from where they are: copies in Gradio's cache are deleted after a day, while the page still shows them.
    gr.set_static_paths(photos())
    with gr.Row(elem_classes="examples"):
        for path in map(Path, photos()):
            button = gr.Button(name_of(path), icon=path, size="sm", min_width=0, elem_classes="example")
            button.click(functools.partial(str, path), None, photo, api_visibility="private", queue=False)
