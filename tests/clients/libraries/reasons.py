"""Why an attack does not run: the words of its error, which a test compares, and the cause."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """``error``: part of the message, on every model. ``cause``: in words, for the page."""

    error: str
    cause: str


_TORCHVISION = Reason("No module named 'torchvision'", "needs torchvision")
_OPENCV = Reason("No module named 'cv2'", "needs OpenCV")

#: By library and attack. All of them stop on the float network in the same way.
REASONS: dict[tuple[str, str], Reason] = {
    ("Foolbox", "PointwiseAttack"): Reason(
        "has no attribute '_distance'",
        "Foolbox: its constructor sets no distance, and the call reads one",
    ),
    ("ART", "AdversarialPatch"): _TORCHVISION,
    ("ART", "AdversarialPatchPyTorch"): _TORCHVISION,
    ("ART", "AdversarialPatchNumpy"): Reason(
        "has no attribute 'patch'",
        "ART with NumPy 2: expects half of its float32 range to be a Python float",
    ),
    ("ART", "CompositeAdversarialAttackPyTorch"): Reason(
        "No module named 'kornia'", "needs kornia"
    ),
    ("ART", "GRAPHITEBlackbox"): _OPENCV,
    ("ART", "GRAPHITEWhiteboxPyTorch"): _OPENCV,
    ("ART", "GeoDA"): Reason(
        "`np.mat` was removed in the NumPy 2.0", "ART with NumPy 2: calls `np.mat`, which is gone"
    ),
    ("ART", "LaserAttack"): Reason(
        "`np.asfarray` was removed in the NumPy 2.0",
        "ART with NumPy 2: calls `np.asfarray`, which is gone",
    ),
}
