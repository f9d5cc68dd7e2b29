#!/usr/bin/env bash
# Minimum-norm attacks return three different things where they fail; one of them is distance 0.
#
# Versions: adv-lib 0.2.8, foolbox 3.3.4, torchattacks 3.5.1, torch 2.13.0 (a large download).
# adv-lib and torchattacks declare torchvision and visdom, which these attacks do not use: both are
# installed without dependencies, and empty modules stand in for them.
# Behaviour: on images that cannot be fooled, some attacks return the image itself (all of adv-lib
# here, FMN and DDN of Foolbox, CW of torchattacks), others the point where they stopped (CW and
# DeepFool of Foolbox, DeepFool of torchattacks). The attack of one name does one thing in one
# library and the other in the next: CW. So over all images a failure counts as the best result that
# there is, or as a bad one; adv-lib's own print_metrics takes its median over all images, and only
# its average over the successful ones as well.
# One would expect: a failure that cannot be mistaken for a distance.
# What to do: judge every result anew and set failures to infinity before taking a median.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet torch==2.13.0 numpy==2.2.6 scipy==1.15.3 foolbox==3.3.4 tqdm==4.70.1 requests==2.34.2
"$folder/venv/bin/python" -m pip install --quiet --no-deps adv-lib==0.2.8 torchattacks==3.5.1

"$folder/venv/bin/python" -W ignore - > "$folder/seen" <<'PY'
import sys
import types

for name in ("torchvision", "torchvision.models", "visdom"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["torchvision"].models = sys.modules["torchvision.models"]
import adv_lib.attacks as advlib
import foolbox
import torch
import torchattacks

torch.manual_seed(0)
linear = torch.nn.Linear(16, 3)
with torch.no_grad():
    linear.bias[0] += 20  # beyond what 16 pixels in [0, 1] can move
model = torch.nn.Sequential(torch.nn.Flatten(), linear).eval()
images = torch.rand(6, 1, 4, 4)
labels = model(images).argmax(1)
victim = foolbox.PyTorchModel(model, (0, 1))
fb = foolbox.attacks
runs = {
    "adv-lib FMN": lambda: advlib.fmn(model, images, labels, norm=2, steps=50),
    "adv-lib DDN": lambda: advlib.ddn(model, images, labels, steps=50),
    "adv-lib ALMA": lambda: advlib.alma(model, images, labels, num_steps=50, distance="l2"),
    "adv-lib sigma-zero": lambda: advlib.sigma_zero(model, images, labels),
    "adv-lib CW": lambda: advlib.carlini_wagner_l2(model, images, labels),
    "Foolbox FMN": lambda: fb.L2FMNAttack(steps=50)(victim, images, labels, epsilons=None)[0],
    "Foolbox DDN": lambda: fb.DDNAttack(steps=50)(victim, images, labels, epsilons=None)[0],
    "Foolbox CW": lambda: fb.L2CarliniWagnerAttack(binary_search_steps=3, steps=50)(
        victim, images, labels, epsilons=None
    )[0],
    "Foolbox DeepFool": lambda: fb.L2DeepFoolAttack(steps=20)(victim, images, labels, epsilons=None)[0],
    "torchattacks CW": lambda: torchattacks.CW(model, steps=50)(images, labels),
    "torchattacks DeepFool": lambda: torchattacks.DeepFool(model, steps=20)(images, labels),
}
for name, run in runs.items():
    found = run().detach()
    fooled = int((model(found).argmax(1) != labels).sum())
    median = float((found - images).flatten(1).norm(dim=1).median())
    print(f"{name}: fooled {fooled} of 6, median distance {'0' if median == 0 else 'above 1' if median > 1 else median}")
PY

diff - "$folder/seen" <<'SEEN'
adv-lib FMN: fooled 0 of 6, median distance 0
adv-lib DDN: fooled 0 of 6, median distance 0
adv-lib ALMA: fooled 0 of 6, median distance 0
adv-lib sigma-zero: fooled 0 of 6, median distance 0
adv-lib CW: fooled 0 of 6, median distance 0
Foolbox FMN: fooled 0 of 6, median distance 0
Foolbox DDN: fooled 0 of 6, median distance 0
Foolbox CW: fooled 0 of 6, median distance above 1
Foolbox DeepFool: fooled 0 of 6, median distance above 1
torchattacks CW: fooled 0 of 6, median distance 0
torchattacks DeepFool: fooled 0 of 6, median distance above 1
SEEN
echo "as stated"
