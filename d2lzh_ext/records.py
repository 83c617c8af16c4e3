"""Recorded runs: what longer measurements gave, where and when."""
from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
_CLONE = _HERE.parent / "data" / "results"
FOLDER = _CLONE if _CLONE.exists() else _HERE / "recorded"  # by the wheel


def results(name: str) -> dict[str, Any]:
    """The record ``data/results/NAME.json``, with its provenance.

    Raises:
        FileNotFoundError: There is no such record.
    """
    path = FOLDER / f"{name}.json"
    try:
        record: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        known = sorted(file.stem for file in FOLDER.glob("*.json"))
        raise FileNotFoundError(
            f"There is no record {path}. Recorded are "
            f"{', '.join(known) or 'none'}.") from None
    return record


def show_recorded(network: str) -> None:
    """Print the test accuracies of a network over several seeds.

    They were recorded with the network's `quick` setting by `make seeds`.

    Args:
        network: Name of a function of `d2lzh_ext.models`.

    Raises:
        ValueError: There is no record of that network.
    """
    record = results("quick-seeds")
    if network not in record["networks"]:
        raise ValueError(f"{network!r} is not recorded; these are: "
                         f"{', '.join(record['networks'])}.")
    entry = record["networks"][network]
    accuracies, seeds = entry["test_acc"], entry["seeds"]
    where = record["provenance"]
    print(f"quick setting, seeds {seeds[0]} to {seeds[-1]}: test accuracy "
          f"{min(accuracies):.3f} at least, "
          f"{statistics.median(accuracies):.3f} in the median, "
          f"{max(accuracies):.3f} at most")
    print(f"(recorded {where['date']} with one thread on an "
          f"{where['processor']}, MXNet {where['packages']['mxnet']})")
