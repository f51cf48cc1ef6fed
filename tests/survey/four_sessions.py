"""A study of which four sessions stand in four ways, and commands that are asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import dagster as dg

from imaging_platform.assets.scope import Scope
from imaging_platform.model import layout
from imaging_platform.model.ids import SessionKey
from imaging_platform.model.layout import Home
from imaging_platform.pipeline.outline import outline_study
from imaging_platform.pipeline.stages import Per
from imaging_platform.settings import DEMO_STUDY, load_study
from imaging_platform.storage.local import LocalStore

FRESH, STALE, FAILED, HELD = (f"sub-0{number}_ses-1" for number in range(1, 5))
SESSIONS = (FRESH, STALE, FAILED, HELD)
SCOPE = Scope(DEMO_STUDY)

COMMAND = """
import json, sys
from imaging_platform.cli.main import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@dataclass
class Told:
    """What a command printed, and the modules that it imported."""

    out: str
    modules: set[str]

    @property
    def heavy(self) -> set[str]:
        """The ones that take most of a second."""
        return self.modules & {"dagster", "sqlalchemy", "alembic", "numpy", "pydicom"}


def call(home: Home, *words: str) -> Told:
    """Run a command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *words],
        env={**os.environ, "IMAGING_HOME": str(home.root)},
        capture_output=True,
        text=True,
        check=True,
    )
    return Told(done.stdout, set(json.loads(done.stderr.splitlines()[-1])))


def fill(instance: dg.DagsterInstance, home: Home) -> None:
    """Make four sessions: fresh, stale, failed for an unforeseen reason, held."""
    outline = outline_study(load_study(home, "demo"), home.notebooks("demo"))
    sessions = dg.MetadataValue.json(dict.fromkeys(SESSIONS, "files"))
    tell(instance, "drop_index", "drop-0000000000000000", "1", {"sessions": sessions})
    for node in outline.nodes(Per.SESSION):
        parents = {parent: parent for parent in outline.parents[node.asset]}
        if node.asset == "raw_session":
            parents = {"drop_index": "files"}
        made = {"inputs": dg.MetadataValue.json(parents)}
        made["CPU seconds"] = dg.MetadataValue.float(2.0)
        for session in SESSIONS:
            is_stale = (node.asset, session) == ("motion", STALE)
            code = "0" if is_stale else node.code_version
            if (node.asset, session) != ("motion", FAILED):
                tell(instance, node.asset, session, code, made)
    fail(instance)
    key = layout.anonymized_dicom("demo", SessionKey.parse(HELD))
    LocalStore(home.root).hold(key, "A person must look.")


def tell(
    instance: dg.DagsterInstance, asset: str, partition: str, code: str, made: dict
) -> None:
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key=SCOPE.key(asset),
            partition=partition,
            metadata=made,
            tags={"dagster/code_version": code, "dagster/data_version": asset},
        )
    )


def fail(instance: dg.DagsterInstance) -> None:
    """Fail as an asset does that a person wrote: no tag of the run says why."""

    @dg.asset(name="motion", key_prefix="demo", partitions_def=SCOPE.sessions)
    def motion() -> None:
        raise ZeroDivisionError

    instance.add_dynamic_partitions(SCOPE.sessions.name or "", [FAILED])
    done = dg.materialize(
        [motion], instance=instance, partition_key=FAILED, raise_on_error=False
    )
    assert not done.success


WHY = {
    ("motion", FRESH): ("fresh", ""),
    ("motion", STALE): ("stale", ""),
    ("motion", FAILED): ("failed", "ZeroDivisionError"),
    ("anonymized_dicom", HELD): ("held", "Held"),
}
"""State and class of failure of some results."""
