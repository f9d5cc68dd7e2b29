import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.errors import ImageError
from hwsim.rom import memfile
from hwsim.rom.memfile import MemFile


def text_of_line(values: list[int], width: int) -> bytes:
    """The format in one Python integer: the obvious oracle."""
    word = sum((v % (1 << width)) << (k * width) for k, v in enumerate(values))
    return b"%0*x\n" % (-(-len(values) * width // 4), word)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_text_equals_one_big_integer_per_line_and_reads_back(data: st.DataObject) -> None:
    width, signed = data.draw(st.integers(1, 64)), data.draw(st.booleans())
    if not signed:
        width = min(width, 63)
    lines, fields = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 9))
    low, high = (-(1 << width - 1), (1 << width - 1) - 1) if signed else (0, (1 << width) - 1)
    word = st.sampled_from([low, high]) | st.integers(low, high)
    row = st.lists(word, min_size=fields, max_size=fields)
    rows = data.draw(st.lists(row, min_size=lines, max_size=lines))
    file = MemFile("x.mem", lines, fields, width)
    text = b"".join(file.encode(np.array(rows, np.int64)))
    assert text == b"".join(text_of_line(values, width) for values in rows)
    assert len(text) == file.size
    assert file.decode(text, signed=signed).tolist() == rows


def test_chunks_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memfile, "CHUNK_FIELDS", 9)
    values = np.arange(-30, 30).reshape(15, 4)
    file = MemFile("x.mem", 15, 4, 7)
    pieces = list(file.encode(values))
    assert len(pieces) == 8
    assert b"".join(pieces) == b"".join(text_of_line(row, 7) for row in values.tolist())
    assert np.array_equal(file.decode(b"".join(pieces), signed=True), values)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"00\n0g\n", "line 2 is not 2 lower-case hex digits"),
        (b"00\n0A\n", "line 2 is not 2 lower-case hex digits"),
        (b" 0\n00\n", "line 1 is not"),
        (b"00 00\n", "line 1 is not"),
        (b"000\n0\n", "line 1 is not"),
        (b"00\n40\n", "line 2 is wider than 6 bits"),
        (b"00\n", "line 2 is cut off"),
        (b"00\n00", "line 2 is cut off"),
        (b"00\n00\n00\n", "line 3 is cut off, missing or surplus"),
        (b"00\r\n00\r\n", "line 3 is cut off, missing or surplus"),
        (b"", "line 1 is cut off"),
    ],
)
def test_anything_but_well_formed_lines_is_refused_by_line(text: bytes, complaint: str) -> None:
    with pytest.raises(ImageError, match=f"^x.mem {complaint}"):
        MemFile("x.mem", 2, 2, 3).decode(text, signed=False)
