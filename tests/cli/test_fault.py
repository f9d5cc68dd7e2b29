"""`hwsim fault`: what it prints and leaves, and one line for bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import hwsim
from hwsim.numbers.config import load_config
from hwsim.rom import image as rom
from tests.cli.conftest import Run, read
from tests.images import residual_program, small_program


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The command on a small image and few inputs, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    rom.save(small_program(), tmp_path / "net.hne")
    noise = np.random.default_rng(1)
    x = (noise.integers(0, 256, (20, 1, 6, 6)) / 255).astype(np.float32)
    np.savez(tmp_path / "test.npz", x=x, y=noise.integers(0, 3, 20))
    return "fault", "net.hne", "--data", "test.npz"


@pytest.mark.slow
def test_it_counts_by_memory_layer_and_bit(typed: tuple[str, ...], run: Run) -> None:
    Path("page.md").write_text("<!-- here: begin -->\n<!-- here: end -->\n", encoding="utf-8")
    more = ("--trials", "32", "--json", "found.json", "--docs", "page.md", "here")
    code, out, err = run(*typed, *more)
    assert (code, err) == (0, "")
    assert all(len(line) <= 100 for line in out.splitlines())
    found = read(Path("found.json"))
    assert [cell["memory"] for cell in found["cells"]] == ["weights", "index", "scale", "bias"]
    for cell in found["cells"]:
        assert cell["trials"] == sum(one["trials"] for one in cell["by_bit"]) == 32
        assert 0 <= cell["accuracy_worst"] <= cell["accuracy"] <= 1
    page = Path("page.md").read_text(encoding="utf-8")
    assert "| weights | 1 a trial | 32 |" in page
    assert "`hwsim fault net.hne" in page
    # Nothing is computed again.
    before = Path("found.json").read_bytes()
    assert run(*typed, *more).code == 0
    assert Path("found.json").read_bytes() == before


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--rate", "1.5"), "a rate is a probability above 0 and up to 1, not 1.5"),
        (("--rate", "much"), "give probabilities such as 1e-6,1e-5"),
        (("--rate", "0.1", "--flips", "2"), "two ways to say how many"),
        (("--memory", "weight"), "no memory is called 'weight'"),
        (("--memory", "lut"), "no lut memory: none of its layers is a table"),
        (("--memory", ","), "no memory"),
        (("--model", "burst"), "no model of upsets is called 'burst'"),
        (("--jobs", "2", "--cluster", "local:2"), "leave it out of --cluster"),
        (("--cluster", "here"), "cluster 'here'"),
        (("--docs", "page.md", "here"), "page.md does not exist"),
        (("--store", "."), "is a folder, not a file"),
        (("--trials", "1"), "1 is not in the range"),
        (("--protect", "ecc"), "no protection is called 'ecc'"),
        (("--protect", "signature:0"), "groups of 2 … 65,536 words, not 0"),
        (("--protect", "clip", "--memory", "bias"), "only weights and index are guarded"),
        (("--within", "nan"), "nan is not"),
    ],
)
def test_bad_input_is_one_line(
    typed: tuple[str, ...], run: Run, more: tuple[str, ...], says: str
) -> None:
    assert says in run(*typed, *more).line


def test_memories_that_a_network_does_not_fill_are_upset_only_if_asked_for(
    typed: tuple[str, ...], run: Run
) -> None:
    more = ("--trials", "2", "--json", "found.json")
    dense = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    rom.save(hwsim.compile(dense, torch.rand(8, 1, 6, 6)), Path("net.hne"), overwrite=True)
    assert run(*typed, *more).code == 0
    assert [one["memory"] for one in read(Path("found.json"))["cells"]] == [
        "weights", "scale", "bias"
    ]  # fmt: skip
    assert "the index memory is empty" in run(*typed, "--memory", "index").line


def test_tables_behind_check_bits_are_not_counted(typed: tuple[str, ...], run: Run) -> None:
    program = residual_program(load_config("default").replace(ecc="secded"))
    rom.save(program, Path("net.hne"), overwrite=True)
    x = np.zeros((4, *program.input_shape), np.float32)
    np.savez("test.npz", x=x, y=np.zeros(4, np.int64))
    assert "depends on the image" in run(*typed, "--memory", "lut").line


@pytest.mark.parametrize("guard", ["parity", "secded", "clip", "signature:4"])
def test_it_counts_what_a_guard_notices(typed: tuple[str, ...], run: Run, guard: str) -> None:
    Path("page.md").write_text("<!-- here: begin -->\n<!-- here: end -->\n", encoding="utf-8")
    more = ("--memory", "weights,index", "--trials", "32", "--json", "found.json")
    code, out, err = run(*typed, *more, "--protect", guard, "--docs", "page.md", "here")
    assert (code, err) == (0, "")
    found = read(Path("found.json"))
    assert found["protect"] == guard
    weights, index = found["cells"]
    assert "noticed" in out
    assert f"Behind {guard}; noticed" in Path("page.md").read_text(encoding="utf-8")
    if guard == "parity":
        assert index["caught"] == 1
    if guard == "secded":
        assert (weights["changed"], index["changed"], index["caught"]) == (0, 0, 0)
    if guard == "signature:4":
        assert 0 < index["caught"] < 1, "sign bits, and what carries; not the low address bits"
        assert weights["caught"] == 0
        assert weights["zeroed"] > weights["corrected"] > 0


def test_an_image_with_check_bits_takes_no_other_guard(typed: tuple[str, ...], run: Run) -> None:
    rom.save(small_program(load_config("tiny").replace(ecc="secded")), Path("net.hne"),
             overwrite=True)  # fmt: skip
    assert "has check bits (ecc = secded) already" in run(*typed, "--protect", "clip").line


def test_tables_of_rates_say_upsets_of_a_megabit_and_nothing_of_bits(
    typed: tuple[str, ...], run: Run
) -> None:
    Path("page.md").write_text("<!-- here: begin -->\n<!-- here: end -->\n", encoding="utf-8")
    more = ("--rate", "1e-2,2e-2", "--trials", "4", "--docs", "page.md", "here")
    assert run(*typed, "--memory", "weights,bias", *more).code == 0
    page = Path("page.md").read_text(encoding="utf-8")
    assert "| weights | 10000 a Mbit | 4 |" in page
    assert "| bias | 20000 a Mbit | 4 |" in page
    assert "| memory | upsets | layer | trials |" in page
    assert ", bit |" not in page


def test_an_engine_that_computes_its_indices_has_none_to_upset(
    typed: tuple[str, ...], run: Run
) -> None:
    config = load_config("tiny").replace(index_mode="hash")
    rom.save(small_program(config), Path("net.hne"), overwrite=True)
    line = run(*typed, "--memory", "index").line
    assert "the program has no index memory: its engine computes the indices" in line


@pytest.mark.parametrize(
    "command", [("fault", "nowhere.hne"), ("attack", "bfa", "--model", "nowhere.hne")]
)
def test_a_mistyped_guard_is_refused_before_anything_is_read(
    run: Run, command: tuple[str, ...]
) -> None:
    code, out, err = run(*command, "--protect", "sec-ded")
    assert (code, out) == (2, "")
    assert err.startswith("hwsim: no protection is called 'sec-ded'")
    assert len(err.splitlines()) == 1


@pytest.mark.slow
def test_two_processes_count_what_one_does(typed: tuple[str, ...], run: Run) -> None:
    found = []
    for jobs in ("1", "2"):
        more = ("--flips", "5", "--trials", "64", "--within", "0", "--jobs", jobs)
        assert run(*typed, *more, "--store", f"{jobs}.sqlite", "--json", "found.json").code == 0
        found.append(read(Path("found.json")))
    assert len({one.pop("command") for one in found}) == 2
    assert found[0] == found[1]
