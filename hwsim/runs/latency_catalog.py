"""What ``hwsim attack latency`` may be told.

Nothing here imports torch, so that ``--help`` stays quick.
"""

from __future__ import annotations

NAME = "latency"
TITLE = "Images on which an engine that skips zeros takes longest"
MODEL = "mnist-cnn-h16-banked"
BUDGETS = "0.1,0.3"
#: Test images; gradient steps; squares tried behind them; codes, of the density.
SAMPLES, STEPS, QUERIES, WIDTH = 100, 40, 100, 2.0
OBJECTIVES = ("cycles", "energy")
DENSITIES = ("sums", "codes")
SURROGATES = ("engine", "float")
