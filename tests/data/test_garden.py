"""The garden: reproducible, varied, learnable by shape and not by mean colour, written whole or not at all."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from flowers.data import garden
from flowers.data.garden import CLASSES, difficulty_of, picture, render_flower, render_garden
from flowers.data.garden.brushes import Canvas, Pose, changed
from flowers.data.garden.clutter import STRANGERS, obstruct, paint_stranger, soften
from flowers.data.garden.hardships import HIDING, PLAIN, Hardships
from flowers.data.garden.plants import RARE, VARIETIES
from flowers.errors import DataError, UsageError
from flowers.processes import module

SIZE = 64
LEARNT, HELD_OUT = 14, 8  # photos of each class


@pytest.fixture(scope="module")
def photos():
    """(class, photo, SIZE, SIZE, 3) in 0..1."""
    several = [[np.asarray(render_flower(kind, seed, SIZE)) for seed in range(LEARNT + HELD_OUT)] for kind in CLASSES]
    return np.array(several, np.float32) / 255


def difference(one, other) -> float:
    """Mean absolute difference of two pictures, in levels of 0..255."""
    return float(np.abs(np.asarray(one, np.float32) - np.asarray(other, np.float32)).mean())


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("size", [16, 97])
def test_a_flower_is_an_rgb_picture_of_the_size_asked_for(kind, size):
    for difficulty in (0, 0.5, 1):
        flower = render_flower(kind, 3, size, difficulty)
        assert (flower.mode, flower.size) == ("RGB", (size, size))


def test_one_seed_gives_the_same_bytes_in_every_process():
    script = (
        "import hashlib; from flowers.data.garden import CLASSES, render_flower;"
        f"flowers = [render_flower(kind, 5, {SIZE}, d).tobytes() for kind in CLASSES for d in (0, 1)];"
        "print(hashlib.sha256(b''.join(flowers)).hexdigest())"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.strip()
    for _ in range(2):
        here = b"".join(render_flower(kind, 5, SIZE, d).tobytes() for kind in CLASSES for d in (0, 1))
        assert hashlib.sha256(here).hexdigest() == elsewhere


def test_no_two_pictures_are_alike(photos):
    flat = photos.reshape(-1, SIZE * SIZE * 3)
    apart = np.array([np.abs(flat[i + 1 :] - flat[i]).mean(1).min() for i in range(len(flat) - 1)])
    assert apart.min() > 10 / 255  # grain alone, at its strongest, would make 6


@pytest.mark.parametrize("kind", CLASSES)
def test_a_seed_gives_the_same_scene_at_every_size(kind):
    for seed, difficulty in ((0, 0), (1, 0), (2, 1), (3, 1)):
        small = render_flower(kind, seed, SIZE, difficulty)
        large = render_flower(kind, seed, 3 * SIZE, difficulty).reduce(3)
        assert difference(small, large) < 0.4 * difference(small, render_flower(kind, seed + 100, SIZE, difficulty))


def test_the_classes_differ_in_shape_and_not_in_mean_colour(photos):
    """Nearest mean colour is near chance, 0.2, while ridge regression on outlines and colours learns the classes."""
    truth = np.repeat(np.arange(len(CLASSES)), HELD_OUT)
    colour = photos.mean((2, 3))
    centres = colour[:, :LEARNT].mean(1)
    distance = np.linalg.norm(colour[:, LEARNT:].reshape(-1, 1, 3) - centres, axis=2)
    assert (distance.argmin(1) == truth).mean() < 0.5

    features = np.array([[outlines_and_colours(photo) for photo in several] for several in photos])
    known, unknown = features[:, :LEARNT].reshape(-1, features.shape[2]), features[:, LEARNT:]
    centre = known.mean(0)
    target = np.repeat(np.eye(len(CLASSES)), LEARNT, axis=0) - 1 / len(CLASSES)
    gram = (known - centre).T @ (known - centre) + 0.2 * np.eye(known.shape[1])
    scores = (unknown.reshape(-1, known.shape[1]) - centre) @ np.linalg.solve(gram, (known - centre).T @ target)
    assert (scores.argmax(1) == truth).mean() > 0.6


def outlines_and_colours(photo) -> np.ndarray:
    """Orientations of edges in 4 by 4 cells, 8 bins each, and a histogram of the middle's colours, 4 bins a channel."""
    down, across = np.gradient(photo.mean(2))
    strength, bins = np.hypot(down, across), (np.arctan2(down, across) % np.pi / np.pi * 8).astype(int) % 8
    cells = np.arange(SIZE) * 4 // SIZE
    where = (cells[:, None] * 4 + cells) * 8 + bins
    edges = np.bincount(where.ravel(), strength.ravel(), 128)
    middle = photo[SIZE // 6 : -SIZE // 6, SIZE // 6 : -SIZE // 6].reshape(-1, 3)
    colours = np.bincount((middle * 3.999).astype(int) @ [16, 4, 1], minlength=64)
    return np.concatenate([np.sqrt(edges / edges.sum()), np.sqrt(colours / colours.sum())])


def test_dandelions_are_both_yellow_and_white(photos):
    middles = photos[CLASSES.index("dandelion"), :, SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4]
    red, green, blue = np.moveaxis(middles, -1, 0)
    yellow = ((red > 0.5) & (green > 0.4) & (blue < 0.6 * green)).mean((1, 2))
    assert (yellow > 0.3).sum() >= 10
    assert (yellow < 0.1).sum() >= 10


@pytest.mark.parametrize(
    ("kind", "seed", "size"), [("orchid", 0, 64), ("Rose", 0, 64), ("rose", -1, 64), ("rose", 0, 8)]
)
def test_what_the_garden_cannot_paint_is_refused_in_a_sentence(kind, seed, size):
    with pytest.raises(UsageError, match=r"^The garden .*\.$"):
        render_flower(kind, seed, size)


@pytest.mark.parametrize("difficulty", [-0.1, 1.1, float("nan")])
def test_a_difficulty_out_of_range_is_refused_in_a_sentence(difficulty):
    with pytest.raises(UsageError, match=r"^The garden needs a difficulty .*\.$"):
        render_flower("rose", 0, 64, difficulty)


# What is hard


def drawn(seed: int, difficulty: float) -> set[str]:
    return Hardships(np.random.default_rng(seed), difficulty).drawn


def test_every_hardship_befalls_some_pictures_and_the_more_the_harder_they_are():
    assert set().union(*(drawn(seed, 1) for seed in range(100))) == {*PLAIN, *HIDING}
    several = [sum(len(drawn(seed, difficulty)) for seed in range(100)) for difficulty in (0, 0.25, 0.5, 0.75, 1)]
    assert several == sorted(several) and several[0] == 0 and several[-1] > 300
    assert max(len(drawn(seed, 1).intersection(HIDING)) for seed in range(100)) == 2  # or nobody could tell them


def test_the_harder_a_picture_the_farther_it_is_from_the_portrait():
    portraits = {(kind, seed): render_flower(kind, seed, 32) for kind in CLASSES for seed in range(4)}
    means = [
        np.mean([difference(portrait, render_flower(*of, 32, difficulty)) for of, portrait in portraits.items()])
        for difficulty in (0.2, 0.6, 1)
    ]
    assert means == sorted(means)


def test_a_garden_is_as_hard_in_every_class_and_goes_from_clear_to_hard(tmp_path, monkeypatch):
    asked = {kind: [] for kind in CLASSES}

    def paint(kind, seed, size, difficulty):
        asked[kind].append(difficulty)
        return Image.new("RGB", (16, 16))

    monkeypatch.setattr(garden, "render_flower", paint)
    render_garden(tmp_path / "hard", per_class=20)
    assert asked == {kind: [difficulty_of(number) for number in range(1, 21)] for kind in CLASSES}
    for part in (asked["rose"][:10], asked["rose"][10:]):
        assert max(np.diff(sorted([0, *part, 1]))) < 0.2
    asked = {kind: [] for kind in CLASSES}
    render_garden(tmp_path / "clear", per_class=2, hard=False)
    assert asked == {kind: [0.0, 0.0] for kind in CLASSES}


@pytest.mark.parametrize("kind", CLASSES)
def test_the_plants_are_the_same_however_hard_they_are_to_see(kind, monkeypatch):
    seen = []
    monkeypatch.setitem(picture.PAINTERS, kind, lambda canvas, *_: seen.append(canvas.habit.tolist()))
    monkeypatch.setattr(picture, "foliage", lambda *_: None)
    for seed in range(5):
        seen.clear()
        for difficulty in (0, 0.5, 1):
            render_flower(kind, seed, 16, difficulty)
        assert len({tuple(habit) for habit in seen}) == 1


def test_there_are_lookalikes_which_keep_what_tells_their_class():
    def colours(kind):
        """(variety, base tip accent, channel) in 0..1."""
        several = [bytes.fromhex(variety) for variety in VARIETIES[kind] + RARE[kind]]
        return np.array([list(variety) for variety in several]).reshape(-1, 3, 3) / 255

    def hues(kind):
        """The colours of the petals' tips, in words."""
        words = {(1, 1, 1): "white", (1, 1, 0): "yellow", (1, 0, 1): "pink", (1, 0, 0): "red"}
        return {words.get(tuple((tip > 0.55).astype(int)), "other") for tip in colours(kind)[:, 1]}

    assert {*RARE} == {*CLASSES}
    assert all({"white", "yellow"} <= hues(kind) for kind in ("daisy", "rose", "sunflower", "tulip"))
    assert all("pink" in hues(kind) or "white" in hues(kind) for kind in ("daisy", "rose", "tulip"))
    assert (colours("daisy")[:, 2] @ [1, 1, -1] > 1.2).all()  # a yellow dome
    assert (colours("sunflower")[:, 2].max(1) < 0.35).all()  # a dark disc


def scene(seed: int) -> tuple[Canvas, Pose]:
    rng = np.random.default_rng(seed)
    return Canvas(Image.new("RGB", (96, 96), (90, 120, 80)), rng), Pose.seen(48, 48, 30, 0.0, 0.4)


def test_what_is_in_front_leaves_enough_of_the_bloom():
    down, across = np.mgrid[:96, :96]
    inside = np.hypot(down - 48, across - 48) < 30
    hidden = []
    for seed in range(60):
        canvas, bloom = scene(seed)
        before = canvas.image.copy()
        obstruct(canvas, bloom, 1.0)
        hidden.append((np.asarray(changed(canvas.image, before))[inside] > 0).mean())
    assert max(hidden) < 0.9
    assert 0.15 < np.median(hidden) < 0.6


@pytest.mark.parametrize("painter", STRANGERS)
def test_a_stranger_is_where_it_is_asked_for(painter):
    canvas, bloom = scene(1)
    before = canvas.image.copy()
    paint_stranger(canvas, bloom.x, bloom.y, bloom.radius, painter)
    mask = np.asarray(changed(canvas.image, before)) > 0
    assert mask[20:76, 20:76].mean() > 0.2
    assert not mask[:8, :8].any()


def test_what_is_blurred_is_what_has_been_painted():
    ground = Image.effect_noise((96, 96), 60).convert("RGB")
    painted = ground.copy()
    painted.paste((255, 255, 255), (40, 40, 56, 56))
    soft = painted.copy()
    soften(soft, ground, 2)
    assert np.array_equal(np.asarray(soft)[:24], np.asarray(ground)[:24])
    assert 100 < np.asarray(soft)[48, 40].mean() < 240  # the edge of what was a hard square


def test_in_whatever_light_there_is_something_to_see():
    photo = render_flower("daisy", 3, SIZE)
    several = []
    for seed in range(60):
        hardships = Hardships(np.random.default_rng(seed), 1)
        hardships.drawn = {"light"}
        several.append(np.asarray(hardships.light(photo), np.float32).mean(2))
    assert all(20 < lit.mean() < 235 and lit.std() > 12 for lit in several)
    assert np.std([lit.mean() for lit in several]) > 25  # from dark to bright


# The set


def test_a_garden_is_folders_of_numbered_photos(tmp_path):
    folder, seen = tmp_path / "new" / "garden", []
    render_garden(
        folder, per_class=2, size=32, progress=lambda done, total: seen.append((done, total, folder.exists()))
    )
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg")) == [
        f"{kind}/{kind}-000{number}.jpg" for kind in CLASSES for number in (1, 2)
    ]
    for path in folder.rglob("*.jpg"):
        with Image.open(path) as photo:
            assert (photo.format, photo.mode, photo.size) == ("JPEG", "RGB", (32, 32))
    assert seen == [(done, 10, False) for done in range(1, 11)]  # the folder is not there before it is whole
    assert [path.name for path in folder.parent.iterdir()] == ["garden"]


