"""Answers that follow a camera: a browser sends what it sees now, a few times a second, and is told what it shows.

Beside Gradio's line, which is made for questions that may wait. One frame is worked on at a time, so that live visitors
take one core at most, and each who waits has a turn before anybody has a second one.
"""

import base64
import io
import json
import math
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import gradio as gr
from anyio.to_thread import run_sync
from gradio.context import LocalContext
from PIL import Image
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from flowers.classifier import Answer, Classifier
from flowers.data.decode import decode_image, open_header
from flowers.errors import FlowersError, UsageError
from flowers.models.calibration import UNFAMILIAR
from flowers.reason import overlay
from flowers.studio import common
from flowers.studio.answers import answer_card, facts
from flowers.studio.language import say, sentence
from flowers.studio.visitors import LIVE

MAX_FRAME, MAX_SIDE = 300_000, 1280  # bytes and pixels of a frame; the page's have 256 pixels and about 15,000 bytes
NEW = 0.4  # share of the newest frame in what is told; at eight a second a change is told after a third of a second
# Two ways to begin, and the camera's own view. Its words are in live.js's hands.
MARKUP = f"""
<div class="live" data-path="{LIVE}"><div class="row"><button type="button" class="main" data-live="choose">
{say("live.choose")}</button><button type="button" data-live="open">{say("live.open")}</button></div>
<div data-live="view" hidden><div class="sight">
<video data-live="video" muted playsinline aria-label="{say("live.sees")}"></video>
<img data-live="heat" alt="{say("live.heat")}" hidden></div>
<div class="row"><button type="button" class="main" data-live="shoot">{say("live.shoot")}</button>
<button type="button" data-live="turn" hidden>{say("live.turn")}</button>
<button type="button" data-live="close">{say("live.close")}</button>
<label><input type="checkbox" data-live="why"> {say("live.why")}</label></div></div>
<p data-live="said" role="status" data-none="{say("live.none")}" data-insecure="{say("live.insecure")}"
data-refused="{say("live.refused")}" data-busy="{say("live.busy")}" data-unplugged="{say("live.unplugged")}"
data-away="{say("live.away")}"></p></div>
"""
SCRIPT = Path(__file__).with_suffix(".js")
NO_FRAME = "This is no picture of a camera: open the camera again."


def build(checkpoint: str | None) -> gr.HTML:
    """The two buttons and the camera's view, for ``checkpoint``, which its value names. Call inside a layout."""
    return gr.HTML(
        checkpoint, html_template=MARKUP, js_on_load=SCRIPT.read_text(encoding="utf-8"), elem_id="classify-live",
        padding=False,
    )  # fmt: skip


def routes() -> list[Route]:
    """What the server answers beside Gradio's own paths: ``POST /live?checkpoint=NAME``, a JPEG."""
    return [Route(LIVE, _answer, methods=["POST"])]


async def _answer(request: Request) -> JSONResponse:
    """The card of an answer as HTML, and ``state``, which the next frame brings along before it, in a line of its own,
    so that words do not flicker.

    With ``why`` among what is asked also where the evidence for the answer is: ``heat``, the src of a picture of the
    square that the network sees, and ``box``, its left, top, right and bottom as shares of the frame.
    """
    asked = {name: values[0] for name, values in parse_qs(request.url.query).items()}
    before, _, frame = (await request.body()).partition(b"\n")
    token = LocalContext.request.set(gr.Request(request))  # by which texts know the language, and runs their visitor
    try:
        return JSONResponse(await run_sync(_look, frame, asked.get("checkpoint"), before, "why" in asked))
    except FlowersError as error:
        return JSONResponse({"problem": sentence(str(error))}, 400)
    finally:
        LocalContext.request.reset(token)


def _look(frame: bytes, checkpoint: str | None, before: bytes, why: bool) -> dict[str, Any]:
    classifier = common.load_classifier(checkpoint)
    answer = steadied(classifier.classify(_picture(frame, classifier)), before, classifier)
    told = {"card": answer_card(answer, facts(answer, classifier.checkpoint)), "state": state(answer)}
    return told | _evidence(frame, answer, classifier) if why else told


def _picture(frame: bytes, classifier: Classifier) -> Image.Image:
    """Raises UsageError for what no camera's page sends."""
    if len(frame) > MAX_FRAME:
        raise UsageError(NO_FRAME)
    try:
        if max(open_header(io.BytesIO(frame)).size) > MAX_SIDE:
            raise UsageError(NO_FRAME)
        return decode_image(frame, min_side=classifier.preprocessing.resize)
    except UsageError:
        raise
    except Exception as error:  # as many kinds as there are decoders
        raise UsageError(NO_FRAME) from error


# What was told of the last frame, which the browser keeps: a stranger's word


def state(answer: Answer) -> str:
    """What the next frame's answer is mixed with, as text."""
    shares = [round(share, 4) for share in answer.confidences.values()]
    return json.dumps([shares, answer.familiarity and round(answer.familiarity, 4)], separators=(",", ":"))


def steadied(answer: Answer, before: bytes | str, classifier: Classifier) -> Answer:
    """An answer mixed with that to the frame before, as ``state`` gave it: an exponential mean, ``NEW`` of it new.

    What is no such state, or another checkpoint's, is left out.
    """
    try:
        shares, familiarity = json.loads(before)
        if len(shares) != len(classifier.classes) or not 0.9 < sum(map(float, shares)) < 1.1 or min(shares) < 0:
            return answer
        mixed = {
            name: _mixed(share, float(old))
            for (name, share), old in zip(answer.confidences.items(), shares, strict=True)
        }
        if answer.familiarity is not None:
            familiarity = _mixed(answer.familiarity, min(1.0, max(0.0, float(familiarity))))
    except (ValueError, TypeError, RecursionError, OverflowError):
        return answer
    total = math.fsum(mixed.values())
    mixed = {name: share / total for name, share in mixed.items()}
    label = max(mixed, key=mixed.get)
    known = answer.familiarity is None or familiarity >= UNFAMILIAR
    return Answer(label, mixed[label], mixed, answer.seconds, known, answer.familiarity and familiarity)


def _mixed(new: float, old: float) -> float:
    return NEW * new + (1 - NEW) * old


def _evidence(frame: bytes, answer: Answer, classifier: Classifier) -> dict[str, Any]:
    reason = classifier.explain(frame, answer.label)
    picture = io.BytesIO()
    overlay(reason.frame, reason.heat, reason.strongest).save(picture, "JPEG", quality=80)
    (left, top, right, bottom), (width, height) = reason.box, reason.photo.size
    heat = f"data:image/jpeg;base64,{base64.b64encode(picture.getvalue()).decode()}"
    return {"heat": heat, "box": [left / width, top / height, right / width, bottom / height]}
