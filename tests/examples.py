"""Which examples hypothesis draws: the same in every run of the tests, new ones in ``make fuzz``.

Three things would make a run see other examples than the last one, and are shut out here: chance
(``derandomize``), the folder .hypothesis (``database``), and which modules happen to be imported
already: hypothesis takes one of twenty numbers from constants that it reads in the sources of the
project's imported modules, so that the examples of a test depend on the tests that ran before it.
No test is judged by how long it took.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

_FOR_ALL = dict(
    database=None, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("same", derandomize=True, **_FOR_ALL)  # type: ignore[arg-type]
settings.register_profile("new", derandomize=False, **_FOR_ALL)  # type: ignore[arg-type]


def use(profile: str) -> None:
    """``same`` or ``new``. To be called before tests are imported: their settings build on it."""
    assert profile in ("same", "new")
    settings.load_profile(profile)
    # No setting does this. If it moves in another version, test_examples.py fails.
    providers._get_local_constants = lambda: providers._local_constants
