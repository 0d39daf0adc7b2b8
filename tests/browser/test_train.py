"""The Train tab: runs that are started, watched, stopped, resumed, in line, compared and deleted.

Their story is told by the test (tests/scripted.py), but for two: one is stopped and resumed for real, and in the
thorough suite one is trained from start to end.
"""

import itertools
import json
import re

import pytest
from playwright.sync_api import Page, expect

from flowers.recipe import PRESET_HELP, PRESETS, Recipe
from flowers.training.run import Run, list_runs
from tests.browser.conftest import choose, open_tab, wait_for
from tests.scripted import HELD_BACK, SAMPLES, STEPS, ScriptedRun, finished_run
from tests.trainer import HELD_AT

numbers = itertools.count()  # of runs
TRAINING = 240_000  # milliseconds that a real training of small pictures may take where all else wants the machine, too


def show_train(page) -> None:
    open_tab(page, "Train")
    expect(page.locator("#train-start")).to_be_visible()


def look_again(page) -> None:
    """Leave the tab and come back: whoever opens it need not wait for the clock."""
    open_tab(page, "Classify")
    show_train(page)


@pytest.fixture
def train_page(open_page):
    """``train_page()`` opens the studio at its Train tab, as another visitor."""

    def open_(width: int = 1280) -> Page:
        page = open_page(width)
        show_train(page)
        return page

    return open_


@pytest.fixture
def page(shared_page):
    """The Train tab of a visitor of whom no run is left."""
    show_train(shared_page)
    return shared_page


@pytest.fixture
def bare(page):
    """That page, once it has forgotten the runs of the test before."""
    look_again(page)
    expect(page.locator("#train-status")).to_contain_text("No run yet")
    return page


@pytest.fixture
def watched(script, studio, page):
    """A run that somebody has asked for just now, and that the page shows."""
    run = ScriptedRun(Run.create(studio.runs / f"watched-{next(numbers)}", Recipe(epochs=2), "garden")).arrive()
    try:
        look_again(page)
        expect(page.locator("#train-status")).to_contain_text(run.run.name)  # no longer the run of the test before
        expect(headline(page)).to_have_text("Starting")
        expect(page.locator("#train-look figure")).to_have_count(0)
        yield run
    finally:
        run.leave()


def unfold(button, inside: str) -> None:
    """Open a section by its button, unless it is open already: then what lies inside is visible."""
    if not button.page.locator(inside).is_visible():
        button.click()
    expect(button.page.locator(inside)).to_be_visible()


def show_more(page) -> None:
    unfold(page.locator("#train-more > button"), "#knob-epochs input")


def show_model(page) -> None:
    unfold(page.locator("#train-knobs").get_by_role("button", name=re.compile("^Model")), "#knob-init input")


def show_about(page) -> None:
    unfold(page.get_by_role("button", name="Name, note, delete"), "#train-name")


def set_knob(page, knob: str, value: float) -> None:
    field = page.locator(f"#knob-{knob} input").first
    field.fill(str(value))
    field.blur()


def choose_preset(page, name: str) -> None:
    page.locator(f"#train-preset input[value={name}]").check()


def headline(page):
    return page.locator("#train-status h2")


def detail(page):
    return page.locator("#train-status .sub")


def message(page):
    return page.locator("#train-message")


def curve(page, kind: str):
    """A curve of the loss."""
    return page.locator(f"#train-curves g.{kind} .line").first


def press_start(page) -> None:
    expect(page.locator("#train-start")).to_be_enabled()
    page.locator("#train-start").click()


def apply_preset(page, name: str) -> None:
    """Choose a preset anew, and wait until the controls say what it says: Start would train that."""
    show_more(page)
    other = "report" if name == "quick" else "quick"
    before = page.locator("#train-preset input:checked").input_value()
    for chosen in (other, name) if before == name else (name,):
        choose_preset(page, chosen)
        expect(page.locator("#knob-epochs input")).to_have_value(str(PRESETS[chosen].epochs))


def start_preset(page, name: str) -> None:
    apply_preset(page, name)
    press_start(page)


