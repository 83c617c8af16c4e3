"""Tables and figures of docs/benchmarks.md, each from a record."""
from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from statistics import geometric_mean
from typing import TYPE_CHECKING, Any, NamedTuple

import networks
import records

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Record = dict[str, Any]


def table(head: str, rows: Iterable[list[str]]) -> str:
    """A table in Markdown; `head` has its titles between bars."""
    return "\n".join([f"| {head} |", "|---" * (head.count(" | ") + 1) + "|",
                      *(f"| {' | '.join(row)} |" for row in rows)])


def spread(values: list[float], form: str) -> str:
    """Median and range, as text."""
    middle, least, most = (format(value, form) for value in (
        statistics.median(values), min(values), max(values)))
    return f"{middle} [{least}–{most}]"


def machine(place: Record) -> str:
    """Where and when, of a provenance."""
    return (f"{place['cores']} core{'s' * (place['cores'] > 1)} of an "
            f"{place['processor']}, {place['date']}")


def where(record: Record, rounds: int) -> str:
    """Under a table: on which machine, when, and how to repeat it."""
    packages = record["provenance"]["packages"]
    torch = f"PyTorch {packages['torch']}, " if packages.get("torch") else ""
    return (f"{machine(record['provenance'])}, MXNet {packages['mxnet']}, "
            f"{torch}{rounds} rounds. `make bench` repeats it.")


# --- an epoch of LeNet ------------------------------------------------------

TITLES = {"d2lzh_ext": "`d2lzh_ext`", "d2lzh": "`d2lzh` 1.0.0 as shipped",
          "torch, DataLoader": "PyTorch, `DataLoader`",
          "torch": "PyTorch, tensors in memory"}


def epoch(record: Record) -> str:
    results = record["results"]
    ours = results["d2lzh_ext"]["seconds"]
    return table(
        "LeNet, one epoch with its test | seconds, median [min–max] | "
        "`d2lzh_ext`, times as fast | peak memory",
        ([TITLES.get(name, name), spread(result["seconds"], ".2f"),
          spread([other / our for our, other in
                  zip(ours, result["seconds"])], ".2f"),
          f"{result['peak_mib']:.0f} MiB"]
         for name, result in results.items())
    ) + "\n\n" + where(record, len(ours))


# --- training of every network ----------------------------------------------

def trained(record: Record) -> Record:
    """The entries of networks, without those of loaders."""
    return {name: entry for name, entry in record["networks"].items()
            if not name.startswith("loader")}


def others(record: Record) -> list[str]:
    """The contestants beside this project, in the order of the columns."""
    return list(dict.fromkeys(
        name for entry in record["networks"].values()
        for name in entry["contestants"] if name != "d2lzh_ext"))


def ratios(entry: Record, name: str) -> list[float]:
    """How many times as fast as `name` this project is, round by round."""
    ours, theirs = (entry["contestants"][each]["images_per_second"]
                    for each in ("d2lzh_ext", name))
    return [one / other for one, other in zip(ours, theirs)]


def share_of_peak(network: str, entry: Record) -> list[float]:
    """Share of the processor's peak that training reaches, round by round.

    The peak is the highest rate of a large matrix product in these rounds. A
    step costs three forward passes, of two operations for each of the
    network's multiply-accumulates.
    """
    import d2lzh_ext as d2l

    side = entry["side"]
    macs = d2l.summary(networks.build(network), (1, 1, side, side)).macs
    peak = max(each["matrix product"] for each in entry["peak"])
    return [6 * macs * rate / (peak * 1e9) for rate in
            entry["contestants"]["d2lzh_ext"]["images_per_second"]]


def median_rate(entry: Record) -> float:
    """Images a second of this project."""
    return statistics.median(
        entry["contestants"]["d2lzh_ext"]["images_per_second"])


