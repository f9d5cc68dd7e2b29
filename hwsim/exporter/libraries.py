"""Which of other people's libraries are there."""

from __future__ import annotations

from importlib.util import find_spec

from hwsim.errors import InputError


def there(module: str) -> bool:
    """Whether ``module`` is installed."""
    return find_spec(module) is not None


def need(module: str) -> None:
    """Raises InputError, with what installs it, where ``module`` is not there."""
    if not there(module):
        raise InputError(
            f"this needs {module}, which is not installed: pip install 'hwsim[import]'"
        )
