"""What the Photos tab shows, as HTML: what a set is, its classes as bars, a page of photos, what the doctor found."""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flowers.data.dataset import PhotoDataset
from flowers.data.doctor import FEW, IMBALANCE, SMALL_SIDE, Findings
from flowers.studio.common import classes_in_words, escape, photos_in_words
from flowers.studio.language import say, sentence
from flowers.studio.thumbnails import thumbnails

PER_PAGE = 60  # photos: 0.5 MB, made in a fifth of a second
MOST_SMALL = 60
MOST_GROUPS = 12  # shown of each kind of finding; what the boxes of the others would do is told

Photo = tuple[str, str]  # its class, and its path within the set


@dataclass(frozen=True)
class Page:
    """A page of the contact sheet."""

    photos: tuple[Photo, ...]
    number: int  # from 0
    pages: int
    total: int  # photos on all pages

    @property
    def first(self) -> int:
        """The number of its first photo, from 1."""
        return self.number * PER_PAGE + 1


def cut(photos: Sequence[Photo], number: int) -> Page:
    """Page ``number`` of the photos, or the nearest there is."""
    pages = max(1, -(-len(photos) // PER_PAGE))
    number = min(max(0, int(number)), pages - 1)
    return Page(tuple(photos[number * PER_PAGE :][:PER_PAGE]), number, pages, len(photos))


@functools.lru_cache(maxsize=8)  # leafing through a set asks again and again: 50 ms for 3,000 photos
def held_back(dataset: PhotoDataset) -> frozenset[str]:
    """Paths of the photos that the split (seed 0, a fifth) checks on. Raises DataError where it cannot be split."""
    return frozenset(dataset.photos[index].path for index in dataset.split(seed=0, val_fraction=0.2).val)


def bars_html(classes: dict[str, list[str]], held: frozenset[str]) -> str:
    """Every class with its number of photos as a bar, and how many of them are held back."""
    most = max(map(len, classes.values()), default=0) or 1
    rows = []
    for name, photos in classes.items():
        checked = sum(photo in held for photo in photos)
        parts = say("photos.of_them", count=f"{checked:,}") if held else ""
        rows.append(
            f'<li><span class="name" dir="auto">{escape(name)}</span>'
            f'<span class="track"><span class="fill" style="width:{len(photos) / most:.1%}"></span></span>'
            f'<span class="share">{len(photos):,}</span><span class="part">{escape(parts)}</span></li>'
        )
    return f'<ul class="bars classes">{"".join(rows)}</ul>' if rows else ""


def sheet_html(page: Page, root: Path, held: frozenset[str], choosable: bool) -> str:
    """A page of photos under their classes' names; ``choosable`` ones have a box each."""
    if not page.photos:
        return ""
    pictures = iter(thumbnails([root / path for _, path in page.photos]))
    by_class: dict[str, list[str]] = {}
    for name, path in page.photos:
        by_class.setdefault(name, []).append(path)
    return (_ticks() if choosable else "") + "".join(
        f'<section><h3 dir="auto">{escape(name)}</h3><ul class="contact">'
        + "".join(_tile(name, path, next(pictures), path in held, choosable) for path in paths)
        + "</ul></section>"
        for name, paths in by_class.items()
    )


def _ticks() -> str:
    """Buttons that tick all boxes or none, and how many are ticked: wired in sheet.js."""
    return (
        f'<div class="ticks"><button type="button" data-tick="all">{escape(say("photos.choose_all"))}</button>'
        f'<button type="button" data-tick="none">{escape(say("photos.choose_none"))}</button>'
        f'<output data-words="{escape(say("photos.chosen"))}"></output></div>'
    )


def _tile(name: str, path: str, picture: str, checked: bool, choosable: bool, ticked: bool = False) -> str:
    file = Path(path).name
    image = (
        f'<img src="{picture}" alt="{escape(f"{name}: {file}")}" title="{escape(file)}" width="168" height="168">'
        if picture
        else f'<span class="gone">{escape(say("photos.unreadable", name=file))}</span>'
    )
    mark = f'<span class="held">◇ {escape(say("photos.held_back"))}</span>' if checked else ""
    if not choosable:
        return f"<li>{image}{mark}</li>"
    box = f'<input type="checkbox" value="{escape(path)}"{" checked" if ticked else ""}>'
    return f"<li><label>{box}{image}{mark}</label></li>"


# What the doctor found


def findings_html(findings: Findings, suspects: bool = False) -> str:
    """The findings in words, with their photos side by side; what is better left out is ticked."""
    left_out = findings.left_out(suspects=True)
    parts = [
        _groups("photos.conflicts", findings, [group.photos for group in findings.conflicts], left_out),
        _groups("photos.duplicates", findings, [group.photos for group in findings.duplicates], left_out),
        _series(findings),
        _suspects(findings, left_out) if suspects else "",
        _groups(
            "photos.small",
            findings,
            [[item.photo for item in findings.small[:MOST_SMALL]]] if findings.small else [],
            {},
            len(findings.small),
            side=SMALL_SIDE,
        ),
        _unreadable(findings),
    ]
    found = "".join(parts)
    well = "" if found else f"<p>{escape(say('photos.well'))}</p>"
    return (
        f'<div class="card findings"><h2>{escape(say("photos.found"))}</h2>{well}{found}'
        f"{_split_words(findings)}{_balance(findings)}</div>"
    )


def _groups(
    key: str,
    findings: Findings,
    groups: Sequence[Sequence[str]],
    ticked: Iterable[str],
    count: int = 0,
    **values: object,
) -> str:
    if not groups:
        return ""
    shown = groups[:MOST_GROUPS]
    pictures = iter(thumbnails([findings.dataset.root / path for group in shown for path in group]))
    rows = "".join(
        '<ul class="contact group">'
        + "".join(_with_class(findings, path, next(pictures), path in ticked) for path in group)
        + "</ul>"
        for group in shown
    )
    rows = f'<div class="groups">{rows}</div>'
    hidden = [path for group in groups[MOST_GROUPS:] for path in group if path in ticked]
    return _section(say(f"{key}_title", count=count or len(groups)), say(key, **values), rows + _hidden(hidden))


def _series(findings: Findings) -> str:
    if not findings.series:
        return ""
    rows = "".join(
        f'<li dir="auto">{escape(one.name)}: {escape(photos_in_words(one.photos))}</li>' for one in findings.series
    )
    title = say("photos.series_title", count=len(findings.series))
    return _section(title, say("photos.series"), f'<ul class="reasons">{rows}</ul>')


def _suspects(findings: Findings, ticked: Iterable[str]) -> str:
    suspects = [suspect for suspect in findings.suspects or () if suspect.confident]
    if not suspects:
        return _section(
            say("photos.suspects_title", count=0), f"{say('photos.no_suspects')} {sentence(findings.basis)}", ""
        )
    shown = suspects[: 3 * MOST_GROUPS]
    pictures = thumbnails([findings.dataset.root / suspect.photo for suspect in shown])
    rows = "".join(
        _with_class(
            findings, suspect.photo, picture, suspect.photo in ticked,
            say("photos.looks_like", name=suspect.suggestion, share=f"{suspect.confidence:.0%}"),
        )
        for suspect, picture in zip(shown, pictures, strict=True)
    )  # fmt: skip
    rest = _hidden([suspect.photo for suspect in suspects[3 * MOST_GROUPS :]])
    said = f"{say('photos.suspects')} {sentence(findings.basis)}"
    return _section(say("photos.suspects_title", count=len(suspects)), said, f'<ul class="contact">{rows}</ul>{rest}')


def _with_class(findings: Findings, path: str, picture: str, ticked: bool, remark: str = "") -> str:
    name = findings.dataset.class_of(path)
    tile = _tile(name, path, picture, False, True, ticked)
    words = f'<span class="of" dir="auto">{escape(name)}</span>' + (f"<span>{escape(remark)}</span>" if remark else "")
    return tile.replace("</label></li>", f"{words}</label></li>")


def _hidden(paths: Sequence[str]) -> str:
    """Boxes for what is not shown, one for all of them together."""
    if not paths:
        return ""
    boxes = "".join(f'<input type="checkbox" value="{escape(path)}" checked hidden>' for path in paths)
    return f'<p class="hint">{escape(say("photos.and_more", count=photos_in_words(len(paths))))}{boxes}</p>'


def _unreadable(findings: Findings) -> str:
    items = findings.dataset.unreadable
    if not items:
        return ""
    rows = "".join(
        f'<li><label><input type="checkbox" value="{escape(item.path)}" checked> '
        f"{escape(sentence(item.reason))}</label></li>"
        for item in items[:MOST_GROUPS]
    )
    title = say("photos.unreadables_title", count=len(items))
    return _section(title, say("photos.unreadables"), f'<ul class="reasons">{rows}</ul>')


def _split_words(findings: Findings) -> str:
    if findings.leaks is None:
        return ""
    key = "photos.leaks" if findings.leaks else "photos.no_leaks"
    return f"<p>{escape(say(key, count=len(findings.leaks)))}</p>"


def _balance(findings: Findings) -> str:
    counts = findings.dataset.counts
    smallest, largest = min(counts, key=counts.get), max(counts, key=counts.get)
    ratio = counts[largest] / counts[smallest]
    key = "photos.balanced" if ratio < IMBALANCE else "photos.unbalanced"
    words = [say(key, ratio=f"{ratio:.1f}", largest=largest, smallest=smallest)]
    if counts[smallest] < FEW:
        words.append(say("photos.few", smallest=smallest, count=photos_in_words(counts[smallest])))
    return "".join(f'<p dir="auto">{escape(text)}</p>' for text in words)


def _section(title: str, words: str, rows: str) -> str:
    return f"<section><h3>{escape(title)}</h3><p>{escape(words)}</p>{rows}</section>"


# What a set is


def facts_html(title: str, rows: Sequence[tuple[str, str]], classes: int, photos: int) -> str:
    """A card: the set's name, how much it holds, and (what, text) rows such as its licence."""
    lines = "".join(f"<dt>{escape(what)}</dt><dd>{escape(text)}</dd>" for what, text in rows if text)
    count = escape(f"{photos_in_words(photos)}, {classes_in_words(classes)}")
    return f'<div class="card set"><h2>{escape(title)}</h2><p class="sub">{count}</p><dl>{lines}</dl></div>'
