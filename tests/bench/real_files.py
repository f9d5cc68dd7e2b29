"""Files that others made, and what the engine makes of them: ``python -m tests.bench.real_files``.

One row for each file: MLPerf Tiny's and QONNX's trained networks (``--models FOLDER``), the one in
QONNX's wheel, and what Brevitas and ONNX Runtime make of networks of the zoo
(``made_files``). Every cell is kept in docs/measured/files.json as soon as it is known, so a run
that is stopped goes on where it was; ``python -m tools.tables`` writes the page from there. Few
images each: the table says that a file works and how far it is from its runtime, not how robust
the network is.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.cost.timing import analyze
from hwsim.errors import HwsimError
from hwsim.importer.compare import RuntimeComparison, compare
from hwsim.importer.data import UserData
from hwsim.importer.load import LoadedModel, kind_of, load_model, read_graph
from hwsim.models.datasets.dataset import load_dataset
from hwsim.numbers.config import load_config
from hwsim.report.pages import write_json
from hwsim.tensors import attack_table, audit_table
from tests.bench import made_files

MEASURED = Path(__file__).parents[2] / "docs" / "measured" / "files.json"
MADE = Path("runs/real_files")
#: Quantized by ONNX Runtime.
STATIC = ("resnet20", "cifar-mobilenet")
#: Made by Brevitas: network, bits.
BREVITAS = (
    ("lenet5", 8), ("lenet5", 4), ("lenet5", 2),
    ("cifar-dnn1", 4),
    ("mlperf-resnet8", 8), ("mlperf-resnet8", 4),
)  # fmt: skip
#: Multipliers with which the engine is compared: the configuration's, and the widest.
WIDTHS = (16, 31)


@dataclass(frozen=True)
class File:
    """A row. path: makes the file, or says where it is. data: of ``DATA``.

    unit: ε of PGD and audit as a share of the input's range; 0 where answers are no classes.
    """

    name: str
    path: Callable[[], Path]
    data: str
    origin: str
    unit: float = 8 / 255
    why: str = ""
    bounds: tuple[float, float] | None = None


def files(models: Path | None) -> Iterator[File]:
    """All rows, of files that are there or can be made."""
    if models is not None:
        for name, data, origin, more in OTHERS:
            yield File(name, lambda name=name: models / name, data, origin, **more)  # type: ignore[misc]
    yield File("mnist-conv/model.onnx", _mnist_conv, "mnist 0…255", "the wheel of qonnx 1.0.0", 0.1)
    for network, operators, channel in product(STATIC, ("QDQ", "QOperator"), (False, True)):
        rows = "channel" if channel else "tensor"
        yield File(
            f"{network}, {operators} per {rows}",
            lambda n=network, o=operators, c=channel: made_files.onnxruntime(n, o, c, MADE),  # type: ignore[misc]
            "cifar10 0…1", "onnxruntime's static quantization",
        )  # fmt: skip
    for network, bits in BREVITAS:
        for dialect in made_files.DIALECTS:
            mnist = network == "lenet5"
            yield File(
                f"{network}, {bits} bits, {dialect.upper()}",
                lambda n=network, b=bits, d=dialect: made_files.brevitas(n, b, d, MADE),  # type: ignore[misc]
                "mnist 0…1" if mnist else "cifar10 0…1", "Brevitas", 0.1 if mnist else 8 / 255,
            )  # fmt: skip


#: File, data, where it comes from, and what else its row needs.
OTHERS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("pretrainedResnet_quant.tflite", "cifar10 codes", "MLPerf Tiny", {}),
    ("kws_ref_model.tflite", "random codes", "MLPerf Tiny", {}),
    ("vww_96_int8.tflite", "cifar10 enlarged", "MLPerf Tiny", {}),
    ("ad01_int8.tflite", "random codes", "MLPerf Tiny",
     {"unit": 0.0, "why": "reconstructs its input"}),
    ("TFC_2W2A.onnx", "mnist 0…1", "QONNX model zoo", {"unit": 0.1, "bounds": (0.0, 1.0)}),
    ("qkeras_jettagging.onnx", "normal", "QONNX model zoo", {}),
    ("unsw_nb15-mlp-w2a2.onnx", "random bits", "QONNX model zoo",
     {"unit": 0.0, "why": "one output"}),
    ("pretrainedResnet_float.tflite", "cifar10 0…255", "MLPerf Tiny", {}),
)  # fmt: skip


def _mnist_conv() -> Path:
    import qonnx

    return Path(qonnx.__file__).parent / "data/onnx/mnist-conv/model.onnx"


# --- data -----------------------------------------------------------------------------------------


def data_of(file: File, path: Path, count: int) -> tuple[UserData, str]:
    """Images as the file takes them, labels where somebody knows them, and what they are."""
    image = read_graph(path).input
    random = np.random.default_rng(0)
    kind, _, what = file.data.partition(" ")
    last = image.channels_last
    if kind in ("mnist", "cifar10"):
        found = load_dataset(kind, "test").take(count)
        x: NDArray[Any] = found.images
        if what == "codes":
            x = x.astype(np.int16) - 128
        elif what == "0…1":
            x = (x / 255).astype(np.float32)
        elif what == "enlarged":
            x = x.repeat(3, 2).repeat(3, 3).astype(np.int16) - 128
        if x.dtype == np.int16:
            x = x.astype(np.int8)
        elif x.dtype == np.uint8:
            x = x.astype(np.float32)
        x = np.moveaxis(x, 1, -1) if last else x.reshape(len(x), *image.shape)
        labels = None if what == "enlarged" else found.labels
        told = f"test images of {kind}" + (", enlarged three times" if what == "enlarged" else "")
        return UserData(x, labels), told
    shape = (*image.shape[1:], image.shape[0]) if last and len(image.shape) > 1 else image.shape
    if kind == "normal":
        return UserData(random.normal(size=(count, *shape)).astype(np.float32)), "normal numbers"
    if what == "bits":
        x = random.integers(0, 2, (count, *shape)).astype(np.float32)
        return UserData(x), "random bits"
    codes = np.iinfo(kind_of(image))
    x = random.integers(codes.min, codes.max + 1, (count, *shape), dtype=codes.dtype)
    return UserData(x), "random codes"


# --- cells ----------------------------------------------------------------------------------------


def loaded(file: File, width: int, count: int) -> tuple[LoadedModel, Path, UserData, str]:
    """The network with multipliers of so many bits, and data for it."""
    path = file.path()
    data, told = data_of(file, path, count)
    engine = load_config("default").replace(mult_w=width)
    # Images of which ranges are chosen are those that are compared: no label is used.
    return load_model(path, engine, data=data, bounds=file.bounds), path, data, told


def network(file: File, images: int) -> dict[str, Any]:
    """Dialect, operators by count, cycles and energy of an image."""
    model, path, _, _ = loaded(file, WIDTHS[0], 64)
    timing = analyze(model.program)
    graph = read_graph(path)
    # An integer operator stands there as a float one and its quantizer, under one name.
    counts = Counter({node.name: node.operator for node in graph.nodes}.values())
    return {
        "origin": file.origin, "dialect": graph.dialect_name, "operators": dict(counts),
        "layers": len(model.program.layers), "cycles": timing.cycles,
        "energy_nj": timing.to_dict()["energy_nj"],
    }  # fmt: skip


def comparison(width: int) -> Callable[[File, int], dict[str, Any]]:
    """The engine beside each runtime: answers, and the layer that is farthest."""

    def measure(file: File, images: int) -> dict[str, Any]:
        model, path, data, told = loaded(file, width, images)
        if width != WIDTHS[0]:  # only answers are shown, and layers take most of the time
            model = replace(model, lowered=None)
        found = compare(model, path, model.images(data).double().numpy())
        return {"images": len(data.x), "data": told, "runtimes": [*_columns(found)]}

    return measure


def _columns(found: RuntimeComparison) -> Iterator[dict[str, Any]]:
    if found.missing:
        raise SystemExit(found.missing)
    for column in found.columns:
        worst = min(column.layers, key=lambda layer: layer.equal, default=None)
        yield {
            "name": column.name, "error": column.error, "answers": column.answers,
            "between": column.between,
            "worst": None if worst is None
            else {"layer": worst.name, "operator": worst.operator, "equal": worst.equal},
            "lsb": max((layer.lsb for layer in column.layers), default=None),
            "exact": sum(bool(layer.rounds) for layer in column.layers),
            "compared": len(column.layers),
        }  # fmt: skip


def _budget(file: File, model: LoadedModel) -> float:
    low, high = model.program.input.bounds(model.program.config.act_max)
    return file.unit * float(high - low)


def pgd(file: File, images: int) -> dict[str, Any]:
    """Success in float and on the engine, each crafted on its judge."""
    if not file.unit:
        return {"why": file.why}
    model, _, data, _ = loaded(file, WIDTHS[0], min(images, 24))
    epsilon = _budget(file, model)
    found = attack_table(model, data.x, data.y, epsilons=[epsilon], options={"steps": 10})
    pairs = ("float_float", "engine_engine")
    return {
        "epsilon": epsilon, "share": file.unit, "images": found["samples"], "clean": found["clean"],
        "labels": data.y is not None, **{pair: found["success"][pair][0] for pair in pairs},
    }  # fmt: skip


def audit(file: File, images: int) -> dict[str, Any]:
    """Flags, and the naive number beside the worst case."""
    if not file.unit:
        return {"why": file.why}
    model, _, data, _ = loaded(file, WIDTHS[0], 6)
    found = audit_table(
        model, data.x, data.y, epsilons=[_budget(file, model)], steps=10, draws=50, queries=50
    )
    last = found["bottom_line"][-1]
    return {
        "images": found["samples"], "raised": found["raised"], "naive": last["naive"],
        "worst": last["worst"],
    }  # fmt: skip


CELLS: dict[str, Callable[[File, int], dict[str, Any]]] = {
    "network": network,
    **{f"compared-{width}": comparison(width) for width in WIDTHS},
    "pgd": pgd,
    "audit": audit,
}


def kept() -> dict[str, Any]:
    """What is known so far."""
    if MEASURED.exists():
        found: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8"))
        return found
    return {"command": "python -m tests.bench.real_files --models FOLDER", "files": {}}


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", type=Path, help="folder of the others' files")
    parser.add_argument("--images", type=int, default=200, help="of the comparisons")
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=list(CELLS))
    chosen = parser.parse_args()
    MADE.mkdir(parents=True, exist_ok=True)
    rows = kept()["files"]
    for cell in chosen.cells:
        for file in files(chosen.models):
            if chosen.only not in file.name or cell in rows.get(file.name, {}):
                continue
            # The answers of two widths stand side by side: of the same images.
            first = rows.get(file.name, {}).get(f"compared-{WIDTHS[0]}", {})
            try:
                found = CELLS[cell](file, first.get("images", chosen.images))
            except (HwsimError, ImportError) as error:
                print(f"{file.name}, {cell}: not measured: {error}", file=sys.stderr, flush=True)
                continue
            known = kept()  # another run may have added cells
            rows = known["files"]
            rows.setdefault(file.name, {})[cell] = found
            write_json(known, MEASURED)
            print(f"{file.name}, {cell}: {found}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
