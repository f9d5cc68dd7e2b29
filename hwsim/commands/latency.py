"""`hwsim attack latency`: images on which an engine that skips zeros takes longest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from hwsim.commands.data_options import MODEL
from hwsim.commands.opening import Opening, opening_options
from hwsim.commands.options import finite, progress_bar, skip_option, typed_command, widest
from hwsim.report import budgets
from hwsim.runs import latency_catalog as known


def _positive(context: click.Context, option: click.Parameter, value: float | None) -> float | None:
    """Callback: a number above 0, None where none was typed."""
    return None if value is None else finite(context, option, value)


@click.command("latency", short_help=known.TITLE)
@click.option(
    "--model", default=known.MODEL, show_default=True, help=f"{MODEL[0].upper()}{MODEL[1:]}."
)
@click.option("--eps", help=f"Budgets, separated by commas.  [default: {known.BUDGETS}]")
@click.option(
    "--samples",
    type=click.IntRange(1),
    help=f"Test images, spread evenly over all  [default: {known.SAMPLES}]",
)
@skip_option
@click.option(
    "--objective",
    type=click.Choice(known.OBJECTIVES),
    default="cycles",
    show_default=True,
    help="What is to rise.",
)
@click.option(
    "--keep-answer/--any-answer",
    default=False,
    show_default=True,
    help="Only images that are answered as the clean one.",
)
@click.option(
    "--surrogate",
    type=click.Choice(known.SURROGATES),
    default="engine",
    show_default=True,
    help="Whose density is climbed: the engine's, or the float network's.",
)
@click.option(
    "--density",
    type=click.Choice(known.DENSITIES),
    default="sums",
    show_default=True,
    help="Of the engine: a logistic function of the sums in front of the clamp, or x²/(x²+σ) of "
    "the codes (Cinà et al. 2022).",
)
@click.option(
    "--width",
    type=click.FloatRange(0, 1e6, min_open=True),
    default=known.WIDTH,
    show_default=True,
    callback=finite,
    help="How smooth the density is, in codes.",
)
@click.option(
    "--steps",
    type=click.IntRange(0, 100_000),
    default=known.STEPS,
    show_default=True,
    help="Gradient steps.",
)
@click.option(
    "--queries",
    type=click.IntRange(0, 1_000_000),
    default=known.QUERIES,
    show_default=True,
    help="Squares that are tried on the cycle counter behind them.",
)
@click.option(
    "--step-size",
    type=float,
    callback=_positive,
    help="Step, 0 … 1 of a pixel's range  [default: 2.5 ε/steps]",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    show_default=True,
    help="Of the random draws.",
)
@opening_options
def latency(
    *, model: str, eps: str | None, samples: int | None, skip: bool, opening: Opening, **chosen: Any
) -> None:
    """Images within ε on which an engine that skips zeros takes longest.

    An engine with --skip leaves out codes that are 0, so its cycles depend on the image. Sign steps
    climb a smooth density of the layers that skip, then a search on the exact cycle counter goes
    on. Beside it: noise within ε, the float network's density, images of one value or of noise.

    Interrupted, the same command goes on where it stopped.

    \b
    Examples:
      hwsim attack latency --skip
      hwsim attack latency --skip --model lenet5 --eps 0.3 --keep-answer
      hwsim attack latency --skip --objective energy --steps 10 --samples 20
    """  # fmt: skip
    spent = budgets.parse(known.BUDGETS if eps is None else eps, "linf", widest(model))
    with opening.networks(model) as opened:
        from hwsim.report.latency_report import render_screen, write
        from hwsim.runs.latency import LatencyRequest, LatencyRun

        (subject,) = opened.subjects
        network = subject.network
        if skip:
            network = replace(network, program=network.program.skipping())
        low, high = opened.bounds
        # Budgets that nobody typed are shares of the input's range.
        unit = high - low if eps is None else 1.0
        settings = LatencyRequest(
            samples=subject.count(samples, known.SAMPLES),
            epsilons=budgets.resolve(spent, network.program.input_shape, unit),
            command=typed_command(),
            **chosen,
        )
        run = LatencyRun(settings, network, subject.test)
    folder, partial = opening.folder(run.name)
    with progress_bar(opening.screen) as bar:
        task = bar.add_task(f"latency on {network.name}", total=len(run.inputs))
        rows = run.run(partial, lambda done: bar.update(task, completed=done))
    with opening.screen.status("drawing"):
        result = run.result(rows)
        paths = write(result, run.examples(), folder)
        opening.keep(result)
        partial.unlink(missing_ok=True)
    render_screen(result, opening.answer, paths)
    opened.say(opening.answer)
