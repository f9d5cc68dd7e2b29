"""The networks that hwsim knows, trained or not, as rows for the terminal and for the docs."""

from __future__ import annotations

from hwsim.files import markdown
from hwsim.models import zoo

HEAD = (
    "network",
    "rate",
    "seed",
    "parameters",
    "float",
    "8 bits",
    "4 bits",
    "expected",
    "training",
)


def share(value: float | None) -> str:
    """0.9921 as 99.21%, None as a dash."""
    return "-" if value is None else f"{100 * value:.2f}%"


def rate(value: float) -> str:
    """1/16 for 0.0625."""
    return "1" if value == 1 else f"1/{1 / value:.4g}"


def rows(dataset: str) -> list[list[str]]:
    """One row for each network of the zoo and each that has a recipe, cells as HEAD names them."""
    trained = [name for name in zoo.names() if zoo.card(name).dataset == dataset]
    known = [name for name, spec in zoo.SPECS.items() if spec.dataset == dataset]
    made = [name for name in trained if name not in known]
    return [_row(name, name in trained) for name in [*known, *made]]


def _row(name: str, trained: bool) -> list[str]:
    spec = zoo.SPECS.get(name)
    accuracies = ["-", "-", "-"]
    parameters = "-"
    if trained:
        card = zoo.card(name)
        fixed = card.fixed_accuracy
        accuracies = [share(v) for v in (card.test_accuracy, fixed.get(8), fixed.get(4))]
        parameters = f"{card.parameters:,}"
        if spec is None:
            text = f"from `{card.recipe['start']}`"
            return [
                f"`{name}`",
                rate(card.rate),
                str(card.seed),
                parameters,
                *accuracies,
                "-",
                text,
            ]
    assert spec is not None
    epochs = f"{spec.recipe.epochs} epochs"
    seconds = "" if spec.epoch_seconds is None else f" of {spec.epoch_seconds:.3g} s"
    return [
        f"`{name}`", rate(spec.rate), str(spec.recipe.seed), parameters, *accuracies,
        share(spec.target or spec.paper_accuracy), epochs + seconds,
    ]  # fmt: skip


def page_table(dataset: str) -> str:
    """The table for docs/networks.md."""
    return markdown.table(HEAD, rows(dataset))
