#!/usr/bin/env bash
# torchattacks: BIM stops short of ε, and raw pixels are clamped to [0, 1] in silence.
#
# Versions: torchattacks 3.5.1, torch 2.13.0 (a large download). torchattacks declares torchvision,
# which these attacks do not use: it is installed without dependencies.
# Behaviour: BIM takes 10 steps of 2/255 by default, whatever ε is, so that it never goes beyond
# 0.0784: at ε = 0.3 it uses a quarter of its budget. The defaults are documented. Images in 0 … 255
# are accepted, and every output is clamped to [0, 1]: all that was above 1 becomes 1.
# What to do: give step and count, and check the distance that was reached before two libraries are
# compared; scale images to [0, 1] yourself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet torch==2.13.0 numpy==2.2.6 requests==2.34.2 scipy==1.15.3 tqdm==4.70.1
"$folder/venv/bin/python" -m pip install --quiet --no-deps torchattacks==3.5.1

"$folder/venv/bin/python" - > "$folder/seen" <<'PY'
import torch
import torchattacks

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3)).eval()
images, labels = torch.full((2, 1, 4, 4), 0.5), torch.tensor([0, 1])
for epsilon in (0.05, 0.1, 0.3):
    found = torchattacks.BIM(model, eps=epsilon)(images, labels)
    print(f"epsilon {epsilon}: largest change {float((found - images).abs().max()):.4f}")
raw = torch.full((2, 1, 4, 4), 128.0)
found = torchattacks.FGSM(model, eps=8.0)(raw, labels)
print(f"pixels of 128, epsilon 8: {found.min():.0f} to {found.max():.0f}")
PY

diff - "$folder/seen" <<'SEEN'
epsilon 0.05: largest change 0.0500
epsilon 0.1: largest change 0.0784
epsilon 0.3: largest change 0.0784
pixels of 128, epsilon 8: 1 to 1
SEEN
echo "as stated"
