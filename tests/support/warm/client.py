"""The program that stands for an interpreter, once a first line names that; the server's socket lies beside it."""

import json
import os
import signal
import socket
import sys

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
ADDRESS = os.path.join(os.path.dirname(sys.argv[0]), "socket")


def cold():
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])


def is_inherited(number):
    try:
        return os.get_inheritable(number)
    except OSError:  # that of the list itself
        return False


def ask():
    """A connection and the process that runs what this one was asked to."""
    if any(map(os.isatty, range(3))):
        cold()
    umask = os.umask(0)
    os.umask(umask)
    # What its parent has opened for it, beside the standard streams: what this interpreter opens itself is not inherited.
    opened = [int(name) for name in os.listdir("/proc/self/fd")]
    streams = [0, 1, 2, *(number for number in opened if number > 2 and is_inherited(number))]
    request = {
        "streams": streams,
        "arguments": sys.argv[1:],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "umask": umask,
        "ignored": [number for number in FORWARDED if signal.getsignal(number) == signal.SIG_IGN],
    }
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(ADDRESS)
    socket.send_fds(connection, [b"{"], streams)
    connection.sendall(json.dumps(request).encode()[1:] + b"\n")
    answers = connection.makefile()
    pid = int(answers.readline())
    if not pid:
        cold()
    for number in FORWARDED:
        signal.signal(number, lambda number, _: os.kill(pid, number))
    return answers


try:
    answers = ask()
except OSError:
    cold()
status = int(answers.readline())
if status < 0:
    if -status != signal.SIGKILL:
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
os._exit(status)
