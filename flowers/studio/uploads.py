"""Photos on their way in: where they were taken is not kept, not even for the day that they are temporary files."""

import asyncio
import contextlib
import json
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from gradio import route_utils
from gradio.utils import get_upload_folder

from flowers.data.decode import MAX_BYTES
from flowers.data.metadata import without_place
from flowers.errors import DecodeError
from flowers.files import write_whole
from flowers.studio.door import FULL_DISK, Refused
from flowers.studio.visitors import UPLOAD, Receive, Scope, Send, path_of

BROKEN_SECONDS = 3600  # after which a file that nothing more is written to was never finished
SWEEP_SECONDS = 60.0


class _OfItsOwn(route_utils.GradioUploadFile):
    """An upload that shares its folder with no other. By itself it is named by its bytes alone: who removes it would
    take it away from everybody who has sent the same, as a class does with its teacher's photos."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sha.update(secrets.token_bytes(16))


def keep_apart() -> None:
    """Have every upload lie in a folder of its own."""
    route_utils.GradioUploadFile = _OfItsOwn


class WithoutPlace:
    """ASGI middleware that takes the place out of photos before anybody is told that they have arrived."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.app = app
        self._swept = -SWEEP_SECONDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or path_of(scope) != UPLOAD:
            await self.app(scope, receive, send)
            return
        held, body = [], bytearray()

        async def hold(message: dict) -> None:
            held.append(message)
            body.extend(message.get("body", b""))

        if (now := time.monotonic()) > self._swept + SWEEP_SECONDS:
            self._swept = now
            await asyncio.to_thread(_sweep)
        await self.app(scope, receive, hold)
        with contextlib.suppress(ValueError):  # a sentence: why not
            await asyncio.to_thread(_bare, json.loads(bytes(body)))
        for message in held:
            await send(message)


def forget(paths: Iterable[str]) -> None:
    """Remove uploads that have been filed elsewhere. What is no upload stays."""
    folder = Path(get_upload_folder()).resolve()
    for path in map(Path, paths):
        if path.resolve().is_relative_to(folder):
            with contextlib.suppress(OSError):
                path.unlink()
                os.rmdir(path.parent)


def _bare(paths: Any) -> None:
    """Take the place out of photos. What is none, or cannot be read, is refused with a reason by who opens it.

    Raises Refused where a photo cannot be written, which then is not kept as it came either.
    """
    for path in map(Path, paths if isinstance(paths, list) else []):
        try:
            if path.stat().st_size <= MAX_BYTES:
                content = path.read_bytes()
                if (bare := without_place(content)) != content:
                    write_whole(path, bare)
        except DecodeError:
            continue
        except OSError:
            forget(paths)
            raise Refused(507, FULL_DISK) from None


def _sweep() -> None:
    """Remove what is left of uploads that broke off: Gradio knows nothing of them."""
    with contextlib.suppress(OSError), os.scandir(get_upload_folder()) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_file() and time.time() - entry.stat().st_mtime > BROKEN_SECONDS:
                    os.unlink(entry)
