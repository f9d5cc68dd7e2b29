"""Names of layers: each once, and short enough for an image."""

from __future__ import annotations

import numpy as np

from hwsim.compiler.naming import uniquely_named
from hwsim.program.layers import Layer, LutLayer
from hwsim.rom.manifest_parts import LONGEST_NAME


def names_of(*names: str) -> list[str]:
    table = np.zeros(256, np.int32)
    layers: list[Layer] = [LutLayer(name, (1, 1, 1), table, scale=1.0) for name in names]
    return [layer.name for layer in uniquely_named(layers)]


def test_a_name_that_comes_again_gets_a_number() -> None:
    assert names_of("fc", "fc", "conv", "fc") == ["fc", "fc#2", "conv", "fc#3"]


def test_a_number_that_a_name_has_is_not_given_again() -> None:
    assert names_of("fc#2", "fc", "fc", "fc#2") == ["fc#2", "fc", "fc#3", "fc#2#2"]


def test_a_longest_name_stays_and_a_longer_one_is_cut() -> None:
    longest = "n" * LONGEST_NAME
    found = names_of(longest, longest, f"{longest}a", f"{longest}b")
    assert found == [longest, "n" * 197 + "…#2", "n" * 199 + "…", "n" * 197 + "…#3"]
