"""What `import d2lzh_ext` takes beyond MXNet and d2lzh, in seconds.

Times both imports in new processes, in turn, after one of each that fills
the disk's cache. Usage: python benchmarks/startup.py [ROUNDS]
"""
from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
THEIRS = """
import time
start = time.perf_counter()
import lenet
lenet.load_d2lzh()
print(time.perf_counter() - start)
"""
OURS = """
import time
start = time.perf_counter()
import d2lzh_ext
print(time.perf_counter() - start)
"""


def seconds(code: str) -> float:
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, text=True,
                          check=True, stdout=subprocess.PIPE)
    return float(done.stdout)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    seconds(THEIRS), seconds(OURS)
    pairs = [(seconds(THEIRS), seconds(OURS)) for _ in range(rounds)]
    added = [ours - theirs for theirs, ours in pairs]
    theirs, ours = (statistics.median(values) for values in zip(*pairs))
    print(f"MXNet and d2lzh {theirs:.2f} s, d2lzh_ext {ours:.2f} s, "
          f"difference {statistics.median(added):.2f} "
          f"[{min(added):.2f}–{max(added):.2f}] s")


if __name__ == "__main__":
    main()
