"""The Share tab: a checkpoint to take along, on the Hub, as a link, and for programs."""

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import gradio as gr
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder

from flowers.errors import FlowersError, UsageError
from flowers.models.checkpoint import Checkpoint, bundled_checkpoints
from flowers.share.bundle import file_name, write_zip
from flowers.share.card import body, model_card
from flowers.share.onnx import export_apart, snippet
from flowers.share.page import Made, pack, usage, write_page_apart
from flowers.share.unpack import bring_in
from flowers.studio import common, pages
from flowers.studio.language import say, sentence
from flowers.training.run import IMPORTED

# Where the page is, as its visitor sees it: behind a proxy the server does not know.
ADDRESS = "(_, ...rest) => [window.location.origin + window.location.pathname, ...rest]"
SAVE = "(file) => { const a = document.createElement('a'); a.href = file.url; a.download = file.orig_name; a.click() }"
# By hand where there is no clipboard for pages: on plain http from another computer.
COPY = (
    "const code = this.closest('figure').querySelector('code'), button = this;"
    " getSelection().selectAllChildren(code);"
    " (navigator.clipboard ? navigator.clipboard.writeText(code.textContent)"
    " : Promise.resolve(document.execCommand('copy'))).then(() => { button.textContent = button.dataset.copied;"
    " setTimeout(() => { button.textContent = button.dataset.copy }, 2000) })"
)
HERE = ("localhost", "127.0.0.1", "::1")  # addresses that mean another computer to everybody else
PHOTO = object()  # stands for the photo in an example's arguments
MCP_PHOTO = (  # what a program needs to send one
    "import base64\nfrom pathlib import Path\n",
    '\nphoto = base64.b64encode(Path("photo.jpg").read_bytes()).decode()  # of up to 3 MB\n'
    'photo = "data:image/jpeg;base64," + photo\n',
)
MAX_BROUGHT = 20  # checkpoints that a visitor may bring: of the largest network each has 110 MB
PHOTO_HERE = "//photo//"  # and for that in JSON, where no name reads so


@dataclass(frozen=True)
class ShareTab:
    """What the page refreshes: its checkpoints come and go."""

    checkpoint: gr.Dropdown


def build(tab: gr.Tab) -> ShareTab:
    """Lay out the tab and wire it. Call inside ``tab``."""
    with gr.Row(elem_id="share-grid"):
        with gr.Column(elem_id="share-take"):
            checkpoint = gr.Dropdown(
                common.checkpoint_choices(), value=common.default_checkpoint(), label=say("share.checkpoint"),
                info=say("share.checkpoint_info"), elem_id="share-checkpoint",
            )  # fmt: skip
            with gr.Row():
                archive = gr.Button(say("share.zip"), variant="primary", elem_id="share-zip", min_width=150)
                onnx = gr.Button(say("share.onnx"), elem_id="share-onnx", min_width=150)
            with gr.Row():
                page = gr.Button(say("share.page"), elem_id="share-page", min_width=150)
                phone = gr.Button(say("share.phone"), elem_id="share-phone", min_width=150)
            bring = gr.UploadButton(say("share.bring"), elem_id="share-bring", min_width=150)
            taken = gr.HTML(common.note(say("share.empty")), elem_id="share-taken", container=False, padding=False)
            with gr.Accordion(say("share.hub_title"), open=False, elem_id="share-hub"):
                hub = _hub()
            with gr.Accordion(say("share.link_title"), open=False, elem_id="share-link"):
                link = gr.HTML(container=False, padding=False, elem_id="share-link-about")
        with gr.Column(elem_id="share-card"):
            gr.HTML(f'<h3 id="share-card-title">{say("share.card")}</h3>', container=False, padding=False)
            card = gr.Markdown(elem_id="share-card-text", container=True, max_height=620, padding=True)
            save_card = gr.Button(say("share.card_download"), size="sm", elem_id="share-card-download")
    with gr.Accordion(say("share.programs_title"), open=False, elem_id="share-programs"):
        gr.Markdown(say("share.programs"), elem_classes="hint")
        call = gr.Radio(
            [f"/{name}" for name in EXAMPLES], value="/classify", label=say("share.call"), elem_id="share-call"
        )  # fmt: skip
        examples = gr.HTML(container=False, padding=False, elem_id="share-examples")
        mcp = gr.HTML(container=False, padding=False, elem_id="share-mcp")
    address, file = gr.Textbox(visible=False), gr.File(visible=False)
    private = {"api_visibility": "private"}
    quiet = {"show_progress": "hidden", **private}
    for event in (tab.select, checkpoint.change):
        event(
            _show, [address, checkpoint, call], [card, link, examples, mcp], js=ADDRESS, trigger_mode="always_last",
            **quiet,
        )  # fmt: skip
    checkpoint.input(lambda: common.note(say("share.empty")), None, taken, **quiet)
    call.input(
        _examples, [address, checkpoint, call], [examples, mcp], js=ADDRESS,
        trigger_mode="always_last", **quiet,
    )  # fmt: skip
    made = {"show_progress_on": taken, **private}
    for event in (
        archive.click(_take_zip, checkpoint, [taken, file], concurrency_limit=2, **made),
        onnx.click(
            _take_onnx, checkpoint, [taken, file], concurrency_id=common.COMPUTE, concurrency_limit=1, **made
        ),
        page.click(
            _take_page, checkpoint, [taken, file], concurrency_id=common.COMPUTE, concurrency_limit=1, **made
        ),
        save_card.click(_take_card, checkpoint, file, **quiet),
    ):  # fmt: skip
        event.success(None, file, None, js=f"(file) => file && ({SAVE})(file)", **quiet)
    phone.click(
        _open_page, [address, checkpoint], taken, js=ADDRESS, concurrency_id=common.COMPUTE, concurrency_limit=1, **made
    )
    bring.upload(_bring, bring, [taken, checkpoint], concurrency_id=common.COMPUTE, concurrency_limit=1, **made)
    hub.send.click(
        _press_send, [checkpoint, hub.repo, hub.kind, hub.private, hub.onnx, hub.token], [hub.token, hub.said],
        concurrency_id="hub", concurrency_limit=2, show_progress_on=hub.said, **private,
    )  # fmt: skip
    return ShareTab(checkpoint)


