"""TFLite files: integers are kept, and each kernel rounds as one of the models, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hwsim.engine import reference
from hwsim.engine.module import Engine
from hwsim.importer import tflite_file
from hwsim.importer.compare import RuntimeComparison, compare, random_images
from hwsim.importer.load import LoadedModel, load_model, read_graph
from hwsim.numbers.config import load_config
from hwsim.rom import image as rom
from hwsim.rom.manifest_parts import LONGEST_NAME
from tests.importer import tflite_files as files

WIDE = load_config("default").replace(mult_w=31)
#: Which model a kernel is, by operator where it is another one than for the rest.
ROUNDS = {
    "LiteRT XNNPACK": {"": "half-even"},
    "LiteRT built-in": {"": "twice-up"},
    # Its fully connected layers have another code than its convolutions.
    "LiteRT reference": {"": "twice-away", "FULLY_CONNECTED": "once-away"},
}
TRAINED = ["pretrainedResnet_quant", "kws_ref_model", "vww_96_int8", "ad01_int8"]


def both(path: Path, count: int) -> tuple[LoadedModel, RuntimeComparison]:
    model = load_model(path, WIDE)
    return model, compare(model, path, random_images(model, count, 0))


def check_roundings(found: RuntimeComparison) -> None:
    assert [column.name for column in found.columns] == list(ROUNDS)
    for column in found.columns:
        assert column.error == ""
        for layer in column.layers:
            models = ROUNDS[column.name]
            assert models.get(layer.operator, models[""]) in layer.rounds, (column.name, layer)


@pytest.mark.parametrize("name", TRAINED)
def test_every_layer_of_every_kernel_is_its_model_bit_for_bit(shared: Path, name: str) -> None:
    _, found = both(shared / f"{name}.tflite", 8)
    check_roundings(found)


@pytest.mark.parametrize("name", TRAINED)
def test_the_engine_is_the_delegate_but_for_ties(shared: Path, name: str) -> None:
    _, found = both(shared / f"{name}.tflite", 8)
    delegate = found.columns[0]
    assert delegate.layers[0].equal > 0.999
    assert all(layer.lsb <= 4 for layer in delegate.layers)
    assert all(layer.equal > 0.9 for layer in delegate.layers)


def test_words_scales_and_zero_points_of_a_trained_file_are_kept(shared: Path) -> None:
    path = shared / "kws_ref_model.tflite"
    file, program = tflite_file.read(path), load_model(path).program
    first = file.tensors[file.operators[0].inputs[1]]
    assert first.constant is not None
    words = program.mac_layers[0].virtual_weights.reshape(64, 1, 10, 4)
    assert np.array_equal(words, first.constant.transpose(0, 3, 1, 2))
    assert np.array_equal(program.mac_layers[0].weight_scale, first.scales.astype(np.float64))
    assert (program.input.zero, float(program.input.scale)) == (
        83 + 128,
        float(np.float32(0.5847029)),
    )
    assert program.config.wgt_w == 8


def test_a_small_file_runs_like_every_kernel(tmp_path: Path) -> None:
    path = files.small(tmp_path / "net.tflite")
    model, found = both(path, 64)
    for column in found.columns:
        assert column.error == ""
        assert all(layer.lsb <= 2 for layer in column.layers)
        # The convolution's map does not exist: its pool is done in the same pass.
        assert [layer.operator for layer in column.layers] == [
            "MAX_POOL_2D", "LOGISTIC", "FULLY_CONNECTED"
        ]  # fmt: skip
    assert model.program.layers[0].hi == round(6 / 0.0235)


def test_the_oracle_computes_what_the_importer_made(tmp_path: Path) -> None:
    model = load_model(files.small(tmp_path / "net.tflite"), WIDE)
    engine = Engine(model.program)
    x = torch.from_numpy(random_images(model, 3, 1)).float()
    grid = engine.grid(x)
    expected = [reference.run(model.program, one.transpose(2, 0, 1)).logits for one in grid]
    assert engine.integer_logits(x).tolist() == expected


def test_the_twin_is_the_dequantized_graph(tmp_path: Path) -> None:
    model = load_model(files.small(tmp_path / "net.tflite"), WIDE)
    assert model.module is not None
    x = torch.from_numpy(random_images(model, 64, 1)).float().requires_grad_()
    y = model.module(x)
    assert float((Engine(model.program)(x.detach()) - y.detach()).abs().max()) <= 3 * 0.04
    y.sum().backward()
    assert x.grad is not None
    assert float(x.grad.abs().max()) > 0


def test_layouts_turn_once(tmp_path: Path) -> None:
    graph = read_graph(files.small(tmp_path / "net.tflite"))
    assert graph.dialect_name == "TFLite int8"
    assert (graph.input.shape, graph.input.channels_last) == ((2, 7, 6), True)
    assert [node.shape for node in graph.nodes][-1] == (3,)


def test_halves_part_the_kernels(tmp_path: Path) -> None:
    """A convolution and a fully connected layer of one weight, with sums that are halves."""
    for kind, reference_model in (("CONV_2D", "twice-away"), ("FULLY_CONNECTED", "once-away")):
        path = files.one_weight(tmp_path / "net.tflite", kind)
        model = load_model(path, WIDE)
        halves = np.array([-10, -6, -2, 2, 6, 10], np.float64).reshape(
            -1, *model.program.input_shape
        )
        images = halves.reshape(-1, 1) if kind == "FULLY_CONNECTED" else halves
        found = {
            column.name: column.layers[0].rounds for column in compare(model, path, images).columns
        }
        assert found["LiteRT XNNPACK"] == ("half-even", "double")
        assert found["LiteRT built-in"] == ("twice-up", "once")
        assert reference_model in found["LiteRT reference"]
        assert "once" not in found["LiteRT reference"]


def test_a_layer_that_goes_by_the_names_of_all_that_was_fused_is_saved(tmp_path: Path) -> None:
    """As Keras' converter names them: two of MLPerf Tiny's networks have such names."""
    joined = ";functional_1/batch_normalization/FusedBatchNormV3" * 8
    program = load_model(files.small(tmp_path / "net.tflite", joined=joined), WIDE).program
    rom.save(program, tmp_path / "net.hne")
    found = [layer.name for layer in rom.load(tmp_path / "net.hne").layers]
    assert found == [layer.name for layer in program.layers]
    assert found[0].startswith("y;functional_1/")
    assert len(found[0]) == LONGEST_NAME
