"""Chains with hashed layers compile to the words that version 1 had for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.version1 import NETWORKS, digests

STORED = json.loads((Path(__file__).parents[1] / "version1.json").read_text())


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_hashed_chain_has_the_words_of_version_1(name: str, bits: int) -> None:
    assert digests(name, bits) == STORED[name][str(bits)]


def test_every_stored_network_is_compared() -> None:
    assert STORED.keys() == NETWORKS.keys()
