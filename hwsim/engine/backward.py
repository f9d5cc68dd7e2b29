"""The backward pass through the fixed-point datapath (Liu et al. 2018 eq. 4 and 6).

Gradients of the input; ``weight_gradient.py`` makes those of the weights from what passes by here.
Weights are the decoded fixed-point ones and the gates are those of the *fixed-point* forward.
Values are in real units (∂y/∂x near the float network's), so that float32 underflows here where
it would underflow in the float network.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hwsim.engine.flows import Flow, apart, gated, joined, total, unpooled
from hwsim.engine.forward import Datapath
from hwsim.engine.input_gradient import Precision
from hwsim.engine.pulls import Product, Pull, counted, pull_of
from hwsim.engine.stages import Stage
from hwsim.engine.tape import Maps, Tape
from hwsim.program.wires import Place
from hwsim.units import post as post_unit

GradientMode = Literal["ste", "ste-bfloat16", "ste-unclamped", "finite-difference"]
F32 = NDArray[np.float32]
OnLayer = Callable[[int, NDArray[Any]], None]
#: By number of a map, what its readers gave.
Flows = dict[int, list[Flow]]
GRADIENT_MODES: tuple[str, ...] = get_args(GradientMode)
_NOTHING: Mapping[int, tuple[F32, Any]] = {}


class Backward:
    """Vector-Jacobian products of a Datapath from its recorded states."""

    def __init__(self, datapath: Datapath, mode: GradientMode) -> None:
        self.datapath = datapath
        self.precision: Precision = "bfloat16" if mode == "ste-bfloat16" else "float32"
        self.mask = post_unit.POSITIVE
        if mode in ("ste", "ste-bfloat16"):
            self.mask |= post_unit.UNSATURATED
        #: One a stage: its transpose behind the gates.
        self.pulls = [self._pull(datapath, stage.number) for stage in datapath.stages]

    def of(self, datapath: Datapath, replaced: Collection[int]) -> Backward:
        """A twin for a datapath that has other weights in the stages ``replaced``."""
        twin = copy.copy(self)
        twin.datapath, twin.pulls = datapath, list(self.pulls)
        for index in replaced:
            twin.pulls[index] = self._pull(datapath, datapath.stages[index].number)
        return twin

    def _pull(self, datapath: Datapath, number: int) -> Pull:
        return pull_of(datapath.program, number, precision=self.precision)

    def run(self, seed: F32, tape: Tape) -> F32:
        """∂(Σ seed · logits)/∂x of a batch: seed (N, classes) -> (N, C, H, W), x as the input.

        tape: of a run of the same datapath that kept its states.
        """
        none = np.zeros((0, *self.datapath.program.input_shape), np.float32)
        parts = tape.each(lambda chunk: self.chunk(seed[chunk.piece], chunk.states))
        return np.concatenate([none, *parts])

    def chunk(self, seed: F32, states: list[Any], on_layer: OnLayer | None = None) -> F32:
        """The same of one chunk, from its states.

        on_layer(stage number, flow): sees ∂/∂(output before the clamp and pool) of each weighted
        layer, (N, OH, OW, out_c), last layer first; in steps as ``pulls.counted`` counts them, as
        float32 or the bits of bfloat16.
        """
        return self._image(self._down(seed, states, on_layer, True), len(seed))

    def from_maps(
        self, seeds: Maps, states: list[Any], past: Mapping[int, tuple[F32, Any]] = _NOTHING
    ) -> F32:
        """∂(Σ seed · map)/∂x of a chunk, (N, C, H, W): the way back begins at hidden maps.

        Parameters
        ----------
        seeds : dict
            By number of the map, (N, H, W, C): ∂/∂(real value), in steps as ``pulls.counted``
            counts them; map 0 is the image. They are not written to.
        states : list
            Of the chunk, one entry a stage.
        past : dict
            By number of a stage with weights: the same at its output, and where each of these goes
            in the window of a fused pool, state bytes. It passes the clamp whatever the code.
        """
        (count,) = {len(seed) for seed in seeds.values()} | {len(s) for s, _ in past.values()}
        flows = {number: [Flow(np.ascontiguousarray(seed))] for number, seed in seeds.items()}
        return self._image(self._down(None, states, None, True, flows, past), count)

    def _image(self, flows: Flows, count: int) -> F32:
        """What flowed into the image, in its units and order."""
        program = self.datapath.program
        channels, height, width = program.input_shape
        nothing = Flow(np.zeros((count, height, width, channels), np.float32))
        image = total(flows.get(0, [nothing]))
        factor = np.float32(
            Fraction(counted(program, float(program.input.scale))) / program.input.scale
        )
        return np.ascontiguousarray(image.transpose(0, 3, 1, 2) * factor)

    def layers(self, seed: F32, states: list[Any], on_layer: OnLayer) -> None:
        """For ``on_layer`` alone: as far down as to the layers that read nothing but the image."""
        self._down(seed, states, on_layer, False)

    def _down(
        self,
        seed: F32 | None,
        states: list[Any],
        on_layer: OnLayer | None,
        image: bool,
        flows: Flows | None = None,
        past: Mapping[int, tuple[F32, Any]] = _NOTHING,
    ) -> Flows:
        """Through all stages; what flows into the image, if that is wanted.

        flows: at maps, to begin with; stages that nothing flows into are passed by.
        """
        flows = {} if flows is None else flows
        stages = self.datapath.stages
        for index in range(len(stages) - 1, -1, -1):
            stage, pull = stages[index], self.pulls[index]
            flow: NDArray[Any] | None
            if stage.last:
                flow = None if seed is None else seed.reshape(len(seed), 1, 1, -1)
            elif index in past:
                flow = self._behind_both(index, flows, states[index], past[index])
            else:
                flow = self._behind_gates(index, flows, states[index], True)
            if flow is None:
                continue
            if on_layer is not None and stage.mac is not None:
                on_layer(index, flow)
            if not image and not any(place.map for place in stage.sources):
                continue
            for place, back in zip(stage.sources, pull(flow, states[index]), strict=True):
                self._give(flows, place, back if isinstance(back, Flow) else Flow(back))
        return flows

    def _behind_both(
        self, index: int, flows: Flows, state: Any, past: tuple[F32, Any]
    ) -> NDArray[Any]:
        """The gradient at a stage's sums, with what begins behind the clamp."""
        stage = self.datapath.stages[index]
        further, winners = past
        if stage.pool is not None:
            further = self._unpool(stage, further, winners, 0)
        flow = self._behind_gates(index, flows, state, False)
        return further if flow is None else flow + further

    def _behind_gates(
        self, index: int, flows: Flows, state: Any, any_type: bool
    ) -> NDArray[Any] | None:
        """The gradient at a stage's sums; None where none flows into what it wrote.

        any_type: as the bits of bfloat16 where the stage's pull can take them, float32 elsewhere.
        """
        stage, pull = self.datapath.stages[index], self.pulls[index]
        assert stage.target is not None
        if stage.target.map not in flows:
            return None
        found = self._taken(flows, stage)
        if stage.post is None:
            return total(found)
        channels, *sides = stage.layer.out_shape
        narrow = (
            any_type
            and isinstance(pull, Product)
            and pull.takes_bits((len(state), *sides, channels))
        )
        if stage.pool is None:
            return gated(found, state, self.mask, narrow)
        if not apart(stage.kernel, stage.stride):
            return self._unpool(stage, total(found), state, self.mask)
        return unpooled(
            found, state, self.mask, stage.kernel, stage.stride, (sides[0], sides[1]), narrow
        )

    def _taken(self, flows: Flows, stage: Stage) -> list[Flow]:
        """The gradient at what a stage wrote; a map that nobody else wrote is done with."""
        assert stage.target is not None
        number, first = stage.target.map, stage.target.channel
        channels = stage.out_shape[0]
        if channels == self.datapath.program.maps[number].shape[0]:
            return flows.pop(number)
        # Added once for all who wrote a part of the map.
        whole = total(flows[number])
        flows[number] = [Flow(whole)]
        return [Flow(np.ascontiguousarray(whole[..., first : first + channels]))]

    def _give(self, flows: Flows, place: Place, back: Flow) -> None:
        """Add a gradient to that of a map that several may read, or only in part."""
        channels, height, width = self.datapath.program.maps[place.map].shape
        count, *_, given = back.values.shape
        if given == channels:
            whole = replace(back, values=np.ascontiguousarray(back.values))
            flows[place.map] = joined(flows.get(place.map, ()), whole)
            return
        found = flows.get(place.map, [])
        if len(found) != 1 or not found[0].own:
            values = np.zeros((count, height, width, channels), np.float32)
            if found:
                values[:] = total(found)
            flows[place.map] = found = [Flow(values, own=True)]
        found[0].values[..., place.channel : place.channel + given] += back.full()

    def _unpool(self, stage: Stage, flow: F32, state: NDArray[np.uint8], mask: int) -> F32:
        channels, height, width = stage.layer.out_shape
        out = np.zeros((len(flow), height, width, channels), np.float32)
        post_unit.requantize_pool_gradient(flow, state, mask, stage.kernel, stage.stride, out)
        return out


