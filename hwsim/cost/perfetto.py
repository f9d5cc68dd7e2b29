"""The units over time as a Chrome trace: open it in ui.perfetto.dev or chrome://tracing.

One cycle is drawn as one microsecond.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hwsim.cost.layer_timing import LayerTiming
from hwsim.cost.timing import TimingReport
from hwsim.errors import HwsimError
from hwsim.files.file import replacing
from hwsim.units import sequencer
from hwsim.units.schedule import RowTile

#: One track per unit, top to bottom.
TRACKS = ("sequencer", "expander", "mac array", "post", "pool")


class TraceError(HwsimError):
    """A trace that cannot be written."""


def _slice(track: str, name: str, start: int, end: int, **details: Any) -> dict[str, Any]:
    return {
        "name": name,
        "cat": track,
        "ph": "X",
        "pid": 1,
        "tid": TRACKS.index(track) + 1,
        "ts": start,
        "dur": end - start,
        "args": {"cycle": start, "cycles": end - start, **details},
    }


def _layer_slices(layer: LayerTiming) -> Iterator[dict[str, Any]]:
    run = (layer.cycles - sequencer.FETCH) // layer.runs  # with its set-up
    tiles = len(layer.tiles) // layer.runs
    before = layer.start
    for image in range(layer.runs):
        name = f"{layer.name} image {image}" if layer.runs > 1 else layer.name
        end = layer.start + sequencer.FETCH + (image + 1) * run
        begin = end - run + sequencer.SETUP
        yield _slice("sequencer", f"set up {name}" if image else f"fetch {name}", before, begin)
        yield _slice(
            "sequencer",
            name,
            begin,
            end,
            kind=layer.kind,
            scheme=layer.scheme,
            utilization=layer.utilization,
            conflict_cycles=layer.conflict_cycles // layer.runs,
        )
        if layer.kind == "pool":
            yield _slice("pool", name, begin, end)
        yield from _tile_slices(name, layer.tiles[image * tiles : (image + 1) * tiles])
        before = end


def _tile_slices(layer: str, tiles: Sequence[RowTile]) -> Iterator[dict[str, Any]]:
    for number, tile in enumerate(tiles):
        name, rows = f"{layer} [{number}]", {"rows": tile.rows}
        yield _slice("expander", name, tile.expand_start, tile.expand_end, **rows)
        yield _slice("mac array", name, tile.array_start, tile.array_end, **rows)
        yield _slice("post", name, tile.drain_start, tile.drain_end, **rows)


def events(report: TimingReport) -> list[dict[str, Any]]:
    """Trace events: names of the tracks, then slices that do not overlap within a track."""
    config = report.config
    title = f"hne {config.name} ({config.rows}x{config.cols}, {config.banks} banks)"
    found: list[dict[str, Any]] = [
        {"name": "process_name", "ph": "M", "pid": 1, "tid": 0, "args": {"name": title}}
    ]
    for number, track in enumerate(TRACKS, 1):
        found.append(
            {"name": "thread_name", "ph": "M", "pid": 1, "tid": number, "args": {"name": track}}
        )
        found.append(
            {
                "name": "thread_sort_index",
                "ph": "M",
                "pid": 1,
                "tid": number,
                "args": {"sort_index": number},
            }
        )
    for layer in report.layers:
        found.extend(_layer_slices(layer))
    return found


def write_trace(report: TimingReport, path: str | Path) -> None:
    """Write the trace of ``report`` as JSON. Raises TraceError if the place is not writable.

    The file appears whole or not at all.
    """
    target = Path(path)
    document = {
        "displayTimeUnit": "ms",
        "otherData": {"unit": "1 us = 1 cycle", "clock_mhz": report.config.clock_mhz},
        "traceEvents": events(report),
    }
    try:
        with replacing(target) as part:
            part.write_text(json.dumps(document), encoding="utf-8")
    except OSError as error:
        raise TraceError(f"cannot write the trace to {target}: {error.strerror}") from None
