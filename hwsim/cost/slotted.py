"""Cycles of a convolution that leaves out columns of zeros, image by image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.cost.skipping import I64, SkipCounters
from hwsim.numbers.config import EngineConfig
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import Layer, MacLayer
from hwsim.units import act_buffer, expander, index, mac_array, post, sequencer, slots
from hwsim.units.expander import Expansion


def tiles_of_group(layer: Layer, config: EngineConfig) -> int:
    """Row-tiles of a group of a convolution on an engine that skips; 0 of anything else."""
    if not config.skip or not isinstance(layer, MacLayer) or layer.window is None:
        return 0
    return -(-layer.group_out // config.rows)


def leaves_out(layer: Layer, config: EngineConfig) -> bool:
    """Whether a layer leaves out columns: there is a second row-tile, and memory for the masks."""
    if tiles_of_group(layer, config) < 2:
        return False
    _, out_h, out_w = layer.out_shape
    words = -(-layer.spec.fan_in // slots.WINDOW)  # type: ignore[union-attr]
    return out_h * -(-out_w // config.cols) * words <= config.skip_masks


@dataclass(frozen=True)
class SlottedLayer:
    """What a convolution that ``leaves_out`` columns costs.

    work: its row-tiles. i_rounds: bubbles before each of them. depth: stages in front of the
    expander. per_group: row-tiles of a group. pixel_tiles: of an output map. column: cycles of one.
    """

    layer: MacLayer
    work: Expansion
    i_rounds: tuple[int, ...]
    depth: int
    per_group: int
    pixel_tiles: int
    column: int
    cols: int

    @classmethod
    def of(
        cls, layer: MacLayer, config: EngineConfig, spec: HashSpec, work: Expansion
    ) -> SlottedLayer:
        """Of a layer that ``leaves_out`` columns. spec, work: how it finds its words."""
        assert layer.window is not None
        source = index.source_of(spec, config.index_mode)
        _, out_h, out_w = layer.out_shape
        return cls(
            layer,
            work,
            tuple(index.cycles_row_tile(source, rows) for rows in work.tile_rows),
            index.latency(source, config.skip) + expander.TURNS,
            tiles_of_group(layer, config),
            out_h * -(-out_w // config.cols),
            act_buffer.cycles_column(layer.window.stride[1], config.cols),
            config.cols,
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the map that it reads."""
        channels, height, width = self.layer.in_shape
        return height, width, channels

    @property
    def columns(self) -> int:
        """Columns that are issued if none is left out."""
        return len(self.work.tile_rows) * self.pixel_tiles * self.layer.fan_in

    def replays(self, maps: NDArray[np.integer]) -> I64:
        """(N, groups, 5), see ``slots.replays``; maps: codes (N, H, W, C)."""
        layer = self.layer
        assert layer.window is not None
        return slots.replays(
            maps, fill=layer.fill != 0, kernel=layer.window.kernel, stride=layer.window.stride,
            padding=layer.window.padding[:2], out_sides=layer.out_shape[1:], cols=self.cols,
            groups=layer.groups, group=self.column, rows=max(self.work.tile_rows),
        )  # fmt: skip

    def issued(self, maps: NDArray[np.integer]) -> I64:
        """Columns issued, (N,)."""
        first = self.layer.groups * self.pixel_tiles * self.layer.fan_in
        return first + (self.per_group - 1) * self.replays(maps)[:, :, 0].sum(1)

    def counters(self, maps: NDArray[np.integer]) -> SkipCounters:
        """Counters of N images. maps: codes (N, H, W, C)."""
        found, fan_in = self.replays(maps), self.layer.fan_in
        none = np.zeros(len(maps), np.int64)
        # The first row-tile of a group: every column of every pixel tile.
        columns = self.pixel_tiles * fan_in
        slot = max(fan_in * self.column, max(self.work.tile_rows))
        pixels = self.layer.pixels
        full = np.array([columns, 0, self.pixel_tiles * slot, 0, pixels * fan_in], np.int64)
        full[3] = full[2] - columns * self.column
        issued = [full + none[:, None], *(found[:, g] for g in range(self.layer.groups))]
        expanded: I64 = none + self.depth
        released = [none, none]  # as of schedule.conv_schedule
        sums, macs, wait = np.zeros((len(maps), 5), np.int64), none, none
        for tile, served in enumerate(self.work.tile_cycles):
            group, place = divmod(tile, self.per_group)
            arrived = expanded + self.i_rounds[tile]
            granted = np.maximum(arrived, released[-2] + slots.SELECT)
            wait = wait + granted - arrived
            expanded = granted + served
            gap = slots.GAP if place == 1 else 0
            begin = np.maximum(released[-1] + gap, expanded + expander.FILL)
            now = issued[0 if place == 0 else 1 + group]
            released.append(begin + now[:, 2])
            sums = sums + now
            macs = macs + now[:, 4] * self.work.tile_rows[tile]
        compute, zeros, post_stall = sums[:, 0], sums[:, 1], sums[:, 3]
        act_stall = compute * (self.column - 1) + zeros
        last = self.work.tile_rows[-1]
        drain = mac_array.FILL + post.cycles_drain(last)
        cycles = sequencer.INSTRUCTION + released[-1] + slots.SELECT + drain
        parts = sequencer.INSTRUCTION + compute + act_stall + post_stall + drain
        return SkipCounters(
            cycles=cycles,
            compute=compute,
            act_stall=act_stall,
            post_stall=post_stall,
            expander_stall=cycles - parts,
            drain=none + drain,
            expander_wait=wait,
            conflict_cycles=none + self.work.conflict_cycles,
            skipped=self.columns - compute,
            columns=none + self.work.columns,
            macs=macs,
        )

    def bound(self, maps: NDArray[np.integer]) -> I64:
        """Cycles, (N,), if no row-tile had to find out and no window of zeros took a cycle."""
        found = self.replays(maps)[:, :, 0].sum(1) * self.per_group * self.column
        rest = self.depth + expander.FILL + slots.SELECT + mac_array.FILL
        last = post.cycles_drain(self.work.tile_rows[-1])
        return sequencer.INSTRUCTION + found + rest + last
