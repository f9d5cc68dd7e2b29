"""Working memory of an inference is bounded, by a limit that loading proves and by its chunks."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from hwsim.engine.chunks import in_chunks
from hwsim.engine.module import Engine
from hwsim.errors import CompileError, ImageError
from hwsim.numbers.config import EngineConfig, load_config
from hwsim.numbers.hashing import HashSpec
from hwsim.program import workspace
from hwsim.program.layers import MacLayer, PoolLayer, Window
from hwsim.program.program import Program
from hwsim.program.proof import check
from hwsim.rom import image as rom
from tests.by_hand import WIDE, add, affine, reads, total
from tests.images import small_program


def wide_program(channels: int, side: int = 28) -> Program:
    """1 x side x side -> 1x1 convolution to ``channels`` -> pools to 1x1 -> 2 logits."""
    config = load_config("default").replace(
        act_depth=2**26, chan_depth=2**18, idx_depth=2**18, wgt_depth=2**18
    )

    def mac(name: str, kind: str, spec: HashSpec, source: tuple, target: tuple) -> MacLayer:
        n, last = spec.n_out, kind == "fc"
        return MacLayer(
            name, kind, source, target, None if last else Window.square(1), spec,
            weights=np.arange(1, 1 + spec.real_weights, dtype=np.int32),
            multiplier=np.full(n, not last, np.int32), shift=np.zeros(n, np.int32),
            bias=np.zeros(n, np.int64), last=last, weight_scale=np.ones(1), scale=2.0**-8, hi=255,
        )  # fmt: skip

    layers: list = [mac("wide", "conv", HashSpec("xxh32", channels, 1, 1, 5),
                        (1, side, side), (channels, side, side))]  # fmt: skip
    while side > 1:
        kernel = min(3, side)
        after = (side - kernel) // 15 + 1
        before, out = (channels, side, side), (channels, after, after)
        layers.append(PoolLayer(f"pool{side}", before, out, Window.square(kernel, 15)))
        side = after
    layers.append(mac("fc", "fc", HashSpec("xxh32", 2, channels, 1, 6), (channels, 1, 1),
                      (2, 1, 1)))  # fmt: skip
    return Program.chain(config, layers, layers[0].in_shape)


def test_a_layer_that_needs_too_much_for_one_image_is_refused_with_the_number() -> None:
    with pytest.raises(CompileError, match=r"wide: .* needs 12\d{8} bytes of working memory for"):
        check(wide_program(65_535))
    check(wide_program(500))


def test_a_forged_image_of_a_giant_map_does_not_load(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "giant.hne"
    with monkeypatch.context() as patch:
        patch.setattr("hwsim.rom.image.check", lambda program: None)
        rom.save(wide_program(65_535), path)
    assert sum(file.stat().st_size for file in path.iterdir()) < 8_000_000
    for ask in (rom.load, rom.verify):
        with pytest.raises(ImageError, match="bytes of working memory for one image, hwsim takes"):
            ask(path)


@pytest.mark.parametrize("name", ["tiny", "small", "default", "wide"])
def test_named_engines_reach_no_limit(name: str) -> None:
    """Every feature map that their buffers hold may be computed, with 49 taps of 16 channels."""
    config: EngineConfig = load_config(name)
    values = config.act_depth * config.cols
    assert 8 * values * (1 + 3) < workspace.MAX_IMAGE_BYTES


def test_images_at_work_keep_to_the_budget() -> None:
    for each in (0, 1, 1000, 10**6, 10**8, workspace.BUDGET, 10**12):
        for threads in (1, 2, 16, 128):
            size, count = workspace.at_once(each, 64, threads)
            assert 1 <= size <= 64
            assert 1 <= count <= threads
            assert size * count * each <= workspace.BUDGET or (size, count) == (1, 1)
    assert workspace.at_once(1000, 64, 16) == (64, 16)


def test_chunks_of_large_images_are_small_and_never_side_by_side() -> None:
    lock, seen = threading.Lock(), []

    def task(piece: slice) -> int:
        assert lock.acquire(blocking=False)
        seen.append(piece.stop - piece.start)
        lock.release()
        return piece.start

    assert in_chunks(5, task, each=workspace.BUDGET) == [0, 1, 2, 3, 4]
    assert seen == [1] * 5


@pytest.mark.parametrize("bits", [8, 16])
def test_every_size_of_chunk_gives_the_same_answers_and_gradients(
    monkeypatch: pytest.MonkeyPatch, bits: int
) -> None:
    program = small_program(load_config("tiny").with_bits(bits))
    images = torch.rand(70, 1, 6, 6, generator=torch.Generator().manual_seed(2))
    found = []
    for budget in (1, 20_000, 100_000, workspace.BUDGET):
        monkeypatch.setattr(workspace, "BUDGET", budget)
        x = images.clone().requires_grad_()
        logits = Engine(program)(x)
        (gradient,) = torch.autograd.grad(logits.sum(), x)
        found.append((logits.detach(), gradient))
    for logits, gradient in found[1:]:
        assert torch.equal(logits, found[0][0])
        assert torch.equal(gradient, found[0][1])


def test_float64_counts_its_unfolded_input() -> None:
    layer = small_program().mac_layers[0]
    assert workspace.layer_bytes(layer, 4) == 4 * (36 + 3 * 108)
    assert workspace.layer_bytes(layer, 8) == 8 * (36 + 3 * 108 + 9 * 36)


def test_an_image_needs_room_for_every_map_alive_beside_a_layer() -> None:
    program = small_program()
    conv = program.mac_layers[0]
    assert workspace.image_bytes(program) == workspace.layer_bytes(conv) + 36 + 108
    wide = small_program(load_config("tiny").with_bits(16))
    assert workspace.image_bytes(wide) == workspace.layer_bytes(conv) + 4 * (36 + 108)
    # The same layers, with the image needed once more at their end.
    shape = (2, 40, 40)
    layers = (affine(shape, *[(1, 0, 0)] * 2), affine(shape, *[(1, 0, 0)] * 2), add(shape, 1, 1),
              total(shape))  # fmt: skip
    wires = (reads(0, to=1), reads(1, to=2), reads(2, 0, to=3), reads(3))
    skipping = Program.graph(WIDE, layers, wires, shape)
    most = workspace.layer_bytes(layers[2])
    assert workspace.image_bytes(skipping) == most + 3 * 3200
