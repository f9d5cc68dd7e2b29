"""What must hold of maps and wires: written before read, once, all read, none overwritten alive."""

from __future__ import annotations

import numpy as np

from hwsim.errors import CompileError
from hwsim.program.allocation import lives
from hwsim.program.layers import AddLayer, is_last
from hwsim.program.program import Program
from hwsim.program.wires import Place, image_copy, map_lines, plane_lines

#: Parts of a row of numbers, each from its first one to behind its last.
Runs = list[tuple[int, int]]
#: Disjoint runs of lines that the engine remembers as written in an inference.
MAX_RUNS = 4


def check_maps(program: Program) -> None:
    """Raise CompileError, naming layer or map, unless every wire is sound and every map fits."""
    if not program.maps or program.maps[0].shape != program.input_shape:
        raise CompileError("map 0 must be the image")
    _check_wires(program)
    _check_room(program)
    _check_lives(program)
    _check_runs(program)


def _check_wires(program: Program) -> None:
    if program.layers[0].in_shape != program.input_shape:
        raise CompileError(
            f"{program.layers[0].name}: the first layer must read the whole image, "
            f"{program.input_shape}: its instruction says which image to expect: put a copy of the "
            "image in front (hwsim.program.wires.image_first, as the compiler does)"
        )
    written: dict[int, Runs] = {0: [(0, program.input_shape[0])]}
    read: dict[int, Runs] = {}
    for layer, wire in zip(program.layers, program.wires, strict=True):
        if len(wire.sources) != (2 if isinstance(layer, AddLayer) else 1):
            raise CompileError(f"{layer.name}: {layer.kind} reads {len(wire.sources)} maps")
        if (wire.target is None) != is_last(layer):
            raise CompileError(f"{layer.name}: every layer but the last writes to a map")
        for place in wire.sources:
            part = _channels(program, layer.name, place, layer.in_shape)
            if not _covered(written.get(place.map, []), part):
                raise CompileError(f"{layer.name}: reads map {place.map} before it is written")
            read[place.map] = _joined([*read.get(place.map, []), part])
        if wire.target is not None:
            part = _channels(program, layer.name, wire.target, layer.out_shape)
            before = written.get(wire.target.map, [])
            if any(start < part[1] and part[0] < end for start, end in before):
                raise CompileError(f"{layer.name}: writes what was written before")
            written[wire.target.map] = _joined([*before, part])
    copied = image_copy(program.layers, program.wires)
    for number, one in enumerate(program.maps):
        whole = (0, one.shape[0])
        if not _covered(written.get(number, []), whole):
            raise CompileError(f"map {number} has channels that nobody writes")
        # Of the image whoever likes reads some channels: all of them come in.
        enough = (
            bool(read.get(number)) if number == copied else _covered(read.get(number, []), whole)
        )
        if not enough:
            name = next(
                layer.name
                for layer, wire in zip(program.layers, program.wires, strict=True)
                if wire.target is not None and wire.target.map == number
            )
            raise CompileError(f"{name}: its result is never used: remove the branch")


def _covered(runs: Runs, part: tuple[int, int]) -> bool:
    """Whether one of disjoint runs, neighbours joined, holds all of a part."""
    return any(start <= part[0] and part[1] <= end for start, end in runs)


def _channels(
    program: Program, name: str, place: Place, shape: tuple[int, int, int]
) -> tuple[int, int]:
    """First channel of a place and the one behind it. Raises CompileError if they are no part."""
    if not 0 <= place.map < len(program.maps):
        raise CompileError(f"{name}: there is no map {place.map}")
    found = program.maps[place.map].shape
    if found[1:] != shape[1:] or not 0 <= place.channel <= found[0] - shape[0]:
        raise CompileError(
            f"{name}: {shape} from channel {place.channel} on is no part of map {place.map}, "
            f"{found}"
        )
    return place.channel, place.channel + shape[0]


def _check_room(program: Program) -> None:
    config = program.config
    for number, one in enumerate(program.maps):
        end = one.line + map_lines(one.shape, config.cols)
        if one.line < 0:
            raise CompileError(f"map {number} begins before the memory")
        if end > config.act_depth:
            peak = program.memory_peak
            raise CompileError(
                f"{program.layers[peak.layer].name}: the feature maps alive there need "
                f"{peak.least} lines of the activation memory, all of them {max(end, peak.lines)} "
                f"where they stand, configuration {config.name} has {config.act_depth}, "
                f"{max(end, peak.lines) - config.act_depth} too few: use smaller images, or stride "
                "and pool earlier, or choose a configuration with a larger ACT_DEPTH; "
                f"{_alive_at(program, peak.layer)}"
            )


def _alive_at(program: Program, layer: int) -> str:
    """The maps that layer ``layer`` finds alive, by who wrote them, the largest first."""
    sizes = [map_lines(one.shape, program.config.cols) for one in program.maps]
    every = lives(sizes, program.wires)
    alive = [n for n, life in enumerate(every) if life.first <= layer <= life.last]
    writers: dict[int, str] = {0: "the image"}
    for one, wire in zip(program.layers, program.wires, strict=True):
        if wire.target is not None:
            writers.setdefault(wire.target.map, f"that of {one.name}")
    alive.sort(key=lambda n: (-sizes[n], n))
    told = [f"{writers[n]} {program.maps[n].shape} takes {sizes[n]}" for n in alive[:3]]
    more = f", and {len(alive) - 3} more" if len(alive) > 3 else ""
    return f"of these maps {', '.join(told)}{more}"


def _check_lives(program: Program) -> None:
    sizes = [map_lines(one.shape, program.config.cols) for one in program.maps]
    every = lives(sizes, program.wires)
    start = np.array([one.line for one in program.maps])
    behind = start + np.array(sizes)
    first = np.array([life.first for life in every])
    last = np.array([life.last for life in every])
    share = (start[:, None] < behind) & (start < behind[:, None])
    meet = (first[:, None] <= last) & (first <= last[:, None])
    np.fill_diagonal(share, False)
    if (share & meet).any():
        m, n = (int(number) for number in np.argwhere(share & meet)[0])
        raise CompileError(f"maps {m} and {n} live at the same time and share lines")


def _check_runs(program: Program) -> None:
    """The engine remembers what was written as few runs of lines."""
    runs = [_lines(program, Place(0), program.input_shape)]
    for layer, wire in zip(program.layers, program.wires, strict=True):
        if wire.target is None:
            continue
        runs = _joined([*runs, _lines(program, wire.target, layer.out_shape)])
        if len(runs) > MAX_RUNS:
            raise CompileError(
                f"{layer.name}: the maps written so far stand in {len(runs)} places, the engine "
                f"remembers {MAX_RUNS}: use fewer branches"
            )


def _lines(program: Program, place: Place, shape: tuple[int, int, int]) -> tuple[int, int]:
    start = program.first_line(place)
    found = program.maps[place.map].shape
    return start, start + shape[0] * plane_lines(found, program.config.cols)


def _joined(runs: Runs) -> Runs:
    """Disjoint runs that cover the same lines; neighbours are one."""
    found: Runs = []
    for start, end in sorted(runs):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found
