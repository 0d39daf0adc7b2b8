"""Several processes that train as one: the same losses, the same network, one run folder. Two real ones, over gloo.

In the quick suite they are forked from one process that has torch loaded (tests/pair.py); what is left to the launchers
is in the thorough part.
"""

import copy
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from flowers.data.dataset import scan
from flowers.data.loader import batches_of, epoch_order
from flowers.errors import DataError
from flowers.models.backbones import BACKBONES
from flowers.models.checkpoint import load_weights
from flowers.paths import PROJECT
from flowers.recipe import Recipe
from flowers.training import machine
from flowers.training.learner import Learner
from flowers.training.machine import Machine
from flowers.training.process import in_team, is_main, perform
from flowers.training.run import Run
from flowers.training.team import SharedNorm, Team, share_norms
from flowers.training.train import train
from tests.conftest import TINY
from tests.pair import DEADLINE, Blow, Moment, Pair, run_flowers, smooth_network
from tests.waiting import wait_until

CPU = torch.device("cpu")
# 30 photos in steps of 7, 7, 7, 7 and 2: shares of 4 and 3, and at last of one photo each.
PLAIN = TINY.replace(batch_size=7, learning_rate=0.001)
EVERYTHING = PLAIN.replace(
    epochs=4, probe="on", frozen=1, norms="frozen", learning_rate=1e-4, schedule="cosine", warmup=0.2,
    weight_decay=1e-3, stage_decay=0.5, label_smoothing=0.1, ema=0.2, first_size=32, mixup=0.5, cutmix=1,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def smooth():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "resnet18", smooth_network())
        patch.setattr(machine, "SIDE", 32)
        torch.set_num_threads(1)
        yield


# A team of one


def test_a_process_on_its_own_is_a_team_that_does_nothing():
    team, net, thing = Team(CPU), nn.Sequential(nn.BatchNorm2d(3)), object()
    assert (team.size, team.rank, team.main, team.neighbours, team.device) == (1, 0, True, 1, CPU)
    assert team.share([[1, 2], [3]]) == [[1, 2], [3]]
    assert team.sum(1.5, 2) == [1.5, 2]
    assert (team.any(True), team.any(False)) == (True, False)
    assert team.same(thing) is thing
    assert team.gather([1, thing]) == [1, thing]
    assert team.wrap(net) is net
    assert share_norms(net, team) is net
    assert type(net[0]) is nn.BatchNorm2d
    with team.main_first():
        team.leave()
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(
    ("environment", "team", "main"),
    [
        ({}, False, True),
        ({"WORLD_SIZE": "1", "RANK": "0"}, False, True),
        ({"WORLD_SIZE": "2", "RANK": "0"}, True, True),
        ({"WORLD_SIZE": "2", "RANK": "1"}, True, False),
        ({"WORLD_SIZE": "16", "RANK": "8", "LOCAL_RANK": "0"}, True, False),
    ],
    ids=str,
)
def test_a_process_knows_from_its_environment_whether_it_is_one_of_many(monkeypatch, environment, team, main):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (in_team(), is_main()) == (team, main)


# Shares


@given(photos=st.integers(2, 300), batch_size=st.integers(1, 64), size=st.integers(1, 8))
def test_shares_are_the_batches_and_no_photo_is_in_two(photos, batch_size, size):
    batches = batches_of(epoch_order(range(photos), 0, 0), batch_size, max(2, size))
    shares = [Team.share(SimpleNamespace(rank=rank, size=size), batches) for rank in range(size)]
    assert all(len(share) == len(batches) for share in shares)
    for batch, *parts in zip(batches, *shares, strict=True):
        assert sorted(index for part in parts for index in part) == sorted(batch)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        if min(batch_size, photos) >= size:
            assert min(map(len, parts)) > 0, "nobody goes without"


# Two processes, each with its part of the same sums


PHOTOS = 7  # of a batch: four in one process, three in the other
STEPS = 3


