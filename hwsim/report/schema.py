"""What a result holds, as numbers and as JSON.

A result is a plain dict, and it is what result.json holds. Shares (clean, success, zero_gradient,
utilization) are fractions in 0 … 1; a share whose denominator is 0 is None. Its keys:

    model, config, bits, attack, targeted, probabilities, samples, command, seconds
    norm                               linf, l2 or l0: what epsilons measure
    values                             values of an image, channels counted apart
    epsilons, effective_epsilons       lists of E numbers: as asked, and (linf) in whole input
                                       steps; null where there is no bound
    loss, temperature, gradient        what is differentiated, and how; null where nothing is
    options                            the attack's own, by name
    dataset                            {name, source, note | None, digest}
    clean, denominator                 {float, fixed}
    success, success_escalated         {float_float, engine_engine, float_engine, engine_float},
                                       each a list of E shares; the second is Algorithm 1
    interval, interval_escalated       the same keys, each a list of E [low, high]; 95% Wilson;
                                       the second is optional
    zero_gradient                      {float, engine}
    distortion                         {float, engine}: lists of E means over the successes on the
                                       crafting model, {l0, l1, l2, linf}; null without a success
    passes                             {float, engine}: {forward, backward}, lists of E means per
                                       image, the final check included
    adaptive                           null, or {loss, success, interval}: the same attack on the
                                       margin loss, keys float_float and engine_engine as above
    cycles, energy_nj, memory_bits     memory_bits: {dense, index_sram, hash}
    backend                            python or rtl: who judged as the engine
    judged                             with rtl: {images, logits, equal, differences}; distinct
                                       images, and their logits against the Python twin's
    timing                             {cycles, clock_mhz, microseconds, utilization, stalls: {},
                                       bank_conflicts}
    paper                              optional list of {what, paper, here | None, source}
    robustbench                        list of entries in RobustBench's keys, see robustbench.py
    versions                           {library: version}
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass


#: Key of a success list -> (crafted on, judged by), in the order in which every output shows them.
PAIRS = {
    "float_float": ("float", "float"),
    "engine_engine": ("engine", "engine"),
    "float_engine": ("float", "engine"),
    "engine_float": ("engine", "float"),
}


def to_json(result: Mapping[str, Any]) -> str:
    """Standard JSON with full precision: NumPy becomes plain numbers, NaN and ±∞ become null."""
    return json.dumps(plain(result), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """Values of the standard library: NaN and ±∞ become None. Raises TypeError for others."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if hasattr(value, "tolist"):  # NumPy scalars and arrays, torch tensors
        return plain(value.tolist())
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"a result cannot hold a {type(value).__name__}")
