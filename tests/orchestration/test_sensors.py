"""What starts by itself, and what must not start twice."""

from __future__ import annotations

import contextlib
import os
import sys
import time

import dagster as dg
import pytest

from imaging_platform.assets.scope import Scope
from imaging_platform.cli.studies import create_study
from imaging_platform.intake.settings import S3InboxSettings
from imaging_platform.model.layout import Home
from imaging_platform.planning.decisions import (
    Action,
    Decision,
    append_decision,
)
from imaging_platform.resources.zones import IdentifiedZone, PublishedZone
from imaging_platform.sensors.buckets import make_bucket_sensor, request_bucket_drops
from imaging_platform.sensors.cohort import make_cohort_sensor
from imaging_platform.sensors.drops import (
    MOST_ATTEMPTS,
    make_drops_sensor,
    request_drops,
)
from imaging_platform.sensors.imports import make_imports_sensor
from imaging_platform.sensors.sessions import (
    MOST_SESSIONS_A_TICK,
    make_sessions_sensor,
    request_sessions,
)
from imaging_platform.settings import load_study
from tests.storage.conftest import (
    ACCESS_KEY,
    SECRET_KEY,
    make_client,
)
from tests.storage.conftest import bucket as bucket  # the fixture
from tests.storage.conftest import s3_server as s3_server  # the fixture


@pytest.fixture
def home(tmp_path) -> Home:
    home = Home(tmp_path)
    create_study(home, "demo")
    return home


@pytest.fixture
def scope(home) -> Scope:
    return Scope(load_study(home, "demo"))


@pytest.fixture
def instance(tmp_path):
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def identified(home) -> IdentifiedZone:
    return IdentifiedZone(home=str(home.root))


def _drop(home: Home, name: str, *, age_s: float, size: int = 10) -> None:
    folder = home.zone("inbox", "demo") / name
    folder.mkdir()
    (folder / "IM_0001").write_bytes(b"x" * size)
    stamp = time.time() - age_s
    os.utime(folder / "IM_0001", (stamp, stamp))
    os.utime(folder, (stamp, stamp))


def _tick(sensor, instance, cursor=None, **resources):
    # Home and instance are one folder here.
    published = PublishedZone(home=instance.root_directory, reports_url="")
    resources = {"published": published, **resources}
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources=resources
    )
    return sensor(context)


def _later(seconds: float) -> float:
    return time.time() + seconds


def test_a_settled_drop_asks_for_one_run_and_the_same_one_each_time(
    home, scope, identified, instance
):
    _drop(home, "KESTREL^ANNIKA", age_s=0)

    first, _ = request_drops(scope, identified, instance, now_s=_later(600))
    second, _ = request_drops(scope, identified, instance, now_s=_later(700))

    assert len(first) == 1
    assert [r.run_key for r in first] == [r.run_key for r in second]


def test_a_drop_that_still_grows_is_left_alone(home, scope, identified, instance):
    _drop(home, "KESTREL^ANNIKA", age_s=0)

    requests, settling = request_drops(scope, identified, instance, now_s=time.time())

    assert requests == []
    assert settling == 1


def test_an_empty_folder_is_no_drop_and_nobody_waits_for_it(
    home, scope, identified, instance
):
    (home.zone("inbox", "demo") / "empty").mkdir()

    assert request_drops(scope, identified, instance, now_s=_later(600)) == ([], 0)


def test_a_drop_is_registered_under_a_name_that_says_nothing(
    home, scope, identified, instance
):
    _drop(home, "KESTREL^ANNIKA", age_s=0)
    (home.zone("inbox", "demo") / "KESTREL^ANNIKA" / ".complete").touch()

    result = _tick(make_drops_sensor(scope), instance, identified=identified)

    (request,) = result.run_requests
    assert instance.get_dynamic_partitions("demo_drops") == [request.partition_key]
    assert "KESTREL" not in f"{request}"


