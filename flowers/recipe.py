"""Every hyperparameter, with its type, range, unit, default and one line of help; and the presets.

A recipe is data. The command line's options, the Train tab's controls and a run's ``recipe.json`` are all made
from the fields below: to add a hyperparameter, add a field here and use it in one place.
"""

import dataclasses
import json
import math
import reprlib
import shlex
from dataclasses import dataclass
from typing import Any

from flowers.errors import UsageError


@dataclass(frozen=True)
class Knob:
    """What a person needs to know to set one hyperparameter; every control and every check is made from it."""

    name: str
    kind: type
    default: Any
    group: str
    title: str
    help: str
    low: float | None = None
    high: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    off: float | str | None = None  # for augmentations: the value at which nothing happens

    def parse(self, value: Any) -> Any:
        """``value`` (a string from a command line, a number from a page or a JSON file) as this knob's type.

        Raises UsageError, in one sentence, for what is not of the type, not finite or out of range.
        """
        if self.kind is str:
            return self._parse_text(value)
        try:
            if isinstance(value, bool):
                raise ValueError
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise UsageError(f"{self.name} must be a number, not {_shown(value)}: give {self.range}.") from None
        if not math.isfinite(number) or not self.low <= number <= self.high:
            raise UsageError(f"{self.name} cannot be {_shown(number)}: give {self.range}.")
        if self.kind is float:
            return number
        if number != int(number):
            raise UsageError(f"{self.name} must be a whole number, not {_shown(number)}: give {self.range}.")
        return int(number)

    @property
    def range(self) -> str:
        """The allowed values in words, such as ``a whole number from 1 to 512`` or ``one of auto, cpu``."""
        if self.kind is str:
            return f"one of {', '.join(self.choices)}"
        low, high, unit = self.low, self.high, self.unit
        if self.kind is int:
            return f"a whole number from {low} to {high} ({unit})" if unit else f"a whole number from {low} to {high}"
        return f"a number from {low:g} to {high:g} ({unit})" if unit else f"a number from {low:g} to {high:g}"

    def _parse_text(self, value: Any) -> str:
        value = value.strip() if isinstance(value, str) else value
        if not isinstance(value, str) or not value:
            raise UsageError(f"{self.name} must be a word, not {_shown(value)}: give {self.range}.")
        # `init` also takes a checkpoint, so only a closed list of choices is checked here.
        if value not in self.choices and "CHECKPOINT" not in self.choices:
            raise UsageError(f"{self.name} cannot be {_shown(value)}: give {self.range}.")
        return value


def _shown(value: Any) -> str:
    """A value as it was given, cut to what fits into a sentence."""
    return f"{value:.10g}" if isinstance(value, float) else reprlib.repr(value)


