"""Write base.prototxt (a classifier) and train.prototxt and val.prototxt (the segmentation net made from it)."""

import sys

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.coord_map import crop


def conv_relu(bottom, nout, ks=3, stride=1, pad=1):
    conv = L.Convolution(
        bottom,
        kernel_size=ks,
        stride=stride,
        num_output=nout,
        pad=pad,
        weight_filler=dict(type="msra"),
        param=[dict(lr_mult=1, decay_mult=1), dict(lr_mult=2, decay_mult=0)],
    )
    return conv, L.ReLU(conv, in_place=True)


def max_pool(bottom, ks=2, stride=2):
    return L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=ks, stride=stride)


def base():
    n = caffe.NetSpec()
    n.data = L.Input(shape=[dict(dim=[1, 3, 16, 16])])
    n.conv1, n.relu1 = conv_relu(n.data, 4)
    n.pool1 = max_pool(n.relu1)
    n.conv2, n.relu2 = conv_relu(n.pool1, 6)
    n.pool2 = max_pool(n.relu2)
    n.fc3 = L.InnerProduct(n.pool2, num_output=8, weight_filler=dict(type="msra"))
    n.relu3 = L.ReLU(n.fc3, in_place=True)
    n.prob = L.Softmax(n.fc3)
    return n.to_proto()


def fcn(voc_dir, split):
    n = caffe.NetSpec()
    n.data, n.label = L.Python(
        module="voc_layers",
        layer="VOCSegDataLayer",
        ntop=2,
        param_str=str(dict(voc_dir=voc_dir, split=split, mean=(104.00699, 116.66877, 122.67892), seed=1337)),
    )
    n.conv1, n.relu1 = conv_relu(n.data, 4, pad=20)
    n.pool1 = max_pool(n.relu1)
    n.conv2, n.relu2 = conv_relu(n.pool1, 6)
    n.pool2 = max_pool(n.relu2)
    n.fc3, n.relu3 = conv_relu(n.pool2, 8, ks=4, pad=0)
    n.drop3 = L.Dropout(n.relu3, dropout_ratio=0.5, in_place=True)
    n.score_fr = L.Convolution(n.drop3, num_output=21, kernel_size=1, param=[dict(lr_mult=1), dict(lr_mult=2)])
    n.upscore2 = L.Deconvolution(
        n.score_fr,
        convolution_param=dict(num_output=21, kernel_size=4, stride=2, bias_term=False),
        param=[dict(lr_mult=0)],
    )
    n.score_pool1 = L.Convolution(n.pool1, num_output=21, kernel_size=1, param=[dict(lr_mult=1), dict(lr_mult=2)])
    n.score_pool1c = crop(n.score_pool1, n.upscore2)
    n.fuse = L.Eltwise(n.upscore2, n.score_pool1c, operation=P.Eltwise.SUM)
    n.upscore = L.Deconvolution(
        n.fuse,
        convolution_param=dict(num_output=21, kernel_size=4, stride=2, bias_term=False),
        param=[dict(lr_mult=0)],
    )
    n.score = crop(n.upscore, n.data)
    n.loss = L.SoftmaxWithLoss(n.score, n.label, loss_param=dict(normalize=False, ignore_label=255))
    return n.to_proto()


if __name__ == "__main__":
    with open("base.prototxt", "w") as f:
        f.write(str(base()))
    with open("train.prototxt", "w") as f:
        f.write(str(fcn(sys.argv[1], "train")))
    with open("val.prototxt", "w") as f:
        f.write(str(fcn(sys.argv[1], "val")))