def test_an_interrupted_drop_is_taken_up_again_but_not_for_ever(
    home, scope, identified, instance
):
    claimed = home.zone("identified", "demo") / "incoming" / "drop-0123456789abcdef"
    claimed.mkdir(parents=True)

    attempts = []
    for _ in range(6):
        found, _ = request_drops(scope, identified, instance, now_s=time.time())
        attempts += [request.run_key for request in found]
        for request in found:
            _record_run(instance, scope.drop_job, request, dg.DagsterRunStatus.FAILURE)

    assert len(attempts) == len(set(attempts)) == MOST_ATTEMPTS + 1


def test_a_drop_that_waits_for_labels_is_asked_for_once_when_these_change(
    home, scope, identified, instance
):
    waiting = home.zone("identified", "demo") / "waiting" / "drop-0123456789abcdef"
    waiting.parent.mkdir(parents=True)
    waiting.write_text("an older version")

    (request,), _ = request_drops(scope, identified, instance, now_s=time.time())
    waiting.write_text(identified.labels("demo", scope.study.labels).version)
    tried, _ = request_drops(scope, identified, instance, now_s=time.time())

    assert request.partition_key == waiting.name
    assert tried == []


def test_a_drop_that_is_being_indexed_is_not_taken_up_again(
    home, scope, identified, instance
):
    claimed = home.zone("identified", "demo") / "incoming" / "drop-0123456789abcdef"
    claimed.mkdir(parents=True)
    (request,), _ = request_drops(scope, identified, instance, now_s=time.time())
    _record_run(instance, scope.drop_job, request, dg.DagsterRunStatus.STARTED)

    found, _ = request_drops(scope, identified, instance, now_s=time.time())

    assert found == []


def test_nothing_in_the_inbox_is_a_reason_to_skip(home, scope, identified, instance):
    result = _tick(make_drops_sensor(scope), instance, identified=identified)

    assert isinstance(result, dg.SkipReason)


def test_each_indexed_session_becomes_a_partition_and_a_run(scope, instance):
    _report_index(instance, {"sub-A_ses-1": "d1", "sub-B_ses-1": "d2"})

    result = _tick(make_sessions_sensor(scope), instance)

    keys = [request.partition_key for request in result.run_requests]
    assert keys == ["sub-A_ses-1", "sub-B_ses-1"]
    assert set(instance.get_dynamic_partitions("demo_sessions")) == set(keys)


def test_the_same_files_give_the_same_run_key_and_new_files_another(scope, instance):
    _report_index(instance, {"sub-A_ses-1": "d1"})
    _report_index(instance, {"sub-A_ses-1": "d1"})
    _report_index(instance, {"sub-A_ses-1": "d2"})

    keys = [request.run_key for request in _all_requests(scope, instance)]

    assert keys[0] == keys[1] != keys[2]


def test_a_large_drop_is_asked_for_in_portions_and_none_is_lost(scope, instance):
    count = 2 * MOST_SESSIONS_A_TICK + 7
    _report_index(instance, {f"sub-{n:04d}_ses-1": "d" for n in range(count)})

    requests = _all_requests(scope, instance)

    assert len({request.partition_key for request in requests}) == count
    assert len(requests) == count


def test_what_was_asked_for_is_not_asked_for_again(scope, instance):
    _report_index(instance, {"sub-A_ses-1": "d1"})
    _, cursor = request_sessions(scope, instance, cursor=None)

    requests, after = request_sessions(scope, instance, cursor=cursor)

    assert requests == []
    assert after == cursor


def test_the_cursor_does_not_grow_with_what_was_seen(scope, instance):
    cursor = None
    lengths = []
    for number in range(30):
        _report_index(instance, {f"sub-{number}_ses-1": "d"})
        _, cursor = request_sessions(scope, instance, cursor=cursor)
        lengths.append(len(cursor))

    assert max(lengths) < 24


