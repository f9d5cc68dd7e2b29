"""A step of the bit-flip attack on the engine against the published script's way.

That way (github.com/elliothe/BFA, attack/BFA.py): a float network whose weights are words times a
step; in every layer the best bit is flipped, and a whole pass of the batch says what it does. Both
sides start every step from the same words, take the same batch, and look at the same number of
words; the peer is told which flip ours kept, and the note says how often it chose the same one.
"""

from __future__ import annotations

import time
from copy import deepcopy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwsim.engine.backward import GradientMode
from hwsim.faults.engine_victim import EngineVictim
from hwsim.faults.objective import Objective
from hwsim.faults.search import Flip, step
from hwsim.models.datasets.dataset import load_dataset
from hwsim.networks.open import Network, open_network
from tests.bench.measure import Line

IMAGES, K_TOP, STEPS = 128, 100, 3
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


class Published:
    """The published search, one bit a layer: int16 words, and a network that computes with them."""

    def __init__(self, network: Network, images: Tensor, form: Any) -> None:
        self.width = network.program.config.wgt_w
        self.module = deepcopy(network.module)
        modules = dict(self.module.named_modules())
        self.layers: list[nn.Module] = [modules[one.name] for one in network.program.mac_layers]
        #: By row, as our dense layers have them; the script has one a layer.
        self.steps = [
            torch.from_numpy(one.weight_scale).float().view(-1, *[1] * (layer.weight.dim() - 1))  # type: ignore[operator, union-attr]
            for one, layer in zip(network.program.mac_layers, self.layers, strict=True)
        ]
        self.words = [
            torch.from_numpy(one.virtual_weights.astype(np.int16)).reshape(layer.weight.shape)
            for one, layer in zip(network.program.mac_layers, self.layers, strict=True)
        ]
        for number, words in enumerate(self.words):
            self._put(number, words)
        self.module = self.module.to(memory_format=form)
        self.images = images.contiguous(memory_format=form)
        self.labels = self.module(self.images).argmax(1)

    def _put(self, number: int, words: Tensor) -> None:
        weight: Tensor = self.layers[number].weight  # type: ignore[assignment]
        weight.data.copy_(words.float() * self.steps[number])

    def _loss(self) -> Tensor:
        return F.cross_entropy(self.module(self.images), self.labels)

    def step(self) -> tuple[int, int, int]:
        """(layer, word, bit) of the flip with the largest loss; nothing is kept."""
        for layer in self.layers:
            layer.weight.requires_grad_(True)  # type: ignore[operator, union-attr]
        gradients = torch.autograd.grad(self._loss(), [one.weight for one in self.layers])  # type: ignore[misc]
        for layer in self.layers:
            layer.weight.requires_grad_(False)  # type: ignore[operator, union-attr]
        found, most = (0, 0, 0), -np.inf
        for number, gradient in enumerate(gradients):
            word, bit = self._best(
                self.words[number].reshape(-1), (gradient * self.steps[number]).reshape(-1)
            )
            flipped = self.words[number].clone()
            flipped.view(-1)[word] = self._flip(int(flipped.view(-1)[word]), bit)
            self._put(number, flipped)
            with torch.no_grad():
                loss = float(self._loss())
            self._put(number, self.words[number])
            if loss > most:
                found, most = (number, word, bit), loss
        return found

    def _best(self, words: Tensor, gradient: Tensor) -> tuple[int, int]:
        chosen = gradient.abs().topk(min(K_TOP, len(gradient))).indices
        place = torch.arange(self.width)
        worth = torch.where(place == self.width - 1, -(2**place), 2**place).float()
        unset = (words[chosen][:, None] >> place) & 1 == 0
        moves = torch.where(unset, worth, -worth)
        gains = gradient[chosen][:, None] * moves
        best = int(gains.argmax())
        return int(chosen[best // self.width]), best % self.width

    def _flip(self, word: int, bit: int) -> int:
        raw = (word & (1 << self.width) - 1) ^ 1 << bit
        return raw - (1 << self.width) if raw >> (self.width - 1) else raw

    def keep(self, number: int, word: int, bit: int) -> None:
        """Flip a bit for good."""
        words = self.words[number].view(-1)
        words[word] = self._flip(int(words[word]), bit)
        self._put(number, self.words[number])


def residual() -> Line:
    """resnet20, 8 bits, 128 training images."""
    return _residual("bfa-resnet20", "ste")


def residual_in_bfloat16() -> Line:
    """The same, bits to be tried found by a gradient in bfloat16."""
    return _residual("bfa-resnet20-bfloat16", "ste-bfloat16")


def _residual(name: str, gradient: GradientMode) -> Line:
    network = open_network("resnet20")
    learn = load_dataset("cifar10", "train")
    batch = np.random.default_rng(0).permutation(len(learn))[:IMAGES]
    images = network.inputs(learn.at(batch))
    victim = EngineVictim(network.program, images, gradient=gradient)
    peers = {form: Published(network, images, way) for form, way in FORMATS.items()}
    objective = Objective.away(victim.logits().argmax(1))
    ours, theirs, same = 0.0, dict.fromkeys(peers, 0.0), 0
    for number in range(1 + STEPS):  # the first one compiles and warms up
        choices = {}
        for form, peer in peers.items():
            began = time.perf_counter()
            choices[form] = peer.step()
            theirs[form] += time.perf_counter() - began if number else 0.0
        began = time.perf_counter()
        found = step(victim, objective, K_TOP, 1)
        ours += time.perf_counter() - began if number else 0.0
        assert found is not None
        kept = _as_published(network, found.flips[0])
        for peer in peers.values():
            peer.keep(*kept)
        same += number > 0 and set(choices.values()) == {kept}
    plain = theirs["contiguous"]
    note = (
        f"{IMAGES} images, {len(victim.parts)} layers, {torch.get_num_threads()} threads; the same "
        f"flip chosen in {same} of {STEPS} steps from the same words; against its network in "
        f"channels_last, which the script does not use, {theirs['channels_last'] / ours:.2f}"
    )
    return Line(
        name, ours / STEPS, plain / STEPS, "s a step", plain / ours,
        "published script's way, PyTorch float32", ">= 5", note,
    )  # fmt: skip


def _as_published(network: Network, flip: Flip) -> tuple[int, int, int]:
    """(layer, word, bit) of a flip of a dense layer, whose words are stored column by column."""
    layer = network.program.mac_layers[flip.part]
    j, i = divmod(flip.word, layer.n_out)
    return flip.part, i * layer.fan_in + j, flip.bit
