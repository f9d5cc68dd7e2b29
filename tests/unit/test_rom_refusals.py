"""Damaged and forged images are refused by name, in one line, before they cost anything."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwsim.errors import ImageError
from hwsim.program.program import Program
from hwsim.rom import image as rom
from tests.images import (
    FILES,
    equal,
    forge_file,
    forge_line,
    forge_manifest,
    refusal,
)
from tests.images import image as image
from tests.images import program as program

# --- damaged images -------------------------------------------------------------------------------


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
        (lambda m: m["input"].update(scale=[1, 0]), "input.scale.1: must be 1 … 2^64 − 1"),
        (lambda m: m["input"].update(scale=[-1, 255]), "input.scale.0: must be 1 … 2^64 − 1"),
        (lambda m: m["input"].update(scale=["1", 255]), "input.scale.0: must be 1 … 2^64 − 1"),
        (lambda m: m["input"].update(scale=["9" * 39, 255]), "from there to 2"),
        (lambda m: m["input"].update(scale=[2**70, 255]), "is beyond 64 bits"),
        (lambda m: m["input"].update(zero=70000), "input.zero: Input should be less"),
        (lambda m: m["input"].update(codes=[0, 256]), "input: codes must be [0, 1 … 255]"),
        (lambda m: m["input"].update(codes=[0, 0]), "input: codes must be [0, 1 … 255]"),
        (lambda m: m["input"].update(codes=[1, 255]), "input: codes must be [0, 1 … 255]"),
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
