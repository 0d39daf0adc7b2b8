"""PyTorch's transfer learning tutorial (Sasank Chilamkurthy), as the report ran it: its five augmentations, batch 32,
25 epochs, 4 loader workers, float32.

https://pytorch.org/tutorials/beginner/transfer_learning_tutorial.html
"""

import torch
from torch import nn
from torchvision import datasets, models, transforms

from benchmarks.contestants.course import IMAGENET_MEAN, IMAGENET_STD, Course


def main() -> None:
    course = Course.from_command_line()
    augmented = transforms.Compose(
        [
            transforms.RandomResizedCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.RandomRotation(30),
            # The report does not tell how strong; these are the values of our preset `report`.
            transforms.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1),
            transforms.RandomAffine(0, shear=10, scale=(0.8, 1.2)),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    photos = datasets.ImageFolder(course.photos / "train", augmented)
    loader = torch.utils.data.DataLoader(photos, batch_size=32, shuffle=True, num_workers=4)

    model = models.resnet18(weights="IMAGENET1K_V1")
    model.fc = nn.Linear(model.fc.in_features, len(course.classes))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)

    best = 0.0
    for _ in range(course.epochs(25)):
        model.train()
        for inputs, labels in loader:
            optimizer.zero_grad()
            outputs = model(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            loss.item()  # the tutorial sums the loss
        scheduler.step()
        accuracy = course.validate(model)
        if accuracy > best:
            best = accuracy
            torch.save(model.state_dict(), course.folder / "best_model_params.pt")


if __name__ == "__main__":
    main()
