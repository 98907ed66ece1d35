"""Classify images with the CIFAR-10 net and print the five best classes of each."""

import sys

import numpy as np

import caffe

LABELS = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

model_def, model_weights = sys.argv[1:3]
caffe.set_mode_cpu()

net = caffe.Net(model_def, model_weights, caffe.TEST)
mu = np.array([125.3, 123.0, 113.9])

transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
transformer.set_transpose("data", (2, 0, 1))
transformer.set_mean("data", mu)
transformer.set_raw_scale("data", 255)

net.blobs["data"].reshape(len(sys.argv[3:]), 3, 32, 32)
for i, name in enumerate(sys.argv[3:]):
    image = caffe.io.load_image(name)
    net.blobs["data"].data[i] = transformer.preprocess("data", image)
output = net.forward()
for name, output_prob in zip(sys.argv[3:], output["prob"]):
    top_inds = output_prob.argsort()[::-1][:5]
    print(name, *[f"{LABELS[k]}:{output_prob[k]:.4f}" for k in top_inds])

classifier = caffe.Classifier(model_def, model_weights, mean=mu, raw_scale=255)
scores = classifier.predict([caffe.io.load_image(name) for name in sys.argv[3:]], oversample=False)
assert np.allclose(scores, output["prob"], atol=1e-5)
