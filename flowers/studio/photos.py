"""The Photos tab: what the known sets hold, and a set of the visitor's own, made and changed here."""

import base64
import binascii
import contextlib
import dataclasses
import functools
import json
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from flowers.data import album as albums
from flowers.data.album import Added, Album, Step
from flowers.data.classes import is_archive
from flowers.data.dataset import PhotoDataset, listing, scan, scan_if_read
from flowers.data.decode import MAX_BYTES
from flowers.data.doctor import Findings, check
from flowers.data.sources import KNOWN, fetch, local, resolve
from flowers.errors import FlowersError, UsageError
from flowers.paths import albums_dir
from flowers.studio import common, sheet, uploads
from flowers.studio.common import ALBUM, my_album, note, photos_in_words
from flowers.studio.language import say, sentence

HERE = Path(__file__).parent
READ_AT_ONCE = 60  # photos: half a second, so nobody needs to be told that they are being read
ALL, TRAIN, VAL = "all", "train", "val"
ANY_CLASS = ""  # no class is called so
BURST = 40  # photos of the camera at most, of MAX_FRAME characters each
MAX_FRAME = 2_000_000
TICKED = "(_, ...more) => [[...document.querySelectorAll('#%s input:checked')].map((box) => box.value), ...more]"
SCROLL = "() => document.querySelector('#photos-findings').scrollIntoView({behavior: 'smooth', block: 'nearest'})"
CAMERA = f"""
<div class="camera"><button type="button" data-camera="open" aria-expanded="false">{say("photos.camera")}</button>
<div data-camera="view" hidden><video data-camera="video" muted playsinline aria-label="{say("photos.camera_label")}">
</video><div class="row"><button type="button" class="main" data-camera="take" data-take="{say("photos.camera_take")}"
 data-stop="{say("photos.camera_stop")}">{say("photos.camera_take")}</button>
<button type="button" data-camera="close">{say("photos.camera_close")}</button></div>
<p class="hint">{say("photos.camera_hint")}</p></div>
<p data-camera="said" role="status" data-none="{say("photos.camera_none")}" data-name="{say("photos.camera_name")}"
 data-taking="{say("photos.camera_taking")}"></p></div>
"""


@dataclass(frozen=True)
class PhotosTab:
    """What the page wires once the other tabs are there."""

    train: gr.Button
    which: gr.Radio
    show: Callable[[Callable[..., Any]], None]  # has the tab drawn anew after an event, such as a page's load


