"""What every measurement tells beside its numbers: the machine, the versions, the day, the command."""

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PLACES = ("--runs", "--out")  # options that name a folder, and change no result; ``race.py`` counts by --runs
LIBRARIES = ("torch", "torchvision", "timm", "fastai", "transformers", "ultralytics", "pillow", "numpy", "gradio")


def circumstances() -> dict:
    """Machine, versions, day and command, ready for JSON."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "command": shlex.join(["python", *_shortened(sys.argv)]),
        "machine": machine(),
        "versions": versions(),
    }


def machine() -> dict:
    """The processor, its cores, whether it has bfloat16 matrix units, and the memory in bytes."""
    cpu = _read("/proc/cpuinfo")
    model = re.search(r"model name\s*:\s*(.+)", cpu)
    return {
        "cpu": model[1].strip() if model else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "bfloat16_units": "amx_bf16" in cpu,
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    """The version of Python and of each library that is installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def weights() -> str:
    """Which ImageNet ResNet18 the contestants start from, in words; torchvision names the file by its sha256."""
    home = Path(os.environ.get("TORCH_HOME") or "~/.cache/torch").expanduser()
    file = home / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    if not file.exists():
        return "none on this machine yet"
    genuine = hashlib.sha256(file.read_bytes()).hexdigest().startswith("f37072fd")
    return "torchvision's ImageNet weights" if genuine else "stand-in weights for torchvision's ImageNet ResNet18"


def told(facts: dict) -> str:
    """``circumstances()`` as a paragraph."""
    return f"{surroundings(facts)}. Made by `{facts['command']}`."


def surroundings(facts: dict) -> str:
    """Of ``circumstances()``, the day, the machine and the versions."""
    this = facts["machine"]
    units = "with" if this["bfloat16_units"] else "without"
    return (
        f"{facts['date']}, {this['cpu']}, {this['cores']} cores {units} bfloat16 matrix units, "
        f"{this['memory'] / 2**30:.0f} GB, {this['system']}; "
        + ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    )


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; the first column is text, the others numbers."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def save(path: Path, value: object) -> None:
    """Write JSON whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(value, indent=1) + "\n")
    beside.replace(path)


def _shortened(arguments: Sequence[str]) -> list[str]:
    """Without where this copy of the project, the person's home, and what is made here happen to be."""
    told, rest = [], iter(arguments)
    for argument in rest:
        value = next(rest) if argument in PLACES else ""
        if argument not in PLACES or value.isdigit():
            told += [argument, value] if value else [argument]
    return [argument.replace(f"{PROJECT}{os.sep}", "").replace(str(Path.home()), "~") for argument in told]


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
