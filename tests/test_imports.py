"""Which room may know of which; and that the light ones stay light."""

import ast
import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from flowers.paths import PROJECT

PACKAGE = PROJECT / "flowers"
MODULES = sorted(path.relative_to(PROJECT).as_posix() for path in PACKAGE.rglob("*.py"))
LIGHT = [
    "flowers",
    "flowers.recipe",
    "flowers.cli",
    "flowers.classifier",
    "flowers.engines",
    "flowers.inference",
    "flowers.reason",
    "flowers.share.bundle",
    "flowers.share.card",
    "flowers.share.hub",
    "flowers.share.onnx",
    "flowers.share.page",
    "flowers.share.runtime",
    "flowers.data.dataset",
    "flowers.data.sources",
    "flowers.models.backbones",
    "flowers.models.calibration",
    "flowers.models.checkpoint",
    "flowers.training.run",
    "flowers.training.process",
    "flowers.training.story",
]
# Room -> the rooms it may not know, also not inside a function or for a type.
FORBIDDEN = {
    "data": {"models", "training", "evaluation", "classifier", "cli", "studio", "share"},
    "recipe": {"data", "models", "training", "evaluation", "classifier", "cli", "studio", "share"},
    "processes": {"data", "models", "training", "evaluation", "classifier", "cli", "studio", "recipe", "share"},
    "files": {"data", "models", "training", "evaluation", "classifier", "cli", "studio", "recipe", "share"},
    "reason": {"data", "models", "training", "evaluation", "classifier", "cli", "studio", "recipe", "share"},
    "models": {"data", "recipe", "training", "evaluation", "classifier", "cli", "studio", "share"},
    "engines": {"inference", "training", "evaluation", "recipe", "classifier", "cli", "studio", "share"},
    "inference": {"training", "evaluation", "recipe", "classifier", "cli", "studio", "share"},
    "classifier": {"training", "evaluation", "recipe", "cli", "studio", "share"},
    "training": {"evaluation", "classifier", "cli", "studio", "share"},
    "evaluation": {"training", "cli", "studio", "share"},
    "share": {"cli", "studio"},
    "cli": {"studio"},
    "studio": {"cli"},
}


def room(path: str) -> str:
    """``flowers/data/decode.py`` -> ``data``; ``flowers/cli.py`` -> ``cli``."""
    return Path(path).with_suffix("").parts[1]


@functools.cache
def imported(path: str) -> set[str]:
    """The rooms of flowers that a file imports from, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse((PROJECT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports would slip past this test"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("flowers.")}


HEAVY = {"torch", "torchvision", "timm", "gradio", "matplotlib"}
# Each module is imported by a child of its own, which knows none of the others. What they nearly all need is there
# already: reading it twenty times would take most of the time.
IMPORT_EACH = f"""
import json, os, sys, traceback
import numpy, PIL.Image
assert not {HEAVY} & set(sys.modules)
for name in sys.argv[1:]:
    child = os.fork()
    if not child:
        try:
            __import__(name)
            told = ' '.join({HEAVY} & set(sys.modules))
        except BaseException:
            told = traceback.format_exc()
        print(json.dumps([name, told]), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


def said_by(script: str, *arguments: str) -> str:
    """What a Python of its own prints, which is begun in the project's folder."""
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def loaded() -> dict[str, str]:
    """For each light module, what importing it alone loads that is heavy, or what went wrong."""
    return dict(map(json.loads, said_by(IMPORT_EACH, *LIGHT).splitlines()))


@pytest.mark.parametrize("name", LIGHT)
def test_importing_it_loads_neither_torch_nor_gradio(name, loaded):
    assert loaded[name] == ""


def test_the_check_sees_what_is_heavy_and_what_cannot_be_imported():
    heavy, absent = map(json.loads, said_by(IMPORT_EACH, "matplotlib", "flowers.absent").splitlines())
    assert heavy == ["matplotlib", "matplotlib"]
    assert "No module named 'flowers.absent'" in absent[1]


def test_the_page_is_made_without_torch_and_figures():
    """They take longer to import than all the rest, and nobody sees them before the first photo."""
    script = (
        "import sys; from flowers.studio import app, train; app.build();"
        "train._watch('latest', {}, 'newest', [], 'report', 'garden');"
        "print(*{'torch', 'torchvision', 'matplotlib'} & set(sys.modules))"
    )
    assert said_by(script).strip() == ""


@pytest.mark.parametrize("path", MODULES)
def test_imports_point_one_way(path):
    forbidden = FORBIDDEN.get(room(path), set())
    assert not imported(path) & forbidden


def test_the_check_sees_the_imports_that_are_there():
    assert {"data", "models", "recipe", "errors"} <= imported("flowers/training/train.py")


def test_only_the_entrances_know_cli_and_studio():
    knowing = {path for path in MODULES if imported(path) & {"cli", "studio"} and room(path) != "studio"}
    assert knowing <= {"flowers/__main__.py"}
