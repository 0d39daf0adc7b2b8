"""One click from every hyperparameter: a dialog with a paragraph, a small picture, the values and the default.

The page carries only the buttons and an empty dialog; scripts/help.js puts the buttons beside the controls, wherever
these are, and fetches from here what the dialog shows.
"""

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from flowers.recipe import KNOBS, Knob
from flowers.studio.common import escape
from flowers.studio.help_pictures import picture
from flowers.studio.language import chosen, say, text

PATH = "/help/"


def html() -> str:
    """The dialog, and the buttons that open it, for the page's layout."""
    buttons = "".join(
        f'<button type="button" class="knob-more" data-knob="{name}" aria-haspopup="dialog" '
        f'aria-label="{say("help.about")} {say(f"knob.{name}.title")}">?</button>'
        for name in KNOBS
    )
    return (
        f'<div id="knob-buttons" hidden="">{buttons}</div>'
        f'<dialog id="knob-help" class="sheet" aria-labelledby="knob-help-title" data-path="{PATH}">'
        f'<button type="button" class="close" aria-label="{say("help.close")}">×</button>'
        f'<div class="body"></div><template><p class="problem" role="alert" id="knob-help-title">{say("help.failed")}'
        "</p></template></dialog>"
    )


def routes() -> list[Route]:
    """What the server answers beside Gradio's own paths: ``/help/NAME``."""
    return [Route(PATH + "{name}", _answer)]


def explanation(name: str, language: str) -> str:
    """The inside of the dialog for the hyperparameter ``name``, as HTML. Raises KeyError for an unknown one."""
    knob = KNOBS[name]

    def told(key: str, **values: object) -> str:
        return escape(text(language, key, **values))

    drawn = picture(name, lambda key: text(language, f"help.word.{key}"), "knob-help-caption")
    facts = {"values": _values(knob, language), "default": _shown(knob.default)}
    rows = "".join(f"<div><dt>{told(f'help.{key}')}</dt><dd>{escape(value)}</dd></div>" for key, value in facts.items())
    return (
        f'<h2 id="knob-help-title">{told(f"knob.{name}.title")}</h2><p class="sub">{told(f"knob.{name}.help")}</p>'
        f'<figure>{drawn}<figcaption id="knob-help-caption">{told(f"knob.{name}.picture")}</figcaption></figure>'
        f"<p>{told(f'knob.{name}.more')}</p><dl>{rows}</dl>"
    )


async def _answer(request: Request) -> HTMLResponse:
    name = request.path_params["name"]
    if name not in KNOBS:
        return HTMLResponse("", status_code=404)
    return HTMLResponse(explanation(name, chosen(request.headers)), headers={"Vary": "Accept-Language, Cookie"})


def _values(knob: Knob, language: str) -> str:
    if knob.kind is str:
        names = ", ".join(choice for choice in knob.choices if choice != "CHECKPOINT")
        return f"{names}, {text(language, 'help.or_checkpoint')}" if "CHECKPOINT" in knob.choices else names
    kind = "whole" if knob.kind is int else "number"
    return text(language, f"help.{kind}", low=_shown(knob.low), high=_shown(knob.high))


def _shown(value: object) -> str:
    """A number as people write it: 1000, 0.0000001."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.10f}".rstrip("0").rstrip(".")
