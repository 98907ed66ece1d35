"""The solvers: nets that exist and agree, and the numbers of the papers."""

from __future__ import annotations

from typing import Any

import pytest
from support.crfasrnn.prototxts import committed, layer

from crfasrnn.networks import prototxts, solvers


@pytest.mark.parametrize("name", sorted(name for name in prototxts.files() if "solver" in name))
def test_solvers_name_nets_that_exist_and_agree(name: str) -> None:
    solver = committed(name)
    train = committed(solver.train_net.removeprefix("prototxt/"))
    (test_net,) = solver.test_net
    val = committed(test_net.removeprefix("prototxt/"))
    deploy = committed(solver.train_net.removeprefix("prototxt/").replace("_train", "_deploy"))

    def learned(net: Any) -> list[tuple[str, int]]:
        return [(e.name, e.convolution_param.num_output) for e in net.layer if e.HasField("convolution_param")]

    assert learned(train) == learned(val) == learned(deploy)
    assert solver.lr_policy
    assert solver.max_iter % solver.snapshot == 0


def test_published_training() -> None:
    solver = committed("voc21/crfrnn_solver.prototxt")
    assert solver.base_lr == pytest.approx(1e-13)
    assert (solver.momentum, solver.lr_policy, solver.iter_size) == (pytest.approx(0.99), "fixed", 1)
    assert solver.weight_decay == pytest.approx(0.0005)
    loss = layer(committed("voc21/crfrnn_train.prototxt"), "loss").loss_param
    assert (loss.ignore_label, loss.HasField("normalize"), loss.normalize) == (255, True, False)


def test_what_a_call_states_comes_before_what_all_have() -> None:
    made = solvers.solver("nets/x", "work/x", base_lr=0.5, display=3)
    assert (made.train_net, list(made.test_net)) == ("nets/x_train.prototxt", ["nets/x_val.prototxt"])
    assert (made.snapshot_prefix, made.base_lr, made.display, made.random_seed) == ("work/x", 0.5, 3, 1)
    short, long = solvers.slim_short("n", "w", 1e-3), solvers.slim("n", "w", 1e-3)
    assert (short.max_iter, long.max_iter) == (1000, 3500)
    short.max_iter = short.test_interval = long.max_iter
    assert short == long
