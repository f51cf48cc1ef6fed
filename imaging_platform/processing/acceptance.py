"""What a person accepts: a result, with code and inputs as they are at that moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imaging_platform.model.errors import BadConfig, MissingInput
from imaging_platform.pipeline.stages import Per
from imaging_platform.planning.state import Made
from imaging_platform.survey.site import Site
from imaging_platform.survey.study import read_facts


@dataclass(frozen=True)
class Present:
    """
    A result as it is, and what it would be made from now.

    Parameters
    ----------
    made
        Its latest materialization.
    code_version
        Version of code and settings now.
    inputs
        Data version of each input now.
    """

    made: Made
    code_version: str
    inputs: Mapping[str, str]


def read_present(site: Site, *, asset: str, session: str) -> Present:
    """
    Return a result as it is, to be accepted.

    Parameters
    ----------
    site
        The study.
    asset, session
        Which result; the session is empty for what spans all of them.

    Raises
    ------
    BadConfig
        There is no such asset of a session, or of the whole study.
    MissingInput
        It was never made.
    """
    per = Per.SESSION if session else Per.STUDY
    nodes = {node.asset: node for node in site.nodes(per)}
    where = session or "the whole study"
    if asset not in nodes:
        raise BadConfig(
            f"There is no asset {asset} of {where}.",
            fix=f"Give one of: {', '.join(sorted(nodes))}.",
        )
    facts = read_facts(site, session)
    made = facts.made.get(asset) if facts else None
    if facts is None or made is None:
        raise MissingInput(
            f"{asset} of {where} was never made, so there is nothing to accept.",
            fix=f"imaging-platform process --study {site.study.name}",
        )
    return Present(made, nodes[asset].code_version, facts.inputs.get(asset, {}))
