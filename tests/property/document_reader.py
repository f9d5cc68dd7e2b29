"""A reader of memory images that uses only what docs/images.md says, and runs what they hold.

It imports nothing of hwsim, so that an agreement with the engine says two things: the page leaves
nothing to guess, and the machine does what the page says. Integers, one image at a time; where it
says "section", a section of docs/images.md is meant.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import product
from operator import mul
from pathlib import Path
from typing import Any

import numpy as np

Map = list[list[list[int]]]  # [channel][row][column]
Json = dict[str, Any]


def require(holds: bool, what: str) -> None:
    """A page that is wrong about an image must not pass unnoticed."""
    if not holds:
        raise AssertionError(f"docs/images.md is wrong about {what}")


# --- section "The text of a memory file" --------------------------------------------------------


def signed(word: int, width: int) -> int:
    """Two's complement."""
    return word - (1 << width) if word >> (width - 1) else word


def bits_for(values: int) -> int:
    """⌈log2 values⌉."""
    return (values - 1).bit_length()


def lines_of(data: bytes, fields: int, width: int) -> list[list[int]]:
    """The fields of every line, unsigned, field 0 first."""
    digits = -(-fields * width // 4)
    lines = data.decode("ascii").split("\n")
    require(lines.pop() == "", "the last line feed")
    for line in lines:
        require(len(line) == digits and set(line) <= set("0123456789abcdef"), "digits of a line")
        require(int(line, 16) < 1 << (fields * width), "bits beyond the fields")
    mask = (1 << width) - 1
    return [[int(line, 16) >> (f * width) & mask for f in range(fields)] for line in lines]


#: Table of the words of an instruction: name -> (word, lowest bit, width).
FIELDS = {
    "op": (0, 0, 4), "last": (0, 4, 1), "scheme": (0, 5, 2), "log2_hash_banks": (0, 7, 5),
    "kernel_w": (0, 12, 4), "stride_w": (0, 16, 4), "pad_left": (0, 20, 4),
    "kernel_h": (0, 24, 4), "stride_h": (0, 28, 4),
    "in_c": (1, 0, 16), "out_c": (1, 16, 16), "in_h": (2, 0, 16), "in_w": (2, 16, 16),
    "out_h": (3, 0, 16), "out_w": (3, 16, 16), "fan_in": (4, 0, 32), "real_weights": (5, 0, 32),
    "seed": (6, 0, 32), "weight_base": (7, 0, 32), "index_base": (8, 0, 32),
    "channel_base": (9, 0, 32), "prob_shift": (10, 0, 8), "pad_top": (10, 8, 4),
    "fill": (10, 16, 16), "lo": (11, 0, 16), "hi": (11, 16, 16), "in_line": (12, 0, 32),
    "in2_line": (13, 0, 32), "out_line": (14, 0, 32), "groups": (15, 0, 16),
    "away": (10, 12, 1), "table": (15, 16, 8), "zero": (15, 24, 8),
}  # fmt: skip
OPCODES = {"conv": 1, "fc": 2, "pool": 3, "average": 4, "affine": 5, "add": 6, "lut": 7}


# --- section "manifest.json" ---------------------------------------------------------------------

SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f", "\b": "\\b"}


def _escaped(character: str) -> str:
    if character in SHORT:
        return SHORT[character]
    if 0x20 <= ord(character) <= 0x7E:
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2))


