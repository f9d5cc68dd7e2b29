"""`hwsim attack bfa` and `hwsim attack tbfa`: the worst bits of a network's memories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from hwsim.commands.data_options import MODEL
from hwsim.commands.opening import Opening, opening_options
from hwsim.commands.options import finite, parse_names, progress_bar, typed_command
from hwsim.runs.flip_catalog import FLIPS, IMAGES, K_TOP, KNOWS, MOST, REACHED, SAMPLES, SLOPES

_EVERY: list[Callable[[Any], Any]] = [
    click.option(
        "--model", default="mnist-cnn-h64", show_default=True,
        help=f"{MODEL[0].upper()}{MODEL[1:]}.",
    ),
    click.option(
        "--memory", "memories", default="weights", show_default=True, callback=parse_names,
        help="What is flipped on the engine: weights, index, or both with a comma.",
    ),
    click.option(
        "--protect", default="none", show_default=True,
        help="What guards them: none, parity, secded, clip, signature[:G[:BITS]].",
    ),
    click.option(
        "--attacker", type=click.Choice(KNOWS),
        help="What he knows of what guards a memory: adaptive, all; keyless, all but the key of a "
        "signature; blind, nothing  [default: adaptive]",
    ),
    click.option(
        "--images", type=click.IntRange(1), default=IMAGES, show_default=True,
        help="Training images that the attacker sees, a batch.",
    ),
    click.option(
        "--batches", type=click.IntRange(1, 100), default=1, show_default=True,
        help="Searches, each from other images: flips depend on them.",
    ),
    click.option(
        "--k-top", type=click.IntRange(0), default=K_TOP, show_default=True,
        help="Words with the largest gradients that are looked at in each layer, 0 for all.",
    ),
    click.option(
        "--gradient", type=click.Choice(SLOPES), default=SLOPES[0], show_default=True,
        help="What says which bits of the engine are tried. ste-bfloat16: faster on processors "
        "that have it, rounded; what a tried bit does is exact with either.",
    ),
    click.option(
        "--max-flips", "most", type=click.IntRange(1), default=MOST, show_default=True,
        help="Bits after which a search gives up.",
    ),
    click.option(
        "--samples", type=click.IntRange(1),
        help=f"Test images that judge, spread evenly over all  [default: {SAMPLES}]",
    ),
]  # fmt: skip


def _share(ctx: click.Context, option: click.Parameter, value: float | None) -> float | None:
    """Callback: a share of images, None where none was typed."""
    return None if value is None else finite(ctx, option, value)


def _stop(help: str) -> Callable[[Any], Any]:
    return click.option("--stop", type=click.FloatRange(0, 1), callback=_share, help=help)


def _every(function: Any) -> Any:
    made = opening_options(function)
    for option in reversed(_EVERY):
        made = option(made)
    return made


@click.command("bfa", short_help=FLIPS["bfa"].title)
@_stop("Accuracy at which a search ends  [default: 1.1 times guessing, 0.11 of ten classes]")
@_every
def bfa(**chosen: Any) -> None:
    """Flip bits of a network's memories until it recognizes nothing: the bit-flip attack.

    Progressive bit search (Rakin et al. 2019): in each layer the best bit of the words with the
    largest gradients is tried, the worst of them is kept, and so on. On the engine in weights.mem
    or index.mem, in float in 32-bit words, exponents included. As many random flips stand beside.

    Interrupted, the same command goes on behind the last flip; with more --batches it adds them.

    \b
    Examples:
      hwsim attack bfa
      hwsim attack bfa --model mnist-cnn-h16 --memory index --batches 5
      hwsim attack bfa --model resnet20 --bits 4 --max-flips 50
      hwsim attack bfa --model mnist-cnn-h16 --protect secded --attacker blind
    """
    _run("bfa", **chosen)


@click.command("tbfa", short_help=FLIPS["tbfa"].title)
@click.option("--target", type=int, required=True, help="The class that images are taken for.")
@click.option("--source", type=int, help="Only images of this class; of all others unless given.")
@click.option("--image", type=int, help="Only this test image, by its number.")
@click.option(
    "--others/--no-others",
    default=False,
    show_default=True,
    help="Whether all other images are to be recognized as before.",
)
@_stop(f"Share of the images aimed at with which a search ends  [default: {REACHED}]")
@_every
def tbfa(**chosen: Any) -> None:
    """Flip bits until images are taken for a class: the targeted bit-flip attack.

    T-BFA (Rakin et al. 2020): all classes to one; with --source one class to another, with --image
    a single image. With --others the rest is to stay as it is.

    Interrupted, the same command goes on behind the last flip; with more --batches it adds them.

    \b
    Examples:
      hwsim attack tbfa --target 3
      hwsim attack tbfa --target 3 --source 8 --others
      hwsim attack tbfa --target 3 --image 17 --memory weights,index
    """
    if chosen["source"] is not None and chosen["image"] is not None:
        raise click.UsageError("--source is of many images: leave it out of --image")
    _run("tbfa", **chosen)


def _run(attack: str, *, model: str, samples: int | None, opening: Opening, **chosen: Any) -> None:
    from hwsim.faults.guards import GuardChoice

    GuardChoice.of(chosen["protect"])  # before a network and its images are read
    with opening.networks(model) as opened:
        from hwsim.report.flip_report import render_screen, write
        from hwsim.runs.flips import FlipRequest, FlipSearch

        (subject,) = opened.subjects
        settings = FlipRequest(
            attack=attack,
            samples=subject.count(samples, SAMPLES, spare=True),
            command=typed_command(),
            **chosen,
        )
        search = FlipSearch(
            settings, subject.network, subject.test, lambda: subject.training(settings.samples)
        )
    folder, partial = opening.folder(search.name)
    with progress_bar(opening.screen) as bar:
        task = bar.add_task(attack, total=settings.most)

        def show(side: str, batch: int, flips: int, score: float | None) -> None:
            shown = "" if score is None else f", {100 * score:.1f}%"
            bar.update(task, description=f"{side}, batch {batch + 1}{shown}", completed=flips)

        found = search.run(partial, show)
    with opening.screen.status("drawing"):
        result = search.result(found)
        paths = write(result, folder)
        opening.keep(result)
    render_screen(result, opening.answer, paths)
    opened.say(opening.answer)