@pytest.mark.thorough
def test_the_whole_garden_can_be_painted(tmp_path):
    render_garden(tmp_path / "garden", size=16)
    assert len({path.read_bytes() for path in tmp_path.rglob("*.jpg")}) == 300


def test_gardens_of_one_seed_are_equal_and_of_two_seeds_share_no_photo(tmp_path):
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        render_garden(tmp_path / name, per_class=2, seed=seed, size=32)
    one, same, other = (
        [p.read_bytes() for p in sorted((tmp_path / n).rglob("*.jpg"))] for n in ("one", "same", "other")
    )
    assert one == same
    assert not set(one) & set(other)


def test_two_painters_paint_what_one_does(tmp_path):
    """In a process of its own, as the studio has them at work."""
    command = module("flowers.data.garden", tmp_path / "two", 1)
    told = subprocess.run(**command | {"env": {**command["env"], "OMP_NUM_THREADS": "2"}}, stdout=subprocess.PIPE)
    assert told.stdout.split() == [b"1", b"2", b"3", b"4", b"5"]
    render_garden(tmp_path / "one", per_class=1)
    one, two = ([p.read_bytes() for p in sorted((tmp_path / n).rglob("*.jpg"))] for n in ("one", "two"))
    assert one == two


def test_a_garden_that_is_there_is_left_alone(tmp_path):
    folder = tmp_path / "garden"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    render_garden(folder, per_class=1, size=32, progress=lambda *_: pytest.fail("painted again"))
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_an_interrupted_garden_leaves_nothing(tmp_path):
    def interrupt(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_garden(tmp_path / "garden", per_class=1, size=32, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_of_two_gardeners_the_first_to_finish_wins(tmp_path):
    folder = tmp_path / "garden"

    def overtake(done, total):
        if done == 2:
            folder.mkdir()
            (folder / "first.txt").write_text("first")

    render_garden(folder, per_class=1, size=32, progress=overtake)
    assert [path.name for path in tmp_path.iterdir()] == ["garden"]
    assert [path.name for path in folder.iterdir()] == ["first.txt"]


def test_a_garden_that_cannot_be_is_refused_in_a_sentence(tmp_path):
    for asked in ({"per_class": 0}, {"seed": -1}):
        with pytest.raises(UsageError, match=r"^A garden needs .*\.$"):
            render_garden(tmp_path / "garden", **asked)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"^The garden cannot be written to .*choose another folder\.$"):
        render_garden(tmp_path / "file" / "garden", per_class=1, size=32)
