"""Files and folders of the disk, dropped onto a page as a desktop drops them: by the browser's own protocol."""

from pathlib import Path

from playwright.sync_api import Page


def drop(page: Page, zone: str, *paths: Path) -> None:
    """Drop files or folders of the disk onto what ``zone`` selects."""
    at = page.locator(zone).bounding_box()
    place = {"x": at["x"] + at["width"] / 2, "y": at["y"] + at["height"] / 2}
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "data": data, **place})
    session.detach()
