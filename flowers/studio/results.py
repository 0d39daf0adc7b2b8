"""What an evaluation found, as HTML: the cards of the Evaluate tab, in the page's own colours.

Whatever opens photos is a button that carries a look: which photos, as an object for ``evaluate.py`` to read.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
from PIL import Image

from flowers.cores import available_threads
from flowers.data.decode import decode_image
from flowers.data.sources import KNOWN, local
from flowers.errors import DecodeError
from flowers.evaluation.compare import Comparison
from flowers.evaluation.evaluate import Evaluation, Outcome
from flowers.evaluation.figures import (
    STRONGEST,
    figure_svg,
    rejection_figure,
    rejection_scale,
    rejection_summary,
    reliability_figure,
    reliability_summary,
)
from flowers.reason import Reason, overlay
from flowers.studio import common
from flowers.studio.charts import folded, plain_table, scrolling
from flowers.studio.language import say, sentence
from flowers.studio.words import COUNTED_OUT, share_of

SIDE = 320  # pixels at most of a photo among others
MANY = 8  # classes: from here on the matrix takes the page's whole width
LEVELS = (*(percent / 100 for percent in range(100)), 0.995, 0.999)  # of confidence, where the slider may stand
TOLD = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)  # of these, the ones in the table
TOLD_OF = ("sure", "answered", "right")  # what is told at a level
CHANCE = 0.05  # a p-value below it is no chance any more, as is the custom


def results_html(result: Evaluation, comparison: Comparison | None = None) -> str:
    """Headline, table and confusion matrix, and how another checkpoint compares."""
    many = " many" if len(result.classes) > MANY else ""
    compared = comparison_html(comparison) if comparison else ""
    return f'<div class="evaluation{many}">{_headline(result)}{_table(result)}{matrix_html(result)}{compared}</div>'


def curves_html(result: Evaluation) -> str:
    """What its confidence is worth: the slider that trades answers for accuracy, and the reliability diagram."""
    return f'<div class="evaluation">{rejection_html(result)}{reliability_html(result)}</div>'


# The parts


def _headline(result: Evaluation) -> str:
    count, wrong = len(result.outcomes), sum(item.wrong for item in result.outcomes)
    present = [row.f1 for row in result.per_class if row.photos]
    stats = {
        "photos": f"{count:,}",
        "mistakes": f"{wrong:,}",
        "f1": f"{np.mean(present):.2f}",
        "calibration": share_of(result.calibration_error, None),
    }
    if count < COUNTED_OUT:  # so few tell nothing of it
        del stats["calibration"]
    items = "".join(
        f'<div><dt>{say(f"evaluate.stats.{name}")}</dt><dd class="value">{value}</dd></div>'
        for name, value in stats.items()
    )
    happy = "" if wrong else f"<p>{say('evaluate.no_mistakes')}</p>"
    low, high = (f"{100 * end:.0f}" for end in result.interval)
    said = say("evaluate.accuracy_of_few" if count < COUNTED_OUT else "evaluate.accuracy", low=low, high=high)
    return (
        f'<section class="card headline" aria-live="polite"><div><h2>{share_of(result.accuracy, count)}</h2>'
        f'<p class="sub">{said}</p></div>'
        f'<dl class="stats">{items}</dl>{happy}<p class="facts">{_facts(result)}</p></section>'
    )


def _facts(result: Evaluation) -> str:
    """What was measured, and how much it says about photos to come."""
    names = {"name": _called(result), "source": common.escape(_source(result))}
    part = "folds" if result.by_folds else result.split
    said = [say(f"evaluate.measured.{part}", **names), _worth(result)]
    if count := len(result.unreadable):
        said.append(say("evaluate.unreadable_one") if count == 1 else say("evaluate.unreadable", count=count))
    return " ".join(said)


def _called(result: Evaluation) -> str:
    """What people call its checkpoint, as HTML."""
    return common.escape(common.title_of(result.checkpoint))


def _source(result: Evaluation) -> str:
    return say("photos.mine") if result.source == common.MY_PHOTOS else result.source


def _worth(result: Evaluation) -> str:
    """What ``Evaluation.worth`` says, in the visitor's language."""
    if result.by_folds:
        return say("evaluate.worth.by_folds")
    if result.held_back:
        return say("evaluate.worth.held_back")
    if not result.same_set:
        return say("evaluate.worth.another")
    return say("evaluate.worth.these" if result.split == "train" else "evaluate.worth.most")


