"""The float network as the victim of a bit search: float32 words, exponents and all.

A hashed layer has as many words as real weights; each is read by all who share it, as on the
engine. Index bits a float network has none of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwsim.errors import InputError
from hwsim.faults.objective import F64, I64, Objective
from hwsim.faults.search import Flip, Gains, Part, Victim, first_of
from hwsim.program.layers import MacLayer
from hwsim.program.program import Program

#: Bits of a word.
WIDTH = 32
#: Images at a time, of those that only answer.
BATCH = 500
F32 = NDArray[np.float32]
U32 = NDArray[np.uint32]


@dataclass(eq=False)
class _Bank:
    """The words of one module. words: float32 (K,). address, negative: flat, who reads which."""

    name: str
    module: nn.Module
    words: F32
    address: I64
    negative: NDArray[np.bool_]

    def decoded(self, words: F32) -> F32:
        read = words[self.address]
        return np.where(self.negative, -read, read)

    def put(self, words: F32) -> None:
        """What the module computes with."""
        weight: Any = self.module.weight
        with torch.no_grad():
            weight.copy_(torch.from_numpy(self.decoded(words)).reshape(weight.shape))


class FloatVictim(Victim):
    """A float network whose weights are attacked, on a batch of images.

    module: in evaluation mode, left as it was only if nothing was kept: give a copy. program: what
    it was compiled to, which knows whose weights are shared. images: (N, *input shape).

    Raises InputError for a network without weights.
    """

    def __init__(self, module: nn.Module, program: Program, images: Tensor) -> None:
        self.module, self.images = module, images
        shared = {layer.name: layer for layer in program.mac_layers}
        self.banks = [
            _bank(name, part, shared.get(name))
            for name, part in module.named_modules()
            if _has_weights(part)
        ]
        if not self.banks:
            raise InputError("the float network has no weights: nothing to flip")
        self.parts = tuple(
            Part(bank.name, "weights", len(bank.words), WIDTH) for bank in self.banks
        )
        #: Of a pass with the words as they are: what each module gave, in order of execution.
        self._given: dict[str, Tensor] | None = None
        self._logits: F64 | None = None

    # ------------------------------------------------------------ passes

    def logits(self) -> F64:
        if self._logits is None:
            with self._recorded() as given:
                self._logits = self._pass()
            self._given = given
        return self._logits

    def _pass(self) -> F64:
        with torch.no_grad():
            return _real(self.module(self.images))

    @contextmanager
    def _recorded(self) -> Iterator[dict[str, Tensor]]:
        """Collects what the modules with weights give, but for those that are used twice."""
        given: dict[str, Tensor] = {}
        twice: set[str] = set()

        def hook(name: str) -> Any:
            def note(_: nn.Module, __: Any, found: Tensor) -> None:
                if name in given:
                    twice.add(name)
                given[name] = found.clone()  # whoever comes next may work in place

            return note

        handles = [bank.module.register_forward_hook(hook(bank.name)) for bank in self.banks]
        try:
            yield given
        finally:
            for handle in handles:
                handle.remove()
            for name in twice:
                del given[name]

    @contextmanager
    def _remembered(self, changed: str) -> Iterator[None]:
        """Modules that ran before ``changed`` give what they gave."""
        self.logits()
        assert self._given is not None
        earlier = list(self._given)
        earlier = earlier[: earlier.index(changed)] if changed in earlier else []
        modules = {bank.name: bank.module for bank in self.banks}
        for name in earlier:
            modules[name].forward = _giving(self._given[name])
        try:
            yield
        finally:
            for name in earlier:
                del modules[name].forward

    # ------------------------------------------------------------ first order

    def gains(self, objective: Objective, k_top: int | None) -> list[Gains]:
        slope = torch.from_numpy(objective.slope(self.logits()))
        weights: list[Any] = [bank.module.weight for bank in self.banks]
        for weight in weights:
            weight.requires_grad_(True)
        try:
            logits = self.module(self.images)
            # As on the engine: tiny slopes are carried at the size of 1.
            size = float(slope.abs().max()) or 1.0
            seed = (slope / size).to(logits.dtype)
            found = torch.autograd.grad(logits, weights, seed, allow_unused=True)
        finally:
            for weight in weights:
                weight.requires_grad_(False)
        return [
            self._gains(bank, gradient, size, k_top)
            for bank, gradient in zip(self.banks, found, strict=True)
        ]

    def _gains(self, bank: _Bank, gradient: Tensor | None, size: float, k_top: int | None) -> Gains:
        flat: NDArray[np.float64] = np.zeros(len(bank.address))
        if gradient is not None:
            flat = gradient.double().numpy().reshape(-1) * size
        # Behind a word that is no number there is no slope.
        flat = np.where(np.isfinite(flat), flat, 0.0)
        flat = np.where(bank.negative, -flat, flat)
        by_word = np.bincount(bank.address, flat, len(bank.words))
        chosen = first_of(np.abs(by_word), k_top)
        words = bank.words[chosen]
        every = flipped(words[:, None], np.arange(WIDTH))
        with np.errstate(invalid="ignore", over="ignore"):
            moves = every.astype(np.float64) - words.astype(np.float64)[:, None]
            gains = by_word[chosen][:, None] * moves
        # A word that becomes no number has no first order.
        return Gains(chosen, np.where(np.isfinite(every), gains, 0.0))

    # ------------------------------------------------------------ flips

    def trial(self, flips: Sequence[Flip]) -> F64:
        bank, words = self._flipped(flips)
        bank.put(words)
        try:
            with self._remembered(bank.name):
                return self._pass()
        finally:
            bank.put(bank.words)

    def keep(self, flips: Sequence[Flip]) -> None:
        bank, words = self._flipped(flips)
        bank.words = words
        bank.put(words)
        self._given = self._logits = None

    def _flipped(self, flips: Sequence[Flip]) -> tuple[_Bank, F32]:
        (part,) = {flip.part for flip in flips}
        words = self.banks[part].words.copy()
        for flip in flips:
            words[flip.word] = flipped(words[flip.word : flip.word + 1], flip.bit)[0]
        return self.banks[part], words

    def word(self, part: int, word: int) -> int:
        return int(self.banks[part].words[word : word + 1].view(np.uint32)[0])

    def answers(self, images: Any) -> NDArray[np.int64]:
        """The classes; −1 where the answer is no number."""
        found = []
        with torch.no_grad():
            for start in range(0, len(images), BATCH):
                logits = _real(self.module(images[start : start + BATCH]))
                sound = np.isfinite(logits).all(1)
                found.append(np.where(sound, logits.argmax(1), -1))
        return np.concatenate(found)


def flipped(words: F32, bit: Any) -> F32:
    """Floats with one bit inverted; bit 31 is the sign, 30 … 23 the exponent."""
    mask: U32 = np.uint32(1) << np.asarray(bit, np.uint32)
    return (np.ascontiguousarray(words).view(np.uint32) ^ mask).view(np.float32)


def _giving(known: Tensor) -> Any:
    return lambda *_, **__: known.clone()


def _has_weights(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.dim() >= 2 and weight.dtype == torch.float32


def _bank(name: str, module: nn.Module, layer: MacLayer | None) -> _Bank:
    """The words behind a module's weights, shared where its layer says so and they are."""
    weight: Any = module.weight
    flat: F32 = weight.detach().numpy().reshape(-1).copy()
    alone = _Bank(name, module, flat, np.arange(len(flat)), np.zeros(len(flat), np.bool_))
    if layer is None or layer.spec.scheme == "dense" or layer.spec.virtual_weights != len(flat):
        return alone
    address, negative = layer.hash_table[0].reshape(-1), layer.hash_table[1].reshape(-1)
    words = np.zeros(layer.spec.real_weights, np.float32)
    words[address] = np.where(negative, -flat, flat)
    found = _Bank(name, module, words, address, negative)
    return found if np.array_equal(found.decoded(words), flat) else alone


def _real(logits: Tensor) -> F64:
    found: F64 = logits.detach().double().numpy()
    return found
