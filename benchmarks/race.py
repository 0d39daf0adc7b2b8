"""The race: who fine-tunes a ResNet18 on the report's photos first? One command, one table.

    python -m venv race-venv && race-venv/bin/pip install -r requirements.txt -r benchmarks/requirements.txt
    race-venv/bin/python benchmarks/race.py --data flowers5                  # all: about 90 minutes on two quiet cores
    race-venv/bin/python benchmarks/race.py fast --runs 3 --data flowers5    # 3 minutes a run
    race-venv/bin/python benchmarks/race.py --smoke --out /tmp/smoke         # a few steps of each: 5 minutes

One after the other, each in a process of its own, with the same photos, split, starting weights and check after every
epoch (``contestants/course.py``; that check is on everybody's clock). The clock starts before the interpreter does.
What is done before it starts, for everybody: the photos are read once, and so lie in the system's file cache, and are
laid out as train/ and val/. Run ``--smoke`` first, for the libraries to lie there too. Ours gets an empty cache of its
own instead of that layout: indexing, splitting and decoding the photos is on its clock.

Each result is saved as soon as it is there and not measured again unless asked; ``race_table.py`` makes the table.
"""

import argparse
import contextlib
import itertools
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import psutil

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from benchmarks.common import circumstances, save, weights  # noqa: E402
from benchmarks.race_table import write_table  # noqa: E402
from flowers.data.dataset import PhotoDataset, open_dataset  # noqa: E402

TARGET = 0.9140  # of the clean validation photos: the report's best
PATIENCE = 4  # who has not passed after this many times the cap is stopped as well
POLL_SECONDS = 0.05
MEMORY_SECONDS = 0.5


@dataclass(frozen=True)
class Contestant:
    """Who races, and what the table calls it."""

    name: str
    title: str
    preset: str = ""  # ours only

    def command(self, folder: Path, source: Path, epochs: int | None, seed: int) -> list[str]:
        """What a person would type. The peers draw their chance anew each time; ours by the seed."""
        if not self.preset:
            more = [str(epochs)] if epochs else []
            return [sys.executable, "-m", f"benchmarks.contestants.{self.name}", str(folder), *more]
        more = ["--epochs", str(epochs)] if epochs else []
        command = [sys.executable, "-m", "flowers", "train", "--preset", self.preset, "--data", str(source)]
        return [*command, "--run", str(folder / "run"), "--seed", str(seed), "--quiet", *more]

    def events(self, folder: Path) -> Path:
        """The file it tells its epochs in."""
        return folder / "run" / "events.jsonl" if self.preset else folder / "events.jsonl"


CONTESTANTS = {
    contestant.name: contestant
    for contestant in (
        Contestant("fast", "**flowers**, preset `fast`", preset="fast"),
        Contestant("report", "**flowers**, preset `report`", preset="report"),
        Contestant("tutorial", "PyTorch tutorial, as the report ran it"),
        Contestant("timm", "timm's parts"),
        Contestant("fastai", "fastai `fine_tune(4)`"),
        Contestant("huggingface", "Hugging Face Trainer"),
        Contestant("ultralytics", "ultralytics classify"),
        Contestant("quick", "**flowers**, preset `quick`", preset="quick"),  # only when asked for by name
    )
}
EVERYBODY = [name for name in CONTESTANTS if name != "quick"]


