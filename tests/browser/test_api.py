"""The API names, called as a program calls them, and hostile uploads to the running app."""

from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from flowers.data.garden import render_flower
from flowers.training.run import Run
from tests.browser.conftest import wait_for
from tests.conftest import TINY
from tests.data.malformed import malformed_uploads

UPLOADS = dict(malformed_uploads())
# One of each kind; decode.py is shown all of them in tests/data, and what the API calls in tests/studio.
EIGHT = [
    "empty.jpg", "text.jpg", "page.jpg", "first 65 percent of baseline.jpg", "zeroed middle.png",
    "196 megapixels in 24 KB.png", "random 300.jpg", "film.mp4",
]  # fmt: skip
assert UPLOADS.keys() > set(EIGHT)


@pytest.fixture(scope="module")
def client(studio):
    return Client(studio.url, verbose=False)


@pytest.fixture(scope="module")
def flower(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "tulip.png"
    render_flower("tulip", 5, 256).save(path)
    return path


def classify(client: Client, path: Path) -> dict:
    return client.predict(handle_file(str(path)), "flowers-resnet18", api_name="/classify")


def test_classify_answers_in_plain_values(client, flower):
    answer = classify(client, flower)
    assert answer["label"] in answer["confidences"]
    assert sum(answer["confidences"].values()) == pytest.approx(1, abs=1e-5)
    assert answer["checkpoint"] == "flowers-resnet18"
    assert answer["seconds"] > 0


def test_explain_gives_the_map_of_the_answer_and_a_picture_of_it(client, flower):
    from PIL import Image

    picture, reason = client.predict(handle_file(str(flower)), "flowers-resnet18", "", api_name="/explain")
    assert reason["label"] == classify(client, flower)["label"]
    assert reason["checkpoint"] == "flowers-resnet18"
    assert reason["exact"] is True
    assert [len(row) for row in reason["heat"]] == [7] * 7
    with Image.open(picture) as image:
        assert image.width == image.height  # as of the photo


def test_explain_gives_the_map_of_the_class_that_was_asked_for(client, flower):
    photo = handle_file(str(flower))
    [rose, tulip] = [
        client.predict(photo, "flowers-resnet18", name, api_name="/explain")[1] for name in ("rose", "tulip")
    ]
    assert (rose["label"], tulip["label"]) == ("rose", "tulip")
    assert rose["heat"] != tulip["heat"]
    with pytest.raises(AppError, match="no class called 'orchid': the classes are daisy, dandelion"):
        client.predict(photo, "flowers-resnet18", "orchid", api_name="/explain")


def assert_refused(client: Client, folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(UPLOADS[name])
    with pytest.raises(AppError) as problem:
        classify(client, path)
    sentence = str(problem.value)
    assert sentence.strip().endswith("."), sentence
    assert "Traceback" not in sentence
    assert "\n" not in sentence.strip()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in EIGHT else pytest.mark.thorough) for name in UPLOADS]
)
def test_a_malformed_upload_gets_a_sentence(client, tmp_path, name):
    assert_refused(client, tmp_path, name)


@pytest.mark.thorough  # in the quick suite the tests after these prove it
def test_the_server_goes_on_after_malformed_uploads(client, flower, tmp_path):
    for name in EIGHT[:3]:
        assert_refused(client, tmp_path, name)
    assert classify(client, flower)["label"]


def test_augment_gives_as_many_variants_as_asked_and_the_same_for_a_seed(client, flower):
    def variants(seed: int) -> list[bytes]:
        pictures = client.predict(handle_file(str(flower)), {"rotation": 40}, 3, seed, api_name="/augment")
        return [Path(picture["image"]).read_bytes() for picture in pictures]

    first = variants(1)
    assert len(first) == 3
    assert variants(1) == first
    assert variants(2) != first


def test_augment_refuses_in_a_sentence(client, flower):
    with pytest.raises(AppError, match="rotation cannot be 400"):
        client.predict(handle_file(str(flower)), {"rotation": 400}, 3, 0, api_name="/augment")


def test_status_before_any_run(client):
    assert client.predict(api_name="/training_status")["state"] == "none"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epochs": -1}, "epochs cannot be -1"),
        ({"learning_rate": "nan"}, "learning_rate cannot be nan"),
        ({"epoch": 3}, "did you mean epochs"),
        ({"init": "/etc/passwd"}, "starting weights"),
    ],
)
def test_bad_settings_start_nothing(client, settings, words):
    with pytest.raises(AppError, match=words):
        client.predict("report", "garden", settings, api_name="/start_training")


