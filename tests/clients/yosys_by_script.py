"""``yosys`` for who has YoWASP's, which knows no Tcl: Edalize's script, command by command.

The test makes it ``yosys`` on PATH where there is no other; it is called as
``yosys -l LOG -p 'tcl TEMPLATE'``.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def script(procedures: str, template: str) -> str:
    """Commands of Yosys in the order in which the template calls the procedures."""
    names = dict(re.findall(r"^set (\w+) (\S+)$", procedures, re.MULTILINE))
    bodies = dict(
        re.findall(r"^proc (\w+) \{\w*\} \{\n(.*?)\}\n(?=\n|\Z|proc)", procedures, re.M | re.S)
    )
    lines: list[str] = []
    for line in template.splitlines():
        word = line.partition(" ")[0]
        lines += bodies[word].splitlines() if word in bodies else [line]
    known = ("verilog_defaults", "read_verilog", "chparam", "synth_", "write_")
    found = [line for line in map(str.strip, lines) if line.startswith(known)]
    plain = [re.sub(r"[{}]", "", line) for line in found]
    return "\n".join(re.sub(r"\$(\w+)", lambda name: names[name[1]], line) for line in plain)


def main(program: str) -> int:
    """Run ``program`` on the script of the current folder."""
    procedures = Path("edalize_yosys_procs.tcl").read_text(encoding="utf-8")
    template = Path(sys.argv[-1].removeprefix("tcl ")).read_text(encoding="utf-8")
    Path("synth.ys").write_text(script(procedures, template), encoding="utf-8")
    return subprocess.run([program, "-q", "synth.ys"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv.pop(1)))
