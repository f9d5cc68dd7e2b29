"""Weight files in fewer bits hold exactly the network that was measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from hwsim.compiler.compiler import compile
from hwsim.errors import InputError
from hwsim.models import zoo
from hwsim.models.architectures import ARCHITECTURES
from hwsim.models.layers import compress
from hwsim.models.specs import Stored
from hwsim.models.weight_format import POINT, packed, round_weights, unpacked
from hwsim.numbers.config import load_config


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))


def trained(rate: float | None) -> nn.Module:
    torch.manual_seed(8)
    module = net() if rate is None else compress(net(), rate)
    for layer in (module[0], module[3]):  # type: ignore[index]
        nn.init.normal_(layer.bias)
    return module.eval()


def card(name: str, stored: Stored, rate: float | None) -> zoo.Card:
    return zoo.Card(
        name=name, architecture="net", scheme="xxh32" if rate else "dense", rate=rate or 1.0,
        seed=3, stored=stored, dataset="mnist", dataset_digest="a" * 64, recipe={},
        test_accuracy=0.5,
    )  # fmt: skip


@pytest.mark.parametrize("rate", [None, 0.25])
@pytest.mark.parametrize(("stored", "saved"), [("float32", 0), ("bfloat16", 2), ("int8", 3)])
def test_file_holds_exactly_the_rounded_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stored: Stored, saved: int, rate: float | None
) -> None:
    monkeypatch.setitem(ARCHITECTURES, "net", net)
    module = trained(rate)
    wide = zoo.save(module, card("wide", "float32", rate), tmp_path)
    round_weights(module, stored)
    narrow = zoo.save(module, card("net", stored, rate), tmp_path)
    again = zoo.load("net", tmp_path)
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(module(x), again(x))
    assert {value.dtype for value in again.state_dict().values()} == {torch.float32}
    assert narrow.parameters == wide.parameters
    sizes = [_bytes(tmp_path / f"{name}.safetensors") for name in ("net", "wide")]
    weights = sum(layer.weight.numel() for layer in (module[0], module[3]))
    assert sizes[1] - sizes[0] == saved * weights - (8 if stored == "int8" else 0)


def _bytes(path: Path) -> int:
    """Of the tensors, without the header."""
    return sum(value.nbytes for value in safetensors.torch.load_file(path).values())


@pytest.mark.parametrize("rate", [None, 0.25])
def test_int8_file_holds_the_words_of_the_8_bit_rom(rate: float | None) -> None:
    module = trained(rate)
    # The file has one binary point a layer; without this the rows of a dense one have their own.
    module.one_binary_point = True
    round_weights(module, "int8")
    tensors = packed(module, "int8")
    rom = compile(module, torch.rand(32, 1, 8, 8), load_config("default").with_bits(8))
    for key, layer in zip(("0.weight", "3.weight"), rom.mac_layers, strict=True):
        assert int(tensors[key + POINT]) == layer.fw
        words = np.sort(tensors[key].numpy().ravel().astype(np.int64))
        assert np.array_equal(words, np.sort(layer.weights.ravel()))


@pytest.mark.parametrize("rate", [None, 0.25])
def test_rounding_to_8_bits_twice_changes_nothing(rate: float | None) -> None:
    module = trained(rate)
    round_weights(module, "int8")
    once = packed(module, "int8")
    round_weights(module, "int8")
    twice = packed(module, "int8")
    assert once.keys() == twice.keys()
    assert all(torch.equal(once[key], twice[key]) for key in once)


def test_words_without_their_binary_point_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(ARCHITECTURES, "net", net)
    module = trained(None)
    round_weights(module, "int8")
    tensors = packed(module, "int8")
    del tensors["0.weight" + POINT]
    with pytest.raises(InputError, match=r"has no 0\.weight\.point"):
        unpacked(tensors, module, "int8")
    monkeypatch.setattr("hwsim.models.weight_format.packed", lambda *_: tensors)
    zoo.save(module, card("net", "int8", None), tmp_path)
    with pytest.raises(InputError, match="does not hold the weights of a net"):
        zoo.load("net", tmp_path)


def test_every_network_comes_back_from_what_packed_made() -> None:
    for rate in (None, 0.25):
        for stored in get_args(Stored):
            module = trained(rate)
            round_weights(module, stored)
            again = unpacked(packed(module, stored), module, stored)
            own = module.state_dict()
            assert again.keys() == own.keys()
            assert all(torch.equal(again[key], own[key]) for key in own)


BIAS, WEIGHT = "0.bias", "0.weight"
WRONG: dict[str, tuple[Stored, str, Callable[[Tensor], Tensor], str]] = {
    "complex bias": ("float32", BIAS, lambda v: v.to(torch.complex64), "0.bias is torch.complex64"),
    "boolean bias": ("float32", BIAS, lambda v: v.bool(), "0.bias is torch.bool"),
    "8-bit float bias": ("float32", BIAS, lambda v: v.to(torch.float8_e4m3fn), "is torch.float8_"),
    "double bias": ("float32", BIAS, lambda v: v.double(), "0.bias is torch.float64"),
    "half weights": ("bfloat16", WEIGHT, lambda v: v.half(), "0.weight is torch.float16"),
    "words for floats": ("float32", WEIGHT, lambda v: v.to(torch.int8), "0.weight is torch.int8"),
    "NaN": ("float32", BIAS, lambda v: v * float("nan"), "0.bias is not finite"),
    "infinity": ("bfloat16", WEIGHT, lambda v: v / 0, "0.weight is not finite"),
    "another shape": ("float32", BIAS, lambda v: v[:1], r"shape \(1,\), not torch.float32 of \(4,"),
    "the word -128": ("int8", WEIGHT, lambda v: torch.full_like(v, -128), "holds -128, beyond"),
    "a far point": ("int8", WEIGHT + POINT, lambda v: v * 0 + 129, "is 129, beyond ±128"),
    "a wide point": ("int8", WEIGHT + POINT, lambda v: v.long(), "is torch.int64"),
    "a list of points": ("int8", WEIGHT + POINT, lambda v: v.reshape(1), r"shape \(1,\)"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_file_with_any_other_type_or_shape_or_value_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: str
) -> None:
    stored, key, change, says = WRONG[wrong]
    monkeypatch.setitem(ARCHITECTURES, "net", net)
    module = trained(None)
    round_weights(module, stored)
    tensors = packed(module, stored)
    tensors[key] = change(tensors[key]).contiguous()
    monkeypatch.setattr("hwsim.models.weight_format.packed", lambda *_: tensors)
    zoo.save(module, card("net", stored, None), tmp_path)
    with pytest.raises(InputError, match=f"does not hold the weights of a net: .*{says}") as error:
        zoo.load("net", tmp_path)
    assert "\n" not in str(error.value)


def test_a_tensor_that_no_network_has_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(ARCHITECTURES, "net", net)
    module = trained(None)
    tensors = {**packed(module, "float32"), "9.bias": torch.zeros(1)}
    monkeypatch.setattr("hwsim.models.weight_format.packed", lambda *_: tensors)
    zoo.save(module, card("net", "float32", None), tmp_path)
    with pytest.raises(InputError, match=r"a tensor that it should not have: 9\.bias"):
        zoo.load("net", tmp_path)
