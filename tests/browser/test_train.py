"""The Train tab: whole trainings in the browser, watched by two visitors, in line, compared, deleted."""

import re

import pytest
from playwright.sync_api import Page, expect

from flowers.recipe import PRESET_HELP, PRESETS
from flowers.training.run import Run, list_runs
from tests.browser.conftest import choose
from tests.scripted import finished_run

PAINTING = 240_000  # milliseconds: the first run paints the garden
pytestmark = pytest.mark.timeout(900)  # seconds: what is waited for adds up to more than other tests may take


@pytest.fixture
def train_page(open_page):
    """``train_page()`` opens the studio at its Train tab, as another visitor."""

    def open_(width: int = 1280) -> Page:
        page = open_page(width)
        show_train(page)
        return page

    return open_


@pytest.fixture(autouse=True)
def nothing_is_left_at_work(studio):
    """A test that fails leaves its run at work; those after it need not wait for that."""
    yield
    for run in list_runs(studio.runs):
        if run.status().active:
            run.request_stop()


def show_train(page) -> None:
    page.get_by_role("tab", name="Train").click()
    expect(page.locator("#train-start")).to_be_visible()


def show_more(page) -> None:
    page.locator("#train-more > button").click()
    expect(page.locator("#knob-epochs input")).to_be_visible()


def set_knob(page, knob: str, value: float) -> None:
    field = page.locator(f"#knob-{knob} input").first
    field.fill(str(value))
    field.blur()


def choose_preset(page, name: str) -> None:
    page.locator(f"#train-preset input[value={name}]").check()


def headline(page):
    return page.locator("#train-status h2")


def message(page):
    return page.locator("#train-message")


def press_start(page) -> None:
    expect(page.locator("#train-start")).to_be_enabled()
    page.locator("#train-start").click()


def start_on_the_garden(page, **knobs: float) -> None:
    """Start a run that needs no network and little time: painted flowers, the bundled weights, few that learn."""
    choose_preset(page, "report")
    choose(page, "train-source", "The garden")
    show_more(page)
    expect(page.locator("#knob-epochs input")).to_have_value("25")
    page.locator("#train-knobs").get_by_role("button", name=re.compile("^Model")).click()
    choose(page, "knob-init", "flowers-resnet18")
    for knob, value in {"frozen": 4, **knobs}.items():
        set_knob(page, knob, value)
    press_start(page)


def trained_epochs(run: Run) -> list[dict]:
    return [event for event in run.events() if event["kind"] == "epoch"]


def curve(page, kind: str) -> str:
    """The path of a curve of the loss; of a dot alone, there is none."""
    return page.locator(f"#train-curves g.{kind} .line").first.get_attribute("d")


