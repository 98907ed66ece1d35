#!/usr/bin/env bash
# Train the bundled model: FCN-8s slim from VGG-16's ImageNet weights, then FCN-8s slim + CRF-RNN end to end from it.
#
#   scripts/train_slim.sh VOC2012 TRUNK.npz [OPTIONS OF caffe train, e.g. -gpu 0]
#
# VOC2012: folder with ImageSets, JPEGImages and SegmentationClass. TRUNK.npz: see scripts/convert_vgg_trunk.py.
# Everything goes to work/ below the folder in which this is started, which must hold prototxt/. Steps that are done are
# not repeated: remove their results to run them again. An interrupted training goes on from its last snapshot.
set -euo pipefail

if [ $# -lt 2 ]; then
  sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
  exit 1
fi
voc=$1 trunk=$2
shift 2
python=${PYTHON:-python}
scripts=$(dirname "$0")
classes=0,8,10,12,13,15,17
mkdir -p work

# Photographs of `train` have fine masks, those of `train_sbd` coarser ones; both are used, at two sizes, mirrored too.
[ -d work/train/label_lmdb ] || "$python" -m crfasrnn.cli data lmdb --voc "$voc" --list train --list train_sbd \
  --classes $classes --scales "${SCALES:-256,384}" --mirror --output work/train
[ -d work/val/label_lmdb ] || "$python" -m crfasrnn.cli data lmdb --voc "$voc" --list val \
  --classes $classes --max-side "${SIZE:-384}" --output work/val
[ -f work/trunk.caffemodel.h5 ] || "$python" "$scripts/convert_vgg_trunk.py" "$trunk" work/trunk.caffemodel.h5

# train NAME WEIGHTS [OPTIONS]: run prototxt/slim/NAME_solver.prototxt, logging to work/NAME.log.
train() {
  local name=$1 weights=$2 last
  shift 2
  [ -f "work/$name.caffemodel" ] && return
  last=$(ls -t work/"$name"_iter_*.solverstate 2>/dev/null | head -n 1 || true)
  if [ -n "$last" ]; then
    "$python" -m caffe train -solver "prototxt/slim/${name}_solver.prototxt" -snapshot "$last" "$@" 2>&1 | tee -a "work/$name.log"
  else
    "$python" -m caffe train -solver "prototxt/slim/${name}_solver.prototxt" -weights "$weights" "$@" 2>&1 | tee "work/$name.log"
  fi
  last=$(ls -t work/"$name"_iter_*.caffemodel | head -n 1)
  cp "$last" "work/$name.caffemodel.part"
  mv "work/$name.caffemodel.part" "work/$name.caffemodel"
}

train fcn8s work/trunk.caffemodel.h5 "$@"
train crfrnn work/fcn8s.caffemodel "$@"

[ -f work/loss.png ] || "$python" "$scripts/plot_log.py" work/fcn8s.log work/crfrnn.log -o work/loss.png
for name in fcn8s crfrnn; do
  [ -f "work/$name.caffemodel.h5" ] || "$python" "$scripts/export_model.py" "work/$name.caffemodel" "work/$name.caffemodel.h5"
  [ -f "work/$name.json" ] || "$python" -m crfasrnn.cli evaluate --model "prototxt/slim/${name}_deploy.prototxt" --weights "work/$name.caffemodel.h5" \
    --size "${SIZE:-384}" --voc "$voc" --list val --classes $classes --json "work/$name.json"
done
