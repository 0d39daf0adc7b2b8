"""Answers as the page shows them: the card of one, the table and the CSV file of many, a reason's picture."""

import base64
import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flowers.classifier import Answer
from flowers.models.checkpoint import Checkpoint
from flowers.reason import Reason
from flowers.studio import common
from flowers.studio.language import say
from flowers.studio.words import called, in_words, share_of

SHOWN = 12  # classes of an answer, the likeliest first
FAINT = 0.2  # of the strongest evidence: less is hard to see in a picture
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet may take a cell that starts so for


@dataclass(frozen=True)
class Row:
    """One photo of many, and what became of it."""

    path: str
    answer: Answer | None  # None: it could not be read
    problem: str = ""  # why not, in a sentence
    thumbnail: str = ""  # as the src of an <img>

    @property
    def name(self) -> str:
        """The file's name."""
        return Path(self.path).name


# One answer


def answer_card(answer: Answer, facts: str, words: str = "", picture: str = "") -> str:
    """The answer as HTML: in words, and a bar for every class.

    ``facts`` is HTML, said below; ``words`` are those that an old answer was given in; ``picture``, the src of a small
    picture, stands beside them.
    """
    bars = "".join(_bar(name, share, name == answer.label) for name, share in answer.ranked()[:SHOWN])
    below = say("classify.confident", share=f"{answer.confidence:.1%}")
    if not answer.known:
        below = say("classify.unlike", name=called(answer.label))
    beside = f'<img src="{picture}" alt="">' if picture else ""
    return (
        f'<section class="card answer" aria-live="polite">{beside}<h2>{common.escape(words or in_words(answer))}</h2>'
        f'<p class="sub">{common.escape(below)}</p>'
        f'<ul class="bars">{bars}</ul>'
        f'<p class="facts">{facts}</p></section>'
    )


def facts(answer: Answer, checkpoint: Checkpoint) -> str:
    """Who answered, how fast, and how often it is right, as HTML."""
    name = f"<b>{common.escape(common.title_of(checkpoint.name))}</b>"
    said = say("classify.facts", time=_time(answer.seconds), checkpoint=name)
    if right := checkpoint.accuracy:
        said += f" · {say('classify.facts_right', share=share_of(right, checkpoint.judged))}"
    return f"{said}."


def correction(names: Sequence[str]) -> str:
    """The offer to say what a photo really shows: a button for each of the likeliest classes, a field for any name."""
    chips = "".join(
        f'<button type="button" data-name="{common.escape(name)}">{common.escape(name)}</button>'
        for name in names[:SHOWN]
    )
    more = "".join(f'<option value="{common.escape(name)}"></option>' for name in names[SHOWN:])
    return (
        f'<details class="correct"><summary>{say("classify.correct.title")}</summary>'
        f'<p class="hint">{say("classify.correct.help")}</p><div class="chips">{chips}</div>'
        f'<form><input name="name" maxlength="100" autocomplete="off" list="classify-names" required'
        f' aria-label="{say("classify.correct.other")}" placeholder="{say("classify.correct.other")} …">'
        f'<datalist id="classify-names">{more}</datalist>'
        f'<button type="submit">{say("classify.correct.file")}</button></form></details>'
    )


def corrected(said: str, undo: bool = True) -> str:
    """What became of a correction, and the offer to take it back; ``said`` is a plain sentence."""
    button = f'<button type="button" class="undo">{say("classify.correct.undo")}</button>' if undo else ""
    return f'<div class="correct done" role="status"><p>{common.escape(said)}</p>{button}</div>'


def reason_html(reason: Reason) -> str:
    """The photo and the picture of the evidence, one behind the other, with a border between that can be moved."""
    much = "much" if reason.strength >= FAINT else "little" if reason.strength else "nothing"
    said = say(f"classify.why.{much}", name=f"<b>{common.escape(reason.label)}</b>")
    how = "" if reason.exact else f" {say('classify.why.estimate')}"
    before, after = reason.pictures()
    alt = common.escape(say("classify.why.map", name=reason.label))
    return (
        '<figure class="reason"><div class="compare">'
        f'<img class="before" src="{common.data_url(before)}" alt="{say("classify.why.photo")}" decoding="sync">'
        f'<img class="after" src="{common.data_url(after)}" alt="{alt}" decoding="sync">'
        f'<input type="range" min="0" max="100" value="50" aria-label="{say("classify.why.slide")}">'
        '<span class="border" aria-hidden="true"></span></div>'
        f'<div class="scale" aria-hidden="true"><span>{say("classify.why.none")}</span><i></i>'
        f"<span>{say('classify.why.most')}</span></div>"
        f"<figcaption><p>{said}</p><p>{say('classify.why.help')}{how}</p></figcaption></figure>"
    )


