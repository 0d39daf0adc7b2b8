"""The network that learns: what moves at a step and how fast, what does not, and what going on needs."""

import copy
import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from flowers.models.backbones import BACKBONES, Backbone
from flowers.recipe import Recipe
from flowers.training.learner import Learner, freeze, parameter_groups
from flowers.training.machine import Machine
from flowers.training.run import Position, Run, pack_state
from flowers.training.team import Team
from tests.conftest import TINY
from tests.tiny import tiny_resnet18

CHOSEN = tiny_resnet18()
STAGES = len(CHOSEN.stages)
RATE, SIDE = 0.01, 40
RUN = 1000  # steps of the run that a learner is made for


@pytest.fixture(scope="module")
def untaught() -> nn.Module:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    net = CHOSEN.build(5)
    net.dropout.p = 0.0  # what is compared here would each draw lots of its own
    return net


@pytest.fixture
def weights(untaught) -> dict[str, torch.Tensor]:
    return untaught.state_dict()


@pytest.fixture
def learner(untaught):
    """Make a Learner of a recipe, always from the same weights."""

    def make(recipe: Recipe = TINY, precision: str = "float32") -> Learner:
        return started(untaught, CHOSEN, recipe, precision)

    return make


def started(untaught: nn.Module, chosen: Backbone, recipe: Recipe, precision: str = "float32") -> Learner:
    """A learner of a copy of ``untaught``, at the beginning of an epoch."""
    net = copy.deepcopy(untaught)
    freeze(net, chosen, recipe)
    machine = Machine("cpu", precision, recipe.memory_format, 1, 1.0, 1.0, "")
    made = Learner(net, chosen, recipe, machine, Team(torch.device("cpu")), steps=RUN)
    made.begin()
    made.begin_epoch()
    return made


def batch(count: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, SIDE, SIDE, generator=rng), torch.arange(count) % 5


def learn(made: Learner, steps: int = 1, rate: float = RATE) -> tuple[float, float]:
    """The last of some steps, each on a batch of its own."""
    for step in range(steps):
        photos, labels = batch(seed=step)
        told = made.learn(photos, labels, rate, len(labels))
    return told


def stage_of(name: str) -> int:
    """The number of the stage that a weight or statistic belongs to; STAGES for the last layer."""
    return next((i for i, stage in enumerate(CHOSEN.stages) if name.split(".")[0] in stage), STAGES)


def moved(made: Learner, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, tensor in made.net.state_dict().items() if not torch.equal(tensor, before[name])}


def is_statistic(name: str) -> bool:
    return "running" in name or "tracked" in name


# A step


def test_a_step_is_torchs_own(learner, untaught):
    made = learner(TINY.replace(momentum=0.9, weight_decay=0, memory_format="contiguous"))
    net = copy.deepcopy(untaught)
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE, momentum=0.9)
    for step in range(2):
        photos, labels = batch(seed=step)
        loss, right = made.learn(photos, labels, RATE, len(labels))
        scores = net(photos)
        expected = functional.cross_entropy(scores, labels)
        optimizer.zero_grad()
        expected.backward()
        optimizer.step()
        assert loss / len(labels) == pytest.approx(expected.item(), rel=1e-4)
        assert right == (scores.argmax(1) == labels).sum().item()
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(made.net.state_dict()[name], tensor, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("changes", "make"),
    [
        ({"optimizer": "nesterov"}, lambda p: torch.optim.SGD(p, lr=RATE, momentum=0.9, nesterov=True)),
        ({"optimizer": "nesterov", "momentum": 0}, lambda p: torch.optim.SGD(p, lr=RATE)),
        ({"optimizer": "adamw"}, lambda p: torch.optim.AdamW(p, lr=RATE, betas=(0.9, 0.999), weight_decay=0)),
        ({"optimizer": "adamw", "momentum": 0.5}, lambda p: torch.optim.AdamW(p, lr=RATE, betas=(0.5, 0.999),
                                                                              weight_decay=0)),
    ],
    ids=["nesterov", "nesterov without momentum", "adamw", "adamw's first beta is the momentum"],
)  # fmt: skip
def test_the_optimizer_is_torchs(learner, changes, make):
    """Given the same gradients: those of a network would be a hair apart, of which AdamW's first steps make much."""
    made = learner(TINY.replace(**changes, weight_decay=0))
    theirs = [parameter.detach().clone().requires_grad_() for parameter in made.net.parameters()]
    optimizer, rng = make(theirs), torch.Generator().manual_seed(0)
    for group in made.optimizer.param_groups:
        group["lr"] = RATE
    for _ in range(3):
        for ours, other in zip(made.net.parameters(), theirs, strict=True):
            other.grad = torch.randn(other.shape, generator=rng)
            ours.grad = torch.empty_like(ours).copy_(other.grad)
        made.optimizer.step()
        optimizer.step()
    for ours, other in zip(made.net.parameters(), theirs, strict=True):
        torch.testing.assert_close(ours, other, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "adamw"])
