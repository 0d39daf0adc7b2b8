"""Whatever goes wrong while an event is answered is one sentence for the visitor, and little for the log."""

import collections
import errno
import logging
import re
import traceback
from typing import Any, Literal

import gradio as gr

from flowers.errors import FlowersError
from flowers.studio.language import chosen, text, translated

UNREADABLE = "This request could not be understood: reload the page, and try again."
FAULT = "Something went wrong here, which is not your fault: try again, or tell whoever runs this studio."

NOT_WRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG}

logger = logging.getLogger(__name__)
_seen: collections.Counter[str] = collections.Counter()  # by places in the code, of which there are not many


class _Unreadable(Exception):
    """What a page or a program sent is nothing that the event takes."""


def in_sentences(page: gr.Blocks) -> None:
    """Have the page's events end in a sentence, whatever they raise: a ``FlowersError`` in its own."""
    process, preprocess = page.process_api, page.preprocess_data

    async def preprocess_or_tell(*args: Any, **options: Any) -> list[Any]:
        try:
            return await preprocess(*args, **options)
        except Exception as error:  # as many kinds as there are components
            tell(error, "the input of an event", "line")
            raise _Unreadable from None

    async def process_or_tell(block_fn: Any, inputs: list[Any], **options: Any) -> dict[str, Any]:
        try:
            if block_fn.fn is None:  # what a browser does alone
                raise _Unreadable
            if (event_data := options.get("event_data")) is not None:
                event_data._data = whole(event_data._data)
            return await process(block_fn, whole(inputs), **options)
        except gr.Error as error:
            if not error.print_exception:  # our own
                raise
            tell(error, _name(block_fn), "line")  # Gradio's own, about what was sent
            said = UNREADABLE
        except FlowersError as error:
            said = str(error)
        except _Unreadable:
            said = UNREADABLE
        except Exception as error:
            tell(error, _name(block_fn))
            said = _why_not_written(error) or FAULT
        language = chosen(getattr(options.get("request"), "headers", None) or {})
        title = text(language, "error.title")
        raise gr.Error(translated(said, language), title=title, print_exception=False)

    page.process_api, page.preprocess_data = process_or_tell, preprocess_or_tell


def whole(value: Any) -> Any:
    """What JSON held, without half characters (lone surrogates): they can be written to no file, and sent to nobody.

    Raises _Unreadable where it is nested too deeply.
    """
    try:
        return _whole(value)
    except RecursionError:
        raise _Unreadable from None


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "ignore").decode()
    if isinstance(value, list):
        return [_whole(one) for one in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(one) for key, one in value.items()}
    return value


def tell(error: BaseException, where: str, how: Literal["line", "traceback"] = "traceback") -> None:
    """Log an error, when it is the first of its place, and then the tenth, the hundredth: visitors fill no disk."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{type(error).__name__} at {frames[-1].filename}:{frames[-1].lineno}" if frames else type(error).__name__
    _seen[place] += 1
    if re.fullmatch("10*", str(_seen[place])):
        words = "".join(c if c.isprintable() else " " for c in f"{where[:200]}: {error}")
        first = how == "traceback" and _seen[place] == 1
        logger.warning("%s (%d so far), %.400s", place, _seen[place], words, exc_info=error if first else None)


def _why_not_written(error: Exception) -> str:
    """What there is to say where the disk takes nothing more; empty for another error."""
    if isinstance(error, OSError) and error.errno in NOT_WRITTEN:
        return f"The server cannot write ({error.strerror}): tell whoever runs this studio."
    return ""


def _name(block_fn: Any) -> str:
    return str(getattr(block_fn, "api_name", None) or getattr(block_fn, "name", None) or block_fn)
