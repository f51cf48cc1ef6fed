from __future__ import annotations

import json

import pytest

from benchmarks.__main__ import NAMES, main
from benchmarks.measuring import Benchmark, Way, run_benchmark


def test_a_small_benchmark_prints_a_table_and_writes_the_same_as_json(tmp_path, capsys):
    file = tmp_path / "results.json"

    main(["definitions", "--small", "--json", str(file)])

    written = json.loads(file.read_text())
    (benchmark,) = written["benchmarks"]
    platform, floor = benchmark["ways"]
    assert set(written["machine"]) == {"cores", "is_small", "load_average", "python"}
    assert benchmark["name"] == "definitions"
    assert platform["numbers"]["assets"] > 10
    assert platform["cpu_ratio"] is None
    assert floor["cpu_ratio"] > 0
    assert all(way["cpu_s"] >= 0 and way["wall_s"] > 0 for way in benchmark["ways"])
    assert platform["name"] in capsys.readouterr().out


def test_ways_are_taken_in_turns_in_empty_folders_that_do_not_remain(tmp_path):
    called = []

    def way(name):
        def call(folder):
            called.append((name, [path.name for path in folder.iterdir()]))
            (folder / "left").touch()

        return Way(name, call)

    run_benchmark(Benchmark("b", way("platform"), [way("floor")]), tmp_path, repeats=2)

    assert called == [("platform", []), ("floor", [])] * 3, "a warm-up and two rounds"
    assert not any(tmp_path.iterdir())


def test_preparing_is_not_measured_and_counts_are_kept(tmp_path):
    way = Way(
        "read",
        lambda folder: {"files": len(list(folder.iterdir()))},
        lambda folder: (folder / "one").touch(),
    )

    result = run_benchmark(Benchmark("b", way), tmp_path, repeats=1)

    assert result.ways[0].numbers == {"files": 1}


def test_an_unknown_name_is_refused_with_the_names_that_there_are(capsys):
    with pytest.raises(SystemExit):
        main(["nothing"])

    said = capsys.readouterr().err
    assert all(name in said for name in NAMES)
