"""Arrays of an .onnx file, in itself or in files beside it, which strangers may have named."""

from __future__ import annotations

import math
import os
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import CompileError, InputError
from hwsim.importer.limits import MAX_FILE, elements, size_of, text


class Tensors:
    """Arrays of a file, from itself or from files beside it."""

    def __init__(self, onnx: Any, path: Path) -> None:
        self.onnx, self.path = onnx, path
        self.total = 0
        #: By file: the parts that tensors have, from their first byte to behind their last.
        self.parts: dict[Path, list[tuple[int, int, str]]] = {}

    def array(self, tensor: Any, name: str | None = None) -> NDArray[Any]:
        """The values of a TensorProto. Raises as ``read`` does."""
        name = name or text(tensor.name) or "a constant"
        onnx = self.onnx
        shape = tuple(tensor.dims)
        count = elements(name, shape)
        if tensor.data_type == onnx.TensorProto.STRING or tensor.data_type == 0:
            raise CompileError(f"{name}: holds no numbers")
        try:
            dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
        except (KeyError, TypeError):
            raise CompileError(f"{name}: is of a type that hwsim does not read") from None
        bits = {"int4": 4, "uint4": 4, "int2": 2, "uint2": 2}.get(dtype.name, dtype.itemsize * 8)
        size = math.ceil(count * bits / 8)
        if not count and dtype.kind != "i":
            raise CompileError(f"{name}: holds no values: export the network again")
        self.total += size
        if self.total > MAX_FILE:
            raise CompileError(
                f"{name}: the constants have more than {MAX_FILE} bytes together: "
                "use a smaller network"
            )
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raw = self._external(tensor, name, size)
            tensor = onnx.TensorProto(data_type=tensor.data_type, dims=shape, raw_data=raw)
        elif tensor.HasField("raw_data") and len(tensor.raw_data) != size:
            raise InputError(
                f"{name}: is damaged: its shape {shape} needs {size} bytes, it has "
                f"{len(tensor.raw_data)}"
            )
        try:
            found = onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError, OverflowError):
            raise InputError(
                f"{name}: is damaged: its values do not fit its shape {shape}"
            ) from None
        if found.size != count:
            raise InputError(f"{name}: is damaged: its values do not fit its shape {shape}")
        if found.dtype.kind not in "fiub" and "int" not in found.dtype.name:
            found = found.astype(np.float32)  # bfloat16 and the floats of 8 bits
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            raise CompileError(f"{name}: holds NaN or infinity: train or export it again")
        return found

    def _external(self, tensor: Any, name: str, size: int) -> bytes:
        """The bytes that a tensor has in a file beside the model."""
        for entry in tensor.external_data:
            text(entry.value)  # bytes that are no text are refused
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        at = f"{name}: keeps its values in {location!r}"
        parts = PurePosixPath(location).parts
        inside = parts and ".." not in parts and not PurePosixPath(location).is_absolute()
        if not inside or PureWindowsPath(location).anchor or "\\" in location or "\0" in location:
            raise InputError(f"{at}, which is no file beside the model: it is not read")
        folder = os.path.realpath(self.path.parent)
        real = os.path.realpath(os.path.join(folder, location))
        if os.path.commonpath([folder, real]) != folder:
            raise InputError(f"{at}, which leads out of the model's folder: it is not read")
        if not os.path.exists(real):
            raise InputError(f"{at}, which does not exist: copy it beside the model")
        there = size_of(real, MAX_FILE)
        try:
            offset = int(entries.get("offset", "0"))
            # Without a length: all that is behind the offset, as the format has it.
            length = int(entries.get("length", str(there - offset)))
        except ValueError:
            raise InputError(f"{at} at a place that is no number") from None
        if offset < 0 or length != size or offset + length > there:
            raise InputError(
                f"{at} from byte {offset} on, {length} of its {there} bytes, where {size} are due"
            )
        taken = self.parts.setdefault(Path(real), [])
        for first, behind, other in taken:
            if offset < behind and first < offset + length:
                raise InputError(f"{at}, where it overlaps {other}")
        taken.append((offset, offset + length, name))
        with open(real, "rb") as file:
            file.seek(offset)
            return file.read(length)
