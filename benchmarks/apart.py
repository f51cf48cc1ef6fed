"""
One way to de-identify or copy a folder, in a process of its own, which measures itself.

``python -m benchmarks.apart WAY SOURCE TARGET`` prints a line of JSON: CPU and wall
seconds without start and imports, and the peak of resident memory. It runs under the
platform's Python, and under that of the peers (`peers.txt`), so nothing is imported
but for the way that is asked for.
"""

from __future__ import annotations

import importlib.util
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PEERS_PYTHON = CHECKOUT / ".venv-peers" / "bin" / "python"

Work = Callable[[Path, Path], object]


def main(arguments: list[str]) -> None:
    """Do what is asked for and print what it took."""
    name, source, target = arguments[0], Path(arguments[1]), Path(arguments[2])
    work = WAYS[name]()
    cpu_s, wall_s = _cpu_s(), time.perf_counter()
    work(source, target)
    wall_s, cpu_s = time.perf_counter() - wall_s, _cpu_s() - cpu_s
    found = {"cpu_s": cpu_s, "wall_s": wall_s, "peak_mb": _peak_bytes() / 1e6}
    print(json.dumps(found))


def is_installed(name: str) -> bool:
    """Return whether a way can be measured here."""
    if name in PEER_MODULES:
        folder = PEERS_PYTHON.parents[1] / "lib"
        return any(folder.glob(f"python*/site-packages/{PEER_MODULES[name]}"))
    if name == "pydicom":
        return importlib.util.find_spec("pydicom") is not None
    return name == "platform" or shutil.which(name) is not None


def python_of(name: str) -> str:
    """Return the Python under which a way runs."""
    return str(PEERS_PYTHON) if name in PEER_MODULES else sys.executable


def _platform() -> Work:
    # The engine loads its dictionaries when it first asks; imports do not count.
    import pydicom  # noqa: F401

    from imaging_platform.deid.session import anonymize_session
    from imaging_platform.deid.settings import DeidSettings
    from imaging_platform.model.ids import SessionKey

    def work(source: Path, target: Path) -> None:
        report = anonymize_session(
            source,
            target,
            key=SessionKey("01", "1"),
            settings=DeidSettings(),
            secret=bytes(range(32)),
        )
        if report.quarantined:
            raise SystemExit(f"kept back: {report.quarantined}")

    return work


def _pydicom() -> Work:
    from pydicom import dcmread

    def work(source: Path, target: Path) -> None:
        for path in sorted(source.iterdir()):
            dcmread(path).save_as(target / path.name)

    return work


def _cp() -> Work:
    def work(source: Path, target: Path) -> None:
        subprocess.run(["cp", "-r", f"{source}/.", str(target)], check=True)

    return work


def _dcmodify() -> Work:
    erased = ["PatientBirthDate", "AccessionNumber", "InstitutionName", "StationName"]
    argv = ["dcmodify", "--no-backup", "--erase-private"]
    argv += ["--gen-stud-uid", "--gen-ser-uid", "--gen-inst-uid"]
    argv += ["--modify", "PatientName=01", "--modify", "PatientID=01"]
    for keyword in erased:
        argv += ["--erase-all", keyword]

    def work(source: Path, target: Path) -> None:
        # It works in place, so the copy belongs to it.
        subprocess.run(["cp", "-r", f"{source}/.", str(target)], check=True)
        files = sorted(map(str, target.iterdir()))
        subprocess.run([*argv, "--ignore-missing-tags", *files], check=True)

    return work


def _dicom_anonymizer() -> Work:
    from dicomanonymizer import anonymize  # type: ignore[import-not-found]  # a peer

    def work(source: Path, target: Path) -> None:
        anonymize(str(source), str(target), {}, True)

    return work


def _deid() -> Work:
    from deid.config import DeidRecipe  # type: ignore[import-not-found]  # a peer
    from deid.dicom import replace_identifiers  # type: ignore[import-not-found]

    def work(source: Path, target: Path) -> None:
        replace_identifiers(
            dicom_files=sorted(map(str, source.iterdir())),
            deid=DeidRecipe(),
            save=True,
            output_folder=str(target),
        )

    return work


def _dicognito() -> Work:
    from dicognito.anonymizer import Anonymizer  # type: ignore[import-not-found]
    from pydicom import dcmread

    def work(source: Path, target: Path) -> None:
        anonymizer = Anonymizer(seed="benchmark")
        for path in sorted(source.iterdir()):
            dataset = dcmread(path)
            anonymizer.anonymize(dataset)
            dataset.save_as(target / path.name)

    return work


PEER_MODULES = {
    "dicom-anonymizer": "dicomanonymizer",
    "deid": "deid",
    "dicognito": "dicognito",
}

WAYS: dict[str, Callable[[], Work]] = {
    "platform": _platform,
    "pydicom": _pydicom,
    "cp": _cp,
    "dcmodify": _dcmodify,
    "dicom-anonymizer": _dicom_anonymizer,
    "deid": _deid,
    "dicognito": _dicognito,
}


def _cpu_s() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = [resource.getrusage(kind) for kind in kinds]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _peak_bytes() -> int:
    """Return the larger peak of this process and of those that it waited for."""
    # Not ru_maxrss of this process: it begins with the size of the parent at the fork.
    status = Path("/proc/self/status").read_text()
    own = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return 1024 * max(children, int(own.split()[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
