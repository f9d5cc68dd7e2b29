"""Trained networks that only the studies of hwsim ask for: ``zoo/``, found by hwsim.models.zoo."""