def start_on_the_garden(page, init: str = "flowers-resnet18", **knobs: float) -> None:
    """Start a run that needs no network and little time: painted flowers, the bundled weights, few that learn."""
    apply_preset(page, "report")
    choose(page, "train-source", "The garden")
    show_model(page)
    choose(page, "knob-init", init)
    for knob, value in {"frozen": 4, **knobs}.items():
        set_knob(page, knob, value)
    press_start(page)


# What a run at work looks like, to whoever looks


def test_the_headline_and_the_browsers_tab_tell_what_a_run_is_at(page, watched):
    expect(headline(page)).to_have_text("Starting")
    watched.say("Getting the photos ready: 40%.")
    expect(headline(page)).to_have_text("Getting ready")
    expect(detail(page)).to_contain_text("40%")
    watched.begin()
    expect(headline(page)).to_have_text("Epoch 1 of 2")
    watched.epoch(0.5)
    expect(headline(page)).to_have_text("Epoch 2 of 2")
    expect(page).to_have_title("50 % · flowers")
    watched.epoch(0.6)
    watched.finish()
    expect(headline(page)).to_have_text("Trained")
    expect(page.locator("#train-status")).to_contain_text("Best accuracy (epoch 2)")
    expect(page).to_have_title("flowers")


def test_the_curve_moves_within_the_first_epoch(page, watched):
    watched.begin().step()
    expect(detail(page)).to_contain_text(f"Batch 1 of {STEPS}")
    expect(curve(page, "batches")).to_have_attribute("d", re.compile("^M[^L]*$"))  # one point is a dot alone
    watched.step()
    expect(curve(page, "batches")).to_have_attribute("d", re.compile("M[^L]*L[^L]*$"))
    watched.step()
    expect(curve(page, "batches")).to_have_attribute("d", re.compile("M[^L]*L[^L]*L[^L]*$"))


@pytest.mark.thorough  # what is said of it is proved in tests/studio
def test_how_long_it_will_take_is_told(page, watched):
    watched.begin().step()
    expect(detail(page)).to_contain_text(re.compile("about .* left of about 2 minutes"))
    watched.step(STEPS - 1)
    watched.validate(20)
    expect(detail(page)).to_contain_text(re.compile(f"20 of {HELD_BACK}.* · about .* left of about 2 minutes"))


def test_after_an_epoch_its_answers_and_its_confusion_are_shown_while_the_run_goes_on(page, watched):
    watched.begin().epoch(0.5)
    expect(page.locator("#train-look figure")).to_have_count(len(SAMPLES))
    expect(page.locator("#train-look figure img")).to_have_count(len(SAMPLES))
    expect(page.locator("#train-look .at")).to_have_text("1")
    expect(page.locator("table.confusion td").first).to_have_text("6")
    counts = page.locator("table.confusion td").all_inner_texts()
    assert sum(int(count) for count in counts if count != "·") == HELD_BACK
    expect(headline(page)).to_have_text("Epoch 2 of 2")
    watched.epoch(0.75)
    expect(page.locator("#train-look .at")).to_have_text("2")
    expect(page.locator("table.confusion td").first).to_have_text("9")
    # The slider goes back to what it said after the first.
    right = page.locator("#train-look figure.right")
    expect(right).to_have_count(2)
    page.locator("#train-look input[type=range]").press("Home")
    expect(page.locator("#train-look .at")).to_have_text("1")
    expect(right).to_have_count(1)
    expect(page.locator("table.confusion td").first).to_have_text("6")


@pytest.mark.thorough  # the sentence on the card is proved in tests/studio
def test_a_run_that_fails_says_why(page, watched):
    watched.begin()
    watched.fail("The photos are gone: choose others.")
    expect(headline(page)).to_have_text("That did not work")
    expect(page.locator("#train-status .problem")).to_contain_text("The photos are gone: choose others.")


# Start, and others


