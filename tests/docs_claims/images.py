"""docs/images.md: limits and constants of the format are those of its reader and writer."""

from __future__ import annotations

from collections.abc import Iterator

from hwsim.numbers.config import EngineConfig
from hwsim.numbers.hashing import PRIME2, PRIME3, PRIME4, PRIME5, ROTATION_SEED_XOR
from hwsim.program.instruction import WORDS_PER_INSTRUCTION
from hwsim.program.proof import MAX_VIRTUAL_WEIGHTS
from hwsim.rom.manifest import FORMAT_VERSION
from hwsim.units import softmax
from tests.docs_claims.page import Page
from tests.property.document_reader import xxhash32


def _claims() -> Iterator[str]:
    words = {16: "Sixteen words an instruction"}
    yield words[WORDS_PER_INSTRUCTION]
    first = int((softmax.EXP_LUT == 0).argmax())
    yield f"0 from n = {first} on"
    schema = EngineConfig.model_json_schema()["properties"]
    for name in ("rows", "cols", "act_w", "mult_w", "prog_depth"):
        yield f"{schema[name]['minimum']} … {schema[name]['maximum']}"
    yield f"at most {schema['banks']['maximum']}"
    yield f"at most 2^{MAX_VIRTUAL_WEIGHTS.bit_length() - 1} each"
    yield f"integer, 1 … 2^{schema['wgt_depth']['maximum'].bit_length() - 1}"
    yield f"`format_version` | {FORMAT_VERSION} |"
    yield f"`lut_tables` | integer, 0 … {schema['lut_tables']['maximum']}"
    state, word = xxhash32((2, 3), 1), xxhash32((3,), 1 ^ ROTATION_SEED_XOR)
    yield f"u of (i, j) = (2, 3) is 0x{state:08X} and v of j = 3 is 0x{word:08X}"
    for prime in (PRIME2, PRIME3, PRIME4, PRIME5, ROTATION_SEED_XOR):
        yield f"0x{prime:08X}"


PAGE = Page("docs/images.md", _claims)
