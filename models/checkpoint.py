"""Unfinished training on disk: tensors and facts in one safetensors file with a digest of both."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hwsim.errors import InputError
from hwsim.files.content import canonical, digest
from hwsim.files.file import replacing
from hwsim.files.reading import parse_json, read_regular

#: Of the metadata below; files of hwsim without a digest are of no format.
FORMAT = 2
#: Bytes that a file may have beside its tensors.
HEADER = 1 << 20
AGAIN = "delete it, and the same command starts anew"


def content_digest(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> str:
    """SHA-256 over facts, and over name, type, shape and bytes of every tensor."""
    parts = {name: _fingerprint(value) for name, value in tensors.items()}
    return digest({"format": FORMAT, "facts": dict(facts), "tensors": parts})


def _fingerprint(value: Tensor) -> list[Any]:
    # As bytes, because NumPy has no bfloat16.
    flat = value.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return [str(value.dtype), list(value.shape), hashlib.sha256(flat.tobytes()).hexdigest()]


def save(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Keep ``tensors`` and ``facts`` (JSON values), whole or not at all; on disk when it returns.

    Raises InputError if the file cannot be written, a full disk included.
    """
    import safetensors.torch

    whole = {name: value.detach().contiguous() for name, value in tensors.items()}
    meta = {"facts": canonical(dict(facts)), "digest": content_digest(whole, facts)}
    # Through bytes: the library's own writer reports a full disk as damage.
    payload = safetensors.torch.save(whole, {"format": str(FORMAT), **meta})
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(payload)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{path}: cannot write the checkpoint: {reason}") from None


def load(
    path: Path, limit: int, again: str = AGAIN
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """(tensors, facts) as they were saved; None where there is no file.

    limit: bytes that the tensors may have. again: what to do about a bad file. Raises
    InputError, with what to do, for a file that is damaged, too large, of an older hwsim, or no
    regular file.
    """
    import safetensors.torch
    from safetensors import SafetensorError

    try:
        payload = read_regular(path, limit + HEADER)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        meta = _metadata(payload)
        if "digest" not in meta:
            raise InputError(
                f"{path}: a checkpoint of an older hwsim, without a digest, or of another "
                f"program: {again}"
            )
        tensors = safetensors.torch.load(payload)
        facts = parse_json(meta["facts"])
        whole = meta["format"] == str(FORMAT) and isinstance(facts, dict)
        if whole and content_digest(tensors, facts) == meta["digest"]:
            return tensors, facts
    except InputError:
        raise
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError):
        pass  # damage shows wherever it likes
    raise InputError(f"{path}: damaged: {again}")


def _metadata(payload: bytes) -> dict[str, str]:
    """The text values of a safetensors header, which the library gives for open files only."""
    if len(payload) < 8:
        raise ValueError("too short")
    (size,) = struct.unpack("<Q", payload[:8])
    if size > len(payload) - 8:
        raise ValueError("the header is longer than the file")
    header = parse_json(payload[8 : 8 + size])
    found = header.get("__metadata__", {}) if isinstance(header, dict) else None
    if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
        raise ValueError("metadata is not text")
    return found


def restore(module: torch.nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put ``tensors`` into ``module``, if they are its own by name, type and shape, and finite.

    Raises InputError otherwise, before anything is changed.
    """
    own = module.state_dict()
    if own.keys() != tensors.keys():
        raise InputError(f"{path}: the checkpoint of another network: {AGAIN}")
    for name, value in tensors.items():
        check_like(value, own[name], f"{path}: {name}")
    module.load_state_dict(dict(tensors))


def check_like(value: Tensor, own: Tensor, what: str) -> None:
    """Raise InputError unless ``value`` has type and shape of ``own`` and is finite."""
    if (value.dtype, value.shape) != (own.dtype, own.shape):
        raise InputError(
            f"{what} is {value.dtype} of shape {tuple(value.shape)}, not {own.dtype} of "
            f"{tuple(own.shape)}, so it is of another network: {AGAIN}"
        )
    if not bool(torch.isfinite(value).all()):
        raise InputError(f"{what} is not finite: {AGAIN}")
