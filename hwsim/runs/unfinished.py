"""Unfinished results on disk: what a run has counted so far, with a digest, for the next to use."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwsim.errors import InputError
from hwsim.files.content import digest
from hwsim.files.output import write_output
from hwsim.files.reading import MAX_KEPT, parse_json, read_regular
from hwsim.report.schema import to_json


def keep(path: Path, key: str, facts: Mapping[str, Any]) -> None:
    """Write ``facts`` of the run ``key``, whole or not at all. Raises InputError."""
    # Through JSON first: the digest is of what a reader will find.
    content = parse_json(to_json({"key": key, **facts}))
    text = json.dumps({**content, "digest": digest(content)}, ensure_ascii=False)
    write_output(path, text.encode() + b"\n")


def kept(path: Path, key: str) -> dict[str, Any] | None:
    """The facts of an earlier run with the same key; None where there is nothing usable.

    A file that is damaged is named in a warning, and its work is done again. Raises InputError for
    what is not a regular file.
    """
    try:
        content = parse_json(read_regular(path, MAX_KEPT))
        found = content.pop("digest")
        if digest(content) == found:
            return content if content.pop("key") == key else None
    except InputError:
        raise
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass  # damage shows wherever it likes
    warnings.warn(
        f"{path}: damaged, or of an older hwsim: what it kept is computed again",
        RuntimeWarning,
        stacklevel=2,
    )
    return None
