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
    "kernel": (0, 12, 4), "stride": (0, 16, 4), "padding": (0, 20, 4),
    "in_c": (1, 0, 16), "out_c": (1, 16, 16), "in_h": (2, 0, 16), "in_w": (2, 16, 16),
    "out_h": (3, 0, 16), "out_w": (3, 16, 16), "fan_in": (4, 0, 32), "real_weights": (5, 0, 32),
    "seed": (6, 0, 32), "weight_base": (7, 0, 32), "index_base": (8, 0, 32),
    "channel_base": (9, 0, 32), "prob_shift": (10, 0, 8),
}  # fmt: skip


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


def code(x: float, act_w: int) -> int:
    """Pixels: exact, for the real number that the float is."""
    return math.floor(Fraction(x) * (2**act_w - 1) + Fraction(1, 2))


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
    """What one image gives: the map of every layer but the last, the logits, class, probabilities.

    probabilities: multiples of 1/65536, None without the unit.
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
        bounds = [float(bound) for bound in self.manifest["input"]["bounds"]]
        rest["input"] = {**self.manifest["input"], "bounds": bounds}
        digest = hashlib.sha256(spelled(rest).encode("ascii")).hexdigest()
        require(digest == self.manifest["digest"], "the digest of the manifest")

    @property
    def mac_layers(self) -> list[Json]:
        """conv and fc."""
        return [layer for layer in self.layers if layer["kind"] != "pool"]

    # section "The text of a memory file"
    def _read_words(self) -> None:
        banks, width = self.config["banks"], self.config["wgt_w"]
        mult_w, post_w = self.config["mult_w"], self.config["acc_w"] + self.config["mult_w"]
        weights = lines_of(self.files["weights.mem"], banks, width)
        scale = lines_of(self.files["scale.mem"], 1, mult_w + bits_for(post_w))
        bias = lines_of(self.files["bias.mem"], 1, post_w)
        self.words, self.post = {}, {}
        used = channels = 0
        for layer in self.mac_layers:
            name, base, k = layer["name"], layer["weight_base"], layer["real_weights"]
            require(base == used and layer["channel_base"] == channels, "base lines")
            used += -(-k // banks)
            flat = [signed(word, width) for line in weights[base:used] for word in line]
            require(not any(flat[k:]), "the padding of weights.mem")
            self.words[name] = flat[:k]
            here = range(channels, channels + layer["n_out"])
            channels += layer["n_out"]
            self.post[name] = [
                (
                    signed(scale[c][0] & ((1 << mult_w) - 1), mult_w),
                    scale[c][0] >> mult_w,
                    signed(bias[c][0], post_w),
                )
                for c in here
            ]
        require((used, channels, channels) == (len(weights), len(scale), len(bias)), "lines")

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
            if layer["kind"] != "pool":
                hashed = layer["scheme"] != "dense"
                tiles = -(-layer["n_out"] // self.config["rows"])
                free[0] += -(-layer["real_weights"] // self.config["banks"])
                free[1] += tiles * layer["fan_in"] if hashed else 0
                free[2] += layer["n_out"]

    def _fields(self, layer: Json, free: list[int]) -> dict[str, int]:
        bases = dict(zip(("weight_base", "index_base", "channel_base"), free, strict=True))
        sides = {
            f"{end}_{axis}": side
            for end in ("in", "out")
            for axis, side in zip("chw", layer[f"{end}_shape"], strict=True)
        }
        op = {"conv": 1, "fc": 2, "pool": 3}[layer["kind"]]
        fields = {"op": op, "kernel": layer["kernel"], "stride": layer["stride"], **sides, **bases}
        if layer["kind"] == "pool":
            return fields
        require(all(layer[name] == base for name, base in bases.items()), "base lines")
        scheme = {"dense": 0, "xxh32": 1, "banked": 2}[layer["scheme"]]
        same = {name: layer[name] for name in ("padding", "fan_in", "real_weights", "seed")}
        return fields | same | {
            "last": int(layer["last"]),
            "scheme": scheme,
            "log2_hash_banks": bits_for(layer["hash_banks"]),
            "prob_shift": layer["fa_in"] + layer["fw"] - 4 if layer["last"] else 0,
        }  # fmt: skip

    def _check_index(self) -> None:
        """index.mem holds what the hash says, row-tile by row-tile."""
        rows, address_w = self.config["rows"], max(1, bits_for(self.config["wgt_depth"]))
        lines = lines_of(self.files["index.mem"], rows, 1 + address_w)
        count = 0
        for layer in self.mac_layers:
            if layer["scheme"] == "dense":
                continue
            for top in range(0, layer["n_out"], rows):
                tile = self.index[layer["name"]][top : top + rows]
                first = layer["index_base"] + top // rows * layer["fan_in"]
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
        weights = self.weights[layer["name"]]
        channels, height, width = layer["in_shape"]
        if layer["kind"] == "fc":
            flat = [a for plane in source for row in plane for a in row]
            return [[[sum(map(mul, row, flat))]] for row in weights]
        k, stride, padding = layer["kernel"], layer["stride"], layer["padding"]
        out_h = (height + 2 * padding - k) // stride + 1
        out_w = (width + 2 * padding - k) // stride + 1
        require([layer["n_out"], out_h, out_w] == layer["out_shape"], "the size of a convolution")

        def at(c: int, row: int, column: int) -> int:
            inside = 0 <= row < height and 0 <= column < width
            return source[c][row][column] if inside else 0

        def window(y: int, x: int) -> list[int]:
            top, left = y * stride - padding, x * stride - padding
            taps = product(range(channels), range(k), range(k))
            return [at(c, top + ky, left + kx) for c, ky, kx in taps]

        windows = [[window(y, x) for x in range(out_w)] for y in range(out_h)]
        return [
            [[sum(map(mul, row, seen)) for seen in line] for line in windows] for row in weights
        ]

    def requantized(self, layer: Json, sums: Map) -> Map:
        """Requantization, with the words of each channel."""
        top = 2 ** self.config["act_w"] - 1
        out = []
        for plane, (m, s, b) in zip(sums, self.post[layer["name"]], strict=True):
            out.append([[min(max((acc * m + b) >> s, 0), top) for acc in row] for row in plane])
        return out

    def pooled(self, layer: Json, source: Map) -> Map:
        """pool."""
        k, stride, (_, out_h, out_w) = layer["kernel"], layer["stride"], layer["out_shape"]
        height, width = layer["in_shape"][1:]
        require((height - k) // stride + 1 == out_h, "the height of a pool")
        require((width - k) // stride + 1 == out_w, "the width of a pool")
        window = list(product(range(k), range(k)))
        return [
            [
                [max(plane[y * stride + dy][x * stride + dx] for dy, dx in window)
                 for x in range(out_w)]
                for y in range(out_h)
            ]
            for plane in source
        ]  # fmt: skip

    def probabilities(self, logits: list[int]) -> list[int] | None:
        """Probabilities, where the engine has the unit."""
        if not self.config["softmax"]:
            return None
        d, table = self.layers[-1]["fa_out"] - 4, exponentials()
        require(table.index(0) == 178, "where the table of e ends")
        behind = [max(logits) - v for v in logits]
        powers = [table[min(z >> d if d >= 0 else z << -d, 255)] for z in behind]
        return [(e << 16) // sum(powers) for e in powers]

    def run(self, codes: Map) -> Answer:
        """One image of integers 0 … 2^ACT_W − 1, [c][y][x]."""
        maps = [codes]
        for layer in self.layers[:-1]:
            if layer["kind"] == "pool":
                maps.append(self.pooled(layer, maps[-1]))
            else:
                maps.append(self.requantized(layer, self.accumulators(layer, maps[-1])))
        last = self.layers[-1]
        require(last["last"] and last["kind"] == "fc", "the last layer")
        sums = self.accumulators(last, maps[-1])
        words = self.post[last["name"]]
        require(all(m == s == 0 for m, s, _ in words), "m and s of the last layer")
        logits = [plane[0][0] + b for plane, (_, _, b) in zip(sums, words, strict=True)]
        winner = logits.index(max(logits))
        return Answer(maps[1:], logits, winner, self.probabilities(logits))
