"""make hostile, small: what it runs for minutes, with one seed and few cases; and its command."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.artefact import Artefact
from tests.hostile.artefacts import Card
from tests.hostile.command import main
from tests.hostile.damage import Outcomes, case, cases
from tests.hostile.kinds import KINDS, MODELS
from tests.hostile.mutations import Files


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_mutated_file_is_refused_in_one_line_or_means_what_it_meant(
    kind: type[Artefact], tmp_path: Path
) -> None:
    found = cases(kind(tmp_path), 18, 150)
    assert found.findings == []
    assert found.refused + found.same + found.forged == 150
    assert found.refused
    assert found.same + found.forged


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.name)
def test_a_mutated_model_is_refused_in_one_line_or_read_as_what_it_says(
    kind: type[Artefact], tmp_path: Path
) -> None:
    found = cases(kind(tmp_path), 18, 60)
    assert found.findings == []
    assert found.refused + found.same + found.forged == 60
    assert found.refused
    assert found.same + found.forged


def test_a_reader_that_believes_everything_is_found(tmp_path: Path) -> None:
    class Naive(Card):
        def read(self, folder: Path) -> Any:
            return (folder / "net.json").read_bytes()

    class Rude(Card):
        def read(self, folder: Path) -> Any:
            if (folder / "net.json").read_bytes() != self.files["net.json"]:
                raise KeyError("net")
            return None

    naive, rude = Naive(tmp_path / "a"), Rude(tmp_path / "b")
    said = cases(naive, 1, 30).findings
    assert any("accepted in another meaning" in line for line in said)
    assert any("KeyError" in line for line in cases(rude, 1, 30).findings)


def test_a_case_is_the_same_again(tmp_path: Path) -> None:
    seen: list[Files] = []

    class Seen(Card):
        def place(self, files: Mapping[str, bytes]) -> None:
            super().place(files)
            seen.append(dict(files))

    kind = Seen(tmp_path)
    runs = []
    for _ in range(2):
        seen.clear()
        for number in range(20):
            case(kind, random.Random(f"5 {number}"), Outcomes())
        runs.append(list(seen))
    assert runs[0] == runs[1]
    assert len({data["net.json"] for data in runs[0]}) > 10


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--minutes", "soon"], "MINUTES must be a number from 0, got 'soon'"),
        (["--only", "nothing"], "unknown ONLY 'nothing': choose an area (mutations"),
        (["--docs", "--only", "cards"], "--docs is for whole areas: leave --only out, or name"),
    ],
)
def test_a_wrong_argument_is_one_line_and_exit_code_2(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"hostile: {reason}")
    assert printed.count("\n") == 1
