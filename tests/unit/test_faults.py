"""Faults: what memories then hold, and what oracle and fast path make of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from hwsim.cost.timing import analyze
from hwsim.engine.module import Engine
from hwsim.engine.reference import run
from hwsim.engine.reference_lines import execute_lines
from hwsim.errors import CompileError, InputError
from hwsim.faults import Fault, inject
from hwsim.numbers.config import load_config
from hwsim.program.layers import MacLayer
from hwsim.rom import image as rom
from hwsim.rom.memories import memory_files, memory_values
from tests.fault_corners import CORNERS, Corner
from tests.images import residual_program, small_program


def _logits(corner: Corner, program: object) -> list[int]:
    engine = Engine(program)  # type: ignore[arg-type]
    maps = corner.pixels.transpose(1, 2, 0)[None].astype(engine.datapath.map_dtype)
    found: list[int] = engine.answer(maps)[0].tolist()
    return found


@pytest.mark.parametrize("corner", CORNERS, ids=lambda corner: corner.name)
def test_what_a_fault_does_can_be_worked_out_by_hand(corner: Corner) -> None:
    program = inject(corner.program, corner.faults)
    assert run(program, corner.pixels).logits == corner.logits
    assert _logits(corner, program) == corner.logits
    outcomes = execute_lines(program, corner.pixels.tolist())
    assert sum(one.sums for one in outcomes) == corner.sums
    assert sum(one.products for one in outcomes) == corner.products


@pytest.mark.parametrize("program", [small_program(), residual_program()], ids=["chain", "graph"])
def test_the_memories_differ_in_the_bits_of_the_faults_and_in_no_other(program: object) -> None:
    assert not isinstance(program, str)
    files = memory_files(program)  # type: ignore[arg-type]
    random = np.random.default_rng(3)
    faults = [
        Fault(name.removesuffix(".mem"), int(line), int(field), int(bit))  # type: ignore[arg-type]
        for name, file in files.items()
        if name != "program.mem"
        for line, field, bit in random.integers(0, (file.lines, file.fields, file.width), (9, 3))
    ]
    faults = list(dict.fromkeys(faults))
    changed = inject(program, faults)  # type: ignore[arg-type]
    for name, file in files.items():
        before = np.concatenate(list(memory_values(program, name)))  # type: ignore[arg-type]
        after = np.concatenate(list(memory_values(changed, name)))
        mask = (1 << file.width) - 1
        expected = np.zeros((file.lines, file.fields), object)
        for fault in faults:
            if f"{fault.memory}.mem" == name:
                expected[fault.line, fault.field] ^= 1 << fault.bit
        assert ((before.astype(object) ^ after.astype(object)) & mask == expected).all(), name
    assert inject(changed, faults) is program


def test_flips_come_before_stuck_bits_and_two_flips_undo_each_other() -> None:
    program = small_program()
    place = ("weights", 0, 0, 3)
    flip, stuck = Fault(*place), Fault(*place, "stuck-1")  # type: ignore[arg-type]
    word = [next(iter(memory_values(inject(program, faults), "weights.mem")))[0, 0] & 0xFF
            for faults in ([stuck, flip], [flip, stuck], [stuck])]  # fmt: skip
    assert word[0] == word[1] == word[2]
    assert inject(program, [flip, flip]) is program


def test_a_fault_that_changes_no_bit_leaves_the_program_as_it_is() -> None:
    program = small_program()
    bit = int(next(iter(memory_values(program, "bias.mem")))[0, 0]) & 1
    assert inject(program, [Fault("bias", 0, 0, 0, "stuck-1" if bit else "stuck-0")]) is program
    assert inject(program, []) is program


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault("weights", 99999, 0, 0), r"line 99999 of the weights memory is outside: .* 0 … \d+"),
        (Fault("weights", 0, 2, 0), "field 2 of the weights memory is outside: .* 0 … 1"),
        (Fault("scale", 0, 0, 22), "bit 22 of the scale memory is outside: .* 0 … 21"),
        (Fault("lut", 0, 0, 0), "no lut memory: none of its layers is a table"),
        (Fault("program", 0, 0, 0), "program memory"),
    ],
)
def test_a_fault_outside_the_memories_is_refused(fault: Fault, says: str) -> None:
    with pytest.raises(InputError, match=says):
        inject(small_program(), [fault])


def test_an_engine_that_computes_its_indices_has_none_to_flip() -> None:
    program = small_program(load_config("tiny").replace(index_mode="hash"))
    with pytest.raises(InputError, match="no index memory: its engine computes the indices"):
        inject(program, [Fault("index", 0, 0, 0)])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("wieghts", 0, 0, 0), "no memory is called 'wieghts': weights, index"),
        (("weights", 0, 0, 0, "stuck"), "no kind of fault is called 'stuck': flip"),
        (("weights", -1, 0, 0), "line of a fault must be at least 0: -1"),
    ],
)
def test_a_fault_that_is_none_is_refused(arguments: tuple[object, ...], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Fault(*arguments)  # type: ignore[arg-type]


def test_a_program_with_faults_is_no_image(tmp_path: Path) -> None:
    program = inject(small_program(), [Fault("weights", 0, 0, 0)])
    with pytest.raises(CompileError, match="has faults in its memories"):
        rom.save(program, tmp_path / "net.hne")


def test_cycles_follow_the_addresses_that_the_index_memory_holds() -> None:
    program = small_program()
    place = program.placements()[0]
    line = place.index_base
    # Rows 0 and 1 of the first column want words 0 and 2: both of bank 0.
    from tests.fault_corners import forced

    faults = forced(program, "index", line, 0, 0) + forced(program, "index", line, 1, 2)
    apart = forced(program, "index", line, 0, 0) + forced(program, "index", line, 1, 1)
    conflicts = [analyze(inject(program, one)).layers[0].conflict_cycles for one in (faults, apart)]
    assert conflicts[0] == conflicts[1] + 1


def test_gradients_of_a_faulty_weight_are_those_of_the_program_that_has_it() -> None:
    """The oracle has none of programs with faults; a word that the format allows has them."""
    program = small_program()
    number, layer = next((n, one) for n, one in enumerate(program.layers) if one.name == "fc0")
    assert isinstance(layer, MacLayer)
    place, words = program.placements()[number], layer.weights.copy()
    words[3] ^= 1 << 4
    line, bank = divmod(3, program.config.banks)
    faulty = inject(program, [Fault("weights", place.weight_base + line, bank, 4)])
    layers = list(program.layers)
    layers[number] = dataclasses.replace(layer, weights=words)
    images = torch.rand(6, *program.input_shape, generator=torch.Generator().manual_seed(2))
    grads = []
    for one in (faulty, program.replace(layers=tuple(layers)), program):
        x = images.clone().requires_grad_()
        (Engine(one)(x) * torch.tensor([1.0, -2.0, 3.0])).sum().backward()
        grads.append(x.grad)
    assert torch.equal(grads[0], grads[1])
    assert not torch.equal(grads[0], grads[2])