def test_start_trains_what_the_controls_say(bare, script):
    page = bare
    run = script(lambda: start_on_the_garden(page, epochs=2, batch_size=8)).run
    asked = {"init": "flowers-resnet18", "backbone": "resnet18", "frozen": 4, "epochs": 2, "batch_size": 8}
    assert run.recipe == PRESETS["report"].replace(**asked)
    assert (run.source, run.preset) == ("garden", "report")
    # The command line to copy is the run's recipe.
    unfold(page.get_by_role("button", name="Command line and log"), "#train-command")
    command = re.compile(r"^python -m flowers train --preset report .*--epochs 2 .*--data garden$")
    expect(page.locator("#train-command textarea")).to_have_value(command)


@pytest.mark.thorough
def test_a_second_visitor_sees_the_run_and_the_first_may_leave(train_page, page, script):
    first = train_page()
    run = script(lambda: start_preset(first, "report")).begin()
    expect(headline(first)).to_have_text("Epoch 1 of 25")
    expect(headline(page)).to_have_text("Epoch 1 of 25")
    first.close()
    run.epoch(0.5)
    expect(headline(page)).to_have_text("Epoch 2 of 25")


@pytest.mark.thorough
def test_photos_are_answered_while_a_run_is_at_work(page, watched):
    watched.begin().step()
    open_tab(page, "Classify")
    page.get_by_role("button", name="daisy").first.click()
    expect(page.locator("#classify-answer h2")).to_be_visible()
    show_train(page)
    expect(headline(page)).to_have_text("Epoch 1 of 2")


def test_a_run_that_was_stopped_goes_on_where_it_was(bare, script):
    page = bare
    run = script(lambda: start_preset(page, "quick")).begin()
    run.step(3)
    expect(detail(page)).to_contain_text(f"Batch 3 of {STEPS}")
    expect(page.locator("#train-stop")).to_be_enabled()
    page.locator("#train-stop").click()
    expect(headline(page)).to_have_text("Stopping")
    expect(page.locator("#train-stop")).to_be_disabled()
    assert run.run.stop_requested()
    run.stop()
    expect(headline(page)).to_have_text("Stopped")
    expect(page.locator("#train-stop")).to_be_hidden()
    script(lambda: page.locator("#train-resume").click(), run)
    expect(headline(page)).to_have_text("Starting")
    assert not run.run.stop_requested()
    run.begin().step()
    expect(detail(page)).to_contain_text(f"Batch 4 of {STEPS}")
    expect(page.locator("#train-resume")).to_be_hidden()


@pytest.mark.thorough  # test_api.py has the line, tests/studio/test_train.py whose run is shown
def test_who_comes_second_stands_in_line_and_finds_the_place_again(page, watched, script):
    watched.begin()
    script(lambda: start_preset(page, "quick"))
    expect(headline(page)).to_have_text("Second in the queue")
    page.reload()
    show_train(page)
    expect(headline(page)).to_have_text("Second in the queue")
    expect(page).to_have_title("In the queue: 2 · flowers")


@pytest.fixture
def line(bare, train_page, script):
    """(page, run) of who came first, whose run is at work, and of who came second."""
    first, second = bare, train_page()
    at_work = script(lambda: start_preset(first, "report")).begin()
    waiting = script(lambda: start_preset(second, "quick"))
    assert (at_work.epochs, waiting.epochs) == (25, 3)
    return first, at_work, second, waiting


@pytest.mark.thorough
def test_each_finds_the_own_run(line):
    first, _, second, _ = line
    for page, said in ((first, "Epoch 1 of 25"), (second, "Second in the queue")):
        page.reload()
        show_train(page)
        expect(headline(page)).to_have_text(said)


@pytest.mark.thorough  # that it moves on is proved without pages, in test_api.py
def test_the_line_moves_on_though_a_page_is_closed(line, studio):
    first, at_work, second, waiting = line
    expect(headline(second)).to_have_text("Second in the queue")
    second.goto("about:blank")
    first.locator("#train-stop").click()
    wait_for(at_work.run.stop_requested)
    at_work.stop()
    waiting.begin()
    second.goto(studio.url)
    show_train(second)
    expect(headline(second)).to_have_text("Epoch 1 of 3")
    second.locator("#train-stop").click()
    wait_for(waiting.run.stop_requested)
    waiting.stop()
    expect(headline(second)).to_have_text("Stopped")
    assert waiting.run.status().state == at_work.run.status().state == "stopped"


