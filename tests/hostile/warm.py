"""What hostile processes need, once, in the process that they are forked from: modules, and what
libraries look up when they are first used. No computing, which could leave threads behind.
"""

import importlib
import io
import pkgutil

from matplotlib.figure import Figure
from numba.core.registry import cpu_target
from PIL import Image

import tests.hostile.artefacts
import tests.hostile.kinds
import tests.hostile.small_world
import tests.hostile.victims
from hwsim.studies.runner import code_digest

for _home in ("attacks", "audit", "commands", "defenses", "networks", "report", "runs", "studies",
              "training"):  # fmt: skip
    _room = importlib.import_module(f"hwsim.{_home}")
    for _module in pkgutil.walk_packages(_room.__path__, f"hwsim.{_home}."):
        importlib.import_module(_module.name)
for _name in ("hwsim.cli", "jinja2", "safetensors.torch", "torch._dynamo"):
    importlib.import_module(_name)
Image.init()
tests.hostile.small_world.register()
_figure = Figure()
_figure.subplots().set_title("0")
_figure.savefig(io.BytesIO(), format="png")
cpu_target.typing_context.refresh()
cpu_target.target_context.refresh()
for _name in tests.hostile.small_world.ROWS:
    code_digest.digest(_name)
