"""The page: header, tabs, and how it is served."""

import argparse
import os
import sys
import threading
from collections.abc import Callable, Sequence

import gradio as gr
from starlette.middleware import Middleware

from flowers.errors import FlowersError
from flowers.paths import albums_dir, cache_dir, runs_dir
from flowers.studio import (
    allow_mcp,
    api,
    augment,
    classify,
    common,
    evaluate,
    examples,
    faults,
    help,
    links,
    live,
    pages,
    photos,
    share,
    tour,
    train,
)
from flowers.studio.door import Door, Hosts
from flowers.studio.front import OncePerAddress
from flowers.studio.language import COOKIE, InLanguage, say
from flowers.studio.limits import Limits, limits
from flowers.studio.memory import give_back_freed
from flowers.studio.sessions import Sessions, keep_little
from flowers.studio.theme import CSS, HEAD, theme
from flowers.studio.turns import take_turns
from flowers.studio.uploads import WithoutPlace, keep_apart
from flowers.studio.visitors import Remember
from flowers.training.process import stand_in_line_again, stop_all_started_here

LOGO = (
    '<svg viewBox="-50 -50 100 100" aria-hidden="true">'
    + "".join(f'<ellipse cy="-27" rx="13" ry="21" fill="#d9486e" transform="rotate({a})"/>' for a in range(0, 360, 72))
    + '<circle r="13" fill="#f2bd3a"/></svg>'
)
SWITCH = (  # to the other language, for a year
    f"document.cookie = '{COOKIE}=' + (document.documentElement.lang === 'en' ? 'zh-CN' : 'en')"
    " + '; path=/; max-age=31536000; SameSite=Lax'; location.reload()"
)
HEADER = f"""
<a id="skip" href="#tabs">{say("page.skip")}</a>
<header id="header">{LOGO}
<div><h1>flowers</h1><p>{say("page.tagline")}</p></div>
<nav><button type="button" id="language" onclick="{SWITCH}">{say("page.language")}</button>
<button type="button" id="dark" aria-label="{say("page.dark")}"
 onclick="document.body.classList.toggle('dark')">◐</button>{tour.button()}</nav></header>
<h2 id="open-tab" class="unseen"></h2>
"""
KEPT_SECONDS = 24 * 3600  # how long uploads and pictures made for the page stay on disk
# How often Gradio looks for events to answer: by itself a thousand times a second (6.31), also where nobody is, which
# keeps a tenth of a core busy for as long as the studio runs.
LOOK_SECONDS = 0.05  # as on Windows
# How long Python lets one thread go on while others want to: with the usual 0.005, each step of an answer waits that
# long for every thread that computes.
SWITCH_SECONDS = 0.0005
FIRST_PAGE_SECONDS = 2  # that the first visitor's page is waited for before torch is imported


def build(opened: Callable[[], None] = lambda: None) -> gr.Blocks:
    """The whole page, not yet served. ``opened`` is called each time that a browser has drawn it."""
    with gr.Blocks(title="flowers", analytics_enabled=False, delete_cache=(3600, KEPT_SECONDS)) as page:
        gr.HTML(HEADER, container=False, padding=False)
        link_note = links.note()
        outside = train.clock_and_title()
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab(say("tab.classify"), id="classify") as answering_tab:
                answering = classify.build()
            with gr.Tab(say("tab.photos"), id="photos") as photos_tab:
                collecting = photos.build()
            with gr.Tab(say("tab.train"), id="train") as training_tab:
                training = train.build(outside)
            with gr.Tab(say("tab.augment"), id="augment"):
                augment.build(tabs, training)
            with gr.Tab(say("tab.evaluate"), id="evaluate") as evaluating_tab:
                evaluating = evaluate.build()
            with gr.Tab(say("tab.share"), id="share") as sharing_tab:
                sharing = share.build(sharing_tab)
        gr.HTML(help.html() + tour.html(), container=False, padding=False)
        api.build()
        # Runs and photo sets come and go: whoever opens the page or the tab sees those of now.
        quiet = {"api_visibility": "private", "show_progress": "hidden"}
        page.load(opened, queue=False, **quiet)
        refreshed = page.load(
            _refresh,
            None,
            [answering, evaluating.checkpoint, training.knobs["init"], evaluating.source, training.source],
            queue=False,  # the link is followed after it, whatever else is waited for
            **quiet,
        )
        train.follow(training, links.build(tabs, link_note, refreshed.then), training_tab.select)
        answering_tab.select(common.refresh_checkpoints, answering, answering, **quiet)
        photos.connect(collecting, tabs, training.source)
        collecting.show(page.load)
        collecting.show(photos_tab.select(photos.refresh_sets, None, collecting.which, **quiet).then)
        training_tab.select(_refresh_training, training.source, training.source, **quiet)
        training_tab.select(train.opened, None, None, queue=False, **quiet)
        photos_tab.select(train.expected, None, None, queue=False, **quiet)
        _connect_training(training, tabs, answering, evaluating, sharing, quiet)
        sharing_tab.select(common.refresh_checkpoints, sharing.checkpoint, sharing.checkpoint, **quiet)
        evaluating_tab.select(common.refresh_choices, *2 * [[evaluating.checkpoint, evaluating.source]], **quiet)
        against = evaluating.against
        gr.on([page.load, evaluating_tab.select], evaluate.refresh_against, against, against, **quiet)
    _tell_progress_once(page, training.parts["clock"])
    return page


def _tell_progress_once(page: gr.Blocks, component: gr.Timer) -> None:
    """Tell how events without shown progress come along to this component, instead of to all their outputs.

    With every step of any event, Gradio's page (6.31) tells all outputs of all events that have been, and looks each of
    them up in the whole page.
    """
    events = page.fns.values()
    shows = {id(one) for event in events if event.show_progress != "hidden" for one in _progress_places(event)}
    for event in events:
        if event.show_progress == "hidden":  # where another's error stands, this one still takes it away
            event.show_progress_on = [one for one in event.outputs if id(one) in shows] or [component]