def _table(result: Evaluation) -> str:
    answered = result.confusion.sum(0)
    rows = []
    for row, called in zip(result.per_class, answered, strict=True):
        precision = share_of(row.precision, int(called)) if called else "–"
        recall = share_of(row.recall, row.photos) if row.photos else "–"
        f1 = f"{row.f1:.2f}" if called or row.photos else "–"
        rows.append((common.escape(row.name), f"{row.photos:,}", precision, recall, f1))
    heads = [say(f"evaluate.table.{name}") for name in ("class", "photos", "precision", "recall", "f1")]
    return (
        f'<section class="card by-class"><h3 id="by-class">{say("evaluate.table.title")}</h3>'
        '<div class="scroll" tabindex="0" role="region" aria-labelledby="by-class">'
        f'{plain_table(heads, rows, "by-class")}</div><p class="hint">{say("evaluate.table.hint")}</p></section>'
    )


def matrix_html(result: Evaluation) -> str:
    """The confusion matrix as a table: a button with the number in every cell that has photos.

    One of the buttons is in the page's tab order; from there arrow keys lead to the others (results.js).
    """
    confusion, names = result.confusion, [common.escape(name) for name in result.classes]
    few = len(names) <= MANY
    head = "".join(f'<th scope="col"><span>{name}</span></th>' for name in names)
    first = iter(("0",))
    rows = []
    for truth, row in enumerate(confusion.tolist()):
        cells = []
        for answer, count in enumerate(row):
            if not count:
                cells.append("<td>0</td>" if few else "<td></td>")
                continue
            kind = "right" if truth == answer else "wrong"
            depth = f"{100 * STRONGEST * (count / sum(row)) ** 0.5:.0f}%"
            label = say(f"evaluate.matrix.{kind}", truth=names[truth], answer=names[answer], count=count)
            look = {"kind": "cell", "truth": truth, "answer": answer}
            cells.append(
                f'<td class="{kind}" style="--depth:{depth}"><button type="button" {_look(look)} aria-label="{label}"'
                f' tabindex="{next(first, "-1")}">{count}</button></td>'
            )
        rows.append(f'<tr><th scope="row"><span>{names[truth]}</span></th>{"".join(cells)}</tr>')
    return (
        f'<section class="card figure"><h3 id="taken-for">{say("evaluate.matrix.title")}</h3>'
        f'<p class="hint" id="taken-for-how">{say("evaluate.matrix.how")}</p>'
        '<div class="scroll"><table class="matrix" aria-labelledby="taken-for" aria-describedby="taken-for-how">'
        f'<thead><tr><td class="corner"></td>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        f'<p class="hint">{say("evaluate.matrix.hint")}</p></section>'
    )


def rejection_html(result: Evaluation) -> str:
    """The slider "answer only when at least so sure", with its curve and its table. It works in the browser alone."""
    curve, total = result.rejection, len(result.outcomes)

    def counts(level: float) -> tuple[int, int]:
        answered, accuracy = curve.when(level)
        return round(answered * total), round(answered * accuracy * total)

    across, up, _ = rejection_scale(curve)
    every = float(curve.accuracy[-1])
    data = {
        "total": total,
        "levels": LEVELS,
        "counts": [counts(level) for level in LEVELS],
        "scale": [across, up],
        "of": say("page.of", part="{part}", count="{count}"),
    }
    spoken = say("evaluate.reject.spoken", sure="{sure}", answered="{answered}", right="{right}")
    heads = [say(f"evaluate.reject.{name}") for name in TOLD_OF]
    rows = [
        (f"{level:.0%}", share_of(answered / total, total), share_of(right / answered, answered) if answered else "–")
        for level in TOLD
        for answered, right in (counts(level),)
    ]
    stats = "".join(
        f'<div><dt>{head}</dt><dd class="value" data-told="{name}">{value}</dd></div>'
        for name, head, value in zip(
            ("sure", "answered", "right"), heads, ("0%", share_of(1, total), share_of(every, total)), strict=True
        )
    )
    return (
        f'<section class="card reject" data-curve="{common.escape(json.dumps(data))}">'
        f"<h3>{say('evaluate.reject.title')}</h3>"
        f"{figure_svg(rejection_figure(curve), rejection_summary(curve), sentence)}"
        f'<div><label for="reject-level">{say("evaluate.reject.label")}</label>'
        f'<input type="range" id="reject-level" min="0" max="{len(LEVELS) - 1}" value="0" step="1"'
        f' data-spoken="{common.escape(spoken)}"><dl class="stats">{stats}</dl>'
        f'<p class="hint">{say("evaluate.reject.hint")}</p>{_as_table(heads, rows)}</div></section>'
    )


