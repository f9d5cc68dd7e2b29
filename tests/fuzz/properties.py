"""The property tests that are run on new examples, by the area that they belong to.

Import this module after ``tests.examples.use("new")``: the tests' settings build on that profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.fuzz.rounds import Property, Test
from tests.property import test_batch_properties as batch
from tests.property import test_engine_equals_oracle as engine
from tests.property import test_faults as faults
from tests.property import test_rewrites as rewrites
from tests.property import test_rom_roundtrip as rom
from tests.property import test_timing_properties as timing
from tests.unit import test_reference as oracle
from tests.unit import test_reference_gradient as oracle_gradient


@dataclass(frozen=True)
class Verilated(Property):
    """Random networks in the Verilog of one engine configuration."""

    bench: Any = None

    def end(self) -> None:
        self.bench.close()


def software() -> list[Property]:
    """Everything but the Verilog."""
    intact = rom.saved()
    damage = (
        rom.test_damage_to_any_file_is_refused,
        rom.test_damage_under_correct_digests_is_refused_or_a_valid_program,
        rom.test_a_manifest_with_odd_values_is_refused_or_a_valid_program,
    )
    tests: list[tuple[str, Test, tuple[Any, ...]]] = [
        ("values", engine.test_every_kernel_equals_the_oracle, ()),
        ("values", engine.test_the_module_returns_exact_logits, ()),
        ("values", oracle.test_random_networks_pass_the_proof_and_never_overflow_in_the_oracle, ()),
        ("faults", faults.test_the_fast_path_of_a_program_with_faults_equals_the_oracle, ()),
        ("faults", faults.test_trials_answer_what_an_engine_with_the_faults_answers, ()),
        ("gradients", engine.test_gradients_equal_the_oracle, ()),
        ("gradients", oracle_gradient.test_gradient_is_linear_in_its_seed, ()),
        ("cycles", timing.test_the_recurrence_equals_a_machine_stepped_cycle_by_cycle, ()),
        ("cycles", timing.test_the_parts_of_a_layer_add_up_and_are_never_negative, ()),
        ("cycles", timing.test_doubling_the_banks_never_costs_a_cycle, ()),
        ("cycles", timing.test_hashing_indices_costs_at_most_a_latency_and_the_i_rounds, ()),
        ("cycles", batch.test_every_image_of_a_batch_has_the_values_that_it_has_alone, ()),
        ("cycles", batch.test_a_batch_takes_what_its_runs_take, ()),
        ("images", rom.test_load_of_save_is_the_same_program, ()),
        *(("images", test, (intact,)) for test in damage),
        ("images", rom.test_a_forged_layer_with_matching_instructions_is_refused_or_a_valid_program,
         ()),
        ("rewrites", rewrites.test_inhibition_moves_every_word_by_the_rounded_tau, ()),
        ("rewrites", rewrites.test_augmentation_rounds_each_word_and_bias_once, ()),
        ("rewrites", rewrites.test_pruning_zeroes_the_smallest_words_and_nothing_else, ()),
    ]  # fmt: skip
    return [
        Property(test.__name__.removeprefix("test_").replace("_", "-"), area, test, arguments)
        for area, test, arguments in tests
    ]


def verilog() -> list[Property]:
    """One property an engine configuration. Raises RtlError where nothing can be simulated here."""
    from hwsim.rtl.build import build
    from tests.rtl import batches, test_batch
    from tests.rtl.configs import ENGINES
    from tests.rtl.test_equality import Bench, agreement

    build(ENGINES[0])  # the others in their turn; this one says whether that is possible
    engines = [(config, agreement) for config in ENGINES]
    engines += [(config, test_batch.agreement) for config in batches.ENGINES]
    found = []
    for config, makes in engines:
        bench = Bench()
        found.append(Verilated(f"rtl-{config.name}", "rtl", makes(config, bench), bench=bench))
    return found
