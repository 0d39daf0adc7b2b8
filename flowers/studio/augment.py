"""The Augment tab: what training's random changes do to a photo, each alone and all together.

The controls are made from the table in ``data/augment.py``, and the pictures by training's own ``data/render.py``:
what is shown here is what training does.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from flowers.data.augment import AUGMENTATIONS, Augmentation, only
from flowers.data.preprocess import Preprocessing
from flowers.errors import FlowersError, UsageError
from flowers.recipe import KNOBS, Knob, Recipe, preset
from flowers.studio import common, examples
from flowers.studio.classify import NOT_DRAWN

FIELDS = tuple(name for augmentation in AUGMENTATIONS for name in augmentation.knobs)
COUNT = Knob("count", int, 8, "", "Variants", "How many variants.", low=1, high=24)
PREPROCESSING = Preprocessing()
KEPT_PHOTOS = 16  # at most 0.4 MB each at working size
# What a switch turns on where the report has nothing: the recipes' usual.
TYPICAL = {"policy": "trivial", "erasing": 0.1}
EMPTY = "Drop a photo here, or click an example, to see what training makes of it."


def build(tabs: gr.Tabs, training: Any) -> None:
    """Lay out the tab and wire it. Call inside a ``gr.Tab`` of ``tabs``; ``training.knobs`` holds Train's controls."""
    with gr.Row(elem_id="augment", equal_height=False):
        with gr.Column(elem_id="augment-choice", min_width=0):
            photo = common.PhotoInput(
                value=examples.photos()[0], label="Photo", sources=["upload", "webcam", "clipboard"], height=230,
                elem_id="augment-photo", buttons=[], placeholder="Drop a photo here\nor click to choose one",
            )  # fmt: skip
            examples.build(photo)
        with gr.Column(elem_id="augment-result", min_width=0):
            with gr.Row(elem_id="augment-bar"):
                # Without minimum and maximum: the recipe checks the range itself, in a sentence.
                seed = gr.Number(0, label="Seed", precision=0, min_width=0, elem_id="augment-seed")
                again = gr.Button("Again", min_width=0, elem_id="augment-again")
                use = gr.Button("Use these in training", variant="primary", min_width=0, elem_id="augment-use")
            pictures = gr.HTML(elem_id="augment-pictures", container=False)
        with gr.Column(elem_id="augment-controls", min_width=0):
            switches, strengths = _controls()

    controls = [*switches.values(), *strengths.values()]
    # Without triggers: at the page's load and at any change. A slider's `release` would not do: the keyboard and the
    # reset button never release.
    gr.on(
        None,
        _show,
        [photo, seed, *controls],
        [pictures, photo],
        api_visibility="private",
        concurrency_limit=2,
        concurrency_id="augment",
        show_progress="hidden",
        trigger_mode="always_last",
    )
    # In the browser alone: the changed seed then shows new pictures.
    again.click(None, seed, seed, js="seed => (seed ?? 0) + 1", api_visibility="private")
    use.click(
        common.in_words(_use),
        controls,
        [*(training.knobs[name] for name in FIELDS), tabs],
        api_visibility="private",
        show_progress="hidden",
    )


def augment_file(
    photo: str | None, settings: dict[str, Any] | None = None, count: int = 8, seed: int = 0
) -> list[Image.Image]:
    """Random variants of a photo file, made as training makes them. The API's endpoint.

    Args:
        photo: path of the photo.
        settings: augmentation fields of the recipe that differ from the report's, such as ``{"rotation": 15}``.
        count: how many variants, 1 to 24.
        seed: 0 or more; the same seed gives the same variants.

    Returns:
        RGB images of 224 × 224 pixels.

    Raises:
        UsageError: no photo, or a setting, count or seed that is unknown or out of range.
        DecodeError: the file is not a photo that we can read.
    """
    if not photo:
        raise UsageError("No photo was sent: send one as `photo`.")
    recipe = _checked(settings)
    count, seed = COUNT.parse(count), KNOBS["seed"].parse(seed)
    return _variants(_photo(photo), recipe, seed, count)


def chosen(switches: Mapping[str, bool], strengths: Mapping[str, float | str]) -> Recipe:
    """The report's recipe with the controls' augmentations: those switched off do nothing, whatever their strength.

    Args:
        switches: by the augmentations' names.
        strengths: by the recipe's fields.

    Raises:
        UsageError: a strength is not a number or out of its range, or none of its choices.
    """
    recipe = preset("report").replace(**strengths)
    for augmentation in AUGMENTATIONS:
        if not switches[augmentation.name]:
            recipe = augmentation.switched_off(recipe)
    return recipe


def _checked(settings: dict[str, Any] | None) -> Recipe:
    if not isinstance(settings, dict | None):
        raise UsageError('`settings` must be an object of augmentation settings, such as {"rotation": 15}.')
    for name in settings or {}:
        if name in KNOBS and name not in FIELDS:
            raise UsageError(f"{name} does not change the pictures: the settings here are {', '.join(FIELDS)}.")
    return preset("report").replace(**(settings or {}))


