"""The doctor's findings as one picture: suspected wrong labels; side by side, what is there more than once."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from flowers.data.decode import decode_image
from flowers.data.doctor import Findings, Group, Match
from flowers.evaluation.figures import RIGHT, WRONG
from flowers.files import write_whole

MOST = 60  # suspects shown
MOST_GROUPS = 12  # of each kind of repeated picture; a row each at most, and a WebP may be 16,383 pixels high
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
COLUMNS = 6
WIDTH, HEIGHT = 200, 150  # pixels of a picture's place
LINE = 18  # pixels from one line of text to the next
GAP, MARGIN = 14, 28
PAPER, PLACE, INK, FAINT = "#fbfaf7", "#efede6", "#22201c", "#77726a"


@dataclass(frozen=True)
class Card:
    """A photo with three lines below it."""

    photo: Path
    title: tuple[tuple[str, str], ...]  # pieces of the first line, each with its colour
    note: str
    name: str  # the photo's file


Section = tuple[str, list[list[Card]]]  # title; groups of cards that stand together


def contact_sheet(findings: Findings) -> Image.Image:
    """RGB, about 1,300 pixels wide and as high as it takes. Raises DecodeError for a photo that has become unreadable.

    Of each kind the first are shown: ``MOST`` suspects, ``MOST_GROUPS`` pictures under two labels, in another set, and
    more than once in their class.
    """
    sections = [(title, groups) for title, groups in _sections(findings) if groups]
    placed, height = _place(sections or [("Nothing was found", [])])
    sheet = Image.new("RGB", (2 * MARGIN + COLUMNS * (WIDTH + GAP) - GAP, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    for x, y, item in placed:
        if isinstance(item, str):
            draw.text((x, y), item, INK, _font(20, bold=True))
        else:
            _draw_group(sheet, draw, x, y, item)
    return sheet


def write_sheet(findings: Findings, file: Path) -> None:
    """Draw the sheet into ``file``, whose name ends in one of ``FORMATS``."""
    drawn = io.BytesIO()
    contact_sheet(findings).save(drawn, FORMATS[file.suffix.lower()], quality=88)
    write_whole(file, drawn.getvalue())


def _sections(findings: Findings) -> Iterator[Section]:
    root = findings.dataset.root
    suspects = findings.suspects or ()
    cards = [
        [
            Card(
                root / suspect.photo,
                ((f"{suspect.label} ", WRONG), ("→ ", FAINT), (f"{suspect.suggestion}?", RIGHT)),
                f"{suspect.confidence:.0%} against {suspect.confidence_in_label:.0%}"
                + (", probably" if suspect.confident else ""),
                Path(suspect.photo).name,
            )
        ]
        for suspect in suspects[:MOST]
    ]
    yield f"Suspected wrong labels{_of(suspects, MOST)}, the most suspicious first", cards
    groups = [[_copy(findings, photo, group) for photo in group.photos] for group in findings.conflicts[:MOST_GROUPS]]
    yield f"One picture under two labels{_of(findings.conflicts, MOST_GROUPS)}", groups
    if findings.against:
        pairs = [_pair(findings, match) for match in findings.shared[:MOST_GROUPS]]
        yield f"Also in {findings.against.root.name}{_of(findings.shared, MOST_GROUPS)}", pairs
    groups = [[_copy(findings, photo, group) for photo in group.photos] for group in findings.duplicates[:MOST_GROUPS]]
    yield f"More than once in its class{_of(findings.duplicates, MOST_GROUPS)}", groups


def _of(found: Sequence, most: int) -> str:
    return f": {len(found)}" if len(found) <= most else f": the first {most} of {len(found)}"


def _copy(findings: Findings, photo: str, group: Group) -> Card:
    note = "same file" if group.exact else "near copy"
    return Card(findings.dataset.root / photo, ((findings.dataset.class_of(photo), INK),), note, _name(photo))


def _pair(findings: Findings, match: Match) -> list[Card]:
    """The photo here and the one in the other set."""
    note = "same file" if match.exact else "near copy"
    cards = []
    for dataset, photo in ((findings.dataset, match.photo), (findings.against, match.other)):
        words = ((dataset.class_of(photo), INK), (f" in {dataset.root.name}", FAINT))
        cards.append(Card(dataset.root / photo, words, note, _name(photo)))
    return cards


def _name(photo: str) -> str:
    return photo.partition("/")[2]


# Laying out


def _place(sections: Sequence[Section]) -> tuple[list[tuple[int, int, str | list[Card]]], int]:
    """(x, y, heading or group) for everything, and the height of it all. Groups flow as words do."""
    placed: list[tuple[int, int, str | list[Card]]] = []
    y = MARGIN
    row = HEIGHT + 3 * LINE + 2 * GAP
    for title, groups in sections:
        placed.append((MARGIN, y, title))
        y += 36
        column = 0
        for group in (group[:COLUMNS] for group in groups):
            if column + len(group) > COLUMNS:
                y, column = y + row, 0
            placed.append((MARGIN + column * (WIDTH + GAP), y, group))
            column += len(group)
        y += (row if groups else 0) + GAP
    return placed, y + MARGIN - GAP


def _draw_group(sheet: Image.Image, draw: ImageDraw.ImageDraw, x: int, y: int, group: list[Card]) -> None:
    if len(group) > 1:  # a frame around what belongs together
        right = x + len(group) * (WIDTH + GAP) - GAP
        draw.rounded_rectangle((x - 4, y - 4, right + 3, y + HEIGHT + 3 * LINE + 9), 8, None, FAINT)
    for card in group:
        _draw_card(sheet, draw, x, y, card)
        x += WIDTH + GAP


def _draw_card(sheet: Image.Image, draw: ImageDraw.ImageDraw, x: int, y: int, card: Card) -> None:
    draw.rounded_rectangle((x, y, x + WIDTH - 1, y + HEIGHT - 1), 4, PLACE)
    picture = ImageOps.contain(decode_image(card.photo, min_side=HEIGHT), (WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    sheet.paste(picture, (x + (WIDTH - picture.width) // 2, y + (HEIGHT - picture.height) // 2))
    bold, plain, small = _font(14, bold=True), _font(13), _font(11)
    y += HEIGHT + 6
    left = x
    for text, colour in card.title:
        text = _fitted(text, bold, x + WIDTH - left)
        draw.text((left, y), text, colour, bold)
        left += bold.getlength(text)
    draw.text((x, y + LINE), card.note, INK, plain)
    draw.text((x, y + 2 * LINE), _fitted(card.name, small, WIDTH), FAINT, small)


def _fitted(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """The text on one line, its middle left out where it is too long: a file may be called anything."""
    text = "".join(c if c.isprintable() else " " for c in text)
    for kept in range(len(text), 0, -1):
        shown = text if kept == len(text) else f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
        if font.getlength(shown) <= width:
            return shown
    return ""


@lru_cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and knows more scripts than Pillow's own font."""
    import matplotlib

    file = Path(matplotlib.get_data_path(), "fonts", "ttf", f"DejaVuSans{'-Bold' if bold else ''}.ttf")
    return ImageFont.truetype(str(file), size)
