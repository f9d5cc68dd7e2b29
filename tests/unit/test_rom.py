"""Images are written whole or not at all, read back exactly, and shown."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from hwsim.errors import CompileError, ImageError
from hwsim.numbers.config import load_config
from hwsim.program.layers import MacLayer
from hwsim.program.program import Program
from hwsim.rom import image as rom
from tests.images import (
    FILES,
    contents,
    equal,
    refusal,
    small_program,
)
from tests.images import image as image
from tests.images import program as program

# --- what is written ------------------------------------------------------------------------------


def test_round_trip_is_exact(program: Program, image: Path) -> None:
    assert equal(rom.load(image), program)
    assert equal(rom.load(str(image)), program)


def test_saving_twice_writes_the_same_bytes(program: Program, image: Path, tmp_path: Path) -> None:
    rom.save(rom.load(image), tmp_path / "again.hne")
    assert contents(tmp_path / "again.hne") == contents(image)


@pytest.mark.parametrize(
    "step", [Fraction(2.0**-40 / 3), Fraction(1e-6) / 255, Fraction(2**64 - 1), Fraction(2**64, 3)]
)
def test_steps_of_any_sensor_come_back_exactly(
    program: Program, tmp_path: Path, step: Fraction
) -> None:
    """Volts, say: the exact number of a float has a denominator beyond JSON's 64 bits."""
    measured = program.replace(input=dataclasses.replace(program.input, scale=step))
    rom.save(measured, tmp_path / "x.hne")
    assert rom.load(tmp_path / "x.hne").input.scale == step


def test_a_step_that_no_image_holds_is_refused(program: Program, tmp_path: Path) -> None:
    step = Fraction(1, 3**81)
    with pytest.raises(CompileError, match="128 bits"):
        rom.save(
            program.replace(input=dataclasses.replace(program.input, scale=1 / (1 + step))),
            tmp_path / "x.hne",
        )


def test_equal_notices_a_single_changed_word(program: Program) -> None:
    for position, layer in enumerate(program.layers):
        for name in ("weights", "bias", "multiplier", "shift") * isinstance(layer, MacLayer):
            array = getattr(layer, name).copy()
            array[-1] += 1
            layers = list(program.layers)
            layers[position] = dataclasses.replace(layer, **{name: array})
            assert not equal(program, program.replace(layers=tuple(layers)))