# Take it along


def _take_zip(name: str | None) -> tuple[str, str | None]:
    """What to say, and the file."""
    try:
        checkpoint = common.offered_checkpoint(name)
        file = _written(f"{file_name(checkpoint)}.zip", lambda path: write_zip(checkpoint, path))[0]
    except (FlowersError, OSError) as error:
        return _problem(error), None
    said = say("share.zip_done", file=Path(file).name, size=_megabytes(file))
    return _done(said), file


def _take_onnx(name: str | None) -> tuple[str, str | None]:
    """What to say, with how to use it; and the file."""
    try:
        checkpoint = common.offered_checkpoint(name)
        file, parity = _written(f"{file_name(checkpoint)}.onnx", lambda path: export_apart(checkpoint, path))
    except (FlowersError, OSError) as error:
        return _problem(error), None
    photos = say("share.painted" if parity.painted else "share.photos", count=parity.photos)
    said = say("share.onnx_done", file=Path(file).name, size=_megabytes(file), photos=photos, points=parity.points)
    return _done(said) + _code(say("share.onnx_usage"), snippet(checkpoint, Path(file).name)), file


def _take_page(name: str | None) -> tuple[str, str | None]:
    """What to say, with how it was compared and how to look at it; and the zip."""
    try:
        checkpoint = common.offered_checkpoint(name)
        folder, made = pages.made_page(checkpoint)
        called = file_name(checkpoint)
        file, _ = _written(f"{called}-page.zip", lambda path: pack(folder, called, path))
    except (FlowersError, OSError) as error:
        return _problem(error), None
    said = say("share.page_done", file=Path(file).name, size=_megabytes(file), compared=_compared(made))
    return _done(said) + _code(say("share.page_usage"), usage(Path(f"{called}.zip"))), file


def _open_page(address: str, name: str | None) -> str:
    """The link of the page that this studio serves, to be scanned by a phone, and what it can do there."""
    try:
        checkpoint = common.offered_checkpoint(name)
        _, made = pages.made_page(checkpoint)
    except (FlowersError, OSError) as error:
        return _problem(error)
    link = pages.link_to(address, checkpoint)
    opened = f'<a href="{common.escape(link)}" target="_blank" rel="noopener">{common.escape(link)}</a>'
    said = say("share.phone_done", link=opened, compared=_compared(made))
    return f'<div class="card done" role="status"><p>{said}</p></div>' + _scanned(link, say(_reach(link)))


