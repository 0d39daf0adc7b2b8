"""What is sent to the Hub, what is not, and where the token never appears."""

import logging
import subprocess
import sys

import pytest
from huggingface_hub import SpaceCard

from flowers.errors import ShareError
from flowers.models.checkpoint import find_checkpoint
from flowers.share import hub as module
from flowers.share.hub import check_name, check_token, push_model, push_page, push_space
from tests.share.hub import TOKEN


def unpack(files, folder):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_model_arrives_whole_and_loads_again(hub, whole, tmp_path):
    extra = tmp_path / "x.onnx"
    extra.write_bytes(b"onnx")
    url = push_model(whole, "me/mine", TOKEN, private=True, files={"mine.onnx": extra}, endpoint=hub.url)
    assert url == f"{hub.url}/me/mine"
    assert hub.repos["model me/mine"]["visibility"] == "private"
    files = hub.files["model me/mine"]
    assert files.keys() == {"README.md", "checkpoint.json", "model.safetensors", "calibration.safetensors", "mine.onnx"}
    assert files["mine.onnx"] == b"onnx"
    found = find_checkpoint(unpack(files, tmp_path / "down"))
    assert found.classes == whole.classes
    assert (found.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()


def test_a_second_time_brings_it_up_to_date_and_leaves_nothing_stale(hub, whole):
    push_model(find_checkpoint("flowers-resnet18"), "me/mine", TOKEN, endpoint=hub.url)
    assert "model.safetensors.index.json" in hub.files["model me/mine"]
    hub.files["model me/mine"]["notes.txt"] = b"the owner's"
    push_model(whole, "me/mine", TOKEN, endpoint=hub.url)
    assert hub.files["model me/mine"].keys() == {
        "README.md", "checkpoint.json", "model.safetensors", "calibration.safetensors", "notes.txt"
    }  # fmt: skip


def test_somebody_elses_work_of_that_name_is_left_alone(hub, whole):
    hub.repos["model me/mine"], hub.files["model me/mine"] = {}, {"model.bin": b"precious"}
    with pytest.raises(ShareError, match=r"^me/mine is there already and is something else: choose another name\.$"):
        push_model(whole, "me/mine", TOKEN, endpoint=hub.url)
    assert hub.files["model me/mine"] == {"model.bin": b"precious"}


def test_a_space_is_this_studio_with_that_checkpoint_and_nothing_else(hub, whole):
    url = push_space(whole, "me/studio", TOKEN, endpoint=hub.url)
    assert url == f"{hub.url}/spaces/me/studio"
    assert hub.repos["space me/studio"]["sdk"] == "gradio"
    files = hub.files["space me/studio"]
    tops = {name.partition("/")[0] for name in files}
    assert tops == {"README.md", "LICENSE", "app.py", "requirements.txt", "flowers", "checkpoints"}
    assert {name.split("/")[1] for name in files if name.startswith("checkpoints/")} == {"2026-01-31-mine"}
    assert not any("__pycache__" in name or name.endswith((".pyi", ".jpg", ".png")) for name in files)
    card = SpaceCard(files["README.md"].decode())
    assert (card.data.sdk, card.data.app_file, card.data.title) == ("gradio", "app.py", "studio")


@pytest.fixture
def page(tmp_path):
    """What ``write_page`` makes, as far as the Hub minds."""
    return unpack(
        {"README.md": b"# A page", "facts.js": b"1", "ort/x.wasm": b"2", "network.onnx": b"3"}, tmp_path / "p"
    )


def test_a_page_is_a_static_space(hub, whole, page):
    for _ in range(2):  # made, and brought up to date
        url = push_page(whole, page, "me/page", TOKEN, private=True, endpoint=hub.url)
        assert url == f"{hub.url}/spaces/me/page"
    assert hub.repos["space me/page"]["sdk"] == "static"
    assert hub.repos["space me/page"]["visibility"] == "private"
    files = hub.files["space me/page"]
    assert files.keys() == {"README.md", "facts.js", "ort/x.wasm", "network.onnx"}
    card = SpaceCard(files["README.md"].decode())
    assert (card.data.sdk, card.data.app_file, card.data.title) == ("static", "index.html", "page")
    assert card.text.strip() == "# A page"
    assert (page / "README.md").read_text() == "# A page"


def test_a_studio_of_that_name_does_not_become_a_page(hub, whole, page):
    push_space(whole, "me/mine", TOKEN, endpoint=hub.url)
    with pytest.raises(ShareError, match=r"^me/mine is there already and is something else: choose another name\.$"):
        push_page(whole, page, "me/mine", TOKEN, endpoint=hub.url)
    assert "facts.js" not in hub.files["space me/mine"]


@pytest.mark.thorough  # tests/test_imports.py: what is in flowers needs nothing else
def test_a_space_that_is_unpacked_is_a_studio(hub, whole, tmp_path):
    push_space(whole, "me/studio", TOKEN, endpoint=hub.url)
    folder = unpack(hub.files["space me/studio"], tmp_path / "space")
    script = "from flowers.studio import app, common; app.build(); print(*dict(common.checkpoint_choices()).values())"
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "2026-01-31-mine", done.stderr


def test_the_token_is_in_the_authorization_header_and_nowhere_else(hub, whole, caplog, capfd, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with caplog.at_level(logging.DEBUG):
        push_model(whole, "me/mine", TOKEN, endpoint=hub.url)
        push_space(whole, "me/studio", TOKEN, endpoint=hub.url)
    sent = [headers.get("authorization") for _, path, headers, _ in hub.requests if path.startswith("/api/repos")]
    assert sent == [f"Bearer {TOKEN}"] * 2
    said = capfd.readouterr()
    for where in (hub.without_authorization(), caplog.text, said.out, said.err):
        assert TOKEN not in where
    assert not [path for path in (tmp_path / "hf").rglob("*") if path.is_file() and TOKEN in path.read_text()]


@pytest.mark.parametrize(
    ("repo", "token", "refuse", "said"),
    [
        ("me/mine", "hf_wrong", None, "The Hub does not accept this token: make one that may write"),
        ("stranger/mine", TOKEN, None, "This token may not write to stranger/mine"),
        ("me/mine", TOKEN, (402, "Private quota exceeded"), "It says: Private quota exceeded."),
        ("me/mine", TOKEN, (413, "too large"), "has no room for this"),
        (
            "me/mine",
            TOKEN,
            (429, f"{TOKEN} asks too much"),
            "wait a few minutes and try again. It says: … asks too much.",
        ),
        ("me/mine", TOKEN, (500, ""), "refused this with error 500: try again later."),
    ],
)
def test_a_refusal_is_a_sentence_without_the_token(hub, whole, repo, token, refuse, said):
    hub.refuse = refuse
    with pytest.raises(ShareError) as problem:
        push_model(whole, repo, token, endpoint=hub.url)
    assert said in str(problem.value)
    assert "\n" not in str(problem.value)
    assert problem.value.__suppress_context__
    assert token not in str(problem.value)
    assert not hub.files.get(f"model {repo}")


def test_no_network_is_told_at_once(whole):
    with pytest.raises(
        ShareError, match=r"^The Hugging Face Hub cannot be reached from here: go online and try again\.$"
    ):
        push_model(whole, "me/mine", TOKEN, endpoint="http://127.0.0.1:9")


def test_whatever_else_goes_wrong_does_not_tell_the_token(whole, hub, monkeypatch):
    def fails(*_):
        raise RuntimeError(f"odd header {TOKEN}")

    monkeypatch.setattr(module, "_open_repository", fails)
    with pytest.raises(ShareError, match=r"could not be sent this \(RuntimeError\)"):
        push_model(whole, "me/mine", TOKEN, endpoint=hub.url)


def test_a_token_is_trimmed_and_what_no_header_may_hold_is_refused():
    assert check_token(f"  {TOKEN}\n") == TOKEN
    for bad in (None, "", "  "):
        with pytest.raises(ShareError, match="asks for a token"):
            check_token(bad)
    for bad in ("hf_a\nb: c", "hf_ä", "x" * 501, "hf x"):
        with pytest.raises(ShareError, match="That is no token") as problem:
            check_token(bad)
        assert bad not in str(problem.value)


def test_names_of_the_hub():
    assert check_name(" me/my-flowers.v2 ") == "me/my-flowers.v2"
    for bad in (None, "", "mine", "a/b/c", "me/", "/mine", "me/a b", "me/--", "../etc"):
        with pytest.raises(ShareError, match="write OWNER/NAME"):
            check_name(bad)
