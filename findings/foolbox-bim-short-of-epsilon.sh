#!/usr/bin/env bash
# Foolbox's basic iterative method with few steps does not reach ε.
#
# Versions: foolbox 3.3.4, torch 2.13.0 (a large download).
# Behaviour: LinfBasicIterativeAttack steps 0.2 ε by default (rel_stepsize), whatever the number of
# steps is: three steps end at 0.6 ε, five reach ε. The default is documented.
# What to do: give rel_stepsize with steps, and check the distance that was reached.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet foolbox==3.3.4 torch==2.13.0 numpy==2.2.6

"$folder/venv/bin/python" - > "$folder/seen" <<'PY'
import foolbox
import torch

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3)).eval()
images, labels = torch.full((2, 1, 4, 4), 0.5), torch.tensor([0, 1])
victim = foolbox.PyTorchModel(model, (0, 1))
for steps in (1, 3, 5, 10):
    attack = foolbox.attacks.LinfBasicIterativeAttack(steps=steps)
    _, found, _ = attack(victim, images, labels, epsilons=0.1)
    print(f"{steps} steps at epsilon 0.1: largest change {float((found - images).abs().max()):.4f}")
PY

diff - "$folder/seen" <<'SEEN'
1 steps at epsilon 0.1: largest change 0.0200
3 steps at epsilon 0.1: largest change 0.0600
5 steps at epsilon 0.1: largest change 0.1000
10 steps at epsilon 0.1: largest change 0.1000
SEEN
echo "as stated"
