"""Line and toggle coverage of the Verilog: ``make coverage`` runs this package."""
