"""The Classify tab: a photo in, all confidences out, and where in the photo the evidence is."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from flowers.classifier import Answer, Classifier
from flowers.data.decode import decode_image
from flowers.errors import FlowersError, UsageError
from flowers.reason import Reason
from flowers.studio import common, examples

# Formats that browsers do not draw: the page is sent a JPEG of what was understood.
NOT_DRAWN = {".heic", ".heif", ".tif", ".tiff"}
SHOWN = 12  # classes of an answer, the likeliest first
FAINT = 0.2  # of the strongest evidence: less is hard to see in a picture
LOOKING = "One moment: the network looks at the photo again. The first time, this takes a few seconds."
REASONS = {"concurrency_id": "reasons", "concurrency_limit": 1}  # not among the answers, which would wait for them
EMPTY = "Drop a photo of a flower, paste one, use the camera, or click an example."


def build() -> gr.Dropdown:
    """Lay out the tab and wire it; returns the checkpoint dropdown. Call inside a ``gr.Tab``."""
    with gr.Row(elem_id="classify", equal_height=False):
        with gr.Column(elem_id="classify-see", min_width=0):
            photo = common.PhotoInput(
                label="Photo", sources=["upload", "webcam", "clipboard"], height=400, elem_id="classify-photo",
                format="png",  # a picture that we draw for the browser comes back as input: it must lose nothing
                placeholder="Drop a photo of a flower here\nor click to choose one",
            )  # fmt: skip
        with gr.Column(elem_id="classify-read", min_width=0):
            answer = gr.HTML(common.note(EMPTY), elem_id="classify-answer", container=False, padding=False)
        with gr.Accordion("Why?", open=False, visible="hidden", elem_id="classify-why") as why:
            label = gr.Radio([], label="Evidence for", elem_id="classify-why-label")
            reason = gr.HTML(common.note(LOOKING), elem_id="classify-reason", container=False, padding=False)
        with gr.Column(elem_id="classify-more", min_width=0):
            examples.build(photo)
            checkpoint = gr.Dropdown(
                common.checkpoint_choices(),
                value=common.default_checkpoint(),
                label="Checkpoint",
                info="Which network answers: the one that came along, or one you trained.",
                elem_id="classify-checkpoint",
            )
    opened = gr.State(False)
    quiet = {"api_visibility": "private", "show_progress": "hidden"}
    answering = gr.on(
        [photo.change, checkpoint.input],
        show_answer,
        [photo, checkpoint],
        [answer, photo, why, label],
        concurrency_limit=2,
        concurrency_id="answers",
        trigger_mode="always_last",
        **quiet,
    )
    # Who does not ask why costs nothing.
    opening = why.expand(lambda: True, None, opened, queue=False, **quiet)
    why.collapse(lambda: False, None, opened, queue=False, **quiet)
    asked = [photo, checkpoint, label, opened]
    for event in (answering.then, opening.then, label.input):
        event(show_reason, asked, reason, trigger_mode="always_last", **REASONS, **quiet)
    return checkpoint


def show_answer(path: str | None, checkpoint: str | None) -> tuple[Any, ...]:
    """The answer's card, a drawable picture of the photo where the browser has none, and the offer to say why."""
    nothing = (gr.skip(), gr.update(visible="hidden"), gr.skip())
    if not path:
        return common.note(EMPTY), *nothing
    try:
        classifier = common.load_classifier(checkpoint)
        answer, image = answer_file(path, classifier)
    except FlowersError as error:
        return common.note(str(error), "problem"), *nothing
    drawn = image if Path(path).suffix.lower() in NOT_DRAWN else gr.skip()
    labels = gr.update(choices=[name for name, _ in answer.ranked()[:SHOWN]], value=answer.label)
    return answer_card(answer, classifier), drawn, gr.update(visible=True), labels


def show_reason(path: str | None, checkpoint: str | None, label: str | None, opened: bool) -> str:
    """Where the network found evidence for a class, as HTML, if somebody is looking."""
    if not path or not opened:
        return common.note(LOOKING)  # what is seen first when it is opened
    try:
        return reason_html(common.load_classifier(checkpoint).explain(path, label))
    except FlowersError as error:
        return common.note(str(error), "problem")


