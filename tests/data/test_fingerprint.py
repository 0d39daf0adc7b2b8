"""What makes two photos one picture. Frames, drawings and copies are made here; the report's photos are in
test_dataset.py.
"""

import hashlib
import random
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from flowers.data import fingerprint as module
from flowers.data.dataset import Photo
from flowers.data.fingerprint import NEAR_BITS, fingerprint, groups, near_pairs, pixels_of, same_pictures
from tests.data.test_dataset import picture, recompressed


def photo(image: Image.Image, label: int = 0, name: str = "") -> Photo:
    sha256 = hashlib.sha256(image.tobytes()).hexdigest()
    return Photo(name, label, sha256, fingerprint(image), pixels_of(image))


def near(fingerprints: Sequence[str]) -> list[tuple[int, int]]:
    return [tuple(pair) for pairs in module._near(fingerprints) for pair in pairs.tolist()]


def several(photos: Sequence[Photo]) -> list[tuple[int, ...]]:
    return [group for group in groups(photos) if len(group) > 1]


def bits_apart(one: Image.Image, other: Image.Image) -> int:
    return (int(fingerprint(one), 16) ^ int(fingerprint(other), 16)).bit_count()


def test_fingerprints_survive_recompression_and_rescaling(garden_set, tmp_path):
    for i in range(0, len(garden_set), 5):
        image = Image.open(garden_set.path(i)).convert("RGB")
        for changed in (
            recompressed(image, tmp_path, 40),
            image.resize((150, 150), Image.Resampling.LANCZOS),
            image.resize((48, 48), Image.Resampling.BILINEAR),
            image.filter(ImageFilter.GaussianBlur(0.7)),
        ):
            assert bits_apart(image, changed) <= NEAR_BITS


def test_different_pictures_are_told_apart(garden_set):
    assert all(len(group) == 1 for group in garden_set.groups)
    pictures = [picture(seed) for seed in range(40)]
    assert all(bits_apart(a, b) > NEAR_BITS for i, a in enumerate(pictures) for b in pictures[:i])


def test_the_fingerprint_itself_does_not_change():
    """It decides the split: if this must change, _INDEX_VERSION and the pinned splits change with it."""
    ramp = Image.fromarray((np.add.outer(np.arange(64) * 3, np.arange(64) * 7) % 256).astype(np.uint8))
    assert fingerprint(ramp) == "f7e7efcede9cbc39a40f5a511bba8bf8"


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), min_size=1, max_size=40))
def test_groups_are_the_connected_components(pairs):
    """Against a naive search. Codes of few distinct values: equal ones are near, others 64 bits or more apart."""
    hashes = [f"h{a}" for a, _ in pairs]
    # 7 codes pairwise at least 64 of 128 bits apart: rows of a Hadamard matrix.
    codes = ["".join("1" if (row & column).bit_count() % 2 else "0" for column in range(128)) for row in range(7)]
    codes = [f"{int(code, 2):032x}" for code in codes]
    fingerprints = [codes[b] for _, b in pairs]
    expected = {}
    for i in range(len(pairs)):
        reached, edge = {i}, {i}
        while edge:
            edge = {
                k
                for j in edge
                for k in range(len(pairs))
                if k not in reached and (pairs[j][0] == pairs[k][0] or pairs[j][1] == pairs[k][1])
            }
            reached |= edge
        expected[min(reached)] = tuple(sorted(reached))
    photos = [Photo("", 0, sha256, code) for sha256, code in zip(hashes, fingerprints, strict=True)]
    assert groups(photos) == [expected[first] for first in sorted(expected)]


