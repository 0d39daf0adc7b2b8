"""The report's log format, line by line from the events."""

from flowers.training.events import Epoch, Event, Finished, Folded, Started
from flowers.training.learning_curve import in_words


def log_lines(event: Event, epochs: int) -> str | None:
    """What ``log.txt`` and the terminal say of an event; None for those that only move the progress bar."""
    match event:
        case Started():
            resumed = "Going on" if event.epoch or event.step else "Training"
            held = f"{event.val_photos} held back" if event.val_photos else "judged by folds"
            return (
                f"{resumed}: {event.train_photos} photos to learn from, {held}, "
                f"{len(event.classes)} classes. {event.machine} {event.store}\n"
                f"This should take {duration(_to_come(event))}.\n"
                + "".join(f"{note}\n" for note in event.notes)
                + "".join(f"Left out: {reason}\n" for reason in event.left_out)
            )
        case Epoch():
            return (
                f"Epoch {event.epoch}/{epochs - 1}\n"
                f"{'-' * 10}\n"
                f"Learning Rate: {event.learning_rate:.6g}\n"
                f"train Loss: {event.train_loss:.4f} Acc: {event.train_accuracy:.4f}\n"
                f"val Loss: {event.val_loss:.4f} Acc: {event.val_accuracy:.4f}\n"
            )
        case Folded():
            return (
                f"The last layer has learned from {event.photos} photos. By {event.folds} folds it is right on "
                f"{event.accuracy:.2%} of those that it has not seen.\n{in_words(event.curve, event.photos)}".rstrip()
            )
        case Finished():
            ended = "stopped" if event.stopped else "complete"
            best = "none yet" if event.best_val_accuracy is None else f"{event.best_val_accuracy:.4f}"
            if not event.stopped and event.epochs_done < epochs:
                idle = event.epochs_done - 1 - event.best_epoch
                ended = f"stopped early, with no improvement for {idle} epochs,"
            return f"Training {ended} in {duration(event.seconds)}\nBest val Acc: {best}"
    return None


def _to_come(event: Started) -> float:
    """Seconds predicted for what is left: of the epoch it stands in, the steps not done."""
    done = event.step / event.steps
    return sum(event.predicted[event.epoch :]) - done * sum(event.predicted[event.epoch : event.epoch + 1])


def duration(seconds: float) -> str:
    """Seconds as the report writes them: ``20m 18s``; with hours when there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m {rest}s" if hours else f"{minutes}m {rest}s"
