"""Networks from files of others: the engine beside the file's own runtime, and the same attack on
the file's dequantized graph.

MLPerf Tiny's ResNet-8 where ``../shared/models`` or the folder named by HWSIM_MODELS has it, else
the zoo's, quantized by ONNX Runtime (``made_files``). ONNX Runtime is given the zoo's as its own
static quantization writes it: unsigned activations, which it fuses into integer kernels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwsim.attacks.core.criteria import Untargeted
from hwsim.attacks.pgd import PGD
from hwsim.engine.module import Engine
from hwsim.importer.data import UserData
from hwsim.importer.litert import KERNELS
from hwsim.importer.load import LoadedModel, kind_of, load_model
from tests.bench import made_files
from tests.bench.forward import int8_peak
from tests.bench.iterated import FORMATS
from tests.bench.measure import Line, check_reached, seconds
from tests.shared_files import MODELS

BATCH, IMAGES, STEPS = 256, 32, 40
MADE = Path("runs/real_files")
LITE = "pretrainedResnet_quant.tflite"


def _lite() -> Path | None:
    path = Path(os.environ.get("HWSIM_MODELS", MODELS)) / LITE
    return path if path.exists() else None


def _onnx() -> Path:
    MADE.mkdir(parents=True, exist_ok=True)
    return made_files.onnxruntime("mlperf-resnet8", "QOperator", True, MADE, batched=True)


@contextmanager
def one_thread() -> Iterator[None]:
    """Of torch and of the engine's kernels."""
    threads, lanes = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        numba.set_num_threads(lanes)


def pgd() -> Line:
    """PGD with 40 steps of ε = 8/255 of the range through the engine, and on the float graph."""
    path = _lite() or _onnx()
    model = load_model(path)
    assert model.module is not None
    engine = Engine(model.program)
    narrow = Engine(model.program, "ste-bfloat16")
    low, high = engine.bounds
    epsilon = 8 / 255 * (high - low)
    x = engine.space.snap(model.images(UserData(_random(model, IMAGES))))
    goal = Untargeted(model.module(x).argmax(1))
    attack = PGD(steps=STEPS, step_size=epsilon / 30, early_exit=False, space=engine.space)
    early = PGD(steps=STEPS, step_size=epsilon / 30, early_exit=True, space=engine.space)
    tasks: dict[str, Callable[[], Any]] = {
        "engine": lambda: attack(engine, x, goal, epsilon=epsilon).adversarial,
        "ste-bfloat16": lambda: attack(narrow, x, goal, epsilon=epsilon).adversarial,
        "early exit": lambda: early(engine, x, goal, epsilon=epsilon),
    }
    for form, memory in FORMATS.items():
        twin = deepcopy(model.module).eval()
        _arranged(twin, memory)
        given = x.contiguous(memory_format=memory)
        tasks[f"float {form}"] = lambda m=twin, g=given: (
            attack(m, g, goal, epsilon=epsilon).adversarial
        )  # type: ignore[misc]
    for name, task in tasks.items():
        if name != "early exit":
            check_reached(name, x / (high - low), task() / (high - low), 8 / 255)
    taken = {name: len(x) / t for name, t in seconds(tasks, 2).items()}
    ours = taken["engine"]
    best = max((name for name in taken if name.startswith("float")), key=lambda name: taken[name])
    note = f"{path.name}: {STEPS} steps to ε = 8/255 of the range, {len(x)} images, all steps; "
    note += ", ".join(f"{name} {speed:.3g}" for name, speed in taken.items())
    peer = f"the same PGD on the dequantized graph, {best}"
    return Line("pgd40-resnet8", ours, taken[best], "img/s", ours / taken[best], peer, ">= 3", note)


def _arranged(module: nn.Module, memory: torch.memory_format) -> None:
    """Weights of four dimensions in this memory format; others have none."""
    for part in (*module.parameters(), *module.buffers()):
        if part.dim() == 4:
            part.data = part.data.contiguous(memory_format=memory)


def onnx() -> Line:
    """Answers beside ONNX Runtime's integer kernels, one thread each."""
    import onnxruntime

    path = _onnx()
    model = load_model(path)
    x = model.images(UserData(_random(model, BATCH)))
    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = chosen.inter_op_num_threads = 1
    chosen.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), chosen, ["CPUExecutionProvider"])
    name, given = session.get_inputs()[0].name, x.numpy()
    peers = {
        f"ONNX Runtime {onnxruntime.__version__} int8": lambda: session.run(None, {name: given})[0]
    }
    return _answers("answers-onnxruntime", path, model, x, peers)


def litert() -> Line:
    """Answers beside LiteRT, all of its kernels, one thread each."""
    path = _lite()
    if path is None:
        raise SystemExit(f"{LITE} is not there: name its folder with HWSIM_MODELS")
    from ai_edge_litert import interpreter

    model = load_model(path)
    codes = _random(model, BATCH)
    x = model.images(UserData(codes))
    peers = {}
    for name in ("XNNPACK", "built-in"):
        kind = getattr(interpreter.OpResolverType, KERNELS[name])
        made: Any = interpreter.Interpreter(
            str(path), experimental_op_resolver_type=kind, num_threads=1
        )
        source = made.get_input_details()[0]["index"]
        made.resize_tensor_input(source, codes.shape)
        made.allocate_tensors()
        answer = made.get_output_details()[0]["index"]

        def run(made: Any = made, source: int = source, answer: int = answer) -> Any:
            made.set_tensor(source, codes)
            made.invoke()
            return made.get_tensor(answer)

        peers[f"LiteRT {name}"] = run
    return _answers("answers-litert", path, model, x, peers)


def _random(model: LoadedModel, count: int) -> NDArray[Any]:
    """Inputs as the file takes them, drawn evenly: speed does not depend on what is seen."""
    assert model.graph is not None
    image, draw = model.graph.input, np.random.default_rng(0)
    shape = (*image.shape[1:], image.shape[0]) if image.channels_last else image.shape
    if image.codes is None:
        return draw.random((count, *shape), np.float32)
    codes = np.iinfo(kind_of(image))
    return draw.integers(codes.min, codes.max + 1, (count, *shape), codes.dtype)


def _answers(
    name: str, path: Path, model: LoadedModel, x: Tensor, peers: dict[str, Callable[[], Any]]
) -> Line:
    """The engine beside the faster of the peers, one thread each."""
    engine = Engine(model.program)
    with one_thread(), torch.inference_mode():
        tasks = {"engine": lambda: engine(x), **peers}
        equal = {
            peer: float((engine(x).argmax(1).numpy() == run().argmax(1)).mean())
            for peer, run in peers.items()
        }
        taken = {key: len(x) / t for key, t in seconds(tasks, 5).items()}
        peak = int8_peak()
    best = max(peers, key=lambda key: taken[key])
    work = 2 * sum(layer.macs for layer in model.program.mac_layers) / 1e9
    note = f"{path.name}, batch {len(x)}, one thread each; "
    note += "; ".join(
        f"{key} {speed:.0f} img/s, {speed * work:.0f} GOP/s" for key, speed in taken.items()
    )
    note += f"; torch's int8 GEMM {peak:.0f} GOP/s; answers as the engine's: "
    note += ", ".join(f"{peer} {share:.1%}" for peer, share in equal.items())
    return Line(name, taken["engine"], taken[best], "img/s", taken["engine"] / taken[best], best,
                ">= 5", note)  # fmt: skip
