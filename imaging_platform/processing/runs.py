"""Which run made a result, also one that has been made anew since."""

from __future__ import annotations

from imaging_platform.planning.state import Made
from imaging_platform.provenance.lineage import Lineage
from imaging_platform.provenance.stamps import Stamp, digest_origin
from imaging_platform.survey.database import Database
from imaging_platform.survey.event_log import open_log
from imaging_platform.survey.history import read_past

MOST_RESULTS = 100
"""Of how many results of a lineage the run is looked up; each costs a query."""


def find_stamped(
    database: Database, study: str, stamp: Stamp
) -> tuple[Made, str] | None:
    """
    Return the materialization that a stamp names, and its run; None if unknown.

    The run is empty for a result that was told without one.
    """
    with open_log(database, study) as log:
        for made, run_id in read_past(log, stamp.asset, stamp.partition):
            if digest_origin(made.code_version, made.inputs) == stamp.origin:
                return made, run_id
    return None


def find_runs(database: Database, study: str, lineage: Lineage) -> dict[str, str]:
    """Return the latest run that made each result as it is, by `Node.id`."""
    runs = {}
    results = [node for node in lineage.nodes if node.kind == "result"]
    with open_log(database, study) as log:
        for node in results[:MOST_RESULTS]:
            said = node.details
            wanted = (said["code_version"], said["data_version"])
            past = read_past(log, str(said["asset"]), str(said["partition"]))
            for made, run_id in past:
                if (made.code_version, made.data_version) == wanted and run_id:
                    runs[node.id] = run_id
                    break
    return runs
