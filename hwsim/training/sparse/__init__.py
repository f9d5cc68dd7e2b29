"""Test-driven sparse training: candidates that an attacker tests, and what it is compared with."""