@dataclasses.dataclass
class Sums:
    """What one process, or one of two, makes of the same batches."""

    output: torch.Tensor
    gradient: torch.Tensor  # of the norm's input
    norm: dict[str, torch.Tensor]
    norm_gradients: list[torch.Tensor]
    checked: torch.Tensor  # what the norm gives when it does not learn
    losses: list[float]
    weights: dict[str, torch.Tensor]  # of a network after some steps
    asked: dict


class Small(nn.Module):
    """Two convolutions and norms; smooth."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 8, 3, stride=2), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, classes)

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        photos = nn.functional.silu(self.bn1(self.conv1(photos)))
        return self.fc(self.bn2(self.conv2(photos)).mean((2, 3)))


SMALL = dataclasses.replace(BACKBONES["resnet18"], build=Small, stages=(("conv1", "bn1"), ("conv2", "bn2")))


def compute(team: Team) -> Sums:
    rng = torch.Generator().manual_seed(0)
    mine = slice(team.rank, None, team.size)
    norm = nn.BatchNorm2d(3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -2.0, 0.5]))
    norm.bias.requires_grad_(False)
    norm = share_norms(nn.Sequential(norm), team)[0]
    photos = 3 + 2 * torch.randn(PHOTOS, 3, 5, 4, generator=rng)
    wanted = torch.randn(PHOTOS, 3, 5, 4, generator=rng)
    part = photos[mine].clone().requires_grad_()
    output = norm(part)
    (output.square() * wanted[mine]).sum().backward()
    norm.eval()

    torch.manual_seed(1)
    recipe = TINY.replace(memory_format="contiguous", weight_decay=1e-3, ema=0.3, label_smoothing=0.1)
    plain = Machine("cpu", "float32", "contiguous", 1, 1.0, 1.0, "")
    learner = Learner(share_norms(Small(5), team), SMALL, recipe, plain, team, steps=100)
    learner.begin()
    losses = []
    for _ in range(STEPS):
        learner.begin_epoch()
        photos, labels = torch.randn(PHOTOS, 3, 16, 16, generator=rng), torch.arange(PHOTOS) % 5
        losses += team.sum(*learner.learn(photos[mine], labels[mine], 0.05, PHOTOS))
    asked = {
        "who": (team.size, team.rank, team.main, team.neighbours),
        "sum": team.sum(team.rank + 1, 0.1),
        "any": (team.any(team.rank == 1), team.any(False)),
        "same": team.same({"rank": team.rank}),
        "gather": team.gather([team.rank, "photo"]),
    }
    return Sums(
        output=output.detach(),
        gradient=part.grad,
        norm=norm.state_dict(),
        norm_gradients=team.sum(*norm.weight.grad.tolist()),
        checked=norm(part).detach(),
        losses=losses,
        weights=learner.net.state_dict() | {f"average.{k}": v for k, v in learner.weights().items()},
        asked=asked,
    )


def compute_in(folder: str) -> None:
    """One of two processes; leaves what it computed in a file."""
    team = Team(CPU)
    torch.save(vars(compute(team)), Path(folder) / f"{team.rank}.pt")
    team.leave()


@pytest.fixture(scope="module")
def one_and_two(tmp_path_factory) -> tuple[Sums, list[Sums]]:
    folder = tmp_path_factory.mktemp("two")
    with Pair(folder, compute_in, str(folder)) as pair:
        assert pair.end() == [0, 0], pair.said()
    return compute(Team(CPU)), [Sums(**torch.load(folder / f"{rank}.pt")) for rank in (0, 1)]


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


def joined(parts: list[torch.Tensor]) -> torch.Tensor:
    whole = torch.empty(PHOTOS, *parts[0].shape[1:])
    for rank, part in enumerate(parts):
        whole[rank::2] = part
    return whole


def test_a_shared_norm_is_batch_norm_over_all_photos(one_and_two):
    """Output, both gradients, running statistics; and when it does not learn, from those."""
    one, two = one_and_two
    assert_close(joined([part.output for part in two]), one.output)
    assert_close(joined([part.gradient for part in two]), one.gradient)
    assert_close(joined([part.checked for part in two]), one.checked)
    for part in two:
        assert part.norm.keys() == one.norm.keys()
        for name, tensor in one.norm.items():
            assert_close(part.norm[name], tensor)
        assert part.norm_gradients == pytest.approx(one.norm_gradients, rel=1e-4)


def test_two_learn_what_one_would(one_and_two):
    one, two = one_and_two
    for part in two:
        assert part.losses == pytest.approx(one.losses, rel=1e-4)
        for name, tensor in one.weights.items():
            torch.testing.assert_close(part.weights[name], tensor, atol=1e-4, rtol=1e-3)
    for name, tensor in two[0].weights.items():
        if not name.startswith("average") and "running" not in name:
            assert torch.equal(two[1].weights[name], tensor), f"{name} is not the same in both"


def test_what_a_team_agrees_on(one_and_two):
    _, two = one_and_two
    assert [part.asked["who"] for part in two] == [(2, 0, True, 2), (2, 1, False, 2)]
    for part in two:
        assert part.asked["sum"] == [3, 0.2]
        assert part.asked["any"] == (True, False)
        assert part.asked["same"] == {"rank": 0}
        assert part.asked["gather"] == [0, "photo", 1, "photo"]


def test_a_norm_that_is_shared_keeps_what_it_was():
    """Weights, statistics and whether it learns; in a network, under its name."""
    net = Small(5)
    net.bn1.weight.requires_grad_(False)
    net.bn1.running_mean.fill_(3.0)
    before = copy.deepcopy(net.state_dict())
    shared = share_norms(net, SimpleNamespace(size=2, device=CPU))
    assert isinstance(shared.bn1, SharedNorm)
    assert isinstance(shared.bn2, nn.modules.batchnorm._BatchNorm), "as whom the learner looks for them to freeze them"
    assert all(torch.equal(tensor, before[name]) for name, tensor in shared.state_dict().items())
    assert [parameter.requires_grad for parameter in shared.bn1.parameters()] == [False, True]


@pytest.fixture
def norms_with_activations() -> nn.Sequential:
    """Of timm's kind, as EfficientNet-Lite has them."""
    layers = pytest.importorskip("timm.layers")
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 1), layers.BatchNormAct2d(4, act_layer=nn.ReLU6),
        nn.Conv2d(4, 5, 1), layers.BatchNormAct2d(5, apply_act=False), nn.BatchNorm2d(5),
    )  # fmt: skip


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_norm_that_is_shared_keeps_its_activation(norms_with_activations, device, monkeypatch):
    """Sums over a team in which the others have no photos."""
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda values: None)
    photos = 4 * torch.randn(6, 3, 5, 4)
    plain = norms_with_activations
    shared = share_norms(copy.deepcopy(plain), SimpleNamespace(size=2, device=torch.device(device)))
    assert all(type(mine) is not type(other) for mine, other in zip(shared[1::2], plain[1::2], strict=True))
    assert type(shared[4]) is not nn.BatchNorm2d
    for training in (True, False):
        expected = plain.train(training)(photos)
        torch.testing.assert_close(shared.train(training)(photos), expected)
    assert (plain[1](plain[0](photos)) == 0).any(), "the activation does something"
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(shared.state_dict()[name], tensor)


