"""The Evaluate tab: what it lets visitors measure, and which photos its numbers open, to whom."""

import asyncio
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.context import LocalContext

from flowers.data.dataset import scan
from flowers.errors import CheckpointError, UsageError
from flowers.paths import runs_dir
from flowers.recipe import Recipe
from flowers.studio import evaluate
from flowers.studio.evaluate import KEPT, build, measure
from flowers.studio.kept import Kept
from flowers.studio.language import texts
from flowers.studio.results import curves_html
from flowers.studio.words import share_of
from flowers.training.run import Run
from tests.evaluation.wild import CLASSES, save_wild_checkpoint
from tests.studio.visiting import visit

ENGLISH = texts("en")
SEED = 5  # of two networks each of which is right where the other is wrong, among ten photos


def somebody(name: str, session: str = "") -> SimpleNamespace:
    """A request of a visitor's, in English; each load of the page is another session."""
    return SimpleNamespace(headers={}, cookies={"flowers_visitor": name}, session_hash=session or name)


@pytest.fixture(autouse=True)
def in_an_event():
    token = LocalContext.request.set(somebody("me"))
    yield
    LocalContext.request.reset(token)


@pytest.fixture(autouse=True)
def curves(monkeypatch) -> None:
    """A word stands for the curves: they take most of the time, and one test looks at them."""
    monkeypatch.setattr(evaluate.results, "curves_html", lambda result: "curves")


pytestmark = pytest.mark.usefixtures("tiny_networks")


