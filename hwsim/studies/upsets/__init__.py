"""Campaigns of random faults: trials by the thousand, on one machine or many."""
