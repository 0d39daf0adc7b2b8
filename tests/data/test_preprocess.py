"""What validation and every answer do to a photo."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import v2

from flowers.data.decode import decode_image
from flowers.data.garden import render_flower
from flowers.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, to_pixels


@settings(max_examples=5 * settings.default.max_examples)
@given(
    width=st.integers(8, 700),
    height=st.integers(8, 700),
    size=st.integers(16, 64),
    more=st.integers(0, 40),
)
def test_any_photo_becomes_a_square_of_the_size(width, height, size, more):
    """Also with ``size`` equal to ``resize``, where the square's box is as wide as the photo."""
    image = Image.new("RGB", (width, height), (10, 200, 90))
    frame = Preprocessing(size=size, resize=size + more).frame(image)
    assert (frame.size, frame.mode) == ((size, size), "RGB")
    assert frame.getextrema() == ((10, 10), (200, 200), (90, 90))


def test_rounding_never_takes_the_square_out_of_the_photo():
    """With ``size`` equal to ``resize`` the square is as wide as the photo, to the last bit."""
    for side in range(8, 700):
        frame = Preprocessing(size=224, resize=224).frame(Image.new("RGB", (side, side + 1)))
        assert frame.size == (224, 224)


@settings(max_examples=5 * settings.default.max_examples)
@given(width=st.integers(8, 300), height=st.integers(8, 300), resize=st.integers(16, 64))
def test_a_working_copy_is_small_enough_and_never_enlarged(width, height, resize):
    preprocessing = Preprocessing(size=16, resize=resize)
    copy = preprocessing.reduce(Image.new("RGB", (width, height), (10, 200, 90)))
    assert min(copy.size) == min(width, height, resize)
    assert max(copy.size) <= 2 * min(copy.size)
    assert copy.width * copy.height * 3 <= preprocessing.largest_copy
    ratio = min(2, max(0.5, width / height))  # of the sides: kept, up to the rounding of one pixel
    assert abs(copy.width - ratio * copy.height) <= max(1, ratio)
    assert copy.getextrema() == ((10, 10), (200, 200), (90, 90))


@settings(max_examples=2 * settings.default.max_examples)
@given(width=st.integers(8, 300), height=st.integers(8, 300), resize=st.integers(16, 64))
def test_a_working_copys_working_copy_is_itself(width, height, resize):
    noise = Image.effect_noise((width, height), 90).convert("RGB")
    copy = Preprocessing(size=16, resize=resize).reduce(noise)
    again = Preprocessing(size=16, resize=resize).reduce(copy)
    assert (again.size, again.tobytes()) == (copy.size, copy.tobytes())


@pytest.mark.parametrize("turned", [False, True])
def test_of_a_panorama_the_middle_is_kept(turned):
    panorama = Image.new("RGB", (600, 100), "red")
    panorama.paste("blue", (200, 0, 400, 100))
    if turned:
        panorama = panorama.transpose(Image.Transpose.ROTATE_90)
    copy = Preprocessing(size=40, resize=50).reduce(panorama)
    assert copy.size == ((50, 100) if turned else (100, 50))
    inside = copy.crop((1, 1, copy.width - 1, copy.height - 1))  # the outermost pixels blend with what is beyond
    assert inside.getextrema() == ((0, 0), (0, 0), (255, 255))


@pytest.mark.parametrize("side", [40, 400])
def test_answers_and_training_see_the_same_pixels(tmp_path, side):
    """One from a decoded photo, the other from its file; whole, or decoded at an eighth of its size."""
    render_flower("daisy", 4, 640).save(tmp_path / "photo.jpg")
    preprocessing = Preprocessing(size=round(side * 0.875), resize=side)
    from_file = preprocessing.working_copy(tmp_path / "photo.jpg")
    decoded = decode_image((tmp_path / "photo.jpg").read_bytes(), min_side=side)
    assert preprocessing.frame(from_file).tobytes() == preprocessing.frame(preprocessing.reduce(decoded)).tobytes()


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (256, 256), (1200, 900), (301, 277)])
def test_the_frame_is_torchvisions_resize_and_centre_crop(size):
    """The same picture to within half a pixel, by which torchvision rounds."""
    image = render_flower("sunflower", 1, 256).resize(size)
    theirs = v2.CenterCrop(224)(v2.Resize(256)(image))
    ours = Preprocessing().frame(Preprocessing().reduce(image))
    difference = np.abs(np.asarray(ours, float) - np.asarray(theirs, float))
    assert difference.mean() < 4


