"""What a recipe asks for on the way through a run: learning rate, momentum, pictures, the average. Pure functions."""

import math

from flowers.data.preprocess import Preprocessing
from flowers.models.backbones import backbone
from flowers.recipe import Recipe

CLOSER = 1.35  # times as large
SIZE_STEP = 32  # pixels: the networks halve a picture five times
# What torch's OneCycleLR does unless told otherwise: parts of the full learning rate, and the fall of the momentum.
CYCLE_START, CYCLE_END = 1 / 25, 1 / 25e4
MOMENTUM_DIP = 0.1
LOOKS = 300  # at few photos: with more of them the first answer takes longer than five seconds on two cores
# Photos. With steps 500 flowers came to 93.7 ± 0.4 %, without to 93.9 ± 0.7 % (benchmarks/few.py, five draws): the
# fifth that is held back costs what the steps bring.
TELLING = 2000


def probe_epochs(recipe: Recipe) -> int:
    """How many epochs, at the beginning, fit the last layer alone: 1 or 0."""
    return int(recipe.probe != "off")


def enough(recipe: Recipe, photos: int) -> Recipe:
    """The recipe as so many photos allow it: what comes after folds is left out where too few are held back to tell
    whether it is better.
    """
    return recipe.replace(epochs=1) if recipe.probe == "folds" and photos < TELLING else recipe


def folds_alone(recipe: Recipe) -> bool:
    """Whether the last layer, judged by folds, is all that a recipe trains."""
    return recipe.probe == "folds" and recipe.epochs == 1


def preprocessing_of(recipe: Recipe) -> Preprocessing:
    """What a recipe's network wants photos to look like."""
    chosen = backbone(recipe.backbone)
    return Preprocessing(chosen.size, chosen.resize, chosen.mean, chosen.std, mirror=recipe.mirror_answers == "on")


def distances(photos: int) -> int:
    """From how many distances the last layer alone learns to know so many photos: 3 for up to 50, 1 from 76 on."""
    return max(1, min(3, LOOKS // (2 * photos)))


def resizes(recipe: Recipe, photos: int) -> tuple[int, ...]:
    """The short side, in pixels, that so many photos have before the middle is cut out, one for each distance.

    First what an answer sees; then all of the middle square, then a closer look. Of 5 and of 20 flowers a class that
    makes answers a point better, of 50 it does nothing.
    """
    wants = preprocessing_of(recipe)
    return (wants.resize, wants.size, round(CLOSER * wants.resize))[: distances(photos)]


def learning_rate(recipe: Recipe, done: float) -> float:
    """The learning rate when ``done`` epochs are done, a fraction in the midst of one.

    ``step`` drops it every ``lr_step`` epochs, as torch's StepLR has it; ``cosine`` (Loshchilov and Hutter 2016) brings
    it down to nothing at the end. Their warm-up is linear. ``onecycle`` (Smith and Topin 2017, Smith 2018) rises and
    falls in half waves, as torch's OneCycleLR does.
    """
    part = _part(recipe, done)
    if recipe.schedule == "onecycle":
        foot = CYCLE_START if part < recipe.warmup else CYCLE_END
        return recipe.learning_rate * (foot + (1 - foot) * _wave(recipe, part))
    first = probe_epochs(recipe)
    if recipe.schedule == "cosine":
        rate = recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, part)))
    else:
        rate = recipe.learning_rate * recipe.lr_gamma ** (int(done - first) // recipe.lr_step)
    return rate * min(1.0, part / recipe.warmup) if recipe.warmup else rate


def momentum(recipe: Recipe, done: float) -> float:
    """The momentum (of AdamW, its first beta) when ``done`` epochs are done.

    ``onecycle`` lowers it by up to 0.1 while the learning rate is high: from 0.95 that is what torch's OneCycleLR does.
    """
    if recipe.schedule != "onecycle":
        return recipe.momentum
    return recipe.momentum - min(MOMENTUM_DIP, recipe.momentum) * _wave(recipe, _part(recipe, done))


def picture_size(recipe: Recipe, epoch: int, size: int) -> int:
    """Side of the pictures of an epoch, in pixels: from ``first_size`` to ``last_size``, in equal steps.

    Both are at most the network's own ``size``, which is also what 0 means; where the first is not the smaller, all are
    of the last. An epoch that probes is at the first, one by folds at the network's own. Sizes on the way are multiples
    of SIZE_STEP. A network that can look at pictures of one size alone keeps it, whatever the recipe says.

    Progressive resizing, after Howard's entry to DAWNBench (2018): small pictures teach the coarse in a third of the
    time. Ending below the size of the answers: Touvron et al. 2019, arXiv 1906.06423; a random crop enlarges what it
    shows, so that on smaller pictures things look as large as they do in an answer.
    """
    if backbone(recipe.backbone).one_size or (recipe.probe == "folds" and epoch == 0):
        return size
    least = min(SIZE_STEP, size)
    first, last = (max(least, min(wanted or size, size)) for wanted in (recipe.first_size, recipe.last_size))
    if first >= last or epoch >= recipe.epochs - 1:
        return last
    before = probe_epochs(recipe)
    part = max(0, epoch - before) / max(1, recipe.epochs - before - 1)
    wanted = first + part * (last - first)
    return max(least, int(wanted / SIZE_STEP + 1e-6) * SIZE_STEP)


def average_decay(recipe: Recipe, step: int, steps: int) -> float:
    """How much of the average the run's step number ``step`` of ``steps`` keeps.

    The average reaches over the part ``ema`` of the steps, however many a run has: torchvision's references rescale
    their decay to the same end, of 600 epochs on ImageNet to about 4 %. It is shorter at the beginning, so that the
    start is soon forgotten.
    """
    reach = max(1, round(recipe.ema * steps))
    return min(1 - 1 / reach, (1 + step) / (10 + step))


def _part(recipe: Recipe, done: float) -> float:
    """How much of the epochs that learn step by step is done, 0..1."""
    first = probe_epochs(recipe)
    return (done - first) / max(1e-9, recipe.epochs - first)


def _wave(recipe: Recipe, part: float) -> float:
    """A half wave from 0 up to 1 during the warm-up, and another down to 0 at the end."""
    rise = recipe.warmup
    way = part / rise if part < rise else 1 - min(1.0, (part - rise) / (1 - rise))
    return 0.5 * (1 - math.cos(math.pi * way))