def compile_seconds(entry: Record) -> str:
    """The longest, which found nothing of an earlier round, of each."""
    return " / ".join(
        f"{max(found['compile_seconds']):.0f}"
        for found in entry["contestants"].values()
        if "compile_seconds" in found) or "–"


def training_table(record: Record) -> str:
    names, entries = others(record), record["networks"]
    compiled = any("compile_seconds" in found for entry in entries.values()
                   for found in entry["contestants"].values())
    rows = [[f"`{network}`, {entry['side']}, {entry['batch_size']}",
             spread(entry["contestants"]["d2lzh_ext"]["images_per_second"],
                    ".0f"),
             *(spread(ratios(entry, name), ".2f")
               if name in entry["contestants"] else "–" for name in names),
             spread(share_of_peak(network, entry), ".0%")
             if network in networks.MODULES else "–",
             *([compile_seconds(entry)] if compiled else []),
             f"{entry['contestants']['d2lzh_ext']['peak_mib']:.0f}"]
            for network, entry in entries.items()]
    rows.append(["geometric mean of the medians", ""])
    for name in names:
        medians = [statistics.median(ratios(entry, name))
                   for entry in trained(record).values()
                   if name in entry["contestants"]]
        rows[-1].append(f"{geometric_mean(medians):.2f}"
                        if len(medians) == len(trained(record)) else "–")
    rows[-1] += [""] * (2 + compiled)
    return table(
        "network, size, batch | images/s of `d2lzh_ext`, median [min–max] | "
        + "".join(f"times as fast as `{name}` | " for name in names)
        + "of the processor's peak | "
        + ("`torch` compiles, s | " if compiled else "")
        + "memory of `d2lzh_ext`, MiB", rows)


def training(record: Record) -> str:
    entries, kinds = trained(record), [
        name for name in others(record) if name.startswith("torch")]
    text = training_table(record)
    if entries and kinds:
        fastest = {network: min(statistics.median(ratios(entry, name))
                                for name in kinds
                                if name in entry["contestants"])
                   for network, entry in entries.items()}
        worst = min(fastest, key=lambda network: fastest[network])
        text += ("\n\nAgainst the fastest of PyTorch's on each network: "
                 f"{geometric_mean(fastest.values()):.2f} in the geometric "
                 f"mean; the smallest median is {fastest[worst]:.2f} "
                 f"(`{worst}`).")
    loaders = {entry["side"]: median_rate(entry) for entry in
               record["networks"].values() if entry not in entries.values()}
    ahead = [loaders[entry["side"]] / median_rate(entry)
             for entry in entries.values() if entry["side"] in loaders]
    if ahead:
        text += (f" The loader makes images {min(ahead):.0f} times as fast "
                 "as a network takes them, or more.")
    rounds = max((len(entry["peak"]) for entry in
                  record["networks"].values()), default=0)
    return (f"{text}\n\n![Speed of the others](training.svg)\n\n"
            + where(record, rounds))


def draw_training(record: Record) -> Figure:
    """Speed of the others, where this project's is 1."""
    from matplotlib.figure import Figure

    entries, names = trained(record), others(record)
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axis = figure.subplots()
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        left = (number - (len(names) - 1) / 2) * width
        for place, entry in enumerate(entries.values()):
            if name in entry["contestants"]:
                speeds = [1 / ratio for ratio in ratios(entry, name)]
                middle = statistics.median(speeds)
                axis.bar(place + left, middle, width, color=f"C{number}",
                         yerr=[[middle - min(speeds)],
                               [max(speeds) - middle]])
        axis.bar(0, 0, color=f"C{number}", label=name)  # for the legend
    axis.axhline(1, color="black", linewidth=1, label="d2lzh_ext")
    axis.set_xticks(range(len(entries)), [
        f"{name}\n{entry['side']} × {entry['side']}"
        for name, entry in entries.items()])
    axis.set_ylabel("images/s, d2lzh_ext = 1")
    figure.legend(ncols=3, loc="outside upper center")
    return figure


# --- growth -----------------------------------------------------------------

