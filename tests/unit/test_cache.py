"""The cache folder: where it is, who may share it, and what happens where it cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.files import cache, kernel_cache
from hwsim.rtl import workplace


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No home and no cache that could be written; a file in the place of each stops root, too."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("HOME", str(blocked))
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    monkeypatch.setenv("HWSIM_CACHE", str(blocked / "cache"))
    return blocked


def test_an_unwritable_cache_gives_way_to_a_folder_of_the_process(nowhere: Path) -> None:
    found = cache.writable_folder("rtl")
    assert cache.can_write(found)
    assert nowhere not in found.parents
    assert cache.writable_folder("rtl") == found


def test_kernels_go_elsewhere_only_where_numba_finds_no_place(
    nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numba = pytest.importorskip("numba")
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    kernel_cache.ensure_kernel_cache(str(tmp_path / "room" / "__init__.py"))
    assert numba.config.CACHE_DIR == ""
    kernel_cache.ensure_kernel_cache(str(nowhere / "__init__.py"))
    assert cache.can_write(Path(numba.config.CACHE_DIR))


def test_compiling_keeps_out_of_paths_with_spaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaced = tmp_path / "my cache"
    spaced.mkdir()
    monkeypatch.setattr(workplace.tempfile, "tempdir", str(spaced))
    with workplace.scratch(spaced) as place:
        assert not workplace.awkward(place)
        link = workplace.plain_folder(spaced, place)
        assert link.resolve() == spaced.resolve()
        assert not workplace.awkward(link)
    monkeypatch.setattr(workplace, "_PLAIN", ())
    with (
        pytest.raises(workplace.NoWorkplaceError, match="no spaces"),
        workplace.scratch(spaced),
    ):
        pass
