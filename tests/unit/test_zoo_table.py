"""docs/networks.md says of every network what its card and its recipe say."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.models import zoo
from hwsim.networks.zoo_table import HEAD, page_table, rows

PAGE = Path(__file__).parents[2] / "docs" / "networks.md"


DATASETS = ("mnist", "cifar10", "fashion-mnist", "diamonds", "newsgroups")


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_page_has_the_tables_of_the_cards(dataset: str) -> None:
    """Otherwise: hwsim zoo list --docs docs/networks.md"""
    text = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- {dataset}: begin -->", f"<!-- {dataset}: end -->"
    assert text.split(begin)[1].split(end)[0].strip() == page_table(dataset)


def test_every_network_with_a_card_or_a_recipe_has_one_row() -> None:
    found = [row[0].strip("`") for dataset in DATASETS for row in rows(dataset)]
    assert sorted(found) == sorted({*zoo.names(), *zoo.SPECS})
    assert all(len(row) == len(HEAD) for row in rows("mnist"))


@pytest.mark.slow
def test_every_spec_has_a_measured_time() -> None:
    assert all(spec.epoch_seconds for spec in zoo.SPECS.values())
