"""Who is held back of classes that are series: bursts, films, a camera that does not move."""

import itertools

import pytest

from flowers.data.dataset import Photo, PhotoDataset, flattery
from flowers.data.split import deal, draw, held_out, natural
from flowers.errors import DataError


def photos_of(*classes: dict[str, int]) -> tuple[list[Photo], list[tuple[int, ...]]]:
    """Photos, and the groups they make: each class is given as its series' names and lengths."""
    photos, groups = [], []
    for label, series in enumerate(classes):
        for name, length in series.items():
            groups.append(tuple(range(len(photos), len(photos) + length)))
            photos += [Photo(f"{label}/{name} {n}.jpg", label, f"{label}{name}{n}", "") for n in range(length)]
    return photos, groups


def held(photos: list[Photo], groups: list[tuple[int, ...]], seed: int = 0) -> list[str]:
    return [photos[i].path for i in draw(photos, groups, seed, 0.2).val]


def test_of_one_series_the_last_part_is_held_back_in_the_order_of_the_names():
    photos, groups = photos_of({"frame": 12}, {"frame": 15})
    split = draw(photos, groups, 0, 0.2)
    names = [f"0/frame {n}.jpg" for n in (10, 11)] + [f"1/frame {n}.jpg" for n in (12, 13, 14)]
    assert [photos[i].path for i in split.val] == names
    assert split.flattering == (0, 1)
    assert sorted([*split.train, *split.val]) == list(range(27))


@pytest.mark.parametrize("bursts", [2, 3, 6])
def test_of_several_bursts_one_is_held_back_whole(bursts):
    photos, groups = photos_of({f"burst{n}": 10 for n in range(bursts)}, {f"burst{n}": 10 for n in range(bursts)})
    for seed in range(5):
        split = draw(photos, groups, seed, 0.2)
        assert not split.flattering
        for group in groups:
            assert set(group) <= set(split.train) or set(group) <= set(split.val)
        assert len(split.val) == 20


def test_the_smallest_of_large_series_is_held_back():
    photos, groups = photos_of({"long": 40, "short": 15}, {"a": 1, "b": 1, "c": 1})
    assert [path for path in held(photos, groups) if path.startswith("0/")] == [f"0/short {n}.jpg" for n in range(15)]


def test_a_class_of_photos_is_divided_by_lot_beside_a_series():
    photos, groups = photos_of({"frame": 10}, {str(n): 1 for n in range(10)})
    split = draw(photos, groups, 0, 0.2)
    assert split.flattering == (0,)
    assert len([i for i in split.val if photos[i].label == 1]) == 2
    assert held(photos, groups, 1) != held(photos, groups, 0), "the seed decides about the photos"


def test_copies_of_one_file_stay_together_in_a_series():
    photos = [Photo(f"0/{n}.jpg", 0, f"file {n // 3}", "") for n in range(12)]
    split = draw(photos, [tuple(range(12))], 0, 0.2)
    assert split.val == (9, 10, 11)


def test_copies_of_one_file_are_no_series():
    photos = [Photo(f"{label}/{n}.jpg", label, f"{label}{n * label}", "") for label in (0, 1) for n in range(4)]
    dataset = PhotoDataset(None, ("copies", "different"), tuple(photos))
    with pytest.raises(DataError, match="The class copies has too few different photos"):
        dataset.split()


def test_a_word_is_said_about_series_and_about_nothing_else():
    photos, groups = photos_of({"frame": 10}, {str(n): 1 for n in range(10)})
    dataset = PhotoDataset(None, ("valve", "rose"), tuple(photos))
    [said] = flattery(dataset, draw(photos, groups, 0, 0.2))
    assert "valve" in said and "rose" not in said and "flatters" in said
    assert flattery(dataset, draw(photos, [(i,) for i in range(20)], 0, 0.2)) == []


def test_frames_are_counted():
    assert sorted(["a10.jpg", "a2.jpg", "b1.jpg", "7.jpg"], key=natural) == ["7.jpg", "a2.jpg", "a10.jpg", "b1.jpg"]


def test_the_split_is_the_same_on_every_machine():
    photos, groups = photos_of({str(n): 1 for n in range(25)}, {str(n): 1 for n in range(25)})
    numbers = [(0, 5), (0, 9), (0, 14), (0, 15), (0, 20), (1, 3), (1, 7), (1, 14), (1, 17), (1, 19)]
    assert held(photos, groups) == [f"{label}/{number} 0.jpg" for label, number in numbers]


# Folds


def dealt(*classes: dict[str, int], count: int = 5) -> tuple[list[Photo], list[list[int]]]:
    photos, groups = photos_of(*classes)
    return photos, deal(photos, groups, count)


def test_folds_have_every_photo_once_and_of_each_class_as_many():
    photos, parts = dealt({str(n): 1 for n in range(25)}, {str(n): 1 for n in range(10)})
    assert sorted(itertools.chain(*parts)) == list(range(35))
    assert [sum(photos[i].label for i in part) for part in parts] == [2] * 5
    assert [len(part) for part in parts] == [7] * 5


def test_a_burst_is_in_one_fold_whole_and_few_bursts_make_few_folds():
    photos, groups = photos_of({f"burst{n}": 10 for n in range(3)}, {str(n): 1 for n in range(30)})
    parts = deal(photos, groups, 5)
    assert len(parts) == 3
    assert all(any(set(group) <= set(part) for part in parts) for group in groups)


def test_a_class_of_one_series_is_cut_into_stretches_in_the_order_of_the_names():
    photos, parts = dealt({"frame": 12}, {str(n): 1 for n in range(20)}, count=4)
    stretches = sorted([i for i in part if photos[i].label == 0] for part in parts)
    assert [[int(photos[i].path.split()[-1][:-4]) for i in stretch] for stretch in stretches] == [
        [0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11],
    ]  # fmt: skip


def test_copies_of_one_file_are_in_one_fold_of_a_series():
    photos = [Photo(f"0/{n}.jpg", 0, f"file {n // 3}", "") for n in range(12)]
    assert sorted(deal(photos, [tuple(range(12))], 2)) == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]


def test_a_picture_under_two_labels_is_in_one_fold():
    photos, groups = photos_of({str(n): 1 for n in range(10)}, {str(n): 1 for n in range(10)})
    pair = (groups[3][0], groups[14][0])
    parts = deal(photos, [*(group for group in groups if group[0] not in pair), pair], 5)
    assert [set(pair) <= set(part) for part in parts].count(True) == 1


def test_each_fold_is_held_out_once():
    assert list(held_out([[1, 2], [3], [4]])) == [([1, 2], [3, 4]), ([3], [1, 2, 4]), ([4], [1, 2, 3])]


def test_no_fold_is_empty():
    """Two series of two files each, and copies of them, are four pieces."""
    photos = [Photo(f"{label}/{n:02}.jpg", label, f"{label} {n % 2}", "") for label in (0, 1) for n in range(26)]
    parts = deal(photos, [tuple(range(26)), tuple(range(26, 52))], 5)
    assert all(parts) and sorted(itertools.chain(*parts)) == list(range(52))
