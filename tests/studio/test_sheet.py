"""Pages of photos and findings as HTML, whatever the classes and files are called."""

import io

from flowers.data.album import Album
from flowers.data.dataset import scan
from flowers.data.doctor import check
from flowers.studio import sheet
from tests.data.test_dataset import picture
from tests.data.test_fingerprint import frame


def test_names_stay_text(tmp_path):
    album, name = Album(tmp_path / "album"), '<img src=x onerror="alert(1)">'
    file = io.BytesIO()
    picture(1).save(file, "PNG")
    other = io.BytesIO()
    picture(1).save(other, "JPEG", quality=80)
    album.add(name, [(f"{name}.png", file.getvalue()), ("copy.jpg", other.getvalue())])
    for seed, kind in ((2, name), (3, "other"), (4, "other")):
        content = io.BytesIO()
        picture(seed).save(content, "PNG")
        album.add(kind, [(f"{seed}.png", content.getvalue())])
    dataset = scan(album.folder)
    rows = [(dataset.class_of(photo.path), photo.path) for photo in dataset.photos]
    html = sheet.sheet_html(sheet.cut(rows, 0), album.folder, frozenset(), True)
    html += sheet.bars_html({name: ["a"]}, frozenset()) + sheet.findings_html(check(dataset))
    assert "&lt;img src=x" in html and "<img src=x" not in html and 'onerror="alert' not in html


def test_a_series_is_told_with_its_class(tmp_path):
    for name, seed in (("<b>valve</b>", 1), ("other", 2)):
        (tmp_path / name.replace("/", "-")).mkdir()
        for n in range(6):
            frame(seed, n / 5).save(tmp_path / name.replace("/", "-") / f"{n}.png")
    html = sheet.findings_html(check(scan(tmp_path)))
    assert "photos.series_title?count=2" in html and "&lt;b&gt;valve&lt;-b&gt;: " in html
    assert "<input" not in html, "nothing is offered to be left out"


def test_pages_hold_every_photo_once():
    rows = [("a", f"a/{number}.png") for number in range(3 * sheet.PER_PAGE + 1)]
    pages = [sheet.cut(rows, number) for number in range(4)]
    assert [path for page in pages for path in page.photos] == rows
    assert [page.first for page in pages] == [1, 61, 121, 181] and pages[0].pages == 4
    assert sheet.cut(rows, 99) == pages[3] and sheet.cut(rows, -1) == pages[0]
    assert sheet.cut([], 5).pages == 1
