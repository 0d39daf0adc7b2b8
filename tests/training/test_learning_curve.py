"""What the learning curve says of more photos."""

import pytest

from flowers.training.learning_curve import half, in_words, verdict

RISING = [(16, 0.5), (32, 0.7), (48, 0.8), (64, 0.85), (80, 0.9)]
FLAT = [(400, 0.94), (800, 0.95), (1200, 0.952), (1600, 0.951), (2000, 0.953)]


@pytest.mark.parametrize(
    ("curve", "photos", "said"),
    [
        (RISING, 100, "helps"),
        (FLAT, 2500, "hardly"),
        ([(4, 0.7), (8, 0.75), (12, 0.75)], 15, "unsure"),
        ([(80, 1.0), (160, 1.0)], 200, "hardly"),  # nothing is left to gain
        ([(8, 1.0)], 10, "unsure"),
    ],
)
def test_the_second_half_of_the_photos_tells_what_as_many_more_may_bring(curve, photos, said):
    assert verdict(curve, photos) == said


def test_half_is_the_point_nearest_to_half():
    assert half(RISING) == (32, 0.7)
    assert half([(5, 0.4), (9, 0.6)]) == (5, 0.4)


def test_the_sentence_names_both_points():
    assert in_words(RISING, 100) == (
        "With 32 photos to learn from it was right on 70% of the others, with 80 on 90%: more photos would help."
    )
    assert in_words(RISING[:1], 20) == ""
