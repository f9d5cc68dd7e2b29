"""Readers of memory files by the formats' own descriptions, for tests; nothing of hwsim in them.

Each gives address -> word of a file, and what it says about itself.
"""

from __future__ import annotations

import io
import re

from intelhex import IntelHex

Words = dict[int, int]


def read_mem(text: str) -> Words:
    """$readmemh, IEEE 1364-2005 17.2.8: white space, comments, @addresses, hexadecimal numbers."""
    text = re.sub(r"//.*|/\*.*?\*/", " ", text)
    words, address = {}, 0
    for token in text.split():
        if token.startswith("@"):
            address = int(token[1:], 16)
        else:
            words[address] = int(token.replace("_", ""), 16)
            address += 1
    return words


def read_coe(text: str) -> Words:
    """Vivado, UG896: ``keyword = value ;``, what follows a semicolon on its line is a comment."""
    statements, current = [], ""
    for line in text.splitlines():
        before, semicolon, _ = line.partition(";")
        current += " " + before
        if semicolon:
            statements.append(current)
            current = ""
    assert not current.strip(), "the last statement has no semicolon"
    pairs = (one.partition("=") for one in statements if one.strip())
    said = {key.strip().lower(): value for key, _, value in pairs}
    assert list(said) == ["memory_initialization_radix", "memory_initialization_vector"]
    radix = int(said["memory_initialization_radix"])
    assert radix in (2, 10, 16)
    vector = re.split(r"[,\s]+", said["memory_initialization_vector"].strip())
    return {address: int(word, radix) for address, word in enumerate(vector)}


def read_mif(text: str) -> tuple[Words, int, int]:
    """Quartus' help on .mif: the words, WIDTH and DEPTH."""
    text = re.sub(r"%[^%]*%|--[^\n]*", " ", text)
    head, body = re.fullmatch(r"(.*?)CONTENT\s+BEGIN(.*)END\s*;\s*", text, re.DOTALL).groups()
    said = dict(re.findall(r"(\w+)\s*=\s*(\w+)\s*;", head))
    assert sorted(said) == ["ADDRESS_RADIX", "DATA_RADIX", "DEPTH", "WIDTH"]
    bases = {"BIN": 2, "OCT": 8, "HEX": 16, "UNS": 10}
    at, base = bases[said["ADDRESS_RADIX"]], bases[said["DATA_RADIX"]]
    words: Words = {}
    for statement in filter(str.strip, body.split(";")):
        place, data = statement.split(":")
        values = [int(word, base) for word in data.split()]
        if span := re.fullmatch(r"\[(\w+)\.\.(\w+)\]", place.strip()):
            addresses = range(int(span[1], at), int(span[2], at) + 1)
        else:
            addresses = range(int(place, at), int(place, at) + len(values))
        for n, address in enumerate(addresses):
            assert address not in words
            words[address] = values[n % len(values)]
    return words, int(said["WIDTH"]), int(said["DEPTH"])


def read_quartus_hex(text: str) -> tuple[Words, set[int]]:
    """Intel HEX whose addresses count words, and the bytes of its records.

    intelhex knows the records and their sums; it is asked one record at a time, because to it
    addresses count bytes, and those of neighbouring words would overlap.
    """
    words: Words = {}
    segment, widths = 0, set()
    *lines, last = text.splitlines()
    assert last == ":00000001FF"
    for line in lines:
        count, kind = int(line[1:3], 16), int(line[7:9], 16)
        if kind == 2:
            IntelHex().loadhex(io.StringIO(f"{line}\n{last}\n"))  # refuses a wrong sum
            segment = int(line[9:13], 16)
            continue
        assert kind == 0
        record = IntelHex(io.StringIO(f"{line}\n{last}\n"))
        address = record.minaddr() + 16 * segment
        assert address not in words
        words[address] = int.from_bytes(record.tobinarray().tobytes(), "big")
        widths.add(count)
    return words, widths
