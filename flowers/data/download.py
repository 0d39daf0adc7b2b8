"""Fetching one file over HTTP so that a bad line costs time and not the file: what has arrived is kept in
``<name>.part`` and continued, what has changed meanwhile is fetched anew, and only a whole, checked file gets its name.
"""

import contextlib
import errno
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from flowers.errors import DataError

if TYPE_CHECKING:
    import httpx

Progress = Callable[[int, int | None], None]  # done, total (None: unknown)

BACKOFF = 0.5  # seconds before the second try; each further one waits twice as long
BUSY = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    progress: Progress | None = None,
    connect_timeout: float = 10.0,
    stall_timeout: float = 30.0,
    retries: int = 3,
) -> Path:
    """Fetch ``url`` to ``target``, continuing a broken download, and return ``target``.

    ``sha256`` (hexadecimal) and ``size`` (bytes), where given, must match; a target that already matches ``sha256`` is
    not fetched again. ``progress(done, total)`` counts bytes, those of an earlier try included; ``done`` falls back
    when the download has to start over. Timeouts are in seconds: to connect, and for a connection that stays silent.
    ``retries`` bounds the tries in a row that bring nothing new. Two processes must not fetch to one target at once.

    Raises DataError when the host cannot be reached (at once: being offline is no hiccup), refuses, keeps breaking
    off, sends the wrong file, or the disk is full.
    """
    import httpx

    target = Path(target)
    part = target.with_name(f"{target.name}.part")
    timeout = httpx.Timeout(stall_timeout, connect=connect_timeout)
    try:
        if sha256 and target.is_file() and file_sha256(target) == sha256:
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with httpx.Client(timeout=timeout, follow_redirects=True, headers={"Accept-Encoding": "identity"}) as client:
            _receive_all(client, url, part, size, sha256, progress, retries)
        _check(part, size, sha256)
        os.replace(part, target)
        _validator_file(part).unlink(missing_ok=True)
    except httpx.InvalidURL as error:
        raise DataError(f"{url!r} is not an address to download from: correct it.") from error
    except OSError as error:
        if error.errno in DISK_FULL:  # give the space back; anything else may pass, so what has arrived stays
            part.unlink(missing_ok=True)
        raise storage_error(error, target) from error
    return target


@contextlib.contextmanager
def progress_bar(description: str, unit: str = "B") -> Iterator[Progress]:
    """A bar on the terminal with rate and time left, fed through the yielded ``progress(done, total)``.

    Silent where standard error is not a terminal. ``unit`` is "B" for bytes, else a word such as " photos".
    """
    from tqdm import tqdm

    bar = None

    def report(done: int, total: int | None) -> None:
        nonlocal bar
        if bar is None:  # made late, so that what an earlier try had brought does not count towards the rate
            divisor = 1024 if unit == "B" else 1000
            bar = tqdm(
                desc=description,
                total=total,
                initial=done,
                unit=unit,
                unit_scale=True,
                unit_divisor=divisor,
                disable=None,
            )
        bar.total = total
        bar.update(done - bar.n)

    try:
        yield report
    finally:
        if bar is not None:
            bar.close()


