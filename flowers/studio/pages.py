"""Checkpoints' pages to take along, as the studio makes them, keeps a few, and serves them itself.

Each lies under an address that nobody finds who was not given it, as a run's own link: it names the very checkpoint.
"""

import hashlib
import shutil
from dataclasses import asdict
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from flowers.files import parse, remove_leftovers, write_json
from flowers.models.checkpoint import Checkpoint
from flowers.paths import cache_dir
from flowers.share.bundle import file_name
from flowers.share.page import FILES, Made, files_of, write_page_apart
from flowers.share.page_check import TYPES
from flowers.studio.language import chosen, translated

PATH = "/page/"
KEPT = 6  # pages on disk; 20 MB each for the bundled checkpoint
MADE = "made.json"
FOLDER = "page"
# Nothing that another site may put around the page, or that a browser may take for something else.
HEADERS = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}


def made_page(checkpoint: Checkpoint) -> tuple[Path, Made]:
    """The folder of a checkpoint's page, and what is known of it; written where it is not kept from before.

    One at a time: call it in the queue ``common.COMPUTE``. Raises as ``write_page_apart``.
    """
    kept = _pages() / key(checkpoint)
    folder = kept / FOLDER
    try:
        told = parse(Made, (kept / MADE).read_bytes())
        if (folder / "index.html").is_file():
            kept.touch()  # used last
            return folder, told
    except (OSError, ValueError):  # it was never made, or not to its end
        pass
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    try:
        told = write_page_apart(checkpoint, folder)
        write_json(kept / MADE, asdict(told))
    except BaseException:
        shutil.rmtree(kept, ignore_errors=True)
        raise
    _forget_old()
    return folder, told


def key(checkpoint: Checkpoint) -> str:
    """What the page's address ends in: another one for every checkpoint, and for every version of the page."""
    whole = hashlib.sha256(f"{checkpoint.folder} {checkpoint.created} {checkpoint.calibration.get('made')}".encode())
    for path in sorted(path for path in FILES.rglob("*") if path.is_file()):
        whole.update(path.read_bytes())
    return f"{file_name(checkpoint)}-{whole.hexdigest()[:16]}"


def link_to(address: str, checkpoint: Checkpoint) -> str:
    """The page's own link, for a studio that its visitor sees at ``address``."""
    return f"{address.rstrip('/')}{PATH}{key(checkpoint)}/"


def routes() -> list[Route]:
    """What the server answers beside Gradio's own paths: ``/page/KEY/FILE``."""
    return [Route(PATH + "{key}/{file:path}", _answer)]


async def _answer(request: Request) -> Response:
    asked, wanted = request.path_params["key"], request.path_params["file"] or "index.html"
    # By their names, so that no path leads anywhere else.
    kept = next((path for path in _pages().glob("*") if path.name == asked), None)
    files = {path.relative_to(kept / FOLDER).as_posix(): path for path in files_of(kept / FOLDER)} if kept else {}
    if wanted not in files:
        said = translated("This page is not here any more: ask who gave you the link.", chosen(request.headers))
        return PlainTextResponse(said, status_code=404, headers=HEADERS)
    return FileResponse(files[wanted], media_type=TYPES.get(files[wanted].suffix), headers=HEADERS)


def _pages() -> Path:
    return cache_dir() / "pages"


def _forget_old() -> None:
    remove_leftovers(_pages())
    kept = sorted((path for path in _pages().iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for path in kept[:-KEPT]:
        shutil.rmtree(path, ignore_errors=True)
