"""What happens in one inference, or in a batch, event by event: what energy is counted from."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from hwsim.cost.layer_timing import ArrayWork, products
from hwsim.cost.skipping import SkippingLayer
from hwsim.cost.slotted import SlottedLayer
from hwsim.numbers.hashing import HashSpec
from hwsim.program.layers import AddLayer, Layer, LutLayer, MacLayer, PoolLayer, is_last
from hwsim.units import slots


@dataclass(frozen=True)
class Activity:
    """Events of one inference, or of a batch. Adding two gives both.

    macs: multiply-accumulates of lanes that produce an output, weights of one included.
    weight_reads: bank words; equal addresses count once. index_lines: lines of ROWS pairs.
    hash_multiplies, hash_adds: of 32 bits. tile_writes, tile_reads: tile-buffer columns of ROWS
    words. act_reads, act_writes: activations, padding apart. requantized, biased: products of
    hidden layers' results, and logits. channel_reads: lines {s, m} and b. compares: of the pool.
    table_reads: words of a lut. Of an engine that skips: list_writes, list_reads: entries {column,
    code}; column_products: by which a source finds the words of a column, of all layers;
    mask_words: written and read, that say which columns of a convolution are 0; place_reads: of
    columns that are issued out of turn.
    """

    macs: int = 0
    weight_reads: int = 0
    index_lines: int = 0
    hash_multiplies: int = 0
    hash_adds: int = 0
    tile_writes: int = 0
    tile_reads: int = 0
    act_reads: int = 0
    act_writes: int = 0
    requantized: int = 0
    biased: int = 0
    channel_reads: int = 0
    compares: int = 0
    table_reads: int = 0
    list_writes: int = 0
    list_reads: int = 0
    column_products: int = 0
    mask_words: int = 0
    place_reads: int = 0

    def __add__(self, other: Activity) -> Activity:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Activity(*(a + b for a, b in pairs))


def _taps(size: int, out: int, kernel: int, stride: int, padding: int) -> int:
    """(kernel position, output) pairs along one axis that read the map and not its padding."""
    return sum(1 for k in range(kernel) for o in range(out) if 0 <= o * stride - padding + k < size)


def _reads(layer: Layer) -> int:
    """Activations that one channel is read for: over all places of the window, padding apart."""
    window = getattr(layer, "window", None)
    _, *sides = layer.in_shape
    if window is None:
        return math.prod(sides)
    axes = zip(
        sides, layer.out_shape[1:], window.kernel, window.stride, window.padding[:2], strict=True
    )
    return math.prod(_taps(*axis) for axis in axes)


def array_activity(layer: Layer, array: ArrayWork, skip: bool = False) -> Activity:
    """Events of a layer that sums on the array, with weights that are shared as ``array`` says.

    skip: the engine does, if not in this layer. Index lines and hash operations are both counted;
    the index mode decides which are priced.
    """
    assert not isinstance(layer, PoolLayer)
    if array.skipping is not None:
        assert isinstance(layer, MacLayer)
        return skipping_activity(layer, array.skipping, array.fan_in, array.work.reads)
    spec, work, last = array.spec, array.work, is_last(layer)
    pixel_tiles, columns = max(array.pixel_tiles, 1), work.columns
    results = math.prod(layer.out_shape)
    # Each row-tile reads the channels of its group; an addition one channel of either map.
    sources = 2 if isinstance(layer, AddLayer) else 1
    if isinstance(layer, MacLayer):
        sources = layer.in_shape[0] // layer.groups
    # An addition multiplies each map by a factor of its own.
    requantized = results * (2 if isinstance(layer, AddLayer) else 1)
    found = Activity(
        macs=products(layer, array),
        weight_reads=work.reads,
        tile_writes=columns,
        tile_reads=columns * pixel_tiles,
        act_reads=len(work.tile_rows) * sources * _reads(layer),
        act_writes=0 if last else results,
        requantized=0 if last else requantized,
        biased=results if last else 0,
        channel_reads=sum(work.tile_rows) * pixel_tiles,
        table_reads=results if isinstance(layer, LutLayer) else 0,
        column_products=columns if skip else 0,
    )
    found = found if spec is None else found + _indexing(spec, spec.virtual_weights, columns, skip)
    return found if array.slotted is None else found + masks_activity(array.slotted)


def masks_activity(slotted: SlottedLayer) -> Activity:
    """What finding columns of zeros costs a convolution, beside its work."""
    words = -(-slotted.layer.fan_in // slots.WINDOW) * slotted.pixel_tiles * slotted.layer.groups
    first = slotted.layer.groups * slotted.pixel_tiles * slotted.layer.fan_in
    return Activity(mask_words=words * slotted.per_group, place_reads=slotted.columns - first)


def left_out(layer: MacLayer, array: ArrayWork) -> Activity:
    """What does not happen if a convolution leaves out all its columns, for a share of them.

    Columns are taken for equal: one at the end of a row has fewer lanes, and in the padding fewer
    codes are read.
    """
    found = array_activity(layer, array)
    return Activity(
        macs=found.macs,
        tile_reads=found.tile_reads,
        act_reads=found.act_reads,
        place_reads=found.tile_reads,
    )


def skipping_activity(
    layer: MacLayer, skipping: SkippingLayer, entries: int, reads: int
) -> Activity:
    """Events of an fc layer that takes ``entries`` columns, which cost ``reads`` bank reads.

    The scan reads every code of the map once; then each row-tile reads the list, and no code from
    the map.
    """
    columns, last = entries * len(skipping.tile_rows), is_last(layer)
    found = Activity(
        macs=layer.n_out * entries,
        weight_reads=reads,
        tile_writes=columns,
        tile_reads=columns,
        act_reads=skipping.fan_in,
        act_writes=0 if last else layer.n_out,
        requantized=0 if last else layer.n_out,
        biased=layer.n_out if last else 0,
        channel_reads=layer.n_out,
        list_writes=entries,
        list_reads=columns,
        column_products=columns,
    )
    return found + _indexing(skipping.spec, layer.n_out * entries, columns, True)


def _indexing(spec: HashSpec, weights: int, columns: int, skip: bool) -> Activity:
    """Events of finding ``weights`` in ``columns``."""
    if spec.scheme == "dense":
        return Activity()
    banked = spec.scheme == "banked"
    # Per expanded weight: · PRIME4, PRIME2, PRIME3, K and one add (banked: one more for the bank).
    # Per column: j · PRIME3 by an adder (where zeros are skipped, a product counted elsewhere), and
    # for banked the shared rotation hash (3 multiplies). Per row of a row-tile: the i-round.
    multiplies = 4 * weights + (3 * columns if banked else 0) + spec.n_out
    adds = weights * (2 if banked else 1) + columns * (banked + (not skip)) + 2 * spec.n_out
    return Activity(index_lines=columns, hash_multiplies=multiplies, hash_adds=adds)


def pool_activity(layer: PoolLayer) -> Activity:
    """Events of a max-pool: the window's elements on the map are read, all but one compared."""
    results = math.prod(layer.out_shape)
    reads = layer.in_shape[0] * _reads(layer)
    return Activity(act_reads=reads, act_writes=results, compares=results * (layer.window.size - 1))