def finite_difference(
    evaluate: Callable[[NDArray[Any]], NDArray[np.float64]],
    maps: NDArray[Any],
    seed: NDArray[np.float32],
    act_max: int,
    step: int = 1,
    batch: int = 512,
    *,
    per_unit: float,
) -> NDArray[np.float32]:
    """The same product measured on the real datapath, one pixel at a time.

    evaluate: gridded images (B, H, W, C) -> real logits (B, classes). maps: (N, H, W, C) integers.
    step: how far a pixel is moved either way, in LSB, 1 … 2^A − 1. Differences are central where
    both neighbours lie in 0 … 2^A − 1, and over what is left of the step where they do not, at 0
    and 2^A − 1 one-sided. per_unit: codes of a unit of the input, 2^A − 1 of pixels in [0, 1].
    Costs 2·C·H·W forward passes an image.
    """
    count, height, width, channels = maps.shape
    pixels = height * width * channels
    out = np.zeros((count, pixels), np.float64)
    for n in range(count):
        flat = maps[n].reshape(-1)
        for start in range(0, pixels, batch):
            chosen = np.arange(start, min(start + batch, pixels))
            up = np.repeat(flat[None], len(chosen), 0)
            down = up.copy()
            row = np.arange(len(chosen))
            up[row, chosen] = np.minimum(up[row, chosen].astype(np.int64) + step, act_max)
            down[row, chosen] = np.maximum(down[row, chosen].astype(np.int64) - step, 0)
            moved = up[row, chosen].astype(np.float64) - down[row, chosen]
            both = np.concatenate([up, down]).reshape(-1, height, width, channels)
            value = evaluate(both) @ seed[n].astype(np.float64)
            out[n, chosen] = (value[: len(chosen)] - value[len(chosen) :]) / moved
    images = out.reshape(count, height, width, channels).transpose(0, 3, 1, 2) * per_unit
    return np.ascontiguousarray(images, dtype=np.float32)
