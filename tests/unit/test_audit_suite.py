"""The audit end to end, on a small network and on the same with an inhibited gradient."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from hwsim import Engine, compile
from hwsim.attacks.pgd import PGD
from hwsim.audit.attempts import LONGEST, Effort, attempt, converge, trials
from hwsim.audit.evidence import GAINED
from hwsim.audit.report import write_audit
from hwsim.audit.suite import Audit, AuditSettings
from hwsim.audit.terminal import render_terminal
from hwsim.defenses.inhibition import inhibit
from hwsim.errors import InputError
from hwsim.models.datasets.dataset import Dataset
from hwsim.models.layers import decode
from hwsim.networks.open import Network
from tests.blobs import blobs, trained

IMAGES = 40
EFFORT = Effort(epsilons=(0.05, 0.1, 0.2), steps=20, draws=40, queries=50)


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    module, images = trained()
    program = compile(module, images[:256])
    return Network("blobs", decode(module).eval(), program, "mnist")


@pytest.fixture(scope="module")
def test_set() -> Dataset:
    images, labels = blobs(IMAGES, seed=2)
    pixels = (images * 255).round().to(torch.uint8).numpy()
    return Dataset("mnist", "test", pixels, labels.numpy(), "drawn here", "0" * 64, False)


def audit(network: Network, data: Dataset, **sources: Any) -> Audit:
    settings = AuditSettings(network.name, IMAGES, EFFORT, "hwsim audit blobs")
    return Audit(settings, network, data, {"float": network.module, **sources})


@pytest.fixture(scope="module")
def undefended(
    network: Network, test_set: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    one = audit(network, test_set)
    return one.result(one.run(tmp_path_factory.mktemp("audit") / "partial.json"))


@pytest.mark.slow
def test_an_undefended_network_raises_no_flag(undefended: dict[str, Any]) -> None:
    findings = {v["key"]: v["finding"] for v in undefended["verdicts"] if v["raised"]}
    assert findings == {}
    assert None not in [v["raised"] for v in undefended["verdicts"]]


@pytest.mark.slow
def test_an_inhibited_network_is_flagged_and_the_worst_case_shows_it(
    network: Network, test_set: Dataset, undefended: dict[str, Any], tmp_path: Path
) -> None:
    program = inhibit(network.program, 3.0, on_overflow="rescale")
    one = audit(replace(network, program=program), test_set, before=Engine(network.program))
    result = one.result(one.run(tmp_path / "partial.json"))
    assert {"zero-gradient", "other-loss-wins", "unbounded-fails"} <= set(result["raised"])
    assert "unstable" not in result["raised"]
    before, after = undefended["bottom_line"][-1], result["bottom_line"][-1]
    assert after["naive"] < before["naive"] - 0.2, "the defense fools the naive attack"
    assert after["worst"] > before["worst"] - 0.1, "and nobody else"


@pytest.mark.slow
def test_the_report_names_every_flag_and_loads_nothing(
    undefended: dict[str, Any], tmp_path: Path
) -> None:
    paths = write_audit(undefended, tmp_path)
    page = paths["html"].read_text(encoding="utf-8")
    for verdict in undefended["verdicts"]:
        assert verdict["title"] in page
    assert "http://" not in page
    assert "https://" not in page
    stored = json.loads(paths["json"].read_text())
    assert stored["bottom_line"] == undefended["bottom_line"]
    assert paths["png"].read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_screen_fits_80_columns(
    undefended: dict[str, Any], encoding: str, tmp_path: Path
) -> None:
    with (tmp_path / "screen").open("w", encoding=encoding) as file:
        render_terminal(undefended, Console(file=file, width=80), {"html": Path("report.html")})
    text = (tmp_path / "screen").read_text(encoding=encoding)
    assert max(map(len, text.splitlines())) <= 80
    for verdict in undefended["verdicts"]:
        assert verdict["key"] in text
    assert "worst case" in text


@pytest.mark.slow
def test_an_interrupted_audit_goes_on_where_it_stopped(
    network: Network, test_set: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial, ran = tmp_path / "partial.json", []
    cheap = ["repeated inference", "saturation and ties", "gradients by loss"]

    def watched(one: Audit, stop_before: str | None) -> Audit:
        def stages() -> Any:
            for stage in list(Audit.stages(one))[: len(cheap)]:
                if stage.name == stop_before:
                    yield replace(stage, run=interrupt)
                else:
                    yield replace(stage, run=spied(stage))

        monkeypatch.setattr(one, "stages", stages)
        return one

    def interrupt(_: Any) -> Any:
        raise KeyboardInterrupt

    def spied(stage: Any) -> Any:
        def run(evidence: Any) -> Any:
            ran.append(stage.name)
            return stage.run(evidence)

        return run

    with pytest.raises(KeyboardInterrupt):
        watched(audit(network, test_set), cheap[2]).run(partial)
    assert ran == cheap[:2]
    evidence = watched(audit(network, test_set), None).run(partial)
    assert ran == cheap
    whole = watched(audit(network, test_set), None).run(tmp_path / "other.json")
    assert evidence.as_dict() == whole.as_dict()
    # What was kept of another network, or in part, is not used.
    other = replace(network, program=inhibit(network.program, 1.0, on_overflow="rescale"))
    ran.clear()
    watched(audit(other, test_set), None).run(partial)
    assert ran == cheap
    partial.write_text("{")
    ran.clear()
    watched(audit(other, test_set), None).run(partial)
    assert ran == cheap


def test_steps_are_doubled_while_that_makes_images_fall(
    network: Network, test_set: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Steps so small that the attack does not get far.
    monkeypatch.setattr(PGD, "reach", 0.3)
    one, steps = audit(network, test_set), 4
    every = trials(one.engine, replace(EFFORT, steps=steps))
    made = next(trial for trial in every if trial.name == "pgd margin")
    before = attempt(made, one.engine, one.inputs, one.labels)
    rows, longer = converge(one.engine, one.inputs, one.labels, "margin", steps, before)
    n = len(one.labels)
    for row, hit, more in zip(rows, before.table, longer.table, strict=True):
        assert row.missed == (~hit).sum()
        assert (more >= hit).all()
        assert more.sum() - hit.sum() >= row.gained
        assert row.steps in (steps, 2 * steps, 4 * steps)
        assert row.gained <= GAINED * n or 2 * row.steps == LONGEST * steps
        # It was doubled again because it had helped.
        if row.steps > steps:
            assert more.sum() - hit.sum() > GAINED * n
    assert any(row.steps > steps for row in rows)


def test_a_network_that_knows_nothing_is_refused(network: Network, test_set: Dataset) -> None:
    program = network.program
    last = replace(program.output, weights=np.zeros_like(program.output.weights))
    blind = replace(network, program=program.replace(layers=(*program.layers[:-1], last)))
    only = replace(test_set, labels=np.full_like(test_set.labels, 9 - int(last.bias.argmax())))
    if int(last.bias.argmax()) == int(only.labels[0]):
        only = replace(only, labels=(only.labels + 1) % 10)
    with pytest.raises(InputError, match="classifies none of 40"):
        audit(blind, only)
