"""Synthesis, place and route of the Verilog for an ECP5."""
