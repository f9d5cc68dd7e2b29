"""`hwsim safecompress`: sparse training steered by membership attacks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwsim.commands import training_options as options
from hwsim.commands.options import (
    json_option,
    message_console,
    progress_bar,
    result_console,
)

if TYPE_CHECKING:
    from hwsim.models.recipe import Recipe
    from hwsim.models.train_network import Data
    from hwsim.training.sparse.settings import Settings
    from hwsim.training.sparse.sides import Sides, TargetData

MEMBERS = 5000


@click.command("safecompress")
@click.argument("model")
@click.option(
    "--attacker",
    type=click.Choice(["bmia", "wmia", "mmia"]),
    default="bmia",
    show_default=True,
    help="Who tests the candidates: he sees outputs, or also loss and gradient, or is both.",
)
@click.option(
    "--hashed",
    is_flag=True,
    help="Hash the layers, and move words between them in the place of masks.",
)
@click.option(
    "--density",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.1,
    show_default=True,
    help="Share of the weights that is left.",
)
@click.option(
    "--candidates",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="Masks that each update proposes.",
)
@click.option(
    "--growth",
    type=click.Choice(["random", "gradient"]),
    default="random",
    show_default=True,
    help="Where weights come to life.",
)
@click.option(
    "--period",
    type=click.IntRange(1),
    help="Steps between two updates  [default: two epochs']",
)
@click.option(
    "--trial",
    type=click.IntRange(0),
    default=4,
    show_default=True,
    help="Steps that a candidate learns before its test.",
)
@click.option(
    "--tested",
    type=click.IntRange(10),
    default=500,
    show_default=True,
    help="Members, and as many others, that a test asks about.",
)
@click.option(
    "--members",
    type=click.IntRange(20),
    default=MEMBERS,
    show_default=True,
    help="Training images, drawn; the more, the less there is to infer.",
)
@click.option(
    "--against",
    default="",
    callback=lambda _, __, text: tuple(name.strip() for name in text.split(",")) if text else (),
    help="Also train by these methods and show them beside it, separated by commas: random, "
    "hash-random, untested, dense, one-shot, iterative, hash, regularized.",
)
@options.step_options("the network's", "the network's", "the network's")
@options.seed_option
@options.name_option("MODEL-METHOD")
@json_option
@options.out_option
def command(
    model: str,
    attacker: str,
    hashed: bool,
    density: float,
    members: int,
    against: tuple[str, ...],
    save_as: str | None,
    json_path: Path | None,
    out: Path,
    seed: int | None,
    **given: Any,
) -> None:
    """Train MODEL, a network of the zoo, sparsely from its beginning, as safe as tests make it.

    Optimizer and batches are those of the network's recipe, without shifts and mirrors; the rate of
    learning falls to a tenth after half and again after three quarters of the steps. Every update
    kills the smallest weights and lets others grow, in several ways; each candidate learns a few
    batches, a simulated attacker tries to tell members from others, and the best task accuracy /
    attack accuracy goes on. The table at the end is another attacker's, on samples that no test has
    seen. Interrupted, the same command goes on.

    \b
    Examples:
      hwsim safecompress lenet5 --density 0.05
      hwsim safecompress lenet5 --hashed --against hash-random,hash
      hwsim safecompress c0 --attacker mmia --epochs 20 --against random,dense
    """
    from hwsim.files.output import prepare_json_path
    from hwsim.models import zoo
    from hwsim.report.pages import prepare_run_directory

    spec = zoo.spec(model)
    prepare_run_directory(out)
    if json_path is not None:
        prepare_json_path(json_path)
    screen = message_console()
    with screen.status("loading torch"):
        from hwsim.training.sparse.network import drawn
        from hwsim.training.sparse.settings import method_of
    seed = spec.recipe.seed if seed is None else seed
    settings = _settings(spec.recipe, seed, **given)
    chosen = f"hash-{attacker}" if hashed else attacker
    methods = list(dict.fromkeys((chosen, *against)))
    for method in methods:
        method_of(method, settings)
    data, sides = drawn(options.load_data(screen, spec.dataset), members, seed)
    title = save_as or f"{model}-{chosen}"
    titles = {method: title if method == chosen else f"{title}-{method}" for method in methods}
    for method in methods:
        _train(model, method, data, sides, out, settings, titles[method], density, seed)
    _close(titles, data, sides.judge, out, density, seed, json_path)


def _settings(recipe: Recipe, seed: int, **given: Any) -> Settings:
    """The network's own recipe without what is done to images: members are asked about as they
    are. Nor with Muon, whose steps move weights that a mask holds at 0, nor a second cycle.
    """
    from hwsim.training.sparse.settings import Settings

    steps = options.given(**{key: given.pop(key) for key in ("epochs", "batch", "lr")})
    steps |= {"seed": seed, "shift": 0, "flip": False, "precision": "float32"}
    steps |= {"muon": None, "restart": None}
    return Settings(recipe=dataclasses.replace(recipe, **steps), **given)


def _train(
    model: str, method: str, data: Data, sides: TargetData, out: Path, settings: Settings,
    title: str, density: float, seed: int,
) -> None:  # fmt: skip
    from hwsim.training.finetuning import folder_of
    from hwsim.training.sparse.network import compress_network

    epochs, steps = settings.recipe.epochs, -(-len(data.learn) // settings.recipe.batch)
    screen = message_console()
    with progress_bar(screen) as bar:
        task = bar.add_task(title, total=epochs * steps)

        def on_step(epoch: int, step: int, loss: float, what: str) -> None:
            text = f"{title} epoch {epoch + 1}/{epochs} loss {loss:.3f} {what}"
            bar.update(task, description=text, completed=epoch * steps + step + (not what))

        compress_network(
            model, method, data, sides, folder_of(out), settings, save_as=title,
            density=density, seed=seed, on_step=on_step,
        )  # fmt: skip


def _close(
    titles: dict[str, str], data: Data, pair: Sides, out: Path, density: float, seed: int,
    json_path: Path | None,
) -> None:  # fmt: skip
    from hwsim.models import zoo
    from hwsim.report.pages import write_json
    from hwsim.report.safecompress_report import render_screen
    from hwsim.runs.safecompress import judged

    screen = message_console()
    rows: dict[str, Any] = {}
    for method, title in titles.items():
        with screen.status(title) as status:
            rows[title] = judged(
                str(out / title), pair, seed=seed,
                on_part=lambda what, title=title: status.update(f"{title}, {what}"),  # type: ignore[misc]
            )  # fmt: skip
        card = zoo.card(title, out)
        rows[title] |= {"method": method, "left": card.recipe["sparse"]["weights"]}
    result = {
        "networks": rows, "density": density, "seed": seed, "judged_on": len(pair),
        "members": len(data.learn), "dataset": data.learn.about, "note": data.notes,
    }  # fmt: skip
    if json_path is not None:
        write_json(result, json_path)
    render_screen(result, result_console(), out)
