import dataclasses
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
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
    contents,
    equal,
    forge_file,
    forge_line,
    forge_manifest,
    small_program,
)


@pytest.fixture
def program() -> Program:
    return small_program()


@pytest.fixture
def image(program: Program, tmp_path: Path) -> Path:
    rom.save(program, tmp_path / "net.hne")
    return tmp_path / "net.hne"


def refusal(image: Path, **options: Any) -> str:
    """The one line with which ``load`` refuses the image."""
    with pytest.raises(ImageError) as caught:
        rom.load(image, **options)
    message = str(caught.value)
    assert message.startswith(f"{image}: ")
    assert message.isprintable()
    return message.removeprefix(f"{image}: ")


# --- what is written ------------------------------------------------------------------------------


def test_round_trip_is_exact(program: Program, image: Path) -> None:
    assert equal(rom.load(image), program)
    assert equal(rom.load(str(image)), program)


def test_saving_twice_writes_the_same_bytes(program: Program, image: Path, tmp_path: Path) -> None:
    rom.save(rom.load(image), tmp_path / "again.hne")
    assert contents(tmp_path / "again.hne") == contents(image)


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


# --- damaged images -------------------------------------------------------------------------------

FILES = ["manifest.json", "weights.mem", "index.mem", "scale.mem", "bias.mem", "program.mem"]


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(image: Path, name: str) -> None:
    (image / name).unlink()
    assert refusal(image).startswith(f"{name} is missing: restore")


@pytest.mark.parametrize("name", FILES[1:])
def test_a_truncated_file_is_named_with_the_line(image: Path, name: str) -> None:
    data = (image / name).read_bytes()
    (image / name).write_bytes(data[:-1])
    last = data.count(b"\n")
    assert refusal(image).startswith(f"{name} line {last} is cut off")


def test_a_truncated_manifest_is_refused(image: Path) -> None:
    data = (image / "manifest.json").read_bytes()
    (image / "manifest.json").write_bytes(data[: len(data) // 2])
    assert refusal(image).startswith("manifest.json: text: Invalid JSON")


@pytest.mark.parametrize("name", FILES[1:])
def test_an_edited_file_does_not_match_its_digest(image: Path, name: str) -> None:
    data = bytearray((image / name).read_bytes())
    data[-2] ^= 1
    (image / name).write_bytes(data)
    assert refusal(image).startswith(f"{name} does not match its SHA-256")


def test_an_edited_manifest_does_not_match_its_own_digest(image: Path) -> None:
    path = image / "manifest.json"
    path.write_text(path.read_text().replace('"sample"', '"simple"'))
    assert "does not match its own digest" in refusal(image)


def test_a_reformatted_manifest_is_the_same_manifest(program: Program, image: Path) -> None:
    path = image / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True, indent=7))
    assert equal(rom.load(image), program)


def test_no_image_at_all_is_said_plainly(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.hne").startswith("no such directory: make one")
    (tmp_path / "file.hne").write_text("")
    assert refusal(tmp_path / "file.hne").startswith("not a directory")
    (tmp_path / "empty.hne").mkdir()
    assert refusal(tmp_path / "empty.hne").startswith("manifest.json is missing")
    with pytest.raises(ImageError, match="null character"):
        rom.load("a\0b")


def test_links_and_pipes_are_not_followed(image: Path, tmp_path: Path) -> None:
    (image / "bias.mem").rename(tmp_path / "bias.mem")
    (image / "bias.mem").symlink_to(tmp_path / "bias.mem")
    assert refusal(image).startswith("bias.mem is a link")
    (image / "bias.mem").unlink()
    os.mkfifo(image / "bias.mem")
    assert refusal(image).startswith("bias.mem is not a regular file")


def test_a_line_break_in_a_path_does_not_break_the_message(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        rom.load(tmp_path / "two\nlines.hne")
    assert "two?lines.hne" in str(caught.value)


# --- forged images: the digests are right, the content is not -------------------------------------


def forge_layer(image: Path, position: int, **fields: Any) -> None:
    forge_manifest(image, lambda manifest: manifest["layers"][position].update(fields))


def test_a_forgery_that_changes_nothing_is_accepted(program: Program, image: Path) -> None:
    for name in FILES[1:]:
        forge_file(image, name, (image / name).read_bytes())
    assert equal(rom.load(image), program)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda m: m.update(format_version=3), "format version 3, but this hwsim reads 1 and 2"),
        (lambda m: m.update(format_version="1"), "format_version: Input should be a valid integer"),
        (lambda m: m.update(surplus=1), "surplus: Extra inputs are not permitted"),
        (lambda m: m.pop("history"), "history: Field required"),
        (lambda m: m["config"].pop("tile_depth"), "config.tile_depth: Field required"),
        (lambda m: m["config"].pop("mult_w"), "config.mult_w: Field required"),
        (lambda m: m["config"].update(rows=3), "config: banks (2) must be at least rows (3)"),
        (lambda m: m["input"].update(scale=[1, 0]), "input.scale.1: Input should be greater"),
        (lambda m: m["input"].update(scale=[-1, 255]), "input.scale.0: Input should be greater"),
        (lambda m: m["input"].update(scale=[2**70, 255]), "is beyond 64 bits"),
        (lambda m: m["input"].update(zero=70000), "input.zero: Input should be less"),
        (lambda m: m["input"].update(codes=[0, 127]), "input: codes must be [0, 255]"),
        (lambda m: m.update(layers=[]), "layers: Tuple should have at least 1 item"),
        (lambda m: m["layers"][0].update(kind="rnn"), "layers.0: Input tag 'rnn'"),
        (lambda m: m["layers"][0].update(name="a\nb"), "layers.0.conv.name: has unprintable"),
        (lambda m: m["layers"][0].update(fan_in=True), "layers.0.conv.fan_in: Input should be"),
        (lambda m: m["layers"][0].update(seed=-1), "layers.0.conv.seed: Input should be"),
        (lambda m: m["layers"][2].update(hash_banks=3), "layer fc0: hash_banks must be a power"),
        (lambda m: m["layers"][3].update(real_weights=9), "layer fc1: a dense layer stores every"),
        (lambda m: m["layers"][2].update(weight_base=0), "layer fc0: weight_base is 0, not 4"),
        (lambda m: m["layers"][2].update(index_base=0), "layer fc0: index_base is 0, not 18"),
        (lambda m: m["sha256"].pop("bias.mem"), "sha256 must name exactly weights.mem"),
        (lambda m: m["sha256"].update({"../../x": "0" * 64}), "sha256 must name exactly"),
    ],
)
def test_a_manifest_that_breaks_the_format_is_refused(
    image: Path, change: Callable[[dict[str, Any]], None], complaint: str
) -> None:
    forge_manifest(image, change)
    message = refusal(image)
    assert message.startswith("manifest.json: ")
    assert complaint in message


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{" * 100_000,
        b"[" * 100_000,
        b'{"format_version": 1e999}',
    ],
)
def test_a_manifest_that_is_no_object_is_refused(image: Path, text: bytes) -> None:
    (image / "manifest.json").write_bytes(text)
    assert refusal(image).startswith("manifest.json: ")


