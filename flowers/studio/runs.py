"""The runs beside each other: a table to sort, and the validation curves of those that are ticked."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from flowers.errors import FlowersError
from flowers.models.backbones import BACKBONES
from flowers.studio import common
from flowers.studio.charts import Line, folded, line_chart, number_table, round_up
from flowers.studio.common import escape
from flowers.studio.language import say, sentence
from flowers.studio.words import share_of
from flowers.training.run import Run, Status
from flowers.training.story import read_story, tell

OVERLAID = 6  # at most: more curves cannot be told apart
LETTERS = "ABCDEF"
# The columns of the table, and which end people want to see first.
COLUMNS = {
    "title": False, "preset": False, "network": False, "photos": True, "epochs": True, "accuracy": True,
    "loss": False, "minutes": False, "note": False,
}  # fmt: skip
NEWEST = ""  # no column: as they come
# What the table tells of a damaged run, besides its name and what is wrong.
UNKNOWN = dict.fromkeys(("preset", "network", "photos", "epochs", "accuracy", "judged", "loss", "minutes"))


@dataclass(frozen=True)
class Row:
    """What the table tells of a run; None where there is nothing to tell yet."""

    name: str
    title: str
    preset: str | None
    network: str | None
    photos: int | None
    epochs: int | None  # done
    accuracy: float | None  # 0..1, the best
    judged: int | None  # photos that it is of
    loss: float | None  # the lowest, on the photos held back
    minutes: float | None
    note: str


def rows(runs: Sequence[Run], order: str) -> list[Row]:
    """The table's rows; ``order`` is a column, or a column after a minus sign for its other direction."""
    found = [row for run in runs if (row := _row(run))]
    column, backwards = order.lstrip("-"), order.startswith("-")
    if column not in COLUMNS:
        return found
    known = [row for row in found if getattr(row, column) not in (None, "")]
    others = [row for row in found if getattr(row, column) in (None, "")]  # at the end in any order

    def key(row: Row) -> object:
        value = getattr(row, column)
        return value.casefold() if isinstance(value, str) else value

    return [*sorted(known, key=key, reverse=COLUMNS[column] != backwards), *others]


def next_order(order: str, column: str) -> str:
    """The order after a click on the head of a column: the other direction where it is sorted by that already."""
    return f"-{column}" if order == column else column


