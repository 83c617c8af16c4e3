"""The benchmark runs, and the README shows what it recorded."""
from __future__ import annotations

import importlib
import statistics
import subprocess
import sys

import pytest
from interpreter import ROOT


@pytest.mark.parametrize("name, rows", [
    ("run.py", ["`d2lzh_ext`", "`d2lzh` 1.0.0 as shipped"]),
    ("bench.py", ["`lenet`, 28, 256", "`loader-224`, 224, 64"]),
    ("growth.py", ["training images | `lenet` | 1,024"])])
def test_fast_mode_runs_every_contestant_that_is_installed(name, rows):
    pytest.importorskip("psutil", reason="the benchmarks measure with it")
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / name, "--fast"],
        text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    for row in rows:
        assert f"| {row} | " in done.stdout


@pytest.fixture
def script(monkeypatch):
    """Import a script of benchmarks/, which is a folder of scripts."""
    pytest.importorskip("psutil", reason="the benchmarks measure with it")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module


def test_the_start_is_timed():
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "startup.py", "1"],
        text=True, capture_output=True, timeout=100)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "difference" in done.stdout


def test_both_ways_to_update_are_timed():
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "updates.py", "lenet"],
        text=True, capture_output=True, timeout=100)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "| `lenet` | " in done.stdout


def test_ratios_are_taken_within_a_round(script):
    bench = script("bench")

    def found(*rates):
        return {"images_per_second": list(rates), "peak_mib": 100.0}

    # 938 million multiply-accumulates, at six operations each.
    entry = {"batch_size": 64, "side": 224,
             "peak": [{"convolution": 563.0}, {"convolution": 1126.0}],
             "contestants": {"d2lzh_ext": found(50, 100),
                             "d2lzh": found(25, 40)}}
    assert bench.ratios(entry, "d2lzh") == [2, 2.5]
    assert bench.share_of_peak("alexnet", entry) == pytest.approx(
        [0.5, 0.5], rel=1e-3)
    row, mean = bench.table({"alexnet": entry}).splitlines()[2:]
    assert row == ("| `alexnet`, 224, 64 | 75 [50–100] | 2.25 [2.00–2.50] | "
                   "50% [50%–50%] | 100 |")
    assert "2.25" in mean


def test_the_readme_shows_the_record(script):
    run, records = script("run"), script("records")
    record = records.load(run.NAME)
    assert run.table(record) in (ROOT / "README.md").read_text(
        encoding="utf-8"), "run `make bench`"
    where = record["provenance"]
    assert where["commit"] and where["date"] and where["processor"]
    assert {"d2lzh_ext", "d2lzh", "torch"} <= record["results"].keys()


@pytest.mark.parametrize("name, drawn", [
    ("bench", "networks"), ("growth", "sweeps")])
def test_the_readme_shows_table_and_figure(script, name, drawn):
    module, records = script(name), script("records")
    record = records.load(module.NAME)
    assert module.show(record) in (ROOT / "README.md").read_text(
        encoding="utf-8"), "run `make bench`"
    figure = records.figure_path(module.NAME)
    assert figure.read_text(encoding="utf-8") == records.svg(
        module.draw(record[drawn])), "run `make bench`"


def test_the_readme_shows_the_matrix_in_which_all_passes(script,
                                                         monkeypatch):
    records = script("records")
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    matrix = importlib.import_module("matrix")
    lines = records.load(matrix.NAME)["lines"]
    assert lines.keys() == {
        *(f"3.{minor} {age}" for minor in range(9, 14)
          for age in ("oldest", "newest")),
        *(f"3.{minor} {gcc}-gcc" for minor in (14, 15)
          for gcc in ("with", "without"))}
    assert all(line["passed"] > 700 and not line.keys() & {"failed", "error"}
               for line in lines.values()), "run `make matrix`"
    assert matrix.table(lines) in (ROOT / "README.md").read_text(
        encoding="utf-8"), "run `make matrix`"


# What a quick setting must reach, in the median of its seeds.
BARS = {"alexnet": 0.78, "vgg": 0.80, "nin": 0.75, "googlenet": 0.75,
        "lenet_bn": 0.82, "resnet18": 0.80, "densenet": 0.78,
        "zfnet_small": 0.80, "lenet": 0.70}


@pytest.mark.parametrize("network, bar", BARS.items())
def test_quick_learns_from_every_seed(script, network, bar):
    seeds, records = script("seeds"), script("records")
    networks = script("networks")
    entry = records.load(seeds.NAME)["networks"][network]
    assert entry["setting"] == networks.readable(
        networks.setting(network, "quick")), (
        f"run `make seeds NETWORK={network}`")
    assert entry["seeds"] == [0, 1, 2, 3, 4]
    assert statistics.median(entry["test_acc"]) >= bar
    assert min(entry["test_acc"]) >= 0.60
    assert (entry["setting"]["num_test"] or 10_000) >= 2000


def test_the_readme_shows_the_seeds(script):
    seeds, records = script("seeds"), script("records")
    record = records.load(seeds.NAME)
    assert record["networks"].keys() == BARS.keys()
    assert seeds.table(record) in (ROOT / "README.md").read_text(
        encoding="utf-8"), "run `make seeds`"


