"""`hwsim attack mia-…`: which images was a network trained on?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from hwsim.commands.data_options import MODEL
from hwsim.commands.opening import Opening
from hwsim.commands.options import (
    bits_option,
    config_option,
    json_option,
    out_option,
    progress_bar,
    skip_option,
    typed_command,
)
from hwsim.runs import membership_catalog as known

_HELP = """{title}

    Members are images that the network was trained on, others those that it never saw: training
    and test images of a network of the zoo, or --members and --others. An attacker learns and
    chooses on a half of each and is judged on the other half.

    Interrupted, the same command goes on where it stopped.

    \b
    Examples:
      hwsim attack {name}
      hwsim attack {name} --model c0 --samples 4000
      hwsim attack {name} --view {views} --bits 4
      hwsim attack {name} --model n.py:f --members m.npz --others o.npz
"""


def _views(_: click.Context, __: click.Parameter, text: str) -> tuple[str, ...]:
    """Callback: ``float,engine`` -> names; click.BadParameter for others."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in found:
        if name not in known.VIEWS:
            raise click.BadParameter(f"{name!r} is none of {', '.join(known.VIEWS)}")
    if not found:
        raise click.BadParameter(f"give at least one of {', '.join(known.VIEWS)}")
    return found


_OPTIONS = [
    click.option(
        "--model", default=known.MODEL, show_default=True, help=f"{MODEL[0].upper()}{MODEL[1:]}."
    ),
    click.option(
        "--members", type=click.Path(path_type=Path, exists=True),
        help="What the network was trained on, of a network without a card: .npz with x and y, or "
        "a folder of pictures by class.",
    ),
    click.option(
        "--others", type=click.Path(path_type=Path, exists=True),
        help="The same of images that it never saw.",
    ),
    click.option(
        "--samples", type=click.IntRange(1),
        help="Members, and as many others, drawn by --seed  "
        f"[default: {known.SAMPLES}, or all of fewer]",
    ),
    click.option(
        "--view", "views", default=",".join(known.USUAL), show_default=True, callback=_views,
        help="What the attacker sees, one or more: float or engine logits, the engine's 16-bit "
        "probabilities, its class alone, or its cycles with --skip.",
    ),
    click.option(
        "--shadows", type=click.IntRange(2, 1024), default=known.SHADOWS, show_default=True,
        help="Shadow models, an even number, of attacks that use them.",
    ),
    click.option(
        "--epochs", type=click.IntRange(1, 10_000), default=known.EPOCHS, show_default=True,
        help="Of attackers that learn; the best on held-out samples is taken.",
    ),
    click.option(
        "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True,
        help="Of halves, shadow models and attackers.",
    ),
    skip_option, config_option, bits_option, json_option, out_option,
]  # fmt: skip


def _make(name: str) -> click.Command:
    def run(**chosen: Any) -> None:
        _run(name, **chosen)

    entries = known.attacks(name)
    title = known.TITLE if name == known.ALL else entries[0].title
    views = "engine,class" if any(one.sees == "class" for one in entries) else "engine"
    made: Any = run
    for decorator in reversed(_OPTIONS):
        made = decorator(made)
    text = _HELP.format(title=title, name=name, views=views)
    return click.command(name, help=text, short_help=title)(made)


COMMANDS = tuple(_make(name) for name in known.NAMES)


def _run(
    name: str,
    *,
    model: str,
    members: Path | None,
    others: Path | None,
    samples: int | None,
    skip: bool,
    config: str | None,
    bits: int | None,
    json_path: Path | None,
    out: Path,
    **chosen: Any,
) -> None:
    from hwsim.networks.subject import DataChoice

    if (members is None) != (others is None):
        raise click.UsageError("--members and --others belong together: give both or none")
    opening = Opening(config, bits, DataChoice(members), json_path, out)
    with opening.networks(model) as opened:
        from hwsim.report.membership_report import render_screen, write
        from hwsim.runs.membership.run import MembershipRequest, MembershipRun
        from hwsim.runs.membership.sides import alike, sides_of_card, sides_of_files

        (subject,) = opened.subjects
        network = subject.network
        if others is None:
            mine, theirs = sides_of_card(model, subject, opened.on_progress)
        else:
            mine, theirs = sides_of_files(model, subject, others)
        if skip:
            network = replace(network, program=network.program.skipping())
        settings = MembershipRequest(
            attack=name, samples=alike(mine, theirs, samples, known.SAMPLES),
            command=typed_command(), **chosen,
        )  # fmt: skip
        run = MembershipRun(settings, network, mine, theirs)
    folder, partial = opening.folder(run.name)
    with progress_bar(opening.screen) as bar:
        task = bar.add_task(f"{name} on {network.name}", total=len(run.jobs))
        rows = run.run(partial, lambda done, _: bar.update(task, completed=done))
    with opening.screen.status("drawing"):
        result = run.result(rows)
        paths = write(result, folder)
        opening.keep(result)
        partial.unlink(missing_ok=True)
    render_screen(result, opening.answer, paths)
    opened.say(opening.answer, images=False)
