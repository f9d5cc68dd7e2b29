"""Helpers for tests of memory images: a small program, exact equality, forged digests."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hwsim.numbers.config import EngineConfig, load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program.program import MacLayer, PoolLayer, Program
from hwsim.rom.manifest import content_digest


def small_program(config: EngineConfig | None = None) -> Program:
    """1x6x6 -> conv 3 (xxh32, K = 7) -> pool 2 -> fc 5 (banked) -> fc 3 (dense)."""
    config = config or load_config("tiny")
    noise = np.random.default_rng(1)

    def mac(
        name: str, spec: HashSpec, source: tuple, target: tuple, last: bool, **geometry: Any
    ) -> MacLayer:
        n, shift = spec.n_out, np.arange(10, 10 + spec.n_out, dtype=np.int32)
        bias = noise.integers(-500, 500, n)
        return MacLayer(
            name=name, in_shape=source, out_shape=target, spec=spec,
            weights=noise.integers(1, config.wgt_max, spec.real_weights).astype(np.int32),
            fw=6, fa_in=config.act_w, fa_out=config.act_w + (6 if last else 0),
            multiplier=np.zeros(n, np.int32) if last else noise.integers(-99, 99, n, np.int32),
            shift=np.zeros(n, np.int32) if last else shift,
            bias=bias if last else bias + (1 << (shift.astype(np.int64) - 1)),
            last=last, **geometry,
        )  # fmt: skip

    conv = dict(kind="conv", kernel=3, stride=1, padding=1)
    fc = dict(kind="fc", kernel=1, stride=1, padding=0)
    layers = (
        mac("conv", HashSpec("xxh32", 3, 9, 7, 11), (1, 6, 6), (3, 6, 6), False, **conv),
        PoolLayer("pool", (3, 6, 6), (3, 3, 3), 2, 2),
        mac("fc0", HashSpec("banked", 5, 27, 12, 12, 4), (3, 3, 3), (5, 1, 1), False, **fc),
        mac("fc1", HashSpec("dense", 3, 5, 15), (5, 1, 1), (3, 1, 1), True, **fc),
    )
    return Program(
        config, layers, (1, 6, 6), {"model": "sample", "seeds": [1, 2], "x": {"lr": 0.1}},
        ({"rewrite": "gradient-inhibition", "tau": 0.1},),
    )  # fmt: skip


def equal(a: Program, b: Program) -> bool:
    """Whether two programs agree in every field and, dtype included, in every array."""
    if [type(layer) for layer in a.layers] != [type(layer) for layer in b.layers]:
        return False
    pairs: list[tuple[object, object, tuple[str, ...]]] = [
        (a, b, ("config", "input_shape", "provenance", "history"))
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
