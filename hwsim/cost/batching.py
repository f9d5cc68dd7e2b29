"""Images that go through a program together: what a batch makes of a layer's time and events.

An fc layer runs once for all of them, a lane of the array each; every other layer runs once an
image. docs/timing.md, Batches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from hwsim.cost.activity import Activity
from hwsim.cost.layer_timing import LayerTiming
from hwsim.numbers.config import EngineConfig
from hwsim.units import sequencer
from hwsim.units.schedule import RowTile

#: Counters of a layer that each of its runs has.
_EACH_RUN = (
    "compute", "act_stall", "post_stall", "expander_stall", "drain", "columns", "conflict_cycles",
    "expander_wait", "skipped",
)  # fmt: skip
#: Events of an fc layer that each image has; what brings the weights happens once.
_EACH_IMAGE = ("macs", "act_reads", "act_writes", "requantized", "biased")
#: Bits of a probability, UQ1.16.
_PROBABILITY = 17


def batched_timing(
    layer: LayerTiming, config: EngineConfig, images: int, start: int
) -> LayerTiming:
    """``layer``, of one image, for a batch; its instruction is fetched from ``start`` on."""
    runs = 1 if layer.kind == "fc" else images
    run = layer.cycles - sequencer.FETCH  # with its set-up
    cycles = sequencer.FETCH + runs * run
    macs = images * layer.macs
    return dataclasses.replace(
        layer,
        start=start,
        cycles=cycles,
        runs=runs,
        instruction=sequencer.FETCH + runs * sequencer.SETUP,
        macs=macs,
        utilization=macs / (cycles * config.rows * config.cols),
        array_share=layer.array_share * (images // runs),
        tiles=tuple(
            _moved(tile, start - layer.start + number * run)
            for number in range(runs)
            for tile in layer.tiles
        ),
        **{name: runs * getattr(layer, name) for name in _EACH_RUN},
    )


def _moved(tile: RowTile, by: int) -> RowTile:
    times = {name: value + by for name, value in vars(tile).items() if name != "rows"}
    return RowTile(rows=tile.rows, **times)


def batched_layers(
    layers: tuple[LayerTiming, ...], config: EngineConfig, images: int
) -> Iterator[LayerTiming]:
    """The layers of one image for a batch, one after the other."""
    time = layers[0].start
    for layer in layers:
        made = batched_timing(layer, config, images, time)
        yield made
        time = made.end


def batched_activity(activity: Activity, kind: str, images: int) -> Activity:
    """Events of a batch in a layer of ``kind`` that has ``activity`` for one image.

    An fc layer reads its weights and indices, computes its hashes, writes and reads its tile-buffer
    columns and reads its scales and biases once.
    """
    counts = vars(activity)
    each = _EACH_IMAGE if kind == "fc" else tuple(counts)
    return dataclasses.replace(activity, **{name: images * counts[name] for name in each})


def image_memories(config: EngineConfig) -> dict[str, int]:
    """Bits of the memories that hold what belongs to an image, of all images of a batch."""
    words = config.batch * config.chan_depth
    return {
        "activations": config.act_bits,
        "logits": words * config.acc_w,
        "probabilities": words * _PROBABILITY if config.softmax else 0,
    }