class Sweep(NamedTuple):
    """What is measured for each value of one argument of `growth`."""

    network: str
    argument: str
    values: list[int]
    others: dict[str, int]


# A set of more than 60,000 images repeats those of Fashion-MNIST.
SWEEPS = {
    "batch size": Sweep("resnet18", "batch_size", [8, 16, 32, 64, 128],
                        {"side": 96, "images": 768}),
    "image size": Sweep("resnet18", "side", [28, 56, 112, 224],
                        {"batch_size": 32, "images": 256}),
    "training images": Sweep(
        "lenet", "images", [15_000, 30_000, 60_000, 120_000, 240_000],
        {"batch_size": 256, "side": 28})}


def medians(points: Record, what: str) -> list[float]:
    return [statistics.median(each[what] for each in found)
            for found in points.values()]


def growth(record: Record) -> str:
    sweeps = record["sweeps"]
    rows = [[sweep, f"`{SWEEPS[sweep].network}`", f"{int(size):,}",
             spread([each["seconds"] for each in found], ".3f"), f"{most:.0f}"]
            for sweep, points in sweeps.items()
            for (size, found), most in zip(
                points.items(), medians(points, "peak_mib"))]
    points = sweeps["training images"]
    sizes, times = list(map(int, points)), medians(points, "seconds")
    beyond = [most - size * 28 * 28 / 2**20
              for size, most in zip(sizes, medians(points, "peak_mib"))]
    return table(
        "what changes | network | to | seconds for 1,000 images, median "
        "[min–max] | peak memory, MiB", rows) + (
        f"\n\nFrom {min(sizes):,} to {max(sizes):,} training images, the "
        "medians of the time differ by "
        f"{max(times) / min(times) - 1:.0%} at most, and the memory is "
        f"{min(beyond):.0f} to {max(beyond):.0f} MiB plus 784 bytes for "
        "each image.\n\n![Time and memory against each size](growth.svg)\n\n"
    ) + where(record, len(next(iter(points.values()))))


def draw_growth(record: Record) -> Figure:
    """Time and memory against each size, which is on a logarithmic axis."""
    from matplotlib.figure import Figure

    sweeps = record["sweeps"]
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    axes = figure.subplots(2, len(sweeps), sharex="col", squeeze=False)
    for column, (sweep, points) in zip(axes.T, sweeps.items()):
        sizes = [int(size) for size in points]
        for axis, what, label in zip(
                column, ("seconds", "peak_mib"),
                ("seconds for 1,000 images", "peak memory, MiB")):
            values = medians(points, what)
            axis.semilogx(sizes, values, "o-")
            axis.set(ylabel=label, ylim=(0, 1.1 * max(values)))
            axis.grid(True, alpha=0.3)
        column[0].set_title(SWEEPS[sweep].network)
        column[1].set_xlabel(sweep)
        column[1].minorticks_off()
        column[1].set_xticks(sizes, [
            f"{size}" if size < 1e4 else f"{size // 1000}k"
            for size in sizes])
    return figure


# --- what is only printed ---------------------------------------------------

def startup(record: Record) -> str:
    results = record["results"]
    ours, theirs = (results[name]["seconds"] for name in (
        "d2lzh_ext", "d2lzh"))
    return table("import | seconds, median [min–max]", [
        *([f"`{name}`", spread(found["seconds"], ".2f")]
          for name, found in results.items()),
        ["difference", spread([our - their for our, their in
                               zip(ours, theirs)], ".2f")]])


def updates(record: Record) -> str:
    rows = []
    for network, variants in record["networks"].items():
        step = statistics.median(variants["MXNet's"]["step_ms"])
        plain, *rest = (found["update_ms"] for found in variants.values())
        rows.append([f"`{network}`", f"{step:.0f}", spread(plain, ".2f"),
                     *(f"{spread(values, '.2f')}, saves " + spread(
                         [(a - b) / step for a, b in zip(plain, values)],
                         ".1%") for values in rest)])
    return table("network | step, ms | SGD's update by MXNet, ms | "
                 + " | ".join(list(variants)[1:]), rows)


