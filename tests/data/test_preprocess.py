"""What validation and every answer do to a photo."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import v2

from flowers.data.garden import render_flower
from flowers.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, to_pixels


@settings(max_examples=150, deadline=None)
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


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (256, 256), (1200, 900)])
def test_the_frame_is_torchvisions_resize_and_centre_crop(size):
    """One resampling in place of two roundings: the same picture to within half a pixel."""
    image = render_flower("sunflower", 1, 256).resize(size)
    theirs = v2.CenterCrop(224)(v2.Resize(256)(image))
    ours = Preprocessing().frame(image)
    difference = np.abs(np.asarray(ours, float) - np.asarray(theirs, float))
    assert difference.mean() < 4


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
