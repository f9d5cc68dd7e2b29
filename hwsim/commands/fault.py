"""`hwsim fault`: campaigns of random faults in the memories of the engine."""

from __future__ import annotations

from pathlib import Path

import click

from hwsim.commands.opening import Opening, opening_options
from hwsim.commands.options import finite, progress_bar, typed_command


def _names(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _rates(_: click.Context, __: click.Parameter, text: str | None) -> tuple[float, ...]:
    try:
        return tuple(dict.fromkeys(float(part) for part in text.split(","))) if text else ()
    except ValueError:
        raise click.BadParameter(f"{text!r}: give probabilities such as 1e-6,1e-5") from None


@click.command("fault")
@click.argument("network", metavar="MODEL_OR_IMAGE")
@click.option(
    "--memory", "memories", callback=_names,
    help="Memories to upset, each for itself: weights, index, scale, bias, program, lut  [default: "
    "of the first four those that the network fills]",
)  # fmt: skip
@click.option(
    "--model", default="uniform", show_default=True,
    help="uniform: single bits; mbu: 2 to 4 neighbouring ones; stuck: at 0 or 1.",
)  # fmt: skip
@click.option(
    "--protect", default="none", show_default=True,
    help="none; of all memories parity, secded; of weights and indices clip, "
    "signature[:G[:BITS]].",
)  # fmt: skip
@click.option(
    "--rate", "rates", callback=_rates, metavar="R[,R…]",
    help="Probability that a bit is upset, above 0 and up to 1.",
)  # fmt: skip
@click.option(
    "--flips", type=click.IntRange(1),
    help="Instead: so many upsets in every trial  [default: 1]",
)  # fmt: skip
@click.option(
    "--trials", type=click.IntRange(2), default=1000, show_default=True,
    help="Most trials of each memory and rate.",
)  # fmt: skip
@click.option(
    "--within", type=click.FloatRange(0, 100), default=0.02, show_default=True, callback=finite,
    help="Stop where the mean accuracy is known to ± so many percentage points; 0: never.",
)  # fmt: skip
@click.option(
    "--images", type=click.IntRange(1),
    help="Test images of every trial, spread evenly over all  [default: 1000]",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True,
              help="Of the faults.")  # fmt: skip
@click.option(
    "--jobs", type=click.IntRange(1, 256), default=1, show_default=True,
    help="Processes that run trials side by side.",
)  # fmt: skip
@click.option("--cluster", help="Dask instead: tcp://HOST:PORT of a scheduler, or local:N.")
@click.option(
    "--store", type=click.Path(path_type=Path), default=Path("runs/faults/rows.sqlite"),
    show_default=True, help="File that keeps finished trials.",
)  # fmt: skip
@click.option(
    "--docs", nargs=2, type=(click.Path(path_type=Path), str), metavar="FILE NAME",
    help="Put the tables into this Markdown file, between the comments of that name.",
)  # fmt: skip
@opening_options
def command(
    network: str,
    memories: tuple[str, ...] | None,
    model: str,
    protect: str,
    rates: tuple[float, ...],
    flips: int | None,
    trials: int,
    within: float,
    images: int | None,
    seed: int,
    jobs: int,
    cluster: str | None,
    store: Path,
    docs: tuple[Path, str] | None,
    opening: Opening,
) -> None:
    """Flip bits in the memories of the engine, again and again, and count what becomes of it.

    Each trial draws faults, runs the test images with them and compares: accuracy, answers that
    change silently, sums that wrap around; by memory, by layer and by bit. docs/faults.md says what
    a fault does. Finished trials are kept: interrupted or killed, the same command goes on.

    \b
    Examples:
      hwsim fault mnist-cnn-h16
      hwsim fault mnist-cnn-h64 --memory index --rate 1e-7,1e-6
      hwsim fault net.hne --model mbu --trials 5000 --cluster tcp://head:8786
      hwsim fault mnist-cnn-h16 --protect signature:128 --flips 20
    """
    source = click.get_current_context().get_parameter_source("jobs")
    if cluster is not None and source is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("--jobs is for processes of this machine: leave it out of --cluster")
    if rates and flips is not None:
        raise click.UsageError("--rate and --flips are two ways to say how many: give one of them")
    if docs is not None:
        from hwsim.files import markdown

        markdown.get(*docs)
    from hwsim.faults.guards import GUARDED, GuardChoice

    GuardChoice.of(protect)  # before a network and its images are read
    with opening.networks(network) as opened:
        from hwsim.studies.runner.executors import chosen
        from hwsim.studies.runner.store import Store
        from hwsim.studies.upsets import output
        from hwsim.studies.upsets.campaign import CampaignPlan, campaign, filled
        from hwsim.studies.upsets.rows import Target, bench

        (subject,) = opened.subjects
        count = subject.count(images, 1000)
        fixed = flips if rates or flips else 1
        choice = opening.choice
        target = Target(
            network, opening.config, opening.bits,
            None if choice.data is None else str(choice.data),
            None if choice.calibration is None else str(choice.calibration),
            choice.bounds, count, protect,
        )  # fmt: skip
        ready = bench(subject, count, protect)
        if memories is None:
            memories = filled(ready.reader)
            if ready.guard is not None:
                memories = tuple(name for name in memories if name in GUARDED)
        plan = CampaignPlan(memories, model, rates, fixed, trials, within / 100, seed)
        plan.check(ready)
    engine = subject.network.program.config
    named = ["fault", subject.network.name, engine.name, f"{engine.act_w}bit", engine.ecc, model]
    named.append(protect.replace(":", "-"))
    # What is as usual has no name, as in the folders of attacks.
    folder, _ = opening.folder("-".join(word for word in named if word not in ("8bit", "none")))
    with (
        Store(store) as kept,
        chosen(jobs, cluster) as (executor, width),
        progress_bar(opening.screen) as bar,
    ):
        task = bar.add_task("", total=None)

        def show(stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=total)

        result = campaign(target, ready, plan, kept, executor, width, show)
    result["command"] = typed_command()
    from hwsim.report.pages import write_json

    paths = {"json": write_json(result, folder / "result.json")}
    opening.keep(result)
    if docs is not None:
        output.put(result, *docs)
    opening.answer.print(output.render(result, paths))
    opened.say(opening.answer)
