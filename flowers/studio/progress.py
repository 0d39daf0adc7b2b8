"""How a run is doing, as HTML: where it is, its curves, what it says of a few photos, what it takes for what."""

import functools
import json
from collections.abc import Sequence
from pathlib import Path

from flowers.data.sources import KNOWN, default_source, local, resolve
from flowers.errors import FlowersError
from flowers.evaluation.metrics import accuracy_interval
from flowers.recipe import KNOBS
from flowers.studio.charts import Line, Mark, line_chart, number_table, round_up
from flowers.studio.common import escape, note
from flowers.studio.language import say, sentence
from flowers.studio.presets import in_words
from flowers.studio.thumbnails import thumbnail
from flowers.studio.words import share_of
from flowers.training.learning_curve import half, verdict
from flowers.training.log import duration
from flowers.training.run import Run, Status
from flowers.training.story import Look, Point, Story, read_story

THUMB = 112  # pixels a side
REPLAYED = 60  # epochs at most that the slider knows, the first and the last among them
MATRIX_CLASSES = 12  # with more of them a matrix is no longer legible: the commonest confusions are listed
LISTED_CONFUSIONS = 12
CURVES = {"loss": ("batches", "training", "validation"), "accuracy": ("training", "validation")}


# The status card


def status_card(run: Run, now: Status, story: Story) -> str:
    """Where a run is: a headline, a bar, the numbers people ask for."""
    headline, detail = _headline(now, story)
    percent = percent_done(story)
    stats = "".join(
        f'<div><div class="what">{what}</div><div class="value">{value}</div></div>' for what, value in _stats(story)
    )
    kind = "card problem" if now.state == "failed" else "card"
    about = "".join(f"<p>{escape(text)}</p>" for text in (*map(sentence, story.notes), run.note) if text)
    return (
        f'<section class="{kind}"><h2>{headline}</h2><p class="sub">{escape(detail)}</p>'
        f'<div class="progress" role="progressbar" aria-label="{say("train.progress")}" aria-valuenow="{percent}" '
        f'aria-valuemin="0" aria-valuemax="100"><span style="width:{percent}%"></span></div>'
        f'<div class="stats">{stats}</div><div class="facts"><p>{say("train.run_is", run=escape(run.title))} '
        f"{escape(sentence(story.machine))}</p>{about}</div></section>"
    )


def percent_done(story: Story) -> int:
    """The part of a run that is done, 0..100."""
    return round(100 * (1 if story.finished else story.progress))


def page_title(now: Status, story: Story) -> str:
    """What the browser's tab says while a run is at work; empty for the usual."""
    if now.state == "queued" and now.place > 1:
        return say("train.title_in_line", place=now.place)
    return say("train.title", percent=percent_done(story)) if now.active else ""


def sign(now: Status) -> tuple:
    """Changes when what a status says on the page does."""
    return now.state, now.message, now.place, _wait(now)


def in_line(place: int) -> str:
    """``Second in line``: one run is to end before."""
    return say(f"train.place_{place}") if place in (2, 3, 4) else say("train.place_more", place=place)


def _headline(now: Status, story: Story) -> tuple[str, str]:
    message = sentence(now.message)
    reached = say("train.epoch_of", epoch=min(story.epoch + 1, story.epochs), epochs=story.epochs)
    match now.state:
        case "queued" if now.place > 1:
            return in_line(now.place), f"{_wait(now)} {say('train.waits')}".strip()
        case "queued":
            return say("train.starting"), say("train.waking")
        case "done" if not story.epochs:
            return say("train.brought"), message
        case "done":
            return say("train.trained"), f"{_ending(story)} {message}".strip()
        case "failed":
            return say("error.title"), message
        case "stopped":
            return say("train.stopped"), say("train.resumable", reached=reached) if story.epochs else ""
        case "interrupted":
            return say("train.interrupted"), f"{reached}. {message}" if story.epochs else message
    if now.place > 1 and now.state == "running":
        return say("train.makes_way"), f"{message} {_wait(now)}".strip()
    if story.finished and now.state == "running":
        return say("train.nearly"), message
    if not story.epochs or (now.message and now.state == "running"):  # it says what keeps it from training
        return say("train.ready"), message or say("train.reading")
    if now.state == "stopping":
        return say("train.stopping"), say("train.last_batch", reached=reached)
    return reached, _pace(story)


