"""Caffe's interface (pycaffe, prototxt, caffemodel, solvers) on PyTorch."""
