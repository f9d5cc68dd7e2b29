"""Every RAM of an image as files of FPGA tools: read back by the formats' own descriptions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwsim.errors import ImageError
from hwsim.numbers.config import load_config
from hwsim.program.program import Program
from hwsim.rom import vendor, vendor_formats
from hwsim.rom.memories import memory_files, memory_values
from hwsim.rom.vendor import export, rams
from hwsim.rom.vendor_formats import FORMATS, Ram
from tests.images import residual_program, small_program
from tests.vendor_readers import read_coe, read_mem, read_mif, read_quartus_hex

HASH = load_config("tiny").replace(index_mode="hash", lut_tables=0)
WIDE = load_config("tiny").replace(
    rows=3, banks=4, act_w=10, wgt_w=11, acc_w=48, mult_w=16, lut_tables=4
)
PROGRAMS = [
    small_program(), small_program(HASH), small_program(WIDE), residual_program(),
]  # fmt: skip


def expected(program: Program) -> dict[str, tuple[int, int, list[int]]]:
    """File stem -> width, depth and words, spelled out from the memory files and the parameters."""
    sizes = program.config.verilog_parameters()
    found = {}
    for name, file in memory_files(program).items():
        lines = np.concatenate([*memory_values(program, name)]).tolist()
        for field in range(file.fields):
            words = [line[field] % (1 << file.width) for line in lines]
            kind = name.removesuffix(".mem")
            depth = {"weights": sizes["WGT_DEPTH"] // sizes["BANKS"], "index": sizes["IDX_DEPTH"],
                     "scale": sizes["CHAN_DEPTH"], "bias": sizes["CHAN_DEPTH"],
                     "program": 16 * sizes["PROG_DEPTH"],
                     "lut": sizes["LUT_TABLES"] * 2 ** sizes["ACT_W"]}[kind]  # fmt: skip
            stem = f"{kind}_{field:03}" if kind in ("weights", "index") else kind
            found[stem] = file.width, depth, words
    return found


def padded(words: list[int], depth: int) -> dict[int, int]:
    return dict(enumerate(words + [0] * (depth - len(words))))


@pytest.fixture(params=range(len(PROGRAMS)))
def program(request: pytest.FixtureRequest) -> Program:
    return PROGRAMS[request.param]


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_reads_back_by_the_formats_description(
    program: Program, name: str, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    export(program, folder, name)
    stems = expected(program)
    files = {path.stem: path.read_text("ascii") for path in folder.iterdir()}
    # The RAM of tables is there without a table, too.
    empty = files.keys() - stems.keys()
    assert empty <= {"lut"}
    assert stems.keys() <= files.keys()
    for stem, (width, depth, words) in stems.items():
        text = files[stem]
        if name == "mem":
            assert read_mem(text) == padded(words, depth)
            assert len(text.splitlines()) == depth
        elif name == "coe":
            assert read_coe(text) == dict(enumerate(words))
        elif name == "mif":
            assert read_mif(text) == (padded(words, depth), width, depth)
        else:
            assert read_quartus_hex(text) == (dict(enumerate(words)), {-(-width // 8)})


def test_the_mem_file_of_a_single_ram_is_that_of_the_image_with_zeros_behind(
    tmp_path: Path,
) -> None:
    program = residual_program()
    export(program, tmp_path / "out", "mem")
    for name in ("scale.mem", "bias.mem", "program.mem", "lut.mem"):
        file = memory_files(program)[name]
        own = b"".join(b"".join(file.encode(part)) for part in memory_values(program, name))
        assert (tmp_path / "out" / name).read_bytes().startswith(own)


@pytest.mark.parametrize("name", FORMATS)
def test_an_engine_with_tables_and_a_program_without_any_has_a_file_of_zeros(
    name: str, tmp_path: Path
) -> None:
    export(small_program(), tmp_path / "out", name)
    text = (tmp_path / "out" / f"lut.{name}").read_text("ascii")
    zeros = dict.fromkeys(range(4 << 8), 0)
    if name == "mem":
        assert read_mem(text) == zeros
    elif name == "coe":
        assert read_coe(text) == {0: 0}
    elif name == "mif":
        assert read_mif(text) == (zeros, 8, 1024)
    else:
        assert read_quartus_hex(text) == ({}, set())


@pytest.mark.parametrize("program", [small_program(HASH), small_program(WIDE)])
def test_a_ram_that_the_engine_does_not_have_has_no_file(program: Program) -> None:
    assert "lut" not in [ram.name for ram in rams(program)]


def test_chunks_join_without_a_seam(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = residual_program()
    for name in FORMATS:
        export(program, tmp_path / name, name)
    monkeypatch.setattr(vendor, "CHUNK", 7)
    monkeypatch.setattr(vendor_formats, "CHUNK", 7)
    for name in FORMATS:
        export(program, tmp_path / f"{name}-again", name)
        for path in (tmp_path / name).iterdir():
            assert path.read_bytes() == (tmp_path / f"{name}-again" / path.name).read_bytes()


@pytest.mark.slow
def test_intel_hex_reaches_words_behind_the_first_segment_and_says_where_it_ends() -> None:
    form, many = FORMATS["hex"], (1 << 17) + 3
    ram = Ram("big", "weights.mem", 0, 12, many, many)
    values = np.arange(many, dtype=np.uint64) % np.uint64(4093)
    parts = [values[:5], values[5:70000], values[70000:]]
    firsts = [0, 5, 70000]
    text = b"".join(form.words(ram, at, part) for at, part in zip(firsts, parts, strict=True))
    text += b"".join(form.end(ram))
    assert read_quartus_hex(text.decode()) == (dict(enumerate(values.tolist())), {2})
    with pytest.raises(ImageError, match=r"has 1048577 words.*reaches 1048576.*--format mif"):
        form.begin(Ram("big", "weights.mem", 0, 8, 1 << 21, (1 << 20) + 1))


def test_a_ram_of_another_memory_or_a_foreign_folder_is_never_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export(small_program(), folder, "mif")
    with pytest.raises(ImageError, match="already exists"):
        export(small_program(), folder, "mif")
    export(small_program(WIDE), folder, "coe", overwrite=True)
    assert {path.suffix for path in folder.iterdir()} == {".coe"}
    (folder / "thesis.tex").write_text("…")
    with pytest.raises(ImageError, match=r"thesis\.tex"):
        export(small_program(), folder, "mif", overwrite=True)
    assert (folder / "thesis.tex").read_text() == "…"
