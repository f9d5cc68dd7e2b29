"""What ``hwsim attack mia-…`` may be told.

Nothing here imports torch, so that ``--help`` stays quick.
"""

from __future__ import annotations

from hwsim.attacks.membership.known import MEMBERSHIP, MembershipEntry

#: All attacks, one after the other.
ALL = "mia"
TITLE = "All membership attacks: which images was the network trained on?"
MODEL = "mnist-cnn-h64"
#: What the attacker sees. float: logits of the float network, and its last gradient. engine: those
#: of the engine. probabilities: the engine's 16-bit unit. class: the engine's answer. cycles: the
#: answer, and the cycles of the layers that skip zeros.
VIEWS = ("float", "engine", "probabilities", "class", "cycles")
USUAL = ("float", "engine")
#: Members, and as many others; shadow models; epochs of an attacker that learns.
SAMPLES, SHADOWS, EPOCHS = 2000, 16, 50
NAMES = (ALL, *MEMBERSHIP)


def attacks(name: str) -> tuple[MembershipEntry, ...]:
    """Those that a command's name means."""
    return tuple(MEMBERSHIP.values()) if name == ALL else (MEMBERSHIP[name],)


def applies(entry: MembershipEntry, view: str) -> bool:
    """Whether the attack can use what is seen, and uses it."""
    if view == "cycles":
        return entry.name == "mia-bmia"
    if view == "class":
        return entry.sees == "class"
    if view == "probabilities":
        return entry.sees == "outputs" or entry.name == "mia-bmia"
    return True