def main(arguments: list[str] | None = None) -> int:
    """Race who is asked for, save each result, write the table of all there are."""
    options = _parser().parse_args(arguments)
    if unknown := set(options.contestants) - set(CONTESTANTS):
        _parser().error(f"there is no contestant {', '.join(unknown)}: choose of {', '.join(CONTESTANTS)}")
    with tempfile.TemporaryDirectory(prefix="flowers-race-") as scratch:
        dataset, epochs, target = _rules(options, Path(scratch))
        for name, run in itertools.product(options.contestants or EVERYBODY, range(1, options.runs + 1)):
            file = options.out / f"{name}-{run}.json"
            if file.exists() and not options.again:
                print(f"{name}, run {run}: measured already ({file})", flush=True)
                continue
            print(f"{name}, run {run}: since {time.strftime('%H:%M:%S')}", flush=True)
            result = race(CONTESTANTS[name], dataset, target, options.cap_minutes * 60, epochs, seed=run - 1)
            save(file, result)
            print(f"{name}, run {run}: {result['outcome']}", flush=True)
    print(write_table(options.out))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Who fine-tunes a ResNet18 on the report's photos first?")
    parser.add_argument("contestants", nargs="*", metavar="CONTESTANT", help=f"of {', '.join(CONTESTANTS)} (all)")
    parser.add_argument("--data", metavar="SRC", help="as `flowers train --data` (default: its default)")
    parser.add_argument("--out", type=Path, default=PROJECT / "benchmarks" / "race", help="where the results go")
    parser.add_argument("--runs", type=int, default=1, help="how often each runs (1)")
    parser.add_argument("--cap-minutes", type=float, default=12, help="who has passed is stopped then (12)")
    parser.add_argument("--epochs", type=int, help="instead of each contestant's documented number")
    parser.add_argument("--again", action="store_true", help="measure also what has been measured")
    parser.add_argument("--smoke", action="store_true", help="two epochs of three steps, to see that all of them run")
    return parser


def _rules(options: argparse.Namespace, scratch: Path) -> tuple[PhotoDataset, int | None, float]:
    """(photos, epochs, accuracy to reach)."""
    if not options.smoke:
        return open_dataset(options.data), options.epochs, TARGET
    dataset = open_dataset(options.data or painted(scratch / "garden"))
    return open_dataset(few(dataset, scratch / "few")), options.epochs or 2, 0.0


def race(
    contestant: Contestant, dataset: PhotoDataset, target: float, cap: float, epochs: int | None, seed: int
) -> dict:
    """One contestant's result, ready for JSON. Times are seconds since before its interpreter started; memory bytes."""
    with tempfile.TemporaryDirectory(prefix=f"flowers-{contestant.name}-") as holder:
        folder = Path(holder)
        counts = lay_out(dataset, folder / "photos")
        command = contestant.command(folder, dataset.root, epochs, seed)
        laps, peak, stopped = [], 0, False
        with open(folder / "log.txt", "wb") as log, running(command, surroundings(folder), log) as process:
            start = looked = time.perf_counter()
            while process.poll() is None and not stopped:
                time.sleep(POLL_SECONDS)
                now = time.perf_counter()
                passed_before = has_passed(laps, target)
                laps += new_laps(contestant.events(folder), len(laps), now - start)
                if has_passed(laps, target) and not passed_before:
                    keep(folder / "run" / "best", folder / "passed")
                if now - looked >= MEMORY_SECONDS:
                    peak, looked = max(peak, tree_memory(process)), now
                stopped = now - start > (cap if has_passed(laps, target) else PATIENCE * cap)
            seconds = time.perf_counter() - start
            failed = not stopped and process.returncode != 0
        laps += new_laps(contestant.events(folder), len(laps), seconds)  # an epoch told just before the end
        planned = next((event["epochs"] for event in events(contestant.events(folder), "started")), None)
        return {
            **circumstances(),
            "contestant": contestant.name,
            "title": contestant.title,
            "ours": bool(contestant.preset),
            "starting_weights": weights(),
            "photos": counts,
            "ran": [
                "python",
                *(part.replace(holder, "FOLDER").replace(str(dataset.root), "PHOTOS") for part in command[1:]),
            ],
            "seed": seed if contestant.preset else None,
            "outcome": outcome(failed, stopped, len(laps), planned),
            "last_words": last_words(folder) if failed else "",
            "target": target,
            "seconds_to_target": next((at for at, accuracy in laps if accuracy >= target), None),
            "seconds_an_epoch": median_gap(laps),
            "seconds": None if stopped or failed else round(seconds, 2),
            "best_accuracy": max((accuracy for _, accuracy in laps), default=None),
            "last_accuracy": laps[-1][1] if laps else None,
            # Ours checks itself, in its own precision: the race's own function has the last word on its checkpoints.
            **score(folder, checked_when_passed=folder / "passed", checked_best=folder / "run" / "best"),
            "peak_memory": peak,
            "curve": laps,
        }


# Before the start


def painted(folder: Path) -> Path:
    """A small garden of clear portraits, for smoke runs."""
    from flowers.data.garden import render_garden

    render_garden(folder, per_class=24, size=96, hard=False)
    return folder


