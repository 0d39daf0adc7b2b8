"""The Classify tab: photos in, answers in words and confidences out, and where in a photo the evidence is."""

import contextlib
import dataclasses
import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image

from flowers.classifier import Answer, Classifier
from flowers.data.decode import MAX_BYTES, decode_image, is_drawn_by_browsers
from flowers.errors import DecodeError, FlowersError, UsageError
from flowers.studio import common, examples, live
from flowers.studio.answers import (
    SHOWN,
    Row,
    answer_card,
    corrected,
    correction,
    facts,
    reason_html,
    table,
)
from flowers.studio.language import say, sentence
from flowers.studio.thumbnails import square
from flowers.studio.words import in_words

AT_ONCE = 200  # photos: their answers took 28 s on one core of a busy machine, and the table 700 KB
READ_SECONDS = 120  # for the photos of one table: the slowest there may be take five each, and others wait meanwhile
RECENT = 12  # answers that a browser keeps, some 11 KB each: a thumbnail of about 8 KB, in base64
LISTED_SIDE, KEPT_SIDE = 64, 128  # pixels of a photo in the table, and beside an answer that is kept
SCRIPT = Path(__file__).with_name("classify.js")
ANSWERS = {"concurrency_id": "answers", "concurrency_limit": 4}  # shared by those who ask: see turns.py
REASONS = {"concurrency_id": "reasons", "concurrency_limit": 1}  # not among the answers, which would wait for them
ROWS = {"concurrency_id": "several", "concurrency_limit": 1}  # nor do those of one photo wait for somebody's hundred
QUIET = {"api_visibility": "private", "show_progress": "hidden"}

# The border between a photo and its evidence lies where the slider is, also after another class's picture came.
SLIDE = """
const move = () => {
  const slider = element.querySelector("input[type=range]");
  if (slider) element.style.setProperty("--seen", slider.value + "%");
};
element.addEventListener("input", move);
watch("value", move);
"""
CORRECT = """
element.addEventListener("click", (event) => {
  const { name } = event.target.dataset;
  if (name !== undefined) trigger("submit", { name });
  if (event.target.className === "undo") trigger("undo");
});
element.addEventListener("submit", (event) => {
  event.preventDefault();
  const name = event.target.elements.name.value.trim();
  if (name) trigger("submit", { name });
});
"""
CHOOSE = """
watch("value", () => { document.getElementById("classify-sending").textContent = ""; });
element.addEventListener("click", (event) => {
  if (event.target.closest(".close")) trigger("clear");
  const row = event.target.closest("[data-row]");
  if (!row) return;
  element.querySelectorAll("[data-row]").forEach((other) => other.classList.toggle("chosen", other === row));
  trigger("select", { row: Number(row.dataset.row) });
  document.getElementById("classify-see").scrollIntoView({ block: "nearest" });
});
"""
WAITING = "() => { const line = document.getElementById('classify-sending'); line.textContent = line.dataset.waiting; }"
STRIP = (
    '<section class="recent" hidden><header><h3>${title}</h3><span>${help}</span>'
    '<button type="button" class="clear">${clear}</button></header><ul></ul></section>'
)


class SeveralPhotos(gr.UploadButton):
    """An upload of many files that hands over their paths: Gradio's own leaves an empty file behind for each."""

    is_template = True  # in the browser it is a plain UploadButton

    def preprocess(self, payload: Any) -> list[str]:
        return [file.path for file in payload.root] if payload else []


