"""The units over time as a Chrome trace: open it in ui.perfetto.dev or chrome://tracing.

One cycle is drawn as one microsecond.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hwsim.cost.layer_timing import LayerTiming
from hwsim.cost.timing import TimingReport
from hwsim.errors import HwsimError
from hwsim.files.file import replacing

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
    yield _slice("sequencer", f"fetch {layer.name}", layer.start, layer.start + layer.instruction)
    yield _slice(
        "sequencer",
        layer.name,
        layer.start + layer.instruction,
        layer.end,
        kind=layer.kind,
        scheme=layer.scheme,
        utilization=layer.utilization,
        conflict_cycles=layer.conflict_cycles,
    )
    if layer.kind == "pool":
        yield _slice("pool", layer.name, layer.start + layer.instruction, layer.end)
    for number, tile in enumerate(layer.tiles):
        name = f"{layer.name} [{number}]"
        rows = {"rows": tile.rows}
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
