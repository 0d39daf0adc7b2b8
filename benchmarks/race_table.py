"""The table of the race: ``race/README.md``, made of the results that lie there as JSON, with their curves.

python benchmarks/race_table.py            # makes it anew, in a second
"""

import json
import math
import statistics
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from benchmarks.common import table, told  # noqa: E402

ORDER = ("fast", "report", "quick", "tutorial", "timm", "fastai", "huggingface", "ultralytics")
HEAD = ("", "seconds to {target:.2%}", "seconds an epoch", "seconds in all", "best", "last", "peak memory", "n", "ran")


def write_table(out: Path) -> str:
    """Write the file and return its text."""
    runs = {name: [json.loads(file.read_text()) for file in sorted(out.glob(f"{name}-*.json"))] for name in ORDER}
    runs = {name: results for name, results in runs.items() if results}
    inference = json.loads(file.read_text()) if (file := out / "inference.json").exists() else None
    parts = ["# The race"]
    if runs:
        parts += training(runs)
    if inference:
        parts += answering(inference)
    text = "\n\n".join(parts) + "\n"
    (out / "README.md").write_text(text)
    return text


def training(runs: dict[str, list[dict]]) -> list[str]:
    """The section on training: introduction, table, verdicts, circumstances."""
    first = next(iter(runs.values()))[0]
    head = [title.format(**first) for title in HEAD]
    return [
        "## Training",
        f"Fine-tuning a ResNet18 on {first['photos']['train']:,} photos, checked after every epoch on "
        f"{first['photos']['val']} clean ones. Everybody starts from {first['starting_weights']}. Seconds count from "
        "before the interpreter starts. An epoch is the learning and the check after it (those of `fast` are not like "
        "the others': most are on small pictures). Memory is the whole process tree's. Of several runs, times are "
        "medians and accuracies means, with the range. Accuracies of one run within 2 points of each other are alike. "
        "Where the last column says that somebody was stopped, best and last are those of the epochs it did: who has "
        "passed was stopped at the cap, who has not at four times the cap.",
        table(head, [row(results) for results in runs.values()]),
        "\n".join(f"- {sentence}" for sentence in [*checked(runs), *goals(runs)]),
        told(first),
    ]


def row(results: list[dict]) -> list[str]:
    """One contestant's line."""
    return [
        results[0]["title"],
        reached(results),
        number(results, "seconds_an_epoch", "{:.1f}"),
        number(results, "seconds", "{:.0f}"),
        accuracy(results, "best_accuracy"),
        accuracy(results, "last_accuracy"),
        number(results, "peak_memory", "{:.2f} GB", 2**30),
        str(len(results)),
        results[0]["outcome"],
    ]


def values(results: list[dict], key: str) -> list[float]:
    """What is known of a column."""
    return [result[key] for result in results if result[key] is not None]


def reached(results: list[dict]) -> str:
    """Median seconds to the target, and how many runs missed it."""
    known = values(results, "seconds_to_target")
    if not known:
        return "not reached"
    missed = len(results) - len(known)
    return f"{statistics.median(known):.1f}" + (f" ({missed} of {len(results)} never)" if missed else "")


def number(results: list[dict], key: str, form: str, unit: float = 1) -> str:
    """The median, or a dash."""
    known = values(results, key)
    return form.format(statistics.median(known) / unit) if known else "–"


def accuracy(results: list[dict], key: str) -> str:
    """The mean, with the range of several runs."""
    known = values(results, key)
    if not known:
        return "–"
    spread = f" ({min(known):.2%} to {max(known):.2%})" if len(known) > 1 else ""
    return f"{statistics.mean(known):.2%}{spread}"


def checked(runs: dict[str, list[dict]]) -> list[str]:
    """Ours checks itself in its own precision; what the race's own function says of those checkpoints."""
    return [
        f"{results[0]['title']} checks itself, in its own precision. By the race's function its checkpoint has "
        f"{accuracy(results, 'checked_when_passed')} at the epoch it passed, and {accuracy(results, 'checked_best')} "
        "at its best."
        for results in runs.values()
        if values(results, "checked_best")
    ]