def reliability_html(result: Evaluation) -> str:
    """The reliability diagram, what it says, and its numbers."""
    bins, error = result.reliability, result.calibration_error
    svg = figure_svg(reliability_figure(bins), reliability_summary(bins, error), sentence)
    heads = [say(f"evaluate.reliable.{name}") for name in ("bin", "photos", "sure", "right")]
    rows = [
        (
            f"{row.low:.0%} – {row.high:.0%}",
            f"{row.photos:,}",
            share_of(row.confidence, None),
            share_of(row.accuracy, row.photos),
        )
        for row in bins
        if row.photos
    ]
    right = share_of(result.accuracy, len(result.outcomes))
    said = say("evaluate.reliable.said", sure=share_of(result.mean_confidence, None), right=right)
    return (
        f'<section class="card reliability"><h3>{say("evaluate.reliable.title")}</h3>{svg}<div><p>{said}</p>'
        f'<p class="hint">{say("evaluate.reliable.hint")}</p>{_as_table(heads, rows)}</div></section>'
    )


def comparison_html(comparison: Comparison) -> str:
    """Two checkpoints beside each other: their accuracies, class by class, and the photos only one gets right."""
    first, second = comparison.first, comparison.second
    names = [_called(result) for result in (first, second)]
    total = len(first.outcomes)
    heads = [say("evaluate.table.class"), say("evaluate.table.photos"), *names, say("evaluate.compare.difference")]
    whole = (_with_interval(first), _with_interval(second), _points(comparison.gain))
    rows = [(f"<b>{say('evaluate.compare.all')}</b>", f"{total:,}", *whole)]
    for name, photos, one, other in comparison.per_class:
        shares = (share_of(one / photos, photos), share_of(other / photos, photos), _points((other - one) / photos))
        rows.append((common.escape(name), f"{photos:,}", *shares))
    buttons = "".join(
        _button(say(f"evaluate.compare.{kind}", count=len(photos), first=names[0], second=names[1]), {"kind": kind})
        for kind, photos in (
            ("first", comparison.only_first),
            ("second", comparison.only_second),
            ("neither", comparison.neither),
        )
        if photos
    )
    worth = "" if second.held_back == first.held_back else f" {_unfair(comparison)}"
    return (
        f'<section class="card compare"><h3 id="compared">{say("evaluate.compare.title")}</h3>'
        f"<p>{verdict(comparison)}{worth}</p>"
        '<div class="scroll" tabindex="0" role="region" aria-labelledby="compared">'
        f'{plain_table(heads, rows, "compared")}</div><p class="hint">{say("evaluate.compare.hint")}</p>'
        f'<div class="choices">{buttons}</div></section>'
    )


def verdict(comparison: Comparison) -> str:
    """Whether one of the two is better, in a sentence, with the p-value that stands behind it."""
    one, other = len(comparison.only_first), len(comparison.only_second)
    names = {
        "first": f"<b>{_called(comparison.first)}</b>",
        "second": f"<b>{_called(comparison.second)}</b>",
    }
    if not one and not other:
        return say("evaluate.compare.same", **names)
    p = comparison.p_value
    said = say("evaluate.compare.counts", one=one, other=other, **names)
    how = "even" if one == other else "chance" if p >= CHANCE else "better"
    better = names["first"] if one > other else names["second"]
    return f"{said} {say(f'evaluate.compare.{how}', p=_p(p), better=better)}"


def _points(difference: float) -> str:
    """``+1.5`` for 0.015; a true minus sign, and none for nothing."""
    return f"{100 * difference:+.1f}".replace("-", "−") if difference else "0.0"


def _p(value: float) -> str:
    return f"p = {value:.2g}" if value >= 0.001 else "p < 0.001"


def _unfair(comparison: Comparison) -> str:
    """One of the two has, or may have, learnt from these photos, and the other has not."""
    learnt, fresh = comparison.first, comparison.second
    if learnt.held_back:
        learnt, fresh = fresh, learnt
    names = {"learnt": _called(learnt), "fresh": _called(fresh)}
    return say("evaluate.compare.unfair" if learnt.same_set else "evaluate.compare.perhaps_unfair", **names)


def _with_interval(result: Evaluation) -> str:
    low, high = result.interval
    return f"<b>{share_of(result.accuracy, len(result.outcomes))}</b> <small>({low:.0%} – {high:.0%})</small>"


# Photos


