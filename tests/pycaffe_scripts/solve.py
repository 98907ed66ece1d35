"""Train the segmentation net, from the classifier's weights and bilinear upsampling."""

import os
import sys

import numpy as np
import score
import surgery

import caffe

voc_dir = sys.argv[1]

caffe.set_mode_cpu()
caffe.set_random_seed(1337)

# A stand-in for the published classifier that one would download.
if not os.path.exists("base.caffemodel"):
    caffe.Net("base.prototxt", caffe.TEST).save("base.caffemodel")

solver = caffe.SGDSolver("solver.prototxt")

base_net = caffe.Net("base.prototxt", "base.caffemodel", caffe.TEST)
surgery.transplant(solver.net, base_net)

interp_layers = [k for k in solver.net.params.keys() if "up" in k]  # noqa: SIM118
surgery.interp(solver.net, interp_layers)

val = np.loadtxt(os.path.join(voc_dir, "ImageSets/Segmentation/val.txt"), dtype=str)

results = {}
for k in range(2):
    hist, loss = score.seg_tests(solver, val, layer="score")
    results[f"hist{k}"], results[f"loss{k}"] = hist, loss
    for _ in range(2):
        solver.step(6)
solver.net.save("final.caffemodel")
np.savez("results.npz", **results)
