"""The processes that train together, on one machine or on many: what each does alone and what they agree on.

``torchrun`` and ``accelerate launch`` start them, Accelerate tells them who they are and wraps torch's
DistributedDataParallel. A process on its own is a team of one, for which everything here does nothing.
"""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list, gather_object
from torch import nn

T = TypeVar("T")


class Team:
    """All processes of a training, seen from one of them."""

    def __init__(self, device: torch.device) -> None:
        # Statistics of norms are the same in all processes already: see share_norms.
        kwargs = DistributedDataParallelKwargs(broadcast_buffers=False)
        self.accelerator = Accelerator(cpu=device.type == "cpu", kwargs_handlers=[kwargs])
        self.device = self.accelerator.device if self.size > 1 else device

    @property
    def size(self) -> int:
        """How many processes there are."""
        return self.accelerator.num_processes

    @property
    def rank(self) -> int:
        """This process's number, from 0, the main one's."""
        return self.accelerator.process_index

    @property
    def main(self) -> bool:
        """Whether this is the one process that writes the run folder."""
        return self.accelerator.is_main_process

    @property
    def neighbours(self) -> int:
        """Processes on this machine, this one included: they share its memory."""
        return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if self.size > 1 else 1

    def main_first(self) -> AbstractContextManager:
        """Within it, the main process goes first: for what one fetches and all then find."""
        return self.accelerator.main_process_first()

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
            self.accelerator.state.destroy_process_group()


def share_norms(net: nn.Module, team: Team) -> nn.Module:
    """``net`` with its batch norms taking their statistics over the whole team's batch, as one process would."""
    if team.size == 1:
        return net
    if team.device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(net)
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            shared = SharedNorm(module.num_features, module.eps, module.momentum)
            shared.load_state_dict(module.state_dict())
            for mine, other in zip(shared.parameters(), module.parameters(), strict=True):
                mine.requires_grad_(other.requires_grad)
            net.set_submodule(name, shared)
    return net


class SharedNorm(nn.BatchNorm2d):
    """Batch norm over the photos of all processes, on CPUs: torch's SyncBatchNorm does this on GPUs only."""

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to the same shape."""
        if not self.training:
            return super().forward(photos)
        from torch.distributed.nn.functional import all_reduce  # gradients flow through this one

        values = photos.float()
        count = values.new_tensor([values.numel() / self.num_features])
        sums = all_reduce(torch.cat([values.sum((0, 2, 3)), values.square().sum((0, 2, 3)), count]))
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