# The whole program


def train_command(garden: Path, folder: Path, recipe: Recipe) -> list[str]:
    options = recipe.command_line("report").split()
    return ["train", "--quiet", "--data", str(garden), "--run", str(folder), *options]


class Launched:
    """A launcher with two processes on this machine, both with the smooth network."""

    TORCHRUN = "torch.distributed.run --standalone --nproc-per-node 2 -m --"
    ACCELERATE = "accelerate.commands.accelerate_cli launch --multi_gpu --num_processes 2 -m"

    def __init__(self, home: Path, arguments: list[str], launcher: str = TORCHRUN, hold: Moment | None = None) -> None:
        """``hold``: at this moment the main process waits until it is asked to stop, or killed."""
        self.held = home / "held"
        (home / "site").mkdir()
        start = ["from tests import pair", "pair.use_smooth_network()"]
        if hold:
            start.append(f"pair.hold_main_at({hold!r}, {str(self.held)!r})")
        (home / "site" / "sitecustomize.py").write_text("\n".join(start))
        self.process = subprocess.Popen(
            [sys.executable, "-m", *launcher.split(), "flowers", *arguments],
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(home / "site"), str(PROJECT)])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_until_held(self) -> None:
        wait_until(lambda: self.held.exists() or self.process.poll() is not None)
        assert self.held.exists(), self.process.communicate()

    def end(self, status: int = 0) -> tuple[str, str]:
        """What it said, once it has ended with this status."""
        try:
            out, err = self.process.communicate(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        assert self.process.returncode == status, err
        return out, err


def alone(recipe: Recipe, garden: Path, tmp_path_factory) -> tuple[Run, list[dict]]:
    """A run of one process that nobody disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLOWERS_CACHE", str(tmp_path_factory.mktemp("cache")))
        run = Run.create(tmp_path_factory.mktemp("alone") / "run", recipe, str(garden))
        return run, [event.to_dict() for event in train(recipe, scan(garden), run=run)]


@pytest.fixture(scope="module")
def everything_alone(garden, tmp_path_factory):
    return alone(EVERYTHING, garden, tmp_path_factory)


def assert_same_curve(ours: list[dict], theirs: list[dict], tolerance: float = 1e-3) -> None:
    """Event for event, but for what the clock says; losses and confidences within a relative tolerance."""
    ours, theirs = ([e for e in events if e["kind"] not in ("started", "finished")] for events in (ours, theirs))
    assert [(e["kind"], e["epoch"], e.get("step"), e.get("done")) for e in ours] == [
        (e["kind"], e["epoch"], e.get("step"), e.get("done")) for e in theirs
    ]
    for one, other in zip(ours, theirs, strict=True):
        for name in ("loss", "train_loss", "val_loss", "learning_rate"):
            assert one.get(name, 0) == pytest.approx(other.get(name, 0), rel=tolerance), (one, other)
        for name in ("accuracy", "train_accuracy", "val_accuracy", "best"):
            assert one.get(name, 0) == pytest.approx(other.get(name, 0)), (one, other)
        for answer, expected in zip(one.get("predictions", []), other.get("predictions", []), strict=True):
            assert {**answer, "confidence": 0} == {**expected, "confidence": 0}
            assert answer["confidence"] == pytest.approx(expected["confidence"], rel=10 * tolerance)


def assert_same_network(ours: Run, theirs: Run, tolerance: float = 1e-3) -> None:
    for which in ("last", "best"):
        one, other = (load_weights(run.folder / which) for run in (ours, theirs))
        assert one.keys() == other.keys()
        for name in one:
            difference = (one[name].double() - other[name].double()).norm()
            assert difference <= tolerance * (1 + other[name].double().norm()), (which, name)


def complaints(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("flowers: ")]


@pytest.fixture(scope="module")
def together(garden, tmp_path_factory) -> tuple[Run, str, str]:
    """The run that two processes made of PLAIN, and what both said."""
    home = tmp_path_factory.mktemp("together")
    folder = home / "here" / "run"
    folder.parent.mkdir()
    command = train_command(garden, folder, PLAIN)
    homes = {"FLOWERS_CACHE": str(home / "cache"), "FLOWERS_RUNS": str(home / "runs")}
    with Pair(home, run_flowers, command, **homes) as pair:
        assert pair.end() == [0, 0], pair.said()
        return Run(folder), *map("".join, zip(*pair.said(), strict=True))


def test_two_processes_tell_the_story_of_one(together, garden, tmp_path_factory):
    run, (other, events) = together[0], alone(PLAIN, garden, tmp_path_factory)
    assert_same_curve(run.events(), events)
    assert_same_network(run, other)
    assert run.events()[0]["steps"] == 5
    assert run.status().state == "done"


def test_only_the_main_process_talks(together):
    _, out, err = together
    assert out.count("Training: 30 photos to learn from, 10 held back") == 1
    assert out.count("Training complete") == 1
    assert "Warning" not in err


def test_only_the_main_process_writes(together):
    run, *_ = together
    lines = (run.folder / "events.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == run.events(), "nothing is told twice"
    assert run.log().count("Epoch 1/1") == 1
    assert sorted(path.name for path in run.folder.parent.iterdir()) == ["run"]
    assert {path.name for path in run.folder.iterdir() if path.is_dir()} == {"best", "last"}


@pytest.fixture(scope="module")
def stopped(garden, tmp_path_factory) -> Path:
    """A run of two processes that somebody stopped with Ctrl-C: the second heard it among the steps of an epoch, the
    main one last of all.
    """
    home = tmp_path_factory.mktemp("stopped")
    run, blows = (
        home / "run",
        [Blow(1, ("step", 1, 3), signal.SIGINT), Blow(0, ("finished", None, None), signal.SIGINT)],
    )
    command = train_command(garden, run, EVERYTHING)
    homes = {"FLOWERS_CACHE": str(home / "cache"), "FLOWERS_RUNS": str(home / "runs")}
    with Pair(home, run_flowers, command, *blows, **homes) as pair:
        assert pair.end() == [0, 0], pair.said()
        assert f"Stopped. Go on with: python -m flowers resume {run}" in pair.said()[0][0]
    return run


def test_who_is_asked_to_stop_stops_all_after_the_batch(stopped):
    run = Run(stopped)
    assert run.status().state == "stopped"
    *_, last, finished = run.events()
    assert (finished["kind"], finished["stopped"]) == ("finished", True)
    assert (last["kind"], last["epoch"], last["step"]) == ("step", 1, 3)
    state = run.load_state()
    assert (state.position.epoch, state.position.step) == (1, 3)


def test_two_processes_go_on_where_two_have_stopped(stopped, everything_alone, tmp_path):
    run = Run(shutil.copytree(stopped, tmp_path / "run"))
    with Pair(tmp_path, run_flowers, ["resume", str(run.folder), "--quiet"]) as pair:
        assert pair.end() == [0, 0], pair.said()
        assert [out.count("Going on: 30 photos") for out, _ in pair.said()] == [1, 0]
    assert_same_curve(run.events(), everything_alone[1])
    assert_same_network(run, everything_alone[0])
    assert run.status().state == "done"


def test_one_process_goes_on_where_two_have_stopped(stopped, everything_alone, tmp_path):
    run = Run(shutil.copytree(stopped, tmp_path / "run"))
    list(perform(run))
    assert_same_curve(run.events(), everything_alone[1])
    assert_same_network(run, everything_alone[0])


# What cannot be


def test_other_photos_on_one_machine_are_told_by_all(garden, monkeypatch):
    """Also by those that hold the main process's: or they would wait for the others' first step."""
    monkeypatch.setattr(Team, "any", lambda team, flag: True)  # of this process, of which it is not so, and another
    with pytest.raises(DataError, match=r"^The machines hold different photos: give every one of them the same\.$"):
        next(train(PLAIN, scan(garden)))


def test_a_batch_too_small_to_share_is_told_by_both(garden, tmp_path):
    command = train_command(garden, tmp_path / "run", PLAIN.replace(batch_size=1))
    with Pair(tmp_path, run_flowers, command) as pair:
        assert pair.end() == [2, 2]
        assert [complaints(err) for _, err in pair.said()] == 2 * [
            ["flowers: 2 processes cannot share 1 photos: choose batch_size=2 or more, or start fewer."]
        ]
    assert Run(tmp_path / "run").status().state == "failed"


def run_flowers_and_mark(mark: str, arguments: list[str]) -> None:
    """``run_flowers``, with a file that is there once this process has gone to meet the others."""
    from flowers.training import process

    join = process.join

    def marked(recipe: Recipe) -> None:
        Path(mark).touch()
        join(recipe)

    process.join = marked
    run_flowers(arguments)


def test_who_waits_for_a_main_process_that_never_comes_ends_at_the_launchers_first_word(garden, tmp_path):
    """Those that do not hear it are given half a minute and then killed."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious").touch()
    command = train_command(garden, tmp_path / "run", PLAIN)
    waits = tmp_path / "waits"
    with Pair(tmp_path, run_flowers_and_mark, str(waits), command) as pair:
        main, other = pair.processes
        main.join(DEADLINE)
        assert main.exitcode == 2
        assert "is not empty: choose another" in "".join(complaints(pair.said()[0][1]))
        wait_until(lambda: waits.exists() or not other.is_alive())
        assert waits.exists(), pair.said()
        other.terminate()
        assert pair.end() == [2, -signal.SIGTERM]
        assert not complaints(pair.said()[1][1])


