"""Rows of designs: what an engine costs with a network, its cells, and flips that break it.

Accuracy and PGD are rows of hwsim.studies.grid.attack_rows; they depend on network and width alone,
and so do flips, on check bits besides, so that designs share them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hwsim.cost.offchip import stored_bits
from hwsim.cost.timing import TimingReport, analyze
from hwsim.engine.cycles import counted, timing_of
from hwsim.engine.module import Engine
from hwsim.errors import CompileError, InputError
from hwsim.faults.chase import Rules
from hwsim.faults.guarded_victim import Knowing, key_of, victim_of
from hwsim.faults.guards import GuardChoice
from hwsim.faults.search import Victim
from hwsim.fpga.cell_model import source_digest
from hwsim.fpga.synthesis import synthesize
from hwsim.numbers.config import EngineConfig
from hwsim.program.program import Program
from hwsim.program.proof import check
from hwsim.studies.grid.flip_rows import judging, looked_at, searched
from hwsim.studies.runner import machines as subjects
from hwsim.studies.runner.machines import Subject
from hwsim.studies.runner.task import Row, version

COST = "hwsim.studies.explore.rows:cost"
FLIPS = "hwsim.studies.explore.rows:flips"
CELLS = "hwsim.studies.explore.rows:cells"


def placed(program: Program, changes: Mapping[str, Any]) -> Program:
    """The same words on an engine with other ``changes``: no new compile, since the array decides
    where maps stand and not what is computed. Raises CompileError where it does not fit.
    """
    config = program.config.replace(**changes)
    made = Program.graph(config, program.layers, program.wires, program.input, program.provenance)
    check(made)
    return made


@version(1)
def cost(subject: Mapping[str, Any], changes: Mapping[str, Any], images: int) -> Row:
    """Cycles, energy and memory of a network on an engine.

    changes: of the engine's fields, as of ``EngineChoice.changes``. images: test images over which
    cycles and energy are meant where the engine skips; elsewhere all cost the same. The row:
    refused, why the network does not fit, and nothing else then; cycles, energy_nj: of the mean
    image; worst: cycles that no image exceeds; memory_bits: of weights and stored index as they are
    allocated, check bits included; image_bits: of the memories of feature maps, logits and
    probabilities; layers: cycles of every image, and bits, for ``hwsim.cost.offchip``; start.
    """
    one = Subject.of(subject)
    try:
        program = placed(subjects.program(one), {**changes, "batch": 1})
    except CompileError as error:
        return {"refused": str(error)}
    report = analyze(program)
    energy, cycles = report.energy.nj, np.array([[layer.cycles for layer in report.layers]])
    worst = report.cycles
    if program.config.skip:
        x, _ = subjects.images(one, images, (0, 1))
        engine = Engine(program)
        found = counted(
            engine.datapath,
            engine.grid(x),
            lambda timing, wanted, count: {
                "cycles": timing.counters(wanted, count)["cycles"],
                "energy_nj": timing.energy_nj(wanted, count),
            },
        )
        cycles, energy = found["cycles"], float(found["energy_nj"].mean())
        worst = int(timing_of(program).worst.sum()) + _start(report)
    bits = [stored_bits(layer, program.config.index_mode) for layer in report.layers]
    return {
        "refused": None,
        "cycles": float(cycles.sum(1).mean()) + _start(report),
        "worst": worst,
        "energy_nj": energy,
        "memory_bits": sum(bits),
        "image_bits": sum(report.image_bits.values()),
        "layers": [
            {"cycles": each.tolist(), "bits": most}
            for each, most in zip(cycles.T, bits, strict=True)
        ],
        "start": _start(report),
    }


def _start(report: TimingReport) -> int:
    """Cycles before the first layer."""
    return report.layers[0].start


def storing(program: Program) -> Program:
    """The same words, plain, on an engine that stores its indices.

    One that hashes them may have too few lines for that, which flips of weights do not ask for:
    then the memory has as many lines as there are.
    """
    config = program.config.replace(index_mode="sram", ecc="none", skip=False, batch=1)
    made = Program.graph(config, program.layers, program.wires, program.input, program.provenance)
    end = made.placements()[-1]
    lines = max(config.idx_depth, end.index_base + end.index_lines)
    return placed(made, {"idx_depth": lines})


@version(1)
def flips(
    subject: Mapping[str, Any],
    ecc: str,
    attacker: Knowing,
    memory: str,
    seed: int,
    images: int,
    samples: int,
    k_top: int,
    most: int,
    stop: float,
) -> Row:
    """``flip_rows.guarded`` on an engine that stores its indices, whatever the subject's does.

    ecc: none, parity or secded, in front of an attacker who knows of them or not.
    """
    one = Subject.of(subject)
    program = storing(subjects.program(one))
    x, judged = looked_at(one, seed, images), judging(one, samples)
    choice, key = GuardChoice.of(ecc), key_of(seed)

    def machine() -> Victim:
        return victim_of(program, x[:1], (memory,), choice, "adaptive", key)

    found = victim_of(program, x, (memory,), choice, attacker, key)
    return searched(found, machine, judged, Rules(k_top, most, stop), seed)


@version(1)
def cells(config: Mapping[str, Any], verilog: str) -> Row:
    """What Yosys makes of an engine: luts, flip_flops, dsps, block_rams (None of black boxes).

    config: fields of EngineConfig. verilog: digest of the sources, which every machine must have.
    """
    if verilog != source_digest():
        raise InputError(
            "a worker has other Verilog than this machine: install the same hwsim on all machines"
        )
    found = synthesize(EngineConfig(**config), lambda stage, seconds: None)
    return {
        "luts": found.total("luts"), "flip_flops": found.total("flip_flops"),
        "dsps": found.total("dsps"),
        "block_rams": None if found.black_box else found.total("block_rams"),
    }  # fmt: skip