def test_what_is_not_there_is_not_started_stopped_or_told_of(client):
    with pytest.raises(AppError, match="photo set is not here"):
        client.predict("report", "/etc", {}, api_name="/start_training")
    with pytest.raises(AppError, match="no preset called"):
        client.predict("nonsense", "garden", {}, api_name="/start_training")
    with pytest.raises(AppError, match="nothing to stop"):
        client.predict(api_name="/stop_training")
    with pytest.raises(AppError, match="no run called"):
        client.predict("../elsewhere", api_name="/training_status")


@pytest.mark.thorough  # tests/studio/test_evaluate.py asks without the network
def test_evaluate_measures_the_bundled_checkpoint_on_the_garden(client):
    result = client.predict("flowers-resnet18", "garden", "val", api_name="/evaluate")
    assert result["photos"] == 60
    assert 0 <= result["accuracy"] <= 1
    assert [row["name"] for row in result["per_class"]] == ["daisy", "dandelion", "rose", "sunflower", "tulip"]
    assert sum(map(sum, result["confusion"])) == 60


def start(client: Client, **settings) -> dict:
    return client.predict("report", "garden", settings, api_name="/start_training")


def status(client: Client, run: Run) -> dict:
    return client.predict(run.name, api_name="/training_status")


def stop(client: Client, run: Run) -> dict:
    return client.predict(run.name, api_name="/stop_training")


@pytest.mark.timeout(300)
def test_a_training_is_started_watched_and_stopped(client, studio):
    """For real: a network learns, in a process of its own. One step is enough, and it never ends by itself.

    It begins from scratch: so tests/trainer.py has it be a tiny one.
    """
    settings = {name: getattr(TINY, name) for name in ("init", "device", "precision", "memory_format", "threads")}
    told = start(client, epochs=1000, batch_size=8, **settings)
    assert told["state"] in ("queued", "running")
    run = Run(studio.runs / told["run"])
    wait_for(lambda: "step" in [event["kind"] for event in run.events()], seconds=100)
    told = status(client, run)
    assert (told["state"], told["epochs"]) == ("running", 1000)
    assert stop(client, run)["run"] == run.name
    wait_for(lambda: run.status().state == "stopped", seconds=100)
    assert status(client, run)["state"] == "stopped"


def test_a_run_behind_another_has_its_place_in_line_until_that_has_ended(client, script):
    first = script(lambda: start(client, epochs=1)).begin()
    second = script(lambda: start(client))
    assert status(client, first.run)["state"] == "running"
    told = status(client, second.run)
    assert (told["state"], told["place"]) == ("queued", 2)
    first.epoch(0.75)
    first.finish()
    second.begin()
    assert status(client, first.run)["state"] == "done"
    told = status(client, second.run)
    assert (told["state"], told["place"]) == ("running", 0)


def test_who_stands_in_line_is_asked_to_stop_by_the_runs_name(client, script):
    first = script(lambda: start(client)).begin()
    second = script(lambda: start(client))
    assert stop(client, second.run)["run"] == second.run.name
    assert second.run.stop_requested()
    assert not first.run.stop_requested()


@pytest.mark.thorough
@pytest.mark.timeout(300)
def test_who_is_stopped_in_line_leaves_it(client, script, studio):
    """As a process of its own, which waits for the first run's end; of that the test tells nothing."""
    first = script(lambda: start(client)).begin()
    studio.scripted.unlink()
    told = start(client)
    assert (told["state"], told["place"]) == ("queued", 2)
    second = Run(studio.runs / told["run"])
    stop(client, second)
    wait_for(lambda: second.status().state == "stopped", seconds=100)
    assert status(client, second)["state"] == "stopped"
    assert status(client, first.run)["state"] == "running"


def test_a_visitor_cannot_read_files_of_the_server_by_path(client):
    import httpx

    payload = {"data": [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, "flowers-resnet18"]}
    answer = httpx.post(f"{client.src}gradio_api/call/classify", json=payload, timeout=60)
    event = answer.json().get("event_id")
    text = httpx.get(f"{client.src}gradio_api/call/classify/{event}", timeout=60).text if event else answer.text
    assert "root:" not in text
    assert "complete" not in text
