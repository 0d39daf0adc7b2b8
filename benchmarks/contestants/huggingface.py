"""Hugging Face Trainer, as the image classification guide of transformers runs it: AdamW at 5e-5, warm-up, batch 16
gathered four times, 3 epochs. The network is timm's ResNet18 in transformers' own wrapper, since the hub is not asked.

https://huggingface.co/docs/transformers/tasks/image_classification
"""

import torch
from datasets import load_dataset
from torchvision.transforms import Compose, Normalize, RandomResizedCrop, ToTensor
from transformers import (
    DefaultDataCollator,
    TimmWrapperConfig,
    TimmWrapperForImageClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from benchmarks.contestants.course import IMAGENET_MEAN, IMAGENET_STD, Course, weights_file


class Validate(TrainerCallback):
    """The race's check in the place of Trainer's own evaluation."""

    def __init__(self, course: Course) -> None:
        self.course = course

    def on_epoch_end(self, arguments, state, control, model, **kwargs) -> None:
        self.course.validate(model, read=lambda output: output.logits)


def main() -> None:
    course = Course.from_command_line()
    augmented = Compose([RandomResizedCrop(224), ToTensor(), Normalize(IMAGENET_MEAN, IMAGENET_STD)])

    def transforms(examples: dict) -> dict:
        examples["pixel_values"] = [augmented(image.convert("RGB")) for image in examples["image"]]
        del examples["image"]
        return examples

    photos = load_dataset("imagefolder", data_dir=str(course.photos), split="train")
    trainer = Trainer(
        model=network(course.classes),
        args=TrainingArguments(
            output_dir=str(course.folder / "huggingface"),
            remove_unused_columns=False,
            eval_strategy="no",  # Validate does it
            save_strategy="epoch",
            learning_rate=5e-5,
            per_device_train_batch_size=16,
            gradient_accumulation_steps=4,
            num_train_epochs=course.epochs(3),
            warmup_steps=0.1,  # a part of all steps
            logging_steps=10,
            report_to="none",
        ),
        data_collator=DefaultDataCollator(),
        train_dataset=photos.with_transform(transforms),
        callbacks=[Validate(course)],
    )
    trainer.train()


def network(classes: list[str]) -> TimmWrapperForImageClassification:
    """ResNet18 with the ImageNet weights and a new last layer, as ``from_pretrained`` would make it."""
    config = TimmWrapperConfig(
        architecture="resnet18",
        id2label=dict(enumerate(classes)),
        label2id={name: index for index, name in enumerate(classes)},
    )
    model = TimmWrapperForImageClassification(config)
    weights = torch.load(weights_file(), weights_only=True)
    body = {name: tensor for name, tensor in weights.items() if not name.startswith("fc.")}
    missing = model.timm_model.load_state_dict(body, strict=False)
    assert set(missing.missing_keys) == {"fc.weight", "fc.bias"}, missing
    return model


if __name__ == "__main__":
    main()
