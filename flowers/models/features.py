"""A network that also gives its features: what its last layer is given to name a photo by."""

import copy
import itertools

from torch import Tensor, nn


class WithFeatures(nn.Module):
    """``model``, asked for two things at once; the weights stay shared with it, and it stays as it is.

    ``head`` is the name of its last layer. Of photos, float32 (N, 3, size, size), it gives the class scores, float32
    (N, classes), and the features, float32 (N, F): the head's input.
    """

    def __init__(self, model: nn.Module, head: str) -> None:
        super().__init__()
        shared = {id(tensor): tensor for tensor in itertools.chain(model.parameters(), model.buffers())}
        self.body = copy.deepcopy(model, shared)
        self.head = self.body.get_submodule(head)
        self.body.set_submodule(head, nn.Identity())

    def forward(self, photos: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(photos)
        return self.head(features), features
