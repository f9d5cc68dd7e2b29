"""What an installed hwsim needs travels with it, and what only studies need does not."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from hwsim.models.specs import STUDY_NETWORKS
from tests.distributions import ROOT, built, of_the_checkout

STUDY = ROOT / "tools" / "study_networks"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return of_the_checkout(tmp_path_factory, "wheel")


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return of_the_checkout(tmp_path_factory, "sdist")


def contents(wheel: Path) -> dict[str, bytes]:
    """Of every file but RECORD, which lists the others."""
    with zipfile.ZipFile(wheel) as inside:
        names = [name for name in inside.namelist() if not name.endswith("/RECORD")]
        return {name: inside.read(name) for name in names}


@pytest.mark.slow
def test_the_wheel_holds_every_module_configuration_template_and_network(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "hwsim").rglob("*.py"):
        assert path.relative_to(ROOT).as_posix() in inside
    for room, patterns in {
        "attacks": ("*.py",), "models": ("*.py",), "configs": ("*.toml",),
    }.items():  # fmt: skip
        for pattern in patterns:
            for path in (ROOT / room).rglob(pattern):
                assert f"hwsim/{path.relative_to(ROOT).as_posix()}" in inside
    for path in (ROOT / "hwsim/report/templates").iterdir():
        assert path.relative_to(ROOT).as_posix() in inside
    for path in (ROOT / "rtl").rglob("*"):
        if path.is_file():
            assert f"hwsim/rtl/verilog/{path.relative_to(ROOT / 'rtl').as_posix()}" in inside
    names = {path.stem for path in (ROOT / "models/zoo").glob("*.json")}
    for name in names:
        for suffix in ("json", "safetensors"):
            held = f"hwsim/models/zoo/{name}.{suffix}" in inside
            assert held == (name not in STUDY_NETWORKS)


@pytest.mark.slow
def test_the_wheel_is_no_larger_than_30_megabytes(wheel: Path) -> None:
    assert wheel.stat().st_size <= 30_000_000


@pytest.mark.slow
def test_the_source_archive_is_no_larger_than_30_megabytes(archive: Path) -> None:
    assert archive.stat().st_size <= 30_000_000


@pytest.mark.slow
def test_the_source_archive_makes_the_same_wheel(
    wheel: Path, archive: Path, tmp_path: Path
) -> None:
    with tarfile.open(archive) as inside:
        inside.extractall(tmp_path / "source")
    (source,) = (tmp_path / "source").iterdir()
    made, expected = contents(built("wheel", source, tmp_path / "wheel")), contents(wheel)
    assert made.keys() == expected.keys()
    assert [name for name in made if made[name] != expected[name]] == []


def test_both_distributions_agree_which_networks_only_studies_need() -> None:
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    theirs = tomllib.loads((STUDY / "pyproject.toml").read_text())["tool"]["setuptools"]
    left_out = ours["exclude-package-data"]["hwsim.models"]
    lines = (line.split() for line in (ROOT / "MANIFEST.in").read_text().splitlines())
    assert [f"zoo/{line[1]}" for line in lines if line[0] == "global-exclude"] == left_out
    *apart_only, generators = theirs["package-data"]["hwsim_study_networks"]
    assert (apart_only, generators) == (left_out, "gan/*.safetensors")
    assert ours["package-data"]["hwsim.models"] == ["zoo/*.safetensors", "zoo/*.json"]
    trained = ROOT / "models/gan/trained"
    assert (STUDY / "hwsim_study_networks/gan").resolve() == trained.resolve()
    for path in (ROOT / "models/zoo").iterdir():
        apart = any(fnmatch(f"zoo/{path.name}", pattern) for pattern in left_out)
        assert apart == (path.stem in STUDY_NETWORKS)
    assert (STUDY / "hwsim_study_networks/zoo").resolve() == (ROOT / "models/zoo").resolve()
