"""fastai as its vision tutorial has it: presized photos, its own augmentations on the batch, ``fine_tune``.

Its tutorials fine-tune for 1 to 4 epochs after a frozen one; we give it 4. The learning rates are its defaults.

https://docs.fast.ai/tutorial.vision.html
"""

from fastai.callback.core import Callback, CancelValidException
from fastai.vision.all import ImageDataLoaders, Resize, accuracy, aug_transforms, resnet18, vision_learner

from benchmarks.contestants.course import Course


class Validate(Callback):
    """The race's check in the place of fastai's own, which cuts validation photos in another way."""

    def __init__(self, course: Course) -> None:
        super().__init__()
        self.course = course

    def before_validate(self) -> None:
        self.course.validate(self.learn.model)
        raise CancelValidException


def main() -> None:
    course = Course.from_command_line()
    loaders = ImageDataLoaders.from_folder(
        course.photos, train="train", valid="val", item_tfms=Resize(460), batch_tfms=aug_transforms(size=224)
    )
    learner = vision_learner(loaders, resnet18, metrics=accuracy, cbs=Validate(course))
    epochs = course.epochs(1 + 4)
    learner.fine_tune(epochs - 1)


if __name__ == "__main__":
    main()