def test_when_the_main_process_dies_the_other_says_so_and_the_run_goes_on(garden, everything_alone, tmp_path):
    """From the last checkpoint, with one process."""
    blow, run = Blow(0, ("step", 2, 2), signal.SIGKILL), Run(tmp_path / "run")
    with Pair(tmp_path, run_flowers, train_command(garden, run.folder, EVERYTHING), blow) as pair:
        assert pair.end() == [-signal.SIGKILL, 1]
        assert_survivor_says_so(pair.said()[1][1])
    assert run.status().state == "interrupted"
    last = run.events()[-1]
    assert (last["kind"], last["epoch"], last["step"]) == ("step", 2, 1)
    list(perform(run))
    assert_same_curve(run.events(), everything_alone[1])


def assert_survivor_says_so(err: str) -> None:
    (said,) = complaints(err)
    assert "A process of the team cannot go on (" in said
    assert said.endswith("see what the main one says.")


# Through the launchers


@pytest.mark.thorough
@pytest.mark.parametrize("launcher", [Launched.TORCHRUN, Launched.ACCELERATE], ids=["torchrun", "accelerate"])
def test_two_that_were_launched_tell_the_story_of_one(garden, tmp_path, tmp_path_factory, launcher):
    recipe = PLAIN.replace(epochs=1)
    out, err = Launched(tmp_path, train_command(garden, tmp_path / "run", recipe), launcher).end()
    assert out.count("Training complete") == 1
    assert launcher != Launched.TORCHRUN or "Warning" not in err
    assert_same_curve(Run(tmp_path / "run").events(), alone(recipe, garden, tmp_path_factory)[1])