@pytest.fixture(scope="module")
def checkpoint(garden, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "wild"
    save_wild_checkpoint(folder, scan(garden), seed=SEED)
    return folder


@pytest.fixture
def photos(garden, tmp_path, monkeypatch) -> Path:
    """The garden, as FLOWERS_DATA names it."""
    folder = tmp_path / "my photos"
    shutil.copytree(garden, folder)
    monkeypatch.setenv("FLOWERS_DATA", str(folder))
    return folder


def make_run(name: str, checkpoint: Path) -> str:
    """A run with a best checkpoint."""
    made = Run.create(runs_dir() / name, Recipe(), None)
    shutil.copytree(checkpoint, made.folder / "best")
    return made.name


@pytest.fixture
def run(checkpoint) -> str:
    return make_run("wild-run", checkpoint)


@pytest.fixture(scope="module")
def second_checkpoint(garden, tmp_path_factory) -> Path:
    """Of the same classes in another order, so that it answers otherwise, and with another part held back."""
    folder = tmp_path_factory.mktemp("checkpoints") / "other"
    save_wild_checkpoint(folder, scan(garden), CLASSES[::-1], seed=SEED)
    card = json.loads((folder / "checkpoint.json").read_text())
    card["recipe"]["split_seed"] = 7
    (folder / "checkpoint.json").write_text(json.dumps(card))
    return folder


@pytest.fixture
def other_run(second_checkpoint) -> str:
    return make_run("other-run", second_checkpoint)


def press(run, part="all", against="", who="me", reported=False, progress=lambda: None, meanwhile=lambda: None):
    """The button, pressed by a visitor. The report takes longest, and few tests look at it.

    ``progress`` is called at every word of how far it is, ``meanwhile`` in place of writing the report.
    """
    with pytest.MonkeyPatch.context() as patch:
        if not reported:
            patch.setattr(evaluate, "report_page", lambda *_: (meanwhile(), "a page")[1])
        return evaluate._press_evaluate(run, against, "FLOWERS_DATA", part, somebody(who), lambda *_, **__: progress())


def look(key, **asked) -> str:
    return evaluate._press_look(key, gr.EventData(None, asked))


def reasons(key, **asked) -> str:
    return evaluate._press_reasons(key, gr.EventData(None, asked), lambda *_, **__: None)


def opened(page: str) -> list[int]:
    """The photos that a page offers to open."""
    found = re.findall(r'class="open[^"]*" data-look="([^"]*)"', page)
    return [json.loads(one.replace("&quot;", '"'))["open"] for one in found]


def test_measure_answers_for_what_was_offered(run, photos):
    result = measure(run, "FLOWERS_DATA", "all")
    assert (result.checkpoint, result.source, len(result.outcomes)) == ("wild-run", "my photos", 40)
    assert str(photos.parent) not in json.dumps(result.to_dict())


def test_it_tells_how_far_it_is(run, photos):
    told = []
    evaluate._measure([run], "FLOWERS_DATA", "all", lambda progress, **said: told.append((progress, said["desc"])))
    assert told[0][1] == "Loading the checkpoint"
    assert ((40, 40), "Reading the photos") in told
    assert told[-1] == ((40, 40), "Classifying")


def test_a_known_set_keeps_its_name(run, garden, monkeypatch):
    monkeypatch.setattr(evaluate, "resolve", lambda source, progress: garden)
    assert measure(run, "garden").source == "garden"


@pytest.mark.parametrize("split", ["test", "", None, 3, ["val"]])
def test_only_the_three_parts_can_be_measured(split, run, photos):
    with pytest.raises(UsageError, match=r"one of val, train, all\.$"):
        measure(run, "FLOWERS_DATA", split)


def test_folders_of_the_server_cannot_be_named(run, photos, checkpoint):
    for source in (str(photos), "/", "../garden", None, ""):
        with pytest.raises(UsageError, match="photo set"):
            measure(run, source)
    for name in (str(checkpoint), "../wild", "/"):
        with pytest.raises(UsageError, match="checkpoint"):
            measure(name, "FLOWERS_DATA")


def test_the_button_shows_results_and_mistakes_and_offers_the_report(run, photos, monkeypatch):
    monkeypatch.setattr(evaluate.results, "curves_html", curves_html)
    found, shown, curves, report, key = press(run)
    result = measure(run, "FLOWERS_DATA", "all")
    wrong = sorted(
        (i for i, item in enumerate(result.outcomes) if item.wrong), key=lambda i: -result.outcomes[i].confidence
    )
    assert "wild-run" in found and share_of(result.accuracy, len(result.outcomes)) in found
    assert opened(shown) == wrong[: evaluate.PAGE]
    assert "Show where it looked" in shown and "Back to its worst mistakes" not in shown
    assert "Answer only when at least so sure" in curves
    assert report["visible"]
    assert str(photos.parent) not in found + shown + curves
    assert KEPT.get(evaluate.visitor(), key).result.outcomes == result.outcomes


def test_every_number_of_the_matrix_opens_just_its_photos_and_never_asks_the_network_again(run, photos, monkeypatch):
    *_, key = press(run)
    result = KEPT.get(evaluate.visitor(), key).result
    monkeypatch.setattr(evaluate, "evaluate", None)
    monkeypatch.setattr(evaluate.common, "load_classifier", None)
    seen = []
    for truth in range(5):
        for answer in range(5):
            page = look(key, kind="cell", truth=truth, answer=answer)
            places = opened(page)
            assert all((result.outcomes[i].label, result.outcomes[i].predicted) == (truth, answer) for i in places)
            assert len(places) == min(evaluate.PAGE, result.confusion[truth, answer])
            seen += places
    assert sorted(seen) == list(range(40))


def test_many_photos_come_page_by_page(run, photos):
    *_, key = press(run)
    wrong = sum(item.wrong for item in KEPT.get(evaluate.visitor(), key).result.outcomes)
    assert wrong > 2 * evaluate.PAGE
    pages = [opened(look(key, kind="mistakes", page=n)) for n in range(3)]
    assert [len(page) for page in pages] == [12, 12, wrong - 24]
    assert len({place for page in pages for place in page}) == wrong
    assert opened(look(key, kind="mistakes", page=39)) == pages[-1]  # beyond the end
    assert f"13 to 24 of {wrong}" in look(key, kind="mistakes", page=1)


def test_maps_are_drawn_for_the_photos_shown(run, photos):
    *_, key = press(run, "val")
    told = []
    asked = gr.EventData(None, {"kind": "mistakes", "maps": True})
    page = evaluate._press_reasons(key, asked, lambda at, **said: told.append((at, said["desc"])))
    count = len(opened(page))
    assert 0 < count == page.count("Where the network found evidence for ")
    assert page.count("<img ") == 2 * count
    assert told[-1] == ((count - 1, count), "Looking for the evidence")
    assert 'aria-pressed="true"' in page


def test_one_photo_is_opened_with_the_evidence_for_the_answer_and_for_the_truth(run, photos):
    *_, key = press(run)
    outcomes = KEPT.get(evaluate.visitor(), key).result.outcomes
    wrong = next(i for i, item in enumerate(outcomes) if item.wrong)
    right = next(i for i, item in enumerate(outcomes) if not item.wrong)
    page = reasons(key, kind="mistakes", open=wrong)
    assert page.count("<img ") == 3 and "its answer" in page and "what it is" in page
    assert outcomes[wrong].photo in page
    assert reasons(key, kind="mistakes", open=right).count("<img ") == 2


def test_a_visitor_never_sees_anothers_photos(run, photos):
    *_, key = press(run)
    for asked in ({"kind": "mistakes"}, {"kind": "cell", "truth": 0, "answer": 0}):
        assert "<img" in look(key, **asked)
        token = LocalContext.request.set(somebody("you"))
        for page in (look(key, **asked), reasons(key, **asked, maps=True)):
            assert "<img" not in page and ENGLISH["evaluate.gone"] in page
        assert all(value == gr.skip() for value in evaluate._restore()[:5])
        LocalContext.request.reset(token)


def test_what_was_measured_is_there_after_a_reload(run, photos):
    first = press(run, "val")
    token = LocalContext.request.set(somebody("me"))
    again = evaluate._restore()
    LocalContext.request.reset(token)
    assert again[0] == first[0] and again[4] == first[4]


def test_results_that_were_not_kept_are_told_so(run, photos, monkeypatch):
    *_, key = press(run, "val")
    monkeypatch.setattr(evaluate, "KEPT", Kept(1, 1, 60))
    assert ENGLISH["evaluate.gone"] in look(key, kind="mistakes")
    assert ENGLISH["evaluate.gone"] in look(None, kind="mistakes")


def test_a_look_that_no_button_asks_for_is_a_sentence(run, photos):
    *_, key = press(run, "val")
    for asked in (
        {},
        "mistakes",
        {"kind": "everything"},
        {"kind": "first"},  # nothing was compared
        {"kind": "cell", "truth": 5, "answer": 0},
        {"kind": "cell", "truth": -1, "answer": 0},
        {"kind": "cell", "truth": True, "answer": 0},
        {"kind": ["cell"], "truth": 0},
        {"kind": "cell", "truth": "0", "answer": None},
    ):
        for press_it in (evaluate._press_look, evaluate._press_reasons):
            page = press_it(key, gr.EventData(None, asked))
            assert 'role="alert"' in page and "<img" not in page, asked


def test_numbers_out_of_range_are_not_followed(run, photos):
    *_, key = press(run, "val")
    first = opened(look(key, kind="mistakes"))
    for page in (-1, 10**9, "1", None, 0.5, [1]):
        assert opened(look(key, kind="mistakes", page=page)) == first
    assert opened(reasons(key, kind="mistakes", open=10**6)) == first


def test_a_photo_that_is_gone_is_a_sentence_in_its_place(run, photos):
    *_, key = press(run, "val")
    outcomes = KEPT.get(evaluate.visitor(), key).result.outcomes
    lost = next(item.photo for item in outcomes if item.wrong)
    (photos / lost).unlink()
    for page in (look(key, kind="mistakes"), reasons(key, kind="mistakes", maps=True)):
        assert 'class="gone"' in page and "<img" in page
        assert str(photos.parent) not in page


def test_a_checkpoint_trained_on_since_gives_no_reasons_for_old_answers(run, photos):
    *_, key = press(run, "val")
    card = runs_dir() / run / "best" / "checkpoint.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "created": "2031-01-01T00:00:00Z"}))
    assert "has been trained on since" in reasons(key, kind="mistakes", maps=True)
    assert "<img" in look(key, kind="mistakes")


# Two checkpoints


def test_two_checkpoints_are_compared_on_the_first_ones_photos(run, other_run, photos):
    found, *_, key = press(run, "val", against=other_run)
    kept = KEPT.get(evaluate.visitor(), key)
    both = kept.comparison
    assert [item.photo for item in both.second.outcomes] == [item.photo for item in kept.result.outcomes]
    assert "wild-run" in found and "other-run" in found
    assert all(share_of(one.accuracy, len(one.outcomes)) in found for one in (both.first, both.second))
    sides = {"first": both.only_first, "second": both.only_second, "neither": both.neither}
    assert both.only_first and both.only_second
    for kind, places in sides.items():
        page = look(key, kind=kind)
        assert opened(page) == list(places)[: evaluate.PAGE]
        assert ("wild-run:" in page and "other-run:" in page) or not places


def test_a_checkpoint_is_not_compared_with_itself(run, photos):
    found, *rest = press(run, against=run)
    assert "Both are wild-run" in found and rest[-1] is None


# What does not go well


def test_a_mistake_in_the_request_is_a_sentence_and_leaves_nothing_old(run, photos):
    found, shown, curves, report, key = press("gone")
    assert 'role="alert"' in found
    assert "There is no checkpoint called &#x27;gone&#x27;" in found
    assert (shown, curves, report["visible"], key) == ("", "", False, None)
    (photos / "rose").rename(photos / "orchid")
    found, *_ = press(run)
    assert "does not know the class orchid" in found
    with pytest.raises(CheckpointError):
        measure(run, "FLOWERS_DATA")


def test_without_any_checkpoint_it_says_where_to_get_one(photos, monkeypatch):
    monkeypatch.setattr("flowers.studio.common.bundled_checkpoints", list)
    found, *_ = press(None)
    assert "train one in the Train tab" in found


def test_whoever_cancels_is_told_so_and_nothing_is_kept(run, photos):
    before = KEPT.latest(evaluate.visitor())
    for when in ("at once", "report"):
        cancel = {"progress" if when == "at once" else "meanwhile": lambda: evaluate._cancel(False, somebody("me"))}
        found, *rest = press(run, **cancel)
        assert ENGLISH["evaluate.stopped"] in found and 'role="alert"' not in found
        assert rest[-1] is None and KEPT.latest(evaluate.visitor()) == before
    evaluate._cancel(False, somebody("me"))  # before it has come into the queue
    assert ENGLISH["evaluate.stopped"] in press(run)[0]
    with visit("you"):
        assert "<table" in press(run, who="you")[0]  # somebody else's goes on
    evaluate._begin(somebody("me"))
    assert "<table" in press(run)[0]


def test_a_cancel_between_the_queue_and_the_work_is_heeded(run, photos, monkeypatch):
    put = evaluate.WORK.put

    def cancelled_just_before(*arguments):
        evaluate._cancel(False, somebody("me"))
        return put(*arguments)

    evaluate._begin(somebody("me"))
    monkeypatch.setattr(evaluate.WORK, "put", cancelled_just_before)
    assert ENGLISH["evaluate.stopped"] in press(run)[0]
    evaluate._begin(somebody("me"))  # what this session has left is forgotten


def test_an_evaluation_is_followed_after_a_reload(run, photos):
    seen = []

    def reload():
        seen.extend([evaluate._restore(), evaluate._follow()])
        with visit("a stranger"):
            seen.append(evaluate._restore())
            evaluate._cancel(True, somebody("a stranger"))

    result = press(run, "val", meanwhile=reload)
    for found, *_, start, stop, following, timer in seen[:2]:
        assert ENGLISH["evaluate.progress.report"] in found
        assert (start["interactive"], stop["visible"], following, timer.active) == (False, True, True, True)
    assert seen[2][0] == gr.skip() and seen[2][7] is False
    after = evaluate._follow()
    assert after[:5] == result
    assert (after[5]["interactive"], after[6]["visible"], after[7], after[8].active) == (True, False, False, False)


def test_an_evaluation_is_cancelled_by_its_page_or_by_one_that_follows_it(run, photos):
    """Another tab, whose own evaluation waits for this one's end, takes its own out of the line alone."""
    found, *_ = press(run, "val", meanwhile=lambda: evaluate._cancel(False, somebody("me", "another tab")))
    assert "<table" in found
    found, *_ = press(run, "val", meanwhile=lambda: evaluate._cancel(True, somebody("me", "reloaded")))
    assert ENGLISH["evaluate.stopped"] in found
    assert ENGLISH["evaluate.stopped"] in evaluate._follow()[0]


def test_one_that_was_cancelled_stays_so_while_the_next_begins(run, photos):
    def again():
        evaluate._cancel(False, somebody("me"))
        seen.append(press(run, "val"))

    seen = []
    found, *_ = press(run, "all", meanwhile=again)
    assert ENGLISH["evaluate.stopped"] in found
    assert evaluate._restore()[:5] == seen[0]


def test_what_kept_an_evaluation_from_its_results_is_told_after_a_reload(run, photos):
    def replaced():
        raise UsageError("The photos are gone: put them back.")

    press(run, "val")
    found, *_ = press(run, "val", progress=replaced)
    assert "The photos are gone" in found and 'role="alert"' in found
    assert evaluate._follow()[0] == found
    assert "<table" in evaluate._restore()[0]  # what was measured before is not lost


def test_the_report_can_be_downloaded_from_where_gradio_serves_and_clears(run, photos, monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    *_, report, _ = press(run, "val", reported=True)
    page = Path(report["value"])
    assert report["visible"]
    assert page.is_relative_to(tmp_path / "gradio")
    assert page.name == "wild-run-on-my-photos.html"
    assert "<h1><bdi>wild-run</bdi> on <bdi>my photos</bdi></h1>" in page.read_text()
    assert str(photos.parent) not in page.read_text()
    page.unlink()  # as Gradio does after a day
    assert evaluate._restore()[3]["visible"] is False


def test_results_stand_where_the_report_cannot_be_made(run, photos, monkeypatch):
    def replaced(*_):
        raise CheckpointError("The checkpoint has just been replaced by a newer one: load it again.")

    monkeypatch.setattr(evaluate, "report_page", replaced)
    monkeypatch.setattr(gr, "Warning", lambda *_, **__: None)
    found, _, _, report, _ = press(run, reported=True)
    assert "<h2>14 of 40</h2>" in found
    assert (report["value"], report["visible"]) == (None, False)


def test_every_control_is_labelled_and_nothing_is_public():
    async def page() -> gr.Blocks:  # inside a running loop: outside, Gradio would start one and never close it
        with gr.Blocks() as blocks:
            build()
        return blocks

    blocks = asyncio.run(page())
    controls = [block for block in blocks.blocks.values() if isinstance(block, gr.Dropdown | gr.Radio)]
    assert len(controls) == 4
    assert all(control.label and control.info for control in controls)
    assert {event.api_visibility for event in blocks.fns.values()} == {"private"}