def _bring(file: str | None) -> tuple[str, Any]:
    """A visitor's zip as a checkpoint of theirs: what to say, and the choices with it chosen."""
    try:
        if not file:
            raise UsageError("Choose a zip first.")
        had = [run for run in common.visible_runs() if run.preset == IMPORTED and run.visitor == common.visitor()]
        if len(had) >= MAX_BROUGHT:
            return common.note(say("share.too_many", count=len(had)), "problem"), gr.skip()
        run = bring_in(file, common.visitor())
    except (FlowersError, OSError) as error:
        return _problem(error), gr.skip()
    finally:
        if file:
            Path(file).unlink(missing_ok=True)  # what it held lies in the run's folder now
    return _done(say("share.brought", name=run.title)), gr.update(
        choices=common.checkpoint_choices(run.name), value=run.name
    )


def _reach(link: str) -> str:
    """The key of the sentence that says who reaches a page at this link, and with what."""
    parts = urlsplit(link)
    if parts.hostname in HERE:
        return "share.phone_local"
    return "share.phone_https" if parts.scheme == "https" else "share.phone_http"


def _compared(made: Made) -> str:
    photos = say("share.painted" if made.painted else "share.photos", count=made.photos)
    return say(
        "share.page_browser" if made.browser else "share.page_here",
        photos=photos, agreed=made.agreed, count=made.photos, points=made.points,
    )  # fmt: skip


def _take_card(name: str | None) -> str:
    checkpoint = common.offered_checkpoint(name)
    card = model_card(checkpoint)
    return _written("README.md", lambda path: path.write_text(card, encoding="utf-8"))[0]


def _written(name: str, write: Any) -> tuple[str, Any]:
    """The path of a file that ``write`` makes, in the folder that Gradio serves and clears; and what it returned."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / name
        given = write(path)
        return save_file_to_cache(path, get_upload_folder()), given


def _megabytes(file: str) -> str:
    return f"{Path(file).stat().st_size / 1e6:.1f} MB"


def _done(text: str) -> str:
    return f'<div class="card done" role="status"><p>{common.escape(text)}</p></div>'


def _problem(error: Exception) -> str:
    said = say("share.disk", reason=error.strerror or error) if isinstance(error, OSError) else str(error)
    return common.note(said, "problem")


# What is shown of a checkpoint


def _show(address: str, name: str | None, call: str) -> tuple[Any, ...]:
    """The card, the link, the examples, and the MCP server."""
    try:
        checkpoint = common.offered_checkpoint(name)
        card = body(model_card(checkpoint))
    except FlowersError as error:
        return common.escape(sentence(str(error))), "", "", ""
    return card, _link(link_to(address, checkpoint)), *_examples(address, name, call)


def link_to(address: str, checkpoint: Checkpoint) -> str:
    """A link that opens the studio at the checkpoint's run, or at Classify for one that came along."""
    at = "tab=classify&checkpoint" if checkpoint.name in bundled_checkpoints() else "tab=train&run"
    return f"{address}?{at}={quote(checkpoint.name, safe='')}"


def _link(link: str) -> str:
    """The link to copy, to scan, and for whom it works."""
    host = urlsplit(link).hostname
    return _scanned(link, say("share.link_local" if host in HERE else "share.link_about"))


def _scanned(link: str, said: str) -> str:
    """A link to copy and to scan; ``said``, HTML, stands beside it."""
    import segno

    code = segno.make(link, error="m").svg_inline(scale=4, border=3, dark="#1f2a1e", light="#ffffff")
    name = common.escape(say("share.link_code"))
    scanned = f'<div class="link"><div class="qr" role="img" aria-label="{name}">{code}</div><p>{said}</p></div>'
    return _code(say("share.link"), link) + scanned


# For programs

# Name of the endpoint -> its arguments, by name, for a checkpoint.
EXAMPLES: dict[str, Any] = {
    "classify": lambda c: {"photo": PHOTO, "checkpoint": c.name},
    "explain": lambda c: {"photo": PHOTO, "checkpoint": c.name, "label": c.classes[0]},
    "augment": lambda c: {"photo": PHOTO, "settings": {"rotation": 30, "flip": 0.5}, "count": 4, "seed": 0},
    "evaluate": lambda c: {"checkpoint": c.name, "source": "garden", "split": "val"},
    "start_training": lambda c: {
        "preset": "quick", "source": "garden", "settings": {"backbone": c.backbone, "init": c.name, "epochs": 2}
    },
    "training_status": lambda c: {"run": None},  # the one at work, or else the latest
    "stop_training": lambda c: {"run": None},
}  # fmt: skip