@pytest.mark.thorough  # test_scripts.py asks for the title
def test_the_title_follows_the_run_while_nobody_sees_the_page(page, watched):
    watched.run.set_status("queued", place=3)
    expect(page).to_have_title("In the queue: 3 · flowers")
    page.evaluate("Object.defineProperty(document, 'visibilityState', {value: 'hidden', configurable: true})")
    watched.run.set_status("queued", place=2)  # Gradio's clock stands still
    expect(page).to_have_title("In the queue: 2 · flowers")
    watched.run.set_status("stopped")
    expect(page).to_have_title("flowers")
    page.evaluate("delete document.visibilityState")


# What a finished run offers


@pytest.fixture
def trained(studio, page):
    """A run of two epochs on the garden that can answer, which the page shows."""
    run = finished_run(studio.runs / "a-trained-run", epochs=2, usable=True)
    look_again(page)
    expect(page.locator("#train-status")).to_contain_text(run.name)
    return run


def test_a_run_is_evaluated_on_the_photos_that_it_learnt_from(page, trained):
    page.locator("#train-evaluate").click()
    expect(page.locator("#evaluate-checkpoint input")).to_have_value(re.compile(trained.name))
    expect(page.locator("#evaluate-source input")).to_have_value(re.compile("The garden"))


@pytest.mark.thorough  # as what is evaluated
def test_a_run_that_is_tried_answers_the_photo_that_is_shown(page, trained):
    open_tab(page, "Classify")
    page.get_by_role("button", name="daisy").first.click()
    expect(page.locator("#classify-answer .facts")).to_be_visible()
    show_train(page)
    page.locator("#train-try").click()
    expect(page.locator("#classify-checkpoint input")).to_have_value(re.compile(trained.name))
    expect(page.locator("#classify-answer .facts")).to_contain_text(trained.name)


def test_more_epochs_go_on_from_a_runs_weights_and_curves(page, trained, script):
    page.locator("#train-epochs input").fill("500")
    more = script(lambda: page.locator("#train-prolong").click()).begin()
    expect(headline(page)).to_have_text("Epoch 1 of 500")
    expect(page.locator("#train-curves")).to_contain_text("continued")
    assert curve(page, "validation").get_attribute("d").count("L") == 1  # of the run before
    run = more.run
    assert (run.continues, run.recipe.init, run.recipe.epochs) == (trained.name, trained.name, 500)


@pytest.mark.thorough  # as of bad values before a start
def test_too_many_more_epochs_are_told_in_a_sentence(page, trained, studio):
    page.locator("#train-epochs input").fill("101000")
    page.locator("#train-prolong").click()
    expect(message(page)).to_contain_text("epochs cannot be 101000")
    assert list_runs(studio.runs) == [trained]


# Names, notes, and runs side by side


@pytest.fixture
def good_and_bad(studio):
    """Two finished runs of others, or of nobody."""
    return (
        finished_run(studio.runs / "a-good-run", accuracy=0.9, epochs=4),
        finished_run(studio.runs / "b-bad-run", accuracy=0.45),
    )


def rows(page):
    return page.locator("#train-runs tbody tr")


@pytest.fixture
def compared(page, good_and_bad):
    """The page with both in its table."""
    unfold(page.get_by_role("button", name="Compare runs"), "#train-runs")
    expect(rows(page)).to_have_count(2)
    return page


@pytest.mark.thorough  # tests/studio/test_train.py names one
def test_a_run_is_named_and_annotated(page, good_and_bad):
    good, _ = good_and_bad
    choose(page, "train-run", good.name)
    expect(page.locator("#train-status")).to_contain_text(good.name)
    show_about(page)
    page.locator("#train-name :is(input, textarea)").fill("Roses & <b>tulips</b>")
    page.locator("#train-note textarea").fill("My best so far")
    page.locator("#train-save").click()
    expect(page.locator("#train-status")).to_contain_text("Roses & <b>tulips</b>")
    expect(page.locator("#train-status")).to_contain_text("My best so far")
    assert (good.title, good.note) == ("Roses & <b>tulips</b>", "My best so far")


