"""The drawing of an imported graph: straight lines to the row above, lanes for all that skips."""

from __future__ import annotations

from hwsim.report.import_report import HEIGHT, LANE, drawing, headline, layers_by_node, rounding

MIDDLE = HEIGHT // 2


def test_a_chain_is_one_line() -> None:
    rows, width = drawing([[], [0], [1]])
    upper, lower = f"M{LANE} 0V{MIDDLE}", f"M{LANE} {MIDDLE}V{HEIGHT}"
    assert rows == [[lower], [upper, lower], [upper]]
    assert width == 2 * LANE


def test_what_skips_rows_leaves_passes_and_arrives_in_one_lane() -> None:
    rows, width = drawing([[], [0], [1], [2, 0]])
    x = 2 * LANE
    lane = [[path for path in row if str(x) in path.replace(str(MIDDLE), "")] for row in rows]
    assert [len(paths) for paths in lane] == [1, 1, 1, 1]
    assert lane[0][0].startswith(f"M{LANE} {MIDDLE}C{x}")
    assert lane[1] == lane[2] == [f"M{x} 0V{HEIGHT}"]
    assert lane[3][0].endswith(f"{LANE} {MIDDLE}")
    assert width == 3 * LANE


def test_skips_share_a_lane_only_where_they_do_not_cross() -> None:
    after_each_other = [[], [0], [1, 0], [2], [3, 2]]
    assert drawing(after_each_other)[1] == 3 * LANE
    across = [[], [0], [1], [2, 0], [3, 1]]
    assert drawing(across)[1] == 4 * LANE


def test_a_layer_that_reads_only_what_stands_higher_has_no_line_above() -> None:
    rows, _ = drawing([[], [0], [0]])
    assert f"M{LANE} 0V{MIDDLE}" not in rows[2]
    assert f"M{LANE} {MIDDLE}V{HEIGHT}" not in rows[1]


def test_layers_stand_at_their_nodes_even_where_names_repeat() -> None:
    graph = [{"name": name} for name in ("x", "a", "b", "b")]
    layers = [{"name": "a", "lsb": 1}, {"name": "b", "lsb": 2}]
    assert layers_by_node(graph, layers) == [None, *layers, None]


def test_a_layer_is_counted_for_the_model_that_explains_most() -> None:
    run = {"layers": [{"rounds_as": ["one", "two"]}, {"rounds_as": ["two"]}, {"rounds_as": []}]}
    assert rounding(run, {"one": "once", "two": "twice"}) == [
        "2 of 3 layers round twice", "1 of 3 in no way that hwsim knows"
    ]  # fmt: skip


def test_the_headline_says_why_there_is_no_comparison() -> None:
    missing = {"missing": "QONNX is not installed", "runtimes": [], "images": 3}
    assert "QONNX is not installed" in headline({"comparison": missing})
    assert "no runtime of its own" in headline({})
    failed = {"missing": "", "images": 3, "runtimes": [{"name": "a", "error": "no"}]}
    assert headline({"comparison": failed}) == "No runtime runs the file."