def table(runs: Sequence[Run], order: str, overlaid: Sequence[str]) -> str:
    """The table with a box at each run, and above it the curves of those that are ticked."""
    shown = rows(runs, order)
    if not shown:
        return common.note(say("train.no_runs"))
    letters = dict(zip([name for name in overlaid if name in {row.name for row in shown}], LETTERS, strict=False))
    head = "".join(_head(column, order) for column in COLUMNS)
    body = "".join(_line(row, letters.get(row.name)) for row in shown)
    return (
        f'{_overlay(letters)}<div class="scroll" tabindex="0" role="region" aria-label="{say("train.compare")}">'
        f'<table class="plain runs"><thead><tr><th scope="col">{say("train.overlay")}</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _head(column: str, order: str) -> str:
    name = say(f"train.column_{column}")
    if column != order.lstrip("-"):
        return f'<th scope="col"><button type="button" data-sort="{column}">{name}</button></th>'
    down = COLUMNS[column] != order.startswith("-")
    return (
        f'<th scope="col" aria-sort="{"descending" if down else "ascending"}">'
        f'<button type="button" data-sort="{column}">{name} {"▾" if down else "▴"}</button></th>'
    )


def _line(row: Row, letter: str | None) -> str:
    box = (
        f'<label><input type="checkbox" value="{escape(row.name)}"{" checked" if letter else ""} '
        f'aria-label="{say("train.overlay_run", run=escape(row.title))}">'
        f'<span class="run-{(letter or "none").lower()}">{letter or ""}</span></label>'
    )
    cells = [
        escape(row.preset or "–"),
        escape(row.network or "–"),
        "–" if row.photos is None else f"{row.photos:,}",
        "–" if row.epochs is None else f"{row.epochs}",
        "–" if row.accuracy is None else share_of(row.accuracy, row.judged),
        "–" if row.loss is None else f"{row.loss:.3f}",
        "–" if row.minutes is None else f"{row.minutes:.1f}",
        escape(row.note),
    ]
    return (
        f'<tr><td>{box}</td><th scope="row">{escape(row.title)}</th>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def _overlay(letters: dict[str, str]) -> str:
    if not letters:
        return f'<p class="hint">{say("train.overlay_hint")}</p>'
    found = {name: run for name in letters if (run := common.find_run(name))}
    stories = {name: read_story(run) for name, run in found.items()}
    epochs = max((story.epochs for story in stories.values()), default=1) or 1

    def lines(what: str) -> list[Line]:
        return [
            Line(
                f"{letters[name]} {found[name].title}",
                f"run-{letters[name].lower()}",
                [(point.x, point.y) for point in getattr(story, what) if point.series == "validation"],
            )
            for name, story in stories.items()
        ]

    losses, accuracies = lines("loss"), lines("accuracy")
    held_back = [story.held_back for story in stories.values()]
    highest = max((y for line in losses for _, y in line.points), default=0.0)
    return (
        '<div class="charts">'
        + line_chart(say("train.overlaid_loss"), losses, (0, epochs), (0, round_up(highest)))
        + line_chart(say("train.overlaid_accuracy"), accuracies, (0, epochs), (0, 1), percent=True)
        + "</div>"
        + folded(say("train.overlaid_numbers"), _numbers(losses, accuracies, held_back))
    )


def _numbers(losses: Sequence[Line], accuracies: Sequence[Line], held_back: Sequence[int]) -> str:
    """The overlaid curves as a table: a row an epoch, of each run its loss and its accuracy on so many photos."""
    columns = []
    for loss, accuracy, photos in zip(losses, accuracies, held_back, strict=True):
        columns.append((f"{loss.name}: {say('train.loss')}", {x: f"{y:.4f}" for x, y in loss.points}))
        shares = {x: share_of(y, photos) for x, y in accuracy.points}
        columns.append((f"{accuracy.name}: {say('train.accuracy')}", shares))
    epochs = sorted({x for _, column in columns for x in column})
    rows = [(f"{x:g}", *(column.get(x, "–") for _, column in columns)) for x in epochs]
    return number_table(say("train.overlaid_numbers"), [say("train.epoch"), *(name for name, _ in columns)], rows)


def version(run: Run, now: Status | None) -> str:
    """Changes whenever the run's row does: by its epochs, or its name and note. ``now`` is its status, where known."""
    try:
        about = (run.folder / "about.json").stat().st_mtime_ns
    except OSError:
        about = 0
    return f"{run.name} {about} {len(read_story(run).past) if now and now.active else _size(run)}"


def _size(run: Run) -> int:
    try:
        return (run.folder / "events.jsonl").stat().st_size
    except OSError:
        return 0


def _row(run: Run) -> Row | None:
    try:
        facts, note = _facts(run, _size(run)), run.note
    except (FlowersError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        if not (run.folder / "recipe.json").exists():  # deleted this instant
            return None
        wrong = error if isinstance(error, FlowersError) else run.damaged("events.jsonl")
        facts, note = UNKNOWN, sentence(str(wrong))
    return Row(run.name, run.title, note=note, **facts)


@functools.lru_cache(maxsize=500)
def _facts(run: Run, _size: int) -> dict:
    recipe = run.recipe
    story = tell(run.events())
    losses = [point.y for point in story.loss if point.series == "validation"]
    return {
        "preset": run.preset,
        "network": BACKBONES[recipe.backbone].title if recipe.backbone in BACKBONES else recipe.backbone,
        "photos": story.photos or None,
        "epochs": story.epoch if story.epochs else None,
        "accuracy": story.best_val_accuracy,
        "judged": story.judged or None,
        "loss": min(losses) if losses else None,
        "minutes": story.seconds / 60 if story.epochs else None,
    }
