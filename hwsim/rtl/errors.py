"""What is wrong with the Verilog backend, or with this machine for it."""

from __future__ import annotations

from hwsim.errors import HwsimError


class RtlError(HwsimError):
    """The RTL cannot be built or run here, or its simulation died, fell silent or lied."""
