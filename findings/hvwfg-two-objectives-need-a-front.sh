#!/usr/bin/env bash
# hvwfg: with two objectives one dominated point makes the hypervolume wrong, with three it does not.
#
# Versions: hvwfg 1.0.2 (compiled when installed: needs a C compiler), moocore 0.3.2, numpy 2.2.6.
# Behaviour: hypervolumes of 100 random sets of 12 points, to be minimized. With 3, 4 and 5 objectives
# hvwfg gives what moocore gives, dominated points or not. With 2 it is wrong for every set that
# has a dominated point, and right for the front of the same set; nothing is said.
# One would expect: a hypervolume of a union of boxes, to which a box inside another adds nothing, in
# every dimension.
# What to do: reduce to the front first, or use moocore, pymoo or Optuna, which do not care.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet numpy==2.2.6 hvwfg==1.0.2 moocore==0.3.2

"$folder/venv/bin/python" - > "$folder/seen" <<'PY'
import hvwfg
import moocore
import numpy as np

random = np.random.default_rng(0)
for objectives in (2, 3, 4, 5):
    top = np.ones(objectives)
    sets = [random.random((12, objectives)) for _ in range(100)]
    sets = [one for one in sets if not moocore.is_nondominated(one).all()]
    right = [moocore.hypervolume(one, ref=top) for one in sets]
    fronts = [one[moocore.is_nondominated(one)] for one in sets]
    equal = [np.isclose([hvwfg.wfg(one, top) for one in group], right).mean() for group in (sets, fronts)]
    print(f"{objectives} objectives: right for {100 * equal[0]:.0f}% of the sets, {100 * equal[1]:.0f}% of their fronts")
PY

diff - "$folder/seen" <<'SEEN'
2 objectives: right for 0% of the sets, 100% of their fronts
3 objectives: right for 100% of the sets, 100% of their fronts
4 objectives: right for 100% of the sets, 100% of their fronts
5 objectives: right for 100% of the sets, 100% of their fronts
SEEN
echo "as stated"