def _wait(now: Status) -> str:
    """About how long until a run's turn comes; empty where that is not known, or is now."""
    return say("train.wait", time=in_words(now.seconds)) if now.place > 1 and now.seconds else ""


def _ending(story: Story) -> str:
    took = duration(story.seconds)
    if story.all_by_folds:
        return say("train.ended_by_folds", photos=f"{story.photos:,}", took=took)
    if story.epoch >= story.epochs or story.best_epoch is None:
        return say("train.ended", epochs=story.epochs, took=took)
    idle = story.epoch - 1 - story.best_epoch
    return say("train.ended_early", epoch=story.epoch, epochs=story.epochs, idle=idle, took=took)


def _pace(story: Story) -> str:
    if story.epoch == story.epochs:
        return say("train.writing")
    if story.probing:
        work = say("train.fitting", done=story.probing[0], total=story.probing[1])
    elif story.validating:
        work = say("train.checking", done=story.validating[0], total=story.validating[1])
    else:
        work = say("train.batch", done=story.step, total=story.steps)
    return work if story.seconds_left is None else f"{work} · {_outlook(story.seconds, story.seconds_left)}"


def _outlook(seconds: float, left: float) -> str:
    """``about 2 minutes left of 3 minutes``, after ``seconds`` of training."""
    return say("train.left", rest=in_words(left), whole=in_words(seconds + left))


def _stats(story: Story) -> list[tuple[str, str]]:
    validated = [point.y for point in story.accuracy if point.series == "validation"]
    steps = [
        (say("train.last"), share_of(validated[-1], story.held_back) if validated else "–"),
        (say("train.rate"), f"{story.learning_rate:.3g}" if story.learning_rate else "–"),
    ]
    return [
        (_best_of(story), _best(story)),
        *([] if story.all_by_folds else steps),
        (say("train.so_far"), duration(story.seconds)),
        (say("train.predicted"), "–" if story.predicted_seconds is None else duration(story.predicted_seconds)),
    ]


def _best_of(story: Story) -> str:
    if story.best_epoch is None:
        return say("train.best")
    if story.best_by_folds:
        return say("train.best_by_folds", folds=story.folds)
    return say("train.best_in", epoch=story.best_epoch + 1)


def _best(story: Story) -> str:
    """The best accuracy, and between which it lies for photos to come, as far as that can be told from so many."""
    if story.best_val_accuracy is None:
        return "–"
    low, high = accuracy_interval(story.best_val_accuracy * story.judged, story.judged)
    between = say("train.between", low=f"{100 * low:.0f}", high=f"{100 * high:.0f}")
    return f'{share_of(story.best_val_accuracy, story.judged)}<small class="hint">{between}</small>'


# The curves


def curves(run: Run | None, story: Story) -> str:
    """Loss and accuracy by epoch; of a run that prolongs others, theirs before it."""
    chapters = _chapters(run, story) if run else [story]
    epochs = (sum(part.epoch for part in chapters[:-1]) + story.epochs) or KNOBS["epochs"].default
    marks, start = [], 0
    for part in chapters[:-1]:
        start += part.epoch
        marks.append(Mark(start, say("train.continued")))
    learned = learning(story)
    if learned and story.all_by_folds:
        return f'<div class="card charts" id="train-curves">{learned}</div>'
    lines = {what: [_line(chapters, what, kind) for kind in kinds] for what, kinds in CURVES.items()}
    highest = max((y for line in lines["loss"] for _, y in line.points), default=0.0)
    return (
        '<div class="card charts" id="train-curves">'
        + line_chart(
            say("train.loss"), lines["loss"], (0, epochs), (0, round_up(highest) if highest else 2.0), marks=marks
        )
        + line_chart(say("train.accuracy"), lines["accuracy"], (0, epochs), (0, 1), percent=True, marks=marks)
        + f'<p class="hint">{say("train.curves_hint")}</p>{learned}</div>'
    )