def test_runs_are_sorted_by_mouse_and_by_keyboard(compared):
    sort = compared.locator("#train-runs button[data-sort=accuracy]")
    sort.click()
    expect(compared.locator("#train-runs th[aria-sort=descending]")).to_contain_text("Best accuracy")
    expect(rows(compared)).to_contain_text(["54 of 60", "27 of 60"])
    expect(rows(compared)).to_contain_text(["a-good-run", "b-bad-run"])
    sort.press("Enter")
    expect(compared.locator("#train-runs th[aria-sort=ascending]")).to_contain_text("Best accuracy")
    expect(rows(compared)).to_contain_text(["b-bad-run", "a-good-run"])


@pytest.mark.thorough  # tests/studio/test_train.py lays them over each other
def test_curves_are_laid_over_each_other_and_their_numbers_told(compared):
    legend = compared.locator("#train-runs .legend").first
    for name in ("a-good-run", "b-bad-run"):
        rows(compared).filter(has_text=name).get_by_role("checkbox").check()
        expect(legend).to_contain_text(name)
    expect(compared.locator("#train-runs g.curve.run-b .line").first).to_have_attribute("d", re.compile("M.*L"))
    compared.locator("#train-runs summary").click()
    numbers = compared.locator("#train-runs details tbody tr").first.locator("td")
    expect(numbers).to_have_text(["1.0500", "9 of 60", "0.9750", "14 of 60"])
    rows(compared).filter(has_text="a-good-run").get_by_role("checkbox").uncheck()
    expect(legend).not_to_contain_text("a-good-run")
    expect(legend).to_contain_text("b-bad-run")
    rows(compared).filter(has_text="b-bad-run").get_by_role("checkbox").uncheck()
    expect(compared.locator("#train-runs .legend")).to_have_count(0)


def test_delete_asks_once_more(compared, good_and_bad):
    page, (good, bad) = compared, good_and_bad
    choose(page, "train-run", good.name)
    expect(page.locator("#train-status")).to_contain_text(good.name)
    show_about(page)
    page.locator("#train-delete").click()
    page.locator("#train-delete-no").click()
    expect(page.locator("#train-delete-no")).to_be_hidden()
    assert good.folder.exists()
    page.locator("#train-delete").click()
    page.locator("#train-delete-yes").click()
    expect(message(page)).to_contain_text("has been deleted")
    expect(rows(page).filter(has_text=good.name)).to_have_count(0)
    assert not good.folder.exists()
    assert bad.folder.exists()


# What the controls say


def test_a_preset_is_a_card_that_sets_the_controls(page):
    apply_preset(page, "quick")
    expect(page.locator("#train-preset")).to_contain_text(PRESET_HELP["quick"])
    page.locator("#train-preset input[value=quick]").press("ArrowUp")
    expect(page.locator("#knob-epochs input")).to_have_value(str(PRESETS["best"].epochs))


@pytest.mark.thorough
def test_every_preset_sets_the_controls(page):
    for name in PRESETS:
        apply_preset(page, name)


@pytest.mark.thorough  # test_scripts.py tells of both
def test_of_two_cards_pressed_at_once_the_last_counts(page):
    apply_preset(page, "report")
    page.evaluate(
        "['quick', 'balanced'].forEach(name => document.querySelector(`#train-preset input[value=${name}]`).click())"
    )
    expect(page.locator("#train-preset input[value=balanced]")).to_be_checked()
    expect(page.locator("#knob-epochs input")).to_have_value(str(PRESETS["balanced"].epochs))


@pytest.mark.parametrize(
    ("epochs", "sentence"),
    [
        (0, "epochs cannot be 0: give a whole number from 1 to 1000."),
        pytest.param(1.5, "epochs must be a whole number, not 1.5", marks=pytest.mark.thorough),
    ],
)
def test_bad_values_are_told_in_a_sentence_and_nothing_starts(page, studio, epochs, sentence):
    apply_preset(page, "best")
    set_knob(page, "epochs", epochs)
    press_start(page)
    expect(message(page)).to_contain_text(sentence)
    assert list_runs(studio.runs) == []


