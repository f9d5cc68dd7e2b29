"""Random networks with check bits and flipped bits, check bits among them, in all three twins."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwsim.bus.constants import CAUSE_CODES
from hwsim.cost.timing import analyze
from hwsim.engine.module import Engine
from hwsim.engine.reference import run as oracle
from hwsim.faults import Fault, inject
from hwsim.faults.protection import behind_check_bits, stored
from hwsim.numbers.config import EngineConfig
from hwsim.program.layers import MacLayer
from hwsim.program.program import Program
from hwsim.rom.memories import LUT, PROGRAM
from hwsim.rom.words import WordReader
from tests.property.networks import EXAMPLES, images
from tests.property.words import Draw
from tests.rtl.compare import check
from tests.rtl.configs import FEW, FULL
from tests.rtl.test_equality import Bench, networks

pytestmark = pytest.mark.rtl

#: Stored and computed indices, words of 8 and of 16 bits, either kind of check bits.
ENGINES = [
    one.replace(name=f"{one.name}-{ecc}", ecc=ecc)
    for one, ecc in zip(FEW[:2], ("secded", "parity"), strict=True)
]
#: What a flip may pass into without leading a layer to words that nobody wrote.
NUMBERS = ("weights.mem", "scale.mem", "bias.mem")


@st.composite
def upsets(draw: Draw, program: Program) -> list[Fault]:
    """Flips in 1 … 60 words: of any memory so many as are seen, of numbers also more.

    ``quiet`` ones stop nobody, so that what is behind them is compared: SECDED corrects one, two
    pass a parity bit.
    """
    config, reader = program.config, WordReader(program)
    quiet = draw(st.booleans())
    noise = np.random.default_rng(draw(st.integers(0, 2**16 - 1)))
    names = [n for n, file in reader.files.items() if file.lines and n not in (LUT, PROGRAM)]
    if config.ecc == "parity" and quiet:
        names = [name for name in names if name in NUMBERS]
    found: dict[tuple[str, int, int], list[Fault]] = {}
    for _ in range(draw(st.integers(1, 60 if quiet else 3))):
        name = names[noise.integers(len(names))]
        file, memory = reader.files[name], name.removesuffix(".mem")
        line, field = int(noise.integers(file.lines)), int(noise.integers(file.fields))
        passes = {"parity": 2, "secded": 1}[config.ecc]
        seen = {"parity": 1, "secded": 2}[config.ecc]
        count = passes if quiet else int(noise.choice([seen, 3] if name in NUMBERS else [seen]))
        bits = noise.choice(config.stored_bits(file.width), count, replace=False)
        found[name, line, field] = [Fault(memory, line, field, int(bit)) for bit in bits]
    return [fault for mine in found.values() for fault in mine]


def reads(program: Program, place: tuple[str, int, int]) -> bool:
    """Whether a layer reads a word: whatever stands there but the filling of the weights."""
    memory, line, field = place
    if memory != "weights":
        return True
    reader = WordReader(program)
    number = reader.owner("weights.mem", line)
    layer, address = program.layers[number], line - reader.places[number].weight_base
    assert isinstance(layer, MacLayer)
    return bool((layer.hash_table[0] == address * program.config.banks + field).any())


def put(engine: Any, program: Program, faults: list[Fault]) -> None:
    """Write the words with flips into the memories of a simulated engine."""
    reader, by_word = WordReader(program), defaultdict[tuple[str, int, int], list[int]](list)
    for fault in faults:
        by_word[f"{fault.memory}.mem", fault.line, fault.field].append(fault.bit)
    for (name, line, field), bits in by_word.items():
        width, word = reader.files[name].width, reader.written(name, line, field)
        engine.poke(name, line, field, *stored(program.config.ecc, width, word, bits))


@pytest.mark.parametrize("config", ENGINES, ids=lambda config: config.name)
def test_flips_are_corrected_stop_the_image_or_pass_as_foreseen(config: EngineConfig) -> None:
    bench, ends = Bench(), Counter[str]()

    @settings(
        max_examples=60 if FULL else min(15, EXAMPLES),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def agree(data: st.DataObject) -> None:
        clean = data.draw(networks(config))
        image = data.draw(images(clean))
        as_maps = image.transpose(1, 2, 0)[None].astype(np.uint8 if config.act_w <= 8 else np.int32)
        for _ in range(2):
            faults = data.draw(upsets(clean))
            behind = behind_check_bits(clean, faults)
            program = inject(clean, behind.faults)
            report, trace = analyze(program), oracle(program, image)
            stops = any(reads(clean, place) for place in behind.stops)
            with bench.running(clean) as engine:
                put(engine, clean, faults)
                limit = 2 * report.cycles + 20 * image.size + 9999
                run = engine.run(image, maps=not stops, limit=limit)
                if stops:
                    assert (run.status, run.logits.size) == (CAUSE_CODES["memory"], 0)
                    ends["stopped"] += 1
                    continue
                check(program, run, trace, report)
            assert Engine(program).answer(as_maps)[0].tolist() == trace.logits
            ends["changed" if behind.faults else "as ever"] += 1

    try:
        agree()
    finally:
        bench.close()
    assert ends["stopped"] > 0
    assert ends["changed" if config.ecc == "parity" else "as ever"] > 0
