"""A user's own ``models`` and ``attacks``: never picked up by ours, never shadowed by ours."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.distributions import ROOT, of_the_checkout

#: What a user of both writes. Nothing here needs torch.
BOTH = """
import hwsim.attacks.core.errors, hwsim.attacks.known, hwsim.models.specs
import models.net, attacks.mine
assert models.net.NAME == "the user's network", models.net
assert attacks.mine.NAME == "the user's attack", attacks.mine
assert hwsim.models.specs.SPECS and hwsim.attacks.known.ATTACKS
assert not any("hwsim" in str(getattr(m, "__file__", "")) for m in (models.net, attacks.mine))
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a wheel leaves it."""
    folder = tmp_path_factory.mktemp("isolation")
    with zipfile.ZipFile(of_the_checkout(tmp_path_factory, "wheel")) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def users(folder: Path, packages: bool) -> Path:
    """A project with models/net.py and attacks/mine.py, as packages or as bare folders."""
    for package, module, name in (("models", "net", "network"), ("attacks", "mine", "attack")):
        (folder / package).mkdir(parents=True)
        (folder / package / f"{module}.py").write_text(f'NAME = "the user\'s {name}"\n')
        if packages:
            (folder / package / "__init__.py").touch()
    return folder


def run(where: Path, *path: Path, command: tuple[str, ...] = ("-c", BOTH)) -> None:
    """In folder ``where``, with ``path`` as PYTHONPATH; an editable installation without."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    done = subprocess.run(
        [sys.executable, *command], cwd=where, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("packages", [True, False], ids=["packages", "bare folders"])
@pytest.mark.parametrize("installed", ["editable", "checkout"])
def test_the_folders_of_a_project_stay_its_own(
    tmp_path: Path, installed: str, packages: bool
) -> None:
    run(users(tmp_path / "mine", packages), *([ROOT] if installed == "checkout" else []))


@pytest.mark.slow
@pytest.mark.parametrize("packages", [True, False], ids=["packages", "bare folders"])
def test_they_do_beside_a_wheel(tmp_path: Path, unpacked: Path, packages: bool) -> None:
    run(users(tmp_path / "mine", packages), unpacked)
    found = "import hwsim; assert 'site' in hwsim.__file__, hwsim.__file__"
    run(tmp_path, unpacked, command=("-c", found))


def test_a_checkout_on_the_path_does_not_stand_in_front_of_what_comes_behind(
    tmp_path: Path,
) -> None:
    theirs = users(tmp_path / "site-packages", packages=True)
    run(tmp_path, ROOT, theirs)


def test_without_a_package_of_that_name_there_is_none(tmp_path: Path) -> None:
    code = (
        "for name in ('models', 'attacks'):\n"
        "    try: __import__(name)\n"
        "    except ModuleNotFoundError as error: assert error.name == name\n"
        "    else: raise SystemExit(f'{name} is ours')\n"
    )
    run(tmp_path, ROOT, command=("-c", code))


@pytest.mark.slow
@pytest.mark.parametrize("installed", ["editable", "checkout"])
def test_pytest_in_a_project_sees_its_folders(tmp_path: Path, installed: str) -> None:
    folder = users(tmp_path / "mine", packages=True)
    (folder / "test_both.py").write_text(f"def test_both():\n    exec({BOTH!r})\n")
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
    run(folder, *([ROOT] if installed == "checkout" else []), command=command)


@pytest.mark.slow
def test_a_checkout_on_the_path_knows_its_version(tmp_path: Path) -> None:
    code = "import hwsim; from hwsim.networks.open import versions as v; assert v()['hwsim']"
    run(tmp_path, ROOT, command=("-c", code))
