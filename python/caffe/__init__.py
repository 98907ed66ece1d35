"""Caffe's interface on PyTorch."""