def test_a_training_on_the_garden_from_start_to_end(train_page, studio):
    first = train_page()
    start_on_the_garden(first, epochs=2, batch_size=8)  # so that a quick machine is not done before it is looked at
    expect(headline(first)).to_have_text(re.compile("Starting|Getting ready|Epoch"))
    expect(headline(first)).to_have_text(re.compile("Epoch . of 2"), timeout=PAINTING)
    expect(first.locator("#train-stop")).to_be_enabled()
    # The curve moves within the first epoch, how long it will take is told, and the browser's tab says how far it is.
    expect(first.locator("#train-curves g.batches .line").first).to_have_attribute("d", re.compile("M.*L"))
    expect(first.locator("#train-status .sub")).to_contain_text(re.compile("about .* left of"))
    expect(first).to_have_title(re.compile(r"^[1-9]\d? % · flowers$"))

    # A second visitor sees the same run, and the first may leave.
    second = train_page()
    expect(headline(second)).to_have_text(re.compile("Epoch . of 2"))
    first.close()

    # Meanwhile photos are still answered.
    second.get_by_role("tab", name="Classify").click()
    second.get_by_role("button", name="daisy").first.click()
    expect(second.locator("#classify-answer h2")).to_be_visible()
    expect(second).to_have_url(re.compile("photo=daisy"))

    # After the first epoch: the photos with their answers, and the confusion matrix, while the run goes on.
    second.reload()
    expect(second.locator("#classify-answer h2")).to_be_visible()  # its address names the tab and the photo
    show_train(second)
    expect(second.locator("#train-look figure")).to_have_count(12)
    expect(second.locator("#train-look figure img")).to_have_count(12)
    counts = second.locator("table.confusion td").all_inner_texts()
    assert sum(int(count) for count in counts if count != "·") == 60
    expect(second.locator("#train-look .at")).to_have_text("2", timeout=300_000)
    expect(headline(second)).to_have_text("Trained", timeout=300_000)
    expect(second).to_have_title("flowers")
    expect(second.locator("#train-status")).to_contain_text("Best accuracy")

    run = list_runs(studio.runs)[0]
    epochs = trained_epochs(run)
    assert [event["epoch"] for event in epochs] == [0, 1]
    assert epochs[-1]["train_accuracy"] > epochs[0]["train_accuracy"]
    assert run.status().state == "done"
    assert "Training complete in" in run.log()

    # The slider goes back to what it said after the first epoch.
    second.locator("#train-look input[type=range]").press("Home")
    expect(second.locator("#train-look .at")).to_have_text("1")

    # The command line to copy is the run's recipe.
    second.get_by_role("button", name="Command line and log").click()
    command = second.locator("#train-command textarea")
    expect(command).to_have_value(re.compile(r"^python -m flowers train --preset report .*--epochs 2 .*--data garden$"))

    # It offers to be evaluated, on the photos that it learnt from, and to be tried, and answers what is shown at once.
    second.locator("#train-evaluate").click()
    expect(second.locator("#evaluate-checkpoint input")).to_have_value(re.compile(run.name))
    expect(second.locator("#evaluate-source input")).to_have_value(re.compile("The garden"))
    show_train(second)
    second.locator("#train-try").click()
    expect(second.locator("#classify-checkpoint input")).to_have_value(re.compile(run.name))
    expect(second.locator("#classify-answer .facts")).to_contain_text(run.name)  # of the photo that was there

    # And more epochs: a new run that goes on from its weights and its curves.
    show_train(second)
    second.locator("#train-epochs input").fill("101000")
    second.locator("#train-prolong").click()
    expect(message(second)).to_contain_text("epochs cannot be 101000")
    second.locator("#train-epochs input").fill("500")
    second.locator("#train-prolong").click()
    expect(headline(second)).to_have_text(re.compile("^Epoch 1 of 500$"))
    expect(second.locator("#train-curves")).to_contain_text("continued")
    assert curve(second, "validation").count("L") == 1  # of the run before
    second.locator("#train-stop").click()
    expect(headline(second)).to_have_text("Stopped")
    more = list_runs(studio.runs)[0]
    assert (more.continues, more.recipe.init, more.recipe.epochs) == (run.name, run.name, 500)


def test_stop_then_resume(train_page, studio):
    page = train_page()
    start_on_the_garden(page, epochs=1, batch_size=4)  # so that a quick machine is not done before it is stopped
    expect(headline(page)).to_have_text("Epoch 1 of 1", timeout=PAINTING)
    expect(page.locator("#train-status .sub")).to_contain_text(re.compile("Batch [1-9]"))
    page.locator("#train-stop").click()
    expect(headline(page)).to_have_text("Stopped")
    page.locator("#train-resume").click()
    expect(headline(page)).to_have_text("Trained", timeout=300_000)
    assert [event["epoch"] for event in trained_epochs(list_runs(studio.runs)[0])] == [0]


def test_who_comes_second_stands_in_line_and_begins_when_the_first_has_ended(train_page, studio):
    first, second = train_page(), train_page()
    start_on_the_garden(first, epochs=500)
    expect(first.locator("#train-stop")).to_be_visible()
    expect(headline(first)).to_have_text(re.compile("Getting ready|Epoch"))
    start_on_the_garden(second, epochs=400)
    expect(headline(second)).to_have_text("Second in line")
    expect(second).to_have_title("In line: 2 · flowers")
    run = list_runs(studio.runs)[0]
    assert run.recipe.epochs == 400 or (run := list_runs(studio.runs)[1]).recipe.epochs == 400
    # It finds its own place again, each finds the own run, and the line moves on though its page is closed.
    second.reload()
    show_train(second)
    expect(headline(second)).to_have_text("Second in line")
    expect(headline(first)).to_have_text(re.compile(r"Getting ready|Epoch \d+ of 500$"))
    second.goto("about:blank")
    first.locator("#train-stop").click()
    second.goto(studio.url)
    show_train(second)
    expect(headline(second)).to_have_text(re.compile(r"Getting ready|Epoch \d+ of 400$"))
    second.locator("#train-stop").click()
    expect(headline(second)).to_have_text("Stopped")
    assert run.status().state == "stopped"


