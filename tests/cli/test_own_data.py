"""Commands on networks and images of a user: files of others, .npz, folders of pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.cli.conftest import Run, read

SOURCE = """
import torch
from torch import nn


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))


def softmax():
    return nn.Sequential(net(), nn.Softmax(1))


def pair():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    return Pair()


def pixels():
    return nn.Conv2d(1, 1, 3)


def no_module():
    return 3
"""


@pytest.fixture
def net(place: Path) -> str:
    """``file.py:function`` of a small network of (1, 8, 8) images and three classes."""
    (place / "mine.py").write_text(SOURCE)
    return "mine.py:net"


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (24, 1, 8, 8)).astype(np.float32)


@pytest.fixture
def data(place: Path, images: np.ndarray) -> Path:
    """``own.npz`` with 24 images, labels of no meaning."""
    np.savez(place / "own.npz", x=images, y=np.arange(24) % 3)
    return place / "own.npz"


@pytest.fixture
def unlabelled(place: Path, images: np.ndarray) -> Path:
    np.savez(place / "bare.npz", x=images)
    return place / "bare.npz"


def pictures(
    folder: Path, classes: tuple[str, ...] = ("cat", "dog", "eel"), size: tuple[int, int] = (8, 8)
) -> Path:
    random = np.random.default_rng(1)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(3):
            pixels = random.integers(0, 256, size, np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def result_of(place: Path) -> dict[str, Any]:
    (found,) = place.glob("runs/*/result.json")
    return read(found)


def test_a_float_module_is_calibrated_on_the_data_and_says_so(
    run: Run, net: str, data: Path
) -> None:
    code, out, err = run("run", net, "--data", data)
    assert (code, err) == (0, "")
    assert "of 24 test images of own" in out
    assert "note: scales were chosen from all 24 images" in out
    assert "which are also tested" in out
    np.savez("some.npz", x=np.load(data)["x"][:10])
    out = run("run", net, "--data", data, "--calibration", "some.npz").out
    assert "note: scales were chosen from all 10 images of some.npz" in out
    assert "also tested" not in out


def test_without_labels_the_float_networks_answers_are_the_labels(
    run: Run, net: str, unlabelled: Path
) -> None:
    out = run("run", net, "--data", unlabelled).out
    assert "100.00% in float" in out
    assert "it has no labels: the float network's answers stand for them" in out


def test_an_image_without_a_float_network_runs_and_says_so(
    run: Run, net: str, data: Path, unlabelled: Path
) -> None:
    assert run("compile", net, "--data", data).code == 0
    code, out, err = run("run", "net.hne", "--data", unlabelled)
    assert (code, err) == (0, "")
    assert "net: 100.00% in fixed point, of 24" in out
    assert "in float" not in out
    assert "no float network beside it: the image was compiled from mine.py:net" in out
    assert "it has no labels: the engine's answers stand for them" in out
    assert "names no data set: give images with --data" in run("run", "net.hne").line


@pytest.mark.slow
def test_attack_takes_file_and_data_and_the_note_is_in_the_result(
    run: Run, place: Path, net: str, unlabelled: Path
) -> None:
    code, out, err = run(
        "attack", "pgd", "--model", net, "--data", unlabelled, "--eps", "8/255", "--steps", "3"
    )
    assert (code, err) == (0, "")
    assert "24 of bare" in out
    assert "answers stand for them" in " ".join(out.split())
    result = result_of(place)
    assert result["samples"] == 24
    assert result["clean"]["float"] == 1.0
    assert "answers stand for them" in result["dataset"]["note"]
    assert "scales were chosen from" in result["dataset"]["note"]


@pytest.mark.slow
def test_an_attacked_image_has_its_own_arithmetic_for_a_float_network(
    run: Run, net: str, data: Path, unlabelled: Path
) -> None:
    assert run("compile", net, "--data", data).code == 0
    code, out, _ = run("attack", "hfgsm", "--model", "net.hne", "--data", unlabelled, "--eps", 0.1)
    assert code == 0
    assert "net has no float network (the image was compiled from mine.py:net" in " ".join(
        out.split()
    )


@pytest.mark.slow
def test_epsilon_is_in_units_of_the_input_and_the_codes_are_shown(
    run: Run, place: Path, net: str, images: np.ndarray
) -> None:
    np.savez("wide.npz", x=images * 255)
    code, out, _ = run("attack", "hfgsm", "--model", net, "--data", "wide.npz", "--eps", 8)
    assert code == 0
    assert "epsilon is in these units" in out
    result = result_of(place)
    low, high = result["input_range"]
    assert (low, high) == (0.0, pytest.approx(float(images.max()) * 255, rel=0.01))
    step = (high - low) / 255
    assert result["effective_epsilons"] == [pytest.approx(8 // step * step)]
    assert f"{int(8 // step)} " in out


@pytest.mark.slow
def test_detection_takes_its_thresholds_from_images_that_are_not_tested(
    run: Run, place: Path, net: str, unlabelled: Path
) -> None:
    arguments = ("detect", net, "--data", unlabelled, "--attacks", "hfgsm")
    code, out, _ = run(*arguments)
    assert code == 0
    assert "answers stand for them" in " ".join(out.split())
    result = result_of(place)
    assert (result["samples"], result["calibration"]) == (12, 12)
    assert "needs others besides" in run(*arguments, "--samples", 24).line


@pytest.mark.slow
def test_audit_and_transfer_take_own_data(run: Run, net: str, unlabelled: Path) -> None:
    few = ("--images", 4, "--draws", 2, "--steps", 10, "--eps", 0.1)
    code, out, err = run("audit", net, "--data", unlabelled, *few)
    assert (code, err) == (0, "")
    assert "answers stand for them" in " ".join(out.split())
    assert run("compile", net, "--data", unlabelled).code == 0
    chosen = ("--attacks", "fgsm", "--eps", 0.1, "--samples", 6)
    found = run("transfer", "--models", f"{net},other.hne", "--data", unlabelled, *chosen)
    assert "other.hne" in found.line  # which is not there
    Path("net.hne").rename("other.hne")
    found = run("transfer", "--models", f"{net},other.hne", "--data", unlabelled, *chosen)
    assert (found.code, found.err) == (0, "")
    assert "answers stand for them" in " ".join(found.out.split())


def test_timing_counts_what_others_made(run: Run, net: str, data: Path) -> None:
    code, out, err = run("timing", net, "--data", data)
    assert (code, err) == (0, "")
    assert "cycles" in out
    assert "give some of its inputs (--data x.npz)" in run("timing", net).line


def test_pictures_are_spread_over_the_range_and_classes_are_their_folders(
    run: Run, place: Path, net: str
) -> None:
    folder = pictures(place / "zoo")
    out = run("run", net, "--data", folder).out
    assert "of 9 test images of zoo" in out
    assert "black is 0 and white 1; classes by folder: 0 cat, 1 dog, 2 eel" in out
    numbers = pictures(place / "numbers", ("0", "2"))
    code, out, _ = run("run", net, "--data", numbers, "--range", "-1,1")
    assert code == 0
    assert "black is -1 and white 1" in out
    assert "by folder" not in out
    assert (
        "label 7, the network net answers classes 0 … 2"
        in run("run", net, "--data", pictures(place / "sevens", ("7",))).line
    )


def test_a_network_of_the_zoo_takes_own_digits(run: Run, place: Path) -> None:
    from hwsim.models.datasets.dataset import images_as_float, load_dataset

    digits = load_dataset("mnist", "test").take(20)
    np.savez("digits.npz", x=images_as_float(digits), y=digits.labels)
    out = run("run", "mnist-cnn-h16", "--data", "digits.npz").out
    assert out.startswith("mnist-cnn-h16: ")
    assert "of 20 test images of digits (digits.npz)" in out
    np.savez("raw.npz", x=digits.images, y=digits.labels)
    assert "most values" not in run("run", "mnist-cnn-h16", "--data", "digits.npz").err
    np.savez("loud.npz", x=digits.images | 2, y=digits.labels)
    line = run("run", "mnist-cnn-h16", "--data", "loud.npz").line
    assert "most values of x lie beyond 0 … 1, the range of the network's input" in line


def no_x(place: Path) -> None:
    np.savez(place / "bad.npz", y=np.arange(3))


def nan(place: Path) -> None:
    np.savez(place / "bad.npz", x=np.full((3, 1, 8, 8), np.nan, np.float32))


def pickled(place: Path) -> None:
    np.savez(place / "bad.npz", x=np.array([{}, {}], dtype=object))


def shaped(place: Path) -> None:
    np.savez(place / "bad.npz", x=np.zeros((3, 1, 9, 8), np.float32))


def labelled(place: Path) -> None:
    np.savez(place / "bad.npz", x=np.zeros((3, 1, 8, 8), np.float32), y=np.array([0, 1, 3]))


def negative(place: Path) -> None:
    np.savez(place / "bad.npz", x=np.zeros((3, 1, 8, 8), np.float32), y=np.array([0, 1, -1]))


def short(place: Path) -> None:
    np.savez(place / "bad.npz", x=np.zeros((3, 1, 8, 8), np.float32), y=np.array([0, 1]))


def no_archive(place: Path) -> None:
    (place / "bad.npz").write_bytes(b"PK\x03\x04 not really")


def empty(place: Path) -> None:
    (place / "bad.npz").mkdir()


def uneven(place: Path) -> None:
    pictures(place / "bad.npz")
    Image.new("L", (9, 8)).save(place / "bad.npz" / "dog" / "9.png")


def colours(place: Path) -> None:
    pictures(place / "bad.npz")
    Image.new("RGB", (8, 8)).save(place / "bad.npz" / "dog" / "9.png")


def clear(place: Path) -> None:
    pictures(place / "bad.npz")
    Image.new("RGBA", (8, 8)).save(place / "bad.npz" / "cat" / "0.png")


def text(place: Path) -> None:
    pictures(place / "bad.npz")
    (place / "bad.npz" / "cat" / "0.png").write_text("no picture")


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (no_x, "bad.npz: has no array x"),
        (nan, "bad.npz: x contains NaN or infinity"),
        (pickled, "bad.npz: x holds object, which is not read"),
        (shaped, "x has the shape (3, 1, 9, 8), the network takes (N, 1, 8, 8)"),
        (labelled, "bad.npz: has the label 3, the network net answers classes 0 … 2"),
        (negative, "bad.npz: has the label -1"),
        (short, "bad.npz: y must hold one whole number an image"),
        (no_archive, "bad.npz: is no .npz file, or a damaged one"),
        (empty, "bad.npz: has no pictures: put them into a folder a class"),
        (uneven, "9.png: is 9 x 8, grey"),
        (colours, "9.png: is 8 x 8, RGB"),
        (clear, "0.png: is RGBA: save it as 8-bit grey or RGB"),
        (text, "0.png: is no picture, or a damaged one"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_bad_data_is_one_line(
    run: Run, place: Path, net: str, data: Path, made: Callable[[Path], None], says: str
) -> None:
    if not Path("net.hne").exists():
        assert run("compile", net, "--data", data).code == 0
    made(place)
    assert says in run("run", "net.hne", "--data", "bad.npz").line


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("pair", "CompileError"),
        ("pixels", "CompileError"),
        ("no_module", "returned int: it must return a torch.nn.Module"),
        ("missing", "is no function of it"),
    ],
)
def test_a_function_that_gives_no_logits_is_one_line(
    run: Run, net: str, data: Path, function: str, says: str
) -> None:
    line = run("attack", "hfgsm", "--model", f"mine.py:{function}", "--data", data).line
    if says != "CompileError":
        assert says in line


def test_a_network_of_one_answer_is_run_but_not_attacked(
    run: Run, place: Path, images: np.ndarray
) -> None:
    (place / "one.py").write_text(
        "from torch import nn\n"
        "def one():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 1))\n"
    )
    np.savez("bare.npz", x=images)
    assert "100.00% in float" in run("run", "one.py:one", "--data", "bare.npz").out
    line = run("attack", "hfgsm", "--model", "one.py:one", "--data", "bare.npz").line
    assert "one: answers one value, so there is no other class" in line


def test_probabilities_of_a_module_are_attacked_as_logits(net: str, images: np.ndarray) -> None:
    from hwsim.networks.load import load_model

    x = torch.from_numpy(images)
    model = load_model("mine.py:softmax", data=x)
    assert model.module is not None
    logits = load_model(net, data=x).module(x)
    found = model.module(x)
    torch.testing.assert_close(found - found[:, :1], logits - logits[:, :1])


@pytest.mark.slow
def test_an_export_for_one_image_answers_any_number_of_them(
    run: Run, place: Path, images: np.ndarray, unlabelled: Path
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)).eval()
    exported = torch.export.export(net, (torch.from_numpy(images[:5]),))
    torch.export.save(exported, "five.pt2")
    code, out, err = run("run", "five.pt2", "--data", unlabelled)
    assert (code, err) == (0, "")
    assert "100.00% in float, of 24" in out


def test_compile_names_the_image_after_the_network(run: Run, net: str, data: Path) -> None:
    assert run("compile", net, "--data", data).out.startswith("net.hne: ")
    manifest = json.loads(Path("net.hne/manifest.json").read_text())
    assert manifest["provenance"]["model"] == "mine.py:net"


def test_run_writes_its_accuracy_as_json_and_in_robustbenchs_keys(run: Run, tmp_path: Path) -> None:
    from tests.importer import onnx_files

    path, data, told = (
        onnx_files.qdq(tmp_path / "net.onnx"),
        tmp_path / "d.npz",
        tmp_path / "r.json",
    )
    x = np.random.default_rng(0).random((20, 3, 6, 6)).astype(np.float32)
    np.savez(data, x=x, y=np.zeros(20, np.int64))
    code, out, _ = run("run", path, "--data", data, "--json", told)
    assert code == 0
    found = json.loads(told.read_text())
    assert f"{100 * found['accuracy']['engine']:.2f}% in fixed point" in out
    entries = {one["hwsim_machine"]: one for one in found["robustbench"]}
    assert entries.keys() == {"engine", "float"}
    assert entries["engine"]["clean_acc"] == f"{100 * found['accuracy']['engine']:.2f}"
    assert "external" not in entries["engine"]


def test_channels_that_stand_last_are_told_from_another_shape(
    run: Run, place: Path, net: str, data: Path
) -> None:
    assert run("compile", net, "--data", data).code == 0
    np.savez("last.npz", x=np.load(data)["x"].transpose(0, 2, 3, 1))
    assert run("run", "net.hne", "--data", "last.npz").line.endswith(
        "x has the shape (24, 8, 8, 1), the network takes (N, 1, 8, 8): its channels stand last, "
        "so give x.transpose(0, 3, 1, 2)"
    )
    np.savez("other.npz", x=np.zeros((3, 9, 9, 1), np.float32))
    assert run("run", "net.hne", "--data", "other.npz").line.endswith("takes (N, 1, 8, 8)")


@pytest.mark.slow
def test_pairs_of_classes_are_studied_on_own_networks_and_images(
    run: Run, net: str, data: Path, place: Path
) -> None:
    code, out, err = run("jsma-study", "--model", net, "--data", data, "--per-class", 2)
    assert (code, err) == (0, "")
    result = result_of(place)
    assert result["classes"] == ["0", "1", "2"]
    assert result["samples"] == 6
    assert result["dataset"]["source"].endswith("own.npz")
    assert "scales were chosen from all 24 images" in out


def test_a_class_without_images_is_one_line(run: Run, net: str, place: Path) -> None:
    two = pictures(place / "photos", ("cat", "dog"))
    code, out, err = run("jsma-study", "--model", net, "--data", two, "--per-class", 1)
    assert (code, out) == (2, "")
    assert "gives none of class 2" in err
    code, _, err = run("jsma-study", "--model", net, "--data", two, "--per-class", 4)
    assert code == 2
    assert "gives 1 to 3 of class cat" in err
    assert len(err.splitlines()) == 1
