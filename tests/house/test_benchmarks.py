"""The benchmarks run, and pages show what they recorded."""
from __future__ import annotations

import re
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest
from interpreter import ROOT

pytest.importorskip("psutil", reason="the benchmarks measure with it")
sys.path.insert(0, str(ROOT / "benchmarks"))

import bench
import contestants
import experiments
import matrix
import networks
import pages
import records
import tables

import d2lzh_ext as d2l

slow = pytest.mark.slow


@pytest.mark.parametrize("what, printed", [
    ("speed", "round 1  lenet_bn   28 "),
    pytest.param("epoch", "| `d2lzh` 1.0.0 as shipped | ", marks=slow),
    pytest.param("training", "| `loader-28`, 28, 256 | ", marks=slow),
    pytest.param("growth", "| training images | `lenet` | 2,048 | ",
                 marks=slow),
    pytest.param("chapters", "solutions/03-channels.ipynb ", marks=slow),
    pytest.param("startup", "| difference | ", marks=slow),
    pytest.param("updates", "| `lenet` | ", marks=slow)])
def test_fast_mode_measures(
        capsys: pytest.CaptureFixture[str], what: str, printed: str) -> None:
    name = bench.KINDS[what].record
    before = records.load(name) if name else None
    bench.main([what, "--fast"])
    out = capsys.readouterr().out
    assert printed in out
    left_out = [line.split(":")[0] for line in out.splitlines()
                if ": left out, " in line]
    for contestant in (contestants.TRAINING if what == "training" else []):
        assert (contestant in left_out) != (
            f"round 1  lenet      {contestant} " in out)
    assert before == (records.load(name) if name else None)


@pytest.mark.parametrize("words, printed", [
    ("run lenet-seeds", "lenet-seeds: LeNet: {'seed': 0, 'loss': ["),
    pytest.param("run", "nin-head: 6 × 6, dense: ", marks=slow),
    pytest.param("run zfnet-seeing", "zfnet-seeing: {'seed': 0", marks=slow),
    pytest.param("run batch-norm-frozen", "4 sorted, frozen: {'seed': 0",
                 marks=slow),
    ("seeds lenet_bn", "| `lenet_bn` | 28 | 60,000 × 5 | "),
    ("book 05", "| `lenet` | 28 | 2 |"),
    pytest.param("book 10-batch-norm", "| `lenet_bn` | 28 | 2 |", marks=slow),
    pytest.param("book mnist", "| improved | 1 |", marks=slow),
    pytest.param("book 15", "held-out faces: ", marks=slow)])