def _examples(address: str, name: str | None, call: str) -> tuple[str, str]:
    """How a program calls an endpoint: by the API, and by the MCP server."""
    endpoint = call.removeprefix("/")
    arguments = EXAMPLES[endpoint](common.offered_checkpoint(name))
    shown = {"Python": python_example, "curl": curl_example}
    return _blocks(shown, address, endpoint, arguments), _mcp(address, endpoint, arguments)


def _blocks(examples: dict[str, Callable[..., str]], *call: Any) -> str:
    blocks = "".join(_code(title, example(*call)) for title, example in examples.items())
    return f'<div class="code-blocks">{blocks}</div>'


def python_example(address: str, endpoint: str, arguments: dict[str, Any]) -> str:
    """A Python program that calls the endpoint by ``gradio_client``; the photo is ``photo.jpg``."""
    photo = PHOTO in arguments.values()
    given = [f"{name}={_python(value)}" for name, value in arguments.items()] + [f'api_name="/{endpoint}"']
    return (
        f"# pip install gradio_client\nfrom gradio_client import Client{', handle_file' if photo else ''}\n\n"
        f'studio = Client("{address}")\nanswer = studio.predict(\n'
        + "".join(f"    {item},\n" for item in given)
        + ")\nprint(answer)\n"
    )


def _python(value: Any) -> str:
    return 'handle_file("photo.jpg")' if value is PHOTO else repr(value)


def curl_example(address: str, endpoint: str, arguments: dict[str, Any]) -> str:
    """A shell script that calls the endpoint: it asks, gets the question's number, and waits for the answer."""
    values = [{"path": PHOTO, "meta": {"_type": "gradio.FileData"}} if v is PHOTO else v for v in arguments.values()]
    upload = "photo=$(curl -s -F files=@photo.jpg $api/upload | cut -d '\"' -f 2)\n"
    return (
        f"api={address.rstrip('/')}/gradio_api\n"
        + (upload if PHOTO in arguments.values() else "")
        + f"question=$(curl -s $api/call/{endpoint} \\\n  -H 'Content-Type: application/json' \\\n"
        f"  -d {_in_quotes({'data': values})} \\\n  | cut -d '\"' -f 4)\ncurl -sN $api/call/{endpoint}/$question\n"
    )


def _in_quotes(data: Any) -> str:
    """JSON as one word of a shell script, in which ``$photo`` stands where the photo belongs."""
    text = json.dumps(data, default=lambda _: PHOTO_HERE).replace("'", "'\\''")
    return "'" + text.replace(PHOTO_HERE, "'\"$photo\"'") + "'"


def mcp_python_example(address: str, tool: str, arguments: dict[str, Any]) -> str:
    """A Python program that calls the tool by the protocol's own client."""
    imports, reading = MCP_PHOTO if PHOTO in arguments.values() else ("", "")
    given = ", ".join(f"{name!r}: {'photo' if value is PHOTO else repr(value)}" for name, value in arguments.items())
    return f'''# pip install "mcp<2"
import asyncio
{imports}
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
{reading}

async def ask():
    async with (
        streamable_http_client("{_mcp_url(address)}") as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        return await session.call_tool("{tool}", {{{given}}})


for part in asyncio.run(ask()).content:
    print(getattr(part, "text", part.type))
'''


def mcp_curl_example(address: str, tool: str, arguments: dict[str, Any]) -> str:
    """A shell script that calls the tool: the server keeps no sessions, so one question is enough."""
    question = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    photo = "photo=\"data:image/jpeg;base64,$(base64 < photo.jpg | tr -d '\\n')\"  # of up to 3 MB\n"
    return (
        (photo if PHOTO in arguments.values() else "")
        + f"printf %s {_in_quotes(question)} \\\n  | curl -sN {_mcp_url(address)} \\\n"
        "  -H 'Content-Type: application/json' \\\n  -H 'Accept: application/json, text/event-stream' -d @-\n"
    )


def _mcp_url(address: str) -> str:
    return f"{address.rstrip('/')}/gradio_api/mcp/"


def _mcp(address: str, endpoint: str, arguments: dict[str, Any]) -> str:
    """What there is to say of the MCP server, how a client is told of it, and how a program calls one of its tools."""
    from gradio.context import LocalContext

    page = LocalContext.blocks.get(None)
    server = page.mcp_server_obj if page is not None and page.mcp_server else None
    if not server:
        return f'<div class="mcp"><h2>MCP</h2><p>{say("share.mcp_off")}</p></div>'
    tools = ", ".join(f"<code>{common.escape(name)}</code>" for name in server.tool_to_endpoint)
    # A tool is called as the function is, and on a Space the Space's name stands before that.
    tool = next(name for name, called in server.tool_to_endpoint.items() if called.lstrip("/") == endpoint)
    url = _mcp_url(address)
    said = say("share.mcp_on", url=f"<code>{common.escape(url)}</code>", tools=tools)
    client = json.dumps({"mcpServers": {"flowers": {"url": url}}}, indent=2)
    examples = {"Python (MCP)": mcp_python_example, "curl (MCP)": mcp_curl_example}
    return (
        f'<div class="mcp"><h2>MCP</h2><p>{said}</p>{_code(say("share.mcp_client"), client)}'
        f"{_blocks(examples, address, tool, arguments)}</div>"
    )