def _knob(default: Any, group: str, title: str, help: str, **details: Any) -> Any:
    return dataclasses.field(default=default, metadata={"group": group, "title": title, "help": help, **details})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides what training does to a photo set. The defaults are the report's.

    Raises UsageError when a value is not of its type, not finite or out of its range.
    """

    backbone: str = _knob(
        "resnet18",
        "Model",
        "Network",
        "The network that looks at the photos.",
        choices=(
            "resnet18", "resnet34", "resnet50", "resnet101", "efficientnet_b0", "efficientnet_v2_s",
            "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2", "convnext_tiny", "mobilenet_v3_large",
            "vit_b_16", "swin_t",
        ),
    )  # fmt: skip
    init: str = _knob(
        "imagenet",
        "Model",
        "Starting weights",
        "imagenet: a network that has already seen a million photos; scratch: random weights; "
        "or a checkpoint to go on from.",
        choices=("imagenet", "scratch", "CHECKPOINT"),
    )
    frozen: int = _knob(
        0,
        "Model",
        "Frozen stages",
        "So many of the network's first stages stay as they are: faster, and good where the photos are few.",
        low=0,
        high=16,
        unit="stages",
    )

    norms: str = _knob(
        "batch",
        "Model",
        "Norm statistics",
        "batch: of the photos at hand; frozen: as the starting weights have them, good for small batches.",
        choices=("batch", "frozen"),
    )

    epochs: int = _knob(25, "Training", "Epochs", "How often the network sees every training photo.", low=1, high=1000)
    batch_size: int = _knob(
        32,
        "Training",
        "Batch size",
        "Photos per step: larger is steadier, smaller learns more often.",
        low=1,
        high=1024,
        unit="photos",
    )
    optimizer: str = _knob(
        "sgd",
        "Training",
        "Optimizer",
        "sgd: stochastic gradient descent with momentum; nesterov: the same, looking ahead; adamw: steps of one size "
        "for all weights, which want a tenth of the learning rate or less.",
        choices=("sgd", "nesterov", "adamw"),
    )
    learning_rate: float = _knob(
        0.001,
        "Training",
        "Learning rate",
        "How far each step moves the weights: too small crawls, too large forgets.",
        low=1e-7,
        high=10,
    )
    schedule: str = _knob(
        "step",
        "Training",
        "Schedule",
        "How the learning rate falls: step drops it at intervals; cosine lets it glide to nothing; onecycle does too, "
        "with a warm-up as smooth and with momentum going the other way.",
        choices=("step", "cosine", "onecycle"),
    )
    warmup: float = _knob(
        0.0,
        "Training",
        "Warm-up",
        "Over this part of the run the learning rate rises from nothing; onecycle is usually given 0.3.",
        low=0,
        high=0.5,
        unit="of the run",
    )
    momentum: float = _knob(
        0.9, "Training", "Momentum", "How much of the last step's direction the next step keeps.", low=0, high=0.999
    )
    weight_decay: float = _knob(
        0.0, "Training", "Weight decay", "Pulls weights towards zero, against learning by heart.", low=0, high=1
    )
    norm_decay: str = _knob(
        "off",
        "Training",
        "Decay of norms",
        "off: weight decay spares what only scales or shifts, norms and biases; on: it pulls at them as well.",
        choices=("off", "on"),
    )
    lr_step: int = _knob(
        7,
        "Training",
        "Epochs between drops",
        "After this many epochs the learning rate drops.",
        low=1,
        high=1000,
        unit="epochs",
    )
    lr_gamma: float = _knob(
        0.1,
        "Training",
        "Size of a drop",
        "What the learning rate is multiplied by at each drop; 1 keeps it constant.",
        low=1e-4,
        high=1,
    )
    probe: str = _knob(
        "off",
        "Training",
        "Last layer first",
        "on: the first epoch fits the last layer alone, in one go, on what the untouched network sees; folds: to all "
        "photos, as well as it can, and folds tell how good it is; later epochs must be better to be kept.",
        choices=("off", "on", "folds"),
    )
    stage_decay: float = _knob(
        1.0,
        "Training",
        "Slower early stages",
        "Each stage learns at this times the rate of the stage after it; 1: all alike.",
        low=0.01,
        high=1,
    )
    balance: str = _knob(
        "off",
        "Training",
        "Balance",
        "on: every class counts the same, however many photos it has; off: every photo does.",
        choices=("off", "on"),
    )
    label_smoothing: float = _knob(
        0.0,
        "Training",
        "Label smoothing",
        "This part of every label is spread over all classes, against overconfidence.",
        low=0,
        high=0.5,
    )
    ema: float = _knob(
        0.0,
        "Training",
        "Weight averaging",
        "The network that answers is a running average of the one that learns, over about this last part of the run; "
        "0: no average.",
        low=0,
        high=0.5,
        unit="of the run",
    )
    start_share: float = _knob(
        0.0,
        "Training",
        "Start kept",
        "The weights that answer lie between those that the steps began with and those that learned: this part of the "
        "way back; 0: not at all.",
        low=0,
        high=0.9,
    )
    patience: int = _knob(
        0,
        "Training",
        "Patience",
        "The run ends early after so many epochs without a better validation accuracy; 0: never.",
        low=0,
        high=1000,
        unit="epochs",
    )
    mirror_answers: str = _knob(
        "off",
        "Training",
        "Mirrored answers",
        "on: the network also looks at every photo's mirror image and answers with the mean, in twice the time.",
        choices=("off", "on"),
    )
    first_size: int = _knob(
        0,
        "Training",
        "First image size",
        "Begin with small pictures of this side, for speed, and grow to the last size, if that is larger; 0: the "
        "network's own size.",
        low=0,
        high=1024,
        unit="pixels",
    )
    last_size: int = _knob(
        0,
        "Training",
        "Last image size",
        "End with pictures of this side: a little smaller than the network's own is faster, and suits random crops, "
        "which enlarge what they show; 0: the network's own size.",
        low=0,
        high=1024,
        unit="pixels",
    )

    crop_min_area: float = _knob(
        0.08,
        "Augmentation",
        "Smallest crop",
        "Random crops keep at least this part of the photo.",
        low=0.01,
        high=1,
        off=1,
        unit="of the area",
    )
    flip: float = _knob(
        0.5,
        "Augmentation",
        "Mirror",
        "The chance that a photo is mirrored left to right.",
        low=0,
        high=1,
        off=0,
        unit="chance",
    )
    rotation: float = _knob(
        30.0,
        "Augmentation",
        "Rotation",
        "Turned by a random angle up to this, either way.",
        low=0,
        high=180,
        off=0,
        unit="degrees",
    )
    brightness: float = _knob(
        0.2, "Augmentation", "Brightness", "Made darker or brighter by up to this factor.", low=0, high=0.9, off=0
    )
    contrast: float = _knob(
        0.2, "Augmentation", "Contrast", "Made flatter or harder by up to this factor.", low=0, high=0.9, off=0
    )
    saturation: float = _knob(
        0.2, "Augmentation", "Saturation", "Made paler or more colourful by up to this factor.", low=0, high=0.9, off=0
    )
    hue: float = _knob(
        0.1,
        "Augmentation",
        "Hue",
        "Colours turned round the colour wheel by up to this; small is best, since colour tells a rose from a tulip.",
        low=0,
        high=0.5,
        off=0,
        unit="turns",
    )
    shear: float = _knob(
        10.0,
        "Augmentation",
        "Shear",
        "Slanted sideways by a random angle up to this.",
        low=0,
        high=60,
        off=0,
        unit="degrees",
    )
    zoom: float = _knob(
        0.2, "Augmentation", "Scale", "Shrunk or enlarged by up to this factor.", low=0, high=0.9, off=0
    )
    policy: str = _knob(
        "none",
        "Augmentation",
        "Policy",
        "trivial: one more change to every photo, any of fourteen, of any strength; rand: two, both of middling "
        "strength. They change colours too.",
        choices=("none", "trivial", "rand"),
        off="none",
    )
    erasing: float = _knob(
        0.0,
        "Augmentation",
        "Erasing",
        "The chance that a box of the photo is painted over in grey.",
        low=0,
        high=1,
        off=0,
        unit="chance",
    )
    mixup: float = _knob(
        0.0,
        "Augmentation",
        "Mixup",
        "Two photos are laid over each other, and both are to be named, each by its part; towards 1 in any parts, "
        "towards 0 one of them faintly; 0: never.",
        low=0,
        high=1,
    )
    cutmix: float = _knob(
        0.0,
        "Augmentation",
        "Cutmix",
        "A box of one photo is pasted over another, and both are to be named, each by its area; towards 1 boxes of any "
        "size, towards 0 tiny ones or nearly all; 0: never.",
        low=0,
        high=1,
    )

    val_fraction: float = _knob(
        0.2,
        "Photos",
        "Validation part",
        "The part of the photos that is held back to check the network, unless the set itself says which.",
        low=0.05,
        high=0.5,
        unit="of the photos",
    )
    split_seed: int = _knob(0, "Photos", "Split seed", "Another number holds back other photos.", low=0, high=2**31 - 1)

    seed: int = _knob(
        0,
        "Machine",
        "Training seed",
        "Another number gives another order, other augmentations and another last layer.",
        low=0,
        high=2**31 - 1,
    )
    device: str = _knob(
        "auto", "Machine", "Device", "auto takes a GPU if there is one.", choices=("auto", "cpu", "cuda", "mps")
    )
    precision: str = _knob(
        "auto",
        "Machine",
        "Precision",
        "auto measures for a second which is faster here.",
        choices=("auto", "float32", "bfloat16"),
    )
    memory_format: str = _knob(
        "auto",
        "Machine",
        "Memory format",
        "The order of numbers in memory: auto measures which is faster here.",
        choices=("auto", "channels_last", "contiguous"),
    )
    threads: int = _knob(
        0,
        "Machine",
        "Threads",
        "CPU threads that compute; 0 measures how many are fastest.",
        low=0,
        high=1024,
    )
    compile: str = _knob(
        "auto",
        "Machine",
        "Compile",
        "on builds machine code for this network first, which takes a minute; auto does so for long runs on a GPU.",
        choices=("auto", "on", "off"),
    )
    workers: int = _knob(
        4,
        "Machine",
        "Loader threads",
        "Threads that read and augment photos while the network computes.",
        low=1,
        high=64,
    )

    def __post_init__(self) -> None:
        for knob in KNOBS.values():
            # Numbers arrive as strings or floats from pages and command lines; the stored recipe is always exact.
            object.__setattr__(self, knob.name, knob.parse(getattr(self, knob.name)))

    def replace(self, **changes: Any) -> "Recipe":
        """This recipe with some values changed. Raises UsageError for an unknown name or a bad value."""
        for name in changes:
            knob(name)
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """The values by name, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Recipe":
        """The recipe of ``to_dict``'s values; what is missing takes its default. Raises UsageError as ``replace``."""
        return cls().replace(**values)

    def to_json(self) -> str:
        """The recipe as the text of a ``recipe.json``."""
        return json.dumps(self.to_dict(), indent=2)

    def command_line(self, preset: str) -> str:
        """The shortest options that give this recipe from ``preset``: ``--preset report --epochs 3``.

        From the report's for a preset that there no longer is.
        """
        preset = preset if preset in PRESETS else "report"
        base = PRESETS[preset].to_dict()
        changed = [
            f"--{name.replace('_', '-')} {shlex.quote(str(value))}"
            for name, value in self.to_dict().items()
            if value != base[name]
        ]
        return " ".join([f"--preset {preset}", *changed])


