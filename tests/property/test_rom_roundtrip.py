"""Any program survives the disk exactly; no damage to an image escapes as a traceback."""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwsim.errors import ImageError
from hwsim.program.layers import LutLayer
from hwsim.program.program import Program
from hwsim.program.proof import check
from hwsim.rom import image as rom
from tests.images import contents, equal, forge_file, forge_manifest, small_program
from tests.property.networks import EXAMPLES, programs

fuzz = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)  # what every reader takes: hwsim/files/reading.py
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=6,
)
json_objects = st.dictionaries(st.text(max_size=5, alphabet='abé\n"\\'), json_values, max_size=3)


@pytest.mark.slow
@fuzz
@given(programs(), json_objects, st.lists(json_objects, max_size=2), st.floats(1e-9, 1e9))
def test_load_of_save_is_the_same_program(
    program: Program, provenance: dict, history: list[dict], clock: float
) -> None:
    program = program.replace(
        provenance=provenance,
        history=tuple(history),
        config=program.config.replace(clock_mhz=clock),
    )
    with tempfile.TemporaryDirectory() as folder:
        rom.save(program, Path(folder) / "x.hne")
        assert equal(rom.load(Path(folder) / "x.hne"), program)
        tables = any(isinstance(layer, LutLayer) for layer in program.layers)
        hashed = program.config.index_mode == "hash"
        assert len(rom.verify(Path(folder) / "x.hne")) == 7 - hashed + tables


# --- damage ---------------------------------------------------------------------------------------

FILES = ["manifest.json", "weights.mem", "index.mem", "scale.mem", "bias.mem", "program.mem"]


def _damaged(draw: Any, data: bytes) -> bytes:
    """Cut, extend, flip a byte, or replace a byte by another hex digit."""
    where = draw(st.integers(0, max(0, len(data) - 1)))
    how = draw(st.sampled_from(["digit", "cut", "extend", "flip", "insert", "replace"]))
    if how == "cut":
        return data[:where]
    if how == "extend":
        return data + draw(st.binary(min_size=1, max_size=40))
    if how == "insert":
        return data[:where] + draw(st.binary(min_size=1, max_size=3)) + data[where:]
    if how == "replace":
        return draw(st.binary(max_size=200))
    new = draw(st.sampled_from(b"0123456789abcdef\n"))
    byte = new if how == "digit" else data[where] ^ draw(st.integers(1, 255))
    return data[:where] + bytes([byte]) + data[where + 1 :]


def _load_or_refuse(image: Path) -> Program | None:
    """A program that the proof accepts, or None after one clear line."""
    try:
        program = rom.load(image)
    except ImageError as error:
        message = str(error)
    else:
        check(program)
        return program
    assert message.startswith(f"{image}: ")
    assert message.isprintable()
    return None


def saved() -> dict[str, bytes]:
    """The files of a small image, by name."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "x.hne"
        rom.save(small_program(), image)
        return contents(image)


@pytest.fixture(scope="module")
def intact() -> dict[str, bytes]:
    return saved()


def _restore(intact: dict[str, bytes], folder: str) -> Path:
    image = Path(folder) / "x.hne"
    image.mkdir()
    for name, data in intact.items():
        (image / name).write_bytes(data)
    return image


@fuzz
@given(data=st.data(), name=st.sampled_from(FILES))
def test_damage_to_any_file_is_refused(intact: dict, data: Any, name: str) -> None:
    damaged = _damaged(data.draw, intact[name])
    with tempfile.TemporaryDirectory() as folder:
        image = _restore(intact, folder)
        (image / name).write_bytes(damaged)
        program = _load_or_refuse(image)
        # Only white space in the manifest may change without notice.
        assert program is None or (damaged == intact[name] or name == "manifest.json")
        assert program is None or equal(program, small_program())


@settings(fuzz, max_examples=2 * EXAMPLES)
@given(data=st.data(), name=st.sampled_from(FILES[1:]))
def test_damage_under_correct_digests_is_refused_or_a_valid_program(
    intact: dict, data: Any, name: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        image = _restore(intact, folder)
        damaged = _damaged(data.draw, intact[name])
        forge_file(image, name, damaged)
        program = _load_or_refuse(image)
        if name in ("index.mem", "program.mem"):  # derived: nothing else is valid
            assert program is None or damaged == intact[name]
        if program is not None:  # what was read is what stands there
            rom.save(program, image.with_name("again.hne"))
            assert contents(image.with_name("again.hne"))[name] == damaged


def _places(node: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a JSON tree."""
    if not isinstance(node, dict | list):
        return []
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    return [place for key in keys for place in [(node, key), *_places(node[key])]]


odd_values: st.SearchStrategy[Any] = (
    st.sampled_from([0, 1, 2, 3, 7, 8, 16, 255, 2**16, 2**31, 2**32, 10**12, 2**63, 2**64])
    | st.integers(-9, 99)
    | st.sampled_from(
        ["conv", "fc", "pool", "dense", "xxh32", "banked", "sram", "hash", "", "a\nb"]
    )
    | st.sampled_from([None, True, 0.5, [], {}, [1, 1, 1], -(10**12), 10**400])
)


@settings(fuzz, max_examples=3 * EXAMPLES)
@given(data=st.data())
def test_a_manifest_with_odd_values_is_refused_or_a_valid_program(intact: dict, data: Any) -> None:
    count = len(_places(json.loads(intact["manifest.json"])))

    def change(manifest: dict[str, Any]) -> None:
        for _ in range(data.draw(st.integers(1, 2))):
            places = _places(manifest)
            container, key = places[data.draw(st.integers(0, count - 1)) % len(places)]
            if data.draw(st.integers(0, 9)) == 0:
                del container[key]
            else:
                # A copy: a list that was put in would be what a later draw puts into itself.
                container[key] = copy.deepcopy(data.draw(odd_values))

    with tempfile.TemporaryDirectory() as folder:
        image = _restore(intact, folder)
        forge_manifest(image, change)
        _load_or_refuse(image)


@pytest.mark.slow
@fuzz
@given(data=st.data(), program=programs())
def test_a_forged_layer_with_matching_instructions_is_refused_or_a_valid_program(
    data: Any, program: Program
) -> None:
    """Edit a layer, and rewrite program.mem to agree, so that the checks behind it are reached."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "x.hne"
        rom.save(program, image)

        def change(manifest: dict[str, Any]) -> None:
            layer = data.draw(st.sampled_from(manifest["layers"]))
            key = data.draw(st.sampled_from(sorted(set(layer) - {"name"})))
            layer[key] = copy.deepcopy(data.draw(odd_values))

        forge_manifest(image, change)
        try:
            manifest = rom.manifest_file.parse((image / "manifest.json").read_bytes())
            skeleton = manifest.skeleton()
            file = rom.memory_files(skeleton)["program.mem"]
            parts = [b"".join(file.encode(v)) for v in rom.memory_values(skeleton, "program.mem")]
        except ValueError:
            parts = []
        if parts:
            forge_file(image, "program.mem", b"".join(parts))
        _load_or_refuse(image)
