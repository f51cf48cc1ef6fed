"""To which studies files of a shared inbox may go, from the files of all studies."""

from __future__ import annotations

from pathlib import Path

from imaging_platform.assets.scope import Scope
from imaging_platform.intake.routing import Router
from imaging_platform.model.layout import Home
from imaging_platform.resources.zones import IdentifiedZone
from imaging_platform.settings import load_study


def make_router(scope: Scope, identified: IdentifiedZone) -> Router | None:
    """Return what says for each file which study it belongs to; None: to this one."""
    if not scope.study.routing.is_shared:
        return None
    home = Home(Path(identified.home))
    others = (load_study(home, name) for name in home.studies() if name != scope.name)
    studies = {study.name: study.routing for study in (scope.study, *others)}
    return Router(scope.name, studies, lambda study: home.zone("inbox", study))


def naming_version(scope: Scope, identified: IdentifiedZone) -> str:
    """Return what changes with labels and routes; files that wait are tried again."""
    labels = identified.labels(scope.name, scope.study.labels).version
    router = make_router(scope, identified)
    return f"{labels}-{router.version}" if router else labels
