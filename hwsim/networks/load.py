"""``hwsim.load_model``: a network of any kind, for Python, and images for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import ExportedProgram

from hwsim.importer.data import UserData, checked
from hwsim.importer.load import LoadedModel
from hwsim.importer.load import load_model as load_foreign
from hwsim.importer.names import is_foreign, is_image
from hwsim.networks.open import open_network
from hwsim.numbers.config import EngineConfig

Arrays = Tensor | NDArray[Any]


def load_model(
    source: str | Path | nn.Module | ExportedProgram,
    config: EngineConfig | str = "default",
    *,
    data: UserData | Arrays | None = None,
    bounds: tuple[float, float] | None = None,
) -> LoadedModel:
    """A network of any kind as a Program, and its float twin.

    Parameters
    ----------
    source : str, Path, torch.nn.Module or ExportedProgram
        A name of the zoo, the path of a trained network, an image ``.hne``, or a file that others
        made: ``.onnx`` (float, QDQ, QCDQ, QOperator, QONNX), ``.tflite`` (int8, float), ``.pt2`` of
        torch.export, or ``file.py:function``, which is the only one that is executed: its function
        returns a module.
    config : EngineConfig or str
        The engine, or its name. An image has its own. A quantized file that needs wider words gets
        them, which ``notes`` says.
    data : UserData, Tensor or array, optional
        Inputs (N, …) as the file takes them. Needed to calibrate float networks, and for the range
        of an input that a quantized file leaves in real numbers.
    bounds : (float, float), optional
        That range, instead of the data's.

    Returns
    -------
    LoadedModel
        A quantized file keeps its integers; its twin is its dequantized graph. An image without a
        float network has none: ``module`` is None.

    Raises
    ------
    InputError
        For files that are none, damaged, or have parts elsewhere; unknown names; data with NaN.
    CompileError
        In one line with the node's name, its operator and the remedy, for what cannot run.
    """
    given = data if data is None or isinstance(data, UserData) else as_data(data)
    plain = isinstance(source, nn.Module | ExportedProgram)
    if plain or is_foreign(str(source)) or is_image(str(source)):
        return load_foreign(source, config, data=given, bounds=bounds)
    if Path(str(source)).suffix and Path(str(source)).suffix not in (".safetensors", ".json"):
        return load_foreign(source, config, data=given, bounds=bounds)  # refuses it
    name = config if isinstance(config, str) else None
    network = open_network(str(source), name)
    if name is None and config != network.program.config:
        return load_foreign(network.module, config, data=given, bounds=bounds)
    return LoadedModel(network.name, network.program, network.module)


def as_data(x: Arrays, y: Arrays | None = None, where: str = "x") -> UserData:
    """Tensors or arrays as data of a user: x (N, …) of numbers, y (N,) whole numbers.

    Raises InputError, which begins with ``where``, for NaN, infinity, and labels that do not fit.
    """
    return checked(where, _array(x), None if y is None else _array(y))


def _array(values: Arrays) -> NDArray[Any]:
    if isinstance(values, Tensor):
        found = values.detach().cpu()
        return (found.float() if found.dtype == torch.bfloat16 else found).numpy()
    return np.asarray(values)
