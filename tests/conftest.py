"""Settings for all tests."""

from __future__ import annotations

from tests import examples

# Before any test is imported: all settings build on the profile of that moment.
examples.use("same")