@pytest.fixture
def phone(page):
    """The page on a phone."""
    desk = page.viewport_size
    page.set_viewport_size({"width": 390, "height": 900})
    yield page
    page.set_viewport_size(desk)


@pytest.mark.thorough  # test_page.py has the tab on a phone by night before a run
def test_on_a_phone_and_in_the_dark_everything_fits(phone, studio):
    finished_run(studio.runs / "c-phone-run", accuracy=0.6)
    page = phone
    look_again(page)
    choose(page, "train-run", "c-phone-run")
    expect(page.locator("#train-look figure")).to_have_count(5)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    text = "getComputedStyle(document.querySelector('#train-curves text')).fill"
    light = page.evaluate(text)
    page.locator("#dark").click()
    expect(page.locator("body")).to_have_class(re.compile("dark"))
    assert page.evaluate(text) != light, "an open chart follows the switch"
    page.locator("#dark").click()


@pytest.mark.thorough  # tests/studio/test_train.py tells it
def test_a_download_of_weights_is_told_before_the_start(page):
    apply_preset(page, "report")
    expect(page.locator("#train-weights")).to_contain_text("downloads the ImageNet weights of ResNet18")


@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_without_imagenet_weights_the_run_says_what_to_choose(train_page):
    page = train_page()
    apply_preset(page, "report")
    choose(page, "train-source", "The garden")
    press_start(page)
    expect(headline(page)).to_have_text("That did not work", timeout=300_000)  # a slow network says no slowly
    expect(page.locator("#train-status")).to_contain_text("init=scratch")


# How long the presets take, and the learning rate


@pytest.fixture
def unmeasured(studio, held):
    """A studio that does not know how fast this machine is, and does not find out before ``held`` is gone."""
    [file] = (studio.home / "cache" / "paces").glob("*.json")
    paces = file.read_bytes()
    file.unlink()
    yield file
    held.unlink(missing_ok=True)
    file.write_bytes(paces)


def cards_tell_how_long_they_take_once_measured(page, held, timeout: float | None = None) -> None:
    look_again(page)
    cards = page.locator("#train-preset label")
    expect(cards).to_have_count(len(PRESETS))
    expect(page.locator("#train-preset")).not_to_contain_text("on this machine")
    held.unlink()
    expect(cards).to_contain_text(["on this machine"] * len(PRESETS), timeout=timeout)
    expect(page.locator("#train-preset")).not_to_contain_text("% right")


@pytest.mark.thorough  # tests/studio/test_train.py has the cards' words
@pytest.mark.usefixtures("script")  # it makes up what it measures
def test_the_cards_tell_how_long_they_take_here_once_that_is_measured(page, unmeasured, held):
    cards_tell_how_long_they_take_once_measured(page, held)
    assert json.loads(unmeasured.read_text()).keys() == PRESETS.keys()


@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_the_cards_tell_how_long_they_take_here_once_that_is_really_measured(page, unmeasured, held):
    cards_tell_how_long_they_take_once_measured(page, held, timeout=300_000)
    assert json.loads(unmeasured.read_text()).keys() == PRESETS.keys()


def draws_what_it_tries_and_its_rate_can_be_used(page, held) -> None:
    unfold(page.get_by_role("button", name="Find a learning rate"), "#train-find")
    page.locator("#train-find").click()
    plot, table = page.locator("#train-finder-plot"), page.locator("#train-finder-table")
    expect(plot).to_contain_text(f"Step {HELD_AT} of 100", timeout=TRAINING)
    expect(plot.locator("g.curve .line").last).to_have_attribute("d", re.compile("M.*L"))
    table.get_by_role("button", name="The numbers").click()
    expect(table.locator("tbody tr")).to_have_count(HELD_AT)
    held.unlink()
    expect(plot).to_contain_text("Suggested:", timeout=TRAINING)
    expect(table.locator("tbody tr").nth(20)).to_be_visible()  # it stayed open while more came
    suggested = float(re.search(r"Suggested: (\S+)", plot.inner_text())[1])
    assert suggested != PRESETS["fast"].learning_rate
    page.locator("#train-use-rate").click()
    wait_for(lambda: float(page.locator("#knob-learning_rate input").input_value()) == suggested)


