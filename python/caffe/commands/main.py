"""The `caffe` command: train, test, time and device_query, with the flags and log lines of BVLC's tool.

The chosen command's module is loaded when it is chosen, so that the usage is there at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from caffe import mode
from caffe.commands.options import Flags
from caffe.errors import CaffeError
from caffe.tools.flags import run_tool

COMMANDS = ("device_query", "test", "time", "train")

USAGE = f"""caffe: command line brew
usage: caffe <command> <args>

commands:
  train           train or finetune a model
  test            score a model
  device_query    show GPU diagnostic information
  time            benchmark model execution time

flags (one or two dashes, "-flag value" or "-flag=value"):
  -solver FILE          solver definition (train)
  -model FILE           model definition (test, time)
  -weights FILE[,FILE]  weights to start from (train, test); not together with -snapshot
  -snapshot FILE        solver state to resume training from (train); the newest, PREFIX_iter_N.solverstate, always has
                        its weights beside it, even after a crash
  -iterations N         number of iterations to run (test, time; default 50)
  -phase TRAIN|TEST     network phase (time; default TRAIN)
  -inference            time whole passes as crfasrnn segment makes them, instead of layers (time; phase TEST)
  -precision {"|".join(mode.PRECISIONS)}   what wide convolutions multiply in (train, test, time; default float32); bf16 is
                        1.5 to 3 times as fast where the processor has such products, with 8 significant bits
  -level N              network level (default 0)
  -stage NAME[,NAME]    network stages
  -gpu ID[,ID]|all      run in GPU mode on these devices
  -log_json FILE        append what is logged to this file, one JSON object per line (train, test, time)
  -version              print the version of Caffe that this stands for, and this package's own
  -sigint_effect stop|snapshot|none   what Ctrl-C does while training (default stop)
  -sighup_effect stop|snapshot|none   what a hangup does while training (default snapshot)

environment:
  CAFFE_TIMEOUT SECONDS  where several processes train: how long one waits for a step, a tested batch or a snapshot of
                        another before it ends the run with an error (default 600)
  CAFFE_ALLOW_NO_WEIGHTS 1  go on with a weights file of which no layer fits the net, as Caffe does
  GLOG_minloglevel 0|1|2|3, GLOG_log_dir FOLDER  as -minloglevel, -log_dir: what is logged, and in which files, too"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status (0 fine, 1 an error, whose message is on stderr)."""
    return run_tool(USAGE, Flags, (0, 1), _command, arguments)


def _command(words: list[str], flags: Flags) -> int:
    if not words:
        print(USAGE, file=sys.stderr)
        return 0
    if words[0] not in COMMANDS:
        listing = "".join(f"\n  {name}" for name in COMMANDS)
        raise CaffeError(f"Unknown action: {words[0]}. Available caffe actions:{listing}")
    # -inference gives its precision to caffe.fastpath.inference, which leaves the scores in float32.
    with mode.precision("float32" if flags.inference else flags.precision):
        return int(import_module(f"caffe.commands.{words[0]}").run(flags))


if __name__ == "__main__":
    sys.exit(main())