@pytest.mark.thorough
def test_ctrl_c_reaches_all_through_the_launcher(garden, tmp_path):
    folder = tmp_path / "run"
    team = Launched(tmp_path, train_command(garden, folder, EVERYTHING), hold=("step", 1, 3))
    team.wait_until_held()
    team.process.send_signal(signal.SIGINT)
    out, _ = team.end(1)  # the launcher's own status after a signal
    assert f"Stopped. Go on with: python -m flowers resume {folder}" in out
    run = Run(folder)
    assert run.status().state == "stopped"
    assert [event["kind"] for event in run.events()[-2:]] == ["step", "finished"]
    assert (run.load_state().position.epoch, run.load_state().position.step) == (1, 3)


@pytest.mark.thorough
def test_what_keeps_the_main_process_from_starting_ends_all_at_once(garden, tmp_path):
    """At the launcher's first word."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious").touch()
    _, err = Launched(tmp_path, train_command(garden, tmp_path / "run", PLAIN)).end(1)
    assert "SIGTERM" in err
    assert "SIGKILL" not in err
    (said,) = complaints(err)
    assert "is not empty: choose another" in said


@pytest.mark.thorough
def test_the_launcher_ends_when_the_main_process_is_killed(garden, tmp_path):
    team = Launched(tmp_path, train_command(garden, tmp_path / "run", EVERYTHING), hold=("step", 2, 2))
    team.wait_until_held()
    run = Run(tmp_path / "run")
    os.kill(run.status().pid, signal.SIGKILL)
    _, err = team.end(1)
    assert_survivor_says_so(err)
    assert run.status().state == "interrupted"