KNOBS: dict[str, Knob] = {
    field.name: Knob(name=field.name, kind=field.type, default=field.default, **field.metadata)
    for field in dataclasses.fields(Recipe)
}

# More of the network, ten epochs instead of four, the end at full size. A step more than ``fast`` in every respect,
# and nothing that needs long runs to pay.
BALANCED = Recipe(
    frozen=2,  # edges, colours and textures serve any photo; all above may learn
    norms="frozen",  # ImageNet's statistics rest on a million photos, a batch's on 32
    epochs=11,  # the probe and ten
    learning_rate=0.005,  # below ``fast``: twice the steps go as far, and more of the network is at stake
    schedule="cosine",
    warmup=0.1,
    weight_decay=1e-4,  # Bag of Tricks; norms and biases are spared
    probe="on",  # LP-FT: a last layer that answers well sends no noise back
    stage_decay=0.5,  # early stages change least: fastai's discriminative rates
    label_smoothing=0.1,  # torchvision's recipe
    ema=0.15,
    first_size=160,  # coarse things first, in half the time
    crop_min_area=0.35,  # a flower is rarely in a twelfth of its photo
    rotation=15,
    saturation=0,  # colour tells a rose from a tulip: only light and contrast change
    hue=0,
    shear=0,
    zoom=0,
)

