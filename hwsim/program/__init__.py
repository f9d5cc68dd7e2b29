"""What the engine executes: layers, their words and places, and the proof that none overflows."""
