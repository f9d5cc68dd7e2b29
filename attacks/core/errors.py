"""The error of this package; str() is one line that says what is wrong and what to do."""


class AttackError(ValueError):
    """Inputs, labels, targets, budgets or model outputs that an attack cannot work with."""