def _progress_places(event: gr.blocks.BlockFunction) -> Sequence[gr.blocks.Block]:
    return event.show_progress_on or event.outputs


def _connect_training(
    training: train.TrainTab,
    tabs: gr.Tabs,
    answering: gr.Dropdown,
    evaluating: evaluate.EvaluateTab,
    sharing: share.ShareTab,
    quiet: dict,
) -> None:
    """What a finished run offers: to be tried, evaluated and shared, in those tabs."""

    def to(tab: str) -> dict:
        return gr.Tabs(selected=tab)

    def try_it(run: str) -> tuple:
        return train.checkpoint_choice(run), to("classify")

    def evaluate_it(run: str) -> tuple:
        return *train.evaluation_choices(run), to("evaluate")

    def share_it(run: str) -> tuple:
        return train.checkpoint_choice(run), to("share")

    training.parts["try"].click(try_it, training.current, [answering, tabs], **quiet)
    training.parts["evaluate"].click(
        evaluate_it, training.current, [evaluating.checkpoint, evaluating.source, tabs], **quiet
    )
    training.parts["share"].click(share_it, training.current, [sharing.checkpoint, tabs], **quiet)
    training.parts["photos"].click(lambda: to("photos"), None, tabs, **quiet)


def _refresh_training(chosen: str | None) -> dict:
    """My photos may be gone, and what is chosen must be among the choices: or Gradio refuses every event about it."""
    return common.refreshed(common.training_choices(), chosen, common.default_choice())


def _refresh() -> tuple[dict, ...]:
    """Updates for every dropdown of checkpoints, starting weights and photo sets."""
    checkpoints = common.checkpoint_choices()
    weights = gr.update(choices=train.init_choices(checkpoints))
    sources = common.source_choices()  # lists the visitor's album: once
    learning = gr.update(choices=common.training_choices(sources))
    return *[gr.update(choices=checkpoints)] * 2, weights, gr.update(choices=sources), learning


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve the page: ``python app.py [--host H] [--port P] [--share] [--mcp]``."""
    parser = argparse.ArgumentParser(prog="python app.py", description="The studio, in the browser.")
    parser.add_argument("--host", default=None, help="address to listen on (127.0.0.1, or GRADIO_SERVER_NAME)")
    parser.add_argument("--port", type=int, default=None, help="port to listen on (7860, or GRADIO_SERVER_PORT)")
    parser.add_argument("--share", action="store_true", help="also make a public link, for three days")
    parser.add_argument(
        "--mcp", action="store_true", default=os.environ.get("GRADIO_MCP_SERVER", "").lower() == "true",
        help="also serve the API's functions as tools of the Model Context Protocol (or GRADIO_MCP_SERVER=true)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if options.mcp:
        try:
            allow_mcp()
        except ImportError:
            parser.error('--mcp needs the package mcp: pip install "mcp<2"')
    _reach_itself(options.host)
    opened = threading.Event()
    try:
        bounds = limits()
        albums_dir(), runs_dir(), cache_dir()
    except FlowersError as error:
        parser.error(str(error))
    keep_apart()
    sys.setswitchinterval(SWITCH_SECONDS)
    page = build(opened.set)
    sessions = in_line(page, bounds)
    middleware = [
        Middleware(InLanguage), Middleware(Remember),
        Middleware(Door, hosts=Hosts.of(options.host, options.share), limits=bounds, sessions=sessions),
        Middleware(WithoutPlace), Middleware(OncePerAddress),
    ]  # fmt: skip
    try:
        page.launch(
            server_name=options.host,
            server_port=options.port,
            share=options.share,
            mcp_server=options.mcp,
            run_history=False,
            theme=theme(),
            css_paths=CSS,
            head=HEAD,
            max_file_size=common.MAX_UPLOAD,
            allowed_paths=examples.photos(),  # these files alone: they may lie outside the temporary folder
            footer_links=["api", "gradio", "settings"],
            enable_monitoring=False,
            strict_cors=True,
            ssr_mode=False,
            show_error=False,
            prevent_thread_lock=True,
            app_kwargs={"routes": help.routes() + pages.routes() + live.routes(), "middleware": middleware},
        )
        threading.Thread(target=_warm_up, args=[opened], daemon=True).start()
        give_back_freed()
        stand_in_line_again()
        page.block_thread()
    except OSError as error:  # the port is taken, or the address is not this machine's
        sys.exit(f"flowers: The studio could not be served ({error}): choose another --port or --host.")
    finally:
        stop_all_started_here()


def in_line(page: gr.Blocks, bounds: Limits) -> Sessions:
    """Have the page's events answered in turn, and end in a sentence; gives what is kept for those who ask."""
    keep_little()
    sessions = Sessions(page, *bounds.pair("sessions"))
    page.queue(default_concurrency_limit=4, api_open=False)
    page._queue.sleep_when_free = LOOK_SECONDS
    take_turns(page, bounds, sessions)
    faults.in_sentences(page)
    return sessions


def _reach_itself(host: str | None) -> None:
    """Gradio asks its own server whether it is there: no proxy that the environment names can answer that."""
    own = ["localhost", "127.0.0.1", "0.0.0.0", host or ""]
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name, ""), *own]))


def _warm_up(opened: threading.Event) -> None:
    """Import torch and load the first checkpoint once a page is drawn, or nobody has opened one at once.

    An import takes turns with whatever else Python does: at the same time, the page would be drawn a second later.
    """
    opened.wait(FIRST_PAGE_SECONDS)
    common.warm_up()
