"""timm's parts, put together as its train.py does, with the one fine-tuning command its documentation has:
``train.py --pretrained --batch-size 32 --epochs 30 --opt adamw --lr 1e-4 --weight-decay 0.01``; what that leaves open
is train.py's default (cosine, 5 epochs of warm-up, label smoothing 0.1, 4 workers). No mixed precision.

https://huggingface.co/docs/timm/training_script
"""

import timm
import torch
from timm.data import create_dataset, create_loader, resolve_model_data_config
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2

from benchmarks.contestants.course import Course, weights_file


def main() -> None:
    course = Course.from_command_line()
    model = timm.create_model(
        "resnet18.tv_in1k",
        pretrained=True,
        pretrained_cfg_overlay={"file": str(weights_file())},
        num_classes=len(course.classes),
    )
    config = resolve_model_data_config(model)
    loader = create_loader(
        create_dataset("", root=str(course.photos), split="train", is_training=True),
        input_size=config["input_size"],
        interpolation="random",
        mean=config["mean"],
        std=config["std"],
        batch_size=32,
        is_training=True,
        color_jitter=0.4,
        num_workers=4,
        device=torch.device("cpu"),
        use_prefetcher=False,
    )
    criterion = LabelSmoothingCrossEntropy(0.1)
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-4, weight_decay=0.01)
    epochs = course.epochs(30)
    scheduler, epochs = create_scheduler_v2(
        optimizer,
        sched="cosine",
        num_epochs=epochs,
        warmup_epochs=5,
        warmup_lr=1e-5,
        cooldown_epochs=0,
        updates_per_epoch=len(loader),
    )
    for epoch in range(epochs):
        model.train()
        for inputs, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
        scheduler.step(epoch + 1)
        course.validate(model)


if __name__ == "__main__":
    main()