def test_a_tick_takes_under_a_second_with_ten_thousand_known_sessions(scope, instance):
    known = [f"sub-{number:05d}_ses-1" for number in range(10_000)]
    instance.add_dynamic_partitions("demo_sessions", known)
    _report_index(instance, {"sub-00001_ses-1": "d1"})

    started_s = time.perf_counter()
    _tick(make_sessions_sensor(scope), instance)

    assert time.perf_counter() - started_s < 1


def test_the_cohort_follows_once_no_session_is_running(scope, instance):
    sensor = make_cohort_sensor(scope)
    assert isinstance(_tick(sensor, instance), dg.SkipReason)
    _report(instance, "session_report", "sub-A_ses-1")

    result = _tick(sensor, instance)
    again = _tick(sensor, instance, cursor=result.cursor)

    assert len(result.run_requests) == 1
    assert isinstance(again, dg.SkipReason)


def test_the_cohort_waits_for_sessions_that_are_running(scope, instance):
    _report(instance, "session_report", "sub-A_ses-1")
    request = dg.RunRequest(partition_key="sub-B_ses-1")
    _record_run(instance, scope.session_job, request, dg.DagsterRunStatus.STARTED)

    result = _tick(make_cohort_sensor(scope), instance)

    assert not result.run_requests
    assert result.skip_reason


def test_the_cohort_does_not_wait_for_ever_while_sessions_keep_coming(scope, instance):
    _report(instance, "session_report", "sub-A_ses-1")
    request = dg.RunRequest(partition_key="sub-B_ses-1")
    _record_run(instance, scope.session_job, request, dg.DagsterRunStatus.STARTED)
    long_ago = f"0:{int(time.time()) - 601}"

    result = _tick(make_cohort_sensor(scope), instance, cursor=long_ago)

    assert len(result.run_requests) == 1


def test_a_home_without_inbox_is_a_reason_to_skip(scope, instance, tmp_path):
    elsewhere = IdentifiedZone(home=str(tmp_path / "nothing"))

    result = _tick(make_drops_sensor(scope), instance, identified=elsewhere)

    assert isinstance(result, dg.SkipReason)


def test_a_session_that_was_finished_since_is_not_asked_for_again(scope, instance):
    _report_index(instance, {"sub-A_ses-1": "d1"})
    _report_index(instance, {"sub-A_ses-1": "d2"})
    _report(instance, "session_report", "sub-A_ses-1")

    assert _all_requests(scope, instance) == []


def _all_requests(scope, instance):
    found, cursor = [], None
    while True:
        requests, after = request_sessions(scope, instance, cursor=cursor)
        if after == cursor:
            return found
        found += requests
        cursor = after


def _report_index(instance, sessions):
    _report(instance, "drop_index", "drop-0123456789abcdef", sessions=sessions)


def _report(instance, asset, partition, **metadata):
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            asset_key=dg.AssetKey(["demo", asset]),
            partition=partition,
            metadata={k: dg.MetadataValue.json(v) for k, v in metadata.items()},
        )
    )


def _record_run(instance, job, request, status):
    instance.create_run_for_job(
        _empty_job(job),
        status=status,
        tags={"dagster/partition": request.partition_key},
    )


def _empty_job(name):
    @dg.op
    def nothing():
        return None

    @dg.job(name=name)
    def empty():
        nothing()

    return empty


def test_a_frozen_study_starts_nothing_and_goes_on_where_it_was_when_thawed(
    home, scope, identified, instance
):
    _drop(home, "KESTREL^ANNIKA", age_s=0)
    (home.zone("inbox", "demo") / "KESTREL^ANNIKA" / ".complete").touch()
    _report(instance, "session_report", "sub-B_ses-1")
    _report_index(instance, {f"sub-A{n}_ses-1": "d" for n in range(3)})
    makers = (
        make_drops_sensor,
        make_sessions_sensor,
        lambda scope: make_imports_sensor(scope, []),
        make_cohort_sensor,
        make_bucket_sensor,
    )
    _decide(home, "freeze")

    ticks = [_tick(m(scope), instance, identified=identified) for m in makers]
    _decide(home, "thaw")
    thawed = _tick(make_sessions_sensor(scope), instance)

    assert {str(tick.skip_message) for tick in ticks} == {
        "The study is frozen by ada: published."
    }
    assert len(thawed.run_requests) == 3


