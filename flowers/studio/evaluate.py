"""The Evaluate tab: a checkpoint on a photo set, what it gets right, and the photos behind every number.

What was measured is kept for a while, for the visitor who asked: a click on a number opens its photos without asking
the network again.
"""

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from flowers.classifier import Classifier
from flowers.data.dataset import scan
from flowers.data.sources import KNOWN, resolve
from flowers.errors import CheckpointError, DecodeError, FlowersError, UsageError
from flowers.evaluation.compare import Comparison, compare
from flowers.evaluation.evaluate import SPLITS, Evaluation, evaluate
from flowers.evaluation.report import report_page
from flowers.reason import Reason
from flowers.studio import common, results
from flowers.studio.classify import REASONS
from flowers.studio.kept import Kept
from flowers.studio.language import say, sentence
from flowers.studio.visitors import visitor

PAGE = 12  # photos shown at a time
COMPARED = ("first", "second", "neither")  # what photos a comparison tells apart
SCRIPT = Path(__file__).with_name("results.js").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Measured:
    """An evaluation, or two of the same photos, as it is kept for its visitor. The networks are not."""

    result: Evaluation
    created: str  # of the checkpoint that answered: a run at work may by now have a better one
    chosen: str | None  # that checkpoint, as the page names it
    comparison: Comparison | None
    report: str | None  # path of the report's page


@dataclass
class Work:
    """An evaluation under way, or ended. It goes on when its page is closed or loaded again."""

    session: str  # the page's: each time it is loaded another
    said: str  # how far it is; in the end, why there are no results
    stopped: bool = False  # it is to end
    ended: bool = False
    key: str | None = None  # of its results


# An evaluation takes about a kilobyte for each photo.
KEPT: Kept[Measured] = Kept(most=40, most_each=4, seconds=2 * 3600)
WORK: Kept[Work] = Kept(most=100, most_each=1, seconds=2 * 3600)  # one at a time is at work: see COMPUTE
FOLLOW_SECONDS = 1.0
_left: set[str] = set()  # sessions that cancelled what was still on its way into the queue
_focus = itertools.count(1)


@dataclass(frozen=True)
class EvaluateTab:
    """What the page refreshes: its choices come and go."""

    checkpoint: gr.Dropdown
    against: gr.Dropdown
    source: gr.Dropdown


def build() -> EvaluateTab:
    """Lay out the tab and wire it. Call inside a ``gr.Tab``."""
    with gr.Row(equal_height=True):
        checkpoint = gr.Dropdown(
            common.checkpoint_choices(), value=common.default_checkpoint(), label=say("evaluate.checkpoint"),
            info=say("evaluate.checkpoint_info"), elem_id="evaluate-checkpoint", min_width=240,
        )  # fmt: skip
        against = gr.Dropdown(
            _against_choices(), value="", label=say("evaluate.against"), info=say("evaluate.against_info"),
            elem_id="evaluate-against", min_width=240,
        )  # fmt: skip
    with gr.Row(equal_height=True):
        source = gr.Dropdown(
            common.source_choices(), value=common.default_choice(), label=say("evaluate.source"),
            info=say("evaluate.source_info"), elem_id="evaluate-source", min_width=240,
        )  # fmt: skip
        split = gr.Radio(
            [(say(f"evaluate.parts.{part}"), part) for part in SPLITS], value="val", label=say("evaluate.split"),
            info=say("evaluate.split_info"), elem_id="evaluate-split", min_width=300,
        )  # fmt: skip
    with gr.Row():
        start = gr.Button(say("evaluate.start"), variant="primary", elem_id="evaluate-start", scale=3)
        stop = gr.Button(say("evaluate.stop"), elem_id="evaluate-stop", visible=False, min_width=120)
        report = gr.DownloadButton(say("evaluate.report"), elem_id="evaluate-report", visible=False, min_width=200)
    shown = {"container": False, "padding": False, "js_on_load": SCRIPT}
    found = gr.HTML(common.note(say("evaluate.empty")), elem_id="evaluate-results", **shown)
    photos = gr.HTML("", elem_id="evaluate-photos", **shown)
    curves = gr.HTML("", elem_id="evaluate-curves", **shown)
    key = gr.State()
    following, timer = gr.State(False), gr.Timer(FOLLOW_SECONDS, active=False)

    private = {"api_visibility": "private"}
    everything = [found, photos, curves, report, key]
    working = [start, stop]
    followed = [*everything, *working, following, timer]
    starting = start.click(_begin, None, working, queue=False, show_progress="hidden", **private)
    running = starting.then(
        _press_evaluate, [checkpoint, against, source, split], everything, concurrency_id=common.COMPUTE,
        concurrency_limit=1, show_progress_on=found, **private,
    )  # fmt: skip
    running.then(_end, None, working, queue=False, show_progress="hidden", **private)
    stop.click(
        _cancel, following, [found, *working, following, timer], cancels=[running], queue=False,
        show_progress="hidden", **private,
    )  # fmt: skip
    for part in (found, photos):
        part.look(_press_look, key, photos, concurrency_id="looks", concurrency_limit=2, show_progress="minimal",
                  trigger_mode="always_last", **private)  # fmt: skip
        part.reasons(_press_reasons, key, photos, trigger_mode="once", **REASONS, **private)
    gr.on(None, _restore, None, followed, queue=False, show_progress="hidden", **private)  # at the page's load
    timer.tick(_follow, None, followed, queue=False, show_progress="hidden", **private)
    return EvaluateTab(checkpoint, against, source)


