"""Networks of any kind on tensors, and the float side of an image that came without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import hwsim
from hwsim.engine.module import Engine
from hwsim.errors import InputError
from hwsim.importer.load import load_model as load_foreign
from hwsim.networks.dequantized import Dequantized
from hwsim.networks.subject import DataChoice, open_subject
from tests.importer import onnx_files


def test_the_float_side_of_an_image_differs_from_its_engine_by_rounding_alone(
    tmp_path: Path,
) -> None:
    model = load_foreign(onnx_files.qdq(tmp_path / "net.onnx"))
    program = model.program
    random = np.random.default_rng(0)
    codes = random.integers(0, program.config.act_max + 1, (32, *program.input_shape))
    x = torch.from_numpy((codes - program.input.zero) * float(program.input.scale)).float()
    engine, twin = Engine(program), Dequantized(program)
    steps = (engine(x) - twin(x)).abs() / program.logit_scale
    span = float(engine(x).max() - engine(x).min()) / program.logit_scale
    assert float(steps.max()) <= 3.0
    assert span > 10.0
    x.requires_grad_()
    twin(x).sum().backward()
    assert bool((x.grad != 0).any())


def test_the_tables_take_tensors_and_without_labels_the_networks_own_answers(
    tmp_path: Path,
) -> None:
    model = hwsim.load_model(onnx_files.qdq(tmp_path / "net.onnx"))
    low, high = Engine(model.program).bounds
    shape = model.graph.input.shape
    x = low + (high - low) * torch.rand((12, *shape), generator=torch.Generator().manual_seed(0))
    epsilons = [0.1 * (high - low), 0.2 * (high - low)]
    table = hwsim.attack_table(model, x, attack="hfgsm", epsilons=epsilons)
    assert table["clean"]["float"] == 1.0
    assert len(table["success"]["engine_engine"]) == 2
    assert "answers stand for them" in table["dataset"]["note"]
    for wrong, says in [
        (dict(y=torch.full((12,), 9)), "has the label 9"),
        (dict(epsilons=[]), "give at least one epsilon"),
        (dict(attack="nothing"), "unknown attack 'nothing'"),
    ]:
        with pytest.raises(InputError, match=says):
            hwsim.attack_table(model, x, **{"epsilons": epsilons, **wrong})
    with pytest.raises(InputError, match="NaN or infinity"):
        hwsim.attack_table(model, x * float("nan"), epsilons=epsilons)


def test_a_shared_network_is_opened_with_data_in_its_own_layout(
    shared: Path, tmp_path: Path
) -> None:
    codes = np.random.default_rng(0).integers(-128, 128, (6, 32, 32, 3), np.int8)
    np.savez(tmp_path / "x.npz", x=codes)
    name = str(shared / "pretrainedResnet_quant.tflite")
    subject = open_subject(name, choice=DataChoice(tmp_path / "x.npz"))
    inputs = subject.network.inputs(subject.test)
    grid = Engine(subject.network.program).grid(inputs)
    np.testing.assert_array_equal(grid.astype(np.int64) - 128, codes)
    answers = subject.network.module(inputs).argmax(1).numpy()
    np.testing.assert_array_equal(subject.test.labels, answers)