def build() -> PhotosTab:
    """Lay out the tab and wire it. Call inside a ``gr.Tab``."""
    with gr.Row(elem_id="photos-grid"):
        with gr.Column(elem_id="photos-set", min_width=0):
            which = gr.Radio(
                _set_choices(), value=ALBUM, label=say("photos.which"), info=say("photos.which_help"),
                elem_id="photos-which",
            )  # fmt: skip
            facts = gr.HTML(elem_id="photos-facts", container=False, padding=False)
            fetching = gr.Button(say("photos.fetch"), variant="primary", visible=False, elem_id="photos-fetch")
            bars = gr.HTML(elem_id="photos-bars", container=False, padding=False)
            train = gr.Button(say("photos.train"), variant="primary", visible=False, elem_id="photos-train")
            with gr.Column(visible=False, elem_id="photos-doctor") as doctor:
                gr.HTML(
                    f'<h3>{say("photos.doctor")}</h3><p class="hint">{say("photos.doctor_help")}</p>', container=False,
                    padding=False,
                )  # fmt: skip
                labels_too = gr.Checkbox(
                    False, label=say("photos.suspects_too"), info=say("photos.suspects_help"),
                    elem_id="photos-suspects",
                )  # fmt: skip
                checking = gr.Button(say("photos.check"), elem_id="photos-check")
            with gr.Column(visible=True, elem_id="photos-owner") as owner:
                export = gr.Button(say("photos.export"), elem_id="photos-export")
                download = gr.DownloadButton(say("photos.export"), visible=False, elem_id="photos-download")
                with gr.Accordion(say("photos.edit"), open=False, elem_id="photos-edit"):
                    edited = gr.Dropdown([], label=say("photos.edit_class"), elem_id="photos-edited")
                    new_name = gr.Textbox(label=say("photos.new_name"), max_lines=1, elem_id="photos-new-name")
                    with gr.Row():
                        rename = gr.Button(say("photos.rename"), elem_id="photos-rename", min_width=90)
                        drop_class = gr.Button(
                            say("photos.remove_class"), variant="stop", elem_id="photos-remove-class", min_width=90
                        )
        with gr.Column(elem_id="photos-look", min_width=0):
            with gr.Column(visible=True, elem_id="photos-adding") as adding:
                gr.HTML(f"<h3>{say('photos.add_title')}</h3>", container=False, padding=False)
                into = gr.Dropdown(
                    [], value=None, allow_custom_value=True, label=say("photos.into"), info=say("photos.into_help"),
                    elem_id="photos-into",
                )  # fmt: skip
                files = gr.File(label=say("photos.files"), file_count="multiple", height=130, elem_id="photos-files")
                # Not seen: the files' paths in a dropped folder.
                places = gr.Textbox(container=False, show_label=False, elem_id="photos-places")
                limits = say("photos.files_limits", photo=MAX_BYTES // 10**6, zip=common.MAX_UPLOAD // 10**6)
                gr.HTML(f'<p class="hint">{limits}</p>', container=False, padding=False)
                with gr.Row(elem_id="photos-add-row"):
                    add = gr.Button(say("photos.add"), variant="primary", elem_id="photos-add", min_width=110)
                    camera = gr.HTML(
                        CAMERA, js_on_load=(HERE / "camera.js").read_text(encoding="utf-8"), container=False,
                        padding=False, elem_id="photos-camera",
                    )  # fmt: skip
            message = gr.HTML(elem_id="photos-message", container=False, padding=False)
            with gr.Row(elem_id="photos-last"):
                apart = gr.Button(visible=False, size="sm", elem_id="photos-apart", min_width=0)
                undo = gr.Button(visible=False, size="sm", elem_id="photos-undo", min_width=0)
            found = gr.HTML(elem_id="photos-findings", container=False, padding=False)
            with gr.Column(visible=False, elem_id="photos-leave") as leaving:
                leave_hint = gr.HTML(container=False, padding=False)
                leave = gr.Button(say("photos.leave_out"), variant="primary", elem_id="photos-leave-out")
            with gr.Row(elem_id="photos-filter", visible=False) as filters:
                label = gr.Dropdown(
                    [(say("photos.all_classes"), ANY_CLASS)], value=ANY_CLASS, label=say("photos.label"),
                    elem_id="photos-label", min_width=160,
                )  # fmt: skip
                part = gr.Dropdown(
                    [(say(f"photos.part_{name}"), name) for name in (ALL, TRAIN, VAL)], value=ALL,
                    label=say("photos.part_label"), elem_id="photos-part", min_width=160,
                )  # fmt: skip
            with gr.Row(elem_id="photos-act", equal_height=True, visible=False) as acting:
                to = gr.Dropdown(
                    [], value=None, allow_custom_value=True, label=say("photos.move_to"), elem_id="photos-to", scale=3
                )
                move = gr.Button(say("photos.move"), elem_id="photos-move", min_width=90)
                remove = gr.Button(say("photos.remove"), variant="stop", elem_id="photos-remove", min_width=90)
            contact = gr.HTML(
                js_on_load=(HERE / "sheet.js").read_text(encoding="utf-8"), container=False, padding=False,
                elem_id="photos-sheet",
            )  # fmt: skip
            with gr.Row(elem_id="photos-pager", visible=False) as pager:
                back = gr.Button(say("photos.previous"), elem_id="photos-previous", min_width=90)
                place = gr.HTML(elem_id="photos-place", container=False, padding=False)
                forth = gr.Button(say("photos.next"), elem_id="photos-next", min_width=90)

    number = gr.State(0)
    waiting = gr.State(False)  # photos are to be read before it is known which are held back
    ticked = gr.JSON(visible=False)  # what the browser says is ticked
    looked = [which, label, part, number]
    view = [
        facts, fetching, bars, train, owner, adding, apart, undo, edited, into, to, label, filters, part, acting,
        contact, pager, back, place, forth, doctor, number, waiting,
    ]  # fmt: skip
    quiet = {"api_visibility": "private", "show_progress": "hidden"}
    reading = {
        "api_visibility": "private", "concurrency_id": common.COMPUTE, "concurrency_limit": 1,
        "show_progress_on": facts, "trigger_mode": "always_last",
    }  # fmt: skip
    working = {"api_visibility": "private", "concurrency_id": "photos", "concurrency_limit": 2}

    def show(event: Callable[..., Any]) -> None:
        """Draw the tab anew after ``event``."""
        event(_show, looked, view, trigger_mode="always_last", **quiet).then(_read, [*looked, waiting], view, **reading)

    def afresh(event: Callable[..., Any]) -> None:
        """The same for another set: from its first page, without what was found about the one before."""
        cleared = [label, part, number, message, found, leaving, download]
        show(event(_start_over, None, cleared, trigger_mode="always_last", **quiet).then)

    changed = [message, found, leaving, download]
    afresh(which.input)
    for filtered in (label, part):
        show(filtered.input(lambda: 0, None, number, trigger_mode="always_last", **quiet).then)
    for button, by in ((back, -1), (forth, 1)):
        show(button.click(lambda now, by=by: now + by, number, number, **quiet).then)
    fetched = fetching.click(
        _fetch, which, [message, which], api_visibility="private", concurrency_id="fetch", concurrency_limit=1,
        show_progress_on=message,
    )  # fmt: skip
    show(fetched.then)
    for event in (files.upload, add.click):
        show(
            event(  # also what is dropped while more is being added
                _add, [files, into, places], [*changed, files, into, to, places], show_progress_on=message,
                trigger_mode="multiple", **working,
            ).then
        )  # fmt: skip
    show(camera.burst(_burst, into, changed, show_progress_on=message, **working).then)
    show(rename.click(_rename, [edited, new_name], [*changed, new_name, edited], **quiet).then)
    show(new_name.submit(_rename, [edited, new_name], [*changed, new_name, edited], **quiet).then)
    show(drop_class.click(_remove_class, edited, [*changed, edited], **quiet).then)
    show(undo.click(_undo, None, changed, **quiet).then)
    show(apart.click(_tell_apart, None, changed, **quiet).then)
    show(move.click(_move, [ticked, to], changed, js=TICKED % "photos-sheet", **quiet).then)
    show(remove.click(_remove, ticked, changed, js=TICKED % "photos-sheet", **quiet).then)
    export.click(_export, None, [message, download], show_progress_on=message, **working)
    checked = checking.click(
        _check, [which, labels_too], [message, found, leaving, leave_hint, leave], api_visibility="private",
        concurrency_id=common.COMPUTE, concurrency_limit=1, show_progress_on=checking,
    )  # fmt: skip
    checked.then(None, js=SCROLL, api_visibility="private")
    show(
        leave.click(
            _leave_out, [ticked, which], [*changed, which], js=TICKED % "photos-findings",
            show_progress_on=message, **working,
        ).then
    )  # fmt: skip
    return PhotosTab(train, which, show)


def connect(tab: PhotosTab, tabs: gr.Tabs, source: gr.Dropdown) -> None:
    """Have "Train on these photos" open the Train tab, whose dropdown of photo sets is ``source``."""

    def chosen(which: str) -> tuple[dict, dict]:
        return gr.update(selected="train"), gr.update(choices=common.training_choices(), value=which)

    tab.train.click(chosen, tab.which, [tabs, source], api_visibility="private", show_progress="hidden")


# What is shown


def _set_choices() -> list[tuple[str, str]]:
    """(what is shown, value): the title, and in a second line how many photos it has."""
    choices = [(say("photos.mine"), ALBUM)]
    if folder := common.own_folder():
        choices.append((Path(folder).name, "FLOWERS_DATA"))
    for name, known in KNOWN.items():
        where = "" if local(name) else f", {say('photos.painted' if name == 'garden' else 'photos.away')}"
        choices.append((f"{say(f'set.{name}.title')}\n{photos_in_words(known.count)}{where}", name))
    return choices


def refresh_sets() -> dict:
    """An update for the choice of sets: some may have been fetched meanwhile."""
    return gr.update(choices=_set_choices())


def _root(which: str) -> Path | None:
    """The set's folder; None where it is not on this machine yet. Raises UsageError for what is not offered."""
    if which == ALBUM:
        return my_album().folder
    if which == "FLOWERS_DATA" and common.own_folder():
        return resolve(Path(common.own_folder()))
    if isinstance(which, str) and which in KNOWN:
        return local(which)
    raise UsageError(say("photos.gone"))


def _show(which: str, label: str, part: str, number: int) -> tuple:
    """Updates for everything that is shown, without reading many photos."""
    classes, dataset, why_not, waiting = {}, None, "", False
    try:
        root = _root(which)
        if root and root.is_dir():
            classes = listing(root)
    except FlowersError as error:
        return _nothing(note(str(error), "problem"))
    if any(classes.values()):
        try:
            dataset = scan_if_read(root, READ_AT_ONCE)
            waiting = dataset is None
            why_not = say("photos.reading") if waiting else ""
        except FlowersError as error:
            why_not = sentence(str(error))
    return _view(which, root, classes, dataset, why_not, (label, part, number), waiting)


def _read(
    which: str,
    label: str,
    part: str,
    number: int,
    waiting: bool,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> tuple:
    """Read the photos that have not been read yet, and show what is held back."""
    if not waiting:
        return (gr.skip(),) * 23
    with contextlib.suppress(FlowersError):  # _show meets it again, and tells it
        scan(_root(which), _counting(progress, say("photos.adding")))
    return _show(which, label, part, number)


def _view(
    which: str,
    root: Path | None,
    classes: dict[str, list[str]],
    dataset: PhotoDataset | None,
    why_not: str,
    looked: tuple[str, str, int],
    waiting: bool,
) -> tuple:
    label, part, number = looked
    mine = which == ALBUM
    held, split = _split(dataset, why_not)
    label = label if label in classes else ANY_CLASS
    part = part if part in (TRAIN, VAL) and held else ALL
    photos = [
        (name, path)
        for name, paths in classes.items()
        if label in (ANY_CLASS, name)
        for path in paths
        if part == ALL or (path in held) == (part == VAL)
    ]
    page = sheet.cut(photos, number or 0)
    names = list(classes)
    shown = sheet.sheet_html(page, root, held, mine)
    if not photos:
        shown = note(say("photos.empty" if mine else "photos.not_here" if root is None else "photos.none_here"))
    step = my_album().last if mine else None
    if mine and any(classes.values()):
        my_album().touch()
    place = say("photos.pages", first=page.first, last=page.first + len(page.photos) - 1, total=f"{page.total:,}")
    return (
        _facts(which, root, classes, split),
        gr.update(
            visible=root is None,
            value=say("photos.paint" if which == "garden" else "photos.fetch"),
        ),
        sheet.bars_html(classes, held),
        gr.update(visible=dataset is not None and len(held) < len(dataset)),
        gr.update(visible=mine),
        gr.update(visible=mine),
        _offer_apart(mine),
        gr.update(value=_undo_words(step), visible=step is not None),
        gr.update(choices=names),
        gr.update(choices=names),
        gr.update(choices=names),
        gr.update(choices=[(say("photos.all_classes"), ANY_CLASS), *names], value=label),
        gr.update(visible=any(classes.values())),
        gr.update(value=part, interactive=bool(held)),
        gr.update(visible=mine and bool(photos)),
        shown,
        gr.update(visible=page.pages > 1),
        gr.update(interactive=page.number > 0),
        f"<p>{common.escape(place)}</p>",
        gr.update(interactive=page.number + 1 < page.pages),
        gr.update(visible=dataset is not None),
        page.number,
        waiting,
    )


def _nothing(problem: str) -> tuple:
    hidden = gr.update(visible=False)
    return (
        problem, hidden, "", hidden, hidden, hidden, hidden, *[gr.skip()] * 5, hidden,
        gr.skip(), hidden, "", hidden, gr.skip(), gr.skip(), gr.skip(), hidden, 0, False,
    )  # fmt: skip


def _split(dataset: PhotoDataset | None, why_not: str) -> tuple[frozenset[str], str]:
    """Paths of what is held back, and what there is to say about the split."""
    if dataset is None:
        return frozenset(), why_not
    try:
        held = sheet.held_back(dataset)
    except FlowersError as error:
        return frozenset(), sentence(str(error))
    train, val = photos_in_words(len(dataset) - len(held)), photos_in_words(len(held))
    return held, say("photos.split_own" if dataset.held_back else "photos.split_words", train=train, val=val)


def _facts(which: str, root: Path | None, classes: dict[str, list[str]], split: str) -> str:
    count = sum(map(len, classes.values()))
    if which == ALBUM:
        room = say(
            "photos.room_words", photos=f"{count:,}", most_photos=f"{albums.MAX_PHOTOS:,}",
            megabytes=f"{my_album().nbytes / 1e6:,.0f}", most_megabytes=f"{albums.MAX_ALBUM_BYTES / 1e6:,.0f}",
            most_classes=albums.MAX_CLASSES,
        )  # fmt: skip
        title = say("photos.mine")
        rows = [("room", room), ("split", split), ("private", say("photos.private_words"))]
        undone = {"steps": albums.MAX_STEPS, "megabytes": f"{albums.MAX_ALBUM_BYTES / 1e6:,.0f}"}
        rows.append(("kept", say("photos.kept_words", **undone)))
    elif which == "FLOWERS_DATA":
        title, rows = root.name, [("about", say("photos.own_folder")), ("split", split)]
    else:
        title, known = say(f"set.{which}.title"), KNOWN[which]
        rows = [("about", say(f"set.{which}.description")), ("licence", say(f"set.{which}.licence"))]
        rows += [("where", say("photos.not_here" if root is None else "photos.here")), ("split", split)]
        if root is None:
            classes, count = known.classes, known.count
    return sheet.facts_html(title, [(say(f"photos.{what}"), text) for what, text in rows], len(classes), count)


def _offer_apart(mine: bool) -> dict:
    """The button for the other reading of folders that hold folders."""
    classes = set(my_album().apart.values()) if mine else set()
    return gr.update(visible=bool(classes), value=say("photos.tell_apart", n=len(classes)))


def _undo_words(step: Step | None) -> str:
    if step is None:
        return say("photos.undo_nothing")
    kind, about = step.kind.replace(" ", "_"), step.about
    kind += "_to" * (step.kind == "add" and about.name != "")
    return say(f"photos.undo_{kind}", photos=photos_in_words(about.count), name=about.name, new=about.new)


def _start_over() -> tuple:
    """Updates for label, part, number, message, found, leaving, download."""
    return ANY_CLASS, ALL, 0, *_changed("")


def _changed(message: str) -> tuple:
    """Updates after a change: what was found and packed before it no longer holds."""
    return message, "", gr.update(visible=False), gr.update(visible=False)


def _said(text: str) -> str:
    """What went well, also for those who hear the page."""
    return f'<div role="status">{note(text)}</div>'


def _counting(progress: Callable[..., Any], what: str, unit: str = "unit") -> Callable[[int, int | None], None]:
    counted = say(f"photos.{unit}")
    return lambda done, total: progress((done, total), desc=what, unit=counted)


# Fetching


def _fetch(which: str, progress: gr.Progress = gr.Progress()) -> tuple[str, dict]:  # noqa: B008 - how Gradio finds it
    """What there is to say, and the sets as they are now."""
    words, unit = say("photos.fetching"), "unit" if which == "garden" else "unit_bytes"
    try:
        if which not in KNOWN:
            raise UsageError(say("photos.gone"))
        progress(0, desc=words)
        fetched = fetch(which, progress=_counting(progress, words, unit))
    except FlowersError as error:
        return note(str(error), "problem"), gr.skip()
    found, expected = f"{fetched.found:,}", f"{fetched.expected:,}"
    origin = say("photos.origins").join(map(sentence, fetched.origins))
    words = say("photos.fetched", found=found, expected=expected, origin=origin)
    return _said(words), refresh_sets()


# Changing the album


def _add(
    files: list[str] | None,
    into: str | None,
    places: str | None = "",
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> tuple:
    """Updates for what has changed, the file input, the choices of the classes to add and to move to, and the paths."""
    stay = (gr.skip(), gr.skip(), gr.skip(), "")
    if not files:
        return *_changed(note(say("photos.nothing_to_add"), "problem")), *stay
    into, places = (into or "").strip(), _places(places, files)
    archives = [file for file in files if is_archive(file)]
    photos = [file for file in files if file not in archives]
    if photos and not into and not places:
        return *_changed(note(say("photos.name_first"), "problem")), *stay
    albums.drop_unused(albums_dir())
    album, count = my_album(), _counting(progress, say("photos.adding"))
    if places:
        adding = [(functools.partial(album.add_folder, list(zip(places, files, strict=True)), into), files)]
    else:
        adding = [(functools.partial(album.add_zip, archive, into), [archive]) for archive in archives]
        adding += [(functools.partial(album.add, into, photos), photos)] if photos else []
    added, problems = [], ""
    for add, filed in adding:
        try:
            added.append(add(progress=count))
            uploads.forget(filed)
        except FlowersError as error:  # the others are added all the same
            problems += note(str(error), "problem")
    if not added:
        return *_changed(problems), None, gr.skip(), gr.skip(), ""
    names = gr.update(choices=list(album.classes))
    said = _added_words(added, into if photos and not archives and not places else None)
    return *_changed(problems + said), None, names, names, ""


def _places(told: str | None, files: list[str]) -> list[str]:
    """The files' paths in the folder that was dropped; none where they came alone. A browser may send anything."""
    with contextlib.suppress(ValueError, RecursionError):
        paths = json.loads(told or "[]")
        if isinstance(paths, list) and len(paths) == len(files) and all(isinstance(path, str) for path in paths):
            return paths
    return []


def _burst(into: str | None, event: gr.EventData) -> tuple:
    """Photos that the camera took: data URLs of JPEGs, from a browser that may send anything."""
    frames = getattr(event, "photos", None)
    try:
        taken = [_frame(frame) for frame in (frames if isinstance(frames, list) else [])[:BURST]]
        if not taken:
            raise UsageError(say("photos.nothing_to_add"))
        stamp = time.strftime("%H%M%S")
        named = [(f"camera {stamp} {number:02}.jpg", content) for number, content in enumerate(taken, 1)]
        added = my_album().add(into or "", named)
    except FlowersError as error:
        return _changed(note(str(error), "problem"))
    return _changed(_added_words([added], into))


def _frame(frame: Any) -> bytes:
    if not isinstance(frame, str) or len(frame) > MAX_FRAME:
        return b""  # refused as an empty photo, in a sentence
    try:
        return base64.b64decode(frame.partition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        return b""


def _added_words(added: list[Added], name: str | None) -> str:
    count, known = sum(each.count for each in added), sum(each.known for each in added)
    refused = [item for each in added for item in each.refused]
    photos = photos_in_words(count)
    words = [say("photos.added_to", photos=photos, name=name) if name else say("photos.added", photos=photos)]
    if known:
        words.append(say("photos.known", photos=photos_in_words(known)))
    words += [sentence(text) for each in added for text in each.notes]
    if refused:
        words.append(say("photos.refused", photos=photos_in_words(len(refused))))
        words += [sentence(item.reason) for item in refused[:3]] + ["…"] * (len(refused) > 3)
    return _said(" ".join(words)) if count or not refused else note(" ".join(words), "problem")


def _change(change: Callable[[Album], str]) -> tuple:
    """Make a change; what there is to say about it, as ``_changed`` has it."""
    try:
        return _changed(_said(change(my_album())))
    except FlowersError as error:
        return _changed(note(str(error), "problem"))


def _rename(old: str | None, new: str) -> tuple:
    if not old:
        return *_changed(note(say("photos.choose_class"), "problem")), gr.skip(), gr.skip()
    now = _change(lambda album: say("photos.renamed", name=old, new=album.rename(old, new)))
    return *now, "", None


def _remove_class(name: str | None) -> tuple:
    if not name:
        return *_changed(note(say("photos.choose_class"), "problem")), gr.skip()

    def change(album: Album) -> str:
        return say("photos.removed_class", photos=photos_in_words(album.remove_class(name)), name=name)

    return *_change(change), None


def _tell_apart() -> tuple:
    return _change(lambda album: say("photos.told_apart", photos=photos_in_words(album.tell_apart())))


def _undo() -> tuple:
    return _change(lambda album: say("photos.undone") if album.undo() else say("photos.undo_nothing"))


def _move(paths: Any, to: str | None) -> tuple:
    def change(album: Album) -> str:
        return say("photos.moved", photos=photos_in_words(album.move(_names(paths), to or "")), name=to)

    return _change(change)


def _remove(paths: Any) -> tuple:
    return _change(lambda album: say("photos.removed", photos=photos_in_words(album.remove(_names(paths)))))


def _names(paths: Any) -> list[str]:
    """The file names of ticked photos. Raises UsageError where none is ticked."""
    names = [Path(path).name for path in paths if isinstance(path, str)] if isinstance(paths, list) else []
    if not names:
        raise UsageError(say("photos.tick_first"))
    return names


_exported: dict[Path, Path] = {}  # by album: a new export takes the place of the last


def _export(progress: gr.Progress = gr.Progress()) -> tuple[str, dict]:  # noqa: B008
    """What there is to say, and the download."""
    progress(0, desc=say("photos.exporting"))
    # Whoever knows a file's address may read it: nobody guesses this one.
    file = Path(get_upload_folder()) / secrets.token_hex(20) / "my-photos.zip"
    album = my_album()
    if last := _exported.pop(album.folder, None):
        shutil.rmtree(last.parent, ignore_errors=True)
    try:
        if shutil.disk_usage(album.folder.parent).free < album.nbytes + albums.SPARE_BYTES:
            raise UsageError(say("photos.no_room"))
        file.parent.mkdir(parents=True)
        album.export(file)
    except (FlowersError, OSError) as error:
        shutil.rmtree(file.parent, ignore_errors=True)
        said = str(error) if isinstance(error, FlowersError) else say("photos.no_room")
        return note(said, "problem"), gr.update(visible=False)
    _exported[album.folder] = file
    words = say("photos.download", name=file.name, megabytes=f"{max(0.1, file.stat().st_size / 1e6):,.1f}")
    return _said(say("photos.exported")), gr.update(value=str(file), label=words, visible=True)


# The doctor


def _check(which: str, labels_too: bool, progress: gr.Progress = gr.Progress()) -> tuple:  # noqa: B008
    """Updates for the message, the findings, and what can be done about them."""
    nothing = (gr.update(visible=False), gr.skip(), gr.skip())
    try:
        root = _root(which)
        if root is None:
            raise UsageError(say("photos.not_here"))
        dataset = scan(root, _counting(progress, say("photos.adding")))
        findings = check(dataset)
        if labels_too:
            findings = _with_suspects(findings, _counting(progress, say("photos.checking")))
    except FlowersError as error:
        return "", note(str(error), "problem"), *nothing
    anything = bool(findings.left_out(suspects=True) or findings.small)
    key = "photos.leave_out" if which == ALBUM else "photos.leave_out_copy"
    hint = "" if which == ALBUM else f'<p class="hint">{common.escape(say("photos.leave_out_help"))}</p>'
    shown = sheet.findings_html(findings, labels_too)
    return "", shown, gr.update(visible=anything), hint, gr.update(value=say(key))


def _with_suspects(findings: Findings, progress: Callable[[int, int | None], None]) -> Findings:
    from flowers.evaluation.suspects import find_suspects
    from flowers.models.backbones import backbone
    from flowers.recipe import Recipe
    from flowers.training.folds import FALLBACK, out_of_fold

    # Not a download in the middle of a visit: the bundled checkpoint's features do, too.
    recipe = Recipe() if backbone(Recipe().backbone).has_local_weights() else Recipe(init=FALLBACK)
    opinion = out_of_fold(findings.dataset, recipe, progress)
    suspects = find_suspects(findings.dataset, opinion.confidences)
    return dataclasses.replace(findings, suspects=suspects, basis=opinion.basis)


def _leave_out(paths: Any, which: str, progress: gr.Progress = gr.Progress()) -> tuple:  # noqa: B008
    """Take ticked photos out of the album; or copy another set into it without them, and show that."""
    try:
        names = _names(paths)
        if which == ALBUM:
            left = say("photos.left_out", photos=photos_in_words(my_album().remove(names)))
            return *_changed(_said(left)), gr.skip()
        dataset = scan(_root(which))
        held = {photo.path for photo in dataset.photos}
        left_out = held & set(paths)
        if len(held) - len(left_out) > albums.MAX_PHOTOS:
            raise UsageError(say("photos.too_many_to_copy", photos=photos_in_words(len(held) - len(left_out))))
        added = my_album().add_set(dataset, left_out, progress=_counting(progress, say("photos.copying")))
        words = say("photos.copied", photos=photos_in_words(added.count), left_out=photos_in_words(len(left_out)))
        return *_changed(_said(words)), ALBUM
    except FlowersError as error:
        return note(str(error), "problem"), gr.skip(), gr.skip(), gr.skip(), gr.skip()
