"""What this machine trains fastest with: whatever is forced is obeyed, the rest is measured, nothing is disturbed."""

import dataclasses
import importlib.util
import json
import os
import time

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from flowers.cores import available_cores
from flowers.errors import UsageError
from flowers.models.backbones import BACKBONES
from flowers.paths import cache_dir
from flowers.recipe import Recipe
from flowers.training import machine as module
from flowers.training.machine import Machine, assume_machine, choose_machine, pick_device, should_compile
from tests.damage import damaged

CPU = torch.device("cpu")
AUTO = Recipe()
THREADS = 4  # of the machine that the tests pretend to be on


class Net(nn.Module):
    """A small network with statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 3, stride=4), nn.BatchNorm2d(4), nn.Linear(4, 5)

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.conv(photos)).mean((2, 3)))


@pytest.fixture(autouse=True)
def four_threads(monkeypatch):
    """A machine of four cores with bfloat16 units, of which torch takes one core.

    The threads that compute here stay as they are.
    """
    now = [1]
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(module, "available_cores", lambda: THREADS)
    monkeypatch.setattr(module, "_has_slow_bfloat16", lambda: False)
    monkeypatch.setattr(module, "is_busy", lambda: False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: now[0])
    monkeypatch.setattr(torch, "set_num_threads", lambda count: now.__setitem__(0, count))


@pytest.fixture
def laps(monkeypatch):
    """Seconds that a lap is said to take, by kind; and the kinds that were tried, in order."""

    def pretend(seconds) -> list[Machine]:
        tried = []

        def lap(work, machine, device, net, photos):
            tried.append(machine)
            return seconds(machine)

        monkeypatch.setattr(module, "_lap", lap)
        monkeypatch.setattr(module, "_timed", lambda best, *_: module.replace(best, looking=best.learning / 3))
        return tried

    return pretend


def kinds(machines: list[Machine]) -> set[tuple]:
    return {(m.precision, m.memory_format, m.threads) for m in machines}


# What is measured


def test_all_that_is_worth_a_trial_is_tried_and_the_fastest_taken(laps):
    tried = laps(lambda m: (1.0 if m.precision == "bfloat16" else 2.0) / m.threads)
    best = choose_machine(AUTO, CPU, Net(), None)
    assert (best.precision, best.memory_format, best.threads) == ("bfloat16", "channels_last", 4)
    assert kinds(tried) == {
        ("float32", "contiguous", 1), ("float32", "channels_last", 1), ("bfloat16", "channels_last", 1),
        ("bfloat16", "channels_last", 4),
    }  # fmt: skip
    assert best.learning == 0.25
    assert best.looking == pytest.approx(0.25 / 3)


@pytest.mark.parametrize(
    "fastest",
    [("float32", "contiguous", 1), ("float32", "channels_last", 4), ("bfloat16", "channels_last", 1)],
    ids=str,
)
def test_whichever_is_fastest_wins(laps, fastest):
    def seconds(machine: Machine) -> float:
        mine = (machine.precision, machine.memory_format, machine.threads)
        return 1.0 + sum(a != b for a, b in zip(mine, fastest, strict=True))

    laps(seconds)
    best = choose_machine(AUTO, CPU, Net(), None)
    assert (best.precision, best.memory_format, best.threads) == fastest
    assert f"Training on the CPU in {fastest[0]}" in best.why
    assert best.why.endswith(".")


def test_it_says_what_it_chose_and_by_how_much(laps):
    laps(lambda m: (1.0 if m.precision == "bfloat16" else 3.1) / m.threads**0.5)
    best = choose_machine(AUTO, CPU, Net(), None)
    assert best.why == (
        "Training on the CPU in bfloat16, channels last with 4 threads: measured 6.2× as fast as float32, plain layout "
        "with 1 thread."
    )


def test_kinds_take_turns_and_each_ones_fastest_lap_counts(laps):
    """What else the computer does then disturbs all alike. The first lap, which sets up the kernels, does not count."""
    disturbed = iter([0.5, 50, 50, 2, 9, 9, 9, 1, 3])
    tried = laps(lambda m: float(next(disturbed)))
    best = choose_machine(AUTO.replace(threads=1), CPU, Net(), None)
    assert len(tried) == 3 * (module.LAPS + 1)
    order = [(m.precision, m.memory_format) for m in tried[:3]]
    assert [(m.precision, m.memory_format) for m in tried] == order * (module.LAPS + 1)
    assert (best.precision, best.memory_format) == order[1]
    assert best.learning == 1


# What is forced


FORCED = [
    ("precision", "float32"), ("precision", "bfloat16"), ("memory_format", "channels_last"),
    ("memory_format", "contiguous"), ("threads", 1), ("threads", 3), ("threads", 4),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), FORCED, ids=str)
@pytest.mark.parametrize("slow", [True, False], ids=["though slow", "and fast"])
def test_what_is_forced_is_obeyed_however_slow(laps, name, value, slow):
    tried = laps(lambda m: 2.0 if (getattr(m, name) == value) == slow else 1.0)
    assert getattr(choose_machine(AUTO.replace(**{name: value}), CPU, Net(), None), name) == value
    assert {getattr(m, name) for m in tried} == {value}
    assert len(kinds(tried)) > 1, "the rest is measured"


def test_all_forced_is_still_timed_for_the_prediction(laps):
    tried = laps(lambda m: 0.5)
    recipe = AUTO.replace(precision="bfloat16", memory_format="contiguous", threads=2)
    best = choose_machine(recipe, CPU, Net(), None)
    assert kinds(tried) == kinds([best]) == {("bfloat16", "contiguous", 2)}
    assert (best.learning, best.why) == (0.5, "Training on the CPU in bfloat16, plain layout with 2 threads.")


def test_more_threads_than_there_are_would_only_wait(laps):
    laps(lambda m: 1.0)
    assert choose_machine(AUTO.replace(threads=1000), CPU, Net(), None).threads == THREADS


def test_somebodys_wish_for_few_threads_is_kept(laps, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    tried = laps(lambda m: 1.0 / m.threads)
    assert choose_machine(AUTO, CPU, Net(), None).threads == 1
    assert {m.threads for m in tried} == {1}


def test_torch_may_not_have_more_threads_than_there_are(laps, monkeypatch):
    """As in a container that has a share of a large host's cores."""
    torch.set_num_threads(64)
    tried = laps(lambda m: 1.0)
    assert choose_machine(AUTO, CPU, Net(), None).threads == THREADS
    assert {m.threads for m in tried} == {THREADS}


