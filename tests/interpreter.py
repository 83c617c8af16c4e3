"""Where the repository is, and a fresh interpreter for a test."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter that can import the package."""
    inherited = {name: value for name, value in os.environ.items()
                 if name not in ("OMP_NUM_THREADS", "MXNET_ENGINE_TYPE")}
    return subprocess.run(
        [sys.executable, "-c", code], text=True, capture_output=True,
        timeout=120, cwd=ROOT, env={**inherited, **environment})