def refresh_against(chosen: str | None) -> dict:
    """``common.refreshed`` for the dropdown of checkpoints to compare with."""
    return common.refreshed(_against_choices(chosen), chosen, "")


def _against_choices(chosen: str | None = None) -> list[tuple[str, str]]:
    return [(say("evaluate.nobody"), ""), *common.checkpoint_choices(chosen)]


# What the page, and the API, can ask for


def measure(checkpoint: str | None, source: str | None, split: str = "val") -> Evaluation:
    """Evaluate one of the offered checkpoints on one of the offered photo sets.

    Raises UsageError for what is not offered, and whatever fetching, reading and answering the photos raise, all of
    them FlowersErrors.
    """
    return _measure([checkpoint], source, split)[0][0]


def _measure(
    checkpoints: Sequence[str | None],
    source: str | None,
    split: str,
    report: Callable[..., Any] = lambda *_, **__: None,
) -> list[tuple[Evaluation, Classifier]]:
    """What each checkpoint says of the same photos, those of the first one's part; and the classifier that said it.

    ``report`` is called as a ``gr.Progress`` is.
    """
    if split not in SPLITS:
        raise UsageError(f"There is no part called {split!r}: choose one of {', '.join(SPLITS)}.")
    if not checkpoints[0] and not common.default_checkpoint():
        raise UsageError(say("evaluate.no_checkpoint"))

    def counting(what: str) -> Callable[[int, int], None]:
        said, unit = say(f"evaluate.progress.{what}"), say("evaluate.progress.unit")
        return lambda done, total: report((done, total), desc=said, unit=unit)

    report(0, desc=say("evaluate.progress.loading"))
    classifiers = [common.load_classifier(checkpoint) for checkpoint in checkpoints]
    fetching = say("evaluate.progress.fetching")
    folder = resolve(
        common.source_of(source),
        progress=lambda done, total: report(done / total if total else 0, desc=fetching),
    )
    dataset = scan(folder, counting("reading"))
    measured = []
    for classifier, what in zip(classifiers, ("classifying", "second"), strict=False):
        name = source if source in KNOWN else common.MY_PHOTOS if source == common.ALBUM else None
        first = classifiers[0].checkpoint
        result = evaluate(classifier, dataset, split, source=name, split_of=first, progress=counting(what))
        measured.append((result, classifier))
    return measured


# Events


def _begin(request: gr.Request) -> tuple[dict, dict]:
    _left.discard(request.session_hash)
    return _busy()


def _busy() -> tuple[dict, dict]:
    return gr.update(interactive=False), gr.update(visible=True)


def _end() -> tuple[dict, dict]:
    return gr.update(interactive=True), gr.update(visible=False)


def _cancel(following: bool, request: gr.Request) -> tuple:
    """One that waits in the queue leaves it; one at work ends at its next word of how far it is.

    It is the one that this page began, or the one that it follows since it was loaded.
    """
    work = _work()
    if work and not work.ended and (following or work.session == request.session_hash):
        work.stopped = True
    else:
        _left.add(request.session_hash)
    return common.note(say("evaluate.stopped")), *_end(), False, gr.Timer(active=False)


def _work() -> Work | None:
    """What the visitor began last."""
    return WORK.get(visitor(), WORK.latest(visitor()))


