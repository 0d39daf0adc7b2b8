"""Ways to run a network: PyTorch as it is ("eager"), PyTorch compiled, ONNX Runtime and OpenVINO.

All take uint8 pixels, compute class scores and features in float32, and may be asked by several threads at once. They
take no lock:
two threads that ask together are answered 1.0 to 1.5 times as fast as one after the other (measured on two cores).

On CPUs with bfloat16 units bfloat16 would be another three times as fast, but it moves the bundled checkpoint's
confidences by up to 0.015, and by more than TOLERANCE for a third of the 570 photos held back.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from flowers.cores import available_threads
from flowers.data.preprocess import Preprocessing

if TYPE_CHECKING:
    import torch
    from torch import nn

# uint8 pixels (N, 3, size, size) -> float32 class scores (N, classes) and features (N, F): the last layer's input
Engine = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

TITLES = {
    "eager": "PyTorch",
    "compiled": "compiled PyTorch",  # for one photo at a time
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
}
# Before a temperature, which may stretch it.
TOLERANCE = 1e-3  # how far a confidence, or a feature's direction, may be from what PyTorch computes in float32


def agree(scores: np.ndarray, expected: np.ndarray) -> bool:
    """Whether no confidence differs by more than TOLERANCE, for these photos and those with surer answers.

    Scores that are e off move a confidence by e / 2 at most: p (1 - p) from its own and as much from all the others.
    """
    return bool(np.abs(scores - expected).max() <= 2 * TOLERANCE)


def point_alike(features: np.ndarray, expected: np.ndarray) -> bool:
    """Whether no photo's features moved by more than TOLERANCE of their length: nor does a cosine to others then."""
    moved = np.linalg.norm(features - expected, axis=1)
    return bool((moved <= TOLERANCE * np.linalg.norm(expected, axis=1)).all())


def trial_photos(size: int, count: int) -> np.ndarray:
    """Pixels to try engines with, uint8 (count, 3, size, size): soft blots of random colours, always the same."""
    from PIL import Image

    blots = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    pictures = [Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC) for picture in blots]
    return np.stack(pictures).transpose(0, 3, 1, 2)


def eager(model: "nn.Module", preprocessing: Preprocessing, head: str) -> Engine:
    """PyTorch as it is, with batch norms folded away and in the memory format that its kernels like best.

    ``head`` is the name of the model's last layer.
    """
    import torch

    from flowers.models.features import WithFeatures
    from flowers.models.folding import fold_batch_norm

    torch.set_num_threads(min(torch.get_num_threads(), available_threads()))
    photo = preprocessing.normalise(torch.from_numpy(trial_photos(preprocessing.size, 1)))
    network = WithFeatures(fold_batch_norm(model, photo).to(memory_format=torch.channels_last), head)

    def run(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            photos = preprocessing.normalise(torch.from_numpy(pixels))
            photos = photos.contiguous(memory_format=torch.channels_last)
            scores, features = preprocessing.answer(network, photos)
            return scores.numpy(), features.numpy()

    return run


def make(engine: str, model: "nn.Module", preprocessing: Preprocessing, head: str, folder: Path) -> None:
    """Write to an empty folder what ``open_made`` needs for that engine. Raises whatever the makers raise.

    Not while other threads here use modules: the makers trace as torch.fx does.
    """
    makers = {"compiled": _compile, "onnxruntime": _export, "openvino": _convert}
    network = from_pixels(model, preprocessing, head)
    makers[engine](program(network, preprocessing.size, any_number=engine != "compiled"), folder)


def open_made(engine: str, folder: Path) -> Engine:
    """An engine from what ``make`` wrote. Raises whatever a missing package, a damaged one or a damaged file raises."""
    return {"compiled": _compiled, "onnxruntime": _onnxruntime, "openvino": _openvino}[engine](folder)


def from_pixels(model: "nn.Module", preprocessing: Preprocessing, head: str) -> "nn.Module":
    """A network from uint8 pixels (N, 3, size, size) to scores and features, as ``Engine``; ``model`` is its part."""
    import torch
    from torch import nn

    from flowers.models.features import WithFeatures

    class FromPixels(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = WithFeatures(model, head)

        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return preprocessing.answer(self.network, preprocessing.normalise(pixels))

    return FromPixels().eval()


def program(network: "nn.Module", size: int, any_number: bool = True) -> "torch.export.ExportedProgram":
    """What ``network`` does with uint8 pixels (N, 3, size, size), for any number of photos or for one. As ``make``."""
    import torch

    photos = torch.zeros(2 if any_number else 1, 3, size, size, dtype=torch.uint8)
    shapes = ({0: torch.export.Dim.DYNAMIC},) if any_number else None
    with torch.no_grad():
        return torch.export.export(network, (photos,), dynamic_shapes=shapes)


def save_onnx(
    program: "torch.export.ExportedProgram", file: Path, outputs: Sequence[str], facts: Mapping[str, str] | None = None
) -> None:
    """Write ``program`` as one ONNX file with the input ``pixels``, these outputs, and ``facts`` as its metadata."""
    import torch

    names = {"input_names": ["pixels"], "output_names": list(outputs)}
    made = torch.onnx.export(program, **names, dynamo=True, verbose=False)
    made.model.metadata_props.update(facts or {})
    for node in made.model.graph.all_nodes():
        node.metadata_props.clear()  # where in the source, and in which folder of this machine, it was computed
    made.save(file, external_data=False)


def _export(program: "torch.export.ExportedProgram", folder: Path) -> None:
    save_onnx(program, folder / "network.onnx", ("scores", "features"))


def _onnxruntime(folder: Path) -> Engine:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised as well
    options.intra_op_num_threads = available_threads()  # its own choice is pinned to cores that others use too
    options.add_session_config_entry("session.force_spinning_stop", "1")  # between answers others need the cores
    session = onnxruntime.InferenceSession(folder / "network.onnx", options, providers=["CPUExecutionProvider"])
    return lambda pixels: tuple(session.run(["scores", "features"], {"pixels": np.ascontiguousarray(pixels)}))


def _convert(program: "torch.export.ExportedProgram", folder: Path) -> None:
    openvino = _quiet_openvino()
    model = openvino.convert_model(program)
    model.reshape([-1, *program.example_inputs[0][0].shape[1:]])  # only their number is open
    openvino.save_model(model, folder / "network.xml", compress_to_fp16=False)


def _openvino(folder: Path) -> Engine:
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16, where the CPU can
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": available_threads(),
    }
    model = _quiet_openvino().Core().compile_model(folder / "network.xml", "CPU", settings)

    def run(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # A request serves one thread at a time; a new one costs next to nothing.
        answer = model.create_infer_request().infer([np.ascontiguousarray(pixels)])
        return answer[0], answer[1]

    return run


def _quiet_openvino() -> ModuleType:
    sys.modules.setdefault("openvino_telemetry", None)  # it would tell a server of every use: openvino does without
    import openvino

    return openvino


def _compile(program: "torch.export.ExportedProgram", folder: Path) -> None:
    """Ahead of time (AOTInductor), for one photo: kernels for any number of them are slower."""
    from torch._inductor import aoti_compile_and_package, config

    with config.patch(freezing=True):
        aoti_compile_and_package(program, package_path=str(folder / "network.pt2"))


def _compiled(folder: Path) -> Engine:
    import torch
    from torch._inductor import aoti_load_package

    package = aoti_load_package(str(folder / "network.pt2"))

    def run(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            scores, features = package(torch.from_numpy(np.ascontiguousarray(pixels)))
            return scores.numpy(), features.numpy()

    return run
