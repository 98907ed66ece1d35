"""Score a segmentation net: pixel accuracy and mean IU from a histogram of label pairs."""

from datetime import datetime

import numpy as np


def fast_hist(a, b, n):
    k = (a >= 0) & (a < n)
    return np.bincount(n * a[k].astype(int) + b[k], minlength=n**2).reshape(n, n)


def compute_hist(net, dataset, layer="score", gt="label"):
    n_cl = net.blobs[layer].channels
    hist = np.zeros((n_cl, n_cl))
    loss = 0
    for _ in dataset:
        net.forward()
        hist += fast_hist(net.blobs[gt].data[0, 0].flatten(), net.blobs[layer].data[0].argmax(0).flatten(), n_cl)
        loss += net.blobs["loss"].data.flat[0]
    return hist, loss / len(dataset)


def seg_tests(solver, dataset, layer="score", gt="label"):
    print(">>>", datetime.now(), "Begin seg tests")
    solver.test_nets[0].share_with(solver.net)
    hist, loss = compute_hist(solver.test_nets[0], dataset, layer, gt)
    print(">>>", datetime.now(), "Iteration", solver.iter, "loss", loss)
    print(">>>", datetime.now(), "Iteration", solver.iter, "overall accuracy", np.diag(hist).sum() / hist.sum())
    return hist, loss
