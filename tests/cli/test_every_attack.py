"""Each attack of the catalogue through the command line: one shape of result, any norm."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hwsim.networks.open import Network
from hwsim.report.schema import PAIRS
from hwsim.runs.attack_catalog import ENTRIES
from tests.cli.conftest import Run, read

#: Options that make an attack quick; success is other tests' business.
QUICK: dict[str, tuple[str, ...]] = {
    "bim": ("--steps", "2"),
    "pgd": ("--steps", "2"),
    "mifgsm": ("--steps", "2", "--transforms", "ni,sim"),
    "sfgrm": ("--steps", "2", "--neighbours", "2"),
    "jsma": ("--eps", "2,1%"),
    "hjsma": ("--eps", "1%,inf"),
    "cw-l2": ("--steps", "5", "--binary-search-steps", "2", "--eps", "1,inf"),
    "cw-l0": ("--steps", "5", "--largest-const", "0.01", "--eps", "5%,inf"),
    "cw-linf": ("--steps", "5", "--largest-const", "0.01", "--eps", "0.3,inf"),
    "apgd": ("--steps", "2", "--eps", "0.1,0.3"),
    "apgd-t": ("--steps", "2", "--targets", "2", "--eps", "0.1,0.3"),
    "fmn": ("--steps", "5", "--eps", "1,inf"),
    "ddn": ("--steps", "5", "--eps", "1,inf"),
    "sigma-zero": ("--steps", "5", "--eps", "5%,inf"),
    "alma": ("--steps", "5", "--eps", "1,inf"),
    "fab": ("--steps", "2", "--eps", "0.3,inf"),
    "autoattack": ("--steps", "2", "--targets", "2", "--queries", "3", "--eps", "0.3"),
    "square": ("--steps", "5", "--eps", "0.3"),
    "decision": ("--steps", "1", "--evaluations", "5", "--eps", "3,inf"),
    "noise": ("--draws", "2", "--eps", "0.3"),
}


def no_constant(text: str) -> Any:
    raise AssertionError(f"{text} is no JSON")


@pytest.mark.slow
@pytest.mark.parametrize("name", ENTRIES)
def test_an_attack_leaves_the_same_shape_whatever_it_is(
    run: Run, place: Path, offered: Network, name: str
) -> None:
    command = ("attack", name, "--model", "small", "--samples", "4", "--json", "out.json")
    code, out, err = run(*command, *QUICK.get(name, ("--eps", "0.1,0.3")))
    assert (code, err) == (0, "")
    assert all(len(line) <= 100 for line in out.splitlines())
    text = (place / "out.json").read_text()
    result = json.loads(text, parse_constant=no_constant)
    count = len(result["epsilons"])
    assert result["norm"] == ENTRIES[name].norm
    assert result["values"] == 784
    for table in ("success", "interval", "success_escalated"):
        assert result[table].keys() == PAIRS.keys()
        assert all(len(row) == count for row in result[table].values())
    unbounded = any("inf" in part for part in QUICK.get(name, ()))
    assert (result["epsilons"][-1] is None) == unbounded
    if unbounded:
        assert "∞" in out
        assert "∞" in next((place / "runs").rglob("report.html")).read_text()
    for who in ("float", "engine"):
        assert all(passes >= 2 for passes in result["passes"][who]["forward"])
        for mean in result["distortion"][who]:
            assert mean is None or mean.keys() == {"l0", "l1", "l2", "linf"}
    naive = ENTRIES[name].differentiates == "loss"
    assert (result["adaptive"] is not None) == naive
    assert ("margin loss" in out) == naive


@pytest.mark.slow
def test_a_naive_number_stands_beside_that_of_the_margin_loss(
    run: Run, place: Path, offered: Network
) -> None:
    command = ("attack", "hfgsm", "--model", "small", "--samples", "40", "--eps", "0.1,0.2")
    assert run(*command, "--json", "naive.json").code == 0
    assert run(*command, "--loss", "margin", "--json", "margin.json").code == 0
    naive, margin = read(place / "naive.json"), read(place / "margin.json")
    assert margin["adaptive"] is None
    for pair in ("float_float", "engine_engine"):
        assert naive["adaptive"]["success"][pair] == margin["success"][pair]
        assert naive["adaptive"]["interval"][pair] == margin["interval"][pair]


@pytest.mark.slow
def test_a_share_of_the_values_is_a_number_of_them(run: Run, place: Path, offered: Network) -> None:
    command = ("attack", "hjsma", "--model", "small", "--samples", "2", "--json", "out.json")
    assert run(*command, "--eps", "14.5%,1%,7").code == 0
    result = read(place / "out.json")
    assert result["epsilons"] == result["effective_epsilons"] == [7, 113]  # 1% is 7 of 784


@pytest.mark.slow
def test_a_minimizing_attack_can_be_interrupted_and_goes_on(
    run: Run, place: Path, offered: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hwsim.runs import count as counting
    from hwsim.runs import experiment

    monkeypatch.setattr(experiment, "BATCH", 2)
    command = ("attack", "cw-l2", "--model", "small", "--samples", "6", *QUICK["cw-l2"])
    assert run(*command, "--json", "whole.json").code == 0
    write, done = counting.keep, [0]

    def stop(*arguments: Any) -> Any:
        write(*arguments)
        done[0] += 1
        if done[0] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(counting, "keep", stop)
    assert "interrupted" in run(*command).interrupted
    monkeypatch.setattr(counting, "keep", write)
    assert run(*command, "--json", "resumed.json").code == 0
    whole, resumed = read(place / "whole.json"), read(place / "resumed.json")
    for key in ("success", "epsilons", "distortion", "passes"):
        assert whole[key] == resumed[key]


# ---------------------------------------------------------------- models that make no sense


class Odd(nn.Module):
    """What ``answer`` makes of the logits."""

    def __init__(self, module: nn.Module, answer: Any) -> None:
        super().__init__()
        self.module, self.answer = module, answer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.answer(self.module(x))
        return result


@pytest.mark.parametrize("name", ["hfgsm", "pgd", "jsma", "cw-l2", "square", "noise"])
def test_logits_that_are_not_numbers_end_a_run_in_one_line(
    run: Run, offered: Network, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    odd = Odd(offered.module, lambda z: z * math.nan)
    monkeypatch.setitem(offered.__dict__, "module", odd)
    line = run("attack", name, "--model", "small", "--samples", "2").line
    assert "the model returned NaN or infinite logits" in line


@pytest.mark.slow
def test_probabilities_instead_of_logits_are_warned_about(
    run: Run, offered: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = Odd(offered.module, lambda z: z.softmax(1))
    monkeypatch.setitem(offered.__dict__, "module", odd)
    command = ("attack", "hfgsm", "--model", "small", "--samples", "2", "--eps", "0.1")
    with pytest.warns(UserWarning, match="seems to return probabilities, not logits"):
        assert run(*command).code == 0


@pytest.mark.slow
def test_a_network_that_is_always_wrong_has_no_success_to_report(
    run: Run, place: Path, offered: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hwsim.runs.experiment import Experiment

    made = Experiment.__init__

    def mislabelled(self: Experiment, *arguments: Any) -> None:
        made(self, *arguments)
        # The engine's own second choice: both networks are wrong on every image.
        self.labels = self.network.module(self.inputs).argsort(1)[:, 0]

    monkeypatch.setattr(Experiment, "__init__", mislabelled)
    for name in ("hfgsm", "cw-l2"):
        quick = QUICK.get(name, ("--eps", "0.1"))
        command = ("attack", name, "--model", "small", "--samples", "2", "--json", "out.json")
        code, out, _ = run(*command, *quick)
        assert code == 0
        assert "No input was classified correctly, so there is nothing to attack." in out
        result = read(place / "out.json")
        assert result["success"]["engine_engine"][0] is None
        assert result["distortion"]["engine"][0] is None


def test_without_the_toolbox_a_gradient_free_attack_is_one_line(
    run: Run, offered: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "art.estimators.classification.blackbox", None)
    line = run("attack", "square", "--model", "small", "--samples", "2").line
    assert "pip install 'hwsim[blackbox]'" in line


# ---------------------------------------------------------------- detection


@pytest.mark.slow
def test_detection_leaves_a_table_a_picture_and_a_page(
    run: Run, place: Path, offered: Network
) -> None:
    code, out, err = run("detect", "small", "--attacks", "hfgsm,jsma", "--samples", "12")
    assert (code, err) == (0, "")
    folder = place / "runs/detect-small-tiny-8bit"
    assert sorted(p.name for p in folder.iterdir()) == ["report.html", "result.json", "result.png"]
    assert "pixel differences" in out
    assert all(len(line) <= 100 for line in out.splitlines())
    json.loads((folder / "result.json").read_text(), parse_constant=no_constant)


def test_detection_of_an_unknown_attack_is_refused(run: Run, offered: Network) -> None:
    assert (
        "unknown attack 'x': choose from hfgsm, " in run("detect", "small", "--attacks", "x").line
    )
