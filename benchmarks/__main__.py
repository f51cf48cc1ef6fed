"""``python -m benchmarks [NAME ...] [--small] [--json FILE]``."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.converters import bids_peers
from benchmarks.deidentification import DEIDENTIFICATION, Originals
from benchmarks.indexing import index_many
from benchmarks.measuring import Benchmark, run_benchmark
from benchmarks.overhead import OVERHEAD, workplace
from benchmarks.receiving import OF_SIZES, receive_of_size
from benchmarks.session import PreparedSession
from benchmarks.stages import STAGES
from benchmarks.table import (
    describe_machine,
    format_columns,
    format_head,
    format_result,
    write_results,
)

OF_SESSIONS = {**STAGES, bids_peers.__name__: bids_peers}
OF_ORIGINALS = {**DEIDENTIFICATION, index_many.__name__: index_many}
NAMES = (*OF_SESSIONS, *OF_SIZES, *OF_ORIGINALS, *OVERHEAD)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the named benchmarks, or all, and print and write what was found."""
    given = _parse(argv)
    names = [name for name in NAMES if name in (given.names or NAMES)]
    machine = describe_machine(is_small=given.small)
    print(format_head(machine), format_columns(), sep="\n", flush=True)
    results = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        for benchmark in _make(names, Path(folder), is_small=given.small):
            repeats = given.repeats or (1 if given.small else benchmark.repeats)
            result = run_benchmark(benchmark, Path(folder), repeats=repeats)
            print(format_result(result), flush=True)
            results.append(result)
    if given.json:
        write_results(given.json, machine, results)


def _make(names: Sequence[str], folder: Path, *, is_small: bool) -> Iterator[Benchmark]:
    session = PreparedSession(folder, is_small=is_small)
    originals = Originals(folder, is_small=is_small)
    with workplace(folder, is_small=is_small) as place:
        for name in names:
            if name in OF_SESSIONS:
                yield OF_SESSIONS[name](session)
            elif name in OF_SIZES:
                yield receive_of_size(name, folder, is_small=is_small)
            elif name in OF_ORIGINALS:
                yield OF_ORIGINALS[name](originals)
            else:
                yield OVERHEAD[name](place)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which: {', '.join(NAMES)}"
    )
    parser.add_argument(
        "--small", action="store_true", help="coarse images, a tenth of the sessions"
    )
    parser.add_argument("--repeats", type=int, help="rounds, instead of each one's own")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write results here")
    given = parser.parse_args(argv)
    if unknown := sorted(set(given.names) - set(NAMES)):
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    return given


if __name__ == "__main__":
    main()
