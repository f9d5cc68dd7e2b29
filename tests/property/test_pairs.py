"""The pruned pair search is the brute-force loop over all pairs, ties included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hwsim.attacks import pairs
from hwsim.attacks.pairs import best_pairs


def oracle(u: Any, v: Any, domain: Any) -> tuple[int, int] | None:
    """Every pair in rank order; the first of the best, None where no pair is admissible."""
    ranked = sorted((i for i in range(len(u)) if domain[i]), key=lambda i: (-u[i], -v[i], i))
    best, chosen = 0.0, None
    for first, p in enumerate(ranked):
        for q in ranked[first + 1 :]:
            alpha, beta = float(u[p]) + float(u[q]), float(v[p]) + float(v[q])
            if alpha > 0 and beta > 0 and alpha * beta > best:
                best, chosen = alpha * beta, (p, q)
    return chosen


# Few distinct values make ties; the whole of float32 makes roundings.
few = st.integers(-3, 3).map(float)
wide = st.floats(-(2.0**100), 2.0**100, width=32)
near = st.integers(-4, 4).map(lambda k: 1.0 + k * 2.0**-23)


@st.composite
def cases(draw: Any) -> tuple[Any, Any, Any]:
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 9))
    values = draw(st.sampled_from([few, wide, near]))
    u, v = (draw(arrays(np.float32, shape, elements=values)) for _ in range(2))
    return u, v, draw(arrays(np.bool_, shape, elements=st.sampled_from([True, True, True, False])))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(cases(), st.sampled_from([1, 40, pairs.TILE]))
def test_best_pairs_equal_the_loop_over_all_pairs(case: tuple[Any, Any, Any], tile: int) -> None:
    u, v, domain = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "TILE", tile)
        places, found = best_pairs(*map(torch.from_numpy, case))
    for i in range(len(u)):
        expected = oracle(u[i], v[i], domain[i])
        assert bool(found[i]) == (expected is not None)
        if expected is not None:
            assert tuple(places[i].tolist()) == expected


def test_opposed_derivatives_prune_nothing_and_are_still_searched_exactly() -> None:
    u = torch.linspace(-1, 2, 120)[None]
    v = 1 - u**3
    places, found = best_pairs(u, v, torch.ones_like(u, dtype=torch.bool))
    assert found.all()
    assert tuple(places[0].tolist()) == oracle(u[0].numpy(), v[0].numpy(), [True] * 120)


def test_products_that_underflow_in_float32_are_found() -> None:
    u = torch.tensor([[1e-30, 2e-30, -1.0]])
    places, found = best_pairs(u, u, torch.ones_like(u, dtype=torch.bool))
    assert places.tolist() == [[1, 0]]
    assert found.tolist() == [True]


def test_an_empty_batch_and_a_single_value_have_no_pair() -> None:
    for shape in ((0, 5), (2, 2)):
        u = torch.ones(shape)
        domain = torch.zeros(shape, dtype=torch.bool)
        if len(domain):
            domain[:, 0] = True
        assert not best_pairs(u, u, domain)[1].any()