def test_near_pairs_are_found_across_blocks():
    """Of 600 random codes, more than one block of rows, the changed copies are paired with their originals."""
    rng = random.Random(0)
    codes = [rng.getrandbits(128) for _ in range(600)]
    copies = {i: 599 - i for i in range(0, 250, 50)}
    for i, j in copies.items():
        flipped = sum(1 << bit for bit in rng.sample(range(128), NEAR_BITS))
        codes[j] = codes[i] ^ flipped
    assert dict(near([f"{code:032x}" for code in codes])) == copies


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**128 - 1), min_size=1, max_size=12), st.lists(st.integers(0, 127), max_size=60))
def test_near_pairs_are_those_that_differ_in_few_bits(codes, bits):
    codes += [codes[n % len(codes)] ^ sum(1 << bit for bit in set(bits[:n])) for n in range(0, len(bits), 3)]
    expected = {(i, j) for j in range(len(codes)) for i in range(j) if (codes[i] ^ codes[j]).bit_count() <= NEAR_BITS}
    found = near([f"{code:032x}" for code in codes])
    assert set(found) == expected
    assert len(found) == len(expected)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 2**128 - 1), max_size=20),
    st.lists(st.integers(0, 2**128 - 1), max_size=12),
    st.lists(st.integers(0, 127), max_size=60),
)
def test_near_pairs_of_two_lists_are_those_that_differ_in_few_bits(some, others, bits):
    some += [code ^ sum(1 << bit for bit in set(bits[:n])) for n, code in enumerate(others)]
    near = {
        (i, j) for i in range(len(some)) for j in range(len(others)) if (some[i] ^ others[j]).bit_count() <= NEAR_BITS
    }
    found = list(near_pairs(*([f"{code:032x}" for code in codes] for codes in (some, others))))
    assert set(found) == near
    assert len(found) == len(near)


def test_comparing_many_photos_takes_little_memory():
    """All pairs of these at once would take 800 MB, and of a hundred thousand 160 GB."""
    codes = [f"{code:032x}" for code in np.random.default_rng(0).permutation(10_000)]
    codes = [hashlib.md5(code.encode()).hexdigest() for code in codes]
    tracemalloc.start()
    assert near(codes) == []
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5_000_000


# The closer look