@pytest.mark.parametrize(("neighbours", "threads", "expected"), [(2, 0, 2), (3, 0, 1), (8, 0, 1), (2, 1, 1), (2, 9, 2)])
def test_processes_on_one_machine_share_its_threads(laps, monkeypatch, neighbours, threads, expected):
    """Whatever torchrun, which sets OMP_NUM_THREADS to 1, thinks of it."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    tried = laps(lambda m: 1.0)
    assert choose_machine(AUTO.replace(threads=threads), CPU, Net(), None, neighbours).threads == expected
    assert {m.threads for m in tried} == {expected}


# Measuring for real


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(module, "SIDE", 16)


@pytest.mark.parametrize("training", [True, False])
def test_measuring_leaves_the_network_as_it_was(quick, training):
    net = Net().train(training)
    net.conv.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    machine = choose_machine(AUTO, CPU, net, None)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert [parameter.requires_grad for parameter in net.parameters()] == [False] * 2 + [True] * 4
    assert all(module.training == training for module in net.modules())
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}
    assert machine.precision in ("float32", "bfloat16")
    assert machine.precision in machine.why


def test_what_is_measured_is_finite(quick):
    machine = choose_machine(AUTO, CPU, Net(), None)
    assert 0 < machine.learning < float("inf")
    assert 0 < machine.looking < float("inf")


class Choosy(Net):
    """As ViT: it looks at photos of one size alone."""

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        assert photos.shape[2:] == (48, 48)
        return super().forward(photos)


def test_a_network_of_one_size_is_measured_at_that(quick, monkeypatch):
    monkeypatch.setitem(BACKBONES, "vit_b_16", dataclasses.replace(BACKBONES["vit_b_16"], size=48))
    machine = choose_machine(AUTO.replace(backbone="vit_b_16"), CPU, Choosy(), None)
    assert 0 < machine.learning < float("inf") and 0 < machine.looking < float("inf")


def test_it_is_measured_with_about_as_many_pixels():
    assert module._shape(8, module.SIDE) == (8, module.SIDE)
    assert module._shape(8, 2 * module.SIDE) == (2, 2 * module.SIDE)
    assert module._shape(16, 224) == (5, 224)
    assert module._shape(8, 100 * module.SIDE) == (2, 100 * module.SIDE), "batch norm wants two"


# Going on


def test_a_run_goes_on_with_what_it_began_with(laps):
    laps(lambda m: 1.0 if m.precision == "bfloat16" else 2.0)
    first = choose_machine(AUTO, CPU, Net(), None)
    tried = laps(lambda m: 2.0 if m.precision == "bfloat16" else 1.0)
    again = choose_machine(AUTO, CPU, Net(), first)
    assert not tried, "nothing is measured again"
    assert again == module.replace(first, why=again.why)
    assert again.why == "Training on the CPU in bfloat16, channels last with 1 thread, as before."


def test_on_another_device_it_is_measured_again(laps):
    tried = laps(lambda m: 1.0)
    before = module.replace(choose_machine(AUTO, CPU, Net(), None), device="cuda")
    tried.clear()
    assert choose_machine(AUTO, CPU, Net(), before).device == "cpu"
    assert tried


def test_with_fewer_cores_to_itself_it_takes_those(laps, monkeypatch):
    laps(lambda m: 1.0 / m.threads)
    before = choose_machine(AUTO, CPU, Net(), None)
    assert before.threads == THREADS
    assert choose_machine(AUTO, CPU, Net(), before, neighbours=4).threads == 1
    monkeypatch.setattr(module, "available_cores", lambda: 2)
    assert choose_machine(AUTO, CPU, Net(), before).threads == 2


# Cores


@pytest.fixture
def cores(monkeypatch, tmp_path):
    """Pretend to be in a container: cores to run on, and the text of the kernel's cpu.max (None: no such file)."""

    def pretend(count: int, quota: str | None) -> int:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(count)), raising=False)
        if quota is not None:
            (tmp_path / "cpu.max").write_text(quota)
        monkeypatch.setattr("flowers.cores.Path", lambda _: tmp_path / "cpu.max")
        return available_cores()

    return pretend