@pytest.mark.parametrize(
    ("name", "line", "text", "complaint"),
    [
        ("weights.mem", 2, b"00zz", "line 2 is not 4 lower-case hex digits"),
        ("weights.mem", 2, b"8001", "line 2 bank 1 holds -128, outside ±127"),
        ("weights.mem", 4, b"0101", "line 4 bank 1 holds 1 behind the last word of conv"),
        ("index.mem", 1, b"0000000", "line 1 says +w[0] in row 0, where the hash gives"),
        ("index.mem", 10, b"fffffff", "line 10 says -w[8191] in row 0, where the hash gives"),
        ("index.mem", 18, b"000000G", "line 18 is not 7 lower-case hex digits"),
        ("scale.mem", 3, b"008000", "line 3 holds multiplier -32768, outside ±32767"),
        ("scale.mem", 1, b"300001", "line 1 holds shift 48, outside 0 … 47"),
        ("scale.mem", 1, b"400001", "line 1 is wider than 22 bits"),
        ("program.mem", 6, b"0000000a", "line 6 (instruction 0, layer conv): real_weights is 10"),
        ("program.mem", 17, b"0000000a", "line 17 (instruction 1, layer pool): op is 10, not 3"),
        ("program.mem", 11, b"00002100", "instruction 0, layer conv): unused bits must be zero"),
        ("program.mem", 65, b"00000001", "line 65 (instruction 4, the end): op is 1, not 0"),
    ],
)
def test_a_forged_line_is_refused_by_name_and_number(
    image: Path, name: str, line: int, text: bytes, complaint: str
) -> None:
    forge_line(image, name, line, text)
    message = refusal(image)
    assert message.startswith(name)
    assert complaint in message


def test_a_forged_bias_that_could_overflow_is_refused_by_the_proof(image: Path) -> None:
    forge_line(image, "bias.mem", 1, b"7fffffffffff")
    assert "conv: channel 0 can overflow the requantizer" in refusal(image)


def test_a_changed_hash_seed_is_found_in_every_file_that_depends_on_it(image: Path) -> None:
    forge_layer(image, 0, seed=99)
    assert "program.mem line 7 (instruction 0, layer conv): seed is 11, not 99" in refusal(image)
    forge_line(image, "program.mem", 7, b"%08x" % 99)
    assert refusal(image).startswith("index.mem line 1 says ")


def test_a_changed_step_is_refused_by_the_proof(image: Path) -> None:
    forge_layer(image, 2, scale=0.125)
    assert "fc1: a step of the logits is worth" in refusal(image)


def test_claims_of_immense_sizes_are_refused_before_anything_is_allocated(image: Path) -> None:
    many = 2**32 - 1
    forgeries: list[tuple[int, dict[str, Any]]] = [
        (0, dict(real_weights=many)),
        (0, dict(n_out=10**6, fan_in=10**6)),
        (3, dict(n_out=65535, fan_in=10**7, real_weights=65535 * 10**7)),
    ]
    intact = (image / "manifest.json").read_bytes()
    for position, fields in forgeries:
        forge_layer(image, position, **fields)
        tracemalloc.start()
        refusal(image)
        assert tracemalloc.get_traced_memory()[1] < 2**21
        tracemalloc.stop()
        (image / "manifest.json").write_bytes(intact)


def test_a_file_is_refused_by_its_size_before_it_is_read(image: Path) -> None:
    with open(image / "weights.mem", "ab") as file:
        file.truncate(2**40)  # sparse
    assert "the file has 1099511627776 bytes" in refusal(image)
    with open(image / "manifest.json", "ab") as file:
        file.truncate(2**40)
    assert "manifest.json has 1099511627776 bytes" in refusal(image)


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
