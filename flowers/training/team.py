"""The processes that train together, on one machine or on many: what each does alone and what they agree on.

``torchrun`` and ``accelerate launch`` start them, Accelerate tells them who they are and wraps torch's
DistributedDataParallel. A process on its own is a team of one, for which everything here does nothing.
"""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list, gather_object
from torch import distributed, nn

from flowers.errors import UsageError
from flowers.training.process import in_team

T = TypeVar("T")
PATIENCE = timedelta(hours=6)  # for the others, who wait while the first fetches or decodes a large photo set


class Team:
    """All processes of a training, seen from one of them."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.accelerator = device, None
        if not in_team():
            return
        if device.type == "mps":
            raise UsageError("Apple's GPU cannot train in a team: choose device=cpu, or start one process.")
        # Without mixed precision, whatever `accelerate config` says: precision is the recipe's business.
        self.accelerator = Accelerator(
            cpu=device.type == "cpu",
            mixed_precision="no",
            kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
        )
        self.device = self.accelerator.device

    @property
    def size(self) -> int:
        """How many processes there are."""
        return self.accelerator.num_processes if self.accelerator else 1

    @property
    def rank(self) -> int:
        """This process's number, from 0, the main one's."""
        return self.accelerator.process_index if self.accelerator else 0

    @property
    def main(self) -> bool:
        """Whether this is the one process that writes the run folder."""
        return self.rank == 0

    @property
    def neighbours(self) -> int:
        """Processes on this machine, this one included: they share its memory."""
        return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if self.size > 1 else 1

    def main_first(self) -> AbstractContextManager:
        """Within it, the main process goes first: for what one fetches and all then find."""
        return self.accelerator.main_process_first() if self.accelerator else nullcontext()

    def share(self, batches: Sequence[Sequence[T]]) -> list[Sequence[T]]:
        """This process's part of each batch; together the parts are the batch, and no item is in two."""
        return [batch[self.rank :: self.size] for batch in batches]

    def sum(self, *values: float) -> list[float]:
        """Each value, summed over all processes."""
        if self.size == 1:
            return list(values)
        # Doubles, so that counts stay whole and sums do not depend on how the work was shared out.
        return self.accelerator.reduce(torch.tensor(values, dtype=torch.float64, device=self.device), "sum").tolist()

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process: all then act alike."""
        return self.sum(float(flag))[0] > 0

    def same(self, value: T) -> T:
        """The main process's value."""
        return broadcast_object_list([value])[0] if self.size > 1 else value

    def gather(self, items: list[Any]) -> list[Any]:
        """The items of all processes, the main process's first."""
        return gather_object(items) if self.size > 1 else items

    def wrap(self, net: nn.Module) -> nn.Module:
        """``net`` as a module whose gradients are averaged over the team; the weights stay those of ``net``."""
        if self.size == 1:
            return net
        return self.accelerator.prepare(net)

    def leave(self) -> None:
        """Say goodbye, so that nobody waits for this process."""
        if self.size > 1:
            self.accelerator.end_training()


def share_norms(net: nn.Module, team: Team) -> nn.Module:
    """``net`` with its batch norms taking their statistics over the whole team's batch, as one process would."""
    if team.size == 1:
        return net
    if team.device.type == "cuda":
        return _synchronised(net)
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            shared = SharedNorm(module.num_features, module.eps, module.momentum)
            shared.load_state_dict(module.state_dict())
            for mine, other in zip(shared.parameters(), module.parameters(), strict=True):
                mine.requires_grad_(other.requires_grad)
            for child_name, child in module.named_children():
                shared.add_module(child_name, child)
            net.set_submodule(name, shared)
    return net


def _synchronised(net: nn.Module) -> nn.Module:
    if any(isinstance(norm, nn.BatchNorm2d) and list(norm.children()) for norm in net.modules()):
        from timm.layers import convert_sync_batchnorm  # torch's own forgets the activation that these norms end with

        return convert_sync_batchnorm(net)
    return nn.SyncBatchNorm.convert_sync_batchnorm(net)


class SharedNorm(nn.BatchNorm2d):
    """Batch norm over the photos of all processes, on CPUs: torch's SyncBatchNorm does this on GPUs only.

    Its children are what comes after it: timm's norms end with an activation.
    """

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to the same shape."""
        photos = self._shared(photos) if self.training else super().forward(photos)
        for child in self.children():
            photos = child(photos)
        return photos

    def _shared(self, photos: torch.Tensor) -> torch.Tensor:
        values = photos.float()
        count = values.new_tensor([values.numel() / self.num_features])
        sums = _Summed.apply(torch.cat([values.sum((0, 2, 3)), values.square().sum((0, 2, 3)), count]))
        total, squares, count = sums.split([self.num_features, self.num_features, 1])
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=0)
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        return (values * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)).to(photos.dtype)


class _Summed(torch.autograd.Function):
    """The sum over all processes; back through it flow the gradients of all their losses, which it is part of."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    backward = forward
