"""Networks that others made: .onnx and .tflite files become Programs that keep their integers."""
