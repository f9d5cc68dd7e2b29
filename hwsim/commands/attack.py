"""`hwsim attack NAME`: what `make sim` runs; one subcommand for each attack of the catalogues.

Attacks on answers are made here, those on memories in ``flip``, that on time in ``latency``, those
on membership in ``membership``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwsim.commands.data_options import MODEL, data_options
from hwsim.commands.flip import bfa, tbfa
from hwsim.commands.latency import latency
from hwsim.commands.membership import COMMANDS as MEMBERSHIP
from hwsim.commands.opening import Opening, collected
from hwsim.commands.options import (
    backend_option,
    bits_option,
    config_option,
    json_option,
    out_option,
    progress_bar,
    typed_command,
    widest,
)
from hwsim.files.shown import say
from hwsim.report import budgets
from hwsim.runs.attack_catalog import ENTRIES, AttackEntry, Option, norm_of
from hwsim.runs.flip_catalog import FLIPS
from hwsim.runs.latency_catalog import NAME as LATENCY
from hwsim.runs.membership_catalog import NAMES as MIA

if TYPE_CHECKING:
    from rich.console import Console

    from hwsim.attacks.evaluate.tally import Tally
    from hwsim.runs.experiment import Experiment
    from hwsim.runs.settings import Request

#: On answers, on memories, on time, on membership.
NAMES = (*ENTRIES, *FLIPS, LATENCY, *MIA)
#: Images where the Verilog judges, unless the attack takes fewer.
SAMPLES_RTL = 20


def known_attack(text: str) -> str:
    """The name in lower case; click.ClickException for any other."""
    if text.lower() not in NAMES:
        raise click.ClickException(f"unknown attack {text!r}: choose from {', '.join(NAMES)}")
    return text.lower()


class _Attacks(click.Group):
    """Names in any case; an unknown one is answered with the known ones."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, known_attack(cmd_name))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(NAMES)


class _Attack(click.Command):
    """A command whose help shows the attack's own options first."""

    own: frozenset[str] = frozenset()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records = [(p, p.get_help_record(ctx)) for p in self.get_params(ctx)]
        for title, mine in ((f"Options of {self.name}", True), ("Options of every attack", False)):
            rows = [r for p, r in records if r and (p.name in self.own) is mine]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


@click.group("attack", cls=_Attacks, no_args_is_help=True, subcommand_metavar="NAME [OPTIONS]")
def command() -> None:
    """Attack a network in float and on the bit-accurate engine, crosswise, with attack NAME.

    Each attack is crafted on float and on the engine and judged by both. `hwsim attack NAME
    --help` shows its options. Interrupted, the same command goes on where it stopped. bfa and tbfa
    change no image but bits of the network's memories, latency asks for time and not for answers,
    mia-… whether images were trained on.

    \b
    Examples:
      hwsim attack hfgsm
      hwsim attack pgd --model mnist-cnn-h16 --eps 0.1,0.3 --bits 4
      hwsim attack jsma --target random --eps 5%,14.5%
      hwsim attack cw-l2 --samples 10
      hwsim attack hfgsm --backend rtl --eps 0.3
      hwsim attack pgd --model net.onnx --data test.npz --eps 8/255
      hwsim attack bfa --model mnist-cnn-h64
      hwsim attack latency --skip
      hwsim attack mia-lira --model c0
    """


_HELP = """{title}

    Budgets (--eps): {axis}; {default} unless given{infinite}. A run takes {samples} test images
    unless --samples says otherwise, about a minute or two on two cores with mnist-cnn-h64.

    \b
    Examples:
      hwsim attack {name}
      hwsim attack {name} --model mnist-cnn-h16 --samples 20 --bits 4
      hwsim attack {name} --eps {example} --target random
"""


def _shared(entry: AttackEntry) -> list[Callable[[Any], Any]]:
    """The options of every attack, less those that would have nothing to act upon."""
    least = 20 if entry.samples > 20 else entry.samples
    found: list[Callable[[Any], Any]] = [
        click.option(
            "--model", default="mnist-cnn-h64", show_default=True,
            help=f"{MODEL[0].upper()}{MODEL[1:]}.",
        ),
        data_options,
        click.option(
            "--eps", help=f"Budgets, separated by commas.  [default: {entry.budgets}]"
        ),
        click.option(
            "--samples", type=click.IntRange(1),
            help="Test images, spread evenly over all  "
            f"[default: {entry.samples}; {least} with --backend rtl]",
        ),
        config_option,
        bits_option,
    ]  # fmt: skip
    if entry.differentiates == "loss":
        found += _LOSS
    if entry.needs_gradient:
        found.append(_GRADIENT)
    return [*found, *_LAST]


_LOSS: list[Callable[[Any], Any]] = [
    click.option(
        "--loss", type=click.Choice(["cross-entropy", "margin", "dlr"]), default="cross-entropy",
        show_default=True,
        help="What is differentiated. Beside cross-entropy the margin's success is shown too.",
    ),
    click.option(
        "--temperature",
        help="Divides the logits before the loss: a number, or auto, so that no softmax saturates.",
    ),
    click.option(
        "--probabilities", type=click.Choice(["float32", "float64", "engine"]), default="float32",
        show_default=True,
        help="Softmax of the cross-entropy. engine: its 16-bit unit; the float network, which has "
        "none, is then attacked through float32.",
    ),
]  # fmt: skip
_GRADIENT: Callable[[Any], Any] = click.option(
    "--gradient",
    type=click.Choice(["ste", "ste-bfloat16", "ste-unclamped", "finite-difference"]),
    default="ste", show_default=True,
    help="How the attacker differentiates the engine. ste-bfloat16: faster on processors that have "
    "it, rounded. finite-difference: two inferences a pixel, so take few samples.",
)  # fmt: skip
_LAST: list[Callable[[Any], Any]] = [
    click.option(
        "--target",
        help="Targeted: random, least-likely or a class number, whose images are left out.",
    ),
    backend_option,
    json_option,
    out_option,
]  # fmt: skip


