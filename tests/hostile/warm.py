"""Imports what hostile processes need, once, in the process that they are forked from."""

import importlib
import pkgutil

import hwsim.cli
import hwsim.commands
import tests.hostile.kinds  # noqa: F401

for _module in pkgutil.iter_modules(hwsim.commands.__path__, "hwsim.commands."):
    importlib.import_module(_module.name)
