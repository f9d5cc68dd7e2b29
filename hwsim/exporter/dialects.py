"""How a graph says that a number is quantized: QCDQ of standard ONNX, and QONNX's Quant."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import InputError
from hwsim.numbers.config import EngineConfig
from hwsim.program.program import Numbers

if TYPE_CHECKING:
    from hwsim.exporter.nodes import Nodes

#: Domain of QONNX's operators.
QONNX_DOMAIN = "qonnx.custom_op.general"


class Dialect(Protocol):
    """What differs between the two.

    name: of the format. batch: size of the first axis, or a name where it is free. domains: of
    operators beside ONNX's own.
    """

    name: str
    batch: int | str
    domains: tuple[str, ...]

    def check(self, config: EngineConfig) -> None:
        """Raises InputError for word lengths that the format does not have."""
        ...

    def activation(self, to: Nodes, x: str, name: str, of: Numbers, lo: int, hi: int) -> str:
        """The reals of ``x`` rounded to codes between ``lo`` and ``hi``, as reals again."""
        ...

    def codes(self, to: Nodes, x: str, name: str, of: Numbers) -> str:
        """The codes of a map that is quantized already, int64."""
        ...

    def weights(self, to: Nodes, name: str, words: NDArray[np.int32], step: Reals) -> str:
        """words: integers, step: of each of their rows; the reals that they stand for."""
        ...


Reals = NDArray[np.float64]


class Qcdq:
    """QuantizeLinear, Clip where not all of uint8 is used, DequantizeLinear; weights as int8."""

    name = "qcdq"
    batch: int | str = "N"
    domains: tuple[str, ...] = ()

    def __init__(self, config: EngineConfig) -> None:
        self.config = config

    def check(self, config: EngineConfig) -> None:
        """At most 8 bits: the integers of QuantizeLinear are bytes."""
        for what, width in (("activations", config.act_w), ("weights", config.wgt_w)):
            if width > 8:
                raise InputError(
                    f"QCDQ has integers of 8 bits, but the {what} have {width}: take --format "
                    "qonnx, or --bits 8"
                )

    def activation(self, to: Nodes, x: str, name: str, of: Numbers, lo: int, hi: int) -> str:
        """Three nodes, two where the range is that of uint8."""
        numbers = self._numbers(to, name, of)
        codes = to.add("QuantizeLinear", [x, *numbers], f"{name}_q")
        if (lo, hi) != (0, 255):
            limits = [
                to.constant(f"{name}_{end}", np.array(value, np.uint8))
                for end, value in (("lo", lo), ("hi", hi))
            ]
            codes = to.add("Clip", [codes, *limits], f"{name}_c")
        return to.add("DequantizeLinear", [codes, *numbers], f"{name}_dq")

    def codes(self, to: Nodes, x: str, name: str, of: Numbers) -> str:
        """QuantizeLinear gives back what DequantizeLinear was given."""
        numbers = self._numbers(to, name, of)
        codes = to.add("QuantizeLinear", [x, *numbers], f"{name}_codes_q")
        return to.add("Cast", [codes], f"{name}_codes", to=to.INT64)

    def _numbers(self, to: Nodes, name: str, of: Numbers) -> list[str]:
        scale = to.constant(f"{name}_scale", np.array(of.scale, np.float32))
        return [scale, to.constant(f"{name}_zero", np.array(of.zero, np.uint8))]

    def weights(self, to: Nodes, name: str, words: NDArray[np.int32], step: Reals) -> str:
        """DequantizeLinear by row, from int8; a Clip says the width of narrower words."""
        integers = to.constant(f"{name}_int", words.astype(np.int8))
        if (top := self.config.wgt_max) < 127:
            limits = [
                to.constant(f"{name}_{end}", np.array(value, np.int8))
                for end, value in (("lo", -top), ("hi", top))
            ]
            integers = to.add("Clip", [integers, *limits], f"{name}_c")
        scale = to.constant(f"{name}_scale", step.astype(np.float32))
        zero = to.constant(f"{name}_zero", np.zeros(len(step), np.int8))
        return to.add("DequantizeLinear", [integers, scale, zero], f"{name}_dq", axis=0)


class Qonnx:
    """Quant, which rounds to a number of bits and back at once; ReLU and Clip before it."""

    name = "qonnx"
    batch: int | str = 1
    domains: tuple[str, ...] = (QONNX_DOMAIN,)

    def __init__(self, config: EngineConfig) -> None:
        self.config = config

    def check(self, config: EngineConfig) -> None:
        """Any width."""

    def activation(self, to: Nodes, x: str, name: str, of: Numbers, lo: int, hi: int) -> str:
        """Limits that are not those of the bits are real numbers in front."""
        top = self.config.act_max
        if (lo, hi) == (of.zero, top) and lo:
            x = to.add("Relu", [x], f"{name}_relu")
        elif (lo, hi) != (0, top):
            limits = [
                to.constant(f"{name}_{end}", np.array((value - of.zero) * of.scale, np.float32))
                for end, value in (("lo", lo), ("hi", hi))
            ]
            x = to.add("Clip", [x, *limits], f"{name}_clip")
        scale = to.constant(f"{name}_scale", np.array(of.scale, np.float32))
        zero = to.constant(f"{name}_zero", np.array(of.zero, np.float32))
        return self._quant(to, x, name, scale, zero, self.config.act_w, signed=0)

    def codes(self, to: Nodes, x: str, name: str, of: Numbers) -> str:
        """x / scale + zero, rounded for what the division lost."""
        scale = to.constant(f"{name}_codes_scale", np.array(of.scale, np.float32))
        steps = to.add("Div", [x, scale], f"{name}_steps")
        zero = to.constant(f"{name}_codes_zero", np.array(of.zero, np.float32))
        codes = to.add("Add", [steps, zero], f"{name}_codes_near")
        whole = to.add("Round", [codes], f"{name}_codes_whole")
        return to.add("Cast", [whole], f"{name}_codes", to=to.INT64)

    def weights(self, to: Nodes, name: str, words: NDArray[np.int32], step: Reals) -> str:
        """Reals, and the Quant that makes them what they are."""
        steps = step.astype(np.float32).reshape(-1, *[1] * (words.ndim - 1))
        reals = to.constant(f"{name}_real", words.astype(np.float32) * steps)
        scale = to.constant(f"{name}_scale", steps)
        zero = to.constant(f"{name}_zero", np.array(0, np.float32))
        return self._quant(to, reals, name, scale, zero, self.config.wgt_w, signed=1)

    def _quant(
        self, to: Nodes, x: str, name: str, scale: str, zero: str, bits: int, signed: int
    ) -> str:
        width = to.constant(f"{name}_bits", np.array(bits, np.float32))
        return to.add(
            "Quant", [x, scale, zero, width], f"{name}_quant", domain=QONNX_DOMAIN,
            signed=signed, narrow=signed, rounding_mode="ROUND",
        )  # fmt: skip


#: Format -> what makes its dialect.
DIALECTS: dict[str, Callable[[EngineConfig], Dialect]] = {"qcdq": Qcdq, "qonnx": Qonnx}
