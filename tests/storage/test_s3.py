"""What only the S3 store promises: kills, races, damage, refusals, secrets."""

from __future__ import annotations

import stat
from dataclasses import replace

import pytest

from imaging_platform.model.errors import BadConfig, BadInput, PlatformError, ToolFailed
from imaging_platform.provenance.record import Record
from imaging_platform.storage import bucket as bucket_module
from imaging_platform.storage.s3 import S3Store
from tests.storage.conftest import (
    ACCESS_KEY,
    SECRET_KEY,
    Killed,
    Server,
    make_client,
    make_dying_client,
)

KEY = "bids/demo/tree"
RECORD = Record("a", "sub-1_ses-1", "1")
OLD = {"a": "old", "b": "old"}
NEW = {"a": "new", "c": "new"}


@pytest.fixture
def client(s3_server: Server):
    return s3_server.endpoint().connect()


@pytest.fixture
def store(s3_server: Server, bucket, tmp_path) -> S3Store:
    return S3Store(
        bucket, s3_server.endpoint().connect, scratch=tmp_path / "scratch", workers=1
    )


def _publish(store: S3Store, files: dict[str, str], record: Record = RECORD) -> str:
    with store.stage(KEY) as tree:
        for name, text in files.items():
            (tree / name).write_text(text)
        return store.publish(tree, KEY, record)


def _read(store: S3Store) -> dict[str, str]:
    with store.fetch(KEY) as tree:
        return {file.name: file.read_text() for file in tree.glob("[!.]*")}


def _keys(client, store: S3Store) -> list[str]:
    found = client.list_objects_v2(Bucket=store.bucket).get("Contents", [])
    return [item["Key"] for item in found]


def _count_requests(store: S3Store, server: Server, operations: list[str]) -> S3Store:
    client = make_client(server.endpoint())
    client.meta.events.register(
        "before-send.s3",
        lambda event_name, **_: operations.append(event_name.split(".")[-1]),
    )
    return replace(store, connect=lambda: client)


def _expected_requests(store: S3Store, s3_server: Server) -> int:
    """Number of requests of a publish of NEW over OLD."""
    operations: list[str] = []
    _publish(_count_requests(store, s3_server, operations), NEW)
    return len(operations)


@pytest.mark.slow
@pytest.mark.parametrize("event", ["before-send", "response-received"])
def test_a_publish_killed_at_any_request_leaves_a_whole_tree_and_can_be_repeated(
    store, client, s3_server, event
):
    _publish(store, OLD)
    requests = _expected_requests(store, s3_server)
    assert requests > 9

    for number in range(1, requests + 1):
        _publish(store, OLD)
        dying = make_dying_client(s3_server.endpoint(), number, event)
        with pytest.raises(Killed):
            _publish(replace(store, connect=lambda dying=dying: dying), NEW)

        assert _read(store) in (OLD, NEW), number
        _publish(store, NEW)
        assert _read(store) == NEW
        # Two files, their digests, record, the pointer: nothing is left behind.
        assert len(_keys(client, store)) == 5, number


@pytest.mark.slow
def test_a_first_publish_killed_at_any_request_shows_a_whole_tree_or_none(
    store, client, s3_server
):
    operations: list[str] = []
    _publish(
        replace(_count_requests(store, s3_server, operations), prefix="count"), NEW
    )

    for number in range(1, len(operations) + 1):
        fresh = replace(store, prefix=f"n{number}")
        dying = make_dying_client(s3_server.endpoint(), number, "response-received")
        with pytest.raises(Killed):
            _publish(replace(fresh, connect=lambda dying=dying: dying), NEW)

        assert fresh.read(KEY) is None or _read(fresh) == NEW
        _publish(fresh, NEW)
        assert _read(fresh) == NEW


def test_what_a_killed_upload_left_goes_even_when_the_old_tree_is_published_again(
    store, client, s3_server
):
    _publish(store, OLD)
    before = _keys(client, store)
    dying = make_dying_client(s3_server.endpoint(), 6, "response-received")
    with pytest.raises(Killed):
        _publish(replace(store, connect=lambda dying=dying: dying), NEW)
    assert _keys(client, store) != before

    _publish(store, OLD)

    assert _keys(client, store) == before


