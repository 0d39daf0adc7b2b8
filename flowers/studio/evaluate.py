"""The Evaluate tab: a checkpoint on a photo set, and what it gets right, class by class."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder
from PIL import Image

from flowers.classifier import Classifier
from flowers.data.dataset import scan
from flowers.data.decode import decode_image
from flowers.data.sources import KNOWN, resolve
from flowers.errors import FlowersError, UsageError
from flowers.evaluation.evaluate import SPLITS, Evaluation, Outcome, evaluate
from flowers.evaluation.figures import (
    SHOWN,
    confusion_figure,
    confusion_summary,
    figure_svg,
    reliability_figure,
    reliability_summary,
)
from flowers.evaluation.report import report_page
from flowers.studio import common

EMPTY = "Choose a checkpoint and photos, press Evaluate, and see what the network gets right, and where it goes wrong."
NO_MISTAKES = "Not one mistake: there is no gallery to show. Try it on harder photos."
PARTS = {"val": "Held back (validation)", "train": "Training", "all": "All"}
SIDE = 600  # pixels at most of a gallery photo
MANY = 8  # classes: from here on the matrix takes the page's whole width


@dataclass(frozen=True)
class EvaluateTab:
    """What the page refreshes: its choices come and go."""

    checkpoint: gr.Dropdown
    source: gr.Dropdown


def build() -> EvaluateTab:
    """Lay out the tab and wire it. Call inside a ``gr.Tab``."""
    with gr.Row(equal_height=True):
        checkpoint = gr.Dropdown(
            common.checkpoint_choices(), value=common.default_checkpoint(), label="Checkpoint",
            info="Which network answers.", elem_id="evaluate-checkpoint", scale=3, min_width=240,
        )  # fmt: skip
        source = gr.Dropdown(
            common.source_choices(), value=common.default_choice(), label="Photos",
            info="What it is asked. Their folders tell what is right.", elem_id="evaluate-source",
            scale=3, min_width=240,
        )  # fmt: skip
        split = gr.Radio(
            [(title, part) for part, title in PARTS.items()], value="val", label="Part",
            info="The parts are those the checkpoint was trained with.", elem_id="evaluate-split", scale=4,
            min_width=300,
        )  # fmt: skip
    with gr.Row():
        start = gr.Button("Evaluate", variant="primary", elem_id="evaluate-start", scale=3)
        report = gr.DownloadButton("Download the report", elem_id="evaluate-report", visible=False, min_width=200)
    results = gr.HTML(common.note(EMPTY), elem_id="evaluate-results", container=False, padding=False)
    mistakes = gr.Gallery(
        label="The worst mistakes", show_label=False, elem_id="evaluate-mistakes", visible=False, columns=5,
        height="auto", object_fit="cover", format="jpeg", interactive=False, buttons=["fullscreen"],
    )  # fmt: skip
    start.click(
        _press_evaluate,
        [checkpoint, source, split],
        [results, mistakes, report],
        api_visibility="private",
        concurrency_id=common.COMPUTE,
        concurrency_limit=1,
        show_progress_on=results,
    )
    return EvaluateTab(checkpoint, source)


# What the page, and the API, can ask for


def measure(
    checkpoint: str | None, source: str | None, split: str = "val", progress: Callable[..., Any] | None = None
) -> Evaluation:
    """Evaluate one of the offered checkpoints on one of the offered photo sets.

    ``progress`` is called as a ``gr.Progress`` is. Raises UsageError for what is not offered, and whatever fetching,
    reading and answering the photos raise, all of them FlowersErrors.
    """
    return _measure(checkpoint, source, split, progress)[0]


def _measure(
    checkpoint: str | None, source: str | None, split: str, progress: Callable[..., Any] | None
) -> tuple[Evaluation, Classifier]:
    """What ``measure`` gives, and the classifier that answered: a run at work may by now have a better one."""
    if split not in SPLITS:
        raise UsageError(f"There is no part called {split!r}: choose one of {', '.join(SPLITS)}.")
    if not checkpoint and not common.default_checkpoint():
        raise UsageError("No checkpoint is chosen: choose one, or train one in the Train tab.")
    report = (lambda *_, **__: None) if progress is None else progress  # a gr.Progress is false: it has a length of 0

    def counting(what: str) -> Callable[[int, int], None]:
        return lambda done, total: report((done, total), desc=what, unit="photos")

    report(0, desc="Loading the checkpoint")
    classifier = common.load_classifier(checkpoint)
    folder = resolve(
        common.source_of(source),
        progress=lambda done, total: report(done / total if total else 0, desc="Fetching the photos"),
    )
    dataset = scan(folder, counting("Reading the photos"))
    name = source if source in KNOWN else None
    return evaluate(classifier, dataset, split, source=name, progress=counting("Classifying")), classifier


def _press_evaluate(
    checkpoint: str | None,
    source: str | None,
    split: str,
    progress: gr.Progress = gr.Progress(),  # noqa: B008 - how Gradio finds it
) -> tuple[str, dict, dict]:
    try:
        result, classifier = _measure(checkpoint, source, split, progress)
        photos = [(_photo(result, item), _caption(result, item)) for item in result.worst()]
    except FlowersError as error:
        return common.note(str(error), "problem"), *[gr.update(value=None, visible=False)] * 2
    progress(1, desc="Writing the report")
    report = _save_report(result, classifier)
    gallery = gr.update(value=photos, visible=bool(photos), selected_index=None)
    return results_html(result), gallery, gr.update(value=report, visible=bool(report))


def _save_report(result: Evaluation, classifier: Classifier) -> str | None:
    """The path of the report's page, in the folder that Gradio serves and clears.

    None, and a message to the visitor, where it cannot be made: a run at work may have replaced the checkpoint whose
    reasons the page would show. The results stand all the same.
    """
    try:
        page = report_page(result, classifier)
        name = re.sub(r"[^\w.-]+", "-", f"{result.checkpoint}-on-{result.source}")[:100]
        return save_bytes_to_cache(page.encode(), f"{name}.html", get_upload_folder())
    except FlowersError as error:
        problem = str(error)
    except OSError as error:
        problem = f"The disk did not take it ({error.strerror or error})."
    gr.Warning(problem, title="There is no report to download")
    return None


def _photo(result: Evaluation, outcome: Outcome) -> Image.Image:
    """A small copy: the file itself may be huge, or in a format that browsers do not draw."""
    image = decode_image(result.root / outcome.photo, min_side=SIDE)
    image.thumbnail((SIDE, SIDE))
    return image


def _caption(result: Evaluation, outcome: Outcome) -> str:
    truth, answer = result.classes[outcome.label], result.classes[outcome.predicted]
    return f"{truth}, answered {answer} {outcome.confidence:.0%}"


# The results as HTML


def results_html(result: Evaluation) -> str:
    """Headline, table, confusion matrix and reliability as cards, in the page's own colours."""
    many = " many" if len(result.classes) > MANY else ""
    cards = f"{_headline(result)}{_table(result)}{_matrix(result)}{_reliability(result)}{_gallery_title(result)}"
    return f'<div class="evaluation{many}">{cards}</div>'


