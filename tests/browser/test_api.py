"""The API names, called as a program calls them, and a hundred hostile uploads to the running app."""

import time
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from flowers.data.garden import render_flower
from tests.data.malformed import malformed_uploads


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


def test_explain_gives_the_map_and_a_picture_of_it(client, flower):
    from PIL import Image

    answer = classify(client, flower)
    photo = handle_file(str(flower))
    picture, reason = client.predict(photo, "flowers-resnet18", "", api_name="/explain")
    assert reason["label"] == answer["label"]
    assert reason["checkpoint"] == "flowers-resnet18"
    assert reason["exact"] is True
    assert [len(row) for row in reason["heat"]] == [7] * 7
    with Image.open(picture) as image:
        assert image.width == image.height  # as of the photo
    _, other = client.predict(photo, "flowers-resnet18", "rose", api_name="/explain")
    assert other["heat"] != reason["heat"] or answer["label"] == "rose"
    with pytest.raises(AppError, match="no class called 'orchid': the classes are daisy, dandelion"):
        client.predict(photo, "flowers-resnet18", "orchid", api_name="/explain")


def test_every_malformed_upload_gets_a_sentence_and_the_server_goes_on(client, flower, tmp_path):
    cases = list(malformed_uploads())
    assert len(cases) >= 100
    for number, (name, content) in enumerate(cases):
        path = tmp_path / str(number) / name
        path.parent.mkdir()
        path.write_bytes(content)
        with pytest.raises(AppError) as problem:
            classify(client, path)
        sentence = str(problem.value)
        assert sentence.strip().endswith("."), (name, sentence)
        assert "Traceback" not in sentence
        assert "\n" not in sentence.strip()
    assert classify(client, flower)["label"]


def test_augment_gives_as_many_variants_as_asked_and_the_same_for_a_seed(client, flower):
    def variants(seed: int) -> list[bytes]:
        pictures = client.predict(handle_file(str(flower)), {"rotation": 40}, 3, seed, api_name="/augment")
        return [Path(picture["image"]).read_bytes() for picture in pictures]

    assert len(variants(1)) == 3
    assert variants(1) == variants(1)
    assert variants(1) != variants(2)


def test_augment_refuses_in_a_sentence(client, flower):
    with pytest.raises(AppError, match="rotation cannot be 400"):
        client.predict(handle_file(str(flower)), {"rotation": 400}, 3, 0, api_name="/augment")


def test_status_before_any_run_and_bad_starts(client):
    assert "state" in client.predict(api_name="/training_status")
    for settings, words in (
        ({"epochs": -1}, "epochs cannot be -1"),
        ({"learning_rate": "nan"}, "learning_rate cannot be nan"),
        ({"epoch": 3}, "did you mean epochs"),
        ({"init": "/etc/passwd"}, "starting weights"),
    ):
        with pytest.raises(AppError, match=words):
            client.predict("report", "garden", settings, api_name="/start_training")
    with pytest.raises(AppError, match="photo set is not here"):
        client.predict("report", "/etc", {}, api_name="/start_training")
    with pytest.raises(AppError, match="no preset called"):
        client.predict("nonsense", "garden", {}, api_name="/start_training")
    with pytest.raises(AppError, match="nothing to stop"):
        client.predict(api_name="/stop_training")
    with pytest.raises(AppError, match="no run called"):
        client.predict("../elsewhere", api_name="/training_status")


def test_evaluate_measures_the_bundled_checkpoint_on_the_garden(client):
    result = client.predict("flowers-resnet18", "garden", "val", api_name="/evaluate")
    assert result["photos"] == 60
    assert 0 <= result["accuracy"] <= 1
    assert [row["name"] for row in result["per_class"]] == ["daisy", "dandelion", "rose", "sunflower", "tulip"]
    assert sum(map(sum, result["confusion"])) == 60


def test_start_stop_and_a_place_in_line(client):
    def wait_for(run: str, state: str) -> None:
        for _ in range(600):
            if client.predict(run, api_name="/training_status")["state"] == state:
                return
            time.sleep(0.3)  # the run needs the cores more than we do
        raise AssertionError(f"{run} is not {state}")

    settings = {"init": "scratch", "epochs": 300, "batch_size": 8}
    first = client.predict("report", "garden", settings, api_name="/start_training")
    assert first["state"] in ("queued", "running")
    wait_for(first["run"], "running")
    second = client.predict("report", "garden", settings, api_name="/start_training")
    assert (second["state"], second["place"]) == ("queued", 2)
    stopping = client.predict(second["run"], api_name="/stop_training")
    assert stopping["run"] == second["run"]
    wait_for(second["run"], "stopped")
    client.predict(first["run"], api_name="/stop_training")
    wait_for(first["run"], "stopped")


def test_a_visitor_cannot_read_files_of_the_server_by_path(client):
    import httpx

    payload = {"data": [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, "flowers-resnet18"]}
    answer = httpx.post(f"{client.src}gradio_api/call/classify", json=payload, timeout=60)
    event = answer.json().get("event_id")
    text = httpx.get(f"{client.src}gradio_api/call/classify/{event}", timeout=60).text if event else answer.text
    assert "root:" not in text
    assert "complete" not in text