def build() -> gr.Dropdown:
    """Lay out the tab and wire it; returns the checkpoint dropdown. Call inside a ``gr.Tab``."""
    with gr.Row(elem_id="classify", equal_height=False):
        many = gr.HTML("", js_on_load=CHOOSE, elem_id="classify-many", visible="hidden", padding=False)
        with gr.Column(elem_id="classify-see", min_width=0):
            seen = live.build(common.default_checkpoint())
            photo = common.PhotoInput(
                label=say("classify.photo"), sources=["upload", "clipboard"], height=400,
                elem_id="classify-photo", placeholder=say("classify.drop"),
                format="png",  # a picture that we draw for the browser comes back as input: it must lose nothing
            )  # fmt: skip
            limits = say("classify.limits", count=AT_ONCE, size=MAX_BYTES // 1_000_000)
            gr.HTML(f'<p class="hint">{limits}</p>', padding=False)
            line = f'<p id="classify-sending" role="status" data-waiting="{say("classify.waiting")}"></p>'
            sending = gr.HTML(line, elem_id="classify-line", elem_classes="in-line", padding=False)
            several = SeveralPhotos("several", file_count="multiple", visible="hidden", elem_id="classify-several")
        with gr.Column(elem_id="classify-read", min_width=0):
            gr.HTML('<div id="classify-live-card"></div>', padding=False)
            answer = gr.HTML(common.note(say("classify.empty")), elem_id="classify-answer", padding=False)
            correct = gr.HTML("", js_on_load=CORRECT, elem_id="classify-correct", visible="hidden", padding=False)
        with gr.Accordion(say("classify.why.title"), open=False, visible="hidden", elem_id="classify-why") as why:
            label = gr.Radio([], label=say("classify.why.evidence"), elem_id="classify-why-label")
            reason = gr.HTML(
                common.note(say("classify.why.looking")), js_on_load=SLIDE, elem_id="classify-reason",
                elem_classes="in-line", padding=False,
            )  # fmt: skip
        with gr.Column(elem_id="classify-more", min_width=0):
            gr.HTML(f'<h3 class="hint">{say("classify.examples")}</h3>', padding=False)
            examples.build(photo)
            checkpoint = gr.Dropdown(
                common.checkpoint_choices(),
                value=common.default_checkpoint(),
                label=say("classify.checkpoint"),
                info=say("classify.checkpoint_help"),
                elem_id="classify-checkpoint",
            )
        recent = gr.HTML(
            None, html_template=STRIP, js_on_load=SCRIPT.read_text(encoding="utf-8"), elem_id="classify-recent",
            title=say("classify.recent.title"), help=say("classify.recent.help"), clear=say("classify.recent.clear"),
            sending=say("classify.sending", count="{count}"), limit=AT_ONCE, count=RECENT, padding=False,
        )  # fmt: skip
    opened = gr.State(False)
    paths = gr.State([])  # of the photos in the table
    recalled = gr.State(None)  # an old answer whose photo is gone
    filed = gr.State([])  # the names that the photo got in My photos
    shown = [answer, photo, why, label, correct, recent, recalled]
    in_line = {"api_visibility": "private", "show_progress": "full", "show_progress_on": sending}  # tells the place
    answering = gr.on(
        [photo.change, checkpoint.change],  # also when a link or "Try it" has chosen the checkpoint
        show_answer,
        [photo, checkpoint, recalled],
        shown,
        trigger_mode="always_last",
        **ANSWERS,
        **in_line,
    )
    # Who does not ask why costs nothing.
    opening = why.expand(lambda: True, None, opened, queue=False, **QUIET)
    why.collapse(lambda: False, None, opened, queue=False, **QUIET)
    asked = [photo, checkpoint, label, opened]
    for event in (answering.then, opening.then, label.input):
        event(show_reason, asked, reason, trigger_mode="always_last", api_visibility="private", **REASONS)

    checkpoint.change(None, checkpoint, seen, js="(name) => name", **QUIET)

    correct.submit(file_under, [photo, checkpoint], [correct, filed], **QUIET)
    correct.undo(take_back, [filed, checkpoint], [correct, filed], **QUIET)

    several.upload(None, js=WAITING, **QUIET)
    several.upload(show_many, [several, checkpoint], [many, paths, photo], trigger_mode="multiple", **ROWS, **in_line)
    checkpoint.change(show_many, [paths, checkpoint], [many, paths, photo], **ROWS, **in_line)
    many.select(show_row, paths, photo, trigger_mode="multiple", **QUIET)
    many.clear(lambda: (gr.update(value="", visible="hidden"), []), None, [many, paths], queue=False, **QUIET)

    recent.select(recall, None, [photo, answer, recalled, why, correct], **QUIET)
    return checkpoint


# One photo


def show_answer(path: str | None, checkpoint: str | None, recalled: dict | None = None) -> tuple[Any, ...]:
    """What the page shows of an answer, in the order of ``shown``: the card, a drawable picture of the photo where the
    browser has none, the offers to say why and to correct it, what the browser keeps, and the answer recalled: none."""
    hidden = gr.update(visible="hidden")
    nothing = (gr.skip(), hidden, gr.skip(), hidden, gr.skip(), gr.skip())
    if not path:
        return recalled_card(recalled) if recalled else common.note(say("classify.empty")), *nothing
    try:
        classifier = common.load_classifier(checkpoint)
        answer, image = answer_file(path, classifier)
    except FlowersError as error:
        return common.note(str(error), "problem"), *nothing
    names = [name for name, _ in answer.ranked()]
    draw = not is_drawn_by_browsers(path)  # then a copy is sent, and comes back as another photo, which is remembered
    return (
        answer_card(answer, facts(answer, classifier.checkpoint)),
        image if draw else gr.skip(),
        gr.update(visible=True),
        gr.update(choices=names[:SHOWN], value=answer.label),
        gr.update(value=correction(_with_own(names)), visible=True),
        gr.skip() if draw else remembered(answer, image, path, common.title_of(classifier.checkpoint.name)),
        None,
    )


def show_reason(path: str | None, checkpoint: str | None, label: str | None, opened: bool) -> str:
    """Where the network found evidence for a class, as HTML, if somebody is looking."""
    if not path or not opened:
        return common.note(say("classify.why.looking"))  # what is seen first when it is opened
    try:
        return reason_html(common.load_classifier(checkpoint).explain(path, label))
    except FlowersError as error:
        return common.note(str(error), "problem")


def answer_file(path: str, classifier: Classifier) -> tuple[Answer, Image.Image]:
    """The answer to a photo file and the decoded photo; the time includes decoding. Raises DecodeError."""
    start = time.perf_counter()
    image = decode_image(path, min_side=classifier.preprocessing.resize, name=Path(path).name)
    answer = classifier.classify(image)
    return dataclasses.replace(answer, seconds=time.perf_counter() - start), image


# Corrections


def file_under(path: str | None, checkpoint: str | None, event: gr.EventData) -> tuple[str, list[str]]:
    """Put the photo into the visitor's own under the name that they chose: what to say, and its file names there."""
    name = _sent(event, "name")
    name = name if isinstance(name, str) else ""
    try:
        if not path:
            raise UsageError(say("classify.many.gone"))
        added = common.my_album().add(name, [path])
    except FlowersError as error:
        return _offer_again(sentence(str(error)), checkpoint), []
    if added.count:
        return corrected(say("classify.correct.filed", name=name)), list(added.photos)
    return _offer_again(
        sentence(added.refused[0].reason) if added.refused else say("classify.correct.known"), checkpoint
    ), []


def take_back(filed: list[str], checkpoint: str | None) -> tuple[str, list[str]]:
    """Undo ``file_under``; whatever else was changed in My photos since then stays."""
    try:
        album = common.my_album()
        last = album.last
        if last and last.kind == "add" and {Path(to).name for _, to in last.moved} == set(filed):
            album.undo()  # leaves no class behind that was made for it
        else:
            album.remove(filed)
    except FlowersError as error:
        return _offer_again(sentence(str(error)), checkpoint), filed
    return _offer_again(say("classify.correct.undone"), checkpoint), []


def _offer_again(said: str, checkpoint: str | None) -> str:
    try:
        classes = common.load_classifier(checkpoint).classes
    except FlowersError:
        classes = ()
    return corrected(said, undo=False) + correction(_with_own(classes))


def _with_own(names: Sequence[str]) -> list[str]:
    """The names, and after them the classes that the visitor has made."""
    return list(dict.fromkeys([*names, *common.my_album().classes]))


# Many photos


def show_many(sources: Sequence[str], checkpoint: str | None) -> Iterator[tuple[Any, Any, Any]]:
    """The table of many photos' answers, while it comes how far it is; then their paths, and the first one to see."""
    if not sources:
        yield gr.skip(), gr.skip(), gr.skip()
        return
    wanted, rows, told, began = list(sources[:AT_ONCE]), [], 0.0, time.monotonic()
    try:
        classifier = common.load_classifier(checkpoint)
        with contextlib.closing(classifier.classify_many(wanted)) as answers:
            for path, answer in zip(wanted, answers, strict=True):
                if time.monotonic() > told + 0.3:
                    said = say("classify.many.working", done=len(rows), count=len(wanted))
                    yield gr.update(value=_progress(said, len(rows) / len(wanted)), visible=True), gr.skip(), gr.skip()
                    told = time.monotonic()
                rows.append(_row(path, answer))
                if time.monotonic() > began + READ_SECONDS:
                    break
        rows += [_row(path, _not_read(path)) for path in wanted[len(rows) :]]
    except FlowersError as error:
        yield gr.update(value=common.note(str(error), "problem"), visible=True), gr.skip(), gr.skip()
        return
    limit = AT_ONCE if len(sources) > AT_ONCE else 0
    first = next((row.path for row in rows if row.answer), gr.skip())
    yield gr.update(value=table(rows, classifier.classes, limit), visible=True), wanted, first


def _not_read(path: str) -> DecodeError:
    return DecodeError(f"{Path(path).name} was not read in the time allowed here.")


def show_row(paths: list[str], event: gr.EventData) -> Any:
    """The photo of a row of the table."""
    row = _sent(event, "row")
    if not isinstance(row, int) or not 0 <= row < len(paths) or not Path(paths[row]).is_file():
        raise gr.Error(say("classify.many.gone"), title=say("error.title"), print_exception=False)
    return paths[row]


def _sent(event: gr.EventData, key: str) -> Any:
    """What came with an event under a name: from the page, or from whoever calls it."""
    return event._data.get(key) if isinstance(event._data, dict) else None


def _row(path: str, answer: Answer | DecodeError) -> Row:
    if isinstance(answer, DecodeError):
        return Row(path, None, sentence(str(answer)))
    try:  # a second time, small: a photo's answer comes without its pixels
        return Row(path, answer, thumbnail=square(decode_image(path, min_side=LISTED_SIDE), LISTED_SIDE))
    except DecodeError as error:  # gone since
        return Row(path, None, sentence(str(error)))


def _progress(said: str, share: float) -> str:
    return (
        f'<section class="card" role="status"><p>{said}</p>'
        f'<div class="progress" aria-hidden="true"><span style="width:{share:.0%}"></span></div></section>'
    )


# Recent answers. The browser keeps them, nobody else: what comes back from it is a stranger's.


def remembered(answer: Answer, image: Image.Image, path: str, checkpoint: str) -> str:
    """What a browser keeps of an answer, as JSON."""
    kept = {
        "path": path,
        "thumb": square(image, KEPT_SIDE),
        "words": in_words(answer),
        "label": answer.label,
        "known": answer.known,
        "confidences": dict(answer.ranked()[:SHOWN]),
        "checkpoint": checkpoint,
        "at": time.time(),  # also tells the same answer, given again, from the last
    }
    return json.dumps(kept)


def recall(event: gr.EventData) -> tuple[Any, ...]:
    """An old answer: its photo, to be answered again, or where that is gone the card as it was."""
    kept = event._data if isinstance(event._data, dict) else {}
    if _is_here(kept.get("path")):
        return kept["path"], gr.skip(), None, gr.skip(), gr.skip()
    hidden = gr.update(visible="hidden")
    return None, recalled_card(kept), kept, hidden, hidden


def recalled_card(kept: dict) -> str:
    """The card of an answer whose photo is gone, from what the browser kept of it."""
    try:
        shares = {str(name): float(share) for name, share in list(kept["confidences"].items())[:SHOWN]}
        answer = Answer(str(kept["label"]), shares[kept["label"]], shares, 0.0, kept["known"] is True)
        picture = (
            kept["thumb"] if re.fullmatch(r"data:image/jpeg;base64,[A-Za-z0-9+/=]{1,40000}", kept["thumb"]) else ""
        )
        name = f"<b>{common.escape(kept['checkpoint'])}</b>"
        told = f"{say('classify.recent.then', checkpoint=name)}. {say('classify.recent.gone')}"
        return answer_card(answer, told, str(kept["words"]), picture)
    except (KeyError, TypeError, ValueError, AttributeError):
        return common.note(say("classify.many.gone"), "problem")


def _is_here(path: Any) -> bool:
    """Whether ``path`` is a photo that came through this page, or an example, and nothing else on the server."""
    try:
        inside = Path(path).resolve().is_relative_to(Path(get_upload_folder()).resolve()) or path in examples.photos()
        return inside and Path(path).is_file()
    except (TypeError, OSError, ValueError, RuntimeError):  # no path at all
        return False


# For programs


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