def _headline(result: Evaluation) -> str:
    count, wrong = len(result.outcomes), sum(item.wrong for item in result.outcomes)
    present = [row.f1 for row in result.per_class if row.photos]
    stats = {
        "photos": f"{count:,}",
        "mistakes": f"{wrong:,}",
        "mean F1": f"{np.mean(present):.1%}",
        "calibration error": f"{result.calibration_error:.1%}",
    }
    items = "".join(f'<div><dt>{name}</dt><dd class="value">{value}</dd></div>' for name, value in stats.items())
    happy = "" if wrong else f"<p>{NO_MISTAKES}</p>"
    low, high = result.interval
    return (
        f'<section class="card headline" aria-live="polite"><div><h2>{result.accuracy:.1%}</h2>'
        f'<p class="sub">accuracy, 95% interval {low:.1%} to {high:.1%}</p></div><dl class="stats">{items}</dl>'
        f'{happy}<p class="facts">{_facts(result)}</p></section>'
    )


def _facts(result: Evaluation) -> str:
    """What was measured, and how much it says about photos to come."""
    part = {"val": "the held-back part of", "train": "the training part of", "all": "all of"}[result.split]
    count = len(result.unreadable)
    files = "One file of the set cannot" if count == 1 else f"{count} files of the set cannot"
    left_out = f" {files} be read, and had to be left out." if count else ""
    name, source = common.escape(result.checkpoint), common.escape(result.source)
    return f"<b>{name}</b> on {part} <b>{source}</b>. {result.worth()}{left_out}"


def _table(result: Evaluation) -> str:
    answered = result.confusion.sum(0)
    rows = []
    for row, called in zip(result.per_class, answered, strict=True):
        precision = f"{row.precision:.1%}" if called else "–"
        recall = f"{row.recall:.1%}" if row.photos else "–"
        f1 = f"{row.f1:.1%}" if called or row.photos else "–"
        cells = "".join(f"<td>{cell}</td>" for cell in (f"{row.photos:,}", precision, recall, f1))
        rows.append(f'<tr><th scope="row">{common.escape(row.name)}</th>{cells}</tr>')
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Class", "Photos", "Precision", "Recall", "F1"))
    return (
        '<section class="card by-class"><h3 id="by-class">Class by class</h3>'
        '<div class="scroll" tabindex="0" role="region" aria-labelledby="by-class">'
        f'<table class="plain" aria-labelledby="by-class"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        '<p class="hint"><b>Precision</b>: of the photos it called so, how many are. '
        "<b>Recall</b>: of the photos that are, how many it called so. <b>F1</b> lies between the two.</p></section>"
    )


def _matrix(result: Evaluation) -> str:
    confusion = result.confusion
    svg = figure_svg(confusion_figure(confusion, result.classes), confusion_summary(confusion, result.classes))
    only = f" Here the {SHOWN} classes with most mistakes." if len(result.classes) > SHOWN else ""
    return (
        '<section class="card figure"><h3 id="taken-for">What it takes for what</h3>'
        f'<div class="scroll" tabindex="0" role="region" aria-labelledby="taken-for">{svg}</div>'
        f'<p class="hint">The deeper the colour, the larger the share of a row. Pink is wrong.{only}</p></section>'
    )


def _reliability(result: Evaluation) -> str:
    bins, error = result.reliability, result.calibration_error
    svg = figure_svg(reliability_figure(bins), reliability_summary(bins, error))
    sure = result.mean_confidence
    return (
        f'<section class="card reliability"><h3>Is it as sure as it is right?</h3>{svg}'
        f"<div><p>On average it is {sure:.1%} sure, and {result.accuracy:.1%} of its answers are right.</p>"
        '<p class="hint">A green bar is as high as the share of right answers at that confidence; honest bars end at '
        "the dashed line. Pink is what it promised and did not hold, deep green what it held beyond its promise; the "
        "calibration error is the mean of both. Thin lines are 95% intervals: long where few photos stand behind a "
        "bar.</p></div></section>"
    )


def _gallery_title(result: Evaluation) -> str:
    wrong = sum(item.wrong for item in result.outcomes)
    if not wrong:
        return ""
    shown = len(result.worst())
    which = f"The {shown} it was most sure of." if wrong > shown else "The surest first."
    return f'<div class="title"><h3>Its worst mistakes</h3><p class="hint">{which} Click one to enlarge it.</p></div>'