# --- accuracies, by experiments.py ------------------------------------------

def seeds(record: Record) -> str:
    places: dict[str, list[str]] = {}
    for network, entry in record["networks"].items():
        place = entry["provenance"]
        places.setdefault(f"{place['processor']}, {place['date']}", []
                          ).append(f"`{network}`")
    return table(
        "network | image size | training images × epochs | "
        "test accuracy, median [min–max]",
        ([f"`{network}`", f"{entry['setting']['resize'] or 28}",
          f"{entry['setting']['num_train'] or 60_000:,} × "
          f"{entry['setting']['num_epochs']}",
          spread(entry["test_acc"], ".3f")]
         for network, entry in record["networks"].items())
    ) + ("\n\nSeeds 0 to 4, each run with one thread, MXNet "
         f"{place['packages']['mxnet']}: " + "; ".join(
             f"{', '.join(names)} on an {where}"
             for where, names in places.items())
         + ". `make seeds` repeats it.")


def book(record: Record) -> str:
    known = records.load("published")["networks"]
    rows: list[list[str]] = []
    places: dict[str, list[str]] = {}
    for network, entry in record["runs"].items():
        places.setdefault(machine(entry["provenance"]), []).append(
            f"`{network}`")
        published = ["–", "–"]
        if network in known:
            slide = known[network]["five_epochs"]["test_acc"]
            median, least, most = known[network]["ten_epochs"]
            published = [f"{slide:.3f}",
                         f"{median:.3f} [{least:.3f}–{most:.3f}]"]
        rows.append([
            f"`{network}`", f"{entry['setting']['resize'] or 28}",
            f"{entry['setting']['num_epochs']}",
            f"{sum(entry['seconds']) / 60:.0f}",
            f"{entry['train_acc'][-1]:.3f}", f"{entry['test_acc'][-1]:.3f}",
            *published])
    text = table(
        "network | image size | epochs | minutes | training accuracy | "
        "test accuracy | published, 5 epochs | "
        "published, 10 epochs [min–max]", rows)
    text += ("\n\nOne run each, seed 0, all 60,000 images. Chapter 16 says "
             "where the published figures come from. ")
    text += " ".join(f"{', '.join(names)}: {place}."
                     for place, names in places.items())
    missing = [f"`{name}`" for name in networks.MODULES
               if name not in record["runs"]]
    if missing:
        text += f" Without a record yet: {', '.join(missing)}."
    return text


def mnist(record: Record) -> str:
    recipes: dict[str, list[Record]] = {}
    for run in record["runs"]:
        recipes.setdefault(run["recipe"], []).append(run)
    return table(
        "recipe | seeds | validation accuracy, median | test accuracy, "
        "median [min–max]",
        ([recipe, f"{len(runs)}",
          f"{statistics.median(run['valid_acc'] for run in runs):.4f}",
          spread([run["test_acc"] for run in runs], ".4f")]
         for recipe, runs in recipes.items())
    ) + f"\n\n{machine(record['provenance'])}."


# By the name of the record, which is also that of its section on the page.
ON_PAGE: dict[str, Callable[[Record], str]] = {
    "quick-seeds": seeds, "book-runs": book, "mnist": mnist,
    "lenet-epoch": epoch, "training": training, "growth": growth}
FIGURES: dict[str, Callable[[Record], Figure]] = {
    "training": draw_training, "growth": draw_growth}


def show(name: str) -> None:
    """Bring all that pages show of a record up to date."""
    import readme  # from tools/

    record = records.load(name)
    if name in FIGURES:
        records.save_figure(name, FIGURES[name](record))
    if name in ON_PAGE:
        records.show_on_page(name, ON_PAGE[name](record))
    if name in ("chapters", "quick-seeds", "training"):
        readme.write(records.ROOT)