def test_fast_mode_trains_a_network():
    pytest.importorskip("psutil", reason="the benchmark measures with it")
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "seeds.py", "--fast",
         "lenet_bn"], text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "lenet_bn   seed 0  test acc" in done.stdout


def test_fast_mode_times_two_networks():
    pytest.importorskip("psutil", reason="the benchmark measures with it")
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "speed.py", "--fast",
         "lenet_bn", "densenet"], text=True, capture_output=True,
        timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    for network in ("lenet_bn", "densenet"):
        assert f"{network:10}  32 pixels" in done.stdout
    assert done.stdout.count(", predict ") == 2


def test_every_network_was_timed_at_the_sizes_of_its_settings(script):
    speed, records = script("speed"), script("records")
    record = records.load(speed.NAME)
    assert record["networks"].keys() == speed.MODULES.keys()
    for network, entries in record["networks"].items():
        timed = {int(side): (entry["batch_size"], entry["optimizer"])
                 for side, entry in entries.items()}
        assert timed == {
            side: (setting["batch_size"], setting["optimizer"])
            for side, setting in speed.sizes(network).items()}, (
            f"run `make speed NETWORK={network}`")
        for entry in entries.values():
            assert len(entry["train"]) == len(entry["predict"]) == 5
            assert min(entry["predict"]) > 0
            assert (statistics.median(entry["predict"])
                    < statistics.median(entry["train"]))


def test_every_chapter_runs_within_its_limits(script):
    chapters, records = script("chapters"), script("records")
    measured = records.load(chapters.NAME)["chapters"]
    stems = {path.stem for path in (ROOT / "chapters").glob("*.ipynb")}
    assert measured.keys() == stems, "run `make measured`"
    for entry in measured.values():
        assert entry["seconds"] <= chapters.MOST_SECONDS
        assert entry["peak_mib"] <= chapters.MOST_MIB


def test_fast_mode_trains_the_networks_for_digits(script):
    mnist, records = script("mnist"), script("records")
    before = records.load(mnist.NAME)
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "mnist.py", "--fast",
         "improved"], text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "improved   seed 0  validation acc" in done.stdout
    assert "| improved | 1 |" in done.stdout
    assert records.load(mnist.NAME) == before


def test_a_run_of_another_setting_is_not_taken_for_recorded(script):
    mnist = script("mnist")
    run = {"recipe": "improved", "seed": 1,
           "setting": mnist.setting_of("improved")}
    assert mnist.find([run], "improved", 1) is run
    assert mnist.find([run], "improved", 2) is None
    assert mnist.find([run], "published", 1) is None
    run["setting"] = {**run["setting"], "shifts": 3}
    assert mnist.find([run], "improved", 1) is None


def test_mnist_is_learnt_as_well_as_published(script):
    """No epoch and no recipe was chosen by these images."""
    mnist, records = script("mnist"), script("records")
    runs = records.load(mnist.NAME)["runs"]
    for recipe, (_, _, seeds) in mnist.RECIPES.items():
        own = [mnist.find(runs, recipe, seed) for seed in seeds]
        assert None not in own, "run benchmarks/mnist.py"
    test = {recipe: statistics.median(
        run["test_acc"] for run in runs if run["recipe"] == recipe)
        for recipe in mnist.RECIPES}
    valid = {recipe: statistics.median(
        run["valid_acc"] for run in runs if run["recipe"] == recipe)
        for recipe in mnist.RECIPES}
    assert test["classic"] >= 0.992
    assert test["improved"] >= 0.9938
    assert valid["improved"] > valid["published"]
    assert mnist.table(runs) in (ROOT / "README.md").read_text(
        encoding="utf-8")


def test_the_readme_shows_the_book_runs_and_they_are_as_published(script):
    book, records, networks = (script(name) for name in (
        "book", "records", "networks"))
    record = records.load(book.NAME)
    assert book.table(record) in (ROOT / "README.md").read_text(
        encoding="utf-8")
    for network, entry in record["runs"].items():
        assert entry["setting"] == networks.readable(
            networks.setting(network, "book")), f"run {network} anew"
        assert len(entry["loss"]) == len(entry["seconds"]) == 5
        assert entry["provenance"]["commit"]
        if network in book.PUBLISHED:
            _, _, least, most = book.PUBLISHED[network]
            assert least <= entry["test_acc"][-1] <= most


@pytest.mark.parametrize("chapter, printed", [
    ("05", "| `lenet` | 28 | 2 |"), ("lenet_bn", "| `lenet_bn` | 28 | 2 |"),
    ("14", "| improved | 1 |"), ("15-keypoints", "held-out faces: ")])
def test_make_book_runs_each_kind_of_chapter(tmp_path, chapter, printed):
    pytest.importorskip("psutil", reason="the benchmarks measure with it")
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "book.py", "--fast",
         "--folder", tmp_path, chapter],
        text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert printed in done.stdout


def test_make_book_names_the_chapters_that_there_are():
    pytest.importorskip("psutil", reason="the benchmarks measure with it")
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "book.py", "01"],
        text=True, capture_output=True, timeout=300)
    assert done.returncode == 2
    assert "11-resnet: resnet18" in done.stderr
