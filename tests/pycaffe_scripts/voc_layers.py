"""A data layer in Python, as people write them for PASCAL VOC: one image and its mask at a time."""

import os
import random

import numpy as np
from PIL import Image

import caffe


class VOCSegDataLayer(caffe.Layer):
    """Tops: image 1 x 3 x H x W (BGR, mean subtracted) and label 1 x 1 x H x W, both of the image's own size.

    param_str: a dict with voc_dir, split (a file in ImageSets/Segmentation), and optionally mean, randomize and seed.
    """

    def setup(self, bottom, top):
        params = eval(self.param_str)
        self.voc_dir = params["voc_dir"]
        self.split = params["split"]
        self.mean = np.array(params.get("mean", (104.00699, 116.66877, 122.67892)))
        self.random = params.get("randomize", True)
        self.seed = params.get("seed", None)
        if len(top) != 2:
            raise Exception("Need to define two tops: data and label.")
        if len(bottom) != 0:
            raise Exception("Do not define a bottom.")
        split_f = f"{self.voc_dir}/ImageSets/Segmentation/{self.split}.txt"
        self.indices = open(split_f).read().splitlines()
        self.idx = 0
        if "train" not in self.split:
            self.random = False
        if self.random:
            random.seed(self.seed)
            self.idx = random.randint(0, len(self.indices) - 1)

    def reshape(self, bottom, top):
        self.data = self.load_image(self.indices[self.idx])
        self.label = self.load_label(self.indices[self.idx])
        top[0].reshape(1, *self.data.shape)
        top[1].reshape(1, *self.label.shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.data
        top[1].data[...] = self.label
        if self.random:
            self.idx = random.randint(0, len(self.indices) - 1)
        else:
            self.idx += 1
            if self.idx == len(self.indices):
                self.idx = 0

    def backward(self, top, propagate_down, bottom):
        pass

    def load_image(self, idx):
        im = Image.open(os.path.join(self.voc_dir, "JPEGImages", f"{idx}.jpg"))
        in_ = np.array(im, dtype=np.float32)
        in_ = in_[:, :, ::-1]
        in_ -= self.mean
        return in_.transpose((2, 0, 1))

    def load_label(self, idx):
        im = Image.open(os.path.join(self.voc_dir, "SegmentationClass", f"{idx}.png"))
        label = np.array(im, dtype=np.uint8)
        return label[np.newaxis, ...]
