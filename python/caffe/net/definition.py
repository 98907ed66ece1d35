"""A net's definition before any layer exists: which layers the phase keeps, and automatic Split layers."""

from __future__ import annotations

from caffe.errors import CaffeError
from caffe.logs.glog import signed
from caffe.proto import caffe_pb2

logger = signed("net.cpp")

_PHASES = ("TRAIN", "TEST")


def filter_net(net: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """A copy with the layers that `net.state` keeps: any include rule met, or no exclude rule met (Caffe's Net::FilterNet)."""
    kept = caffe_pb2.NetParameter()
    kept.CopyFrom(net)
    del kept.layer[:]
    for layer in net.layer:
        if layer.include and layer.exclude:
            raise CaffeError(f"layer '{layer.name}': Specify either include rules or exclude rules; not both.")
        if layer.include:
            included = any(_meets(net.state, rule, layer.name) for rule in layer.include)
        else:
            included = not any(_meets(net.state, rule, layer.name) for rule in layer.exclude)
        if included:
            kept.layer.add().CopyFrom(layer)
    return kept


def _meets(state: caffe_pb2.NetState, rule: caffe_pb2.NetStateRule, layer_name: str) -> bool:
    if rule.HasField("phase") and rule.phase != state.phase:
        logger.info(
            "The NetState phase (%d) differed from the phase (%d) specified by a rule in layer %s",
            state.phase,
            rule.phase,
            layer_name,
        )
        return False
    if rule.HasField("min_level") and state.level < rule.min_level:
        logger.info(
            "The NetState level (%d) is above the min_level (%d) specified by a rule in layer %s",
            state.level,
            rule.min_level,
            layer_name,
        )
        return False
    if rule.HasField("max_level") and state.level > rule.max_level:
        logger.info(
            "The NetState level (%d) is above the max_level (%d) specified by a rule in layer %s",
            state.level,
            rule.max_level,
            layer_name,
        )
        return False
    for stage in rule.stage:
        if stage not in state.stage:
            logger.info("The NetState did not contain stage '%s' specified by a rule in layer %s", stage, layer_name)
            return False
    for stage in rule.not_stage:
        if stage in state.stage:
            logger.info("The NetState contained a not_stage '%s' specified by a rule in layer %s", stage, layer_name)
            return False
    return True


def insert_splits(net: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """A copy in which every top has one reader: blobs with several (a loss counts as one) pass through a Split layer.

    Names are Caffe's: layer "<blob>_<layer>_<top index>_split", tops "..._split_0", "..._split_1" and so on.
    """
    Source = tuple[int, int]
    last_writer: dict[str, Source] = {}
    source_of: dict[Source, Source] = {}
    readers: dict[Source, int] = {}
    loss_weight: dict[Source, float] = {}
    for i, layer in enumerate(net.layer):
        for j, blob in enumerate(layer.bottom):
            if blob not in last_writer:
                raise CaffeError(f"Unknown bottom blob '{blob}' (layer '{layer.name}', bottom index {j})")
            source_of[i, j] = last_writer[blob]
            readers[last_writer[blob]] = readers.get(last_writer[blob], 0) + 1
        for j, blob in enumerate(layer.top):
            last_writer[blob] = (i, j)
        for j, weight in enumerate(layer.loss_weight[: len(layer.top)]):
            if weight:
                loss_weight[i, j] = weight
                readers[i, j] = readers.get((i, j), 0) + 1

    split = caffe_pb2.NetParameter()
    split.CopyFrom(net)
    del split.layer[:]
    taken: dict[Source, int] = {}

    def part(source: Source, blob: str) -> str:
        taken[source] = taken.get(source, 0) + 1
        return f"{blob}_{net.layer[source[0]].name}_{source[1]}_split_{taken[source] - 1}"

    for i, layer in enumerate(net.layer):
        copied = split.layer.add()
        copied.CopyFrom(layer)
        for j, blob in enumerate(layer.bottom):
            if readers[source_of[i, j]] > 1:
                copied.bottom[j] = part(source_of[i, j], blob)
        for j, blob in enumerate(layer.top):
            count = readers.get((i, j), 0)
            if count < 2:
                continue
            name = f"{blob}_{layer.name}_{j}_split"
            added = split.layer.add(name=name, type="Split", bottom=[blob], top=[f"{name}_{k}" for k in range(count)])
            if (i, j) in loss_weight:
                # The first part carries the loss to the loss; the layer's own top no longer does.
                added.loss_weight.extend([loss_weight[i, j]] + [0.0] * (count - 1))
                del copied.loss_weight[:]
                taken[i, j] = 1
    return split


def set_state(net: caffe_pb2.NetParameter, phase: int, level: int, stages: list[str]) -> None:
    """Set the state that rules are compared with, in place."""
    net.state.phase = phase  # type: ignore[assignment]
    net.state.level = level
    del net.state.stage[:]
    net.state.stage.extend(stages)


def phase_name(phase: int) -> str:
    """TRAIN or TEST."""
    return _PHASES[phase]
