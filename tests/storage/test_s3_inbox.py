from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.intake.arrivals import is_settled
from imaging_platform.intake.settings import S3InboxSettings
from imaging_platform.model.errors import BadConfig, BadInput, Held
from imaging_platform.storage import s3_inbox
from imaging_platform.storage.s3_inbox import S3Inbox, bring_in, open_s3_inbox
from tests.intake.conftest import site as site  # the fixture
from tests.intake.drops import SECRET, Site, mr_bytes
from tests.intake.hostile import zip_of
from tests.storage.conftest import ACCESS_KEY, SECRET_KEY, Server, make_client

FILES = {"s1/a.dcm": mr_bytes(), "s1/b.dcm": mr_bytes(instance=2)}


class Remote:
    """A bucket of the test's own, filled by its own client."""

    def __init__(self, server: Server, bucket: str) -> None:
        self.client = make_client(server.endpoint())
        self.bucket = bucket
        self.inbox = S3Inbox(bucket, "in/", lambda: self.client)

    def put(self, key: str, data: bytes, **more: str) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=data, **more)

    def send(self, name: str, files: dict[str, bytes]) -> None:
        for inner, data in files.items():
            self.put(f"in/{name}/{inner}", data, ChecksumAlgorithm="SHA256")

    def keys(self) -> list[str]:
        listed = self.client.list_objects_v2(Bucket=self.bucket)
        return [item["Key"] for item in listed.get("Contents", [])]

    def only(self) -> s3_inbox.S3Arrival:
        (found,) = self.inbox.look(secret=SECRET)
        return found


@pytest.fixture
def remote(s3_server: Server, bucket: str) -> Remote:
    return Remote(s3_server, bucket)


def test_a_folder_below_the_prefix_is_one_arrival_and_the_same_drop_as_a_folder(
    remote: Remote, site: Site
):
    remote.send("monday", FILES)
    remote.put("elsewhere/x.dcm", b"not ours")

    found = remote.only()

    assert (found.arrival.n_files, found.arrival.is_marked) == (2, False)
    assert found.arrival.drop_id == site.send("other name", FILES)


def test_what_is_fetched_is_whole_marked_and_gone_from_the_bucket(
    remote: Remote, site: Site
):
    remote.send("monday", FILES)
    remote.put("in/monday/.complete", b"")

    place = remote.inbox.fetch(remote.only(), site.inbox, reserve_bytes=0)

    assert (place / ".complete").exists()
    assert {n: (place / n).read_bytes() for n in FILES} == FILES
    assert remote.keys() == []
    assert [path.name for path in site.inbox.iterdir()] == ["from-bucket"]
    report = site.index(site.drop_id_of(place))
    assert report.verdicts["accepted"] == 2


def test_an_archive_below_the_prefix_is_an_arrival(remote: Remote, site: Site):
    remote.put("in/a.zip", zip_of(FILES))
    remote.put("in/a.zip.complete", b"")

    found = remote.only()
    place = remote.inbox.fetch(found, site.inbox, reserve_bytes=0)

    assert found.arrival.is_marked
    assert remote.keys() == []
    assert site.index(site.drop_id_of(place)).verdicts["accepted"] == 2


def test_an_upload_settles_when_it_is_quiet_or_marked(remote: Remote):
    remote.send("monday", FILES)
    arrival, now_s = remote.only().arrival, time.time()

    remote.put("in/monday/.complete", b"")
    marked = remote.only().arrival

    assert not is_settled(arrival, now_s=now_s, quiet_s=60)
    assert is_settled(arrival, now_s=now_s + 120, quiet_s=60)
    assert is_settled(marked, now_s=now_s, quiet_s=60)
    assert marked.drop_id == arrival.drop_id


def test_an_object_that_is_written_again_holds_the_drop(remote: Remote, site: Site):
    remote.send("monday", FILES)
    found = remote.only()
    remote.send("monday", {"s1/a.dcm": b"another upload"})

    with pytest.raises(Held) as caught:
        remote.inbox.fetch(found, site.inbox, reserve_bytes=0)

    assert "still in the bucket" in caught.value.fix
    assert len(remote.keys()) == 2
    assert list(site.inbox.iterdir()) == []


def test_a_copy_that_differs_from_the_checksum_is_refused(
    remote: Remote, site: Site, monkeypatch: pytest.MonkeyPatch
):
    remote.send("monday", FILES)
    real = s3_inbox._write

    def damage(body: Any, file: Path, part_bytes: int | None) -> tuple[bytes, str]:
        _, etag = real(body, file, part_bytes)
        return bytes(32), etag

    monkeypatch.setattr(s3_inbox, "_write", damage)
    with pytest.raises(BadInput) as caught:
        remote.inbox.fetch(remote.only(), site.inbox, reserve_bytes=0)

    assert "again" in caught.value.fix
    assert len(remote.keys()) == 2
    assert list(site.inbox.iterdir()) == []


def test_an_object_that_came_in_parts_is_proved_by_the_digests_of_its_parts(
    remote: Remote, site: Site
):
    client, bucket = remote.client, remote.bucket
    data = [bytes(5 << 20), b"x" * (5 << 20), mr_bytes()]
    upload = client.create_multipart_upload(Bucket=bucket, Key="in/m/a.dcm")["UploadId"]
    asked = {"Bucket": bucket, "Key": "in/m/a.dcm", "UploadId": upload}
    etags = [
        client.upload_part(**asked, PartNumber=number, Body=part)["ETag"]
        for number, part in enumerate(data, start=1)
    ]
    parts = [{"PartNumber": n, "ETag": etag} for n, etag in enumerate(etags, start=1)]
    client.complete_multipart_upload(**asked, MultipartUpload={"Parts": parts})

    place = remote.inbox.fetch(remote.only(), site.inbox, reserve_bytes=0)

    assert (place / "a.dcm").read_bytes() == b"".join(data)