@pytest.mark.parametrize("size", [(512, 512), (1024, 768), (600, 900)])
def test_of_a_large_photo_the_frame_is_torchvisions_exactly(size):
    image = render_flower("sunflower", 1, 256).resize(size)
    theirs = v2.CenterCrop(224)(image.resize(Preprocessing().reduce(image).size, Image.Resampling.BILINEAR))
    ours = Preprocessing().frame(Preprocessing().reduce(image))
    # Within rounding of the box filter with which Pillow may begin.
    assert np.abs(np.asarray(ours, float) - np.asarray(theirs, float)).max() <= 3


@pytest.mark.parametrize("photo", [(256, 341), (130, 100), (90, 90)])
@pytest.mark.parametrize("size", [128, 32, 160])
def test_a_smaller_frame_shows_the_same_part(photo, size):
    copy = render_flower("tulip", 5, 256).resize(photo)
    whole, small = Preprocessing().frame(copy), Preprocessing().frame(copy, size)
    assert small.size == (size, size)
    shrunk = whole.resize(small.size, Image.Resampling.BILINEAR)
    assert np.abs(np.asarray(small, float) - np.asarray(shrunk, float)).mean() < 3


def test_the_frame_is_the_centre():
    image = Image.new("RGB", (400, 200), "black")
    image.paste("white", (100, 0, 300, 200))
    frame = Preprocessing(size=50, resize=50).frame(image)
    assert frame.crop((1, 0, 49, 50)).getextrema() == ((255, 255),) * 3  # the outermost columns blend with black
    assert frame.getpixel((0, 9)) == frame.getpixel((49, 9))


def test_pixels_are_channels_first_and_unchanged():
    image = render_flower("rose", 2, 40).resize((40, 30))
    pixels = to_pixels(image)
    assert (pixels.shape, pixels.dtype) == ((3, 30, 40), torch.uint8)
    assert tuple(pixels[:, 7, 11].tolist()) == image.getpixel((11, 7))


def test_normalising_is_torchvisions():
    pixels = torch.randint(0, 256, (2, 3, 5, 4), dtype=torch.uint8)
    theirs = v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)(v2.ToDtype(torch.float32, scale=True)(pixels))
    ours = Preprocessing().normalise(pixels)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_it_survives_a_checkpoints_json():
    given = Preprocessing(64, 72, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert Preprocessing.from_dict(json.loads(json.dumps(given.to_dict()))) == given


@pytest.mark.parametrize("mirror", [False, True])
def test_an_answer_is_the_networks_or_the_mean_over_both_sides(mirror):
    """Of scores. What the network cannot tell from its mirror image scores as ever; what it can, the same both ways."""

    def network(photos: torch.Tensor) -> torch.Tensor:
        return torch.stack([photos[..., :2].sum((1, 2, 3)), photos.mean((1, 2, 3))], 1)

    photos = torch.randn(4, 3, 6, 6)
    given = Preprocessing(64, 72, mirror=mirror)
    ours, mirrored = given.answer(network, photos), given.answer(network, photos.flip(-1))
    assert torch.equal(ours, mirrored) == mirror
    torch.testing.assert_close(ours[:, 1], network(photos)[:, 1])
    expected = (network(photos) + network(photos.flip(-1))) / 2 if mirror else network(photos)
    assert torch.equal(ours, expected)


def test_a_checkpoint_that_says_nothing_of_mirrors_has_none():
    """As those from before there were any."""
    values = Preprocessing(64, 72).to_dict()
    del values["mirror"]
    assert Preprocessing.from_dict(values) == Preprocessing(64, 72)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": "64"}, {"size": 0}, {"size": 64.0}, {"size": True}, {"size": 80}, {"size": 10**9, "resize": 10**9},
        {"resize": None}, {"mean": "abc"}, {"mean": [0.5]}, {"mean": 0.5}, {"mean": [0.5, float("nan"), 0.5]},
        {"std": [0.5, 0.0, 0.5]}, {"std": [0.5, 0.5, "0.5"]}, {"std": None}, {"mirror": "yes"}, {"other": 1},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_preprocessing_is_refused(wrong):
    with pytest.raises((KeyError, TypeError, ValueError)):
        Preprocessing.from_dict({**Preprocessing(64, 72).to_dict(), **wrong})


@pytest.mark.parametrize("size", [(640, 480), (300, 900), (96, 96), (40, 90)])
def test_the_square_is_where_the_frame_was_cut_out(size):
    preprocessing = Preprocessing(size=64, resize=96)
    image = render_flower("daisy", 2, 200).resize(size)
    there = image.resize((64, 64), Image.Resampling.BILINEAR, box=preprocessing.square(*size))
    difference = to_pixels(there).int() - to_pixels(preprocessing.frame(image)).int()
    assert difference.abs().float().mean() < 3  # of 255
