"""Table II of the slides: C0, C1 (pruned), C2 (and logits augmentation), CIFAR-10."""

from __future__ import annotations

from hwsim.studies.papers.slides_grid import Published
from hwsim.studies.papers.slides_table import Slides

NETWORKS = ("c0", "c0-p7")

PUBLISHED: Published = {
    "C0": {
        "FGSM": [(84.6, 5.43), (86.3, 8.05), (87.1, 13.0)],
        "FGSM targeted": [(17.71, 5.43), (14.78, 8.05), (11.49, 13.0)],
        "BIM targeted": [(63.59, 4.48), (65.83, 6.66), (65.73, 10.8)],
        "C&W": [(99.54, 2.06)],
    },
    "C1": {
        "FGSM": [(70.3, 5.43), (75.3, 8.05), (80.9, 13.0)],
        "FGSM targeted": [(11.2, 5.42), (10.5, 8.05), (10.1, 13.03)],
        "BIM targeted": [(25.3, 4.47), (23.8, 6.64), (19.3, 10.8)],
        "C&W": [(85.0, 3.55)],
    },
    "C2": {
        "FGSM": [(24.6, 1.42), (24.5, 2.11), (25.0, 3.41)],
        "FGSM targeted": [(11.12, 5.33), (11.25, 7.91), (11.16, 12.8)],
        "BIM targeted": [(43.41, 4.43), (44.9, 6.5), (41.2, 10.7)],
        "C&W": [(83.9, 4.31)],
    },
}

_SLIDES = Slides(NETWORKS, "C", PUBLISHED)
grid, find = _SLIDES.grid, _SLIDES.find
