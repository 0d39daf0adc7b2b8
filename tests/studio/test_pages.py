"""The pages that the studio serves itself: each made once, a few kept, and no path leads anywhere else."""

import os
from dataclasses import replace

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from flowers.errors import ShareError
from flowers.models.checkpoint import find_checkpoint
from flowers.paths import cache_dir
from flowers.share.page import Made
from flowers.studio import pages

TOLD = Made(1, True, 10, False, True, 10, 0.0)


@pytest.fixture
def checkpoint():
    return find_checkpoint("flowers-resnet18")


@pytest.fixture
def written(monkeypatch):
    """The names of the checkpoints whose pages were written, which takes no time here."""
    names = []

    def write(checkpoint, folder):
        names.append(checkpoint.created)
        (folder / "ort").mkdir(parents=True)
        (folder / "index.html").write_text("<h1>a page</h1>")
        (folder / "page.js").write_text("1")
        (folder / "ort" / "ort-wasm-simd.wasm").write_bytes(b"\0asm")
        return TOLD

    monkeypatch.setattr(pages, "write_page_apart", write)
    return names


@pytest.fixture
def client():
    return TestClient(Starlette(routes=pages.routes()))


def test_a_page_is_served_as_browsers_want_it(client, checkpoint, written):
    pages.made_page(checkpoint)
    at = pages.link_to("http://testserver", checkpoint).removeprefix("http://testserver")
    for file, kind in (
        ("", "text/html; charset=utf-8"), ("index.html", "text/html; charset=utf-8"),
        ("page.js", "text/javascript; charset=utf-8"), ("ort/ort-wasm-simd.wasm", "application/wasm"),
    ):  # fmt: skip
        answer = client.get(at + file)
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get(at).text == "<h1>a page</h1>"


def test_nothing_else_is_served(client, checkpoint, written):
    folder, _ = pages.made_page(checkpoint)
    (cache_dir() / "page").mkdir()
    (cache_dir() / "page" / "index.html").write_text("secret")
    at = f"/page/{pages.key(checkpoint)}"
    for path in (
        "/page/..%2f/index.html", "/page/../index.html", "/page/.%2e/index.html", "/page/", "/page//index.html",
        "/page/nobody/index.html", f"{at}/../made.json", f"{at}/%2e%2e/made.json", f"{at}/ort", f"{at}/ort/",
        f"{at}//etc/passwd", f"{at}/..%2f..%2f..%2fpage%2findex.html", f"{at}/index.html%00",
    ):  # fmt: skip
        answer = client.get(path)
        assert answer.status_code == 404, path
        assert "secret" not in answer.text
    assert (folder.parent / "made.json").is_file()


def test_a_page_is_made_once_and_anew_for_another_version_of_the_checkpoint(checkpoint, written):
    first, told = pages.made_page(checkpoint)
    assert told == TOLD
    assert pages.made_page(checkpoint) == (first, TOLD)
    assert len(written) == 1
    newer = replace(checkpoint, created="2030-01-01T00:00:00Z")
    calibrated = replace(checkpoint, calibration={**checkpoint.calibration, "made": "2030-01-01T00:00:00Z"})
    assert len({first, pages.made_page(newer)[0], pages.made_page(calibrated)[0]}) == 3


def test_a_page_that_a_kill_left_half_done_is_made_again(checkpoint, written):
    folder, _ = pages.made_page(checkpoint)
    (folder.parent / "made.json").unlink()
    assert pages.made_page(checkpoint)[1] == TOLD
    (folder / "index.html").unlink()
    assert (pages.made_page(checkpoint)[0] / "index.html").is_file()
    assert len(written) == 3


def test_a_page_that_cannot_be_made_leaves_nothing_behind(checkpoint, monkeypatch):
    def fails(*_):
        raise ShareError("It could not be made.")

    monkeypatch.setattr(pages, "write_page_apart", fails)
    with pytest.raises(ShareError):
        pages.made_page(checkpoint)
    assert not list((cache_dir() / "pages").iterdir())


def test_those_used_last_are_kept(checkpoint, written, monkeypatch):
    monkeypatch.setattr(pages, "KEPT", 2)
    several = [replace(checkpoint, created=f"2030-01-0{n}T00:00:00Z") for n in range(1, 4)]
    for n, one in enumerate(several[:2]):
        folder, _ = pages.made_page(one)
        os.utime(folder.parent, (n, n))
    pages.made_page(several[0])  # used again, after the other
    pages.made_page(several[2])
    assert {path.name for path in (cache_dir() / "pages").iterdir()} == {pages.key(several[n]) for n in (0, 2)}