def spelled(value: Any) -> str:
    """The spelling under the digest."""
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda item: [ord(c) for c in item[0]])
        return "{" + ",".join(f"{spelled(key)}:{spelled(one)}" for key, one in items) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(spelled, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(map(_escaped, value)) + '"'
    return {None: "null", True: "true", False: "false"}[value] if _is_word(value) else repr(value)


def _is_word(value: Any) -> bool:
    return value is None or isinstance(value, bool)


# --- section "What the words compute" -----------------------------------------------------------


def xxhash32(words: Iterable[Any], seed: int) -> Any:
    """xxHash32 of one or two 32-bit words, the lowest byte first; integers or uint64 arrays."""
    mask = 0xFFFFFFFF
    words = list(words)
    state = (seed + 0x165667B1 + 4 * len(words)) & mask
    for word in words:
        state = (state + word * 0xC2B2AE3D) & mask
        state = (state << 17 | state >> 15) & mask
        state = state * 0x27D4EB2F & mask
    state = (state ^ state >> 15) * 0x85EBCA77 & mask
    state = (state ^ state >> 13) * 0xC2B2AE3D & mask
    return state ^ state >> 16


def code(x: float, act_w: int, scale: Fraction | None = None, zero: int = 0) -> int:
    """Pixels: exact, for the real number that the float is; in [0, 1] without a ``scale``."""
    top = 2**act_w - 1
    step = Fraction(1, top) if scale is None else scale
    return min(max(math.floor(Fraction(x) / step + Fraction(1, 2)) + zero, 0), top)


def binary_point(scale: float) -> int | None:
    """f with 2^-f = scale, if there is one."""
    exact = Fraction(scale)
    if exact.numerator == 1 and exact.denominator & (exact.denominator - 1) == 0:
        return bits_for(exact.denominator)
    if exact.denominator == 1 and exact.numerator & (exact.numerator - 1) == 0:
        return -bits_for(exact.numerator)
    return None


def address_and_negative(layer: Json, i: int, j: Any) -> tuple[Any, Any]:
    """h(i, j), and whether ξ(i, j) is −1; j is an integer or a uint64 array."""
    if layer["scheme"] == "dense":
        return j * layer["n_out"] + i, False
    u = xxhash32((i, j), layer["seed"])
    if layer["scheme"] == "xxh32":
        return u * layer["real_weights"] >> 32, u % 2 == 1
    banks = layer["hash_banks"]
    rotation = xxhash32((j,), layer["seed"] ^ 0x85EBCA6B)
    line = u * (layer["real_weights"] // banks) >> 32
    return line * banks + (i + rotation) % banks, u % 2 == 1


def exponentials() -> list[int]:
    """EXP[n] = ⌊65536 · e^(−n/16)⌋."""
    with localcontext() as context:
        context.prec = 50
        return [math.floor(65536 * (Decimal(-n) / 16).exp()) for n in range(256)]


@dataclass
class Answer:
    """What one image gives: what every layer but the last wrote, logits, class, probabilities.

    probabilities: multiples of 1/65536, None without the unit, and where there are none.
    """

    maps: list[Map]
    logits: list[int]
    winner: int
    probabilities: list[int] | None


class Image:
    """The directory ``folder``, read and checked as docs/images.md describes it."""

    def __init__(self, folder: Path) -> None:
        self.manifest: Json = json.loads((folder / "manifest.json").read_bytes())
        self.config: Json = self.manifest["config"]
        self.layers: list[Json] = self.manifest["layers"]
        self.files = {name: (folder / name).read_bytes() for name in self.manifest["sha256"]}
        self._check_digests()
        self._read_words()
        self._check_instructions()
        #: [i][j] -> 2 · h(i, j) + (ξ(i, j) is −1)
        self.index = {layer["name"]: self._index(layer) for layer in self.mac_layers}
        if "index.mem" in self.files:
            self._check_index()
        self.weights = {layer["name"]: self._virtual_weights(layer) for layer in self.mac_layers}

    # section "manifest.json"
    def _check_digests(self) -> None:
        for name, data in self.files.items():
            digest = hashlib.sha256(data).hexdigest()
            require(digest == self.manifest["sha256"][name], f"the digest of {name}")
        rest = {key: value for key, value in self.manifest.items() if key != "digest"}
        rest["config"] = {**self.config, "clock_mhz": float(self.config["clock_mhz"])}
        rest["layers"] = [self._floats(layer) for layer in self.layers]
        digest = hashlib.sha256(spelled(rest).encode("ascii")).hexdigest()
        require(digest == self.manifest["digest"], "the digest of the manifest")

    def _floats(self, layer: Json) -> Json:
        found = dict(layer)
        if "scale" in layer:
            found["scale"] = float(layer["scale"])
        if "weight_scale" in layer:
            found["weight_scale"] = [float(step) for step in layer["weight_scale"]]
        return found

    @property
    def mac_layers(self) -> list[Json]:
        """conv and fc."""
        return [layer for layer in self.layers if layer["kind"] in ("conv", "fc")]

    def tiles(self, layer: Json) -> list[range]:
        """Outputs of each row-tile."""
        rows, o = self.config["rows"], layer["n_out"] // layer["groups"]
        return [
            range(top, min(top + rows, first + o))
            for first in range(0, layer["n_out"], o)
            for top in range(first, first + o, rows)
        ]

    def channel_lines(self, layer: Json) -> int:
        """Lines of scale.mem and bias.mem."""
        each = {"average": 1, "lut": 1, "add": 2, "pool": 0, "affine": layer["in_shape"][0]}
        return each[layer["kind"]] if layer["kind"] in each else layer["n_out"]

    # section "The text of a memory file"
    def _read_words(self) -> None:
        banks, width = self.config["banks"], self.config["wgt_w"]
        mult_w, post_w = self.config["mult_w"], self.config["acc_w"] + self.config["mult_w"]
        weights = lines_of(self.files["weights.mem"], banks, width)
        scale = lines_of(self.files["scale.mem"], 1, mult_w + bits_for(post_w))
        bias = lines_of(self.files["bias.mem"], 1, post_w)
        self.words, self.post = {}, {}
        used = channels = 0
        for layer in self.layers:
            name = layer["name"]
            if layer["kind"] in ("conv", "fc"):
                base, k = layer["weight_base"], layer["real_weights"]
                require(base == used, "base lines")
                used += -(-k // banks)
                flat = [signed(word, width) for line in weights[base:used] for word in line]
                require(not any(flat[k:]), "the padding of weights.mem")
                self.words[name] = flat[:k]
            require(layer.get("channel_base", channels) == channels, "base lines")
            here = range(channels, channels + self.channel_lines(layer))
            channels += len(here)
            self.post[name] = [
                (
                    signed(scale[c][0] & ((1 << mult_w) - 1), mult_w),
                    scale[c][0] >> mult_w,
                    signed(bias[c][0], post_w),
                )
                for c in here
            ]
            if layer["kind"] == "lut":
                require(self.post[name] == [(1, 0, 0)], "the line of a lut")
        require((used, channels, channels) == (len(weights), len(scale), len(bias)), "lines")
        self._read_tables()

    def _read_tables(self) -> None:
        """lut.mem, and that tables are numbered in the order of their first use."""
        width, size = self.config["act_w"], 1 << self.config["act_w"]
        numbers = [layer["table"] for layer in self.layers if layer["kind"] == "lut"]
        require(("lut.mem" in self.files) == bool(numbers), "whether there is a lut.mem")
        words = [line[0] for line in lines_of(self.files["lut.mem"], 1, width)] if numbers else []
        self.tables = [words[first : first + size] for first in range(0, len(words), size)]
        require(list(dict.fromkeys(numbers)) == list(range(len(self.tables))), "tables")
        require(len(set(map(tuple, self.tables))) == len(self.tables), "equal tables")

    def first_line(self, place: Json) -> int:
        """Where a place begins in the activation memory."""
        found = self.manifest["maps"][place["map"]]
        _, height, width = found["shape"]
        lines: int = height * -(-width // self.config["cols"])
        return int(found["line"]) + place["channel"] * lines

    def _check_instructions(self) -> None:
        """program.mem says of every layer what the manifest says."""
        words = [line[0] for line in lines_of(self.files["program.mem"], 1, 32)]
        require(len(words) == 16 * (len(self.layers) + 1), "the length of program.mem")
        require(not any(words[-16:]), "the end")
        free = [0, 0, 0]  # next lines of weights, index, channels
        for number, layer in enumerate(self.layers):
            expected = [0] * 16
            for name, value in self._fields(layer, free).items():
                word, low, width = FIELDS[name]
                expected[word] |= (value & ((1 << width) - 1)) << low
            found = words[16 * number : 16 * number + 16]
            require(found == expected, f"the instruction of {layer['name']}")
            if layer["kind"] in ("conv", "fc"):
                hashed = layer["scheme"] != "dense"
                free[0] += -(-layer["real_weights"] // self.config["banks"])
                free[1] += len(self.tiles(layer)) * layer["fan_in"] if hashed else 0
            free[2] += self.channel_lines(layer)

    def _fields(self, layer: Json, free: list[int]) -> dict[str, int]:
        bases = dict(zip(("weight_base", "index_base", "channel_base"), free, strict=True))
        require(all(layer.get(name, base) == base for name, base in bases.items()), "base lines")
        kind, last = layer["kind"], layer.get("last", False)
        out_shape = layer.get("out_shape", layer["in_shape"])
        sides = {
            f"{end}_{axis}": side
            for end, shape in (("in", layer["in_shape"]), ("out", out_shape))
            for axis, side in zip("chw", shape, strict=True)
        }
        fields = {"op": OPCODES[kind], **sides, **bases, "last": int(last)}
        fields["in_line"] = self.first_line(layer["sources"][0])
        if kind == "add":
            fields["in2_line"] = self.first_line(layer["sources"][1])
        if layer["target"] is not None:
            fields["out_line"] = self.first_line(layer["target"])
        if window := layer.get("window"):
            fields |= dict(zip(("kernel_h", "kernel_w"), window["kernel"], strict=True))
            fields |= dict(zip(("stride_h", "stride_w"), window["stride"], strict=True))
            fields |= dict(zip(("pad_top", "pad_left"), window["padding"][:2], strict=True))
        if kind == "lut":
            return fields | {"hi": 2 ** self.config["act_w"] - 1, "table": layer["table"]}
        if kind != "pool":
            fields |= {"lo": layer["lo"], "hi": layer["hi"]}
        if kind != "pool" and not last and self.twice_away:
            fields |= {"away": 1, "zero": layer["zero"]}
        if last:
            point = binary_point(layer["scale"])
            fields["prob_shift"] = 0 if point is None else point - 4
        if kind == "conv":
            fields |= {"groups": layer["groups"], "fill": layer["fill"]}
        if kind not in ("conv", "fc"):
            return fields
        same = {name: layer[name] for name in ("fan_in", "real_weights", "seed")}
        return fields | same | {
            "scheme": {"dense": 0, "xxh32": 1, "banked": 2}[layer["scheme"]],
            "log2_hash_banks": bits_for(layer["hash_banks"]),
        }  # fmt: skip

    def _check_index(self) -> None:
        """index.mem holds what the hash says, row-tile by row-tile."""
        rows, address_w = self.config["rows"], max(1, bits_for(self.config["wgt_depth"]))
        lines = lines_of(self.files["index.mem"], rows, 1 + address_w)
        count = 0
        for layer in self.mac_layers:
            if layer["scheme"] == "dense":
                continue
            for t, outputs in enumerate(self.tiles(layer)):
                tile = self.index[layer["name"]][outputs.start : outputs.stop]
                first = layer["index_base"] + t * layer["fan_in"]
                for j, pairs in enumerate(zip(*tile, strict=True)):
                    expected = [pair >> 1 | (pair & 1) << address_w for pair in pairs]
                    beyond = [0] * (rows - len(tile))
                    require(lines[first + j] == expected + beyond, f"index.mem of {layer['name']}")
                count += layer["fan_in"]
        require(count == len(lines), "the lines of index.mem")

    # section "What the words compute"
    def _index(self, layer: Json) -> list[list[int]]:
        columns = np.arange(layer["fan_in"], dtype=np.uint64)
        rows = (address_and_negative(layer, i, columns) for i in range(layer["n_out"]))
        return [(2 * address + negative).tolist() for address, negative in rows]

    def _virtual_weights(self, layer: Json) -> list[list[int]]:
        """W(i, j)."""
        words = self.words[layer["name"]]
        signed_words = [value for word in words for value in (word, -word)]
        return [[signed_words[pair] for pair in row] for row in self.index[layer["name"]]]

    def accumulators(self, layer: Json, source: Map) -> Map:
        """acc of every output, as a map."""
        if layer["kind"] == "affine":
            return source
        if layer["kind"] == "average":
            seen = self.windows(layer, source)
            return [[[sum(window) for window in row] for row in plane] for plane in seen]
        weights = self.weights[layer["name"]]
        if layer["kind"] == "fc":
            flat = [a for plane in source for row in plane for a in row]
            return [[[sum(map(mul, row, flat))]] for row in weights]
        groups = layer["groups"]
        outputs, inputs = layer["n_out"] // groups, layer["in_shape"][0] // groups
        planes = self.windows(layer, source)
        sums = []
        for i, row in enumerate(weights):
            first = i // outputs * inputs
            mine = planes[first : first + inputs]
            # j runs over channel of the group, then the places of the window.
            sums.append(
                [
                    [sum(map(mul, row, [a for plane in mine for a in plane[y][x]]))
                     for x in range(layer["out_shape"][2])]
                    for y in range(layer["out_shape"][1])
                ]
            )  # fmt: skip
        return sums

    def windows(self, layer: Json, source: Map, inside: bool = False) -> Any:
        """[channel][y][x]: what the window holds, row by row; ``inside``: of the map alone."""
        (k_h, k_w), (down, right) = layer["window"]["kernel"], layer["window"]["stride"]
        top, left, bottom, behind = layer["window"]["padding"]
        _, height, width = layer["in_shape"]
        out_h = (height + top + bottom - k_h) // down + 1
        out_w = (width + left + behind - k_w) // right + 1
        require([out_h, out_w] == layer["out_shape"][1:], "the size of a map")
        fill = layer.get("fill", 0)

        def window(plane: list[list[int]], y: int, x: int) -> list[int]:
            found = []
            for ky, kx in product(range(k_h), range(k_w)):
                row, column = y * down + ky - top, x * right + kx - left
                if 0 <= row < height and 0 <= column < width:
                    found.append(plane[row][column])
                elif not inside:
                    found.append(fill)
            return found

        return [
            [[window(plane, y, x) for x in range(out_w)] for y in range(out_h)] for plane in source
        ]

    @property
    def twice_away(self) -> bool:
        """Whether the engine rounds as ``twice-away``."""
        require(self.config.get("requantization") in (None, "twice-away"), "requantization")
        return "requantization" in self.config

    def code(self, layer: Json, p: int, m: int, s: int) -> int:
        """y of p."""
        u = p >> s
        twice = self.twice_away and s > 31 and m >= 2**30 and u <= layer["zero"]
        if twice and (p >> 31) % 2 ** (s - 31) == 0:
            u = u - 1
        return int(min(max(u, layer["lo"]), layer["hi"]))

    def requantized(self, layer: Json, sums: Map) -> Map:
        """Requantization, with the words of each channel; an average has the same for all."""
        words = self.post[layer["name"]]
        if layer["kind"] == "average":
            words = words * len(sums)
        return [
            [[self.code(layer, acc * m + b, m, s) for acc in row] for row in plane]
            for plane, (m, s, b) in zip(sums, words, strict=True)
        ]

    def added(self, layer: Json, one: Map, two: Map) -> Map:
        """add."""
        (m1, s, b), (m2, same, none) = self.post[layer["name"]]
        require((same, none) == (s, 0), "the second line of an add")
        return [
            [
                [self.code(layer, x * m1 + y * m2 + b, m2, s) for x, y in zip(*rows, strict=True)]
                for rows in zip(*planes, strict=True)
            ]
            for planes in zip(one, two, strict=True)
        ]

    def layer(self, layer: Json, sources: list[Map]) -> Map:
        """What a layer but the last writes."""
        kind = layer["kind"]
        if kind == "add":
            return self.added(layer, *sources)
        if kind == "lut":
            table = self.tables[layer["table"]]
            return [[[table[a] for a in row] for row in plane] for plane in sources[0]]
        if kind == "pool":
            seen = self.windows(layer, sources[0], inside=True)
            return [[[max(window) for window in row] for row in plane] for plane in seen]
        return self.requantized(layer, self.accumulators(layer, sources[0]))

    def probabilities(self, logits: list[int]) -> list[int] | None:
        """Probabilities, where the engine has the unit."""
        if not self.config["softmax"]:
            return None
        point = binary_point(self.layers[-1]["scale"])
        if point is None:
            return None
        d, table = point - 4, exponentials()
        require(table.index(0) == 178, "where the table of e ends")
        behind = [max(logits) - v for v in logits]
        powers = [table[min(z >> d if d >= 0 else z << -d, 255)] for z in behind]
        return [(e << 16) // sum(powers) for e in powers]

    def run(self, codes: Map) -> Answer:
        """One image of integers 0 … 2^ACT_W − 1, [c][y][x]."""
        maps: dict[int, dict[int, Any]] = {0: dict(enumerate(codes))}
        written: list[Map] = []
        for layer in self.layers[:-1]:
            found = self.layer(layer, [self._read(maps, layer, one) for one in layer["sources"]])
            written.append(found)
            place = layer["target"]
            planes = maps.setdefault(place["map"], {})
            planes |= {place["channel"] + c: plane for c, plane in enumerate(found)}
        last = self.layers[-1]
        require(last["last"] and last["target"] is None, "the last layer")
        sums = self.accumulators(last, self._read(maps, last, last["sources"][0]))
        words = self.post[last["name"]]
        require(all(m == s == 0 for m, s, _ in words), "m and s of the last layer")
        if last["kind"] == "average":
            words = words * len(sums)
        logits = [plane[0][0] + b for plane, (_, _, b) in zip(sums, words, strict=True)]
        winner = logits.index(max(logits))
        return Answer(written, logits, winner, self.probabilities(logits))

    def _read(self, maps: dict[int, dict[int, Any]], layer: Json, place: Json) -> Map:
        """The channels of a place."""
        count = layer["in_shape"][0]
        return [maps[place["map"]][place["channel"] + c] for c in range(count)]
