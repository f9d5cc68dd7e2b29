"""Whole runs on a network of vectors whose values reach from -1 to 1: attack, audit, detect, …"""

from __future__ import annotations

import io
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from hwsim.attacks.core.errors import AttackError
from hwsim.audit.attempts import Effort
from hwsim.audit.report import write_audit
from hwsim.audit.suite import Audit, AuditSettings
from hwsim.commands.options import check_widest, parse_epsilons, widest
from hwsim.compiler.compiler import compile
from hwsim.engine.module import Engine
from hwsim.errors import InputError
from hwsim.models.datasets.dataset import Dataset
from hwsim.networks.open import Network
from hwsim.program.wires import Input
from hwsim.report import budgets, detection_report, terminal, transfer_report
from hwsim.report.pages import write_run
from hwsim.runs import experiment
from hwsim.runs.attack_catalog import ENTRIES
from hwsim.runs.classpairs import JsmaStudy, StudySettings
from hwsim.runs.count import count, fingerprint
from hwsim.runs.detection import DetectionStudy
from hwsim.runs.experiment import Experiment
from hwsim.runs.result import build
from hwsim.runs.settings import Request
from hwsim.runs.transfer import TransferSettings, TransferStudy

IMAGES, VALUES = 20, 100
RANGE = [-128 * 2 / 255, 127 * 2 / 255]


@pytest.fixture(scope="module")
def images() -> Dataset:
    """20 images of 10 x 10 pixels, two of each class."""
    noise = np.random.default_rng(0).integers(0, 256, (IMAGES, 1, 10, 10), dtype=np.uint8)
    labels = np.arange(IMAGES) % 10
    return Dataset("mnist", "test", noise, labels, "here", "0" * 64, True)


@pytest.fixture(scope="module")
def network(images: Dataset) -> Network:
    """A random network of vectors that gets them right, for it was made from them."""
    x = torch.from_numpy(images.images).float().flatten(1) / 255
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(VALUES, 60), nn.ReLU(), nn.Linear(60, 10))
    hot = nn.functional.one_hot(torch.from_numpy(images.labels), 10).float()
    with torch.no_grad():
        features = torch.cat([module[:2](x), torch.ones(len(x), 1)], 1)
        fitted = torch.linalg.lstsq(features, 8 * hot, driver="gelsd").solution
        module[2].weight.copy_(fitted[:-1].T)
        module[2].bias.copy_(fitted[-1])
    program = compile(module.eval(), torch.cat([x, -torch.ones_like(x[:1])]))
    assert list(Engine(program).bounds) == pytest.approx(RANGE)
    return Network("vectors", module, program, "mnist")


