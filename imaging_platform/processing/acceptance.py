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
    A result of a session as it is, and what it would be made from now.

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
        Which result.

    Raises
    ------
    BadConfig
        Sessions have no such asset.
    MissingInput
        It was never made.
    """
    nodes = {node.asset: node for node in site.nodes(Per.SESSION)}
    if asset not in nodes:
        raise BadConfig(
            f"Sessions have no asset {asset}.",
            fix=f"Give one of: {', '.join(sorted(nodes))}.",
        )
    facts = read_facts(site, session)
    made = facts.made.get(asset) if facts else None
    if facts is None or made is None:
        raise MissingInput(
            f"{asset} of {session} was never made, so there is nothing to accept.",
            fix=f"imaging-platform process --study {site.study.name}",
        )
    return Present(made, nodes[asset].code_version, facts.inputs.get(asset, {}))
