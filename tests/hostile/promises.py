"""What a hostile round ends in where something is wrong."""


class BrokenPromiseError(Exception):
    """A promise of docs/reliability.md that does not hold, in words."""
