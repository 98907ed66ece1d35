"""InnerProduct and Embed: indices out of range."""

from __future__ import annotations

import pytest
from support.caffe.layer_errors import net_with

import caffe

pytestmark = pytest.mark.usefixtures("compute")


def test_indices_out_of_range_are_refused() -> None:
    reindex = net_with([(2, 3), (1,)], 'type: "BatchReindex"')
    reindex.blobs["in1"].data[...] = 2
    with pytest.raises(caffe.CaffeError, match=r"2..2 are not within 0..1"):
        reindex.forward()
    embed = net_with([(2,)], 'type: "Embed" embed_param { num_output: 2 input_dim: 3 }')
    embed.blobs["in0"].data[...] = -1
    with pytest.raises(caffe.CaffeError, match=r"-1..-1 are not within 0..2"):
        embed.forward()
