"""Links that open the studio at a tab, a run, a checkpoint or a photo; and the address that follows the page.

``?tab=train&run=NAME`` ``?tab=classify&photo=EXAMPLE&checkpoint=NAME`` ``?tab=classify&photo=SET/CLASS/FILE``
``?tab=evaluate&checkpoint=NAME`` ``?tab=share&checkpoint=NAME``

A link names only what the studio has and anybody may see: runs, checkpoints, the example photos and those of the known
photo sets. It cannot name a photo elsewhere on the web: our server would have to fetch whatever address a stranger's
link says, also from the network behind it (server-side request forgery).
"""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import Context
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder

from flowers.data.dataset import listing
from flowers.data.sources import KNOWN, local
from flowers.errors import FlowersError
from flowers.studio import common, examples, train
from flowers.studio.language import say

# What of a tab a link can fill in, and the elem_id of its control.
FILLED = {
    "classify": {"checkpoint": "classify-checkpoint", "photo": "classify-photo"},
    "train": {"run": "train-run"},
    "evaluate": {"checkpoint": "evaluate-checkpoint"},
    "share": {"checkpoint": "share-checkpoint"},
}
QUIET = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
# What a control's value is in an address; nothing where it has no name there.
PHOTO_NAME = "(photo) => linked.showed(photo?.path ?? '', %s)"
CHOICE = "(value) => linked.chose(%s, %s, value === %s ? undefined : value)"


def note() -> gr.HTML:
    """Where a link that leads nowhere is explained: above the tabs."""
    return gr.HTML("", elem_id="link-note", container=False, padding=False)


def build(tabs: gr.Tabs, told: gr.HTML, loaded: Callable[..., Any]) -> Callable[..., Any]:
    """Wire it all, and return the ``then`` of what follows an address.

    Call inside the page's ``gr.Blocks`` when all tabs are laid out. ``loaded`` is the ``then`` of the event that brings
    the page's lists up to date, and ``told`` the place of ``note``.
    """
    by_id = {block.elem_id: block for block in Context.root_block.blocks.values() if block.elem_id}
    ids = [tab.id for tab in tabs.children]
    controls = {(tab, name): by_id[elem] for tab in ids for name, elem in FILLED.get(tab, {}).items()}

    photo = controls.pop(("classify", "photo"))
    # Only a link that names a photo may touch its place: Gradio draws it anew for an event that brings none, too, and
    # somebody may just have opened the camera there.
    wanted, home = (gr.Textbox("", visible="hidden", label="", elem_id=f"link-{name}") for name in ("photo", "tab"))
    wanted.change(_photo, wanted, photo, **QUIET)

    def follow(request: gr.Request) -> list[Any]:
        """Updates of the note, the tabs and every control for the address that the page was opened with."""
        problem, tab, changes = read(dict(request.query_params), ids)
        said = common.note(problem, "problem") if problem else ""
        opened = gr.Tabs(selected=tab) if tab else gr.skip()
        chosen = [changes.get(at, gr.skip()) for at in controls]
        wish = request.query_params["photo"] if ("classify", "photo") in changes else ""
        return [said, opened, *chosen, wish, tab or ""]

    # The photo comes last: it is answered by the checkpoint that is chosen then.
    followed = loaded(follow, None, [told, tabs, *controls.values(), wanted, home], **QUIET)
    settled = followed.then(None, home, None, js="(tab) => linked.settle(tab)", **QUIET)
    for tab in tabs.children:
        tab.select(None, None, None, js=f"() => linked.opened({json.dumps(tab.id)})", **QUIET)
    names = {Path(path).name: name for name, path in example_photos().items()}
    photo.change(None, photo, None, js=PHOTO_NAME % json.dumps(names), **QUIET)
    for (tab, name), control in controls.items():
        js = CHOICE % (json.dumps(tab), json.dumps(name), json.dumps(train.LATEST))
        control.change(None, control, None, js=js, **QUIET)
    return settled.then


def read(asked: dict[str, str], tabs: list[str]) -> tuple[str, str | None, dict[tuple[str, str], dict]]:
    """What an address asks for: a sentence about what is not there, the tab, and updates by (tab, name).

    A link without a tab opens the first that has what it names. Nothing of an address ends up anywhere but in lookups
    and, escaped, in that sentence.
    """
    wanted = {name: asked[name] for name in ("run", "checkpoint", "photo") if asked.get(name)}
    tab = asked.get("tab") or next(
        (tab for tab in tabs if wanted and wanted.keys() <= FILLED.get(tab, {}).keys()), None
    )
    if not tab:
        return "", None, {}
    if tab not in tabs:
        return say("link.no_tab", name=tab), None, {}
    problems, changes = [], {}
    for name, value in wanted.items():
        if name in FILLED.get(tab, {}):
            change = UPDATES[name](value)
            if change is None:
                problems.append(say(f"link.no_{name}", name=value))
            else:
                changes[tab, name] = change
    return " ".join(problems), tab, changes


def example_photos() -> dict[str, str]:
    """The paths of the example photos by their names in a link."""
    return {examples.name_of(path): path for path in examples.photos()}


def _run(name: str) -> dict | None:
    """Whoever has a run's link may see it, also where lists do not show it."""
    return train.select(name) if common.find_run(name) else None


def _checkpoint(name: str) -> dict | None:
    choices = common.checkpoint_choices(name)
    return gr.update(choices=choices, value=name) if name in [value for _, value in choices] else None


def _photo(name: str) -> str | None:
    return example_photos().get(name) or _photo_of_set(*name.partition("/")[::2])


def _photo_of_set(source: str, photo: str) -> str | None:
    """A copy, where Gradio serves it, of a known set's photo that is named by its path in the set."""
    with contextlib.suppress(FlowersError, OSError):
        root = local(source) if source in KNOWN else None
        if root and any(photo in photos for photos in listing(root).values()):
            return save_file_to_cache(root / photo, get_upload_folder())
    return None


UPDATES: dict[str, Callable[[str], Any]] = {"run": _run, "checkpoint": _checkpoint, "photo": _photo}