def photos_html(
    result: Evaluation,
    title: str,
    hint: str,
    look: dict[str, Any],
    shown: Sequence[int],
    first: int,
    total: int,
    *,
    second: Evaluation | None = None,
    reasons: Sequence[Reason | str] = (),
    focus: int = 0,
) -> str:
    """Some photos with what was answered, each to be opened, and the buttons that lead to more of them.

    Args:
        result: the evaluation whose answers are told.
        title: what these photos are; as ``hint``, HTML.
        hint: a sentence below it.
        look: what the buttons ask for again: this selection, on its page.
        shown: the photos, by their place among the outcomes.
        first: which of the selection the first shown is, from 0.
        total: photos in the whole selection.
        second: another evaluation of the same photos, whose answers are told too.
        reasons: to show beside the photos, in their order; a sentence in place of one that cannot be had.
        focus: other than 0: the keyboard goes to this title, which the number makes another one than before.
    """
    if reasons:
        figures = [_with_reason(result, place, look, one, second) for place, one in zip(shown, reasons, strict=True)]
    else:
        pictures = _pictures([result.root / result.outcomes[place].photo for place in shown])
        figures = [_figure(result, place, look, one, second) for place, one in zip(shown, pictures, strict=True)]
    wide = " reasons" if reasons else ""
    if reasons:
        hint = f"{hint} {say('evaluate.photos.mapped', name=_called(result))}"
    return (
        f'<section class="evaluation photos">{_photos_head(title, hint, look, bool(reasons), focus)}'
        f'<div class="grid{wide}">{"".join(figures)}</div>{_pages(look, first, len(shown), total)}</section>'
    )


def _photos_head(title: str, hint: str, look: dict[str, Any], mapped: bool, focus: int) -> str:
    asked = f' data-focus="{focus}"' if focus else ""
    toggle = _button(
        say("evaluate.photos.maps"), {**look, "maps": not mapped}, "toggle", f' aria-pressed="{str(mapped).lower()}"'
    )
    back = "" if look["kind"] == "mistakes" else _button(say("evaluate.photos.back"), {"kind": "mistakes"})
    return (
        f'<header><div><h3 tabindex="-1"{asked}>{title}</h3><p class="hint">{hint}</p></div>'
        f'<div class="choices">{toggle}{back}</div></header>'
    )


def _pages(look: dict[str, Any], first: int, shown: int, total: int) -> str:
    if shown >= total:
        return ""
    page = look.get("page", 0)
    said = say("evaluate.photos.page", first=first + 1, last=first + shown, total=f"{total:,}")
    before = _button(say("evaluate.photos.before"), {**look, "page": page - 1}, "", "" if first else " disabled")
    more = "" if first + shown < total else " disabled"
    after = _button(say("evaluate.photos.after"), {**look, "page": page + 1}, "", more)
    return f'<nav class="choices" aria-label="{say("evaluate.photos.pages")}">{before}<span>{said}</span>{after}</nav>'


def _figure(result: Evaluation, place: int, look: dict, picture: Image.Image | str, second: Evaluation | None) -> str:
    caption = _caption(result, place, second)
    if isinstance(picture, str):
        return (
            f'<figure><p class="gone">{common.escape(sentence(picture))}</p><figcaption>{caption}</figcaption></figure>'
        )
    image = f'<img src="{common.data_url(picture)}" alt="{_alt(result, place)}" decoding="sync">'
    opening = f'<button type="button" class="open" {_look({**look, "open": place})}>{image}</button>'
    return f"<figure>{opening}<figcaption>{caption}</figcaption></figure>"


def _with_reason(result: Evaluation, place: int, look: dict, reason: Reason | str, second: Evaluation | None) -> str:
    if isinstance(reason, str):
        return _figure(result, place, look, reason, second)
    evidence = overlay(reason.frame, reason.heat, reason.strongest)
    answer = common.escape(result.classes[result.outcomes[place].predicted])
    pictures = (
        f'<img src="{common.data_url(reason.frame)}" alt="{_alt(result, place)}" decoding="sync">'
        f'<img src="{common.data_url(evidence)}" alt="{say("evaluate.photos.map", answer=answer)}" decoding="sync">'
    )
    opening = f'<button type="button" class="open pair" {_look({**look, "open": place})}>{pictures}</button>'
    return f"<figure>{opening}<figcaption>{_caption(result, place, second)}</figcaption></figure>"


