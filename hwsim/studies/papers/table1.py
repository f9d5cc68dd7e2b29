"""Table I of the slides: M0, M1 (pruned), M2 (and logits augmentation), MNIST."""

from __future__ import annotations

from hwsim.studies.papers.slides_grid import Published
from hwsim.studies.papers.slides_table import Slides

NETWORKS = ("mnist-cnn", "mnist-cnn-p7")

PUBLISHED: Published = {
    "M0": {
        "FGSM": [(9.0, 2.19), (17.0, 3.28), (45.6, 5.45)],
        "FGSM targeted": [(1.97, 2.17), (4.52, 3.25), (12.0, 5.39)],
        "BIM targeted": [(3.89, 2.11), (14.81, 3.11), (39.64, 5.28)],
        "C&W": [(99.6, 2.03)],
    },
    "M1": {
        "FGSM": [(7.4, 2.16), (8.7, 3.25), (20.2, 5.38)],
        "FGSM targeted": [(1.17, 2.15), (1.68, 3.22), (4.04, 5.35)],
        "BIM targeted": [(3.14, 2.14), (9.9, 3.13), (31.26, 5.07)],
        "C&W": [(96.97, 2.28)],
    },
    "M2": {
        "FGSM": [(1.1, 2.28), (1.1, 3.41), (1.1, 5.65)],
        "FGSM targeted": [(1.04, 2.15), (1.5, 3.22), (3.87, 5.35)],
        "BIM targeted": [(2.71, 2.15), (7.9, 3.1), (21.12, 5.1)],
        "C&W": [(95.93, 2.5)],
    },
}

_SLIDES = Slides(NETWORKS, "M", PUBLISHED)
grid, find = _SLIDES.grid, _SLIDES.find
