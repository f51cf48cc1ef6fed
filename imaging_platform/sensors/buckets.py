"""A settled drop in a bucket starts its indexing, which brings it into the inbox."""

import time

import dagster as dg

from imaging_platform.assets.scope import Scope
from imaging_platform.resources.zones import IdentifiedZone, PublishedZone
from imaging_platform.sensors.drops import request_settled, start_drops

INTERVAL_S = 30
MOST_LOOKED_AT = 20
"""Arrivals that one tick looks into; the next tick goes on behind them."""


def make_bucket_sensor(scope: Scope) -> dg.SensorDefinition:
    """Return the sensor that watches the bucket of a study."""

    @dg.sensor(
        name=f"{scope.name}_bucket",
        job_name=scope.drop_job,
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Indexes each drop of the study's bucket once it has settled.",
    )
    def bucket(
        context: dg.SensorEvaluationContext,
        identified: IdentifiedZone,
        published: PublishedZone,
    ) -> dg.SensorResult | dg.SkipReason:
        if frozen := published.frozen(scope.name):
            return dg.SkipReason(f"The study is {frozen}.")
        requests, position = request_bucket_drops(
            scope, identified, first=int(context.cursor or 0), now_s=time.time()
        )
        return start_drops(context, scope, requests, cursor=str(position))

    return bucket


def request_bucket_drops(
    scope: Scope,
    identified: IdentifiedZone,
    *,
    first: int,
    now_s: float,
    most: int = MOST_LOOKED_AT,
) -> tuple[list[dg.RunRequest], int]:
    """
    Return a run request for each settled drop among `most` arrivals from `first` on.

    Parameters
    ----------
    scope
        The study.
    identified
        Gives the key.
    first
        Number of the first arrival, in order of name. A number and no name: the
        cursor is no place for identity.
    now_s
        The time, in seconds since the epoch.
    most
        How many arrivals are looked into.

    Returns
    -------
    tuple
        Requests, and the number to go on with: 0 at the end.
    """
    from imaging_platform.storage.s3_inbox import open_s3_inbox

    bucket = open_s3_inbox(scope.study.s3_inbox)
    if bucket is None:
        return [], 0
    looked = bucket.look(secret=identified.secret(scope.name), first=first, most=most)
    arrivals = [found.arrival for found in looked]
    requests, _ = request_settled(scope, arrivals, now_s=now_s, source="bucket-")
    return [*requests.values()], first + most if len(looked) == most else 0
