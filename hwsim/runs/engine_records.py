"""What a white box sees of the engine: its integers, as the real numbers that they stand for."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hwsim.attacks.membership.records import Records
from hwsim.attacks.membership.seen import seen_of
from hwsim.engine.module import Engine
from hwsim.errors import InputError

#: Samples that are asked together.
BATCH = 500


def observe_engine(engine: Engine, x: Tensor, labels: Tensor) -> Records:
    """Logits, loss, and both factors of the gradient by the last layer's weight.

    The last layer's input is the last map of the activation memory, which the register interface
    reads; logits are the last layer's sums. So this attacker needs no gradient of the engine: the
    loss's gradient by a weight of the last layer is softmax − one-hot times that map.

    Parameters
    ----------
    engine : Engine
        Of a network that ends in a fully connected layer.
    x, labels : Tensor
        (N, …) float32 as the engine takes them; int64 (N,).

    Returns
    -------
    Records
        As ``observe(..., "white")`` gives them of a float network.

    Raises
    ------
    InputError
        Where the last layer is not fully connected, or reads the image itself.
    """
    program = engine.program
    last = program.mac_layers[-1]
    if last.kind != "fc" or len(program.layers) < 2:
        raise InputError(f"{last.name}: a white box needs a fully connected layer behind another")
    (numbers,) = program.numbers[-1]
    logits, features = [], []
    for part in torch.arange(len(x)).split(BATCH):
        some = x[part]
        logits.append(engine.integer_logits(some).double() * program.logit_scale)
        codes = engine.feature_maps(some)[-1].reshape(len(some), -1).astype(np.float32)
        features.append((torch.from_numpy(codes) - numbers.zero) * numbers.scale)
    return seen_of(torch.cat(logits).float(), labels, "white", torch.cat(features))
