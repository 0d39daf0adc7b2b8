"""The studio's API names. The page's own events are private: these are for programs, in plain values."""

from typing import Any

import gradio as gr

from flowers.studio import augment, classify, common, evaluate, train


def build() -> None:
    """Add the public endpoints. Call inside the page's ``gr.Blocks``."""
    with gr.Row(visible=False):
        photo = common.PhotoInput(label="photo")
        checkpoint = gr.Textbox(label="checkpoint")
        label = gr.Textbox(label="label")
        settings = gr.JSON(label="settings")
        count = gr.Number(8, label="count", precision=0)
        seed = gr.Number(0, label="seed", precision=0)
        result = gr.JSON()
        pictures = gr.Gallery()
        picture = gr.Image(format="jpeg")
        call = gr.Button()
    # A photo has to come in through a real component: only those check that the file is an upload.
    call.click(classify.classify, [photo, checkpoint], result, api_name="classify",
               **classify.ANSWERS)  # fmt: skip
    call.click(classify.explain, [photo, checkpoint, label], [picture, result], api_name="explain",
               **classify.REASONS)  # fmt: skip
    call.click(augment.augment_file, [photo, settings, count, seed], pictures, api_name="augment",
               concurrency_id=common.COMPUTE, concurrency_limit=1)  # fmt: skip

    def start_training(preset: str = "report", source: str = "garden", settings: dict[str, Any] | None = None) -> dict:
        """Start a run: a preset, a photo set, and hyperparameters that differ. Answers as /training_status."""
        # A program has no cookie to be known by: its runs are nobody's, so that it may stop them.
        return train.start(preset, source, settings or {})

    def training_status(run: str | None = None) -> dict:
        """How a run is doing, by its name; without one, the run at work or else the latest."""
        return train.status(run)

    def stop_training(run: str | None = None) -> dict:
        """Ask a run to stop after its current batch; it can be resumed. Answers as /training_status."""
        return train.stop(run)

    def evaluate_checkpoint(checkpoint: str, source: str, split: str = "val") -> dict:
        """A checkpoint's accuracy, per-class table, confusion matrix and worst mistakes on a photo set."""
        return evaluate.measure(checkpoint, source, split).to_dict()

    for function in (start_training, training_status, stop_training):
        gr.api(function, api_name=function.__name__)
    gr.api(evaluate_checkpoint, api_name="evaluate", concurrency_id=common.COMPUTE,
           concurrency_limit=1)  # fmt: skip
