"""Files for other people's tools on the command line: written whole, or one line and nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hwsim.numbers.config import load_config
from hwsim.rom import image as rom
from tests.cli.conftest import Run
from tests.images import small_program
from tests.vendor_readers import read_mif


@pytest.fixture
def tiny_image(place: Path) -> Path:
    rom.save(small_program(), place / "net.hne")
    return place / "net.hne"


def test_a_line_says_width_and_depth_of_every_ram(run: Run, tiny_image: Path, place: Path) -> None:
    code, out, err = run("rom", "export", "net.hne", "--format", "mif", "-o", "q/mif")
    assert (code, err) == (0, "")
    lines = dict(line.split(": ", 1) for line in out.splitlines())
    assert sorted(lines) == sorted(str(p.relative_to(place)) for p in (place / "q/mif").iterdir())
    for path, said in lines.items():
        words, width, depth = read_mif((place / path).read_text())
        assert said.startswith(f"{width} bits x {depth:,} words, ")
        assert len(words) == depth
    assert lines["q/mif/weights_000.mif"] == "8 bits x 4,096 words, 18 of them used"


def test_the_folder_is_named_after_image_and_format(
    run: Run, tiny_image: Path, place: Path
) -> None:
    assert run("rom", "export", "net.hne", "--format", "coe").code == 0
    assert (place / "net-coe/program.coe").is_file()


def test_bad_input_is_one_line_and_leaves_nothing(run: Run, tiny_image: Path, place: Path) -> None:
    def export(*more: object) -> str:
        return run("rom", "export", *more).line

    assert "x.hne: no such directory" in export("x.hne", "--format", "mem", "-o", "out")
    assert "'srec' is not one of" in export("net.hne", "--format", "srec")
    assert "Missing option '--format'" in export("net.hne")
    (place / "full").mkdir()
    (place / "full/thesis.tex").write_text("…")
    assert "add --force" in export("net.hne", "--format", "hex", "-o", "full")
    assert "thesis.tex" in export("net.hne", "--format", "hex", "-o", "full", "--force")
    (place / "file").write_text("…")
    assert "not a directory" in export("net.hne", "--format", "hex", "-o", "file", "--force")
    words = (tiny_image / "weights.mem").read_bytes()
    (tiny_image / "weights.mem").write_bytes(words[:-1])
    assert "weights.mem" in export("net.hne", "--format", "hex", "-o", "out")
    assert sorted(os.listdir(place)) == ["file", "full", "net.hne"]
    assert os.listdir(place / "full") == ["thesis.tex"]


def test_the_register_map_is_written_and_bad_places_are_one_line(run: Run, place: Path) -> None:
    code, out, err = run("registers", "--format", "rdl", "-o", "a/map.rdl")
    assert (code, out, err) == (0, "a/map.rdl: 52 registers\n", "")
    assert "addrmap hne {" in (place / "a/map.rdl").read_text()
    assert "it is a folder" in run("registers", "--format", "rdl", "-o", "a").line
    assert "'xml' is not one of" in run("registers", "--format", "xml").line
    (place / "html").mkdir()
    assert "add --force" in run("registers", "--format", "html", "-o", "html").line
    assert sorted(os.listdir(place)) == ["a", "html"]


def test_a_network_is_exported_and_compared_in_its_runtime(
    run: Run, tiny_image: Path, place: Path
) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: make test installs it")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: make test does")
    code, out, err = run("export", "net.hne", "--format", "qcdq", "-o", "a/net.onnx")
    assert (code, err) == (0, "")
    first, off, default = out.splitlines()
    size = (place / "a/net.onnx").stat().st_size
    assert first.startswith("a/net.onnx: ")
    assert first.endswith(f" nodes, 177 weights of 8 bits, {size:,} bytes")
    assert off.startswith("on 16 random images, ONNX Runtime, optimizations off: 16 of 16 answers")
    assert "100.00% of the logits the same integer, largest difference " in off
    assert "ONNX Runtime, its default" in default
    onnx.checker.check_model(onnx.load(place / "a/net.onnx"), full_check=True)


def test_an_export_without_its_runtime_says_so(
    run: Run, tiny_image: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed: make test installs it")
    from hwsim.exporter import check

    monkeypatch.setattr(check, "there", lambda module: False)
    out = run("export", "net.hne", "--format", "qonnx").out
    assert (
        "not compared with the engine: qonnx is not installed (pip install 'hwsim[runtimes]')"
        in out
    )
    assert (place / "net.qonnx.onnx").is_file()
    assert "not compared" not in run("export", "net.hne", "--format", "qonnx", "--samples", 0).out


def test_a_bad_export_is_one_line_and_leaves_nothing(
    run: Run, tiny_image: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed: make test installs it")
    from hwsim.exporter import libraries

    wide = load_config("tiny").replace(act_w=9)
    rom.save(small_program(wide), place / "wide.hne")
    qcdq = ("--format", "qcdq", "-o", "out.onnx")
    assert "activations have 9: take --format qonnx" in run("export", "wide.hne", *qcdq).line
    assert "no such directory" in run("export", "x.hne", *qcdq).line
    assert "unknown model 'lenet'" in run("export", "lenet", *qcdq).line
    assert "it is a folder" in run("export", "net.hne", "--format", "qcdq", "-o", "net.hne").line
    assert "'tflite' is not one of" in run("export", "net.hne", "--format", "tflite").line
    assert "-1 is not in the range" in run("export", "net.hne", *qcdq, "--samples", -1).line
    monkeypatch.setattr(libraries, "there", lambda module: False)
    assert "pip install 'hwsim[import]'" in run("export", "net.hne", *qcdq).line
    assert sorted(os.listdir(place)) == ["net.hne", "wide.hne"]
