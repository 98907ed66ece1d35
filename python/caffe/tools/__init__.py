"""Caffe's tools beside the `caffe` command, one module each: `python -m caffe.tools.<name>` or the command of that name."""