def _own(option: Option) -> Callable[[Any], Any]:
    """The click option of an attack's own argument; values are checked by the attack itself."""
    flag, name = f"--{option.flag}", f"own_{option.name}"
    shown = option.default is not None and option.default != ()
    chosen: dict[str, Any] = {"default": option.default, "show_default": shown, "help": option.help}
    if option.kind == "switch":
        return click.option(f"{flag}/--no-{option.flag}", name, **chosen)
    if option.kind == "names":
        chosen["default"] = ""
        return click.option(flag, name, callback=lambda _, __, text: _names(text), **chosen)
    kinds: dict[Any, Any] = {"int": int, "float": float}
    kind = kinds.get(option.kind) or click.Choice(option.kind)
    return click.option(flag, name, type=kind, **chosen)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _make(entry: AttackEntry) -> click.Command:
    def run(**chosen: Any) -> None:
        options = {o.name: chosen.pop(f"own_{o.name}") for o in entry.options}
        _run(entry, options, **chosen)

    norm = "ε is in the norm that --norm says" if _has_norm(entry) else budgets.AXIS[entry.norm]
    minimizing = "inf" in entry.budgets
    first = entry.budgets.split(",")[0]
    text = _HELP.format(
        title=entry.title, name=entry.name, axis=norm, default=entry.budgets,
        samples=f"{entry.samples:,}", example=first,
        infinite="; inf for no bound, % for a share of all values"
        if entry.norm == "l0" else "; inf for no bound" if minimizing else "",
    )  # fmt: skip
    made: Any = collected(run)
    for decorator in reversed([*map(_own, entry.options), *_shared(entry)]):
        made = decorator(made)
    built = click.command(entry.name, cls=_Attack, help=text, short_help=entry.title)(made)
    built.own = frozenset(f"own_{o.name}" for o in entry.options)
    return built


def _has_norm(entry: AttackEntry) -> bool:
    return any(option.name == "norm" for option in entry.options)


for _entry in ENTRIES.values():
    command.add_command(_make(_entry))
for _search in (bfa, tbfa, latency, *MEMBERSHIP):
    command.add_command(_search)


def _run(
    entry: AttackEntry,
    options: dict[str, Any],
    *,
    model: str,
    eps: str | None,
    samples: int | None,
    backend: str,
    opening: Opening,
    **more: Any,
) -> None:
    """Count, draw, write and print one run. more: what only some attacks take."""
    norm = norm_of(entry, options)
    spent = budgets.parse(entry.budgets_in(norm) if eps is None else eps, norm, widest(model))
    with opening.networks(model) as opened:
        from hwsim.report.pages import write_run
        from hwsim.report.terminal import render_terminal
        from hwsim.runs.experiment import Experiment
        from hwsim.runs.result import build
        from hwsim.runs.settings import Request

        (subject,) = opened.subjects
        network = subject.network
        least = min(SAMPLES_RTL, entry.samples) if backend == "rtl" else entry.samples
        bounds = opened.bounds
        # Budgets that nobody typed are shares of the input's range.
        unit = bounds[1] - bounds[0] if eps is None and norm != "l0" else 1.0
        if eps is None:
            spent = budgets.of_default(spent, network.program.input_shape)
        settings = Request(
            attack=entry.name,
            model=model,
            epsilons=budgets.resolve(spent, network.program.input_shape, unit),
            samples=subject.count(samples, least),
            backend=backend,
            options=options,
            command=typed_command(),
            **more,
        )
        began = time.perf_counter()
        experiment = Experiment(
            settings, network, subject.test, lambda: subject.training(settings.samples)
        )
    folder, partial = opening.folder(experiment.name)
    with closing(experiment):
        tally = _count(experiment, partial, opening.screen)
        with opening.screen.status("drawing"):
            examples = experiment.examples()
            result = build(experiment, tally, time.perf_counter() - began)
            paths = write_run(result, examples, folder)
            opening.keep(result)
            partial.unlink(missing_ok=True)
    render_terminal(result, opening.answer, paths)
    opened.say(opening.answer, images=False)
    for note in _notes(settings):
        opening.answer.print(f"note: {note}")


def _notes(settings: Request) -> list[str]:
    found = []
    if settings.gradient != "ste":
        found.append(f"the engine's gradient is {settings.gradient}")
    if settings.probabilities == "engine" and settings.naive:
        found.append("float has no probability unit; it was attacked through float32 softmax")
    if settings.backend == "rtl" and settings.naive:
        found.append("the margin loss's success was judged by the Python twin")
    return found


def _count(experiment: Experiment, partial: Path, screen: Console) -> Tally:
    """All counts behind a bar: of images, or where the Verilog judges, of its judgements."""
    title = f"{experiment.settings.attack} on {experiment.network.name}"
    from hwsim.runs.count import count, estimate

    expected = None
    if experiment.settings.backend == "rtl":
        with screen.status("compiling the RTL (once for each engine configuration), one image"):
            expected = estimate(experiment, partial)
        if expected is not None:
            say(f"Verilog: {expected}", err=True)
    with progress_bar(screen) as bar:
        if expected is None or experiment.judge is None:
            task = bar.add_task(title, total=len(experiment.inputs))
            return count(experiment, partial, lambda done, _: bar.update(task, completed=done))
        task = bar.add_task(title, total=expected.judgements, completed=1)
        experiment.judge.on_judged = lambda judged: bar.advance(task, judged)
        return count(experiment, partial)
