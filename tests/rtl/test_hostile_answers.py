"""A simulation that lies, or says more than it was asked: one line, and the next image is exact."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest

from hwsim.bus.constants import ALIVE_TICKS, COMMANDS, COUNTERS
from hwsim.numbers.config import load_config
from hwsim.rtl.errors import RtlError
from hwsim.rtl.simulator import cycle_limit
from tests.rtl.fakes import FIELDS, CannedEngine, Truth, alive, honest, lives, message
from tests.rtl.samples import small_network
from tests.rtl.scenes import IMAGE, NUMBER, PROGRAM, RUN, at_run, exact, liar, refused, truth

pytestmark = pytest.mark.rtl

PLAIN = small_network(load_config("tiny").replace(softmax=False))


def lie(**changes: int) -> bytes:
    return message(NUMBER, truth(maps=True).payload(**changes))


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("change", [-1, 1, 1 << 31])
def test_no_count_of_an_answer_is_believed(field: str, change: int) -> None:
    due = truth(maps=True).head[field]
    if field == "cycles":
        # Nothing predicts what the streams took; but the pixels, and the limit.
        change = {-1: IMAGE.size - 1 - due, 1: cycle_limit(PROGRAM) - due}.get(change, change)
    found = (due + change) % (1 << (64 if field == "cycles" else 32))
    refused(liar(lie(**{field: found}), maps=True), "not to be believed: its answer ", maps=True)


LIES: dict[str, tuple[Callable[[Truth], None], str]] = {}


def lying(says: str) -> Callable[[Callable[[Truth], None]], None]:
    """A lie with all counts right, under its name."""

    def add(change: Callable[[Truth], None]) -> None:
        LIES[change.__name__] = change, says

    return add


@lying("has 3 logits where 4 are due")
def a_logit_too_few(one: Truth) -> None:
    one.logits, one.probabilities = one.logits[1:], one.probabilities[1:]
    one.head |= {"logits": 3, "probabilities": 3}


@lying("has 5 logits where 4 are due")
def a_logit_too_many(one: Truth) -> None:
    one.logits, one.head["logits"] = np.append(one.logits, 0), 5


@lying("has 2 layers where 3 are due")
def a_layer_too_few(one: Truth) -> None:
    one.counters, one.head["layers"] = one.counters[1:], 2


@lying("has 4 layers where 3 are due")
def a_layer_too_many(one: Truth) -> None:
    one.counters, one.head["layers"] = np.concatenate([one.counters[:1], one.counters]), 4


@lying("has 3 probabilities where 4 are due")
def a_probability_too_few(one: Truth) -> None:
    one.probabilities, one.head["probabilities"] = one.probabilities[1:], 3


@lying(r"has [\d,]+ writes of maps where [\d,]+ are due")
def a_write_too_few(one: Truth) -> None:
    one.writes = one.writes[1:]
    one.head["writes"] -= 1


@lying("has two writes of one line of layer 0")
def a_line_twice(one: Truth) -> None:
    one.writes[0, 2] = one.writes[1, 2]


@lying("has a line of layer 0 of ")
def a_line_beyond_its_map(one: Truth) -> None:
    one.writes[0, 2] = 1 << 31


@lying("has writes of layers out of order")
def layers_out_of_order(one: Truth) -> None:
    one.writes = one.writes[::-1].copy()


@lying("has writes of layers out of order")
def a_write_of_no_layer(one: Truth) -> None:
    one.writes[-1, 0] = 7


@lying("has a code of a map of 256, outside 0 … 255")
def a_code_too_wide(one: Truth) -> None:
    one.writes[3, 3] = 256


@lying(r"has a logit of 2,147,483,648, outside ")
def a_logit_too_wide(one: Truth) -> None:
    one.logits[2] = 1 << 31


@lying("says that class ")
def another_class(one: Truth) -> None:
    one.logits[(one.head["argmax"] + 1) % 4] = 1 << 30


@lying("has counters that run backwards")
def time_that_runs_backwards(one: Truth) -> None:
    one.counters[0, 0] = 1 << 20


@lying("has a counter of ")
def more_waits_than_cycles(one: Truth) -> None:
    one.counters[-1, COUNTERS.index("in_wait")] = one.head["cycles"] + 1


@lying("has a counter of columns of 1, outside 0 … 0")
def a_column_skipped_without_skipping(one: Truth) -> None:
    one.counters[-1, COUNTERS.index("skipped")] = 1


@lying("ended with status 7, which there is not")
def an_unknown_status(one: Truth) -> None:
    one.head["status"] = 7


@lying("ended with status 6, which there is not")
def a_wrong_word_without_check_bits(one: Truth) -> None:
    one.head["status"] = 6


@lying(r"ran out of [\d,]+ cycles at cycle ")
def out_of_cycles_too_early(one: Truth) -> None:
    one.head |= {"status": 255, "probabilities": 0}
    one.probabilities = one.probabilities[:0]


@lying(r"has 9 logits where 4 are the most")
def a_refusal_with_logits(one: Truth) -> None:
    one.head |= {"status": 2, "logits": 9, "probabilities": 0}
    one.logits, one.probabilities = np.zeros(9, "<i8"), one.probabilities[:0]


@pytest.mark.parametrize("name", LIES)
def test_no_value_that_cannot_be_is_believed(name: str) -> None:
    change, says = LIES[name]
    told = Truth(PROGRAM, IMAGE, maps=True)
    change(told)
    engine = liar(message(NUMBER, told.payload()), maps=True)
    # Longer answers are refused for their length, before a byte of them is read.
    refused(engine, f"not to be believed: (its answer {says}|it answers with)", maps=True)


def test_writes_of_maps_that_nobody_asked_for_are_refused() -> None:
    says = "it answers with .* bytes where"
    refused(liar(message(NUMBER, truth(maps=True).payload())), says)


@pytest.mark.parametrize("value", [65537, 1 << 31])
def test_a_probability_is_at_most_one(value: int) -> None:
    told = Truth(PROGRAM, IMAGE)
    told.probabilities[1] = value
    engine = CannedEngine(PROGRAM, at_run(message(NUMBER, told.payload())))
    with pytest.raises(RtlError, match="has a probability of "):
        engine.run(IMAGE)


def test_an_engine_without_the_unit_has_no_probabilities() -> None:
    told = Truth(PLAIN, IMAGE)
    exact_logits = CannedEngine(PLAIN, at_run(message(NUMBER, told.payload()))).run(IMAGE).logits
    assert exact_logits.tolist() == told.logits.tolist()
    told.probabilities, told.head["probabilities"] = np.ones(1, "<u4"), 1
    with pytest.raises(RtlError, match="answers with"):
        CannedEngine(PLAIN, at_run(message(NUMBER, told.payload()))).run(IMAGE)


def test_a_memory_that_reads_back_too_long_or_too_short_is_refused() -> None:
    for count in (0, 1, 4095, 1 << 20):

        def reply(number: int, kind: int, count: int = count) -> list[bytes]:
            return [message(number, bytes(8 * count) if kind == COMMANDS["read"] else b"")]

        engine = CannedEngine(PROGRAM, reply)
        with pytest.raises(RtlError, match=r"it answers with .* bytes where"):
            engine.read("weights.mem")


GOOD = message(NUMBER, truth().payload())
HEAD = struct.calcsize("<IIQ")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([GOOD[:-4] + bytes(4)], "it sent an answer whose sum is wrong"),
        ([GOOD[:HEAD] + bytes([GOOD[HEAD] ^ 1]) + GOOD[HEAD + 1 :]], "whose sum is wrong"),
        ([message(NUMBER - 1, truth().payload())], f"of command {NUMBER - 1} at command {NUMBER}"),
        ([message(NUMBER + 1, truth().payload())], "it sent a message of command"),
        ([alive(NUMBER - 1, ALIVE_TICKS)], "it sent a message of command"),
        ([message(NUMBER, b"")], "it answers with 0 bytes where"),
        ([struct.pack("<IIQ", *struct.unpack("<II", GOOD[:8]), 1 << 62)], "bytes where"),
        ([b"\0\0\0\0"], r"it sent what is no message: '\\x00"),
        ([b"hello, world"], "it sent what is no message: 'hello, world'"),
        ([GOOD + b"!"], "it sent 1 bytes that nobody asked for: '!'"),
        ([GOOD + GOOD], "bytes that nobody asked for"),
        ([GOOD + alive(NUMBER, ALIVE_TICKS)], "it sent 16 bytes that nobody asked for"),
        ([alive(NUMBER, 0)], "says that it is at cycle 0 after 0"),
        ([alive(NUMBER, ALIVE_TICKS)] * 2, "says that it is at cycle 16,384 after 16,384"),
        ([lives(NUMBER, 1000)], r"works for [\d,]+ cycles on what takes [\d,]+ at most"),
    ],
)  # fmt: skip
def test_what_is_no_answer_to_this_command_is_refused(words: list[bytes], says: str) -> None:
    refused(liar(*words), f"not to be believed: .*({says})")


def test_an_answer_before_the_question_has_ended_is_refused() -> None:
    def reply(number: int, kind: int) -> list[bytes]:
        return [message(number, b"")]

    with pytest.raises(RtlError, match="it answers before it was asked"):
        CannedEngine(PROGRAM, reply, early=True)


def test_what_comes_behind_an_answer_shifts_no_later_one() -> None:
    """Whether it is there when the next command goes out, or comes after it."""
    engine = CannedEngine(PROGRAM, at_run(GOOD, b"left over"), honest(truth().payload()))
    exact(engine.run(IMAGE))
    refused(engine, "it sent 9 bytes that nobody asked for: 'left over'")

    late = iter([[GOOD], [GOOD, message(NUMBER + 1, truth().payload())]])

    def reply(number: int, kind: int) -> list[bytes]:
        return next(late) if kind == RUN else [message(number, b"")]

    engine = CannedEngine(PROGRAM, reply, honest(truth().payload()))
    exact(engine.run(IMAGE))
    refused(engine, "it sent a message of command")
