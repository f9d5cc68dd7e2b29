"""The hardware units, one file each: what a unit computes and what it costs."""
