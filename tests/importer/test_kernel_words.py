"""A .tflite file imported to round as one of TFLite's kernels does: every code of every layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hwsim.engine import reference
from hwsim.engine.module import Engine
from hwsim.errors import CompileError, InputError
from hwsim.importer import kernel_words, rounding_oracle
from hwsim.importer.compare import Column, compare, random_images
from hwsim.importer.kernel_words import Kernel
from hwsim.importer.load import LoadedModel, load_model
from hwsim.numbers.config import load_config
from tests.importer import tflite_files as files

#: The column of a kernel.
COLUMNS: dict[Kernel, str] = {"twice-up": "LiteRT built-in", "twice-away": "LiteRT reference"}
#: Those with the most multiplications are slow.
LARGE = ["pretrainedResnet_quant", "kws_ref_model"]
TRAINED = [
    *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE),
    "vww_96_int8",
    "ad01_int8",
]
kernels = pytest.mark.parametrize("kernel", COLUMNS)


def column(path: Path, kernel: Kernel, count: int) -> tuple[LoadedModel, Column]:
    """The file's network for that kernel, and its comparison with the kernel."""
    model = load_model(path, kernel=kernel)
    found = compare(model, path, random_images(model, count, 0))
    return model, next(one for one in found.columns if one.name == COLUMNS[kernel])


@kernels
@pytest.mark.parametrize("name", TRAINED)
def test_every_code_of_a_trained_file_is_the_kernels(
    shared: Path, name: str, kernel: Kernel
) -> None:
    _, found = column(shared / f"{name}.tflite", kernel, 8)
    assert found.error == ""
    assert [(layer.name, layer.equal) for layer in found.layers] == [
        (layer.name, 1.0) for layer in found.layers
    ]
    assert found.answers == 1.0


def test_the_two_kernels_are_not_one(shared: Path) -> None:
    path = shared / "pretrainedResnet_quant.tflite"
    model = load_model(path, kernel="twice-up")
    found = compare(model, path, random_images(model, 8, 0))
    equal = {one.name: min(layer.equal for layer in one.layers) for one in found.columns}
    assert equal["LiteRT built-in"] == 1.0
    assert equal["LiteRT reference"] < 0.9


@kernels
def test_a_small_file_is_the_kernel_on_many_images(tmp_path: Path, kernel: Kernel) -> None:
    model, found = column(files.small(tmp_path / "net.tflite"), kernel, 256)
    assert found.error == ""
    assert all(layer.equal == 1.0 for layer in found.layers)
    assert model.program.config.mult_w == 32
    assert model.program.provenance["rounds_as"] == kernel


@kernels
@pytest.mark.parametrize("kind", ["CONV_2D", "FULLY_CONNECTED"])
def test_halves_are_the_kernels(tmp_path: Path, kernel: Kernel, kind: str) -> None:
    _, found = column(files.one_weight(tmp_path / "net.tflite", kind), kernel, 200)
    assert found.error == ""
    assert all(layer.equal == 1.0 for layer in found.layers)


@kernels
def test_the_oracle_computes_what_the_importer_made(tmp_path: Path, kernel: Kernel) -> None:
    model = load_model(files.small(tmp_path / "net.tflite"), kernel=kernel)
    engine = Engine(model.program)
    x = torch.from_numpy(random_images(model, 3, 1)).float()
    grid = engine.grid(x)
    expected = [reference.run(model.program, one.transpose(2, 0, 1)).logits for one in grid]
    assert engine.integer_logits(x).tolist() == expected


@pytest.mark.parametrize("factor", [0.9, 0.5, 0.0123, 2.0**-14, 1.0, 3.7, 1e-12])
def test_the_words_of_a_channel_are_the_optimized_kernel(factor: float) -> None:
    zero, over, most = 100, -1234, 1 << 20
    word = kernel_words._twice(factor, over, most, zero)
    assert word is not None
    m, s, b = word
    for v in [*range(-3000, 3000), most, -most]:
        wanted = rounding_oracle.twice_up(v, factor) + zero
        assert ((v + over) * m + b >> s) == wanted


def test_only_integer_files_of_tflite_round_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"only int8 \.tflite files round as twice-up"):
        load_model(tmp_path / "net.onnx", kernel="twice-up")


def test_wide_words_do_not_round_so(tmp_path: Path) -> None:
    config = load_config("default").replace(act_w=12, wgt_w=12)
    with pytest.raises(CompileError, match="codes of up to 8 bits and 32-bit accumulators"):
        load_model(files.small(tmp_path / "net.tflite"), config, kernel="twice-away")


def test_a_product_that_no_multiplier_gives_is_none() -> None:
    sums = np.array([-1, 0, 1])
    assert kernel_words._bias(sums, np.array([1, 0, 1]), (0, 1), 0) is None
