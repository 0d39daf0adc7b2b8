"""Downloads against a local server that drips, breaks off, falls silent, changes its mind and lies."""

import contextlib
import hashlib
import itertools
import random
import re
import resource
import socket
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowers.data import download as module
from flowers.data.download import download, progress_bar
from flowers.errors import DataError

CONTENT = random.Random(0).randbytes(50_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``content``; each attribute is one way in which a real server may be less than ideal."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.version = CONTENT, '"one"'
        self.cuts: list[int] = []  # of each answer in turn: the byte of the file at which it breaks off
        self.statuses: list[int] = []  # of each answer in turn, before the good ones
        self.ranges = True  # whether Range is honoured
        self.drip = 0.0  # seconds between pieces
        self.silent: threading.Event | None = None  # instead of breaking off, say nothing until it is set
        self.asked: list[dict] = []  # the headers of each request

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/flowers.tgz?token=secret"

    def handle_error(self, request, client_address):
        """A client that went away is no news here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.asked.append(dict(self.headers))
        start = self._start()
        status = server.statuses.pop(0) if server.statuses else 200
        if status == 200 and start < len(server.content):
            self._answer(start)
        else:
            self.send_error(416 if status == 200 else status)

    def _answer(self, start: int):
        server = self.server
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        self.send_header("Content-Length", str(len(server.content) - start))
        if server.version:
            self.send_header("ETag", server.version)
        self.end_headers()
        self._send(start)

    def _start(self) -> int:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        current = self.headers.get("If-Range", self.server.version) == self.server.version
        return int(match[1]) if match and current and self.server.ranges else 0

    def _send(self, start: int):
        server = self.server
        stop = server.cuts.pop(0) if server.cuts else len(server.content)
        piece = 2500 if server.drip else 1 << 20
        for at in range(start, stop, piece):
            self.wfile.write(server.content[at : min(at + piece, stop)])
            threading.Event().wait(server.drip)
        if stop < len(server.content):
            if server.silent:
                server.silent.wait()
            self.close_connection = True

    def log_message(self, *_):
        """Tests stay quiet."""


@contextlib.contextmanager
def serving():
    with Server() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield server
        finally:
            if server.silent:
                server.silent.set()
            server.shutdown()


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(module, "BACKOFF", 0)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "downloads" / "flowers.tgz"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_sentence(error: BaseException) -> None:
    text = str(error)
    assert text.endswith(".") and "\n" not in text and len(text) > 30 and "secret" not in text


def test_a_file_arrives_whole_with_its_progress(server, target):
    seen = []
    assert (
        download(server.url, target, sha256=SHA256, size=len(CONTENT), progress=lambda *now: seen.append(now)) == target
    )
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == [target.name], "nothing is left beside it"
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert all(before <= after for (before, _), (after, _) in itertools.pairwise(seen))


def test_a_slow_server_is_waited_for(server, target):
    server.drip = 0.01
    seen = []
    download(server.url, target, sha256=SHA256, stall_timeout=5, progress=lambda done, _: seen.append(done))
    assert target.read_bytes() == CONTENT
    assert len(server.asked) == 1 and len(seen) > 5


def test_a_file_that_is_there_is_not_fetched_again(server, target):
    for _ in range(2):
        download(server.url, target, sha256=SHA256)
    assert len(server.asked) == 1


def test_a_cut_off_download_continues_where_it_was(server, target):
    server.cuts = [20_000]
    download(server.url, target)
    assert target.read_bytes() == CONTENT
    assert [headers.get("Range") for headers in server.asked] == [None, "bytes=20000-"]
    assert server.asked[1]["If-Range"] == '"one"'


def test_a_later_call_continues_and_reports_what_was_there(server, target):
    server.cuts, server.statuses = [20_000], [200, 503]
    with pytest.raises(DataError, match="kept") as failure:
        download(server.url, target, retries=0)
    assert_sentence(failure.value)
    assert not target.exists()
    seen = []
    download(server.url, target, progress=lambda *now: seen.append(now))
    assert target.read_bytes() == CONTENT
    assert server.asked[2]["Range"] == "bytes=20000-"
    assert seen[0][0] > 20_000 and seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_server_that_falls_silent_is_asked_again(server, target):
    server.cuts, server.silent = [20_000], threading.Event()
    download(server.url, target, stall_timeout=0.3)
    assert target.read_bytes() == CONTENT
    assert server.asked[1]["Range"] == "bytes=20000-"


def test_a_server_that_ignores_ranges_starts_over(server, target):
    server.cuts, server.ranges = [20_000], False
    download(server.url, target)
    assert target.read_bytes() == CONTENT


def test_always_breaking_off_at_the_same_place_ends(server, target):
    server.cuts, server.ranges = [20_000] * 50, False
    with pytest.raises(DataError, match="times in a row") as failure:
        download(server.url, target, retries=3)
    assert_sentence(failure.value)
    assert len(server.asked) == 5, "one that brought something, then four that brought nothing new"


def test_a_file_that_changed_meanwhile_is_fetched_anew(server, target):
    server.cuts, server.statuses = [20_000], [200, 503]
    with pytest.raises(DataError):
        download(server.url, target, retries=0)
    server.content, server.version = CONTENT[::-1], '"two"'
    download(server.url, target)
    assert target.read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize(("sha256", "resumed"), [(SHA256, "bytes=20000-"), (None, None)])
def test_without_a_version_only_a_checksum_allows_to_continue(server, target, sha256, resumed):
    server.cuts, server.version = [20_000], ""
    download(server.url, target, sha256=sha256)
    assert target.read_bytes() == CONTENT
    assert server.asked[1].get("Range") == resumed


@pytest.mark.parametrize("version", [b"\xff", b'"o\ne"', b"\x00", b"\x7f\xc3\xa9"])
def test_a_version_that_no_header_can_hold_is_as_none(server, target, version):
    server.cuts, server.statuses = [20_000], [200, 503]
    with pytest.raises(DataError):
        download(server.url, target, retries=0)
    target.with_name("flowers.tgz.part.version").write_bytes(version)
    download(server.url, target, retries=0)
    assert target.read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_dropped(server, target):
    target.parent.mkdir()
    target.with_name("flowers.tgz.part").write_bytes(CONTENT + b"more")
    download(server.url, target, sha256=SHA256)
    assert target.read_bytes() == CONTENT


def test_a_complete_part_is_not_asked_for(server, target):
    target.parent.mkdir()
    target.with_name("flowers.tgz.part").write_bytes(CONTENT)
    download(server.url, target, sha256=SHA256, size=len(CONTENT))
    assert target.read_bytes() == CONTENT and not server.asked


@given(
    cuts=st.lists(st.integers(0, len(CONTENT) - 1), max_size=6),
    ranges=st.booleans(),
    version=st.sampled_from(["", '"a"']),
)
def test_wherever_it_breaks_off_the_file_is_the_servers(cuts, ranges, version):
    with tempfile.TemporaryDirectory() as folder, serving() as server:
        server.cuts, server.ranges, server.version = cuts, ranges, version
        target = download(server.url, Path(folder) / "file", retries=len(cuts))
        assert target.read_bytes() == CONTENT and names(target.parent) == ["file"]


def test_a_wrong_checksum_leaves_nothing(server, target):
    with pytest.raises(DataError, match="not the expected file") as failure:
        download(server.url, target, sha256="0" * 64)
    assert_sentence(failure.value)
    assert not target.exists() and not target.with_name("flowers.tgz.part").exists()


def test_a_wrong_size_is_refused_before_it_is_fetched(server, target):
    seen = []
    with pytest.raises(DataError, match=r"50,000 bytes where 49,999") as failure:
        download(server.url, target, size=len(CONTENT) - 1, progress=lambda *now: seen.append(now))
    assert_sentence(failure.value)
    assert not seen and not target.exists()


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (500, 3), (503, 3), (429, 3)])
def test_refusals_are_final_and_troubles_are_retried(server, target, status, requests):
    server.statuses = [status] * 10
    with pytest.raises(DataError, match=str(status)) as failure:
        download(server.url, target, retries=2)
    assert_sentence(failure.value)
    assert len(server.asked) == requests and not target.exists()


def test_a_trouble_that_passes_is_survived(server, target):
    server.statuses = [503, 500]
    download(server.url, target)
    assert target.read_bytes() == CONTENT


def test_offline_fails_at_once_and_keeps_what_is_there(target, monkeypatch):
    monkeypatch.setattr(module.time, "sleep", lambda _: pytest.fail("being offline is not worth waiting"))
    target.parent.mkdir()
    part = target.with_name("flowers.tgz.part")
    part.write_bytes(b"half")
    with socket.socket() as unused:  # bound but not listening: connections are refused
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(DataError, match="cannot be reached") as failure:
            download(f"http://127.0.0.1:{unused.getsockname()[1]}/flowers.tgz", target, sha256=SHA256)
    assert_sentence(failure.value)
    assert part.read_bytes() == b"half"


@pytest.mark.parametrize("url", ["gopher://host/x", "http://", "http://[x/", "not an address"])
def test_what_is_no_address_is_a_sentence(url, target):
    with pytest.raises(DataError) as failure:
        download(url, target)
    assert_sentence(failure.value)


def test_a_full_disk_is_a_sentence_and_gets_its_space_back(server, target):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # the kernel refuses to let any file grow past this
    try:
        with pytest.raises(DataError, match="disk is full") as failure:
            download(server.url, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_sentence(failure.value)
    assert not target.exists() and not target.with_name("flowers.tgz.part").exists()


def test_a_folder_that_cannot_be_made_is_a_sentence(server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError) as failure:
        download(server.url, tmp_path / "file" / "flowers.tgz")
    assert_sentence(failure.value)


def test_the_bar_shows_share_rate_and_size_on_a_terminal_only(capsys, monkeypatch):
    for terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        with progress_bar("flowers5") as progress:
            progress(1 << 20, 4 << 20)
            progress(2 << 20, 4 << 20)
            progress(1 << 20, 4 << 20)  # started over
            progress(4 << 20, 4 << 20)
        shown = capsys.readouterr().err
        assert bool(shown) == terminal
    assert "flowers5" in shown and "100%" in shown and "4.00M/4.00M" in shown and "B/s" in shown
