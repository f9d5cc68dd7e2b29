"""The coverage report: what it reads, what it adds up, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.rtl.tree import module_file
from tests.rtl.coverage.points import BRANCH, LINE, TOGGLE, CoverageError, Point, merge, read
from tests.rtl.coverage.summary import Explanation, read_explanations, summarize

SOURCE = """module hne_unit;
  if (a) b <= c;
  else if (d) b <= e;
  f <= g;
endmodule
"""


def row(line: int, kind: str, what: str, lines: str, count: int, instance: str = "TOP.u") -> str:
    keys = {
        "f": "/somewhere/hne_unit.v", "l": str(line), "n": "3", "t": "x",
        "page": f"{kind}/hne_unit", "o": what, **({"S": lines} if lines else {}), "h": instance,
    }  # fmt: skip
    return "C '" + "".join(f"\x01{key}\x02{value}" for key, value in keys.items()) + f"' {count}\n"


def sample(d: int, otherwise: int = 1, falls: int = 1) -> str:
    """Counts of a simulation that reached the branch of ``d`` so often."""
    return (
        "# SystemC::Coverage-3\n"
        + row(2, BRANCH, "if", "2", 5)
        + row(3, LINE, "elsif", "3", d)
        + row(3, BRANCH, "else", "", otherwise)
        + row(1, LINE, "block", "1-2,4", 9)
        + row(4, TOGGLE, "f[0]:0->1", "", 1)
        + row(4, TOGGLE, "f[0]:1->0", "", falls)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hne_unit.v").write_text(SOURCE)
    return tmp_path


def test_a_point_has_a_place_a_kind_and_the_lines_that_it_runs() -> None:
    counts = read(sample(d=0))
    assert counts[Point("hne_unit.v", 1, 3, LINE, "block", (1, 2, 4))] == 9
    assert counts[Point("hne_unit.v", 3, 3, BRANCH, "else", (3,))] == 1
    assert counts[Point("hne_unit.v", 4, 3, TOGGLE, "f[0]:1->0")] == 1


def test_instances_and_simulations_add_up() -> None:
    both = row(2, BRANCH, "if", "2", 3) + row(2, BRANCH, "if", "2", 4, "TOP.v")
    (count,) = read(both).values()
    assert count == 7
    (count,) = merge([read(both), read(both)]).values()
    assert count == 14


@pytest.mark.parametrize("text", ["nonsense\n", "C 'x' 1\n", row(1, LINE, "a", "1", 1)[:-4]])
def test_a_file_that_is_cut_off_is_refused(text: str) -> None:
    with pytest.raises(CoverageError, match=r"cut\.dat, line 1"):
        read(text, "cut.dat")


def test_a_line_is_covered_if_all_of_it_ran(folder: Path) -> None:
    assert not summarize(read(sample(d=1)), (), folder).holes
    (hole,) = summarize(read(sample(d=1, otherwise=0)), (), folder).holes
    assert str(hole) == "hne_unit.v:3: else: else if (d) b <= e;"
    (module,) = summarize(read(sample(d=0, falls=0)), (), folder).modules
    assert (module.line.covered, module.line.total) == (3, 4)
    assert (module.toggle.covered, module.toggle.total) == (1, 2)
    assert module.untoggled == ("f[0]:1->0",)


def test_a_hole_needs_a_reason_and_a_reason_a_hole(folder: Path) -> None:
    reason = Explanation("hne_unit.v", "else if (d) b <= e;", "d is tied to 0 by its parent")
    hole, covered = read(sample(d=0)), read(sample(d=1))
    assert summarize(hole, [reason], folder).complaints(50) == []
    (complaint,) = summarize(hole, (), folder).complaints(50)
    assert complaint.startswith("no test covers hne_unit.v:3")
    (complaint,) = summarize(covered, [reason], folder).complaints(50)
    assert "covered or gone: hne_unit.v: else if (d)" in complaint
    gone = Explanation("hne_unit.v", "no such line", "it was there once, long ago")
    assert len(summarize(covered, [gone], folder).complaints(50)) == 1


def test_too_little_is_refused(folder: Path) -> None:
    reason = Explanation("hne_unit.v", "else if (d) b <= e;", "d is tied to 0 by its parent")
    (complaint,) = summarize(read(sample(d=0)), [reason], folder).complaints(95)
    assert complaint == "line coverage 75.0% is below 95%"


def test_a_module_that_nothing_simulates_is_refused(folder: Path) -> None:
    (folder / "hne_other.v").write_text("module hne_other;\nendmodule\n")
    with pytest.raises(CoverageError, match="no simulation has"):
        summarize(read(sample(d=1)), (), folder)


@pytest.mark.parametrize(
    "text", ["[[hole]]\nfile = 'x'\n", "[[hole]\n", "[[hole]]\nfile='x'\ntext='y'\nreason='no'\n"]
)
def test_the_list_has_a_place_and_a_reason_each(tmp_path: Path, text: str) -> None:
    path = tmp_path / "holes.toml"
    path.write_text(text)
    with pytest.raises(CoverageError, match=r"holes\.toml"):
        read_explanations(path)


def test_every_reason_is_about_a_line_that_is_there() -> None:
    for one in read_explanations():
        lines = module_file(one.file.removesuffix(".v")).read_text(encoding="utf-8").splitlines()
        assert one.text in [line.strip() for line in lines], one
