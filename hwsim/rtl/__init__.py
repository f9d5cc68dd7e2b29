"""The Verilog as a second backend: built by Verilator, driven, traced."""