def test_momentum_is_that_of_the_step(learner, optimizer):
    made = learner(TINY.replace(optimizer=optimizer))
    photos, labels = batch()
    for given, expected in ((None, TINY.momentum), (0.7, 0.7), (0.95, 0.95)):
        made.learn(photos, labels, RATE, len(labels), given)
        for group in made.optimizer.param_groups:
            assert (group["betas"][0] if optimizer == "adamw" else group["momentum"]) == expected


def test_a_target_of_one_class_is_a_label(learner):
    one, other = learner(TINY.replace(label_smoothing=0.1)), learner(TINY.replace(label_smoothing=0.1))
    photos, labels = batch()
    named = functional.one_hot(labels, 5).float()
    for _ in range(2):
        first = one.learn(photos, labels, RATE, len(labels))
        assert other.learn(photos, named, RATE, len(labels)) == pytest.approx(first, rel=1e-5)


def test_an_answer_is_as_right_as_its_classs_part_of_the_target(learner):
    made = learner(TINY.replace(momentum=0))
    photos, _ = batch()
    targets = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.0]]).expand(4, 5)
    scores = copy.deepcopy(made.net)(photos)
    loss, right = made.learn(photos, targets, RATE, 4)
    assert right == pytest.approx(sum(targets[0][guess].item() for guess in scores.argmax(1)))
    assert loss == pytest.approx(functional.cross_entropy(scores, targets, reduction="sum").item(), rel=1e-4)


def test_memory_format_changes_nothing_but_rounding(learner):
    one, other = (learner(TINY.replace(memory_format=layout)) for layout in ("contiguous", "channels_last"))
    assert learn(one, 2)[0] == pytest.approx(learn(other, 2)[0], rel=1e-3)


def test_the_rate_is_that_of_the_step(learner, weights):
    made = learner(TINY.replace(momentum=0))
    learn(made, rate=0.0)
    assert not {name for name in moved(made, weights) if not is_statistic(name)}


def test_a_share_of_a_batch_counts_as_its_share(learner, weights):
    """Two of a batch of eight: their gradient is a quarter as large as if they were the batch."""
    steps = []
    for count in (2, 8):
        made = learner(TINY.replace(momentum=0))
        photos, labels = batch(2)
        made.learn(photos, labels, RATE, count)
        steps.append(made.net.fc.weight.detach() - weights["fc.weight"])
    torch.testing.assert_close(steps[0], 4 * steps[1], rtol=1e-3, atol=1e-7)


def test_smoothing_changes_the_loss_as_torch_has_it(learner):
    losses = []
    for smoothing in (0.0, 0.2):
        made = learner(TINY.replace(label_smoothing=smoothing))
        photos, labels = batch()
        expected = functional.cross_entropy(
            copy.deepcopy(made.net)(photos), labels, label_smoothing=smoothing, reduction="sum"
        )
        losses.append(learn(made)[0])
        assert losses[-1] == pytest.approx(expected.item(), rel=1e-4)
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


