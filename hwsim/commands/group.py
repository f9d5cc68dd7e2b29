"""The `hwsim` command: its subcommands, found when they are called."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

#: Subcommand -> one line for --help. The modules behind them wait until they are called.
COMMANDS = {
    "attack": "Attack a network: float against fixed point.",
    "audit": "Robust, or hiding its gradients? A suite of attacks.",
    "compile": "Compile a trained network into memory images.",
    "detect": "Tell adversarial images from clean ones, if they can be told.",
    "explore": "Networks on engines: what each costs, and its attacks.",
    "export": "A compiled network as a QCDQ or QONNX file.",
    "fault": "Random bit flips in the engine's memories, counted.",
    "finetune": "Train a network on, through its engine or against attacks.",
    "gan": "Make labelled images with a DCGAN, to train with.",
    "import": "Read an .onnx, .tflite or .pt2 file, and judge the engine.",
    "jsma-study": "Drive every class to every other with JSMA.",
    "leak": "What the time of a zero-skipping engine tells.",
    "pnr": "Place and route the Verilog: clock and limiting path.",
    "prune": "Prune a network round by round, training in between.",
    "registers": "The register map as SystemRDL, C header or HTML.",
    "rom": "Look at memory images and verify them.",
    "run": "Classify test images on the engine.",
    "safecompress": "Sparse training, steered by membership attacks.",
    "study": "The papers' figures and tables, computed again.",
    "sweep": "An attack over networks, widths, options and budgets.",
    "synth": "Cells, DSPs and memory bits of the Verilog on an FPGA.",
    "timing": "Cycles, stalls, energy and memory of a network.",
    "transfer": "Craft on each network, count on all the others.",
    "train": "Train a network of the zoo.",
    "wave": "Trace the Verilog during one inference.",
    "zoo": "List the trained networks and show their cards.",
}
#: Subcommands that Python has no module name for.
MODULES = {"import": "import_model"}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = MODULES.get(cmd_name, cmd_name.replace("-", "_"))
        command = import_module(f"hwsim.commands.{module}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # before click writes an empty line about it
            raise click.Abort from None


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hwsim")
def hwsim() -> None:
    """Security of compressed neural networks on a fixed-point hardware engine.

    \b
    Examples:
      hwsim attack hfgsm                       float against fixed point
      hwsim compile mnist-cnn-h16 -o net.hne   memory images for the hardware
      hwsim timing net.hne                     where cycles and energy go

    HWSIM_DATA names a folder with data sets; HWSIM_CACHE one for downloads.
    """