def _code(title: str, text: str) -> str:
    """A block of code with a button that copies it."""
    words = {name: common.escape(say(f"share.{name}")) for name in ("copy", "copied")}
    title = common.escape(title)
    return (
        f'<figure class="code-block"><figcaption><span>{title}</span><button type="button" aria-live="polite" '
        f'aria-label="{words["copy"]}: {title}" data-copy="{words["copy"]}" data-copied="{words["copied"]}" '
        f'onclick="{common.escape(COPY)}">{words["copy"]}</button></figcaption>'
        f'<pre tabindex="0"><code>{common.escape(text.rstrip())}</code></pre></figure>'
    )


# The Hub


@dataclass(frozen=True)
class _Hub:
    repo: gr.Textbox
    kind: gr.Radio
    private: gr.Checkbox
    onnx: gr.Checkbox
    token: gr.Textbox
    send: gr.Button
    said: gr.HTML


def _hub() -> _Hub:
    gr.Markdown(say("share.hub_about"), elem_classes="hint")
    kind = gr.Radio(
        [(say(f"share.hub_{kind}"), kind) for kind in ("model", "space", "page")], value="model",
        label=say("share.hub_kind"), elem_id="share-kind",
    )  # fmt: skip
    repo = gr.Textbox(label=say("share.hub_repo"), info=say("share.hub_repo_info"), max_lines=1, elem_id="share-repo")
    token = gr.Textbox(
        label=say("share.hub_token"), info=say("share.hub_token_info"), type="password", max_lines=1,
        html_attributes=gr.InputHTMLAttributes(autocomplete="off", spellcheck=False), elem_id="share-token",
    )  # fmt: skip
    private = gr.Checkbox(False, label=say("share.hub_private"), elem_id="share-private")
    onnx = gr.Checkbox(False, label=say("share.hub_onnx"), elem_id="share-with-onnx")
    send = gr.Button(say("share.hub_send"), variant="primary", elem_id="share-send")
    said = gr.HTML(elem_id="share-sent", elem_classes="in-line", container=False, padding=False)
    kind.change(
        lambda kind: gr.update(visible=kind == "model"), kind, onnx, show_progress="hidden", api_visibility="private"
    )
    return _Hub(repo, kind, private, onnx, token, send, said)


def _press_send(
    name: str | None, repo: str, kind: str, private: bool, onnx: bool, token: str
) -> Iterator[tuple[str, str]]:
    """The emptied field of the token, and what to say. The token goes to the Hub and nowhere else."""
    from flowers.share import hub

    try:
        repo, token = hub.check_name(repo), hub.check_token(token)
        checkpoint = common.offered_checkpoint(name)
    except FlowersError as error:
        yield "", common.note(str(error), "problem")
        return
    yield "", f'<div class="card empty" role="status"><p>{common.escape(say("share.hub_sending", repo=repo))}</p></div>'
    try:
        if kind == "space":
            url = hub.push_space(checkpoint, repo, token, private=private)
        elif kind == "page":
            with tempfile.TemporaryDirectory() as scratch:
                write_page_apart(checkpoint, Path(scratch) / "page")
                url = hub.push_page(checkpoint, Path(scratch) / "page", repo, token, private=private)
        else:
            with tempfile.TemporaryDirectory() as scratch:
                files = {}
                if onnx:
                    files[f"{file_name(checkpoint)}.onnx"] = Path(scratch) / "network.onnx"
                    export_apart(checkpoint, Path(scratch) / "network.onnx")
                url = hub.push_model(checkpoint, repo, token, private=private, files=files)
    except (FlowersError, OSError) as error:
        yield "", _problem(error)
        return
    link = f'<a href="{common.escape(url)}" target="_blank" rel="noopener">{common.escape(url)}</a>'
    said = say("share.hub_done" if kind == "model" else "share.hub_done_space", link=link)
    yield "", f'<div class="card done" role="status"><p>{said}</p></div>'