def test_fast_mode_trains(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
        capsys: pytest.CaptureFixture[str], words: str, printed: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # put back afterwards
    monkeypatch.setattr(records, "save", lambda *_: pytest.fail("recorded"))
    experiments.main([*words.split(), "--fast", "--folder", str(tmp_path)])
    assert printed in capsys.readouterr().out


@pytest.mark.parametrize("main, words, printed", [
    (experiments.main, "book 01", "11-resnet: resnet18"),
    (experiments.main, "run resnet", "there are pooling-shift, "),
    (experiments.main, "seeds resnet", "there are lenet, "),
    (bench.main, "speed loader-28", "speed has no loader-28; it has lenet, "),
    (bench.main, "epoch lenet", "epoch has no lenet; it has no names")])
def test_an_unknown_name_gets_those_that_there_are(
        capsys: pytest.CaptureFixture[str], main: Any, words: str,
        printed: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words.split())
    assert printed in f"{stopped.value}{capsys.readouterr().err}"


@pytest.mark.parametrize("name", experiments.experiments())
def test_an_experiment_is_recorded_as_it_is_defined(name: str) -> None:
    it = experiments.experiments()[name]
    recorded = records.load(name)["variants"]
    assert list(recorded) == list(it.variants)
    for title, (build, changes) in it.variants.items():
        entry = recorded[title]
        side = {**it.setting, **changes}["resize"] or 28
        table = d2l.summary(build(), (1, 1, side, side))
        assert (table.parameters, table.macs) == (
            entry["parameters"], entry["macs"])
        assert entry["setting"] == networks.readable(
            {**it.setting, **changes})
        assert [tried["learning_rate"] for tried in entry["tuning"]] == list(
            it.rates)
        assert [run["seed"] for run in entry["runs"]] == list(
            range(it.num_seeds))


def test_a_cut_experiment_goes_on(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is recorded is not trained again; what has changed is."""
    class Cut(Exception):
        pass

    trained: list[int] = []

    def one_run(_: Any, setting: Any, seed: int, __: Any) -> Any:
        if len(trained) == 2:
            raise Cut
        trained.append(seed)
        return {"loss": [1.0], "test_acc": [0.5], "seconds": 1.0}

    it = experiments.experiments()["lenet-seeds"]._replace(num_seeds=3)
    monkeypatch.setattr(records, "RESULTS", tmp_path)
    monkeypatch.setattr(experiments, "one_run", one_run)
    monkeypatch.setattr(experiments, "experiments", lambda: {"cut": it})
    with pytest.raises(Cut):
        experiments.experiment("cut", fast=False)
    trained.clear()
    experiments.experiment("cut", fast=False)
    assert trained == [2]
    assert len(records.load("cut")["variants"]["LeNet"]["runs"]) == 3
    it = it._replace(setting={**it.setting, "learning_rate": 0.5})
    trained.clear()
    with pytest.raises(Cut):
        experiments.experiment("cut", fast=False)
    assert trained == [0, 1]


def test_without_a_compiler_torch_does_not_compile(
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(bench, "find_spec", lambda _: True)
    assert bench.available(["d2lzh", "torch", "torch, compiled"]) == [
        "d2lzh", "torch"]
    assert capsys.readouterr().out == (
        "torch, compiled: left out, torch.compile needs no-such-compiler\n")


def found(*rates: float, **more: Any) -> dict[str, Any]:
    return {"images_per_second": list(rates), "peak_mib": 100.0, **more}


def test_ratios_are_taken_within_a_round() -> None:
    # 938 million multiply-accumulates, at six operations each.
    entry = {"batch_size": 64, "side": 224,
             "peak": [{"matrix product": 1126.0}, {"matrix product": 563.0}],
             "contestants": {
                 "d2lzh_ext": found(50, 100), "d2lzh": found(25, 40),
                 "torch, compiled": found(10, 25, compile_seconds=[9, 2])}}
    loader = {"batch_size": 64, "side": 224, "peak": entry["peak"],
              "contestants": {"d2lzh_ext": found(750, 750),
                              "d2lzh": found(75, 75)}}
    record = {"networks": {"alexnet": entry, "loader-224": loader},
              "provenance": records.provenance("a test")}
    assert tables.ratios(entry, "d2lzh") == [2, 2.5]
    assert tables.share_of_peak("alexnet", entry) == pytest.approx(
        [0.25, 0.5], rel=1e-3)
    network, made, mean = tables.training_table(record).splitlines()[2:]
    assert network == (
        "| `alexnet`, 224, 64 | 75 [50–100] | 2.25 [2.00–2.50] | "
        "4.50 [4.00–5.00] | 37% [25%–50%] | 9 | 100 |")
    assert made == ("| `loader-224`, 224, 64 | 750 [750–750] | "
                    "10.00 [10.00–10.00] | – | – | – | 100 |")
    assert "| 2.25 | 4.50 |" in mean
    assert "makes images 10 times as fast" in tables.training(record)


@pytest.mark.parametrize("more, columns", [
    ({}, ["37% [25%–50%]", "100 |"]),
    ({"compile_seconds": [9, 2]}, ["37% [25%–50%]", "9", "100 |"])])
def test_the_time_of_compiling_is_a_column_where_something_was_compiled(
        more: dict[str, Any], columns: list[str]) -> None:
    entry = {"batch_size": 64, "side": 224,
             "peak": [{"matrix product": 1126.0}] * 2,
             "contestants": {"d2lzh_ext": found(50, 100),
                             "torch": found(25, 50, **more)}}
    head, bars, row, mean = tables.training_table(
        {"networks": {"alexnet": entry}}).splitlines()
    assert row.split(" | ")[3:] == columns
    assert ("compiles" in head) == bool(more)
    assert (head.count("|") == bars.count("|") == row.count("|")
            == mean.count("|"))


@pytest.mark.parametrize("name", tables.ON_PAGE)
def test_the_page_shows_the_record(name: str) -> None:
    record = records.load(name)
    assert pages.section(records.PAGE, name) == tables.ON_PAGE[name](
        record), "run `python benchmarks/bench.py pages`"
    for where in ([record["provenance"]] if "provenance" in record else
                  [each["provenance"] for each in record[
                      "networks" if name == "quick-seeds" else "runs"
                      ].values()]):
        assert where["commit"] and where["date"] and where["processor"]
    # Before 3.11 Python has an older Matplotlib, which draws otherwise.
    if name in tables.FIGURES and sys.version_info >= (3, 11):
        drawn = (records.figure_path(name).read_text(encoding="utf-8"),
                 records.svg(tables.FIGURES[name](record)))
        # The names of clip paths depend on NumPy.
        stored, today = (re.sub(r"\bp[0-9a-f]{10}\b", "path", text)
                         for text in drawn)
        assert stored == today


def test_every_contestant_was_timed_on_every_network() -> None:
    assert list(records.load("lenet-epoch")["results"]) == list(tables.TITLES)
    entries = records.load("training")["networks"]
    assert list(entries) == list(contestants.SIZES), "run `make bench`"
    for entry in entries.values():
        assert {"d2lzh_ext", "d2lzh", "torch", "torch, channels last"} <= (
            entry["contestants"].keys())


def test_the_page_shows_the_matrix_in_which_all_passes() -> None:
    lines = records.load(matrix.NAME)["lines"]
    assert lines.keys() == {
        *(f"3.{minor} {age}" for minor in range(9, 14)
          for age in ("oldest", "newest")),
        *(f"3.{minor} {gcc}-gcc" for minor in (14, 15)
          for gcc in ("with", "without"))}
    assert all(line["passed"] > 700 and not line.keys() & {"failed", "error"}
               for line in lines.values()), "run `make matrix`"
    assert pages.section(matrix.PAGE, matrix.NAME) == matrix.table(
        lines), "run `make matrix`"


# What a quick setting must reach, in the median of its seeds.
BARS = {"lenet": 0.70, "alexnet": 0.78, "vgg": 0.80, "nin": 0.75,
        "googlenet": 0.75, "lenet_bn": 0.82, "resnet18": 0.80,
        "densenet": 0.78, "zfnet_small": 0.80}


@pytest.mark.parametrize("network", networks.MODULES)
def test_quick_learns_from_every_seed(network: str) -> None:
    entry = records.load("quick-seeds")["networks"][network]
    assert entry["setting"] == networks.readable(
        networks.setting(network, "quick")), (
        f"run `make seeds NETWORK={network}`")
    assert entry["seeds"] == experiments.SEEDS == [0, 1, 2, 3, 4]
    assert statistics.median(entry["test_acc"]) >= BARS[network]
    assert min(entry["test_acc"]) >= 0.60
    assert (entry["setting"]["num_test"] or 10_000) >= 2000


@pytest.mark.parametrize("network", networks.MODULES)
def test_steps_were_timed_at_the_sizes_of_the_settings(network: str) -> None:
    entries = records.load("speed")["networks"][network]
    assert {int(side): (entry["batch_size"], entry["optimizer"])
            for side, entry in entries.items()} == {
        side: (setting["batch_size"], setting["optimizer"])
        for side, setting in networks.timed_settings(network).items()}, (
        f"run `python benchmarks/bench.py speed {network}`")
    for entry in entries.values():
        assert len(entry["train"]) == len(entry["predict"]) == 5
        assert min(entry["predict"]) > 0
        assert (statistics.median(entry["predict"])
                < statistics.median(entry["train"]))


def test_every_chapter_runs_within_its_limits() -> None:
    measured = records.load("chapters")["chapters"]
    assert list(measured) == bench.CHAPTERS, (
        "run `python benchmarks/bench.py chapters`")
    for entry in measured.values():
        assert max(entry["seconds"], entry["solutions"]["seconds"]) <= 150
        assert max(entry["peak_mib"], entry["solutions"]["peak_mib"]) <= 2048


def test_a_run_of_another_setting_is_not_taken_for_recorded() -> None:
    run = {"recipe": "improved", "seed": 1,
           "setting": experiments.digit_setting("improved")}
    assert experiments.recorded_digits([run], "improved", 1) is run
    assert experiments.recorded_digits([run], "improved", 2) is None
    assert experiments.recorded_digits([run], "published", 1) is None
    run["setting"] = {**run["setting"], "shifts": 3}
    assert experiments.recorded_digits([run], "improved", 1) is None


def test_mnist_is_learnt_as_well_as_published() -> None:
    """No epoch and no recipe was chosen by these images."""
    runs = records.load("mnist")["runs"]
    own = {recipe: [experiments.recorded_digits(runs, recipe, seed)
                    for seed in seeds]
           for recipe, seeds in experiments.DIGIT_SEEDS.items()}
    assert all(None not in each for each in own.values()), (
        "run `make book CHAPTER=14`")
    assert len(runs) == sum(map(len, own.values()))

    def median(recipe: str, key: str) -> float:
        return statistics.median(run[key] for run in own[recipe])

    assert median("classic", "test_acc") >= 0.992
    assert median("improved", "test_acc") >= 0.9938
    assert median("improved", "valid_acc") > median("published", "valid_acc")


def test_the_digits_shown_are_of_the_recorded_runs() -> None:
    record = records.load("mnist")
    lists = [run for run in record["runs"] + record["again"]
             if "mistakes" in run]
    assert set(record["truth"]) == set().union(
        *(run["mistakes"] for run in lists))
    for run in lists:
        assert len(run["mistakes"]) == round(10_000 * (1 - run["test_acc"]))
        assert all(record["truth"][number] != digit
                   for number, digit in run["mistakes"].items())
    best = max(lists, key=lambda run: run["test_acc"])
    assert len(d2l.mnist_digits("mistakes")) == len(best["mistakes"])
    assert sum(record["test_images"]) == 10_000


@pytest.mark.parametrize("network", records.load("book-runs")["runs"])
def test_the_book_runs_are_as_published(network: str) -> None:
    entry = records.load("book-runs")["runs"][network]
    assert entry["setting"] == networks.readable(
        networks.setting(network, "book")), f"run {network} anew"
    assert len(entry["loss"]) == len(entry["seconds"]) == 5
    assert entry["provenance"]["commit"]
    published = records.load("published")["networks"]
    if network in published:
        _, least, most = published[network]["ten_epochs"]
        assert least <= entry["test_acc"][-1] <= most