def test_an_object_that_nothing_proves_is_refused(remote: Remote, site: Site):
    remote.put("in/m/a.dcm", mr_bytes(), ServerSideEncryption="aws:kms")

    with pytest.raises(BadInput) as caught:
        remote.inbox.fetch(remote.only(), site.inbox, reserve_bytes=0)

    assert "SHA256" in caught.value.fix
    assert remote.keys() == ["in/m/a.dcm"]


def test_a_full_disk_leaves_the_drop_in_the_bucket(remote: Remote, site: Site):
    remote.send("monday", FILES)

    with pytest.raises(Held) as caught:
        remote.inbox.fetch(remote.only(), site.inbox, reserve_bytes=1 << 60)

    assert "still in the bucket" in caught.value.fix
    assert len(remote.keys()) == 2


def test_a_fetch_that_is_killed_before_it_deletes_loses_and_doubles_nothing(
    remote: Remote, site: Site, monkeypatch: pytest.MonkeyPatch
):
    remote.send("monday", FILES)

    def die(**_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(remote.client, "delete_object", die)
        with pytest.raises(KeyboardInterrupt):
            remote.inbox.fetch(remote.only(), site.inbox, reserve_bytes=0)
    again = remote.inbox.fetch(remote.only(), site.inbox, reserve_bytes=0)

    report = site.index(site.drop_id_of(again))
    assert (report.verdicts["accepted"], report.verdicts["duplicate"]) == (2, 2)
    assert site.stored() == set(FILES.values())
    assert remote.keys() == []


@pytest.mark.parametrize(
    "name", ["../../evil.dcm", "a//b.dcm", "./c.dcm", "x" * 300, "e\u0301/\u202e.dcm"]
)
def test_no_key_decides_where_outside_its_folder_a_file_is_written(
    remote: Remote, site: Site, name: str
):
    remote.put(f"in/monday/{name}", mr_bytes())

    place = remote.inbox.fetch(remote.only(), site.inbox, reserve_bytes=0)

    (file,) = (path for path in place.rglob("*") if path.suffix != ".complete"
               and path.is_file() and path.name != ".complete")  # fmt: skip
    assert file.read_bytes() == mr_bytes()
    assert {path.name for path in site.inbox.parent.iterdir()} == {"inbox"}


@given(name=st.text(min_size=1, max_size=300))
def test_every_name_of_an_object_stays_below_its_folder(name: str):
    key = f"in/monday/{name}"

    found = s3_inbox._name_of(key, len("in/monday/"), is_folder=False)

    path = Path("/base") / found
    assert ".." not in path.parts
    assert path.is_relative_to("/base")
    assert path != Path("/base")
    assert all(0 < len(part.encode()) <= 200 for part in found.split("/"))


def test_a_key_that_is_both_file_and_folder_is_two_files(remote: Remote, site: Site):
    remote.send("monday", {"a": mr_bytes(), "a/b": mr_bytes(instance=2)})

    place = remote.inbox.fetch(remote.only(), site.inbox, reserve_bytes=0)

    report = site.index(site.drop_id_of(place))
    assert report.verdicts["accepted"] == 2


def test_one_look_goes_on_where_the_last_one_ended(remote: Remote):
    for number in range(5):
        remote.send(f"d{number}", {"a.dcm": b"x" * (number + 1)})

    looks = [
        remote.inbox.look(secret=SECRET, first=first, most=2) for first in (0, 2, 4)
    ]

    sizes = [[found.arrival.n_bytes for found in look] for look in looks]
    assert sizes == [[1, 2], [3, 4], [5]]


def test_nothing_of_an_arrival_shows_a_name(remote: Remote):
    remote.send("Smith^Jane", FILES)

    found = remote.only()

    assert "Smith" not in repr(found) + repr(found.objects) + repr(found.arrival)


def settings_of(remote: Remote, server: Server, **changes: str) -> S3InboxSettings:
    return S3InboxSettings(
        **{"bucket": remote.bucket, "prefix": "/in/", "url": server.url, **changes}
    )


def test_a_drop_of_the_bucket_is_brought_in_by_its_identifier(
    remote: Remote, s3_server: Server, site: Site, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    remote.send("monday", FILES)
    remote.send("tuesday", {"c.dcm": mr_bytes(instance=3)})
    drop_id = site.send("same", FILES)

    n_brought = bring_in(
        settings_of(remote, s3_server),
        site.inbox,
        drop_id=drop_id,
        secret=SECRET,
        now_s=time.time() + 100,
        quiet_s=60,
        reserve_bytes=0,
    )

    assert n_brought == 1
    assert remote.keys() == ["in/tuesday/c.dcm"]


def test_a_study_without_a_bucket_asks_nobody():
    assert open_s3_inbox(S3InboxSettings()) is None


def test_a_bucket_that_is_not_there_is_told(s3_server: Server):
    client = make_client(s3_server.endpoint())
    inbox = S3Inbox("no-such-bucket", "", lambda: client)

    with pytest.raises(BadConfig) as caught:
        inbox.look(secret=SECRET)

    assert "bucket exists" in caught.value.fix
