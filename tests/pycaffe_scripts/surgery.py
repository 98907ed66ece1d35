"""Net surgery: carry weights from one net to another and make bilinear upsampling filters."""

import numpy as np


def transplant(new_net, net, suffix=""):
    """Copy the weights of net into new_net; where shapes differ but sizes agree, flat; other layers are left out."""
    for p in net.params:
        p_new = p + suffix
        if p_new not in new_net.params:
            print("dropping", p)
            continue
        for i in range(len(net.params[p])):
            if i > (len(new_net.params[p_new]) - 1):
                print("dropping", p, i)
                break
            if net.params[p][i].data.shape != new_net.params[p_new][i].data.shape:
                print("coercing", p, i, "from", net.params[p][i].data.shape, "to", new_net.params[p_new][i].data.shape)
            else:
                print("copying", p, " -> ", p_new, i)
            new_net.params[p_new][i].data.flat = net.params[p][i].data.flat


def upsample_filt(size):
    """A 2-D bilinear kernel of this size."""
    factor = (size + 1) // 2
    center = factor - 1 if size % 2 == 1 else factor - 0.5
    og = np.ogrid[:size, :size]
    return (1 - abs(og[0] - center) / factor) * (1 - abs(og[1] - center) / factor)


def interp(net, layers):
    """Set the weights of each layer to bilinear interpolation, channel by channel."""
    for layer in layers:
        m, k, h, w = net.params[layer][0].data.shape
        if m != k and k != 1:
            print("input + output channels need to be the same or |output| == 1")
            raise ValueError(layer)
        if h != w:
            print("filters need to be square")
            raise ValueError(layer)
        filt = upsample_filt(h)
        net.params[layer][0].data[range(m), range(k), :, :] = filt
