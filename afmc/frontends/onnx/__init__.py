"""Models in ONNX files: read with care, their products found, the rest run by onnx's reference."""