def _press_evaluate(
    checkpoint: str | None,
    against: str | None,
    source: str | None,
    split: str,
    request: gr.Request,
    progress: gr.Progress = gr.Progress(),  # noqa: B008 - how Gradio finds it
) -> tuple[str, str, str, dict, str | None]:
    stopped, session = say("evaluate.stopped"), request.session_hash
    work = Work(session, say("evaluate.progress.loading"))
    WORK.put(visitor(), work)
    if session in _left:  # asked last: from here on, a cancel finds the work
        work.stopped = True

    def report(value: Any, **said: Any) -> None:
        if work.stopped:
            raise FlowersError(stopped)
        done = say("evaluate.progress.done", done=value[0], total=value[1]) if isinstance(value, tuple) else ""
        work.said = " ".join(filter(None, [said.get("desc"), done]))
        progress(value, **said)

    try:
        if against and against == (checkpoint or common.default_checkpoint()):
            raise UsageError(say("evaluate.same", name=against))
        pairs = _measure([checkpoint, against] if against else [checkpoint], source, split, report)
        comparison = compare(pairs[0][0], pairs[1][0]) if against else None
        result, classifier = pairs[0]
        report(1, desc=say("evaluate.progress.report"))
        file = _save_report(result, classifier)
        report(1)  # or it was cancelled meanwhile
        measured = Measured(result, classifier.checkpoint.created, checkpoint, comparison, file)
        work.key = KEPT.put(visitor(), measured)
    except FlowersError as error:
        work.said = str(error)
    finally:
        work.ended = True
    return _outcome(work)


def _restore() -> tuple:
    """At the page's load: how far an evaluation is that goes on, and else what this visitor last measured."""
    if going_on := _going_on():
        return going_on
    key = KEPT.latest(visitor())
    measured = KEPT.get(visitor(), key)
    shown = _shown(measured, key) if measured else (gr.skip(),) * 5
    return *shown, gr.skip(), gr.skip(), False, gr.skip()


def _follow() -> tuple:
    """How far an evaluation is that was begun before the page was loaded, and in the end what came of it."""
    return _going_on() or (*_outcome(_work()), *_end(), False, gr.Timer(active=False))


def _going_on() -> tuple | None:
    work = _work()
    if work is None or work.ended:
        return None
    return common.note(work.said), *[gr.skip()] * 4, *_busy(), True, gr.Timer(active=True)


def _outcome(work: Work | None) -> tuple[str, str, str, dict, str | None]:
    measured = KEPT.get(visitor(), work.key) if work else None
    if measured:
        return _shown(measured, work.key)
    said = work.said if work else say("evaluate.empty")
    kind = "empty" if work is None or work.stopped else "problem"
    return common.note(said, kind), "", "", gr.update(value=None, visible=False), None


def _shown(measured: Measured, key: str) -> tuple[str, str, str, dict, str]:
    result = measured.result
    report = measured.report if measured.report and Path(measured.report).is_file() else None  # Gradio clears its files
    wrong = any(item.wrong for item in result.outcomes)
    return (
        results.results_html(result, measured.comparison),
        _photos(measured, {"kind": "mistakes"}) if wrong else "",
        results.curves_html(result),
        gr.update(value=report, visible=bool(report)),
        key,
    )


def _press_look(key: str | None, event: gr.EventData) -> str:
    """The photos behind a number, as the button that carried the look asks for them."""
    try:
        measured = _kept(key)
        return _photos(measured, _checked(measured, event._data), focus=next(_focus))
    except FlowersError as error:
        return common.note(str(error), "problem")


def _press_reasons(
    key: str | None,
    event: gr.EventData,
    progress: gr.Progress = gr.Progress(),  # noqa: B008 - how Gradio finds it
) -> str:
    """As ``_press_look``, with where the network found its evidence: of the photos shown, or of one that was opened."""
    try:
        measured = _kept(key)
        look = _checked(measured, event._data)
        classifier = common.load_classifier(measured.chosen)
        if classifier.checkpoint.created != measured.created:
            raise CheckpointError(say("evaluate.replaced", name=common.title_of(measured.result.checkpoint)))
        if look["open"] is not None:
            return _one_photo(measured, look, classifier)
        return _photos(measured, look, focus=next(_focus), classifier=classifier, progress=progress)
    except FlowersError as error:
        return common.note(str(error), "problem")


def _kept(key: str | None) -> Measured:
    measured = KEPT.get(visitor(), key)
    if measured is None:
        raise UsageError(say("evaluate.gone"))
    return measured


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
        problem = sentence(str(error))
    except OSError as error:
        problem = say("share.disk", reason=error.strerror or error)
    gr.Warning(problem, title=say("evaluate.no_report"))
    return None


