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
    where = entry["provenance"]
    print(f"quick setting, seeds {seeds[0]} to {seeds[-1]}: test accuracy "
          f"median {statistics.median(accuracies):.3f}, "
          f"least {min(accuracies):.3f}, most {max(accuracies):.3f}")
    print(f"(recorded {where['date']} with one thread on an "
          f"{where['processor']}, MXNet {where['packages']['mxnet']})")


def recorded_curves(name: str, what: str = "test_acc"
                    ) -> dict[str, list[list[float]]]:
    """What an experiment recorded epoch by epoch, for `plot_curves`.

    Args:
        name: The experiment, a record of ``make experiment``.
        what: ``test_acc``, ``train_acc`` or ``loss``.

    Returns:
        By variant, one list a seed.
    """
    return {variant: [run[what] for run in entry["runs"]]
            for variant, entry in results(name)["variants"].items()}


def show_experiment(name: str) -> None:
    """Print the table of an experiment: what each variant reached.

    Args:
        name: The experiment, a record of ``make experiment``.
    """
    variants = results(name)["variants"]
    width = max(map(len, variants))
    tried = next(iter(variants.values()))["tuning"]
    num_seeds = max(len(entry["runs"]) for entry in variants.values())
    print(f"{'':{width}}  parameters        MACs  learning  test accuracy, "
          f"{num_seeds} seeds")
    print(f"{'':{width}}                          rate{'*' if tried else ' '}"
          "       median   least    most")
    for variant, entry in variants.items():
        accuracies = [run["test_acc"][-1] for run in entry["runs"]]
        print(f"{variant:{width}}  {entry['parameters']:10,} "
              f"{entry['macs']:11,}  {entry['learning_rate']:8g}  "
              f"{statistics.median(accuracies):9.3f} "
              f"{min(accuracies):7.3f} {max(accuracies):7.3f}")
    if tried:
        print("* the best on held-out training images, of "
              + ", ".join(f"{rate['learning_rate']:g}" for rate in tried))
    print(*dict.fromkeys(_recorded(entry["provenance"], "one thread")
                         for entry in variants.values()), sep="\n")


def show_book_runs(network: str) -> None:
    """Print what the book's setting gave, here and as published.

    Of some networks it is known how many of the public runs failed.

    Args:
        network: Name of a function of `d2lzh_ext.models`.

    Raises:
        ValueError: There is no record of that network.
    """
    known = results("published")["networks"]
    if network not in known:
        raise ValueError(f"{network!r} is not recorded; these are: "
                         f"{', '.join(known)}.")
    published = known[network]["five_epochs"]
    median, least, most = known[network]["ten_epochs"]
    print("the book's setting        loss  train acc  test acc, by epoch")
    notes: list[str] = []
    for run, where in _book_runs(network):
        where_run = f"here, seed {run['seed']} [{len(notes) + 1}]"
        print(f"{where_run:22} {run['loss'][-1]:7.3f} "
              f"{run['train_acc'][-1]:10.3f}  "
              + " ".join(f"{accuracy:.3f}" for accuracy in run["test_acc"]))
        notes.append(f"[{len(notes) + 1}] {_recorded(where)}")
    print(f"{'published, 5 epochs':22} {published['loss']:7.3f} "
          f"{published['train_acc']:10.3f}  {published['test_acc']:>29.3f}")
    print(f"public runs, 10 epochs: test acc {median:.3f} in the median, "
          f"{least:.3f} to {most:.3f}")
    if "public_runs" in known[network]:
        print(_counted(known[network]["public_runs"]))
    print("\n".join(notes))


def _counted(public: dict[str, int]) -> str:
    """How many public runs there are, and how many of them failed."""
    text = (f"of these {public['runs']} runs: {public['dead']} never left "
            "0.100")
    if "under_60" in public:
        text += f", {public['under_60']} ended below 0.600"
    return text


def _book_runs(network: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Recorded runs of the book's network, each with its provenance."""
    on_cpu = results("book-runs")["runs"]
    on_gpu = results("gpu-runs")
    found = [(on_cpu[network], on_cpu[network]["provenance"])
             ] if network in on_cpu else []
    return found + [(run, on_gpu["provenance"]) for run in on_gpu["runs"]
                    if (run["network"], run["variant"], run["seed"])
                    == (network, "", 0)]


def _recorded(where: dict[str, Any], *more: str) -> str:
    """When and on what, of a provenance."""
    return (f"recorded {where['date']}, "
            + ", ".join([where["processor"], *more,
                         f"MXNet {where['packages']['mxnet']}"]))
