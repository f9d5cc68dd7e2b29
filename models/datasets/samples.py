"""Images with labels, whoever they belong to: what runs take some of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import InputError

_Some = TypeVar("_Some", bound="Samples")


class Samples:
    """What ``Dataset`` and data of a user share; subclasses are dataclasses with these fields.

    name, source: for people. images: (N, …). labels: int64 (N,). digest: of all that. note: a
    sentence that every output must show, or None.
    """

    name: str
    images: NDArray[Any]
    labels: NDArray[np.int64]
    source: str
    digest: str
    note: str | None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def class_names(self) -> tuple[str, ...]:
        """What labels 0, 1, … are called."""
        raise NotImplementedError

    @property
    def phrase(self) -> str:
        """What gives the images, in an error."""
        return f"{self.name} ({self.source})"

    @property
    def about(self) -> dict[str, Any]:
        """What a result says of them: name, source, note and digest."""
        return {
            "name": self.name, "source": self.source, "note": self.note, "digest": self.digest,
        }  # fmt: skip

    def take(self: _Some, count: int) -> _Some:
        """``count`` examples spread evenly over all, so that a sorted file does no harm.

        Raises InputError unless 1 <= count <= len(self).
        """
        if not 1 <= count <= len(self):
            raise InputError(f"{count} samples asked for: {self.phrase} gives 1 to {len(self)}")
        return self.at(np.arange(count) * len(self) // count)

    def rest(self: _Some, count: int) -> _Some:
        """The examples that ``take(count)`` leaves; perhaps none."""
        return self.at(np.setdiff1d(np.arange(len(self)), np.arange(count) * len(self) // count))

    def drawn(self: _Some, count: int, seed: int) -> tuple[_Some, _Some]:
        """``count`` examples at random, and the others, both in their order.

        For whoever must not tell the two apart by anything but training. MNIST's training file
        takes turns between two sources of digits, one of them written bolder: ``take`` with an even
        stride gets all from one. Raises InputError as ``take`` does.
        """
        if not 1 <= count <= len(self):
            raise InputError(f"{count} samples asked for: {self.phrase} gives 1 to {len(self)}")
        chosen = np.zeros(len(self), bool)
        chosen[np.random.default_rng(seed).permutation(len(self))[:count]] = True
        return self.at(chosen), self.at(~chosen)

    def without(self: _Some, label: int) -> _Some:
        """The examples of all other classes."""
        return self.at(self.labels != label)

    def noted(self: _Some, note: str) -> _Some:
        """The same with one more note."""
        told = f"{self.note}; {note}" if self.note else note
        return replace(self, note=told)  # type: ignore[type-var]

    def at(self: _Some, chosen: NDArray[Any]) -> _Some:
        """The examples with these numbers, or where the mask is true."""
        found: _Some = replace(  # type: ignore[type-var]
            self, images=self.images[chosen], labels=self.labels[chosen]
        )
        return found
