"""What an installed hwsim needs travels with it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_wheel_holds_every_module_configuration_template_and_network(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(tmp_path)]
    done = subprocess.run([*build, str(ROOT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("hwsim", "models", "attacks"):
        for path in (ROOT / folder).rglob("*.py"):
            assert path.relative_to(ROOT).as_posix() in inside
    for path in (ROOT / "configs").glob("*.toml"):
        assert f"hwsim/configs/{path.name}" in inside
    for pattern in (
        "hwsim/report/templates/*.html",
        "models/zoo/*.safetensors",
        "models/zoo/*.json",
    ):
        for path in ROOT.glob(pattern):
            assert path.relative_to(ROOT).as_posix() in inside
