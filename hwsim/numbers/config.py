"""EngineConfig: every size of the machine, validated; the only source is configs/*.toml."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from hwsim.errors import ConfigError, InputError
from hwsim.files.reading import MAX_TEXT, read_regular
from hwsim.numbers.ecc import ECC, Ecc, check_bits

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PowerOfTwo = Annotated[int, Field(ge=1, le=4096)]
#: What is printed as a name is one: no control characters, no spaces, no folder.
NAME = r"^[A-Za-z0-9._-]+$"
Depth = Annotated[int, Field(ge=1, le=2**26)]
#: Fields that say something only of an engine that skips.
SKIPPING = {"skip", "skip_columns", "skip_masks"}
#: How post rounds, in the order of the Verilog parameter's values.
Requantization = Literal["up", "twice-away"]

#: configs/ of a checkout, linked to; a folder of its own in an installed hwsim.
_FOLDER = Path(__file__).parents[1] / "configs"


class EngineConfig(BaseModel):
    """Parameters of the engine; each field but ``name`` and ``clock_mhz`` is a Verilog parameter.

    name: letters, digits, dots, dashes and underscores.
    rows: output channels computed at once. cols: neighbouring output pixels of one output row
    computed at once. banks: weight banks, a power of two >= rows. act_w, wgt_w: bits of an
    activation and of a real weight, 4 … 16. acc_w: accumulator bits; left out, 32 up to 10-bit
    words and 48 above. mult_w: bits of the requantization multiplier. index_mode: ``sram`` stores
    (address, sign) pairs, ``hash`` computes them. tile_depth: columns of the ping-pong tile
    buffer, the largest fan-in of a convolution. wgt_depth: real weights in all banks together.
    idx_depth: lines of the index SRAM. act_depth: lines of COLS activations in the memory that
    holds all feature maps. chan_depth: lines of the scale and bias memories. prog_depth:
    instructions. softmax: with the probability unit, a 16-bit softmax of the logits; it costs no
    cycle of an inference. add, average, groups: with the hardware for additions of maps, for
    average pools and layers of one word a channel, for grouped convolutions. lut_tables: tables of
    2^ACT_W entries for pointwise functions, 0 for none. requantization: ``up`` rounds once, halves
    up; ``twice-away`` also as TFLite's reference kernels do, for codes of up to 8 bits, 32-bit
    accumulators and 32-bit multipliers. ecc: check bits of every word of the memories that a host
    loads: ``none``; ``parity``, a flipped bit stops the image with an error status; ``secded``, one
    is corrected, two stop it. skip: fc layers leave out the columns whose code is 0, so that
    cycles depend on the image (docs/timing.md). skip_columns: columns that the list of the others
    holds; an fc layer with a larger fan-in skips nothing. skip_masks: words of 16 columns that say
    which ones of a convolution's pixel tiles are 0; one that needs more skips nothing. batch:
    images that may go through the program together, a power of two up to cols, not with skip: an
    fc layer then uses each weight column for all of them, and runs once (docs/timing.md).
    clock_mhz: turns cycles into time; not a property of the logic.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=NAME, max_length=100)] = "custom"
    rows: Annotated[int, Field(ge=1, le=256)]
    cols: Annotated[int, Field(ge=1, le=256)]
    banks: PowerOfTwo
    act_w: Annotated[int, Field(ge=4, le=16)] = 8
    wgt_w: Annotated[int, Field(ge=4, le=16)] = 8
    acc_w: Literal[32, 48] = 32
    mult_w: Annotated[int, Field(ge=8, le=32)] = 16
    index_mode: Literal["sram", "hash"] = "sram"
    tile_depth: Depth
    wgt_depth: Depth
    idx_depth: Depth
    act_depth: Depth
    chan_depth: Depth
    prog_depth: Annotated[int, Field(ge=2, le=4096)]
    softmax: bool = False
    add: bool = True
    average: bool = True
    groups: bool = True
    lut_tables: Annotated[int, Field(ge=0, le=64)] = 4
    requantization: Requantization = "up"
    ecc: Ecc = "none"
    skip: bool = False
    skip_columns: Depth = 8192
    skip_masks: Depth = 4096
    batch: PowerOfTwo = 1
    clock_mhz: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]

    @model_validator(mode="before")
    @classmethod
    def _default_accumulator(cls, data: Any) -> Any:
        if isinstance(data, dict) and "acc_w" not in data:
            # What is no number is refused by its own field.
            widths = [w for w in (data.get("act_w"), data.get("wgt_w")) if isinstance(w, int)]
            wide = max(widths, default=8) > 10
            data = {**data, "acc_w": 48 if wide else 32}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> EngineConfig:
        if self.banks & (self.banks - 1):
            raise ValueError(f"banks must be a power of two, got {self.banks}")
        if self.banks < self.rows:
            raise ValueError(f"banks ({self.banks}) must be at least rows ({self.rows})")
        if self.cols & (self.cols - 1):
            raise ValueError(f"cols must be a power of two, got {self.cols}")
        if self.batch & (self.batch - 1) or self.batch > self.cols:
            raise ValueError(
                f"batch must be a power of two up to cols ({self.cols}), got {self.batch}"
            )
        if self.batch > 1 and self.skip:
            raise ValueError(
                f"batch {self.batch} needs skip = false: what an fc layer may leave out differs "
                "from image to image"
            )
        if self.acc_w + self.mult_w > 64:
            raise ValueError(f"acc_w + mult_w ({self.acc_w} + {self.mult_w}) must be at most 64")
        if self.requantization != "up" and (
            self.act_w > 8 or (self.acc_w, self.mult_w) != (32, 32)
        ):
            raise ValueError(
                f"requantization {self.requantization} takes act_w up to 8, acc_w 32 and mult_w "
                f"32, got {self.act_w}, {self.acc_w} and {self.mult_w}"
            )
        if self.wgt_depth % self.banks:
            raise ValueError(f"wgt_depth ({self.wgt_depth}) must be a multiple of banks")
        return self

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Images and digests of engines without it are what they were before there was one.
        data: dict[str, Any] = dump(self)
        for name in ("requantization", "ecc", "batch"):
            if data.get(name) == self.__class__.model_fields[name].default:
                del data[name]
        if not self.skip:
            for name in SKIPPING & data.keys():
                del data[name]
        return data

    @property
    def act_max(self) -> int:
        """Largest activation, 2^ACT_W − 1."""
        return (1 << self.act_w) - 1

    @property
    def wgt_max(self) -> int:
        """Largest weight magnitude, 2^(WGT_W−1) − 1: words are symmetric so that −w fits."""
        return (1 << (self.wgt_w - 1)) - 1

    @property
    def addr_w(self) -> int:
        """Bits of a layer-relative real-weight address."""
        return max(1, math.ceil(math.log2(self.wgt_depth)))

    @property
    def class_bits(self) -> int:
        """Bits of a class number."""
        return max(1, (self.chan_depth - 1).bit_length())

    @property
    def column_bits(self) -> int:
        """Bits of a column's number in the list of an engine that skips."""
        return max(1, (self.skip_columns - 1).bit_length())

    @property
    def act_bits(self) -> int:
        """Bits of the activation memory: ``act_depth`` lines for each image of a batch."""
        return self.batch * self.act_depth * self.cols * self.act_w

    def stored_bits(self, width: int) -> int:
        """Bits that a word of ``width`` bits takes in a memory, its check bits included."""
        return width + check_bits(self.ecc, width)

    def replace(self, **changes: Any) -> EngineConfig:
        """A validated copy; changing a width re-derives ``acc_w`` unless it is given too."""
        data = dict(self)
        if ({"act_w", "wgt_w"} & changes.keys()) and "acc_w" not in changes:
            del data["acc_w"]
        return _validated({**data, **changes}, "configuration")

    def with_bits(self, bits: int) -> EngineConfig:
        """The same engine with ``bits``-wide activations and weights."""
        return self.replace(act_w=bits, wgt_w=bits)

    def verilog_parameters(self) -> dict[str, int]:
        """Parameter name and integer value as the RTL spells them; INDEX_MODE 0 is sram, 1 hash;
        REQUANTIZATION 0 is up, 1 twice-away; ECC 0 is none, 1 parity, 2 secded.
        """
        values = {k.upper(): v for k, v in self if k not in ("name", "clock_mhz")}
        for name in ("SOFTMAX", "ADD", "AVERAGE", "GROUPS", "SKIP"):
            values[name] = int(values[name])
        values["INDEX_MODE"] = ("sram", "hash").index(self.index_mode)
        values["REQUANTIZATION"] = get_args(Requantization).index(self.requantization)
        values["ECC"] = ECC.index(self.ecc)
        return values


