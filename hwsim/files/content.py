"""One digest for all that is kept: SHA-256 over the canonical JSON of its content."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical(value: Any) -> str:
    """One text for one value: keys sorted, no spaces, ASCII.

    Raises ValueError for NaN and infinities, TypeError for what JSON has no word for.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of ``canonical(value)``, 64 hexadecimal digits. Raises as ``canonical`` does."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
