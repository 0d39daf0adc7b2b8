"""Does memory stay flat? A training that goes on and on, and a classifier that answers thousands of photos.

    race-venv/bin/python benchmarks/memory.py --data flowers5                  # 10 minutes of each
    race-venv/bin/python benchmarks/memory.py --minutes 0.5 --data garden      # a minute in all

Both run in processes of their own while this one looks at their anonymous memory (RssAnon: what they allocated
themselves, without files and libraries) once a second. The first third of the time is warm-up and does not count. Flat
means: the line through the rest rises by less than 5 % of its height in an hour, with two standard errors to spare; in
a short time neither that nor the contrary can be told. Writes memory/results.json and memory/README.md.
"""

import argparse
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from benchmarks.common import circumstances, save, table, told  # noqa: E402
from benchmarks.scaling import resident  # noqa: E402

RISE = 0.05  # of the memory held, in an hour


def main(arguments: list[str] | None = None) -> int:
    """Watch both, write what was seen."""
    options = _parser().parse_args(arguments)
    if options.classify:
        classify_for_ever(options.data)
    with tempfile.TemporaryDirectory(prefix="flowers-memory-") as scratch:
        train = [sys.executable, "-m", "flowers", "train", "--preset", options.preset, "--epochs", "1000", "--quiet"]
        train += ["--run", str(Path(scratch) / "run"), *(["--data", options.data] if options.data else [])]
        classify = [sys.executable, __file__, "--classify", *(["--data", options.data] if options.data else [])]
        rows = [
            {"work": f"training, preset {options.preset}", **watch(train, options.minutes)},
            {"work": "classifying", **watch(classify, options.minutes)},
        ]
    results = {**circumstances(), "minutes": options.minutes, "rows": rows}
    save(options.out / "results.json", results)
    (options.out / "README.md").write_text(text(results))
    print(text(results))
    return 1 if any(row["verdict"] == "grows" for row in rows) else 0


def classify_for_ever(source: str | None) -> None:
    """Answer the photos of a set, round and round, as uploads are answered: from their bytes."""
    from flowers.classifier import Classifier
    from flowers.data.dataset import open_dataset
    from flowers.data.decode import decode_image

    dataset = open_dataset(source)
    classifier = Classifier.load("flowers-resnet18")
    for answered, index in enumerate(itertools.cycle(range(len(dataset))), 1):
        data = dataset.path(index).read_bytes()
        classifier.classify(decode_image(data, min_side=classifier.preprocessing.resize))
        print(answered, flush=True)


def watch(command: list[str], minutes: float) -> dict:
    """Run the command for so long; its anonymous memory, and the verdict on it, ready for JSON."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=PROJECT, stdout=output, stderr=subprocess.DEVNULL, start_new_session=True
        )
        start, samples = time.monotonic(), []
        try:
            while (now := time.monotonic() - start) < 60 * minutes and process.poll() is None:
                with contextlib.suppress(OSError, KeyError):
                    samples.append((round(now, 2), resident(process.pid)[0]))
                time.sleep(1)
            early = process.poll() is not None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if early:
            raise SystemExit(f"It ended after {now:.0f} seconds: {' '.join(command)}")
        output.seek(0)
        lines = output.read().split()
    return {"answered": int(lines[-1]) if "--classify" in command else None, **verdict(samples)}


def verdict(samples: list[tuple[float, int]]) -> dict:
    """Slope of the least-squares line through the last two thirds, in bytes an hour, and what that means.

    ``samples`` are (seconds, bytes), about a second apart.
    """
    seconds, held = np.array(samples[len(samples) // 3 :], dtype=float).T
    (slope, _), covariance = np.polyfit(seconds, held, 1, cov=True)
    # Samples a second apart repeat each other: the honest error counts one in ten as new.
    slope, error, limit = 3600 * slope, 3600 * np.sqrt(10 * covariance[0, 0]), RISE * held.mean()
    return {
        "held": float(held.mean()),
        "slope": float(slope),
        "error": float(error),
        "verdict": "flat"
        if slope + 2 * error < limit
        else "grows"
        if slope - 2 * error > limit
        else "too short to tell",
        "samples": samples[:: max(1, len(samples) // 200)],
    }


def text(results: dict) -> str:
    """Table and circumstances."""
    rows = [
        [
            row["work"] + (f" {row['answered']:,} photos" if row["answered"] else ""),
            f"{row['held'] / 2**20:.0f} MB",
            f"{row['slope'] / 2**20:+.2f} ± {row['error'] / 2**20:.2f} MB",
            row["verdict"],
        ]
        for row in results["rows"]
    ]
    return (
        "# Memory over time\n\n"
        f"{results['minutes']:g} minutes of each, the first third not counted; memory that the process allocated.\n\n"
        + table(["", "held", "grows in an hour by", "verdict"], rows)
        + f"\n\n{told(results)}\n"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Does memory stay flat over hours of training and classifying?")
    parser.add_argument("--data", metavar="SRC", help="as `flowers train --data` (default: its default)")
    parser.add_argument("--preset", default="report", help="what to train (report)")
    parser.add_argument("--minutes", type=float, default=10, help="how long to watch each (10)")
    parser.add_argument("--out", type=Path, default=PROJECT / "benchmarks" / "memory", help="where the results go")
    parser.add_argument("--classify", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
