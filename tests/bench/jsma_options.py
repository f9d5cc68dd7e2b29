"""`python -m tests.bench.jsma_options`: what the options of JSMA and HJSMA buy, on one network."""

from __future__ import annotations

import argparse
import math

import torch
from rich.console import Console
from rich.table import Table

from hwsim.attacks.core.criteria import Goal, Targeted, Untargeted
from hwsim.attacks.jsma import HJSMA, JSMA
from hwsim.models.datasets.dataset import load_dataset
from hwsim.networks.open import open_network, pixels

ROWS: dict[str, tuple[JSMA, bool]] = {
    "JSMA logits": (JSMA(output="logits"), True),
    "JSMA logits block=8": (JSMA(output="logits", block=8), True),
    "JSMA": (JSMA(), True),
    "JSMA block=4": (JSMA(block=4), True),
    "JSMA block=8": (JSMA(block=8), True),
    "HJSMA logits": (HJSMA(output="logits"), True),
    "HJSMA": (HJSMA(), True),
    "HJSMA logits recompute": (HJSMA(output="logits", recompute=True), True),
    "JSMA logits untargeted, source": (JSMA(output="logits"), False),
    "JSMA logits untargeted, runner-up": (JSMA(output="logits", untargeted="runner-up"), False),
    "JSMA untargeted, source": (JSMA(), False),
    "HJSMA logits untargeted, source": (HJSMA(output="logits"), False),
    "HJSMA logits untargeted, runner-up": (HJSMA(output="logits", untargeted="runner-up"), False),
}


def main() -> None:
    """Targets are the next class; success counts on correctly classified test images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="mnist-cnn")
    parser.add_argument("--images", type=int, default=64)
    chosen = parser.parse_args()
    module = open_network(chosen.network).module.to(memory_format=torch.channels_last)
    test = load_dataset("mnist", "test").take(chosen.images)
    x, labels = pixels(test), torch.from_numpy(test.labels)
    with torch.no_grad():
        right = module(x).argmax(1) == labels
    x, labels = x[right].contiguous(memory_format=torch.channels_last), labels[right]
    table = Table(title=f"{chosen.network}, {len(x)} images, Υ = 14.5%, θ = 1", box=None)
    for head in ("", "success", "changed of successes", "forward", "backward"):
        table.add_column(head, justify="left" if not head else "right")
    for name, (attack, targeted) in ROWS.items():
        goal: Goal = Targeted((labels + 1) % 10, labels) if targeted else Untargeted(labels)
        found = attack(module, x, goal, epsilon=math.inf)
        won = found.success
        passes = (f"{v.float().mean():.1f}" for v in (found.forward, found.backward))
        table.add_row(
            name, f"{100 * won.float().mean():.1f}%", f"{found.l0[won].mean():.1f}", *passes
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