PRESETS: dict[str, Recipe] = {
    # The last layer as well as the photos allow, in seconds; then, where they are enough to tell whether it pays, the
    # later stages, as ``balanced`` does it.
    "auto": dataclasses.replace(
        BALANCED,
        backbone="efficientnet_lite0",  # the best features of the light networks, and its weights come along
        epochs=3,
        learning_rate=0.001,
        start_share=0.5,  # so that little is forgotten: of 2,278 flowers 95.4 % without, 96.5 % with it, one seed
        probe="folds",
        balance="on",
        mirror_answers="on",
    ),
    # The report itself: 25 epochs of SGD on a ResNet18, five augmentations.
    "report": Recipe(),
    # The shortest way to a good network: the last layer at once on frozen features, then the later stages, on small
    # pictures first.
    "fast": Recipe(
        frozen=3,
        norms="frozen",
        epochs=5,
        learning_rate=0.0075,
        schedule="cosine",
        warmup=0.1,
        weight_decay=1e-4,
        probe="on",
        stage_decay=0.5,
        label_smoothing=0.1,
        ema=0.174,  # 50 of the 288 steps on the report's photos: each keeps 0.98 of the average
        first_size=160,
        last_size=192,
        crop_min_area=0.35,
        rotation=0,
        saturation=0,
        hue=0,
        shear=0,
        zoom=0,
    ),
    "balanced": BALANCED,
    # The longest: thirty epochs of the whole network, which can take more noise in its photos and labels.
    "best": Recipe(
        norms="frozen",
        epochs=31,  # the probe and thirty
        learning_rate=0.005,
        optimizer="nesterov",  # free, and a little ahead of plain momentum
        schedule="cosine",
        warmup=0.1,
        weight_decay=1e-4,
        probe="on",
        stage_decay=0.6,  # the first stage learns at an eighth of the last one's rate
        label_smoothing=0.1,
        ema=0.1,  # three epochs; torchvision's 600 average over 4 %
        mirror_answers="on",  # a few tenths of a point for twice the time to answer
        first_size=128,
        crop_min_area=0.25,
        rotation=15,
        saturation=0,
        hue=0,
        shear=0,
        zoom=0,
        erasing=0.1,  # torchvision's recipe; no policy, for those change colours
        mixup=0.2,  # pays in long runs only; 0.2 as in the paper's ImageNet runs: most photos nearly whole
    ),
    # A first look on any machine: three epochs, no drops, milder augmentation.
    "quick": Recipe(epochs=3, lr_step=3, crop_min_area=0.5, rotation=15, hue=0.02, shear=0, zoom=0),
}