def few(dataset: PhotoDataset, folder: Path, per_class: int = 24) -> Path:
    """A photo set of links to the first photos of each class."""
    for label, name in enumerate(dataset.classes):
        (folder / name).mkdir(parents=True)
        for index in [index for index, photo in enumerate(dataset.photos) if photo.label == label][:per_class]:
            (folder / name / dataset.path(index).name).symlink_to(dataset.path(index))
    return folder


def lay_out(dataset: PhotoDataset, folder: Path) -> dict[str, int]:
    """The photos as links under train/CLASS and val/CLASS, by flowers' own split; every byte is read once.

    Returns how many there are in each part.
    """
    split = dataset.split(0, 0.2)
    for part, indices in (("train", split.train), ("val", split.val)):
        for index in indices:
            path = dataset.path(index)
            link = folder / part / dataset.classes[dataset.photos[index].label] / f"{index:05d}-{path.name}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
            path.read_bytes()
    return {"train": len(split.train), "val": len(split.val)}


def surroundings(folder: Path) -> dict[str, str]:
    """The environment of a contestant: empty caches, and nobody asks the network for anything."""
    return {
        **os.environ,
        "FLOWERS_CACHE": str(folder / "cache"),
        "FLOWERS_RUNS": str(folder / "runs"),
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_OFFLINE": "1",
        "YOLO_CONFIG_DIR": str(folder / "yolo"),
        "YOLO_OFFLINE": "1",
    }


# On the way


@contextlib.contextmanager
def running(command: list[str], environment: dict[str, str], output: BinaryIO) -> Iterator[psutil.Popen]:
    """The process and all it starts; none of them outlives the block."""
    process = psutil.Popen(
        command, cwd=PROJECT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def events(file: Path, kind: str) -> list[dict]:
    """The events of that kind in a contestant's file so far: ours and the peers' are of one form."""
    lines = file.read_text().splitlines() if file.exists() else []
    whole = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    return [event for event in whole if event["kind"] == kind]


def new_laps(file: Path, known: int, seconds: float) -> list[list[float]]:
    """[seconds, accuracy] of the epochs told since the last look. The clock is the race's, for everybody."""
    return [[round(seconds, 2), event["val_accuracy"]] for event in events(file, "epoch")[known:]]


def has_passed(laps: list[list[float]], target: float) -> bool:
    """Whether an epoch has reached the target."""
    return any(accuracy >= target for _, accuracy in laps)


def tree_memory(process: psutil.Process) -> int:
    """Bytes held by a process and its children; what several share counts once (PSS), where the system tells."""
    total = 0
    with contextlib.suppress(psutil.Error):
        for member in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                used = member.memory_full_info()
                total += getattr(used, "pss", used.rss)
    return total


def keep(checkpoint: Path, target: Path) -> None:
    """Hold on to a checkpoint that its run will replace: linked, so that it costs the runner nothing."""
    if checkpoint.exists():
        shutil.copytree(checkpoint, target, copy_function=os.link)


# After the finish


def outcome(failed: bool, stopped: bool, done: int, planned: int | None) -> str:
    """How it ended, in words."""
    if failed:
        return f"failed in epoch {done + 1}"
    return f"stopped after epoch {done} of {planned}" if stopped else f"all {done} epochs"


def last_words(folder: Path, characters: int = 2000) -> str:
    """The end of what it wrote: to its terminal, and ours to its run folder."""
    files = [folder / "log.txt", folder / "run" / "process.txt"]
    return "\n".join(file.read_text(errors="replace")[-characters:] for file in files if file.exists())


def median_gap(laps: list[list[float]]) -> float | None:
    """Seconds from one check to the next, so without the start."""
    gaps = [after[0] - before[0] for before, after in itertools.pairwise(laps)]
    return round(statistics.median(gaps), 2) if gaps else None


def score(folder: Path, **checkpoints: Path) -> dict[str, float | None]:
    """The race's own check of checkpoints of ours, off the clock; None for one that is not there."""
    there = {name: str(checkpoint) for name, checkpoint in checkpoints.items() if checkpoint.exists()}
    told = []
    if there:
        command = [sys.executable, "-m", "benchmarks.contestants.score", str(folder), *there.values()]
        told = subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return {**dict.fromkeys(checkpoints), **dict(zip(there, map(float, told), strict=True))}


if __name__ == "__main__":
    sys.exit(main())
