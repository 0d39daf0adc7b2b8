"""ultralytics' classification training as its documentation has it, at ImageNet's 224 pixels, with its own
configuration of a torchvision ResNet18: its own head (a convolution to 1,280 channels) on torchvision's trunk,
and it wants photos in 0..1, without ImageNet's normalisation.

https://docs.ultralytics.com/tasks/classify
"""

from ultralytics import YOLO

from benchmarks.contestants.course import Course


def main() -> None:
    course = Course.from_command_line()
    model = YOLO("yolo11-cls-resnet18.yaml")
    # The averaged network is the one that ultralytics itself checks, and keeps.
    model.add_callback(
        "on_train_epoch_end",
        lambda trainer: course.validate(trainer.ema.ema, read=first, normalise=False),
    )
    model.train(
        data=str(course.photos),
        epochs=course.epochs(100),
        imgsz=224,
        project=str(course.folder),
        val=False,  # the callback does it
        plots=False,
    )


def first(output):
    """The class probabilities: its head returns (probabilities, scores) outside of training."""
    return output[0] if isinstance(output, tuple | list) else output


if __name__ == "__main__":
    main()
