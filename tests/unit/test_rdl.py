"""The register map as SystemRDL: what a compiler reads is what docs and Verilog say."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hwsim.bus import rdl
from hwsim.bus.constants import CAUSE_CODES, PROBABILITIES, SPACES
from hwsim.bus.host import ABORT, AUTO, BUSY, DONE, ERROR, REFUSED, START
from hwsim.errors import ImageError, InputError

pytest.importorskip("systemrdl", reason="systemrdl-compiler is not installed: make test does")
pytest.importorskip("peakrdl_html", reason="peakrdl-html is not installed: make test does")
pytest.importorskip("peakrdl_cheader", reason="peakrdl-cheader is not installed: make test does")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def registers() -> dict[str, Any]:
    """Name -> node, as systemrdl-compiler understands the description."""
    return {node.inst_name: node for node in rdl.compiled().top.registers()}


def access(register: Any) -> str:
    """ro, rw or w1c, by what software may do with the fields."""
    fields = list(register.fields())
    if any(field.get_property("onwrite") is not None for field in fields):
        assert all(str(f.get_property("onwrite")).endswith("woclr") for f in fields if writable(f))
        return "w1c"
    return "rw" if any(map(writable, fields)) else "ro"


def writable(field: Any) -> bool:
    return bool(field.is_sw_writable)


def test_names_addresses_and_access_are_those_of_the_document(registers: dict[str, Any]) -> None:
    page = (ROOT / "docs/registers.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (0x\w\w) \| (\w+) \| (\w+) \| (.*) \|$", page, re.MULTILINE)
    found = [
        (f"0x{node.absolute_address:02x}", name, access(node), node.get_property("desc"))
        for name, node in registers.items()
    ]
    assert found == rows
    assert all(node.get_property("regwidth") == 32 for node in registers.values())


def test_addresses_and_constants_are_those_of_the_verilog(registers: dict[str, Any]) -> None:
    header = (ROOT / "rtl/bus/hne_registers.vh").read_text(encoding="utf-8")
    words = re.findall(r"REG_(\w+) = 6'h(\w+);", header)
    assert {name: 4 * int(at, 16) for name, at in words} == {
        name: node.absolute_address for name, node in registers.items()
    }
    constants = re.findall(r"REGISTER_(\w+) = 32'h(\w+);", header)
    assert {name: int(value, 16) for name, value in constants} == {
        name: registers[name].get_child_by_name("value").get_property("reset")
        for name in ("ID", "VERSION")
    }


def test_bits_and_codes_are_those_that_the_host_uses(registers: dict[str, Any]) -> None:
    def masks(name: str) -> dict[str, int]:
        fields = registers[name].fields()
        return {one.inst_name: (1 << one.high + 1) - (1 << one.low) for one in fields}

    assert masks("CONTROL") == {"start": START, "auto": AUTO, "abort": ABORT}
    assert masks("STATUS") == {
        "busy": BUSY, "done": DONE, "error": ERROR, "refused": REFUSED, "cause": 7 << 4,
    }  # fmt: skip
    assert masks("IRQ_ENABLE") == {"done": DONE, "error": ERROR}
    (space,) = registers["MEM_SPACE"].fields()
    codes = {one.name: one.value for one in space.get_property("encode")}
    files = {name.removesuffix(".mem"): number for name, number in SPACES.items()}
    assert codes == files | {"probabilities": PROBABILITIES}
    cause = registers["STATUS"].get_child_by_name("cause")
    assert {one.name: one.value for one in cause.get_property("encode")} == CAUSE_CODES
    assert cause.is_sw_readable
    assert not cause.is_sw_writable


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_a_c_compiler_puts_every_register_at_its_address(
    registers: dict[str, Any], tmp_path: Path
) -> None:
    rdl.write_c(tmp_path / "hne.h")
    lines = "".join(
        f'  printf("{name} %d\\n", (int)offsetof(hne_t, {name}));\n' for name in registers
    )
    (tmp_path / "main.c").write_text(
        f'#include <stddef.h>\n#include <stdio.h>\n#include "hne.h"\nint main(void) {{\n{lines}'
        '  printf("%d\\n", HNE__STATUS__CAUSE_bm);\n  return 0;\n}\n'
    )
    subprocess.run(["cc", "-Wall", "-Werror", "-o", "a", "main.c"], cwd=tmp_path, check=True)
    out = subprocess.run([tmp_path / "a"], check=True, capture_output=True, text=True).stdout
    *rows, cause = out.split("\n")[:-1]
    assert [(name, int(at)) for name, at in map(str.split, rows)] == [
        (name, node.absolute_address) for name, node in registers.items()
    ]
    assert int(cause) == 7 << 4


def test_the_pages_name_every_register_and_replace_only_their_like(
    registers: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "pages"
    rdl.write_html(folder)
    assert {path.name for path in folder.iterdir()} <= rdl.PAGES
    pages = [*folder.rglob("*.html"), *folder.rglob("*.json"), *folder.rglob("*.js")]
    text = "".join(path.read_text("utf-8") for path in pages)
    assert all(name in text for name in registers)
    with pytest.raises(ImageError, match="already exists"):
        rdl.write_html(folder)
    (folder / "thesis.tex").write_text("…")
    with pytest.raises(ImageError, match=r"thesis\.tex"):
        rdl.write_html(folder, overwrite=True)
    assert (folder / "index.html").is_file()


@pytest.mark.parametrize(
    ("module", "write"),
    [("peakrdl_cheader", rdl.write_c), ("peakrdl_html", rdl.write_html)],
)
def test_a_missing_library_is_named_with_what_installs_it(
    module: str, write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rdl, "find_spec", lambda name: None if name == module else object())
    with pytest.raises(InputError, match=rf"{module.replace('_', '-')}.*pip install 'hwsim\[rdl\]"):
        write(tmp_path / "out")
    assert not list(tmp_path.iterdir())
