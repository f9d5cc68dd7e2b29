"""Inputs with fewer codes than the engine's pins: no image, and no attack, uses the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from hwsim.attacks.core.criteria import Untargeted
from hwsim.attacks.pgd import PGD
from hwsim.engine import reference
from hwsim.engine.module import Engine
from hwsim.errors import CompileError
from hwsim.importer.load import LoadedModel, load_model
from hwsim.networks.dequantized import Dequantized
from hwsim.numbers.config import load_config
from hwsim.program.proof import check
from hwsim.rom import image as rom
from tests.images import equal
from tests.importer import onnx_files, tflite_files

TEN = load_config("default").with_bits(10)


def annotated(path: Path, kind: str) -> Path:
    """A QONNX file whose first layer reads the image itself, which is of this kind."""
    model = onnx.load(onnx_files.qonnx(path))
    graph = model.graph
    del graph.node[0]
    for node in graph.node:
        node.input[:] = ["x" if name == "xq" else name for name in node.input]
    about = graph.quantization_annotation.add()
    about.tensor_name = "x"
    entry = about.quant_parameter_tensor_names.add()
    entry.key, entry.value = "finn_datatype", kind
    onnx.save(model, path)
    return path


@pytest.fixture(params=["BIPOLAR", "TERNARY", "BINARY"])
def narrow(request: pytest.FixtureRequest, tmp_path: Path) -> LoadedModel:
    return load_model(annotated(tmp_path / "net.onnx", request.param))


def ends(model: LoadedModel) -> tuple[float, float]:
    assert model.graph is not None
    codes = model.graph.input.codes
    assert codes is not None
    return codes.range


def test_bounds_are_those_of_the_file(narrow: LoadedModel) -> None:
    engine = Engine(narrow.program)
    assert engine.bounds == engine.space.bounds == ends(narrow)
    assert narrow.program.input.top in (1, 2)


def test_an_int8_file_has_no_more_codes_on_a_wider_engine(tmp_path: Path) -> None:
    path = tflite_files.one_weight(tmp_path / "net.tflite", "CONV_2D")
    usual, wide = load_model(path), load_model(path, TEN)
    assert (usual.program.input.top, wide.program.input.top) == (None, 255)
    assert Engine(usual.program).bounds == Engine(wide.program).bounds == ends(wide)


def test_values_beyond_are_saturated_by_engine_oracle_and_float_network(
    narrow: LoadedModel,
) -> None:
    low, high = ends(narrow)
    x = torch.tensor([[low - 3, low, high, high + 1, high + 200, 1e6]])
    inside = x.clamp(low, high)
    program = narrow.program
    engine = Engine(program, outside="clamp")
    assert torch.equal(engine(x), engine(inside))
    alone = Dequantized(program)
    assert torch.equal(alone(x), alone(inside))
    codes = [reference.code(value, program.input, program.config.act_w) for value in x[0].tolist()]
    assert codes == engine.grid(x).reshape(-1).tolist()
    assert max(codes) == program.input.top
    logits = reference.run(program, np.array(codes).reshape(program.input_shape)).logits
    assert list(logits) == engine.integer_logits(x)[0].tolist()


def test_attacks_stay_within(narrow: LoadedModel) -> None:
    low, high = ends(narrow)
    engine = Engine(narrow.program)
    x = torch.from_numpy(np.random.default_rng(0).choice([low, high], (8, 6))).float()
    attack = PGD(steps=5, space=engine.space, early_exit=False)
    made = attack(engine, x, Untargeted(engine(x).argmax(1)), epsilon=high - low).adversarial
    assert low <= float(made.min()) < float(made.max()) <= high


def test_images_keep_it(narrow: LoadedModel, tmp_path: Path) -> None:
    rom.save(narrow.program, tmp_path / "net.hne")
    assert equal(rom.load(tmp_path / "net.hne"), narrow.program)


@pytest.mark.parametrize("top", [0, 255, 256, -1])
def test_a_largest_code_that_makes_no_sense_is_refused(narrow: LoadedModel, top: int) -> None:
    image = narrow.program.input
    wrong = type(image)(image.shape, image.scale, 0, top)
    with pytest.raises(CompileError, match="the input's largest code"):
        check(narrow.program.replace(input=wrong))