def _photo(path: str) -> Image.Image:
    return _decoded(path, Path(path).stat().st_mtime_ns if Path(path).is_file() else 0)


@functools.lru_cache(KEPT_PHOTOS)
def _decoded(path: str, _stamp: int) -> Image.Image:
    return PREPROCESSING.working_copy(path, Path(path).name)


def _variants(copy: Image.Image, recipe: Recipe, seed: int, count: int) -> list[Image.Image]:
    from flowers.data.render import variants  # and with it torch, which the page does without

    return list(variants(copy, recipe, PREPROCESSING, seed, count))


# Controls


def _controls() -> tuple[dict[str, gr.Checkbox], dict[str, gr.Slider | gr.Dropdown]]:
    """Switches by the augmentations' names, and strengths by the recipe's fields."""
    recipe, switches, strengths = preset("report"), {}, {}
    for augmentation in AUGMENTATIONS:
        # What is switched off hides its strengths: studio.css.
        with gr.Group(elem_classes="augmentation"):
            switches[augmentation.name] = gr.Checkbox(
                augmentation.is_on(recipe), label=augmentation.title, info=augmentation.help, container=True,
                elem_id=f"augment-{augmentation.name}", elem_classes="switch",
            )  # fmt: skip
            for name in augmentation.knobs:
                strengths[name] = _strength(KNOBS[name], TYPICAL.get(name, getattr(recipe, name)))
    return switches, strengths


def _strength(knob: Knob, value: float | str) -> gr.Slider | gr.Dropdown:
    title = knob.title + (f" ({knob.unit})" if knob.unit else "")
    said = {"label": title, "info": knob.help, "elem_id": f"augment-{knob.name}", "elem_classes": "strength"}
    if knob.kind is str:
        return gr.Dropdown([choice for choice in knob.choices if choice != knob.off], value=value, **said)
    return gr.Slider(knob.low, knob.high, value, step=1 if knob.high > 10 else 0.01, **said)


def _recipe(values: Sequence[Any]) -> Recipe:
    """The recipe of the controls' values in their order on the page: every switch, then every strength."""
    count = len(AUGMENTATIONS)
    switches = dict(zip((augmentation.name for augmentation in AUGMENTATIONS), values[:count], strict=True))
    return chosen(switches, dict(zip(FIELDS, values[count:], strict=True)))


# Events


def _show(path: str | None, seed: int | None, *values: Any) -> tuple[Any, Any]:
    """The pictures, and a drawable one of the photo where the browser has none."""
    if not path:
        return common.note(EMPTY), gr.skip()
    if seed is None:  # it is being typed
        return gr.skip(), gr.skip()
    try:
        image = _photo(path)
        shown = pictures_html(image, _recipe(values), KNOBS["seed"].parse(seed))
    except FlowersError as error:
        return common.note(str(error), "problem"), gr.skip()
    return shown, image if Path(path).suffix.lower() in NOT_DRAWN else gr.skip()


def _use(*values: Any) -> list[Any]:
    """Train's new values, and the move to its tab."""
    recipe = _recipe(values)
    gr.Info("The Train tab now has these augmentations.", duration=4)
    return [*(getattr(recipe, name) for name in FIELDS), gr.Tabs(selected="train")]


# Pictures


def pictures_html(image: Image.Image, recipe: Recipe, seed: int) -> str:
    """Eight variants with all augmentations together; below them the photo itself and each augmentation alone.

    The pictures are inside the page, so all of them change at once: files would arrive one by one.
    """
    framed = PREPROCESSING.frame(image)
    together = _variants(image, recipe, seed, COUNT.default)
    grid = "".join(_picture(one, f"Variant {n}, all together", "") for n, one in enumerate(together, 1))
    row = _picture(framed, "The photo as the network sees it, unchanged", "<b>Unchanged</b>")
    row += "".join(_alone(image, framed, recipe, seed, augmentation) for augmentation in AUGMENTATIONS)
    return (
        f'<section><h3>All together</h3><div class="together">{grid}</div></section>'
        f'<section><h3>Each alone</h3><div class="alone">{row}</div></section>'
    )


def _alone(image: Image.Image, framed: Image.Image, recipe: Recipe, seed: int, augmentation: Augmentation) -> str:
    title = f"<b>{common.escape(augmentation.title)}</b>"
    alt = f"{common.escape(augmentation.title)} alone"
    if not augmentation.is_on(recipe):
        return _picture(framed, f"{alt}: does nothing", f"{title} no effect", "idle")
    (changed,) = _variants(image, only(recipe, augmentation), seed, 1)
    luck = " not this time" if changed.tobytes() == framed.tobytes() else ""
    return _picture(changed, alt + luck, title + luck)


def _picture(image: Image.Image, alt: str, caption: str, kind: str = "") -> str:
    """A figure; ``alt`` and ``caption`` are HTML."""
    # Decoding at once: otherwise every change flashes blank.
    return (
        f'<figure class="{kind}"><img src="{common.data_url(image)}" alt="{alt}" width="{image.width}"'
        f' height="{image.height}" decoding="sync">{f"<figcaption>{caption}</figcaption>" if caption else ""}</figure>'
    )