def test_bfloat16_keeps_its_weights_in_float32(learner, weights):
    made = learner(precision="bfloat16")
    assert math.isfinite(learn(made)[0])
    assert {tensor.dtype for tensor in made.net.parameters()} == {torch.float32}
    assert "conv1.weight" in moved(made, weights)
    assert made.ask(made.copy_to_ask(made.answering), batch()[0]).dtype == torch.float32


# What stays


@pytest.mark.parametrize("frozen", [0, 1, 3, STAGES, 16])
def test_frozen_stages_stay_as_they_are_statistics_included(learner, weights, frozen):
    made = learner(TINY.replace(frozen=frozen, weight_decay=0.1))
    learn(made, 2)
    changed = moved(made, weights)
    assert {stage_of(name) for name in changed} == set(range(min(frozen, STAGES), STAGES + 1))
    unchanged = set(weights) - changed
    assert {stage_of(name) for name in unchanged} == set(range(min(frozen, STAGES))), "and all else moves"


def test_frozen_stages_stay_so_after_a_look_at_the_photos_held_back(learner, weights):
    made = learner(TINY.replace(frozen=2))
    made.ask(made.copy_to_ask(made.answering), batch()[0])
    made.begin_epoch()
    learn(made)
    assert min(stage_of(name) for name in moved(made, weights)) == 2


def test_to_ask_is_to_ask_the_network_as_it_is(learner):
    """Without its batch norms, and whatever mode it is in."""
    made = learner(TINY.replace(ema=0.5))
    learn(made, 2)
    photos = batch()[0]
    for net in (made.net, made.answering):
        asked = made.copy_to_ask(net)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in asked.modules())
        with torch.inference_mode():
            expected = copy.deepcopy(net).eval()(photos)
        torch.testing.assert_close(made.ask(asked, photos), expected, atol=1e-3, rtol=0)
    assert made.net.training


def test_frozen_norms_keep_their_statistics_and_learn_the_rest(learner, weights):
    made = learner(TINY.replace(norms="frozen"))
    learn(made, 2)
    assert moved(made, weights) == {name for name in weights if not is_statistic(name)}


def test_frozen_norms_learn_from_a_single_photo(learner):
    made = learner(TINY.replace(norms="frozen"))
    photos, labels = batch(1)
    loss, _ = made.learn(photos[:, :, :8, :8], labels, RATE, 1)  # the last map is of one pixel
    assert math.isfinite(loss)


# How fast


def test_every_weight_that_learns_is_in_one_group(untaught):
    net = copy.deepcopy(untaught)
    recipe = TINY.replace(frozen=2)
    freeze(net, CHOSEN, recipe)
    grouped = [p for group in parameter_groups(net, CHOSEN, recipe) for p in group["params"]]
    expected = [p for name, p in net.named_parameters() if stage_of(name) >= 2]
    assert len(grouped) == len(expected)
    assert {id(p) for p in grouped} == {id(p) for p in expected}


def test_each_stage_learns_slower_than_the_next(learner, weights):
    """The last stage and the last layer at the full rate; momentum and decay apart, a step is rate × gradient."""
    plain, slow = (learner(TINY.replace(momentum=0, stage_decay=decay)) for decay in (1.0, 0.5))
    learn(plain)
    learn(slow)
    after, slower = dict(plain.net.named_parameters()), dict(slow.net.named_parameters())
    for name in ("conv1.weight", "layer1.0.conv1.weight", "layer3.0.conv1.weight", "layer4.0.bn1.bias", "fc.weight"):
        scale = 0.5 ** max(0, STAGES - 1 - stage_of(name))
        step, slower_step = after[name] - weights[name], slower[name] - weights[name]
        assert (slower_step.norm() / step.norm()).item() == pytest.approx(scale, rel=1e-3), name


