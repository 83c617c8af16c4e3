"""Run a script as a member of a group: `d2lzh_ext.launch` does.

    python d2lzh_ext/engine/worker.py train.py

All members are started alike, and the environment says what each of them is.
Schedulers and servers do not get to the script: their work is done when
MXNet is imported. It is a file to run, for what it does comes before that.

A worker's KVStore takes leave of the group when it is freed, and waits there
for the other workers. So it has to be freed while MXNet still works, which
Python 3.9 does not do at its end; and not at all after an error, or nobody
would hear of that, for the others wait as well.
"""
from __future__ import annotations

import argparse
import ctypes
import gc
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

GRACE = 3.0  # seconds from SIGTERM to SIGKILL


def _end(status: int) -> NoReturn:
    """End without taking leave of the group."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _tie() -> None:
    """End with the launcher, whose standard input this process has.

    Through ssh as well, which would leave it running.
    """
    tie = os.dup(0)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)

    def watch() -> None:
        while os.read(tie, 1):
            pass
        for number in (signal.SIGTERM, signal.SIGKILL):
            os.killpg(0, number)  # children, too
            time.sleep(GRACE)

    threading.Thread(target=watch, daemon=True).start()


def _role() -> str:
    """What this process is; in the queue of sge, its number decides."""
    if "DMLC_ROLE" not in os.environ and "SGE_TASK_ID" in os.environ:
        os.environ["DMLC_ROLE"] = (
            "worker" if int(os.environ["SGE_TASK_ID"])
            <= int(os.environ["DMLC_NUM_WORKER"]) else "server")
    return os.environ.get("DMLC_ROLE", "worker")


def _has_gpu() -> bool:
    """Whether MXNet can compute on a GPU here."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    # Whoever asks has imported MXNet, and may not choose the engine any more.
    outside = {name: value for name, value in os.environ.items()
               if not name.startswith("DMLC_")}
    done = subprocess.run(
        [sys.executable, "-c",
         "import d2lzh_ext; print(d2lzh_ext.try_gpu().device_type)"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, env=outside)
    return done.stdout.strip() == "gpu"


def _choose_engine(role: str) -> None:
    """One operation after the other, unless a GPU computes.

    On a CPU, MXNet's threaded engine sends convolution weights while it
    brings them into another order, and now and then waits for an answer that
    does not come.
    """
    if "MXNET_ENGINE_TYPE" not in os.environ and (
            role != "worker" or not _has_gpu()):
        os.environ["MXNET_ENGINE_TYPE"] = "NaiveEngine"


def main() -> None:
    """Run the script that the command line names with the words after it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tied", action="store_true",
                        help="end when standard input ends")
    for name in ("--env-server", "--env-worker"):
        parser.add_argument(name, action="append", default=[],
                            metavar="NAME:VALUE")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if options.tied:
        _tie()
    streams: tuple[Any, ...] = sys.stdout, sys.stderr
    for stream in streams:  # whole lines, and at once
        stream.reconfigure(line_buffering=True)
    script, *words = options.command
    sys.argv[:] = [script, *words]
    sys.path[0] = str(Path(script).resolve().parent)
    role = _role()
    for pair in vars(options).get(f"env_{role}", []):
        name, _, value = pair.partition(":")
        os.environ[name] = value
    _choose_engine(role)
    if role != "worker":
        from d2lzh_compat.mxnet import import_mxnet
        import_mxnet()  # ends with the group
        return
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as error:
        if isinstance(error.code, int):
            status = error.code
        elif error.code is None:
            status = 0
        else:
            print(error.code, file=sys.stderr)
            status = 1
        if status:
            _end(status)
    except BaseException as error:
        # Without the lines of this file and of runpy.
        frame = error.__traceback__
        while frame and frame.tb_frame.f_code.co_filename != script:
            frame = frame.tb_next
        traceback.print_exception(
            type(error), error, frame or error.__traceback__)
        _end(1)
    gc.collect()


if __name__ == "__main__":
    main()
