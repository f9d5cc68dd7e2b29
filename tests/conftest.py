"""Settings for all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# Elsewhere every run looks at new examples; a change is judged on the same ones as the last.
settings.register_profile("ci", derandomize=True, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
