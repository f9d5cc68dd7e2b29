"""Attacks on classifiers, float or fixed-point, through one small protocol.

One attack a file. core: what they share (the protocol, goals, losses, the grid of admissible
inputs). evaluate: what their images do to other models, budgets and pairs of classes. Nothing is
imported here, so that ``hwsim.attacks.core.errors`` comes without torch.
"""

if __name__ == "attacks":
    from hwsim.files.step_aside import step_aside

    step_aside(__name__, __file__)
