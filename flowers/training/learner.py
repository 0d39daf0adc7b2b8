"""The network that learns: its optimizer, its running average, and all that resuming needs of them."""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from flowers.models.backbones import Backbone
from flowers.models.folding import fold_batch_norm
from flowers.recipe import Recipe
from flowers.training.machine import Machine
from flowers.training.schedule import average_decay, folds_alone
from flowers.training.team import Team


class Learner:
    """A network in training. ``net`` learns; ``answering`` is what a checkpoint keeps, and validation asks a copy of.

    The two are the same unless the recipe averages the weights (an exponential moving average, Polyak and Juditsky
    1992), or keeps a share of those that the steps began with (WiSE-FT: Wortsman et al. 2022, arXiv 2109.01903).
    """

    def __init__(
        self, net: nn.Module, chosen: Backbone, recipe: Recipe, machine: Machine, team: Team, steps: int
    ) -> None:
        """``steps`` is how many the whole run takes."""
        self.chosen, self.recipe, self.machine, self.team, self.steps = chosen, recipe, machine, team, steps
        self.net = net.to(team.device, memory_format=machine.torch_format)
        modules = dict(net.named_modules())
        # A stage may also name a parameter that is in no module of its own, as a transformer's class token.
        self.frozen = [modules[name] for stage in chosen.stages[: recipe.frozen] for name in stage if name in modules]
        if recipe.norms == "frozen":
            self.frozen += [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        self.head: nn.Linear = net.get_submodule(chosen.head)
        self.optimizer = new_optimizer(parameter_groups(net, chosen, recipe), recipe, team.device)
        self.average = self._new_average()
        self.start: dict[str, Tensor] | None = None  # weights that the steps began with, where a share of them is kept
        self._forward: nn.Module | None = None
        self.class_weights: Tensor | None = None  # float32 (classes,), of each class's loss; None: 1

    @property
    def answering(self) -> nn.Module:
        """The network that answers."""
        return self._learned if self.start is None else self._between(self.start, self._learned)

    @property
    def _learned(self) -> nn.Module:
        return self.average.module if self.average else self.net

    def _between(self, start: dict[str, Tensor], end: nn.Module) -> nn.Module:
        """A network whose weights are ``start_share`` of the way back from ``end``."""
        made = copy.deepcopy(end)
        with torch.no_grad():
            for name, value in made.state_dict().items():
                if value.is_floating_point():
                    value.lerp_(start[name], self.recipe.start_share)
        return made

    def begin(self, compiled: bool = False) -> None:
        """Make ready for steps, after the weights are in place."""
        if self.start is None:
            self._remember_start()
        self._forward = self.team.wrap(torch.compile(self.net) if compiled else self.net)

    def begin_epoch(self) -> None:
        """Put the network into training mode: what is frozen stays as it is, norm statistics included."""
        self.net.train()
        for module in self.frozen:
            module.eval()

    def learn(
        self, photos: Tensor, targets: Tensor, rate: float, count: int, momentum: float | None = None
    ) -> tuple[float, float]:
        """One step on this process's part of a batch of ``count`` photos; the part's loss and right answers, summed.

        ``photos`` float32 (N, 3, H, W), ``ready``; ``targets`` labels, int64 (N,), or parts of each class, float32
        (N, classes), of which an answer is as right as its class's part. Both sums are from before the step.
        ``momentum``: default the recipe's.
        """
        momentum = self.recipe.momentum if momentum is None else momentum
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
            group |= {"betas": (momentum, *group["betas"][1:])} if "betas" in group else {"momentum": momentum}
        with self.machine.autocast():
            scores = self._forward(photos)
        loss = functional.cross_entropy(
            scores.float(),
            targets,
            self.class_weights,
            reduction="sum",
            label_smoothing=self.recipe.label_smoothing,
        )
        self.optimizer.zero_grad(set_to_none=True)
        # The team averages gradients: this way their average is the gradient of the whole batch's mean loss.
        (loss * self.team.size / count).backward()
        self.optimizer.step()
        if self.average:
            self.average.update_parameters(self.net)
        answers = scores.argmax(1)
        right = (answers == targets).sum() if targets.ndim == 1 else targets.gather(1, answers[:, None]).sum()
        return loss.item(), right.item()  # waits for the device; at these speeds the wait costs nothing

    def copy_to_ask(self, net: nn.Module) -> nn.Module:
        """A copy of ``net`` as it is now, to ``ask``: batch norms folded away."""
        shape = (1, 3, self.chosen.size, self.chosen.size)
        photo = torch.linspace(-2, 2, math.prod(shape), device=self.team.device).view(shape)
        return fold_batch_norm(net, photo).to(memory_format=self.machine.torch_format)

    @torch.inference_mode()
    def ask(self, net: nn.Module, photos: Tensor) -> Tensor:
        """The class scores, float32 (N, classes), that ``copy_to_ask``'s ``net`` gives ``ready`` photos."""
        with self.machine.autocast():
            return net(photos).float()

    def ready(self, photos: Tensor) -> Tensor:
        """Normalised photos in the network's memory format, as ``learn`` and ``ask`` want them."""
        return photos.contiguous(memory_format=self.machine.torch_format)

    def start_averaging(self) -> None:
        """Let the average begin here, as when the last layer was set in one go, and the steps."""
        self.average = self._new_average()
        self._remember_start()

    def weights(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return self.answering.state_dict()

    def state(self) -> dict[str, Any]:
        """What resuming needs beyond ``weights``."""
        state = {"optimizer": self.optimizer.state_dict()}
        if self.average:
            state["net"] = self.net.state_dict()
            state["averaged"] = int(self.average.n_averaged)
        if self.start is not None:
            state |= {"start": self.start, "learned": self._learned.state_dict()}
        return state

    def load(self, weights: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Go on from ``weights`` and ``state``."""
        learned = state.get("learned", weights)
        self.start = None
        if "start" in state:
            self.start = {name: value.to(self.team.device) for name, value in state["start"].items()}
        self.net.load_state_dict(state.get("net", learned))
        if self.average:
            self.average.module.load_state_dict(learned)
            self.average.n_averaged.fill_(state.get("averaged", 0))
        self.optimizer.load_state_dict(state["optimizer"])
        # Fused steps go through memory as it lies: what a file had in plain order must lie as its parameter does.
        for parameter, values in self.optimizer.state.items():
            for name, value in values.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    values[name] = torch.empty_like(parameter).copy_(value)

    def _remember_start(self) -> None:
        if self.recipe.start_share and not folds_alone(self.recipe):
            self.start = {name: value.detach().clone() for name, value in self.net.state_dict().items()}

    def _new_average(self) -> AveragedModel | None:
        if not self.recipe.ema:
            return None

        def average(averaged: list[Tensor], current: list[Tensor], steps: Tensor) -> None:
            if averaged[0].is_floating_point():
                get_ema_multi_avg_fn(average_decay(self.recipe, int(steps), self.steps))(averaged, current, steps)
            else:  # counters, and the numbers of places that Swin looks up: torch would round their average down
                for mine, theirs in zip(averaged, current, strict=True):
                    mine.copy_(theirs)

        return AveragedModel(self.net, multi_avg_fn=average, use_buffers=True)


def freeze(net: nn.Module, chosen: Backbone, recipe: Recipe) -> None:
    """Switch learning off in the stages that the recipe freezes."""
    frozen = min(recipe.frozen, len(chosen.stages))
    for name, parameter in net.named_parameters():
        if chosen.stage_of(name) < frozen:
            parameter.requires_grad_(False)


def new_optimizer(groups: list[dict[str, Any]], recipe: Recipe, device: torch.device) -> torch.optim.Optimizer:
    """The recipe's optimizer for ``parameter_groups``: SGD (Nesterov 1983), or AdamW (Loshchilov and Hutter 2017)."""
    fused = device.type in ("cpu", "cuda")
    if recipe.optimizer == "adamw":
        betas = (recipe.momentum, 0.999)  # torch's second
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=betas, fused=fused)
    ahead = recipe.optimizer == "nesterov" and recipe.momentum > 0  # without momentum nothing lies ahead
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=ahead, fused=fused)


def parameter_groups(net: nn.Module, chosen: Backbone, recipe: Recipe) -> list[dict[str, Any]]:
    """The optimizer's groups: by stage, each ``scale`` times the learning rate; matrices and filters decay.

    Norms, biases, and what transformers have of places, tokens and scales do so with the recipe's ``norm_decay`` alone.
    Slower early stages: Howard and Ruder 2018. What is frozen is in no group.
    """
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            spared = recipe.norm_decay == "off" and (parameter.ndim <= 1 or not name.endswith("weight"))
            groups.setdefault((chosen.stage_of(name), spared), []).append(parameter)
    return [
        {
            "params": groups[stage, spared],
            # The last stage and the head learn at the full rate.
            "scale": recipe.stage_decay ** max(0, len(chosen.stages) - 1 - stage),
            "weight_decay": 0.0 if spared else recipe.weight_decay,
        }
        for stage, spared in sorted(groups)
    ]
