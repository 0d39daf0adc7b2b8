"""The page's words: English and Chinese, each in one file of ``texts/``, and which of the two a visitor reads.

Gradio lays the page out once for all visitors, so ``say`` gives a mark there in place of the text, and ``InLanguage``
puts the visitor's words in its place as the page goes out. While an event is answered, its visitor is known, and
``say`` gives the text itself.
"""

import functools
import json
import re
import secrets
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from starlette.requests import cookie_parser

from flowers.data.sources import KNOWN
from flowers.recipe import KNOBS, PRESET_HELP
from flowers.studio.visitors import Receive, Scope, Send, path_of

FOLDER = Path(__file__).parent / "texts"
LANGUAGES = {"en": "English", "zh-CN": "中文"}  # by the codes that browsers use
COOKIE = "flowers_language"  # set by the header's switch; without it the browser's own languages decide
# Parts of a sentence that are the engine's own words.
PARTS = {"kind", "advice", "range", "unit", "size", "what", "way", "reason", "others", "unreadable"}
# What carries marks: the page, and what programs ask about it.
TRANSLATED = ("/", "/config", "/config/", "/gradio_api/info", "/gradio_api/info/", "/gradio_api/openapi.json")
NONCE = secrets.token_hex(8)  # of this process, and never sent to anybody: no stranger's words can be taken for a mark
MARK = re.compile(rf"~~{NONCE}:([a-z0-9_.-]+)(?:\?([\w.%=;-]*))?~~")
BEFORE = f"<script>{(Path(__file__).parent / 'scripts' / 'before.js').read_text(encoding='utf-8')}</script>"


def say(key: str, **values: object) -> str:
    """The text of ``key`` with ``{names}`` filled in, in the visitor's language.

    A mark for it while the page is laid out, or in another thread than the event's own. Raises KeyError for a key that
    has no English text. Values are put in as they are: escape what strangers wrote.
    """
    from gradio.context import LocalContext

    request = LocalContext.request.get(None)
    if request is None:
        texts("en")[key]
        filled = ";".join(f"{name}={quote(str(value), safe='').replace('~', '%7E')}" for name, value in values.items())
        return f"~~{NONCE}:{key}?{filled}~~" if filled else f"~~{NONCE}:{key}~~"
    return text(chosen(request.headers), key, **values)


def text(language: str, key: str, **values: object) -> str:
    """The text of ``key`` in one of ``LANGUAGES``; in English where it has not been translated."""
    return texts(language).get(key, texts("en")[key]).format(**values)


@functools.cache
def texts(language: str) -> dict[str, str]:
    """Every text by its key, such as ``classify.empty``.

    The recipe's own words are English in recipe.py, those about the known photo sets in sources.py.
    """
    found = {}
    if language == "en":
        for name, knob in KNOBS.items():
            found[f"knob.{name}.title"], found[f"knob.{name}.help"] = _plain(knob.title), _plain(knob.help)
        found |= {f"preset.{name}.help": _plain(help) for name, help in PRESET_HELP.items()}
        for name, known in KNOWN.items():
            words = {"title": known.title, "description": known.description, "licence": known.licence}
            found |= {f"set.{name}.{key}": _plain(word) for key, word in words.items()}
    return found | _flat(tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8")))


def sentence(english: str) -> str:
    """What the engine says, whose words are English in its code, in the visitor's language.

    As it is where there is no translation, and outside an event.
    """
    from gradio.context import LocalContext

    request = LocalContext.request.get(None)
    return translated(english, chosen(request.headers)) if request else english


def translated(english: str, language: str) -> str:
    """A sentence of the engine in one of ``LANGUAGES``. Its parts named in ``PARTS`` are the engine's words as well."""
    for pieces, words in _sentences(language):
        parts = _parts(pieces, english)
        if parts is not None:
            return words.format(
                **{name: translated(part, language) if name in PARTS else part for name, part in parts.items()}
            )
    return english


@functools.cache
def _sentences(language: str) -> list[tuple[list[str], str]]:
    """Each English sentence in pieces, text and name by turns, and its translation."""
    file = FOLDER / f"{language}.sentences.toml"
    if not file.exists():
        return []
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    return [(re.split(r"\{(\w+)\}", english), words) for english, words in table.items()]


def _parts(pieces: list[str], english: str) -> dict[str, str] | None:
    """What stands in the places of the names; None where it is another sentence.

    Each text is looked for once, from left to right: a regular expression would go back and forth for hours through
    the long words that somebody may send.
    """
    if not english.startswith(pieces[0]):
        return None
    at, parts = len(pieces[0]), {}
    for number in range(1, len(pieces), 2):
        name, text = pieces[number : number + 2]
        last = number + 2 == len(pieces)
        end = len(english) - len(text) if last and english.endswith(text) else -1 if last else english.find(text, at)
        if end < at:
            return None
        parts[name], at = english[at:end], end + len(text)
    return parts if at == len(english) else None


def chosen(headers: Mapping[str, str]) -> str:
    """The language of a visitor: by the cookie, or else the first of the browser's that there is; or else English."""
    kept = cookie_parser(headers.get("cookie", "")).get(COOKIE)
    if kept in LANGUAGES:
        return kept
    for wanted in headers.get("accept-language", "").split(","):
        for language in LANGUAGES:
            if wanted.strip().lower()[:2] == language[:2]:
                return language
    return "en"


class InLanguage:
    """ASGI middleware that puts the visitor's words in place of the marks, and tells the browser their language."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or path_of(scope) not in TRANSLATED:
            await self.app(scope, receive, send)
            return
        language = chosen({name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]})
        start: dict[str, Any] = {}
        body = bytearray()

        async def collect(message: dict) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            body.extend(message.get("body", b""))
            if not message.get("more_body"):
                whole = _with_words(bytes(body), language)
                changed = {b"content-length": str(len(whole)).encode(), b"vary": b"Accept-Language, Cookie"}
                kept = [(name, value) for name, value in start["headers"] if name not in changed]
                await send({**start, "headers": [*kept, *changed.items()]})
                await send({"type": "http.response.body", "body": whole})

        await self.app(scope, receive, collect)


def _with_words(body: bytes, language: str) -> bytes:
    def words(mark: re.Match[str]) -> str:
        key, filled = mark.groups()
        values = dict(pair.split("=", 1) for pair in filled.split(";")) if filled else {}
        said = text(language, key, **{name: unquote(value) for name, value in values.items()})
        # Marks stand in JSON, and that stands in a page's <script>.
        return json.dumps(said)[1:-1].replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

    try:
        page = body.decode("utf-8")
    except UnicodeDecodeError:  # a compressed answer: nothing that Gradio sends from these paths today
        return body
    page = MARK.sub(words, page)
    if "<head>" in page[:1000]:
        page = page.replace('lang="en"', f'lang="{language}"', 1)
        page = page.replace("<head>", f"<head>{BEFORE}", 1)
    return page.encode("utf-8")


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat = {}
    for name, value in table.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value.strip("\n")}
    return flat


def _plain(words: str) -> str:
    return words.replace("{", "{{").replace("}", "}}")