PRESET_HELP: dict[str, str] = {
    "auto": "As the photos ask for: seconds for a few, and more of the network where that is better.",
    "report": "The student's report, step for step: 25 epochs of everything the report did.",
    "fast": "The shortest way to a good network: the last layer first, then the rest.",
    "balanced": "More of the network, for longer, up to full size.",
    "best": "The longest: the whole network, mixed and mirrored photos.",
    "quick": "Three epochs of the report's training, with milder changes to the photos: a first look.",
}


def knobs_by_group() -> dict[str, list[Knob]]:
    """The knobs under their groups' names, both in the order of the fields."""
    groups: dict[str, list[Knob]] = {}
    for item in KNOBS.values():
        groups.setdefault(item.group, []).append(item)
    return groups


def knob(name: str) -> Knob:
    """The knob of that name; UsageError names the closest one when there is none."""
    import difflib

    if name in KNOBS:
        return KNOBS[name]
    close = difflib.get_close_matches(name, KNOBS, n=1)
    hint = f"did you mean {close[0]}?" if close else f"the hyperparameters are {', '.join(KNOBS)}."
    raise UsageError(f"There is no hyperparameter called {name!r}: {hint}")


def preset(name: str) -> Recipe:
    """The recipe of a preset; UsageError lists the presets when there is none of that name."""
    if name not in PRESETS:
        raise UsageError(f"There is no preset called {name!r}: the presets are {', '.join(PRESETS)}.")
    return PRESETS[name]