@pytest.mark.parametrize(
    ("count", "quota", "expected"),
    [
        (16, None, 16), (16, "max 100000\n", 16), (16, "200000 100000\n", 2), (16, "150000 100000\n", 2),
        (16, "50000 100000\n", 1), (2, "800000 100000\n", 2), (16, "", 16), (16, "rubbish", 16),
    ],
)  # fmt: skip
def test_a_container_has_its_share_of_cores(cores, count, quota, expected):
    assert cores(count, quota) == expected


# Devices


def test_a_device_that_is_not_here_is_told():
    absent = "mps" if torch.cuda.is_available() else "cuda"
    with pytest.raises(UsageError, match=rf"^This machine has no {absent} device: choose .*device=cpu\.$"):
        pick_device(absent)


@pytest.mark.parametrize(
    ("cuda", "mps", "processes", "expected"),
    [(False, False, 1, "cpu"), (True, False, 1, "cuda"), (False, True, 1, "mps"), (False, True, 2, "cpu")],
)
def test_auto_takes_the_best_there_is(monkeypatch, cuda, mps, processes, expected):
    """Apple's GPU knows no teams."""
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert pick_device("auto").type == expected
    assert pick_device("cpu").type == "cpu", "asked for"


def test_what_is_assumed_of_a_busy_machine_is_one_thread(laps, monkeypatch):
    laps(lambda m: 1.0)
    torch.set_num_threads(THREADS)
    assert assume_machine(AUTO, CPU, Net()).threads == THREADS
    choose_machine(AUTO, CPU, Net(), None)
    monkeypatch.setattr(module, "is_busy", lambda: True)
    assert assume_machine(AUTO, CPU, Net()).threads == 1
    assert assume_machine(AUTO.replace(threads=2), CPU, Net()).threads == 2


@pytest.mark.parametrize(("load", "busy"), [(2.0, False), (6.0, False), (6.1, True)])
def test_a_machine_is_busy_when_more_would_compute_than_it_has_cores(monkeypatch, load, busy):
    monkeypatch.undo()
    monkeypatch.setattr(module, "available_cores", lambda: 4)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    assert module.is_busy() is busy


def test_a_gpu_tries_channels_last_in_both_precisions():
    device = torch.device("cuda")
    assert module._kinds(AUTO, device) == [("float32", "channels_last"), ("bfloat16", "channels_last")]
    assert module._kinds(AUTO.replace(memory_format="contiguous"), device) == [
        ("float32", "contiguous"), ("bfloat16", "contiguous")
    ]  # fmt: skip


@pytest.mark.parametrize(("units", "slow"), [("AVX2", True), ("AVX512", False)])
def test_a_cpu_that_imitates_bfloat16_tries_it_only_when_asked(monkeypatch, units, slow):
    monkeypatch.undo()
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: units)
    monkeypatch.setattr(module.platform, "machine", lambda: "x86_64")
    assert {precision for precision, _ in module._kinds(AUTO, CPU)} == {"float32", *(() if slow else ["bfloat16"])}
    assert {precision for precision, _ in module._kinds(AUTO.replace(precision="bfloat16"), CPU)} == {"bfloat16"}


def test_apples_gpu_computes_in_float32():
    apple = torch.device("mps")
    assert module._kinds(AUTO, apple) == [("float32", "contiguous"), ("float32", "channels_last")]
    assert module._kinds(AUTO.replace(precision="bfloat16", memory_format="channels_last"), apple) == [
        ("bfloat16", "channels_last")
    ], "asked for"