# Looks: which photos a button asks for


def _checked(measured: Measured, asked: Any) -> dict[str, Any]:
    """A look as a browser sends it, made sound: anyone may send anything. Raises UsageError."""
    look = asked if isinstance(asked, dict) else {}
    classes, photos = len(measured.result.classes), len(measured.result.outcomes)

    def number(name: str, below: int) -> int | None:
        value = look.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < below else None

    kind = look.get("kind")
    checked = {"kind": kind, "page": number("page", photos) or 0, "maps": look.get("maps") is True}
    checked |= {"open": number("open", photos)}
    if kind == "cell":
        checked |= {name: number(name, classes) for name in ("truth", "answer")}
    known = kind in ("mistakes", "cell") or (measured.comparison and kind in COMPARED)
    if not known or (kind == "cell" and None in (checked["truth"], checked["answer"])):
        raise UsageError(say("evaluate.gone"))
    return checked


def _selection(measured: Measured, look: dict[str, Any]) -> tuple[str, str, list[int]]:
    """Title and hint, both HTML, of the photos that a look asks for; and these by their place among the outcomes."""
    outcomes, names = measured.result.outcomes, [common.escape(name) for name in measured.result.classes]

    def sorted_by_confidence(places: Sequence[int], falling: bool) -> list[int]:
        return sorted(places, key=lambda place: outcomes[place].confidence, reverse=falling)

    if look["kind"] == "mistakes":
        wrong = [place for place, item in enumerate(outcomes) if item.wrong]
        said = say("evaluate.photos.mistakes"), say("evaluate.photos.mistakes_hint")
        return *said, sorted_by_confidence(wrong, falling=True)
    if look["kind"] == "cell":
        truth, answer = look["truth"], look["answer"]
        there = [i for i, item in enumerate(outcomes) if (item.label, item.predicted) == (truth, answer)]
        kind = "right" if truth == answer else "wrong"
        title = say(f"evaluate.photos.{kind}_title", truth=names[truth], answer=names[answer])
        return title, say(f"evaluate.photos.{kind}_hint"), sorted_by_confidence(there, falling=kind == "wrong")
    both = measured.comparison
    places = {"first": both.only_first, "second": both.only_second, "neither": both.neither}[look["kind"]]
    named = {"first": both.first.checkpoint, "second": both.second.checkpoint}
    checkpoints = {place: common.escape(common.title_of(name)) for place, name in named.items()}
    return say(f"evaluate.photos.{look['kind']}_title", **checkpoints), say("evaluate.photos.both_hint"), list(places)


def _photos(
    measured: Measured,
    look: dict[str, Any],
    *,
    focus: int = 0,
    classifier: Classifier | None = None,
    progress: Callable[..., Any] | None = None,
) -> str:
    """The photos of a look, a page of them, as HTML; with reasons where there is a ``classifier`` to ask."""
    title, hint, places = _selection(measured, look)
    page = min(look.get("page", 0), max(0, (len(places) - 1) // PAGE))
    shown = places[page * PAGE : (page + 1) * PAGE]
    found: list[Reason | str] = []
    for done, place in enumerate(shown if classifier else ()):
        progress((done, len(shown)), desc=say("evaluate.progress.maps"), unit=say("evaluate.progress.unit"))
        found.append(_reason(measured, place, classifier))
    kept = {name: value for name, value in look.items() if name != "open"} | {"page": page}
    second = measured.comparison.second if measured.comparison and look["kind"] in COMPARED else None
    return results.photos_html(
        measured.result, title, hint, kept, shown, page * PAGE, len(places), second=second, reasons=found, focus=focus
    )


def _reason(measured: Measured, place: int, classifier: Classifier) -> Reason | str:
    """Why a photo was answered so; a sentence where the photo is gone."""
    result = measured.result
    item = result.outcomes[place]
    try:
        return classifier.explain(result.root / item.photo, result.classes[item.predicted])
    except DecodeError as error:
        return str(error)


def _one_photo(measured: Measured, look: dict[str, Any], classifier: Classifier) -> str:
    result, place = measured.result, look["open"]
    item = result.outcomes[place]
    labels = dict.fromkeys((item.predicted, item.label))
    reasons = [classifier.explain(result.root / item.photo, result.classes[label]) for label in labels]
    second = measured.comparison.second if measured.comparison else None
    return results.photo_html(result, place, look, reasons, second, next(_focus))
