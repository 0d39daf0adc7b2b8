"""The Classify tab: a photo in, all confidences out."""

import dataclasses
import time
from pathlib import Path

import gradio as gr

from flowers.classifier import Answer, Classifier
from flowers.data.decode import decode_image
from flowers.errors import FlowersError, UsageError
from flowers.studio import common, examples

# Formats that browsers do not draw: the page is sent a JPEG of what was understood.
NOT_DRAWN = {".heic", ".heif", ".tif", ".tiff"}
EMPTY = "Drop a photo of a flower, paste one, use the camera, or click an example."


def build() -> gr.Dropdown:
    """Lay out the tab and wire it; returns the checkpoint dropdown. Call inside a ``gr.Tab``."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300):
            photo = common.PhotoInput(
                label="Photo", sources=["upload", "webcam", "clipboard"], height=400, elem_id="classify-photo",
                format="png",  # a picture that we draw for the browser comes back as input: it must lose nothing
                placeholder="Drop a photo of a flower here\nor click to choose one",
            )  # fmt: skip
        with gr.Column(scale=5, min_width=300):
            answer = gr.HTML(common.note(EMPTY), elem_id="classify-answer", container=False, padding=False)
            examples.build(photo)
            checkpoint = gr.Dropdown(
                common.checkpoint_choices(),
                value=common.default_checkpoint(),
                label="Checkpoint",
                info="Which network answers: the one that came along, or one you trained.",
                elem_id="classify-checkpoint",
            )
    gr.on(
        [photo.change, checkpoint.input],
        show_answer,
        [photo, checkpoint],
        [answer, photo],
        api_visibility="private",
        concurrency_limit=2,
        concurrency_id="answers",
        show_progress="hidden",
        trigger_mode="always_last",
    )
    return checkpoint


def show_answer(path: str | None, checkpoint: str | None) -> tuple[str, object]:
    """The answer's card, and a drawable picture of the photo where the browser has none."""
    if not path:
        return common.note(EMPTY), gr.skip()
    try:
        classifier = common.load_classifier(checkpoint)
        answer, image = answer_file(path, classifier)
    except FlowersError as error:
        return common.note(str(error), "problem"), gr.skip()
    drawn = image if Path(path).suffix.lower() in NOT_DRAWN else gr.skip()
    return answer_card(answer, classifier), drawn


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


def answer_card(answer: Answer, classifier: Classifier) -> str:
    """The answer as HTML: the name, how sure, and a bar for every class; or that it is probably none of them."""
    bars = "".join(_bar(name, share, name == answer.label) for name, share in answer.ranked()[:12])
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


def _bar(name: str, share: float, top: bool) -> str:
    return (
        f'<li class="{"top" if top else ""}"><span class="name">{common.escape(name)}</span>'
        f'<span class="track" aria-hidden="true"><span class="fill" style="width:{share:.1%}"></span></span>'
        f'<span class="share">{share:.1%}</span></li>'
    )


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
