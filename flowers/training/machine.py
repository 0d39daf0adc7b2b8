"""What this machine trains best with: measured in about a second, not assumed."""

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from flowers.errors import UsageError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Machine:
    """Device and precision to train with, and one sentence on why."""

    device: torch.device
    precision: str  # "float32" or "bfloat16"
    why: str

    def autocast(self) -> torch.autocast:
        """Context in which the forward pass runs: layers in ``precision``, sums and norms in float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")


def choose_machine(device: str, precision: str, model: "nn.Module", size: int, batch_size: int) -> Machine:
    """The device asked for (or the best there is) and the precision asked for (or the faster one, by measuring).

    Raises UsageError when the device is not on this machine.
    """
    chosen = _device(device)
    if precision != "auto":
        return Machine(chosen, precision, f"Training on {_name(chosen)} in {precision}, as asked.")
    if chosen.type == "mps":
        return Machine(chosen, "float32", f"Training on {_name(chosen)} in float32.")
    seconds = {
        name: _step_seconds(Machine(chosen, name, ""), model, size, min(batch_size, 16))
        for name in ("float32", "bfloat16")
    }
    fastest = min(seconds, key=seconds.get)
    ratio = max(seconds.values()) / min(seconds.values())
    slower = next(name for name in seconds if name != fastest)
    return Machine(
        chosen, fastest, f"Training on {_name(chosen)} in {fastest}: measured {ratio:.1f}× as fast as {slower}."
    )


def _device(wanted: str) -> torch.device:
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        wanted = next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there[wanted]:
        raise UsageError(f"This machine has no {wanted} device: choose device=auto or device=cpu.")
    return torch.device(wanted)


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"the CPU ({torch.get_num_threads()} threads)" if device.type == "cpu" else "Apple's GPU"


def _step_seconds(machine: Machine, model: "nn.Module", size: int, batch_size: int) -> float:
    """Median time of a forward and backward pass; the first, which sets up the kernels, does not count.

    The model's weights and norm statistics are left as they were.
    """
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model = model.to(machine.device, memory_format=torch.channels_last).train()
    photos = torch.rand(batch_size, 3, size, size, device=machine.device).to(memory_format=torch.channels_last)
    times = []
    for _ in range(4):
        start = time.perf_counter()
        with machine.autocast():
            loss = model(photos).float().square().mean()
        loss.backward()
        model.zero_grad(set_to_none=True)
        if machine.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    model.load_state_dict(state)
    return statistics.median(times[1:])
