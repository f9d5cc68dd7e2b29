"""Helpers for tests of memory images: a small program, exact equality, forged digests."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.errors import ImageError
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import (
    AddLayer,
    AffineLayer,
    AverageLayer,
    LutLayer,
    MacLayer,
    PoolLayer,
    Shape,
    Window,
)
from hwsim.program.program import Program
from hwsim.program.wires import Input, Place, Wire
from hwsim.rom import image as rom
from hwsim.rom.manifest import content_digest

#: Files of an image.
FILES = ["manifest.json", "weights.mem", "index.mem", "scale.mem", "bias.mem", "program.mem"]


def small_program(config: EngineConfig | None = None) -> Program:
    """1x6x6 -> conv 3 (xxh32, K = 7) -> pool 2 -> fc 5 (banked) -> fc 3 (dense)."""
    config = config or load_config("tiny")
    noise = np.random.default_rng(1)

    def mac(
        name: str, spec: HashSpec, source: Shape, target: Shape, window: Window | None, scale: float
    ) -> MacLayer:
        n, shift = spec.n_out, np.arange(10, 10 + spec.n_out, dtype=np.int32)
        last = name == "fc1"
        bias = noise.integers(-500, 500, n)
        return MacLayer(
            name, "conv" if window else "fc", source, target, window, spec,
            weights=noise.integers(1, config.wgt_max, spec.real_weights).astype(np.int32),
            multiplier=np.zeros(n, np.int32) if last else noise.integers(-99, 99, n, np.int32),
            shift=np.zeros(n, np.int32) if last else shift,
            bias=bias if last else bias + (1 << (shift.astype(np.int64) - 1)),
            last=last, weight_scale=np.array([2.0**-6]), scale=scale, hi=config.act_max,
        )  # fmt: skip

    code = 2.0**-config.act_w
    layers = (
        mac("conv", HashSpec("xxh32", 3, 9, 7, 11), (1, 6, 6), (3, 6, 6),
            Window.square(3, 1, 1), code),
        PoolLayer("pool", (3, 6, 6), (3, 3, 3), Window.square(2, 2)),
        mac("fc0", HashSpec("banked", 5, 27, 12, 12, 4), (3, 3, 3), (5, 1, 1), None, code),
        mac("fc1", HashSpec("dense", 3, 5, 15), (5, 1, 1), (3, 1, 1), None, code * 2.0**-6),
    )  # fmt: skip
    return Program.chain(
        config, layers, (1, 6, 6), {"model": "sample", "seeds": [1, 2], "x": {"lr": 0.1}},
        ({"rewrite": "gradient-inhibition", "tau": 0.1},),
    )  # fmt: skip


def residual_program(config: EngineConfig | None = None) -> Program:
    """1x6x6 -> conv0 -> conv1 in groups -> add of both -> lut -> affine -> average -> fc.

    Every layer that version 1 did not have, zero points, and an input from −1 to 1.
    """
    config = config or load_config("tiny")
    noise = np.random.default_rng(2)
    top, size = config.act_max, (4, 6, 6)
    i32 = np.int32

    def words(count: int) -> dict[str, Any]:
        return dict(
            multiplier=noise.integers(20, 60, count, i32),
            shift=noise.integers(8, 12, count, i32),
            bias=noise.integers(-500, 500, count),
        )

    def mac(name: str, spec: HashSpec, source: Shape, **changes: Any) -> MacLayer:
        n = spec.n_out
        fields = dict(
            name=name, kind="conv", in_shape=source, out_shape=(n, 6, 6),
            window=Window.square(3, 1, 1), spec=spec, last=False,
            weights=noise.integers(-9, 10, spec.real_weights).astype(i32),
            weight_scale=2.0 ** -np.arange(5, 5 + n), scale=0.25, hi=top, **words(n),
        )  # fmt: skip
        return MacLayer(**fields | changes)

    one = words(1)
    sum_words = dict(one, multiplier=np.array([40, -7], i32), shift=np.array([6], i32))
    layers = (
        mac("conv0", HashSpec("dense", 4, 9, 36), (1, 6, 6), zero=9, fill=top // 2, lo=3),
        mac("conv1", HashSpec("xxh32", 4, 18, 11, 3), size, groups=2, zero=9, fill=9,
            weight_scale=np.array([0.3])),
        AddLayer("add", size, scale=0.5, zero=7, hi=top, lo=7, **sum_words),
        LutLayer("lut", size, noise.integers(0, top + 1, top + 1).astype(i32), scale=0.1, zero=1),
        AffineLayer("affine", size, last=False, scale=0.7, hi=top - 1, **words(4)),
        AverageLayer("average", size, (4, 3, 2), Window((2, 3), (2, 3)), last=False, scale=0.7,
                     hi=top, **one),
        mac("fc", HashSpec("banked", 3, 24, 16, 12, 4), (4, 3, 2), kind="fc", window=None,
            out_shape=(3, 1, 1), last=True, weight_scale=np.array([0.125]), scale=0.7 * 0.125,
            multiplier=np.zeros(3, i32), shift=np.zeros(3, i32)),
    )  # fmt: skip
    wires = [Wire((Place(0),), Place(1)), Wire((Place(1),), Place(2)),
             Wire((Place(1), Place(2)), Place(3)),
             *(Wire((Place(n),), Place(n + 1)) for n in (3, 4, 5)),
             Wire((Place(6),), None)]  # fmt: skip
    image = Input((1, 6, 6), Fraction(2, top), top // 2)
    return Program.graph(config, layers, wires, image, {"model": "residual"})


@pytest.fixture
def program() -> Program:
    """What ``image`` holds; a module that wants another has a fixture of its own."""
    return small_program()


@pytest.fixture
def image(program: Program, tmp_path: Path) -> Path:
    """``program`` saved."""
    rom.save(program, tmp_path / "net.hne")
    return tmp_path / "net.hne"


def equal(a: Program, b: Program) -> bool:
    """Whether two programs agree in every field and, dtype included, in every array."""
    if [type(layer) for layer in a.layers] != [type(layer) for layer in b.layers]:
        return False
    pairs: list[tuple[object, object, tuple[str, ...]]] = [
        (a, b, ("config", "input", "wires", "maps", "provenance", "history"))
    ]
    for p, q in zip(a.layers, b.layers, strict=True):
        pairs.append((p, q, tuple(field.name for field in dataclasses.fields(p))))
    return all(_same(getattr(p, n), getattr(q, n)) for p, q, names in pairs for n in names)


def _same(x: object, y: object) -> bool:
    if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
        return x.dtype == y.dtype and np.array_equal(x, y)
    return type(x) is type(y) and x == y


def contents(image: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in image.iterdir()}


def forge_manifest(image: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Apply ``change`` to the manifest and make its own digest right again."""
    manifest = json.loads((image / "manifest.json").read_text())
    change(manifest)
    manifest["digest"] = content_digest(manifest)
    (image / "manifest.json").write_text(json.dumps(manifest))


def forge_file(image: Path, name: str, data: bytes) -> None:
    """Replace a memory file and make both digests right again."""
    (image / name).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    forge_manifest(image, lambda manifest: manifest["sha256"].update({name: digest}))


def forge_line(image: Path, name: str, number: int, text: bytes) -> None:
    """Replace line ``number``, counted from 1."""
    lines = (image / name).read_bytes().splitlines()
    lines[number - 1] = text
    forge_file(image, name, b"\n".join(lines) + b"\n")


def refusal(image: Path, **options: Any) -> str:
    """The one line with which ``load`` refuses the image."""
    with pytest.raises(ImageError) as caught:
        rom.load(image, **options)
    message = str(caught.value)
    assert message.startswith(f"{image}: ")
    assert message.isprintable()
    return message.removeprefix(f"{image}: ")
