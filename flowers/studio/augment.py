"""The Augment tab: what training's random changes do to a photo, each alone and all together.

The controls are made from the table in ``data/augment.py``, and the pictures by training's own ``data/render.py`` and
``training/mixing.py``: what is shown here is what training does.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image, ImageDraw

from flowers.data.augment import AUGMENTATIONS, only
from flowers.data.decode import decode_image, is_drawn_by_browsers
from flowers.data.preprocess import Preprocessing, to_pixels
from flowers.errors import FlowersError, UsageError
from flowers.recipe import KNOBS, PRESETS, Knob, Recipe, preset
from flowers.studio import common, examples
from flowers.studio.language import say

SINGLE = tuple(name for augmentation in AUGMENTATIONS for name in augmentation.knobs)  # what changes one photo
MIXES = ("mixup", "cutmix")  # what makes one picture of two photos; both are names of switches and of fields
SWITCHES = (*(augmentation.name for augmentation in AUGMENTATIONS), *MIXES)
FIELDS = (*SINGLE, *MIXES)
COUNT = Knob("count", int, 8, "", "Variants", "How many variants.", low=1, high=24)
PREPROCESSING = Preprocessing()
KEPT_PHOTOS = 16  # at most 1.5 MB each
TAKEN_SIDE = 480  # pixels at most of the photo as taken
# What a switch turns on where a recipe has nothing: the recipes' usual.
TYPICAL = {"policy": "trivial", "erasing": 0.1, "mixup": 0.2, "cutmix": 1.0}


def build(tabs: gr.Tabs, training: Any) -> None:
    """Lay out the tab and wire it. Call inside a ``gr.Tab`` of ``tabs``; ``training.knobs`` holds Train's controls."""
    with gr.Row(elem_id="augment", equal_height=False):
        with gr.Column(elem_id="augment-choice", min_width=0):
            photo = _photo_input(examples.photos()[0], say("augment.photo"), "augment-photo", 230)
            examples.build(photo)
        with gr.Column(elem_id="augment-result", min_width=0):
            with gr.Row(elem_id="augment-bar"):
                # Without minimum and maximum: the recipe checks the range itself, in a sentence.
                seed = gr.Number(0, label=say("augment.seed"), precision=0, min_width=0, elem_id="augment-seed")
                again = gr.Button(say("augment.again"), min_width=0, elem_id="augment-again")
                use = gr.Button(say("augment.use"), variant="primary", min_width=0, elem_id="augment-use")
            pictures = gr.HTML(elem_id="augment-pictures", elem_classes="in-line", container=False)
        with gr.Column(elem_id="augment-controls", min_width=0):
            chosen_preset = gr.Radio(
                [(say(f"preset.{name}.title"), name) for name in PRESETS], value="report", label=say("augment.preset"),
                info=say("augment.preset_info"), elem_id="augment-preset",
            )  # fmt: skip
            switches, strengths = _controls()
            with gr.Column(elem_id="augment-second", min_width=0), gr.Group(elem_classes="augmentation"):
                second = _photo_input(examples.photos()[-1], say("augment.second"), "augment-second-photo", 200)
                examples.build(second)

    controls = [*switches.values(), *strengths.values()]
    # Without triggers: at the page's load and at any change. A slider's `release` would not do: the keyboard and the
    # reset button never release.
    gr.on(
        None,
        _show,
        [photo, second, seed, *controls],
        [pictures, photo, second, chosen_preset],
        api_visibility="private",
        concurrency_limit=2,
        concurrency_id="augment",
        show_progress_on=pictures,
        trigger_mode="always_last",
    )
    chosen_preset.input(settings_of, chosen_preset, controls, api_visibility="private", show_progress="hidden")
    # In the browser alone: the changed seed then shows new pictures.
    again.click(None, seed, seed, js="seed => (seed ?? 0) + 1", api_visibility="private")
    use.click(
        _use,
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
    return _variants(_photo(photo).copy, recipe, seed, count)


def chosen(switches: Mapping[str, bool], strengths: Mapping[str, float | str]) -> Recipe:
    """The report's recipe with the controls' augmentations: those switched off do nothing, whatever their strength.

    Args:
        switches: by ``SWITCHES``.
        strengths: by the recipe's fields.

    Raises:
        UsageError: a strength is not a number or out of its range, or none of its choices.
    """
    recipe = preset("report").replace(**strengths)
    for augmentation in AUGMENTATIONS:
        if not switches[augmentation.name]:
            recipe = augmentation.switched_off(recipe)
    return recipe.replace(**{name: 0 for name in MIXES if not switches[name]})


def settings_of(name: str) -> list[bool | float | str]:
    """A preset's augmentations as the controls' values in their order: every switch, then every strength.

    What a preset does without is switched off, with the strength that it usually has.
    """
    recipe = preset(name)
    on = {augmentation.name: augmentation.is_on(recipe) for augmentation in AUGMENTATIONS}
    on |= {name: getattr(recipe, name) > 0 for name in MIXES}
    return [*(on[name] for name in SWITCHES), *(_usual(name, recipe, on) for name in FIELDS)]


def _usual(field: str, recipe: Recipe, on: Mapping[str, bool]) -> float | str:
    """The strength of a field where its switch is on, else one at which switching it on does something."""
    owner = next((item.name for item in AUGMENTATIONS if field in item.knobs), field)
    return getattr(recipe, field) if on[owner] else TYPICAL.get(field, KNOBS[field].default)


def _checked(settings: dict[str, Any] | None) -> Recipe:
    if not isinstance(settings, dict | None):
        raise UsageError('`settings` must be an object of augmentation settings, such as {"rotation": 15}.')
    for name in settings or {}:
        if name in KNOBS and name not in SINGLE:
            raise UsageError(f"{name} does not change the pictures: the settings here are {', '.join(SINGLE)}.")
    return preset("report").replace(**(settings or {}))


@dataclass(frozen=True)
class Loaded:
    """A photo as the tab shows it."""

    copy: Image.Image  # its working copy: all that training sees of it
    taken: Image.Image  # the whole of it, small
    box: tuple[float, float, float, float]  # left, top, right, bottom in ``taken`` of the square that the network sees


def _photo(path: str) -> Loaded:
    return _decoded(path, Path(path).stat().st_mtime_ns if Path(path).is_file() else 0)


@functools.lru_cache(KEPT_PHOTOS)
def _decoded(path: str, _stamp: int) -> Loaded:
    image = decode_image(path, min_side=PREPROCESSING.resize, name=Path(path).name)
    taken = image.copy()
    taken.thumbnail((TAKEN_SIDE, TAKEN_SIDE))
    return Loaded(PREPROCESSING.reduce(image), taken, PREPROCESSING.square(*taken.size))


def _variants(copy: Image.Image, recipe: Recipe, seed: int, count: int) -> list[Image.Image]:
    from flowers.data.render import variants  # and with it torch, which the page does without

    return list(variants(copy, recipe, PREPROCESSING, seed, count))


@dataclass(frozen=True)
class Mixed:
    """A picture made of two photos, and what is to be said of it."""

    picture: Image.Image
    kept: float  # how much of the first photo is to be named, 0..1; of the second the rest


def mixed(first: Image.Image, second: Image.Image, recipe: Recipe, seed: int, step: int) -> Mixed:
    """Two pictures of one size as training mixes them in a batch that holds just these, at a step of its first epoch.

    ``recipe`` must have mixup or cutmix.
    """
    import torch

    from flowers.training.mixing import Mixer

    # Training mixes normalised pictures; mixing the colours themselves, as numbers, gives the same.
    photos = torch.stack([to_pixels(first), to_pixels(second)]).float()
    mixer = Mixer(recipe.replace(seed=seed), classes=2)
    pixels, named = mixer.mix(photos, torch.tensor([0, 1]), share=[0, 1], batch=[0, 1], epoch=0, step=step)
    picture = Image.fromarray(pixels[0].round().to(torch.uint8).permute(1, 2, 0).numpy())
    return Mixed(picture, float(named[0, 0]))


# Controls


def _photo_input(path: str, label: str, name: str, height: int) -> common.PhotoInput:
    return common.PhotoInput(
        value=path, label=label, sources=["upload", "webcam", "clipboard"], height=height, elem_id=name, buttons=[],
        placeholder=say("augment.drop"),
    )  # fmt: skip


def _controls() -> tuple[dict[str, gr.Checkbox], dict[str, gr.Slider | gr.Dropdown]]:
    """Switches by ``SWITCHES``, and strengths by ``FIELDS``, as preset report has them."""
    values = settings_of("report")
    on = dict(zip(SWITCHES, values[: len(SWITCHES)], strict=True))
    strength = dict(zip(FIELDS, values[len(SWITCHES) :], strict=True))
    knobs = {augmentation.name: augmentation.knobs for augmentation in AUGMENTATIONS}
    switches, strengths = {}, {}
    for name in SWITCHES:
        # What is switched off hides its strengths: studio.css.
        with gr.Group(elem_classes="augmentation"):
            switches[name] = gr.Checkbox(
                on[name], label=say(f"augment.title.{name}"), info=say(f"augment.help.{name}"), container=True,
                elem_id=f"augment-{name}", elem_classes="switch",
            )  # fmt: skip
            for field in knobs.get(name, (name,)):
                strengths[field] = _strength(KNOBS[field], strength[field])
    return switches, strengths


def _strength(knob: Knob, value: float | str) -> gr.Slider | gr.Dropdown:
    unit = f" ({say('unit.' + knob.unit.replace(' ', '_'))})" if knob.unit else ""
    said = {
        "label": say(f"knob.{knob.name}.title") + unit, "info": say(f"knob.{knob.name}.help"),
        "elem_id": f"augment-strength-{knob.name}", "elem_classes": "strength",
    }  # fmt: skip
    if knob.kind is str:
        return gr.Dropdown([choice for choice in knob.choices if choice != knob.off], value=value, **said)
    return gr.Slider(knob.low, knob.high, value, step=1 if knob.high > 10 else 0.01, **said)


def _recipe(values: Sequence[Any]) -> Recipe:
    """The recipe of the controls' values in their order on the page: every switch, then every strength."""
    switches = dict(zip(SWITCHES, values[: len(SWITCHES)], strict=True))
    return chosen(switches, dict(zip(FIELDS, values[len(SWITCHES) :], strict=True)))


def _preset_of(recipe: Recipe) -> str | None:
    """The preset whose augmentations these are, if there is one."""
    return next((n for n, one in PRESETS.items() if all(getattr(one, f) == getattr(recipe, f) for f in FIELDS)), None)


# Events


def _show(path: str | None, other: str | None, seed: int | None, *values: Any) -> tuple[Any, Any, Any, Any]:
    """The pictures; drawable ones of the two photos where the browser has none; and the preset that is chosen now."""
    if not path:
        return common.note(say("augment.empty")), gr.skip(), gr.skip(), gr.skip()
    if seed is None:  # it is being typed
        return (gr.skip(),) * 4
    try:
        recipe, seed = _recipe(values), KNOBS["seed"].parse(seed)
        photos = [_photo(path), _photo(other or examples.photos()[-1])]
        names = [_called(path) or say("augment.first_name"), _called(other) or say("augment.second_name")]
        shown = pictures_html(*photos, names, recipe, seed)
    except FlowersError as error:
        return common.note(str(error), "problem"), gr.skip(), gr.skip(), gr.skip()
    drawn = [
        photo.copy if one and not is_drawn_by_browsers(one) else gr.skip()
        for one, photo in zip((path, other), photos, strict=True)
    ]
    return shown, *drawn, _preset_of(recipe)


def _called(path: str | None) -> str | None:
    """The class of an example, as a name; nobody knows what another photo shows."""
    return examples.name_of(path) if path else None


def _use(*values: Any) -> list[Any]:
    """Train's new values, and the move to its tab."""
    recipe = _recipe(values)
    gr.Info(say("augment.used"), duration=4)
    return [*(getattr(recipe, name) for name in FIELDS), gr.Tabs(selected="train")]


# Pictures


def pictures_html(first: Loaded, second: Loaded, names: Sequence[str], recipe: Recipe, seed: int) -> str:
    """The photo as taken beside what the network sees; eight variants with all augmentations together; each alone.

    ``names`` are what the two photos are called in a mixed picture's label, not escaped. The pictures are inside the
    page, so all of them change at once: files would arrive one by one.
    """
    framed = PREPROCESSING.frame(first.copy)
    return (
        f"{_seen(first, framed)}{_together(first, second, names, recipe, seed)}"
        f"{_alone(first, second, framed, names, recipe, seed)}"
    )


def _seen(photo: Loaded, framed: Image.Image) -> str:
    outlined = photo.taken.copy()
    box = tuple(round(edge) - (1 if place > 1 else 0) for place, edge in enumerate(photo.box))
    for inset, colour in enumerate(("black", "white", "white", "black")):  # seen on any ground
        ImageDraw.Draw(outlined).rectangle(
            (box[0] + inset, box[1] + inset, box[2] - inset, box[3] - inset), None, colour
        )
    taken = _picture(outlined, say("augment.as_taken_alt"), f"<b>{say('augment.as_taken')}</b>", "taken")
    seen = _picture(framed, say("augment.seen_alt"), f"<b>{say('augment.seen')}</b>")
    how = say("augment.seen_how", size=PREPROCESSING.size)
    return f'<section class="seen">{taken}{seen}<p class="hint">{how}</p></section>'


def _together(first: Loaded, second: Loaded, names: Sequence[str], recipe: Recipe, seed: int) -> str:
    pictures = _variants(first.copy, recipe, seed, COUNT.default)
    mixing = any(getattr(recipe, name) for name in MIXES)
    others = _variants(second.copy, recipe, seed, COUNT.default) if mixing else pictures
    figures = []
    for step, (one, other) in enumerate(zip(pictures, others, strict=True)):
        if mixing:
            mix = mixed(one, other, recipe, seed, step)
            parts = _in_words(mix.kept, names)
            figures.append(_picture(mix.picture, say("augment.together_mixed_alt", n=step + 1, parts=parts), parts))
        else:
            figures.append(_picture(one, say("augment.together_alt", n=step + 1), ""))
    return (
        f'<section><h3>{say("augment.together")}</h3><p class="hint">{say("augment.together_hint")}</p>'
        f'<div class="together">{"".join(figures)}</div></section>'
    )


def _alone(first: Loaded, second: Loaded, framed: Image.Image, names: Sequence[str], recipe: Recipe, seed: int) -> str:
    row = _picture(framed, say("augment.unchanged_alt"), f"<b>{say('augment.unchanged')}</b>")
    for augmentation in AUGMENTATIONS:
        changed = None
        if augmentation.is_on(recipe):
            (changed,) = _variants(first.copy, only(recipe, augmentation), seed, 1)
        row += _one_alone(augmentation.name, framed, changed)
    other = PREPROCESSING.frame(second.copy)
    for name in MIXES:
        mix = None
        if strength := getattr(recipe, name):
            alone = Recipe(**{name: strength})
            mix = mixed(framed, other, alone, seed, 0)
        row += _one_alone(name, framed, mix and mix.picture, _in_words(mix.kept, names) if mix else "")
    return f'<section><h3>{say("augment.alone")}</h3><div class="alone">{row}</div></section>'


def _one_alone(name: str, framed: Image.Image, changed: Image.Image | None, told: str = "") -> str:
    title = say(f"augment.title.{name}")
    if changed is None:
        caption = f"<b>{title}</b> {say('augment.idle')}"
        return _picture(framed, say("augment.idle_alt", title=title), caption, "idle")
    if changed.tobytes() == framed.tobytes():
        told = say("augment.luck")
    return _picture(changed, f"{say('augment.alone_alt', title=title)} {told}".strip(), f"<b>{title}</b> {told}")


def _in_words(kept: float, names: Sequence[str]) -> str:
    """``62% rose, 38% tulip``, as HTML; of two photos of one class ``100% rose``."""
    shares = {names[0]: round(100 * kept)}
    shares[names[1]] = shares.get(names[1], 0) + 100 - round(100 * kept)
    return ", ".join(say("augment.part", share=f"{n}%", name=common.escape(name)) for name, n in shares.items())


def _picture(image: Image.Image, alt: str, caption: str, kind: str = "") -> str:
    """A figure; ``alt`` and ``caption`` are HTML."""
    # Decoding at once: otherwise every change flashes blank.
    return (
        f'<figure class="{kind}"><img src="{common.data_url(image)}" alt="{alt}" width="{image.width}"'
        f' height="{image.height}" decoding="sync">{f"<figcaption>{caption}</figcaption>" if caption else ""}</figure>'
    )
