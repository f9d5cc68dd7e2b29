"""Training through the engine, against attacks, and with pruned weights."""
