"""What attacks share: protocol, grid, goals, losses, and the two families' loops."""