def test_runs_are_named_annotated_laid_over_each_other_sorted_and_deleted(train_page, studio):
    good = finished_run(studio.runs / "a-good-run", accuracy=0.9, epochs=4)
    finished_run(studio.runs / "b-bad-run", accuracy=0.45)
    page = train_page()
    expect(headline(page)).to_be_visible()
    choose(page, "train-run", "a-good-run")
    expect(page.locator("#train-status")).to_contain_text("a-good-run")
    page.get_by_role("button", name="Name, note, delete").click()
    page.locator("#train-name :is(input, textarea)").fill("Roses & <b>tulips</b>")
    page.locator("#train-note textarea").fill("My best so far")
    page.locator("#train-save").click()
    expect(page.locator("#train-status")).to_contain_text("Roses & <b>tulips</b>")
    expect(page.locator("#train-status")).to_contain_text("My best so far")
    assert good.note == "My best so far"

    page.get_by_role("button", name="Compare runs").click()
    rows = page.locator("#train-runs tbody tr")
    expect(rows.filter(has_text="b-bad-run")).to_contain_text("45.00%")
    sort = page.locator("#train-runs button[data-sort=accuracy]")
    sort.click()
    expect(page.locator("#train-runs th[aria-sort=descending]")).to_contain_text("Best accuracy")
    shown = [text for text in rows.all_inner_texts() if "45.00%" in text or "90.00%" in text]
    assert "Roses" in shown[0]
    sort.press("Enter")
    expect(page.locator("#train-runs th[aria-sort=ascending]")).to_contain_text("Best accuracy")
    shown = [text for text in rows.all_inner_texts() if "45.00%" in text or "90.00%" in text]
    assert "b-bad-run" in shown[0]
    for name in ("Roses", "b-bad-run"):
        rows.filter(has_text=name).get_by_role("checkbox").check()
        expect(page.locator("#train-runs .legend").first).to_contain_text(name)
    expect(page.locator("#train-runs g.curve.run-b .line").first).to_have_attribute("d", re.compile("M.*L"))
    page.locator("#train-runs summary").click()
    numbers = page.locator("#train-runs details tbody tr").first.locator("td")
    expect(numbers).to_have_text(["1.0500", "15.00%", "0.9750", "22.50%"])
    rows.filter(has_text="Roses").get_by_role("checkbox").uncheck()
    expect(page.locator("#train-runs .legend").first).not_to_contain_text("Roses")

    page.locator("#train-delete").click()
    page.locator("#train-delete-no").click()
    assert good.folder.exists()
    page.locator("#train-delete").click()
    page.locator("#train-delete-yes").click()
    expect(message(page)).to_contain_text("has been deleted")
    expect(rows.filter(has_text="Roses")).to_have_count(0)
    assert not good.folder.exists()


def test_the_finder_draws_what_it_tries_and_its_rate_can_be_used(train_page):
    page = train_page()
    choose(page, "train-source", "The garden")
    show_more(page)
    page.locator("#train-knobs").get_by_role("button", name=re.compile("^Model")).click()
    choose(page, "knob-init", "flowers-resnet18")
    set_knob(page, "frozen", 4)
    set_knob(page, "batch_size", 2)
    page.get_by_role("button", name="Find a learning rate").click()
    page.locator("#train-find").click()
    plot, table = page.locator("#train-finder-plot"), page.locator("#train-finder-table")
    expect(plot).to_contain_text(re.compile("Step .* of 100"), timeout=300_000)
    table.get_by_role("button", name="The numbers").click()
    expect(plot.locator("g.curve .line").last).to_have_attribute("d", re.compile("M.*L"))
    expect(table.locator("tbody tr").nth(1)).to_be_visible()  # and stays open while more come
    expect(plot).to_contain_text("Suggested:", timeout=300_000)
    expect(table.locator("tbody tr").nth(20)).to_be_visible()
    page.locator("#train-use-rate").click()
    suggested = re.search(r"Suggested: (\S+)", plot.inner_text())[1]
    rate = page.locator("#knob-learning_rate input")
    expect(rate).not_to_have_value(str(PRESETS["fast"].learning_rate))
    assert float(rate.input_value()) == float(suggested)


