"""Run a training script as a worker of a group: `d2lzh_ext.launch` does.

    python -m d2lzh_ext.engine.worker train.py

A worker's KVStore takes leave of the group when it is freed, and waits there
for the other workers. So it has to be freed while MXNet still works, which
Python 3.9 does not do at its end; and not at all after an error, or nobody
would hear of that, for the others wait as well.
"""
from __future__ import annotations

import gc
import os
import runpy
import sys
import traceback
from pathlib import Path
from typing import NoReturn


def _end(status: int) -> NoReturn:
    """End without taking leave of the group."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main() -> None:
    """Run the script that ``sys.argv[1]`` names with the words after it."""
    script = sys.argv[1]
    del sys.argv[0]
    sys.path[0] = str(Path(script).resolve().parent)
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