# Many answers


def table(rows: Sequence[Row], classes: Sequence[str], limit: int = 0) -> str:
    """A table of many photos' answers as HTML, with the CSV file in a link. ``limit``: only so many were answered."""
    title = say("classify.many.one") if len(rows) == 1 else say("classify.many.title", count=len(rows))
    heads = "".join(f'<th scope="col">{say(f"classify.many.{key}")}</th>' for key in _HEADS)
    first = next((index for index, row in enumerate(rows) if row.answer), 0)  # the one that is seen at first
    body = "".join(_table_row(index, row, index == first) for index, row in enumerate(rows))
    left_out = f" {say('classify.many.left_out', limit=limit)}" if limit else ""
    content = base64.b64encode(as_csv(rows, classes).encode("utf-8-sig")).decode()  # Excel needs the mark
    return (
        f'<section class="card many"><header><div><h2>{title}</h2>'
        f'<p class="sub">{common.escape(_summary(rows))}.{left_out}</p></div>'
        f'<a class="csv" download="answers.csv" href="data:text/csv;charset=utf-8;base64,{content}">'
        f"{say('classify.many.csv')}</a>"
        f'<button type="button" class="close" aria-label="{say("classify.many.close")}">✕</button></header>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}"><table class="plain">'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
        f'<p class="hint">{say("classify.many.hint")}</p></section>'
    )


_HEADS = ("picture", "file", "answer", "confidence", "known")


def _table_row(index: int, row: Row, chosen: bool) -> str:
    name = common.escape(row.name)
    if row.answer is None:
        problem = common.escape(row.problem)
        return f'<tr class="unread"><td></td><th scope="row">{name}</th><td colspan="3">{problem}</td></tr>'
    known = say("classify.many.yes" if row.answer.known else "classify.many.no")
    mark = "chosen" if chosen else ""
    return (
        f'<tr data-row="{index}" class="{mark}"><td><img src="{row.thumbnail}" alt="" loading="lazy"></td>'
        f'<th scope="row"><button type="button">{name}</button></th><td>{common.escape(in_words(row.answer))}</td>'
        f"<td>{row.answer.confidence:.1%}</td><td>{known}</td></tr>"
    )


def _summary(rows: Sequence[Row]) -> str:
    """``3 tulip, 2 rose, 1 none of these, 1 not readable``."""
    counts: dict[str, int] = {}
    for row in rows:
        if row.answer and row.answer.known:
            counts[row.answer.label] = counts.get(row.answer.label, 0) + 1
    parts = [f"{count} {label}" for label, count in sorted(counts.items(), key=lambda item: -item[1])]
    strangers = sum(row.answer is not None and not row.answer.known for row in rows)
    unread = sum(row.answer is None for row in rows)
    parts += [f"{strangers} {say('classify.many.none')}"] if strangers else []
    parts += [f"{unread} {say('classify.many.unread')}"] if unread else []
    return ", ".join(parts)


def as_csv(rows: Iterable[Row], classes: Sequence[str]) -> str:
    """One line a photo: ``file,label,confidence,known,familiarity`` and each class's confidence.

    Confidences and familiarity are 0 to 1; familiarity is empty where the checkpoint cannot tell, and all but the file
    where the photo could not be read. Names that a spreadsheet would take for a formula get an apostrophe before them.
    """
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["file", "label", "confidence", "known", "familiarity", *map(_plain, classes)])
    for row in rows:
        if row.answer is None:
            writer.writerow([_plain(row.name)])
            continue
        answer = row.answer
        familiarity = "" if answer.familiarity is None else f"{answer.familiarity:.6f}"
        shares = [f"{answer.confidences[name]:.6f}" for name in classes]
        known = "yes" if answer.known else "no"
        writer.writerow(
            [_plain(row.name), _plain(answer.label), f"{answer.confidence:.6f}", known, familiarity, *shares]
        )
    return file.getvalue()


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def _bar(name: str, share: float, top: bool) -> str:
    return (
        f'<li class="{"top" if top else ""}"><span class="name">{common.escape(name)}</span>'
        f'<span class="track" aria-hidden="true"><span class="fill" style="width:{share:.1%}"></span></span>'
        f'<span class="share">{share:.1%}</span></li>'
    )


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
