"""The race's own check of checkpoints of ours: ``python -m benchmarks.contestants.score FOLDER CHECKPOINT...``.

Prints a line with the accuracy, 0..1, of each, by the same function that checks every peer.
"""

import sys

from benchmarks.contestants.course import Course
from flowers.models.checkpoint import find_checkpoint, load_model


def main() -> None:
    folder, *checkpoints = sys.argv[1:]
    course = Course(folder)
    for checkpoint in checkpoints:
        print(course.accuracy(load_model(find_checkpoint(checkpoint)).float()))


if __name__ == "__main__":
    main()