def test_a_word_stands_in_bank_address_mod_banks(program: Program, image: Path) -> None:
    config = program.config
    lines = (image / "weights.mem").read_text().split()
    for layer, place in zip(program.layers, program.placements(), strict=True):
        if isinstance(layer, MacLayer):
            for address, value in enumerate(layer.weights.tolist()):
                line = int(lines[place.weight_base + address // config.banks], 16)
                word = line >> (config.wgt_w * (address % config.banks)) & (1 << config.wgt_w) - 1
                assert word == value % (1 << config.wgt_w)


def test_an_index_line_holds_the_rows_of_one_column(program: Program, image: Path) -> None:
    config = program.config
    lines = (image / "index.mem").read_text().split()
    expected = []
    for layer in program.mac_layers[:2]:  # the third is dense and has none
        address, negative = layer.hash_table
        for tile in range(0, layer.n_out, config.rows):
            for j in range(layer.fan_in):
                line = 0
                for row, i in enumerate(range(tile, min(tile + config.rows, layer.n_out))):
                    entry = int(negative[i, j]) << config.addr_w | int(address[i, j])
                    line |= entry << (row * (1 + config.addr_w))
                expected.append(line)
    assert [int(line, 16) for line in lines] == expected
    assert {len(line) for line in lines} == {-(-config.rows * (1 + config.addr_w) // 4)}


def test_scale_and_bias_hold_one_channel_a_line(program: Program, image: Path) -> None:
    config = program.config
    bits = config.acc_w + config.mult_w
    channels = [
        (m % (1 << config.mult_w) | s << config.mult_w, b % (1 << bits))
        for layer in program.mac_layers
        for m, s, b in zip(
            layer.multiplier.tolist(), layer.shift.tolist(), layer.bias.tolist(), strict=True
        )
    ]
    scale, bias = ((image / f).read_text().split() for f in ("scale.mem", "bias.mem"))
    assert [(int(s, 16), int(b, 16)) for s, b in zip(scale, bias, strict=True)] == channels
    assert {len(s) for s in scale} == {6}  # 16 + 6 bits
    assert {len(b) for b in bias} == {12}  # 48 bits


def test_an_engine_that_hashes_has_no_index_file(tmp_path: Path) -> None:
    program = small_program(load_config("tiny").replace(index_mode="hash"))
    image = tmp_path / "net.hne"
    rom.save(program, image)
    names = {"manifest.json", "weights.mem", "scale.mem", "bias.mem", "program.mem"}
    assert contents(image).keys() == names
    assert json.loads((image / "manifest.json").read_text())["sha256"].keys() < names
    assert equal(rom.load(image), program)
    (image / "index.mem").touch()
    assert "index.mem does not belong" in refusal(image)


# --- the right engine -----------------------------------------------------------------------------


def test_name_and_clock_of_the_engine_may_differ_and_are_taken_over(image: Path) -> None:
    config = load_config("tiny").replace(name="mine", clock_mhz=7.0)
    assert rom.load(image, config=config).config == config


def test_another_engine_is_refused_by_its_first_differing_field(image: Path) -> None:
    assert "compiled for configuration tiny with rows = 2, but small has rows = 8" in refusal(
        image, config=load_config("small")
    )
    config = load_config("tiny").replace(prog_depth=31, chan_depth=600)
    assert "with chan_depth = 512, but tiny has chan_depth = 600" in refusal(image, config=config)


# --- writing is atomic ----------------------------------------------------------------------------


def test_an_existing_image_is_kept_unless_overwritten(program: Program, image: Path) -> None:
    before = contents(image)
    other = program.replace(provenance={"model": "other"})
    with pytest.raises(ImageError, match=r"net\.hne: already exists"):
        rom.save(other, image)
    assert contents(image) == before
    rom.save(other, image, overwrite=True)
    assert equal(rom.load(image), other)
    assert os.listdir(image.parent) == ["net.hne"]


def test_only_an_image_can_be_overwritten(program: Program, tmp_path: Path) -> None:
    folder = tmp_path / "home.hne"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(ImageError, match=r"holds thesis\.tex, which is not part of an image"):
        rom.save(program, folder, overwrite=True)
    assert contents(folder) == {"thesis.tex": b"years of work"}
    (tmp_path / "file.hne").touch()
    with pytest.raises(ImageError, match="exists and is not a directory"):
        rom.save(program, tmp_path / "file.hne", overwrite=True)
    (tmp_path / "link.hne").symlink_to(folder)
    with pytest.raises(ImageError, match="exists and is not a directory"):
        rom.save(program, tmp_path / "link.hne", overwrite=True)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("after", range(0, 12, 3))
def test_a_failure_leaves_the_old_image_and_nothing_else(
    program: Program, image: Path, monkeypatch: pytest.MonkeyPatch, failure: Any, after: int
) -> None:
    before = contents(image)
    written: list[Any] = []
    values = rom.memory_values

    def failing(*args: Any) -> Any:
        for part in values(*args):
            if len(written) == after:
                raise failure
            written.append(part)
            yield part

    monkeypatch.setattr(rom, "memory_values", failing)
    expected = KeyboardInterrupt if failure is KeyboardInterrupt else ImageError
    for target in (image, image.with_name("new.hne")):
        written.clear()
        with pytest.raises(expected):
            rom.save(program, target, overwrite=True)
        assert os.listdir(image.parent) == ["net.hne"]
        assert contents(image) == before


@pytest.mark.parametrize("step", [1, 2])
def test_a_failure_between_the_renames_puts_the_old_image_back(
    program: Program, image: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    before = contents(image)
    rename = os.rename
    calls: list[Path] = []

    def failing(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == step:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(KeyboardInterrupt):
        rom.save(program, image, overwrite=True)
    assert contents(image) == before
    assert os.listdir(image.parent) == ["net.hne"]


def test_a_place_that_cannot_be_written_is_said_in_one_line(
    program: Program, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match=r"x\.hne: cannot be written: "):
        rom.save(program, tmp_path / "file" / "x.hne")
    with pytest.raises(ImageError, match=r"must end in \.hne"):
        rom.save(program, tmp_path / "x")


@pytest.mark.parametrize(
    "provenance",
    [
        {"t": (1, 2)},
        {1: "x"},
        {"x": float("nan")},
        {"x": np.zeros(2)},
        {"x": {1, 2}},
        {"x": "\ud800"},
    ],
)
def test_provenance_that_would_not_read_back_is_refused(
    program: Program, tmp_path: Path, provenance: Any
) -> None:
    with pytest.raises(ImageError):
        rom.save(program.replace(provenance=provenance), tmp_path / "x.hne")
    assert os.listdir(tmp_path) == []


def test_a_program_that_could_not_run_is_not_saved(program: Program, tmp_path: Path) -> None:
    layer = dataclasses.replace(program.output, bias=np.full(3, 2**40))
    broken = program.replace(layers=(*program.layers[:-1], layer))
    with pytest.raises(CompileError, match=r"^fc1: neuron 0 has a bias of"):
        rom.save(broken, tmp_path / "x.hne")
    assert os.listdir(tmp_path) == []


# --- what is shown --------------------------------------------------------------------------------


def test_verify_says_what_holds_of_every_file(image: Path) -> None:
    findings = rom.verify(image)
    assert [finding.name for finding in findings] == [*FILES, "proof"]
    assert findings[2].holds.startswith("99 lines, SHA-256 correct")
    (image / "scale.mem").unlink()
    with pytest.raises(ImageError, match=r"scale\.mem is missing"):
        rom.verify(image)


def test_describe_counts_memory_of_both_index_modes_against_dense(image: Path) -> None:
    shown = rom.describe(image)
    weights, virtual = 7 + 12 + 15, 27 + 135 + 15
    index = 27 * (3 + 1) + 135 * (4 + 1)  # ceil(log2 K) + 1 bits each; none for the dense layer
    assert shown["memory_bits"] == {
        "dense": virtual * 8, "index_sram": weights * 8 + index, "hash": weights * 8,
    }  # fmt: skip
    assert json.loads(json.dumps(shown)) == shown
    assert shown["layers"][0]["rate"] == 7 / 27
    assert shown == rom.describe(rom.load(image))


def test_rendering_names_every_layer_and_fits_80_columns(image: Path) -> None:
    console = Console(width=80, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(rom.render(image))
    text = console.export_text()
    for part in ("conv 3x3/1", "pool", "fc0", "fc1", "banked", "1/3.857", "gradient-inhibition"):
        assert part in text
    assert "…" not in text


def test_loading_does_not_import_torch() -> None:
    code = "import hwsim.rom.image, sys; sys.exit('torch' in sys.modules or 'rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