@pytest.mark.parametrize("norm_decay", ["off", "on"])
def test_weight_decay_spares_norms_and_biases_unless_told(learner, weights, norm_decay):
    """Without any gradient, what is decayed shrinks and the rest stays."""
    made = learner(TINY.replace(momentum=0, weight_decay=0.5, norm_decay=norm_decay))
    for group in made.optimizer.param_groups:
        group["lr"] = 0.1 * group["scale"]
    for parameter in made.net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    made.optimizer.step()
    for name, parameter in made.net.named_parameters():
        kept = 1.0 if parameter.ndim == 1 and norm_decay == "off" else 0.95
        torch.testing.assert_close(parameter.detach(), kept * weights[name])
        assert (parameter.ndim == 1) == (name.endswith("bias") or "bn" in name)


# The average


def test_without_averaging_the_network_that_learns_answers(learner):
    made = learner()
    assert made.answering is made.net


def test_the_average_begins_at_the_network_and_then_follows_it(learner):
    made = learner(TINY.replace(ema=0.1))
    learn(made)
    net, average = made.net, made.answering
    assert average is not net
    assert all(torch.equal(a, b) for a, b in zip(average.parameters(), net.parameters(), strict=True))
    before = {name: tensor.clone() for name, tensor in average.state_dict().items()}
    learn(made)
    decay = 2 / 11  # of the second step: (1 + 1) / (10 + 1), far below the 0.99 of later ones
    for name, now in net.named_parameters():
        expected = decay * before[name] + (1 - decay) * now
        torch.testing.assert_close(average.state_dict()[name], expected, atol=1e-6, rtol=1e-5)
    name = "bn1.running_mean"
    expected = decay * before[name] + (1 - decay) * net.state_dict()[name]
    torch.testing.assert_close(average.state_dict()[name], expected)


def test_a_long_average_hardly_moves_after_a_while(learner):
    made = learner(TINY.replace(ema=0.5))
    learn(made)
    made.average.n_averaged.fill_(10**6)
    before = made.answering.fc.weight.clone()
    way = (made.net.fc.weight - before).norm()
    learn(made)
    step = (made.answering.fc.weight - before).norm()
    assert 0 < step < 0.01 * (made.net.fc.weight - before).norm() + 1e-9 + way


def test_the_average_begins_anew_where_told(learner):
    made = learner(TINY.replace(ema=0.1))
    learn(made, 2)
    with torch.no_grad():
        made.head.weight.fill_(7.0)
    made.start_averaging()
    assert torch.equal(made.answering.fc.weight, made.net.fc.weight)
    learn(made)
    assert torch.equal(made.answering.fc.weight, made.net.fc.weight), "as at its first step"


def test_the_average_does_not_learn_and_the_network_does_not_hear_of_it(learner, weights):
    plain, averaged = learner(), learner(TINY.replace(ema=0.5))
    assert learn(plain, 3) == learn(averaged, 3)
    assert all(
        torch.equal(a, b) for a, b in zip(plain.net.parameters(), averaged.net.parameters(), strict=True)
    )  # fmt: skip
    ours = {id(parameter) for group in averaged.optimizer.param_groups for parameter in group["params"]}
    assert not ours & {id(parameter) for parameter in averaged.answering.parameters()}


# Going on


def through_a_file(made: Learner, folder) -> tuple[dict, dict]:
    """Weights and state as a run's last checkpoint gives them back."""
    from flowers.models.checkpoint import Checkpoint

    run = Run.create(folder, TINY, None)
    state = pack_state(Position(), "digest", {}, made.state())
    run.save("last", Checkpoint("resnet18", tuple("abcde"), {}), made.weights(), state)
    loaded = run.load_state()
    return loaded.weights, loaded.learner


EVERYTHING = TINY.replace(frozen=1, norms="frozen", weight_decay=1e-3, stage_decay=0.5, label_smoothing=0.1, ema=0.05)
ADAMW = EVERYTHING.replace(optimizer="adamw", norm_decay="on")