def test_the_same_content_twice_writes_nothing(store, s3_server):
    _publish(store, OLD)
    operations: list[str] = []

    _publish(_count_requests(store, s3_server, operations), OLD)

    assert "PutObject" not in operations
    assert operations.count("DeleteObject") == 1  # a hold that is not there


def test_a_new_record_alone_moves_the_pointer_and_sends_no_file(store, s3_server):
    _publish(store, OLD)
    operations: list[str] = []

    _publish(
        _count_requests(store, s3_server, operations),
        OLD,
        replace(RECORD, code_version="2"),
    )

    assert operations.count("PutObject") == 1
    record = store.read(KEY)
    assert record is not None
    assert record.code_version == "2"


def test_of_two_publishes_at_once_one_wins_whole_and_the_other_is_told(
    store, s3_server, monkeypatch
):
    _publish(store, OLD)
    slow = S3Store.__dict__["_upload"]

    def upload_while_another_publishes(self, tree, target, manifest):
        slow(self, tree, target, manifest)
        monkeypatch.setattr(S3Store, "_upload", slow)
        _publish(store, {"a": "faster"})

    monkeypatch.setattr(S3Store, "_upload", upload_while_another_publishes)
    with pytest.raises(ToolFailed) as told:
        _publish(store, NEW)

    assert "again" in told.value.fix
    assert _read(store) == {"a": "faster"}
    _publish(store, NEW)
    assert _read(store) == NEW


def test_a_reader_from_under_whom_the_tree_is_taken_gets_the_new_one(
    store, monkeypatch
):
    _publish(store, OLD)
    read_tree = S3Store.__dict__["_download_tree"]

    def read_while_another_publishes(self, key, pointer, folder):
        monkeypatch.setattr(S3Store, "_download_tree", read_tree)
        _publish(store, NEW)
        return read_tree(self, key, pointer, folder)

    monkeypatch.setattr(S3Store, "_download_tree", read_while_another_publishes)

    assert _read(store) == NEW


def test_a_fetched_tree_is_private_and_removed_afterwards(store):
    _publish(store, OLD)

    with store.fetch(KEY) as tree:
        mode = stat.S_IMODE(tree.stat().st_mode)

    assert mode == 0o700
    assert list((store.scratch).iterdir()) == []


@pytest.mark.parametrize("action", ["change", "delete"])
@pytest.mark.parametrize("which", ["/a", ".json"])
def test_damage_in_the_bucket_is_found_when_it_is_read(store, client, action, which):
    _publish(store, OLD)
    key = next(k for k in _keys(client, store) if k.endswith(which))
    if action == "change":
        client.put_object(Bucket=store.bucket, Key=key, Body=b"{}")
    else:
        client.delete_object(Bucket=store.bucket, Key=key)

    with pytest.raises(BadInput) as refused, store.fetch(KEY):
        pytest.fail("fetched")

    assert "Materialize" in refused.value.fix
    assert list((store.scratch).iterdir()) == []


def test_many_requests_at_once_carry_the_same_tree(store):
    wide = replace(store, workers=8)
    content = {f"file-{number:03}": str(number) for number in range(60)}

    _publish(wide, content)

    assert _read(wide) == content


def test_nothing_is_asked_before_the_first_use():
    def connect():
        pytest.fail("connected")

    S3Store("bucket", connect)


def test_a_bucket_that_does_not_exist_is_a_matter_of_settings(store):
    with pytest.raises(BadConfig) as refused:
        _publish(replace(store, bucket="no-such-bucket"), NEW)

    assert "NoSuchBucket" in str(refused.value)
    assert "bucket exists" in refused.value.fix


