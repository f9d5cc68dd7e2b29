#!/usr/bin/env bash
# PGD of n steps moves by n − 1 of them in two libraries; FGSM built on that returns the image itself.
#
# Versions: adv-lib 0.2.8, secml-torch 1.5, foolbox 3.3.4, torch 2.13.0 (a large download). adv-lib and
# secml-torch are installed without dependencies; an empty module stands in for torchvision.
# Behaviour: adv-lib's pgd_linf and secml-torch's native PGD judge an image before each step and return the
# best one judged: where the last step leads is never looked at. Without a random start the first image
# judged is the original, so that n steps of α reach (n − 1)·α, and one step is no attack. secml-torch's FGSM
# on the adv-lib backend is PGD of one step, and returns every image unchanged; on Foolbox's it moves
# by ε. A network then seems fully robust to FGSM.
# What one would expect: one signature, one result whatever the backend; n steps that reach n·α.
# What to do: give one step more, and check the distance that was reached.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet torch==2.13.0 numpy==2.2.6 scipy==1.15.3 foolbox==3.3.4 tqdm==4.70.1 requests==2.34.2
"$folder/venv/bin/python" -m pip install --quiet --no-deps adv-lib==0.2.8 secml-torch==1.5

"$folder/venv/bin/python" -W ignore - > "$folder/seen" 2> "$folder/log" <<'PY'
import sys
import types

for name in ("torchvision", "torchvision.models"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["torchvision"].models = sys.modules["torchvision.models"]
import torch
from secmlt.adv.backends import Backends
from secmlt.adv.evasion.fgsm import FGSM
from secmlt.adv.evasion.pgd import PGD
from secmlt.models.pytorch.base_pytorch_nn import BasePyTorchClassifier
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
linear = torch.nn.Linear(64, 2)
with torch.no_grad():  # the logits differ by the sum of the pixels less 60
    linear.weight[0], linear.weight[1] = 0.5, -0.5
    linear.bias[0], linear.bias[1] = -30, 30
network = torch.nn.Sequential(torch.nn.Flatten(), linear).eval()
images = torch.full((8, 1, 8, 8), 0.97)  # by 2.08: three steps of 0.64 leave the label, four change it
labels = network(images).argmax(1)
model = BasePyTorchClassifier(network)
data = DataLoader(TensorDataset(images, labels), batch_size=8)


def told(name, attack):
    found = torch.cat([batch for batch, _ in attack(model, data)])
    fooled = int((network(found).argmax(1) != labels).sum())
    print(f"{name}: moved {float((found - images).abs().max()):.2f}, fooled {fooled} of 8")


backends = {"Foolbox": Backends.FOOLBOX, "adv-lib": Backends.ADVLIB, "native": Backends.NATIVE}
for steps in (1, 4, 5):
    for name, backend in backends.items():
        told(f"PGD of {steps} steps of 0.01, {name}", PGD("linf", 0.3, steps, 0.01, backend=backend))
for name in ("Foolbox", "adv-lib"):
    told(f"FGSM of 0.04, {name}", FGSM("linf", 0.04, backend=backends[name]))
PY

diff - "$folder/seen" <<'SEEN'
PGD of 1 steps of 0.01, Foolbox: moved 0.01, fooled 0 of 8
PGD of 1 steps of 0.01, adv-lib: moved 0.00, fooled 0 of 8
PGD of 1 steps of 0.01, native: moved 0.00, fooled 0 of 8
PGD of 4 steps of 0.01, Foolbox: moved 0.04, fooled 8 of 8
PGD of 4 steps of 0.01, adv-lib: moved 0.00, fooled 0 of 8
PGD of 4 steps of 0.01, native: moved 0.03, fooled 0 of 8
PGD of 5 steps of 0.01, Foolbox: moved 0.05, fooled 8 of 8
PGD of 5 steps of 0.01, adv-lib: moved 0.04, fooled 8 of 8
PGD of 5 steps of 0.01, native: moved 0.04, fooled 8 of 8
FGSM of 0.04, Foolbox: moved 0.04, fooled 8 of 8
FGSM of 0.04, adv-lib: moved 0.00, fooled 0 of 8
SEEN
echo "as stated"
