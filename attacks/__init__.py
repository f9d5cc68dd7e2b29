"""Attacks on classifiers, float or fixed-point, through one small protocol.

base: what a model is, what an attack returns. criteria: goals. grid: admissible inputs. losses:
what is differentiated. fgsm: FGSM and HFGSM. schedule: Algorithm 1. evaluate: success rates.
Nothing is imported here, so that ``hwsim.attacks.core.errors`` comes without torch.
"""