def shot(seed: int, turned: bool) -> Image.Image:
    """What a fixed camera takes of a valve: the light, the noise and the handle's place change a little."""
    rng = np.random.default_rng([seed, turned])
    scene = picture(1000, 480).resize((640, 480))
    x, y = 320 + int(rng.integers(-2, 3)), 240 + int(rng.integers(-2, 3))
    half = (7, 46) if turned else (46, 7)
    ImageDraw.Draw(scene).rectangle([x - half[0], y - half[1], x + half[0], y + half[1]], fill=(240, 240, 60))
    light = ImageEnhance.Brightness(scene).enhance(rng.normal(1, 0.05))
    noisy = np.asarray(light, dtype=np.float32) + rng.normal(0, 5, (480, 640, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def drawing(seed: int, kind: str) -> Image.Image:
    """A black sign on a white sheet."""
    rng = np.random.default_rng(seed)
    sheet = Image.new("RGB", (256, 256), "white")
    x, y, r = int(rng.integers(90, 166)), int(rng.integers(90, 166)), int(rng.integers(30, 60))
    draw = ImageDraw.Draw(sheet)
    if kind == "circle":
        draw.ellipse([x - r, y - r, x + r, y + r], outline="black", width=5)
    else:
        draw.line([x - r, y - r, x + r, y + r], fill="black", width=5)
        draw.line([x - r, y + r, x + r, y - r], fill="black", width=5)
    return sheet


def frame(seed: int, time: float) -> Image.Image:
    """A burst's frame: a thing is held before a wall, and the hand moves a little with ``time``."""
    rng = np.random.default_rng(seed)
    wall = picture(2000, 480).resize((640, 480))
    x, y = (int(v) for v in (rng.integers(0, 340), rng.integers(0, 240)))
    wall.paste(picture(seed + 3000, 240), (x + int(12 * np.sin(time)), y + int(8 * np.cos(time))))
    return wall


def test_a_valve_that_is_open_is_not_one_that_is_closed():
    photos = [photo(shot(seed, turned), int(turned)) for turned in (False, True) for seed in range(6)]
    assert len(near([one.fingerprint for one in photos])) > 60, "the bits alone see no difference"
    assert groups(photos) == [tuple(range(6)), tuple(range(6, 12))]


def test_drawings_are_not_copies_of_each_other():
    photos = [photo(drawing(seed, kind), label) for label, kind in enumerate(("circle", "cross")) for seed in range(30)]
    assert near([one.fingerprint for one in photos]), "the bits alone take some for copies"
    assert several(photos) == []


def test_a_burst_is_one_group_and_another_burst_of_the_same_thing_is_not_in_it():
    photos = [photo(frame(seed, step / 5)) for seed in (1, 2, 3) for step in range(8)]
    assert several(photos) == [tuple(range(8)), tuple(range(8, 16)), tuple(range(16, 24))]


@pytest.mark.parametrize(
    "change",
    [
        lambda image, folder: recompressed(image, folder, 10),
        lambda image, _: image.resize((120, 120)),
        lambda image, _: ImageEnhance.Contrast(image).enhance(1.2),
        lambda image, _: ImageEnhance.Color(image).enhance(1.2),
    ],
    ids=["saved again", "smaller", "contrast", "colour"],
)
def test_a_copy_under_another_label_is_found_whatever_was_done_to_it(change, tmp_path):
    photos = [photo(picture(seed, 240)) for seed in range(20)]
    photos += [photo(change(picture(seed, 240), tmp_path), 1) for seed in range(0, 20, 4)]
    assert several(photos) == [(seed, 20 + seed // 4) for seed in range(0, 20, 4)]


def moved(image: Image.Image) -> Image.Image:
    """The same view a moment later: another crop, which the closer look does not forgive."""
    return image.crop((10, 8, 235, 233)).resize((240, 240))


def test_among_photos_of_the_world_the_bits_are_believed_within_a_class():
    photos = [photo(picture(seed, 240)) for seed in range(20)]
    photos += [photo(moved(picture(3, 240))), photo(moved(picture(5, 240)), 1)]
    assert {(3, 20), (5, 21)} <= set(near([one.fingerprint for one in photos]))
    assert several(photos) == [(3, 20)], "under two labels it takes a picture that is the same everywhere"


def test_what_the_bits_alone_take_for_one_picture_makes_no_chain():
    rng = random.Random(0)
    looks = [pixels_of(picture(seed)) for seed in range(30)]
    code = rng.getrandbits(128)
    chain = [code ^ (2 ** (16 * step) - 1) for step in range(4)]  # each 16 bits from the one before
    codes = [*chain, *(rng.getrandbits(128) for _ in range(26))]
    photos = [
        Photo("", 0, f"{n:02}", f"{code:032x}", look) for n, (code, look) in enumerate(zip(codes, looks, strict=True))
    ]
    assert max(map(len, several(photos))) == 2


def test_of_two_near_pictures_the_nearer_is_taken_whatever_the_order():
    rng = random.Random(3)
    codes = [rng.getrandbits(128) for _ in range(12)]
    codes += [codes[0] ^ (2**15 - 1), codes[0] ^ ((2**14 - 1) << 40)]  # 15 and 14 bits from the first, 29 apart
    photos = [
        Photo("", 0, f"{n:02}", f"{code:032x}", pixels_of(picture(seed)))
        for seed, (n, code) in enumerate(enumerate(codes))
    ]
    for seed in range(6):
        shuffled = random.Random(seed).sample(photos, len(photos))
        assert [{shuffled[i].sha256 for i in group} for group in several(shuffled)] == [{"00", "13"}]


def test_many_near_pictures_of_one_class_are_grouped_in_no_time():
    rng = random.Random(0)
    near_codes = [2**127 + sum(1 << bit for bit in rng.sample(range(100), 8)) for _ in range(150)]
    codes = near_codes + [rng.getrandbits(128) for _ in range(250)]
    look = [pixels_of(picture(seed, 40)) for seed in range(60)]
    photos = [Photo("", 0, f"{n:03}", f"{code:032x}", look[n % 60]) for n, code in enumerate(codes)]
    assert sum(map(len, groups(photos))) == 400


def test_groups_do_not_depend_on_the_order():
    photos = [photo(frame(seed, step / 5)) for seed in (1, 2) for step in range(5)]
    photos += [photo(picture(seed)) for seed in range(10)]
    names = {frozenset(photos[i].sha256 for i in group) for group in groups(photos)}
    random.Random(1).shuffle(photos)
    assert {frozenset(photos[i].sha256 for i in group) for group in groups(photos)} == names


def test_a_photo_is_found_again_in_another_set_whatever_its_label(tmp_path):
    ours = [photo(picture(seed, 240)) for seed in range(12)]
    theirs = [photo(recompressed(picture(seed, 240), tmp_path, 60), 4) for seed in (3, 50, 7)]
    theirs.append(photo(moved(picture(9, 240)), 2))
    assert same_pictures(ours, theirs) == [(3, 0), (7, 2), (9, 3)]


def test_in_a_fixed_cameras_sets_only_what_looks_alike_is_found_again():
    ours = [photo(shot(seed, False)) for seed in range(5)]
    theirs = [photo(shot(seed, True)) for seed in range(5)]
    assert same_pictures(ours, theirs) == []
    assert len(same_pictures(ours, ours)) == 25