def file_sha256(path: Path) -> str:
    """The sha256 of a file's content as 64 hexadecimal digits. Raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def storage_error(error: OSError, path: Path) -> DataError:
    """The sentence for an ``OSError`` met while making ``path``."""
    if error.errno in DISK_FULL:
        return DataError(f"The disk is full while writing {path.name}: free some space in {path.parent} and try again.")
    reason = error.strerror or type(error).__name__
    return DataError(
        f"{error.filename or path} cannot be used ({reason}): check that it can be read and written, or set "
        "FLOWERS_CACHE to another folder."
    )


class _Interrupted(Exception):
    """This try failed in a way that the next one may mend."""

    connected = True


class _Unreachable(_Interrupted):
    connected = False


def _receive_all(client, url, part, size, sha256, progress, retries) -> None:
    """Try until ``part`` is complete, giving up after ``retries`` tries in a row that got no further than before."""
    furthest, fruitless, connected = _length(part), 0, False
    while True:
        try:
            return _receive(client, url, part, size, sha256, progress)
        except _Interrupted as reason:
            connected = connected or reason.connected
            if not connected:
                raise DataError(f"{_place(url)} cannot be reached: check the network and try again.") from reason
            reached = _length(part)
            fruitless = 0 if reached > furthest else fruitless + 1
            furthest = max(furthest, reached)
            if fruitless > retries:
                raise DataError(
                    f"The download of {_place(url)} failed {fruitless} times in a row ({reason}): try again later; "
                    "what has arrived is kept."
                ) from reason
            time.sleep(BACKOFF * 2**fruitless)


def _receive(client: "httpx.Client", url: str, part: Path, size, sha256, progress) -> None:
    """One request, appended to ``part`` if the server lets us continue, else from the start."""
    import httpx

    have, headers = _resume(part, size, checked=sha256 is not None)
    if have == size:
        return
    try:
        with client.stream("GET", url, headers=headers) as response:
            start = _start(response, url, have, part)
            length = response.headers.get("Content-Length", "")
            total = start + int(length) if length.isdecimal() else size
            _check_length(total, size, url)
            if start == 0:
                _start_over(part, response.headers)
            done = start
            with open(part, "ab") as file:
                for chunk in response.iter_raw():
                    file.write(chunk)
                    done += len(chunk)
                    if size is not None and done > size:
                        _check_length(done, size, url)
                    if progress:
                        progress(done, total)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise _Unreachable("the connection is lost") from error
    except httpx.TimeoutException as error:
        raise _Interrupted("the server fell silent") from error
    except (httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
        raise DataError(f"{url!r} leads to no address to download from: correct it.") from error
    except httpx.TransportError as error:
        raise _Interrupted("the connection broke off") from error
    if total is not None and done < total:
        raise _Interrupted("the connection broke off")


def _resume(part: Path, size: int | None, checked: bool) -> tuple[int, dict[str, str]]:
    """How many bytes we have, and the headers that ask for the rest of the very same file.

    Without a validator from the server only a checksum can tell that the two halves belong together.
    """
    have = _length(part)
    validator = _validator_file(part).read_text("ascii", "replace") if _validator_file(part).is_file() else ""
    if not (validator.isascii() and validator.isprintable()):  # damaged: no header can hold it
        validator = ""
    if have == 0 or not (validator or checked) or (size is not None and have > size):
        part.unlink(missing_ok=True)
        return 0, {}
    return have, {"Range": f"bytes={have}-"} | ({"If-Range": validator} if validator else {})


def _start(response: "httpx.Response", url: str, have: int, part: Path) -> int:
    """The offset at which the response's body begins. Raises _Interrupted or DataError for a status without one."""
    status = response.status_code
    if status == HTTPStatus.OK:
        return 0
    if status == HTTPStatus.PARTIAL_CONTENT and re.match(rf"bytes {have}-", response.headers.get("Content-Range", "")):
        return have
    if status in (HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
        part.unlink(missing_ok=True)
        raise _Interrupted("the server did not continue where we were")
    answer = f"{status} {response.reason_phrase}".strip()
    if status in BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise _Interrupted(f"it answered {answer}")
    raise DataError(f"{_place(url)} answered {answer}: check the address, or try another source.")


def _start_over(part: Path, headers) -> None:
    """Empty ``part`` and remember which version of the file it is going to hold (RFC 9110: strong validators only)."""
    part.unlink(missing_ok=True)  # first: an old part must never stand beside a new validator
    etag = headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")
    _validator_file(part).write_text(validator if validator.isascii() else "", "ascii")


def _check(part: Path, size: int | None, sha256: str | None) -> None:
    damaged = (size is not None and _length(part) != size) or (sha256 is not None and file_sha256(part) != sha256)
    if damaged:
        part.unlink()
        name = part.name.removesuffix(".part")
        raise DataError(f"What arrived as {name} is not the expected file (its checksum differs): try again.")


def _check_length(length: int | None, size: int | None, url: str) -> None:
    if length is not None and size is not None and length != size:
        raise DataError(
            f"{_place(url)} offers {length:,} bytes where {size:,} are expected: it has changed, or something on the "
            "way (a login page?) answers in its place; try another source."
        )


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _validator_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _place(url: str) -> str:
    """The host and file of ``url``, without query, user name or password: fit to be shown."""
    import httpx

    parsed = httpx.URL(url)
    return f"{parsed.host}{parsed.path}"