def learning(story: Story) -> str:
    """How accuracy rose with the number of photos, and whether more of them would help; empty where nobody knows."""
    if len(story.curve) < 2:
        return ""
    line = Line(say("train.curve_validation"), "validation", [(float(x), y) for x, y in story.curve])
    (few, before), (many, after) = half(story.curve), story.curve[-1]
    words = {"few": f"{few:,}", "many": f"{many:,}"}
    words |= {"before": share_of(before, story.judged_by_folds), "after": share_of(after, story.judged_by_folds)}
    said = say(f"train.learning_{verdict(story.curve, story.judged_by_folds)}", **words)
    chart = line_chart(say("train.learning"), [line], (0, many), (0, 1), percent=True)
    return f'<div class="learning">{chart}<p><b>{said}</b></p><p class="hint">{say("train.learning_hint")}</p></div>'


def _chapters(run: Run, story: Story) -> list[Story]:
    """The stories of the runs that this one goes on from, the first of them first, and its own."""
    chapters, seen = [story], {run.name}
    while True:
        try:
            name = run.continues
        except FlowersError:  # a damaged run
            return chapters
        run = Run(run.folder.parent / name) if name else run
        if not name or run.name in seen or not (run.folder / "recipe.json").exists():  # deleted meanwhile
            return chapters
        seen.add(run.name)
        chapters.insert(0, read_story(run))


def _line(chapters: Sequence[Story], what: str, kind: str) -> Line:
    points: list[tuple[float, float]] = []
    start = 0
    for part in chapters:
        own: list[Point] = getattr(part, what)
        points += [(start + point.x, point.y) for point in own if point.series == kind]
        start += part.epoch
    return Line(say(f"train.curve_{kind}"), kind, points)


def numbers(run: Run | None, story: Story) -> str:
    """The curves' numbers as a table, a row an epoch."""
    chapters = _chapters(run, story) if run else [story]
    lines = [_line(chapters, what, kind) for what in CURVES for kind in ("training", "validation")]
    if not any(line.points for line in lines):
        return f'<p class="hint">{say("train.no_numbers")}</p>'
    learned_from = story.photos - story.held_back
    rows = [
        (
            f"{epoch:g}",
            f"{loss:.4f}",
            f"{held_loss:.4f}",
            share_of(right, learned_from),
            share_of(held, story.held_back),
        )
        for (epoch, loss), (_, held_loss), (_, right), (_, held) in zip(*(line.points for line in lines), strict=True)
    ]
    learned = [(f"{photos:,}", share_of(accuracy, story.judged_by_folds)) for photos, accuracy in story.curve]
    heads = ("train.epoch", "train.training_loss", "train.validation_loss", "train.training_accuracy",
             "train.validation_accuracy")  # fmt: skip
    table = number_table(say("train.numbers"), [say(name) for name in heads], rows)
    if learned:
        table += number_table(say("train.learning"), [say("train.learned_from"), say("train.accuracy")], learned)
    return table


# A few photos, and what it takes for what


def look(run: Run, story: Story) -> str:
    """The same few photos held back, as the network answers them after each epoch, and its confusion matrix."""
    past = [look for look in story.past if look.samples]
    if not past:
        return note(say("train.no_look"))
    past = _thinned(past)
    told = {
        "classes": story.classes,
        "truth": [sample["label"] for sample in past[-1].samples],
        "looks": [
            {
                "epoch": look.epoch + 1,
                "accuracy": _right(look),
                "answers": [[sample["predicted"], round(100 * sample["confidence"])] for sample in look.samples],
                "confusion": look.confusion if len(story.classes) <= MATRIX_CLASSES else [],
            }
            for look in past
        ],
    }
    last = past[-1]
    return (
        f'<section class="card look" data-past="{escape(json.dumps(told, separators=(",", ":")))}">'
        f"<h3>{say('train.look')}</h3>"
        f'<p class="hint">{say("train.look_by_folds" if story.all_by_folds else "train.look_hint")}</p>'
        f'<div class="samples">{"".join(_sample(run, sample, story.classes) for sample in last.samples)}</div>'
        f"{_replaying(past)}{_confusion(last.confusion, story.classes, story.all_by_folds)}</section>"
    )