@pytest.mark.parametrize(
    "recipe",
    [
        TINY,
        TINY.replace(momentum=0),
        EVERYTHING,
        EVERYTHING.replace(memory_format="contiguous"),
        TINY.replace(optimizer="nesterov"),
        ADAMW,
        ADAMW.replace(memory_format="contiguous"),
        TINY.replace(start_share=0.5),
        EVERYTHING.replace(start_share=0.5),
    ],
    ids=[
        "plain",
        "no momentum",
        "everything",
        "contiguous",
        "nesterov",
        "adamw",
        "adamw contiguous",
        "start kept",
        "start kept, averaged",
    ],
)
def test_one_that_goes_on_does_as_if_it_had_never_stopped(learner, tmp_path, recipe):
    """Bit for bit, also where momentum moves; and whatever the order of numbers in memory: in a file it is the plain
    one.
    """
    assert_goes_on(learner(recipe), learner(recipe), tmp_path)


@pytest.mark.thorough  # the test before has the tiny network
def test_resnet18_goes_on_as_if_it_had_never_stopped(tmp_path):
    torch.manual_seed(0)
    net, chosen = BACKBONES["resnet18"].build(5), BACKBONES["resnet18"]
    assert_goes_on(*(started(net, chosen, EVERYTHING) for _ in range(2)), tmp_path)


def assert_goes_on(made: Learner, again: Learner, tmp_path: Path) -> None:
    learn(made, 2)
    again.load(*through_a_file(made, tmp_path / "run"))
    assert learn(made, 2) == learn(again, 2)
    photos, labels = batch(seed=5)
    assert made.learn(photos, labels, RATE, 4, 0.8) == again.learn(photos, labels, RATE, 4, 0.8)
    for name, tensor in made.net.state_dict().items():
        assert torch.equal(again.net.state_dict()[name], tensor), name
    for name, tensor in made.weights().items():
        assert torch.equal(again.weights()[name], tensor), name


# The share of the start


@pytest.mark.parametrize("ema", [0, 0.5])
def test_what_answers_lies_between_the_start_and_what_was_learned(learner, ema):
    made, whole = learner(TINY.replace(ema=ema, start_share=0.25)), learner(TINY.replace(ema=ema))
    start = {name: value.clone() for name, value in made.net.state_dict().items()}
    assert all(torch.equal(value, start[name]) for name, value in made.weights().items())
    learn(made, 3)
    learn(whole, 3)
    end = whole.weights()
    moved = [name for name, value in end.items() if not torch.equal(value, start[name])]
    assert len(moved) > 10
    for name, value in made.weights().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, start[name] * 0.25 + end[name] * 0.75)
        else:
            assert torch.equal(value, end[name])


def test_a_start_of_another_last_layer_is_that_of_the_steps(learner):
    made = learner(TINY.replace(start_share=0.5))
    with torch.no_grad():
        made.head.weight.fill_(2.0)
    made.start_averaging()
    with torch.no_grad():
        made.head.weight.fill_(1.0)
    assert torch.equal(made.weights()["fc.weight"], torch.full_like(made.head.weight, 1.5))


def test_a_last_layer_alone_has_no_start_to_keep(learner):
    made = learner(TINY.replace(start_share=0.5, probe="folds", epochs=1))
    assert made.answering is made.net
    assert "start" not in made.state()


def test_weights_of_another_network_are_refused(learner, tmp_path):
    made = learner()
    state = made.state()
    with pytest.raises(RuntimeError, match="size mismatch"):
        made.load({**made.weights(), "fc.weight": torch.zeros(2, made.head.in_features)}, state)


def test_a_state_without_an_average_is_no_obstacle(learner):
    """As of a run that was stopped before averaging was thought of."""
    plain, averaged = learner(), learner(TINY.replace(ema=0.1))
    learn(plain)
    averaged.load(plain.weights(), plain.state())
    assert torch.equal(averaged.net.fc.weight, plain.net.fc.weight)
    assert torch.equal(averaged.answering.fc.weight, plain.net.fc.weight)


def test_the_last_layer_is_found(learner):
    made = learner()
    assert isinstance(made.head, nn.Linear)
    assert made.head is made.net.fc
