"""Rows about training with generated images and with attacked ones: a network trained, then judged.

The network is trained in the row, so that the row's parameters say all that made it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hwsim.attacks.core.base import Attack, judge
from hwsim.attacks.core.criteria import Targeted
from hwsim.attacks.core.grid import Grid
from hwsim.attacks.known import make_attack
from hwsim.compiler.compiler import compile
from hwsim.engine.module import Engine
from hwsim.errors import InputError
from hwsim.models import zoo
from hwsim.models.gan import files
from hwsim.models.loop import train
from hwsim.models.recipe import Adversarial, Recipe
from hwsim.networks.open import CALIBRATION_IMAGES, pixels
from hwsim.numbers.config import load_config
from hwsim.studies.grid.attack_rows import pack
from hwsim.studies.runner import machines as subjects
from hwsim.studies.runner.machines import Subject
from hwsim.studies.runner.task import Row, version
from hwsim.training.adversarial import perturbation

#: Of the training of every network.
BATCH, LR = 50, 3e-3
#: Images that are crafted at once.
CRAFTED = 50
#: The attacks by what a row calls them; the last is bound to no saliency map.
METHODS = ("jsma", "jsma on logits", "σ-zero")


@version(1)
def trained(
    subject: Mapping[str, Any],
    bits: Sequence[int],
    real: int,
    generated: Mapping[str, Any] | None,
    adversarial: Mapping[str, Any] | None,
    passes: int,
    seed: int,
    tested: int,
    attacked: int,
    distortion: float,
    steps: int,
) -> Row:
    """Train the subject's architecture anew, and attack what comes out, in float and on engines.

    bits: widths of the engines. real: training images. generated: {name, digest} of the generator
    that makes as many more, or None. adversarial: fields of Adversarial, or None. passes: images
    that are learnt from in all, so that training with more of them takes as many steps. seed: of
    the training, and of the noise. tested, attacked: test images. distortion: of the values that
    an attack may change. steps: of σ-zero. Row: for each machine {right: of the tested images,
    correct: of the attacked ones, methods: {reached, changed}}; changed: values, image by image,
    whether it reached its target or not. Targets are random, and the same for all machines.
    """
    one = Subject.of(subject)
    module = _trained(one, real, generated, adversarial, passes, seed)
    described = subjects.card(one.network)
    learn, test = (subjects.dataset(described.dataset, s) for s in ("train", "test"))
    calibration = pixels(learn.take(min(CALIBRATION_IMAGES, len(learn))))
    row: Row = {"tested": tested, "attacked": attacked}
    machines: list[tuple[str, int, nn.Module]] = [("float", bits[0], module)]
    for width in bits:
        engine = load_config(one.config).with_bits(width)
        machines.append((f"{width}-bit", width, Engine(compile(module, calibration, engine))))
    seen = test.take(tested)
    for name, width, machine in machines:
        grid = Grid.of_bits(width)
        answers = judge(machine, grid.snap(pixels(seen))).argmax(1)
        right = int((answers == torch.from_numpy(seen.labels)).sum())
        few = test.take(attacked)
        found = _attacked(
            machine, grid, pixels(few), torch.from_numpy(few.labels), distortion, steps
        )
        row[name] = {"right": right, **found}
    return row


def _trained(
    one: Subject,
    real: int,
    generated: Mapping[str, Any] | None,
    adversarial: Mapping[str, Any] | None,
    passes: int,
    seed: int,
) -> nn.Module:
    described = subjects.card(one.network)
    learn = subjects.dataset(described.dataset, "train").take(real)
    x, labels = pixels(learn), torch.from_numpy(learn.labels)
    if generated is not None:
        path = files.place(generated["name"])
        maker = files.load(path)
        if maker.digest != generated["digest"]:
            raise InputError(f"{path}: not the generator that this row was asked for")
        made, told = files.sampled(maker.generator, real, seed)
        x = torch.cat([x, torch.from_numpy(made.astype(np.float32) / np.float32(255))])
        labels = torch.cat([labels, torch.from_numpy(told)])
    recipe = Recipe(
        epochs=max(1, round(passes / len(x))), batch=BATCH, lr=LR, shift=0, precision="float32",
        seed=seed, adversarial=None if adversarial is None else Adversarial(**adversarial),
    )  # fmt: skip
    module = zoo.build(one.network, seed)
    return train(module, x, labels, recipe, perturb=perturbation(recipe))


def _attacked(
    machine: nn.Module, grid: Grid, x: Tensor, labels: Tensor, distortion: float, steps: int
) -> dict[str, Any]:
    """What every method does to images, from the machine's own gradients."""
    x = grid.snap(x)
    clean = judge(machine, x)
    classes = clean.shape[1]
    hop = np.random.default_rng(0).integers(1, classes, len(x))
    goal = Targeted((labels + torch.from_numpy(hop)) % classes, labels)
    most = math.floor(distortion * x[0].numel())
    attacks: dict[str, tuple[Attack, float]] = {
        METHODS[0]: (make_attack("jsma", max_distortion=distortion, space=grid), math.inf),
        METHODS[1]: (
            make_attack("jsma", max_distortion=distortion, output="logits", space=grid), math.inf,
        ),
        METHODS[2]: (make_attack("sigma-zero", steps=steps, space=grid), float(most)),
    }  # fmt: skip
    methods = {}
    for name, (attack, epsilon) in attacks.items():
        result = attack(machine, x, goal, epsilon=epsilon, batch_size=CRAFTED)
        changed = (result.adversarial != x).flatten(1).sum(1)
        methods[name] = {"reached": pack(result.success), "changed": changed.tolist()}
    return {"correct": pack(clean.argmax(1) == labels), "methods": methods}
