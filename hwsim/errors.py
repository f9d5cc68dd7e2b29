"""Errors that a user can act on: the command line prints them as one line and exits with 2."""

#: What is said when the user ends a command, with exit code 130.
INTERRUPTED = "interrupted: nothing is half-written; run the same command to go on"


class HwsimError(ValueError):
    """Base of all errors caused by input rather than by a bug; str() is one clear line."""


class ConfigError(HwsimError):
    """An engine configuration that does not exist or cannot be built."""


class CompileError(HwsimError):
    """A network that the engine cannot run, with the module path and what to do."""


class ImageError(HwsimError):
    """A memory image that is missing, damaged, or made for something else."""


class InputError(HwsimError):
    """Images, targets or numbers that a run cannot accept."""