@pytest.mark.usefixtures("script")  # it makes up what it finds
def test_the_finder_draws_what_it_tries_and_its_rate_can_be_used(page, held):
    apply_preset(page, "fast")
    draws_what_it_tries_and_its_rate_can_be_used(page, held)


@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_the_finder_really_searches(train_page, held):
    page = train_page()
    choose(page, "train-source", "The garden")
    show_more(page)
    show_model(page)
    choose(page, "knob-init", "flowers-resnet18")
    set_knob(page, "frozen", 4)
    set_knob(page, "batch_size", 2)
    draws_what_it_tries_and_its_rate_can_be_used(page, held)


# Real trainings, of small pictures


def told(run: Run, kind: str) -> list[dict]:
    return [event for event in run.events() if event["kind"] == kind]


@pytest.mark.thorough  # test_a_run_that_was_stopped_goes_on_where_it_was, and test_api.py stops a real one
@pytest.mark.timeout(600)
def test_stop_then_resume(bare, studio, held):
    page, steps = bare, HELD_AT + 1
    start_on_the_garden(page, "Random weights", epochs=1, batch_size=240 // steps)
    expect(detail(page)).to_contain_text(f"Batch {HELD_AT} of {steps}", timeout=TRAINING)
    page.locator("#train-stop").click()
    expect(headline(page)).to_have_text("Stopped", timeout=TRAINING)
    held.unlink()
    page.locator("#train-resume").click()
    expect(headline(page)).to_have_text("Trained", timeout=TRAINING)
    [run] = list_runs(studio.runs)
    assert [event["epoch"] for event in told(run, "epoch")] == [0]
    assert [event["step"] for event in told(run, "step")] == list(range(1, steps + 1))  # none twice
    assert [(event["epoch"], event["step"]) for event in told(run, "started")] == [(0, 0), (0, HELD_AT)]
    expect(page.locator("#train-look figure img")).to_have_count(12)


@pytest.fixture
def really_trained(train_page, studio):
    """A page and the run of two epochs that it has started, and that has ended."""
    page = train_page()
    start_on_the_garden(page, epochs=2, batch_size=8, frozen=3)  # a stage that learns, so that it does get better
    expect(headline(page)).to_have_text("Trained", timeout=TRAINING)
    [run] = list_runs(studio.runs)
    return page, run


@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_a_training_on_the_garden_from_start_to_end(train_page, really_trained):
    page, run = really_trained
    expect(page.locator("#train-status")).to_contain_text("Best accuracy")
    expect(page).to_have_title("flowers")
    expect(curve(page, "batches")).to_have_attribute("d", re.compile("M.*L"))
    expect(page.locator("#train-look figure")).to_have_count(12)
    expect(page.locator("#train-look figure img")).to_have_count(12)
    counts = page.locator("table.confusion td").all_inner_texts()
    assert sum(int(count) for count in counts if count != "·") == 60
    epochs = told(run, "epoch")
    assert [event["epoch"] for event in epochs] == [0, 1]
    assert epochs[-1]["train_accuracy"] > epochs[0]["train_accuracy"]
    assert run.status().state == "done"
    assert "Training complete in" in run.log()


@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_what_was_really_trained_answers_and_is_really_prolonged(really_trained, studio):
    page, run = really_trained
    page.locator("#train-epochs input").fill("500")
    page.locator("#train-prolong").click()
    expect(headline(page)).to_have_text(re.compile(r"^Epoch \d+ of 500$"), timeout=TRAINING)
    open_tab(page, "Classify")
    page.get_by_role("button", name="daisy").first.click()
    expect(page.locator("#classify-answer h2")).to_be_visible()  # while a training is at work
    choose(page, "classify-checkpoint", run.title)
    expect(page.locator("#classify-answer .facts")).to_contain_text(run.title)
    show_train(page)
    page.locator("#train-stop").click()
    expect(headline(page)).to_have_text("Stopped", timeout=TRAINING)
    [more] = [other for other in list_runs(studio.runs) if other.name != run.name]
    assert (more.continues, more.recipe.init, more.recipe.epochs) == (run.name, run.name, 500)