def answer_file(path: str, classifier: Classifier):
    """The answer to a photo file and the decoded photo; the time includes decoding. Raises DecodeError."""
    start = time.perf_counter()
    image = decode_image(path, min_side=classifier.preprocessing.resize, name=Path(path).name)
    answer = classifier.classify(image)
    return dataclasses.replace(answer, seconds=time.perf_counter() - start), image


def classify(photo: str | None, checkpoint: str | None = None) -> dict:
    """Name the flower in a photo. The API's endpoint.

    Returns:
        ``{label, confidence, confidences, seconds, known, familiarity, checkpoint}``: where ``known`` is false it is
        probably none of the classes, and ``label`` what it looks most like. ``familiarity`` is the share, 0 to 1, of
        the photos held back from training that look less familiar; null where the checkpoint cannot tell.
    """
    if not photo:
        raise UsageError("No photo was sent: send one as `photo`.")
    classifier = common.load_classifier(checkpoint)
    answer, _ = answer_file(photo, classifier)
    return {**answer.to_dict(), "checkpoint": classifier.checkpoint.name}


def explain(
    photo: str | None, checkpoint: str | None = None, label: str | None = None
) -> tuple[Image.Image, dict[str, Any]]:
    """Where the network finds evidence for a class, by default the one that it answers. The API's endpoint.

    Returns:
        The photo with the evidence laid over it, and ``{label, exact, heat, checkpoint}``: ``heat`` holds the evidence
        of each place in rows, in units of the class's score; ``exact`` tells whether its mean is that score but for
        the bias, or an estimate.
    """
    if not photo:
        raise UsageError("No photo was sent: send one as `photo`.")
    classifier = common.load_classifier(checkpoint)
    reason = classifier.explain(photo, label or None)
    facts = {"label": reason.label, "exact": reason.exact, "heat": reason.heat.tolist()}
    return reason.picture(), {**facts, "checkpoint": classifier.checkpoint.name}


def answer_card(answer: Answer, classifier: Classifier) -> str:
    """The answer as HTML: the name, how sure, and a bar for every class; or that it is probably none of them."""
    bars = "".join(_bar(name, share, name == answer.label) for name, share in answer.ranked()[:SHOWN])
    trained = classifier.checkpoint.metrics.get("val_accuracy")
    right = f" · right on {trained:.1%} of the photos it was checked with" if trained else ""
    heading, below = answer.label.capitalize(), f"{answer.confidence:.1%} confident"
    if not answer.known:
        heading = f"Probably {answer.none}"
        below = (
            f"It is unlike the photos this network learned from. Of what it knows, it looks most like {answer.label}."
        )
    return (
        f'<section class="card" aria-live="polite"><h2>{common.escape(heading)}</h2>'
        f'<p class="sub">{common.escape(below)}</p>'
        f'<ul class="bars">{bars}</ul>'
        f'<p class="facts">Answered in {_time(answer.seconds)} by '
        f"<b>{common.escape(classifier.checkpoint.name)}</b>{right}.</p></section>"
    )


def reason_html(reason: Reason) -> str:
    """The picture of the evidence, with what it shows in words."""
    name = f"<b>{common.escape(reason.label)}</b>"
    said = f"Where the network found evidence for {name}"
    if reason.strength < FAINT:
        said = f"The network found {'hardly any' if reason.strength else 'no'} evidence for {name} in this photo"
    how = "" if reason.exact else " For this kind of network the map is an estimate."
    return (
        f'<figure class="reason"><img src="{common.data_url(reason.picture())}"'
        f' alt="{common.escape(f"The photo, with the evidence for {reason.label} as bright spots")}" decoding="sync">'
        '<div class="scale" aria-hidden="true"><span>none</span><i></i><span>most</span></div>'
        f"<figcaption><p>{said}.</p><p>The network looks only at the square in the middle. Colours mean the same for "
        f"every class, so you can compare them; evidence against a class is not shown.{how}</p></figcaption></figure>"
    )


def _bar(name: str, share: float, top: bool) -> str:
    return (
        f'<li class="{"top" if top else ""}"><span class="name">{common.escape(name)}</span>'
        f'<span class="track" aria-hidden="true"><span class="fill" style="width:{share:.1%}"></span></span>'
        f'<span class="share">{share:.1%}</span></li>'
    )


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
