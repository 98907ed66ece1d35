"""Models in forms that other programs run: ONNX, with the CRF as operators of ONNX, and PyTorch's own packages."""