def goals(runs: dict[str, list[dict]]) -> list[str]:
    """The goals against the numbers, where both sides have run."""
    never = math.inf  # who does not pass has not passed fast
    times = {
        name: statistics.median(
            never if result["seconds_to_target"] is None else result["seconds_to_target"] for result in results
        )
        for name, results in runs.items()
    }
    peers = [name for name in times if not runs[name][0]["ours"]]
    said = []
    if "fast" in times:
        best = statistics.mean(values(runs["fast"], "checked_best") or [0])
        in_all = max(values(runs["fast"], "seconds"), default=float("inf"))
        said.append(f"Goal, `fast` passes within 30 seconds: {times['fast']:.1f}, {met(times['fast'] <= 30)}.")
        said.append(
            f"Goal, `fast` ends within 3 minutes at 95 % or more: {in_all:.0f} seconds, {best:.2%} on average, "
            f"{met(in_all <= 180 and best >= 0.95)}."
        )
    if "fast" in times and "tutorial" in times:
        tutorial, least = times["tutorial"], ""
        if math.isinf(tutorial):  # what is known is how long it ran without passing
            tutorial, least = max(result["curve"][-1][0] for result in runs["tutorial"]), "at least "
        said.append(goal("`fast` in at most a tenth of the tutorial's time", tutorial / times["fast"], 10, least))
    if "fast" in times and peers:
        quickest = min(peers, key=times.get)
        said.append(goal(f"`fast` before every peer ({quickest} is next)", times[quickest] / times["fast"], 1))
    epochs = {name: statistics.median(values(runs[name], "seconds_an_epoch") or [0]) for name in runs}
    if epochs.get("report") and epochs.get("tutorial"):
        said.append(goal("`report` does an epoch before the tutorial does", epochs["tutorial"] / epochs["report"], 2.5))
    return said


def goal(what: str, ratio: float, wanted: float, least: str = "") -> str:
    """One goal's verdict."""
    wish = "" if ratio >= wanted else f": {wanted:g}× was wanted"
    return f"Goal, {what}: {least}{ratio:.1f}× as fast, {met(ratio >= wanted)}{wish}."


def met(yes: bool) -> str:
    """A verdict."""
    return "met" if yes else "**not met**"


def answering(inference: dict) -> list[str]:
    """The section on inference."""
    rows, ours = inference["contestants"], inference["contestants"][0]
    peers = rows[1:]
    head = ("", "a photo of the set, ms", "a photo of 12 megapixels, ms", "photos/s of a folder")
    lines = [
        [one["title"], *(f"{one[key]:.1f}" for key in ("small_ms", "large_ms")), f"{one['folder_per_second']:.0f}"]
        for one in rows
    ]
    verdicts = [
        goal("a photo of the set before every peer", min(one["small_ms"] for one in peers) / ours["small_ms"], 2),
        goal("a photo of 12 megapixels before every peer", min(one["large_ms"] for one in peers) / ours["large_ms"], 2),
        f"A folder of {inference['folder_photos']:,} photos: "
        f"{ours['folder_per_second'] / max(one['folder_per_second'] for one in peers):.1f}× the best peer's speed.",
        f"The same class as torchvision's on {inference['photos_compared']:,} photos: "
        + "; ".join(f"{one['title']} {one['agreement']:.2%}" for one in rows if one["name"] != "torchvision")
        + ".",
    ]
    return [
        "## Answering",
        f"From a JPEG's bytes to the flower's name, with the same network ({inference['checkpoint']}). Contestants sit "
        "in processes of their own and take turns; medians of "
        f"{inference['small_rounds']} and {inference['large_rounds']} photos, and of {inference['folder_rounds']} "
        "folders.",
        table(head, lines),
        "\n".join(f"- {sentence}" for sentence in verdicts),
        told(inference),
    ]


if __name__ == "__main__":
    print(write_table(PROJECT / "benchmarks" / "race"))