def _decide(home: Home, action: Action) -> None:
    append_decision(home.root, "demo", Decision(action, "ada", "published", "now"))


@pytest.fixture
def bucket_scope(home, s3_server, bucket, monkeypatch) -> Scope:
    """The study with a bucket of three drops; their names identify."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    client = make_client(s3_server.endpoint())
    for number in range(1, 4):
        name = f"KESTREL^ANNIKA{number}/IM_0001"
        client.put_object(Bucket=bucket, Key=name, Body=b"x" * number)
    changed = {"s3_inbox": S3InboxSettings(bucket=bucket, url=s3_server.url)}
    return Scope(load_study(home, "demo").model_copy(update=changed))


def test_the_bucket_sensor_asks_once_and_goes_on_behind_what_it_looked_into(
    bucket_scope, identified
):
    later_s = _later(600)

    first, position = request_bucket_drops(
        bucket_scope, identified, first=0, most=2, now_s=later_s
    )
    same, _ = request_bucket_drops(
        bucket_scope, identified, first=0, most=2, now_s=later_s + 60
    )
    last, end = request_bucket_drops(
        bucket_scope, identified, first=position, most=2, now_s=later_s
    )

    assert (len(first), position) == (2, 2)
    assert [r.run_key for r in first] == [r.run_key for r in same]
    assert (len(last), end) == (1, 0)


def test_the_bucket_sensor_asks_for_nothing_that_still_grows(bucket_scope, identified):
    requests, _ = request_bucket_drops(
        bucket_scope, identified, first=0, now_s=time.time()
    )

    assert requests == []


def test_a_tick_of_the_bucket_sensor_keeps_no_name(bucket_scope, identified, instance):
    sensor = make_bucket_sensor(bucket_scope)

    result = _tick(sensor, instance, identified=identified)

    assert result.cursor == "0"
    assert "KESTREL" not in repr(result)


def test_a_full_disk_lets_drops_wait(home, scope, identified, instance):
    _drop(home, "KESTREL^ANNIKA", age_s=600)
    full = scope.study.intake.model_copy(update={"min_free_bytes": 1 << 60})
    scope = Scope(scope.study.model_copy(update={"intake": full}))

    result = _tick(make_drops_sensor(scope), instance, identified=identified)

    assert isinstance(result, dg.SkipReason)
    assert "too full" in str(result.skip_message)


@pytest.mark.parametrize("n_known", [10, 10_000])
def test_a_tick_of_the_drops_sensor_does_the_same_work_however_many_are_known(
    home, scope, identified, instance, n_known
):
    drops = identified.folder("demo") / "drops"
    for number in range(n_known):
        (drops / f"drop-{number:016x}").mkdir(parents=True)
    for start in range(0, n_known, 1000):
        known = [f"drop-{n:016x}" for n in range(start, min(start + 1000, n_known))]
        instance.add_dynamic_partitions(scope.drops.name, known)
    _drop(home, "drop", age_s=0)

    started = time.process_time()
    with _counted_listings() as listings:
        requests, _ = request_drops(scope, identified, instance, now_s=_later(600))

    assert len(requests) == 1
    assert len(listings) < 10
    assert not [path for path in listings if "/drops" in path]
    assert time.process_time() - started < 1


@contextlib.contextmanager
def _counted_listings():
    """Give the folders that are listed meanwhile."""
    listings: list[str] = []
    is_on = [True]

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if is_on[0] and event in ("os.scandir", "os.listdir"):
            listings.append(str(arguments[0]))

    sys.addaudithook(note)
    try:
        yield listings
    finally:
        is_on[0] = False