def test_on_a_phone_and_in_the_dark_everything_fits(train_page, studio):
    finished_run(studio.runs / "c-phone-run", accuracy=0.6)
    page = train_page(390)
    expect(headline(page)).to_be_visible()
    choose(page, "train-run", "c-phone-run")
    expect(page.locator("#train-look figure")).to_have_count(5)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    text = "getComputedStyle(document.querySelector('#train-curves text')).fill"
    light = page.evaluate(text)
    page.locator("#dark").click()
    expect(page.locator("body")).to_have_class(re.compile("dark"))
    assert page.evaluate(text) != light, "an open chart follows the switch"


def test_bad_values_are_told_in_a_sentence_and_nothing_starts(train_page, studio):
    page = train_page()
    show_more(page)
    before = len(list_runs(studio.runs))
    set_knob(page, "epochs", 0)
    press_start(page)
    expect(message(page)).to_contain_text("epochs cannot be 0: give a whole number from 1 to 1000.")
    set_knob(page, "epochs", 1.5)
    press_start(page)
    expect(message(page)).to_contain_text("epochs must be a whole number, not 1.5")
    assert len(list_runs(studio.runs)) == before


def test_without_imagenet_weights_the_run_says_what_to_choose(train_page):
    page = train_page()
    choose_preset(page, "report")
    expect(page.locator("#train-weights")).to_contain_text("downloads the ImageNet weights of ResNet18")
    choose(page, "train-source", "The garden")
    press_start(page)
    expect(headline(page)).to_have_text("That did not work", timeout=300_000)  # a slow network says no slowly
    expect(page.locator("#train-status")).to_contain_text("init=scratch")


def test_a_preset_is_a_card_that_sets_every_control(train_page):
    page = train_page()
    show_more(page)
    for name, recipe in PRESETS.items():
        choose_preset(page, name)
        expect(page.locator("#knob-epochs input")).to_have_value(str(recipe.epochs))
    expect(page.locator("#train-preset")).to_contain_text(PRESET_HELP["quick"])
    page.locator("#train-preset input[value=quick]").press("ArrowUp")
    expect(page.locator("#knob-epochs input")).to_have_value(str(PRESETS["best"].epochs))
    # Of two pressed at once, the last counts: its card is chosen, and its values are those that Start would train.
    page.evaluate(
        "['quick', 'balanced'].forEach(name => document.querySelector(`#train-preset input[value=${name}]`).click())"
    )
    expect(page.locator("#train-preset input[value=balanced]")).to_be_checked()
    expect(page.locator("#knob-epochs input")).to_have_value(str(PRESETS["balanced"].epochs))


def test_the_title_follows_the_run_while_nobody_sees_the_page(open_page, studio):
    run = Run.create(studio.runs / "d-hidden-run", PRESETS["quick"], "garden")
    run.set_status("queued", place=3)
    page = open_page(query=f"?tab=train&run={run.name}")
    expect(page).to_have_title("In line: 3 · flowers")
    page.evaluate("Object.defineProperty(document, 'visibilityState', {value: 'hidden'})")  # and Gradio's clock stops
    run.set_status("queued", place=2)
    expect(page).to_have_title("In line: 2 · flowers")
    run.set_status("stopped")
    expect(page).to_have_title("flowers")


def test_the_cards_tell_how_long_they_take_here_once_that_is_measured(train_page):
    page = train_page()
    choose(page, "train-source", "The garden")
    expect(page.locator("#train-preset label").first).to_contain_text("on this machine", timeout=300_000)
    expect(page.locator("#train-preset")).not_to_contain_text("% right")