@pytest.mark.slow
@pytest.mark.parametrize("name", ENTRIES)
def test_every_attack_of_the_catalogue_runs_and_says_the_range(
    name: str,
    network: Network,
    images: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if name in ("square", "decision"):
        pytest.importorskip("art")
    entry = ENTRIES[name]
    quick = {"steps": 3, "tries": 5, "evaluations": 10, "draws": 3, "samples": 1, "queries": 5}
    options = {o.name: quick.get(o.name, o.default) for o in entry.options}
    epsilons = {"linf": (0.1, 1.0), "l2": (2.0, math.inf), "l0": (5.0, 20.0)}[entry.norm]
    request = Request(name, "vectors", epsilons, 8, options=options)
    # What a decision-based attacker owns: training images.
    monkeypatch.setattr(experiment, "load_dataset", lambda name, split: images)
    run = Experiment(request, network, images)
    tally = count(run, tmp_path / "partial.json")
    assert tally.samples == 8
    if run.norm == "linf":
        steps = [math.floor(e * 127.5) for e in epsilons]
        assert list(tally.effective_epsilons) == pytest.approx([s * 2 / 255 for s in steps])
    result = build(run, tally, 1.0)
    assert result["input_range"] == pytest.approx(RANGE)
    if name not in ("fgsm", "cw-l2", "jsma"):
        return  # one report of each norm is enough
    paths = write_run(result, run.examples(), tmp_path / "run")
    assert all(path.exists() for path in paths.values())
    page = next(p for p in paths.values() if p.suffix == ".html").read_text()
    assert ("inputs in -1.004 … 0.9961" in page) == (run.norm != "l0")
    screen = Console(width=200, file=io.StringIO())
    with screen.capture() as told:
        terminal.render_terminal(result, screen, paths)
    assert ("inputs in -1.004 … 0.9961" in told.get()) == (run.norm != "l0")


def test_a_budget_is_told_in_whole_steps_of_the_input() -> None:
    result = {"norm": "linf", "bits": 8, "epsilons": [0.5], "effective_epsilons": [63 * 2 / 255]}
    assert budgets.detail(result | {"input_range": RANGE}, 0) == "63/255"
    assert budgets.detail(result, 0) == "126/255"
    assert budgets.detail_head(result | {"input_range": RANGE}) == "steps\nof 0.007843"
    assert budgets.axis(result) == budgets.AXIS["linf"]


@pytest.mark.slow
def test_the_audit_runs_on_vectors_of_another_range(
    network: Network, images: Dataset, tmp_path: Path
) -> None:
    effort = Effort(epsilons=(0.1, 0.6), steps=10, draws=4, queries=10)
    settings = AuditSettings("vectors", IMAGES, effort)
    one = Audit(settings, network, images, {"float": network.module})
    evidence = one.run(tmp_path / "partial.json")
    result = one.result(evidence)
    assert result["correct"] == IMAGES
    assert result["input_range"] == pytest.approx(RANGE)
    assert "unstable" not in result["raised"]
    unbounded = evidence.attempts["unbounded margin"]
    assert unbounded.epsilons == pytest.approx((2.0,))
    assert unbounded.success[0].count("1") == IMAGES
    assert all(path.exists() for path in write_audit(result, tmp_path / "audit").values())


def test_detection_runs_on_vectors_of_another_range(network: Network, images: Dataset) -> None:
    study = DetectionStudy(network, images, images, ("hfgsm", "jsma"))
    result = study.run()
    row = result["attacks"][0]
    assert row["budget"] == pytest.approx(0.6), "the same share of a range twice as wide"
    assert row["detectors"]["neighbours"]["unaware"]["success"] > 0
    assert result["input_range"] == pytest.approx(RANGE)
    assert detection_report.render(result) is not None


@pytest.mark.slow
def test_transfer_runs_on_vectors_of_another_range(
    network: Network, images: Dataset, tmp_path: Path
) -> None:
    twin = Network("twin", network.module, network.program, "mnist")
    settings = TransferSettings(("fgsm", "mi-dim-tim"), (0.2, 1.5), IMAGES)
    study = TransferStudy(settings, [network, twin], images)
    result = study.result(study.count(tmp_path / "partial.json"))
    counts = result["success"]["fgsm"]["vectors engine"]
    assert counts["vectors engine"] == counts["twin engine"]
    assert counts["vectors engine"][1] > 0
    assert all(p.exists() for p in transfer_report.write_transfer(result, tmp_path / "t").values())


def test_networks_of_different_ranges_do_not_transfer(network: Network, images: Dataset) -> None:
    other = network.program.replace(input=Input((VALUES, 1, 1), Fraction(4, 255), 128))
    twin = Network("twin", network.module, other, "mnist")
    settings = TransferSettings(("fgsm",), (0.2,), IMAGES)
    with pytest.raises(InputError, match="vectors and twin read inputs of other shapes or ranges"):
        TransferStudy(settings, [network, twin], images)
    assert fingerprint(other) != fingerprint(network.program), "their counts are not mixed up"


def test_class_pairs_are_counted_on_vectors_of_another_range(
    network: Network, images: Dataset, tmp_path: Path
) -> None:
    settings = StudySettings("vectors", 1, output="logits")
    study = JsmaStudy(settings, network, images)
    state = study.count(tmp_path / "partial.json")
    assert state["engine"]["correct"] == 10
    assert study.result(state)["machines"]["engine"]["hjsma_success"][-1] > 0


def test_images_of_another_size_are_refused(network: Network, images: Dataset) -> None:
    small = replace(images, images=images.images[:, :, :9])
    with pytest.raises(InputError, match=r"reads inputs of shape \(100, 1, 1\), the images"):
        network.inputs(small)
    with pytest.raises(AttackError, match="the width of the input's range"):
        Experiment(Request("fgsm", "vectors", (2.5,), 8), network, images)


def test_budgets_that_nobody_typed_are_shares_of_the_range() -> None:
    spent = budgets.parse("0.1,inf", "linf")
    assert budgets.resolve(spent, (1, 2, 2), unit=8.0) == (0.8, math.inf)
    assert budgets.resolve(spent, (1, 2, 2)) == (0.1, math.inf)


def test_only_of_an_image_the_largest_epsilon_is_not_known_before_it_is_loaded() -> None:
    assert widest("mnist-cnn", "runs/zoo/mine") == 1.0
    check_widest([0.5, 1.0], "mnist-cnn")
    check_widest([300.0], "mnist-cnn", "small.hne/")
    with pytest.raises(InputError, match="epsilon 3 is outside 0 … 1"):
        check_widest([0.5, 3.0], "mnist-cnn")
    assert parse_epsilons("3,1/2") == [0.5, 3.0]
    with pytest.raises(InputError, match="epsilon 3 is outside 0 … 1"):
        budgets.parse("3", "linf", widest("mnist-cnn"))
    with pytest.raises(click.BadParameter, match="epsilon -1 is outside"):
        parse_epsilons("-1")


def test_shares_that_nobody_typed_are_a_value_at_least() -> None:
    """1% of 64 values is none: the default of an attack on few values was refused by itself."""
    spent = budgets.parse("1%,2.5%,5%,inf", "l0")
    few = budgets.of_default(spent, (1, 8, 8))
    assert budgets.resolve(few, (1, 8, 8)) == (1.0, 3.0, float("inf"))
    many = (1, 28, 28)
    assert budgets.of_default(spent, many) == spent
    with pytest.raises(InputError, match="allows no change"):
        budgets.resolve(spent, (1, 8, 8))
