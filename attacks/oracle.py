"""A model that only answers questions, as gradient-free attacks of other libraries ask them.

The library is the Adversarial Robustness Toolbox (ART): of the two that are well known it is the
one that still has releases and that has both a score-based and a decision-based attack. It takes
a function from arrays to arrays, so the target may be a float network, the Engine, or the RTL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwsim.attacks.core.base import judge
from hwsim.attacks.core.errors import AttackError
from hwsim.attacks.core.grid import Space

#: Called with the admissible images (n, C, H, W) and the logits of one question.
Listener = Callable[[Tensor, Tensor], None]


class Oracle:
    """Logits for images, snapped to ``space``; a question asked twice costs one answer.

    asked: images that the model has really run on. on_answer: hears every question. The attacker
    knows the pixel bus, so what he asks about is what the model would get.
    """

    def __init__(self, model: nn.Module, space: Space, *, batch_size: int = 256) -> None:
        self.model, self.space, self.batch_size = model, space, batch_size
        self.asked = 0
        self.on_answer: Listener = lambda images, logits: None
        self._known: dict[bytes, Tensor] = {}

    def __call__(self, images: Tensor) -> Tensor:
        """(n, classes) logits for (n, C, H, W) images."""
        x = self.space.snap(images.clamp(0.0, 1.0))
        keys = self._keys(x)
        # One place for each distinct image that is new.
        new = {key: n for n, key in enumerate(keys) if key not in self._known}
        if new:
            logits = judge(self.model, x[list(new.values())], batch_size=self.batch_size)
            self._known |= dict(zip(new, logits, strict=True))
            self.asked += len(new)
        answer = torch.stack([self._known[key] for key in keys])
        self.on_answer(x, answer)
        return answer

    def unknown(self, images: Tensor) -> NDArray[np.bool_]:
        """(n,) bool: which of the images a question would have to be paid for."""
        x = self.space.snap(images.clamp(0.0, 1.0))
        return np.array([key not in self._known for key in self._keys(x)])

    def predict(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same for arrays: what ART calls."""
        answer: NDArray[np.float32] = self(torch.from_numpy(images)).numpy()
        return answer

    def classifier(self, shape: tuple[int, ...], classes: int) -> Any:
        """ART's view of it; AttackError where ART is not installed."""
        try:
            from art.estimators.classification.blackbox import BlackBoxClassifierNeuralNetwork
        except ImportError:
            raise AttackError(
                "this attack needs the Adversarial Robustness Toolbox (ART): "
                "pip install 'hwsim[blackbox]'"
            ) from None
        return BlackBoxClassifierNeuralNetwork(
            self.predict, shape, classes, channels_first=True, clip_values=(0.0, 1.0)
        )

    @staticmethod
    def _keys(x: Tensor) -> list[bytes]:
        array = x.contiguous().numpy()
        return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in array]


@contextmanager
def numpy_seed(seed: int) -> Iterator[None]:
    """NumPy's global generator, which ART draws from, seeded here and put back at the end."""
    before = np.random.get_state()  # noqa: NPY002 - the library uses no other
    try:
        np.random.seed(seed % 2**32)  # noqa: NPY002
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
