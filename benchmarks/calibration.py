"""How honest are the bundled checkpoints' confidences, on photos that fitted none of what they are measured with?

    python benchmarks/calibration.py                                     # three to four minutes on two cores

The report's photos held back, each judged by a temperature that others of them fitted; the everyday photos, which
fitted none; and both together, since on few photos chance alone makes an expected calibration error. What
that chance makes of perfectly honest confidences stands beside it. Writes calibration.json and calibration.md.
"""

import sys
from pathlib import Path

import numpy as np

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from benchmarks.accuracy import EVERYDAY  # noqa: E402
from benchmarks.common import circumstances, save, table, told  # noqa: E402
from flowers.classifier import Classifier  # noqa: E402
from flowers.data.dataset import open_dataset  # noqa: E402
from flowers.evaluation.calibration import honest_errors  # noqa: E402
from flowers.evaluation.evaluate import evaluate  # noqa: E402
from flowers.evaluation.metrics import expected_calibration_error  # noqa: E402

CHECKPOINTS = {
    "flowers-lite0": "flowers5-wide",
    "flowers-resnet18": "flowers5-wide",
    "flowers-resnet18-report": "flowers5",
}
DRAWS = 1000
OUT = PROJECT / "benchmarks" / "calibration.json"


def main() -> int:
    """Measure all, write the table."""
    rows = [row for checkpoint, photos in CHECKPOINTS.items() for row in measure(checkpoint, photos)]
    results = {**circumstances(), "rows": rows}
    save(OUT, results)
    OUT.with_suffix(".md").write_text(text(results))
    print(text(results))
    return 0


def measure(checkpoint: str, photos: str) -> list[dict]:
    """The rows of one checkpoint: its photos held back, the everyday ones, both."""
    classifier = Classifier.load(checkpoint, "eager")
    parts = {
        "held back": evaluate(classifier, open_dataset(photos), "val"),
        "every day": evaluate(classifier, open_dataset(EVERYDAY), "all"),
    }
    sure = {name: part.probabilities.max(1) for name, part in parts.items()}
    right = {name: np.array([not outcome.wrong for outcome in part.outcomes]) for name, part in parts.items()}
    sure["both"], right["both"] = (np.concatenate(list(values.values())) for values in (sure, right))
    return [{"checkpoint": checkpoint, "on": name, **honesty(sure[name], right[name])} for name in sure]


def honesty(sure: np.ndarray, right: np.ndarray) -> dict:
    """The error of confidences (N,), 0..1, that were right or not, bool (N,), beside that of honest ones: what they
    show on average, and how often as much as these.
    """
    error = expected_calibration_error(sure, right)
    honest = honest_errors(sure, DRAWS)
    return {
        "photos": len(sure),
        "error": error,
        "honest": float(honest.mean()),
        "as_far": float((honest >= error).mean()),
        "confidence": float(sure.mean()),
        "accuracy": float(right.mean()),
    }


def text(results: dict) -> str:
    """All results as a Markdown page."""
    rows = [
        [f"`{row['checkpoint']}`, {row['on']}", row["photos"], *(f"{100 * row[name]:.2f}" for name in SHOWN)]
        for row in results["rows"]
    ]
    head = [
        "checkpoint, photos",
        "n",
        "accuracy",
        "mean confidence",
        "calibration error",
        "of honest ones",
        "as far off",
    ]
    return f"""# How honest the confidences are

Per cent, in float32. The expected calibration error has 15 bins of equal width; *of honest ones*: what it is on average
where each answer is right exactly as often as it says; *as far off*: how many of {DRAWS:,} such draws show as large an
error or a larger one. No photo is judged by a temperature that it helped to fit.

{table(head, rows)}

{told(results)}
"""


SHOWN = ("accuracy", "confidence", "error", "honest", "as_far")


if __name__ == "__main__":
    sys.exit(main())