@pytest.mark.parametrize(
    ("compile", "device", "seconds", "expected"),
    [
        ("auto", "cuda", 601, True), ("auto", "cuda", 599, False), ("auto", "cpu", 10**6, False),
        ("on", "cpu", 1, True), ("off", "cuda", 10**6, False),
    ],
)  # fmt: skip
def test_compiling_is_for_long_runs_on_a_gpu(monkeypatch, compile, device, seconds, expected):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)  # triton, which is where GPUs are
    assert should_compile(AUTO.replace(compile=compile), torch.device(device), seconds) == expected


# What it predicts and computes with


def test_seconds_grow_with_photos_and_pixels():
    machine = Machine("cpu", "float32", "contiguous", 1, learning=3.0, looking=1.0, why="")
    assert machine.seconds(1, 1000, learning=True) == pytest.approx(3.0)
    assert machine.seconds(1, 1000, learning=False) == pytest.approx(1.0)
    assert machine.seconds(10, 1000, learning=True) == pytest.approx(30.0)
    assert machine.seconds(10, 500, learning=True) == pytest.approx(7.5)
    assert machine.seconds(0, 224, learning=True) == 0


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_autocast_computes_in_the_precision_chosen(precision, dtype):
    machine = Machine("cpu", precision, "contiguous", 1, 1.0, 1.0, "")
    with machine.autocast():
        assert nn.Linear(2, 2)(torch.rand(1, 2)).dtype == dtype
    assert not torch.is_autocast_enabled("cpu")


def test_the_memory_format_by_torchs_name():
    for name, expected in (("channels_last", torch.channels_last), ("contiguous", torch.contiguous_format)):
        assert Machine("cpu", "float32", name, 1, 1.0, 1.0, "").torch_format is expected


# Work of seconds, for which trials would take longer than they save


def test_work_of_seconds_takes_what_was_measured_here_before(laps):
    tried = laps(lambda machine: {"bfloat16": 1.0, "float32": 2.0}[machine.precision])
    measured = choose_machine(AUTO, CPU, Net(), None)
    tried.clear()
    assumed = assume_machine(AUTO, CPU, Net())
    assert tried == []
    assert dataclasses.replace(assumed, why="") == dataclasses.replace(measured, why="")
    assert assumed.why.endswith("as measured here before.")


def test_where_nothing_was_measured_one_look_is_timed(laps):
    tried = laps(lambda machine: 2.0)
    assumed = assume_machine(AUTO, CPU, Net())
    assert (assumed.precision, assumed.memory_format, assumed.looking) == ("float32", "channels_last", 2.0)
    assert len(tried) == 2 and assumed.learning > assumed.looking


@pytest.mark.parametrize("other", [{"backbone": "resnet34"}, {"precision": "float32"}, {"threads": 1}, {"frozen": 3}])
def test_what_was_measured_for_another_wish_is_not_taken(laps, other):
    tried = laps(lambda machine: 1.0)
    choose_machine(AUTO, CPU, Net(), None)
    tried.clear()
    assume_machine(AUTO.replace(**other), CPU, Net())
    assert tried


@pytest.mark.parametrize(
    "wrong",
    [
        {"threads": "4"}, {"threads": 0}, {"threads": 100_000}, {"threads": True}, {"device": "cuda"}, {"precision": 5},
        {"memory_format": "other"}, {"learning": float("nan")}, {"looking": -1.0}, {"looking": None}, {"why": []},
    ],
    ids=str,
)  # fmt: skip
def test_a_measurement_that_nobody_can_have_made_is_not_taken(laps, wrong):
    tried = laps(lambda machine: 1.0)
    choose_machine(AUTO, CPU, Net(), None)
    [file] = (cache_dir() / "machines").iterdir()
    file.write_text(json.dumps({**json.loads(file.read_text()), **wrong}))
    tried.clear()
    assume_machine(AUTO, CPU, Net())
    assert tried


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_was_measured_a_machine_is_found(laps, data):
    laps(lambda machine: 1.0)
    choose_machine(AUTO, CPU, Net(), None)
    [file] = (cache_dir() / "machines").iterdir()
    file.write_bytes(data.draw(damaged(file.read_bytes())))
    machine = assume_machine(AUTO, CPU, Net())
    assert machine.device == "cpu" and 1 <= machine.threads <= 64 and 0 < machine.seconds(1, 224, True) < 1e7
    machine.autocast()


@pytest.mark.parametrize("age", [module.REMEMBERED_SECONDS + 60, 0])
def test_a_measurement_of_yesterday_or_a_damaged_one_is_not_taken(laps, age):
    tried = laps(lambda machine: 1.0)
    choose_machine(AUTO, CPU, Net(), None)
    [file] = (cache_dir() / "machines").iterdir()
    if age:
        os.utime(file, (time.time() - age,) * 2)
    else:
        file.write_text('{"device": "cpu"}')
    tried.clear()
    assume_machine(AUTO, CPU, Net())
    assert tried
