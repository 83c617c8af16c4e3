"""Records are read, and what is missing is said clearly."""
from __future__ import annotations

import json

import pytest

import d2lzh_ext as d2l
from d2lzh_ext import records


def test_a_record_has_its_provenance():
    assert d2l.results("lenet-epoch")["provenance"]["date"]


def test_an_unknown_record_names_those_there_are():
    with pytest.raises(FileNotFoundError, match="lenet-epoch"):
        d2l.results("no-such")


def test_show_recorded(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    (tmp_path / "quick-seeds.json").write_text(json.dumps({
        "networks": {"vgg": {
            "seeds": [0, 1, 2], "test_acc": [0.9, 0.7, 0.85],
            "provenance": {"date": "2026-01-02", "cores": 2,
                           "processor": "CPU",
                           "packages": {"mxnet": "1.9.1"}}}}}))
    d2l.show_recorded("vgg")
    printed = capsys.readouterr().out
    assert "median 0.850, least 0.700, most 0.900" in printed
    assert "2026-01-02" in printed
    with pytest.raises(ValueError, match="vgg"):
        d2l.show_recorded("lenet")


@pytest.mark.parametrize("network, counted", [
    ("nin", "of these 83 runs: 9 never left 0.100, 21 ended below 0.600\n"),
    ("googlenet", "of these 82 runs: 3 never left 0.100\n"),
    ("vgg", None)])
def test_failed_public_runs_are_counted_where_known(network, counted, capsys):
    d2l.show_book_runs(network)
    printed = capsys.readouterr().out
    assert "public runs, 10 epochs" in printed
    if counted:
        assert counted in printed
    else:
        assert "never left" not in printed


def test_counts_of_public_runs_fit_their_range():
    networks = d2l.results("published")["networks"]
    for entry in networks.values():
        public = entry.get("public_runs")
        if public:
            assert public["dead"] <= public.get("under_60", public["runs"])
            assert public["runs"] >= public.get("under_60", 0)
            assert (entry["ten_epochs"][1] == 0.1) == (public["dead"] > 0)
