"""MLPerf Tiny's ResNet-8 on CIFAR-10, on the engine and in LiteRT by kernel:

    python -m tests.bench.resnet_accuracy FOLDER/pretrainedResnet_quant.tflite

Keeps docs/measured/resnet-accuracy.json, from which ``python -m tools.tables`` writes the page.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hwsim.engine.module import Engine
from hwsim.importer.data import UserData
from hwsim.importer.litert import KERNELS
from hwsim.importer.load import load_model
from hwsim.models.datasets.dataset import load_dataset
from hwsim.numbers.config import load_config
from hwsim.report.pages import write_json

MEASURED = Path(__file__).parents[2] / "docs" / "measured" / "resnet-accuracy.json"
WIDTHS = (16, 31)


def lite(path: Path, kernel: str, codes: NDArray[np.int8]) -> NDArray[np.int64]:
    """Answers of one of LiteRT's kernels, with one thread."""
    from ai_edge_litert import interpreter

    kind = getattr(interpreter.OpResolverType, KERNELS[kernel])
    made: Any = interpreter.Interpreter(
        str(path), experimental_op_resolver_type=kind, num_threads=1
    )
    made.allocate_tensors()
    source, answers = made.get_input_details()[0]["index"], made.get_output_details()[0]["index"]
    found = []
    for image in codes:
        made.set_tensor(source, image[None])
        made.invoke()
        found.append(int(made.get_tensor(answers)[0].argmax()))
    return np.array(found)


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    chosen = parser.parse_args()
    test = load_dataset("cifar10", "test").take(chosen.images)
    codes = np.moveaxis(test.images.astype(np.int16) - 128, 1, -1).astype(np.int8)
    answers: dict[str, NDArray[np.int64]] = {}
    for width in WIDTHS:
        model = load_model(chosen.file, load_config("default").replace(mult_w=width))
        engine, x = Engine(model.program), model.images(UserData(codes))
        with torch.inference_mode():
            parts = [engine(part).argmax(1) for part in x.split(250)]
        answers[f"engine, {width}-bit multipliers"] = torch.cat(parts).numpy()
    if model.module is not None:
        with torch.inference_mode():
            parts = [model.module(part).argmax(1) for part in x.split(250)]
        answers["dequantized, in float32"] = torch.cat(parts).numpy()
    answers |= {f"LiteRT {kernel}": lite(chosen.file, kernel, codes) for kernel in KERNELS}
    hits = {name: found == test.labels for name, found in answers.items()}
    write_json(
        {
            "command": "python -m tests.bench.resnet_accuracy FOLDER/pretrainedResnet_quant.tflite",
            "images": len(test), "correct": {name: int(one.sum()) for name, one in hits.items()},
            "equal": {
                name: {other: int((found == theirs).sum()) for other, theirs in answers.items()}
                for name, found in answers.items()
            },
        },
        MEASURED,
    )  # fmt: skip
    for name, one in hits.items():
        print(f"{name}: {one.mean():.2%}")


if __name__ == "__main__":
    main()
