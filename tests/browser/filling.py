"""Every tab with something in it, as whoever has used the whole studio sees it."""

import io
import zipfile
from pathlib import Path

from playwright.sync_api import Page, expect

from flowers.data.garden import render_flower
from tests.browser.conftest import choose

UNFOLD = """() => {
    const folded = document.querySelectorAll("#tabs :is(button.label-wrap:not(.open), details:not([open]) > summary)");
    window.unfolding = [...folded].filter((one) => one.checkVisibility());
    unfolding.forEach((one) => one.click());
    return unfolding.length;
}"""
UNFOLDED = "unfolding.every((one) => one.matches('.open, [open] > summary') || !one.isConnected)"


def flower(name: str, seed: int, side: int = 200, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    render_flower(name, seed, side).save(file, format)
    return file.getvalue()


def album_zip(folder: Path) -> Path:
    """Photos of two classes, about which the doctor has everything to say: one has a copy, one stands in both classes,
    one is small, and one is under the wrong name."""
    photos = {f"{name}/{seed}.png": flower(name, seed) for name in ("daisy", "tulip") for seed in range(3)}
    photos |= {"daisy/copy.jpg": flower("daisy", 1, format="JPEG"), "tulip/both.jpg": flower("daisy", 2, format="JPEG")}
    photos |= {"daisy/small.png": flower("daisy", 7, 60), "daisy/wrong.png": flower("tulip", 9)}
    with zipfile.ZipFile(folder / "mine.zip", "w") as archive:
        for name, content in photos.items():
            archive.writestr(name, content)
    return folder / "mine.zip"


def fill(page: Page, tab: str) -> None:
    """Put content into a tab, where the album of ``album_zip`` and the runs "one" and "two" are, and open all of it."""
    button = page.locator(f"[role=tab][data-tab-id={tab}]")
    button.click()
    expect(button).to_have_attribute("aria-selected", "true")
    FILL[tab](page)
    unfold(page)


def unfold(page: Page) -> None:
    """Open everything in the open tab that is folded."""
    while page.evaluate(UNFOLD):
        page.wait_for_function(UNFOLDED)


def _fill_classify(page: Page) -> None:
    photos = [
        {"name": "daisy.png", "mimeType": "image/png", "buffer": flower("daisy", 5)},
        {"name": "damaged.jpg", "mimeType": "image/jpeg", "buffer": b"this is only text, not a photo"},
    ]
    page.locator("#classify-see input[data-testid$=upload-button]").set_input_files(photos)
    expect(page.locator("#classify-many tbody tr")).to_have_count(2)
    expect(page.locator("#classify-recent li")).to_have_count(1)
    page.locator("#classify-why > button").click()
    expect(page.locator("#classify-reason .after")).to_be_visible()


def _fill_photos(page: Page) -> None:
    page.locator("#photos-check").click()
    expect(page.locator("#photos-findings section")).to_have_count(3)
    page.locator("[data-camera=open]").click()
    expect(page.locator("[data-camera=take]")).to_be_visible()


def _fill_train(page: Page) -> None:
    choose(page, "train-run", "one")
    expect(page.locator("#train-look figure")).to_have_count(5)
    expect(page.locator("#train-try")).to_be_visible()
    page.locator("#train-compare > button").click()
    for name in ("one", "two"):
        page.locator(f"#train-runs input[value={name}]").check()
    for name in ("one", "two"):
        expect(page.locator("#train-runs .legend").first).to_contain_text(name)
    page.locator("#train-about > button").click()
    page.locator("#train-delete").click()
    expect(page.locator("#train-delete-yes")).to_be_visible()


def _fill_augment(page: Page) -> None:
    page.locator("#augment-preset input[value=best]").check()
    expect(page.locator("#augment-second")).to_be_visible()
    expect(page.locator("#augment-pictures .together figcaption")).to_have_count(8)


def _fill_evaluate(page: Page) -> None:
    choose(page, "evaluate-source", "My photos")
    choose(page, "evaluate-against", "flowers-resnet18-report")
    page.locator("#evaluate-split").get_by_label("All").check()
    page.locator("#evaluate-start").click()
    expect(page.locator("#evaluate-report")).to_be_visible()
    page.locator("table.matrix td.wrong button").first.click()
    expect(page.locator("#evaluate-photos h3")).to_be_focused()
    page.get_by_role("button", name="Show where it looked").click()
    expect(page.locator("#evaluate-photos .grid.reasons")).to_be_visible()


def _fill_share(page: Page) -> None:
    with page.expect_download():
        page.locator("#share-zip").click()
    expect(page.locator("#share-taken .done")).to_be_visible()
    page.locator("#share-hub > button").click()
    page.locator("#share-send").click()
    expect(page.locator("#share-sent .problem")).to_be_visible()


FILL = {
    "classify": _fill_classify,
    "photos": _fill_photos,
    "augment": _fill_augment,
    "evaluate": _fill_evaluate,
    "share": _fill_share,
    "train": _fill_train,
}