def photo_html(
    result: Evaluation,
    place: int,
    look: dict[str, Any],
    reasons: Sequence[Reason],
    second: Evaluation | None,
    focus: int,
) -> str:
    """One photo, large, with the evidence for what was answered and for what is true: ``reasons``, in that order."""
    item = result.outcomes[place]
    figures = [f'<figure><img src="{common.data_url(reasons[0].photo)}" alt="{_alt(result, place)}"></figure>']
    for reason in reasons:
        name = common.escape(reason.label)
        said = say("evaluate.photos.for_answer" if reason is reasons[0] else "evaluate.photos.for_truth", name=name)
        hardly = f" {say('evaluate.photos.hardly')}" if reason.strength < 0.2 else ""
        picture = common.data_url(reason.picture())
        alt = say("evaluate.photos.map", answer=name)
        figures.append(f'<figure><img src="{picture}" alt="{alt}"><figcaption>{said}{hardly}</figcaption></figure>')
    title = say("evaluate.photos.one_wrong" if item.wrong else "evaluate.photos.one_right", **_names(result, item))
    mapped = say("evaluate.photos.mapped", name=_called(result))
    exact = "" if reasons[0].exact else f" {say('evaluate.photos.estimate')}"
    back = _button(say("evaluate.photos.back_to"), {name: value for name, value in look.items() if name != "open"})
    return (
        f'<section class="evaluation photos"><header><div><h3 tabindex="-1" data-focus="{focus}">{title}</h3>'
        f'<p class="hint">{_caption(result, place, second)}</p></div>'
        f'<div class="choices">{_link(result, item)}{back}</div></header>'
        f'<div class="one">{"".join(figures)}</div><p class="hint">{mapped}{exact} '
        f"{say('evaluate.photos.file')} <code>{common.escape(item.photo)}</code></p></section>"
    )


def _link(result: Evaluation, item: Outcome) -> str:
    """A link that shows anybody the photo and its answer; none to photos that are somebody's own."""
    folder = local(result.source) if result.source in KNOWN else None
    if not folder or folder.resolve() != result.root:  # somebody's own folder may be called as a known set
        return ""
    named = {"tab": "classify", "checkpoint": result.checkpoint, "photo": f"{result.source}/{item.photo}"}
    address = common.escape(f"?{urlencode(named, safe='/', quote_via=quote)}")
    return f'<a class="ask" href="{address}" target="_blank">{say("evaluate.photos.link")}</a>'


def _caption(result: Evaluation, place: int, second: Evaluation | None) -> str:
    """The truth and what was answered; of two checkpoints what each of them answered."""
    item = result.outcomes[place]
    if second is None:
        return _answer(result, item, "wrong" if item.wrong else "right")
    answers = [f"<br>{_called(one)}: {_named(one, one.outcomes[place])}" for one in (result, second)]
    return f"<b>{common.escape(result.classes[item.label])}</b>{''.join(answers)}"


def _answer(result: Evaluation, item: Outcome, kind: str) -> str:
    return say(f"evaluate.photos.{kind}", share=f"{item.confidence:.0%}", **_names(result, item))


def _names(result: Evaluation, item: Outcome) -> dict[str, str]:
    truth, answer = (common.escape(result.classes[place]) for place in (item.label, item.predicted))
    return {"truth": truth, "answer": answer}


def _named(result: Evaluation, item: Outcome) -> str:
    return f"{common.escape(result.classes[item.predicted])} {item.confidence:.0%}"


def _alt(result: Evaluation, place: int) -> str:
    item = result.outcomes[place]
    return say("evaluate.photos.alt_wrong" if item.wrong else "evaluate.photos.alt_right", **_names(result, item))


def _pictures(paths: Sequence) -> list[Image.Image | str]:
    """Small copies: the files may be huge, or in a format that browsers do not draw. A sentence for a lost one."""
    with ThreadPoolExecutor(available_threads(), thread_name_prefix="photos") as pool:
        return list(pool.map(_small, paths))


def _small(path: Any) -> Image.Image | str:
    try:
        image = decode_image(path, min_side=SIDE)
    except DecodeError as error:
        return str(error)
    image.thumbnail((SIDE, SIDE))
    return image


# HTML


def _look(look: dict[str, Any]) -> str:
    return f'data-look="{common.escape(json.dumps(look))}"'


def _button(text: str, look: dict[str, Any], kind: str = "", more: str = "") -> str:
    """A button that asks for photos; ``text`` is HTML."""
    return f'<button type="button" class="ask {kind}" {_look(look)}{more}>{text}</button>'


def _as_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    name = say("evaluate.as_table")
    return folded(name, scrolling(name, plain_table(heads, rows)))
