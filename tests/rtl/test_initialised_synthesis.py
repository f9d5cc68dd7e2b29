"""A RAM that wakes up loaded is the block RAM that it was, with other configuration bits."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from hwsim.fpga import tools as fpga
from hwsim.fpga.tools import SynthesisError

pytestmark = pytest.mark.rtl

#: The words at the two ends of a memory of 8 bits x 512: a file of `hwsim rom export`.
FIRST, LAST = 0xA5, 0x3C


@pytest.fixture(autouse=True)
def _tools() -> None:
    try:
        fpga.tool("yosys")
    except SynthesisError:
        pytest.skip("make synth installs Yosys")


def cells(folder: Path, *parameters: str) -> tuple[Counter[str], str]:
    """Cells of hne_ram by type, and the bits that its block RAM wakes up with, joined."""
    given = " ".join(["-set WIDTH 8", "-set DEPTH 512", *parameters])
    (folder / "ram.ys").write_text(
        f"read_verilog hne_ram.v\nchparam {given} hne_ram\n"
        "synth_ecp5 -top hne_ram\nwrite_json ram.json\n"
    )
    command = [fpga.tool("yosys"), "-q", "ram.ys"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    modules = json.loads((folder / "ram.json").read_text())["modules"]
    (ram,) = (one for name, one in modules.items() if "hne_ram" in name)
    found = list(ram["cells"].values())
    (block,) = (one for one in found if one["type"] == "DP16KD")
    words = {k: v for k, v in block["parameters"].items() if k.startswith("INITVAL_")}
    return Counter(one["type"] for one in found), "".join(words[k] for k in sorted(words))


@pytest.mark.slow
@pytest.mark.parametrize("name", ['-set INIT_NAME "a"', '-set INIT_NAME "b" -set INIT_FIELD 123'])
def test_initial_words_cost_no_cell_and_arrive(name: str) -> None:
    with fpga.workplace() as folder:
        words = [FIRST, *[0] * 510, LAST]
        (folder / "rom").mkdir()
        for file in ("a.mem", "b_123.mem"):
            (folder / "rom" / file).write_text("".join(f"{word:02x}\n" for word in words))
        before, empty = cells(folder)
        after, filled = cells(folder, '-set INIT_DIR "rom"', name)
    assert after == before == {"DP16KD": 1}
    # Without a file nothing is said about the words; with one, these are the only bits that are 1.
    assert "1" not in empty
    assert filled.count("1") == FIRST.bit_count() + LAST.bit_count()
