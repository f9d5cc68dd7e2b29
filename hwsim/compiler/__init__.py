"""A torch module and calibration images become a Program."""