def _replaying(past: list[Look]) -> str:
    """What takes the card back through the epochs; hidden where there was but one."""
    return (
        f'<div class="replaying"{" hidden" * (len(past) == 1)}><button type="button" class="replay">'
        f"{say('train.replay')}</button>"
        f'<input type="range" min="1" max="{len(past)}" value="{len(past)}" aria-label="{say("train.epoch")}">'
        f'<output>{say("train.epoch")} <b class="at">{past[-1].epoch + 1}</b> · <span class="accuracy">'
        f"{_right(past[-1])}</span></output></div>"
    )


def _right(look: Look) -> str:
    return share_of(look.accuracy, sum(map(sum, look.confusion)))


def _thinned(past: list[Look]) -> list[Look]:
    if len(past) <= REPLAYED:
        return past
    return [past[round(number * (len(past) - 1) / (REPLAYED - 1))] for number in range(REPLAYED)]


def _sample(run: Run, sample: dict, classes: Sequence[str]) -> str:
    right = sample["predicted"] == sample["label"]
    sure = round(100 * sample["confidence"])
    truth = escape(classes[sample["label"]])
    picture = _thumb(run, sample["photo"])
    shown = f'<img src="{picture}" alt="{truth}" width="{THUMB}" height="{THUMB}">' if picture else "<i></i>"
    return (
        f'<figure class="{"right" if right else "wrong"}">{shown}<figcaption>'
        f'<b><span class="sign-right">✓<span class="unseen"> {say("train.right")}: </span></span>'
        f'<span class="sign-wrong">✗<span class="unseen"> {say("train.wrong")}: </span></span> '
        f'<span class="answer">{escape(classes[sample["predicted"]])}</span></b>'
        f'<span class="truth">{say("train.it_is", truth=truth)}</span>'
        f'<span class="meter" aria-hidden="true"><span style="width:{sure}%"></span></span>'
        f'<span class="sure">{sure} %</span></figcaption></figure>'
    )


def _thumb(run: Run, photo: str) -> str:
    """The ``src`` of a small square picture; empty where the photo is no longer here."""
    try:
        return thumbnail(_root(run.source) / photo)
    except FlowersError:
        return ""


def _root(source: str | None) -> Path:
    """The folder that a run's photos lie in. Raises FlowersError where it would have to be fetched first."""
    source = source or default_source()
    if source in KNOWN and not local(source):
        raise FlowersError(f"The photos of {source} are not here.")
    return _resolved(source)


@functools.lru_cache(maxsize=64)
def _resolved(source: str | None) -> Path:
    return resolve(source)


def _confusion(confusion: list[list[int]], classes: Sequence[str], by_folds: bool) -> str:
    if not confusion:  # of a run of before it was told
        return ""
    title = f"<h3>{say('train.confusion')}</h3>"
    if len(classes) > MATRIX_CLASSES:
        return title + _common_confusions(confusion, classes)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in classes)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{_cells(row, label)}</tr>'
        for label, (name, row) in enumerate(zip(classes, confusion, strict=True))
    )
    return (
        f'{title}<div class="scroll" tabindex="0" role="region" aria-label="{say("train.confusion")}">'
        f'<table class="confusion"><thead><tr><th scope="col">{say("train.confusion_corner")}</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        f'<p class="hint">{say("train.confusion_by_folds" if by_folds else "train.confusion_hint")}</p>'
    )


def _cells(row: list[int], label: int) -> str:
    photos = sum(row) or 1
    return "".join(
        f'<td class="{"right" if answer == label else "wrong"}" style="--share: {round(100 * count / photos)}%">'
        f"{count or '·'}</td>"
        for answer, count in enumerate(row)
    )


def _common_confusions(confusion: list[list[int]], classes: Sequence[str]) -> str:
    pairs = [
        (count, classes[label], classes[answer])
        for label, row in enumerate(confusion)
        for answer, count in enumerate(row)
        if count and answer != label
    ]
    pairs = sorted(pairs, key=lambda pair: -pair[0])[:LISTED_CONFUSIONS]
    items = "".join(
        f"<li>{say('train.taken_for', truth=escape(truth), answer=escape(answer), count=count)}</li>"
        for count, truth, answer in pairs
    )
    return f"<ul>{items}</ul>" if items else f'<p class="hint">{say("train.no_confusions")}</p>'