def test_a_server_that_is_down_may_be_asked_again(store, s3_server):
    down = s3_server.endpoint(url="http://127.0.0.1:9")

    with pytest.raises(ToolFailed) as failed:
        _publish(replace(store, connect=down.connect), NEW)

    assert not failed.value.permanent
    assert "127.0.0.1" not in str(failed.value)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("AccessDenied", 403, BadConfig),
        ("InvalidAccessKeyId", 403, BadConfig),
        ("SignatureDoesNotMatch", 403, BadConfig),
        ("403", 403, BadConfig),
        ("BadDigest", 400, ToolFailed),
        ("SlowDown", 503, ToolFailed),
        ("InternalError", 500, ToolFailed),
        ("ConditionalRequestConflict", 409, ToolFailed),
    ],
)
def test_what_the_server_answers_becomes_an_error_of_ours(
    store, s3_server, code, status, kind
):
    # moto knows no rights of users; the answer is put in at botocore's own door.
    client = make_client(s3_server.endpoint())
    client.meta.events.register(
        "before-parameter-build.s3.ListObjectsV2", _answer(code, status)
    )

    with pytest.raises(kind) as failed:
        replace(store, connect=lambda: client).held("bids/demo/")

    assert isinstance(failed.value, PlatformError)
    assert code in str(failed.value) or kind is ToolFailed
    assert failed.value.fix


def _answer(code: str, status: int):
    from botocore.exceptions import ClientError

    def answer(**_):
        text = f"{ACCESS_KEY} {SECRET_KEY}"
        raise ClientError(
            {
                "Error": {"Code": code, "Message": text},
                "ResponseMetadata": {"HTTPStatusCode": status},
            },
            "ListObjectsV2",
        )

    return answer


def test_no_secret_is_shown_by_an_endpoint_a_store_or_an_error(store, s3_server):
    endpoint = s3_server.endpoint(url="http://127.0.0.1:9")
    shown = [repr(endpoint), repr(replace(store, connect=endpoint.connect))]
    with pytest.raises(ToolFailed) as failed:
        replace(store, connect=endpoint.connect).read(KEY)
    shown += [repr(failed.value), failed.value.fix]

    assert failed.value.__suppress_context__
    assert not any(ACCESS_KEY in text or SECRET_KEY in text for text in shown)


def test_an_address_that_is_none_is_a_matter_of_settings(store, s3_server):
    broken = s3_server.endpoint(url="not an address")

    with pytest.raises(BadConfig) as refused:
        replace(store, connect=broken.connect).read(KEY)

    assert "address" in refused.value.fix


def test_a_file_larger_than_one_request_is_refused_before_it_is_sent(
    store, monkeypatch
):
    monkeypatch.setattr(bucket_module, "PUT_LIMIT_BYTES", 3)

    with pytest.raises(BadInput) as refused:
        _publish(store, {"a": "four"})

    assert "local store" in refused.value.fix
    assert store.read(KEY) is None


def test_a_server_that_keeps_no_digest_is_refused(store, s3_server):
    client = make_client(s3_server.endpoint())
    client.meta.events.register(
        "after-call.s3.HeadObject",
        lambda parsed, **_: parsed.pop("ChecksumSHA256", None),
    )

    with pytest.raises(BadConfig) as refused:
        _publish(replace(store, connect=lambda: client), NEW)

    assert "checksums" in refused.value.fix
    assert store.read(KEY) is None


def test_an_object_that_differs_from_the_file_is_not_taken_into_use(store, s3_server):
    client = make_client(s3_server.endpoint())
    client.meta.events.register(
        "after-call.s3.HeadObject",
        lambda parsed, **_: parsed.update(ContentLength=1),
    )

    with pytest.raises(ToolFailed) as refused:
        _publish(replace(store, connect=lambda: client), NEW)

    assert "again" in refused.value.fix
    assert store.read(KEY) is None


def test_a_manifest_cannot_write_outside_the_scratch_folder(store, client):
    _publish(store, OLD)
    from imaging_platform.storage.s3 import _encode_manifest, _follow

    manifest = {"../../escaped": "0" * 64}
    pointer = _follow(None, manifest, RECORD)
    base = f"{KEY}/.trees/{pointer.tree}.json"
    client.put_object(Bucket=store.bucket, Key=base, Body=_encode_manifest(manifest))
    client.put_object(Bucket=store.bucket, Key=f"{KEY}/.current", Body=pointer.encode())

    with pytest.raises(BadInput), store.fetch(KEY):
        pytest.fail("fetched")