def _validated(data: dict[str, Any], origin: str) -> EngineConfig:
    try:
        return EngineConfig(**data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "parameters"
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{origin}: {where}: {message}") from None


def check_batch(config: EngineConfig, images: int) -> None:
    """Raises InputError unless so many images may go through ``config`` together."""
    if not 1 <= images <= config.batch:
        which = "one image at a time" if config.batch == 1 else f"1 … {config.batch} images"
        raise InputError(
            f"a batch of {images}: {config.name} takes {which}, batch = {config.batch} of its "
            "configuration"
        )


def config_names() -> list[str]:
    """Names of the configurations that ship with hwsim, smallest first."""
    found = {path.stem for path in _FOLDER.glob("*.toml")}
    order = ["tiny", "small", "default", "wide"]
    return sorted(found, key=lambda n: (order.index(n) if n in order else len(order), n))


def load_config(name: str) -> EngineConfig:
    """A shipped configuration by name, or any ``.toml`` file by path.

    Raises ConfigError for an unknown name, an unreadable file, and unknown, missing or illegal
    fields.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.exists():
            raise ConfigError(f"configuration file {name} does not exist")
    else:
        if name not in config_names():
            raise ConfigError(
                f"unknown configuration {name!r}: choose from {', '.join(config_names())}, "
                "or give the path of a .toml file"
            )
        path = _FOLDER / f"{name}.toml"
    try:
        data = tomllib.loads(read_regular(path, MAX_TEXT).decode("utf-8"))
    except InputError as error:
        raise ConfigError(str(error)) from None
    except RecursionError:
        raise ConfigError(f"{path}: not a readable TOML file: nested too deeply") from None
    except (OSError, ValueError) as error:  # also of numbers with thousands of digits
        raise ConfigError(f"{path}: not a readable TOML file: {error}") from None
    return _validated({"name": path.stem, **data}, str(path.name))
