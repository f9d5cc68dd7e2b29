"""What every data set offers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwsim.errors import InputError
from hwsim.models.datasets import locate as sources
from hwsim.models.datasets.dataset import (
    DATASETS,
    Dataset,
    images_as_float,
    load_dataset,
)
from hwsim.models.datasets.known import CATALOG
from tests.datasets.files import (
    NAMES,
)


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_has_named_classes(name: str) -> None:
    expected = {"diamonds": 5, "newsgroups": 20}.get(name, 10)
    assert len(set(CATALOG[name].classes)) == len(CATALOG[name].classes) == expected


def test_unknown_names_list_the_choices() -> None:
    with pytest.raises(InputError, match="mnist, fashion-mnist, cifar10"):
        load_dataset("imagenet", "test")
    with pytest.raises(InputError, match="choose train or test"):
        load_dataset("mnist", "validation")  # type: ignore[arg-type]


def small(count: int) -> Dataset:
    images = np.zeros((count, 1, 2, 2), np.uint8)
    images[0] = 255
    return Dataset("mnist", "test", images, np.arange(count), "memory", "0" * 64, False)


def test_floats_are_pixels_over_255() -> None:
    floats = images_as_float(small(3))
    assert floats.dtype == np.float32
    assert floats.min() == 0
    assert floats.max() == 1


def test_take_spreads_evenly_and_checks_the_count() -> None:
    assert small(10).take(5).labels.tolist() == [0, 2, 4, 6, 8]
    assert small(10).take(10).labels.tolist() == list(range(10))
    for count in (0, -1, 11):
        with pytest.raises(InputError, match="gives 1 to 10"):
            small(10).take(count)


def test_mnist_files_with_a_dot_before_idx_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, canonical: dict[str, bytes]
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    for name in NAMES:
        (folder / name.replace("-idx", ".idx")).write_bytes(canonical[name])
    monkeypatch.setenv("HWSIM_DATA", str(folder))
    assert load_dataset("mnist", "train").source == f"data folder {folder}"


def test_nothing_is_fetched_where_a_data_folder_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fetched(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(sources, "from_network", fetched)
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("HWSIM_DATA", str(tmp_path / "empty"))
    with pytest.raises(InputError, match=r"has no train-images.*network not used") as told:
        load_dataset("fashion-mnist", "train")
    assert "\n" not in str(told.value)
