"""Membership attacks on a network in float and on the engine, from request to judged result."""
