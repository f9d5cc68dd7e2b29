"""Programs as files of other people's formats: QCDQ and QONNX graphs."""
