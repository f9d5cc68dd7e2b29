"""What a host sees: memory spaces, registers, counters, and patches over the bus."""
