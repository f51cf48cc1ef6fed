"""Each instance is counted once, whatever series it claims to be in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imaging_platform.bids.accounting import SeriesFacts, group_series
from imaging_platform.bids.evidence import read_direction
from imaging_platform.bids.reproin import read_reproin_name
from imaging_platform.bids.settings import BidsSettings
from imaging_platform.dicom import completeness, volumes
from imaging_platform.dicom.completeness import SourceFile
from imaging_platform.dicom.stacks import find_cut_by_slice, group_stacks


def series(uid: str, number: int = 7, description: str = "bold") -> SeriesFacts:
    return SeriesFacts(
        uid, ("1.study", number, description), number, description, (f"{uid}.1",)
    )


def test_volumes_with_a_series_uid_of_their_own_join_the_run_that_took_them():
    members = [series(f"1.{n}") for n in range(5)]

    (group,) = group_series(members, {"1.0"})

    assert len(group) == 5


def test_two_runs_of_the_same_name_stay_apart():
    groups = group_series([series("1.1", 7), series("1.2", 8)], {"1.1", "1.2"})

    assert [len(group) for group in groups] == [1, 1]


@given(
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from("ab")), max_size=8),
    st.sets(st.integers(0, 7)),
)
def test_every_series_is_in_exactly_one_group(kinds, converted):
    members = [series(f"1.{n}", *kind) for n, kind in enumerate(kinds)]

    groups = group_series(members, {f"1.{n}" for n in converted})

    found = sorted(one.uid for group in groups for one in group)
    assert found == sorted(one.uid for one in members)


def find_incomplete(files: list[SourceFile]) -> dict[str, str]:
    return completeness.find_incomplete(group_stacks(files))


def find_skipped(files: list[SourceFile]) -> dict[str, str]:
    return volumes.find_skipped(group_stacks(files))


class FakeHeader:
    """The fields of a header that the count of slices looks at."""

    def __init__(self, uid: str, slice_mm: float, number: int, **more: object) -> None:
        self.sop_uid = uid
        self.sop_class_uid = "1.2.840.10008.5.1.4.1.1.4"
        self.study_uid, self.series_number, self.series_uid = "1", 1, "1.1"
        self.series_description = "x"
        self.image_position = f"0\\0\\{slice_mm}"
        self.image_orientation = "1\\0\\0\\0\\1\\0"
        self.image_type, self.echo_time_ms, self.acquired = "ORIGINAL", "30", ""
        self.echo_number, self.rows, self.columns, self.n_frames = 1, 8, 8, 1
        self.acquisition_number, self.temporal_position = 1, None
        self.manufacturer, self.software_versions, self.series_time = "GE", "", ""
        self.instance_number = number
        self.has_pixels = True
        for name, value in more.items():
            setattr(self, name, value)


def run(volumes: int, slices: int, **more: object) -> list[SourceFile]:
    return [
        SourceFile(None, FakeHeader(f"{v}.{s}", 3.0 * s, v * slices + s, **more))  # type: ignore[arg-type]
        for v in range(volumes)
        for s in range(slices)
    ]


@given(st.integers(2, 6), st.integers(2, 6), st.data())
def test_a_short_last_volume_leaves_whole_volumes(volumes, slices, data):
    missing = data.draw(st.integers(1, slices - 1))
    files = run(volumes, slices)[:-missing]

    left = find_incomplete(files)

    assert (len(files) - len(left)) % slices == 0
    assert set(left) == {f"{volumes - 1}.{s}" for s in range(slices - missing)}


def test_a_whole_run_leaves_nothing_out():
    assert find_incomplete(run(4, 3)) == {}


def test_a_hole_leaves_the_longest_stretch_of_whole_volumes():
    files = run(4, 3)
    del files[4]

    left = find_incomplete(files)

    assert set(left) == {"0.0", "0.1", "0.2", "1.0", "1.2"}


def in_series(uid: str, files: list[SourceFile]) -> list[SourceFile]:
    for file in files:
        vars(file.header)["series_uid"] = uid
        vars(file.header)["sop_uid"] = f"{uid}/{file.header.sop_uid}"
    return files


def test_an_interrupted_run_costs_no_other_run_of_its_number_and_name():
    files = [*in_series("a", run(4, 3)), *in_series("b", run(4, 3)[:-1])]

    assert set(find_incomplete(files)) == {"b/3.0", "b/3.1"}


def test_a_volume_that_lacks_slices_costs_no_other_of_its_number_and_name():
    files = [*in_series("a", run(1, 5)), *in_series("b", run(1, 5)[:-1])]

    assert set(find_incomplete(files)) == {f"b/0.{n}" for n in range(4)}


def test_volumes_that_are_series_of_their_own_are_one_run():
    files = [
        file
        for volume in range(4)
        for file in in_series(f"s{volume}", run(4, 3)[3 * volume : 3 * volume + 3])
    ]
    for number, file in enumerate(files):
        vars(file.header)["acquisition_number"] = number // 3 + 1

    assert set(find_incomplete(files[:-1])) == {"s3/3.0", "s3/3.1"}


def as_xa(files: list[SourceFile], *, slices: int) -> list[SourceFile]:
    """Make each volume a series with a number and instance numbers of its own."""
    for number, file in enumerate(files):
        volume, place = divmod(number, slices)
        vars(file.header).update(
            software_versions="syngo MR XA30",
            series_time="120906.427000",
            series_uid=f"s{volume}",
            series_number=7001 + volume,
            instance_number=place + 1,
        )
    return files


def test_volumes_of_xa_classic_are_one_run_by_the_time_of_their_series():
    files = as_xa(run(5, 4), slices=4)

    assert find_incomplete(files) == {}
    assert set(find_incomplete(files[:-1])) == {"4.0", "4.1", "4.2"}


def test_a_volume_of_xa_classic_that_is_missing_is_told_by_the_numbers_of_series():
    files = as_xa(run(8, 4), slices=4)

    assert not find_skipped(files)
    assert find_skipped(files[:12] + files[16:])


def test_series_of_xa_classic_at_other_times_are_other_runs():
    files = as_xa(run(2, 4), slices=4)
    for file in files[4:]:
        vars(file.header)["series_time"] = "121058.238000"

    assert find_incomplete(files[:-1]) == {}


def as_canon(files: list[SourceFile]) -> list[SourceFile]:
    """Make each slice position a series of its own."""
    for file in files:
        place = file.header.sop_uid.rpartition(".")[2]
        vars(file.header).update(manufacturer="CANON_MEC", series_uid=f"1.{place}")
    return files


def test_slice_positions_that_are_series_of_their_own_are_one_stack():
    files = as_canon(run(4, 3))

    assert list(map(len, find_cut_by_slice(files))) == [12]
    assert set(find_incomplete(files[:-1])) == {"3.0", "3.1"}


def test_only_canon_cuts_runs_by_slice():
    files = as_canon(run(4, 3))
    for file in files:
        vars(file.header)["manufacturer"] = "SIEMENS"

    assert find_cut_by_slice(files) == []


def test_volumes_whose_instances_share_numbers_are_not_converted():
    files = run(4, 3)
    for file in files:
        volume, place = map(int, file.header.sop_uid.split("."))
        vars(file.header)["instance_number"] = place + 1
        vars(file.header)["acquisition_number"] = volume + 1

    assert len(find_incomplete(files)) == len(files)

    for file in files:
        vars(file.header)["manufacturer"] = "Philips Medical Systems"
        vars(file.header)["temporal_position"] = file.header.acquisition_number

    assert find_incomplete(files) == {}


def by_slice(volumes: int, slices: int) -> list[SourceFile]:
    """Return a run whose instances are numbered from 1, slice after slice."""
    files = run(volumes, slices)
    for file in files:
        volume, place = map(int, file.header.sop_uid.split("."))
        vars(file.header)["instance_number"] = place * volumes + volume + 1
    return files


@given(st.integers(2, 6), st.integers(3, 6), st.data())
def test_a_run_counted_slice_after_slice_keeps_its_whole_volumes(volumes, slices, data):
    files = by_slice(volumes, slices)
    lost_volume = data.draw(st.integers(0, volumes - 1))
    lost_slice = data.draw(st.integers(0, slices - 2))
    lost = f"{lost_volume}.{lost_slice}"

    left = find_incomplete([f for f in files if f.header.sop_uid != lost])

    after, before = volumes - 1 - lost_volume, lost_volume
    stays = range(lost_volume) if before >= after else range(lost_volume + 1, volumes)
    kept = {f.header.sop_uid for f in files} - {lost} - set(left)
    assert kept == {f"{v}.{s}" for v in stays for s in range(slices)}


@given(st.integers(3, 6), st.integers(3, 6), st.data())
def test_a_run_counted_slice_after_slice_and_cut_has_no_volume(volumes, slices, data):
    files = sorted(by_slice(volumes, slices), key=lambda f: f.header.instance_number)
    came = data.draw(st.integers(volumes + 1, volumes * slices - 1))
    if came % volumes == 0:
        came -= 1
    cut = files[:came]

    assert set(find_incomplete(cut)) == {file.header.sop_uid for file in cut}


def two_echoes(volumes: int, slices: int) -> list[SourceFile]:
    files: list[SourceFile] = []
    for echo in (1, 2):
        for file in run(volumes, slices):
            header = vars(file.header)
            header["echo_number"], header["echo_time_ms"] = echo, str(20 * echo)
            header["image_type"] = f"ORIGINAL\\PRIMARY\\M\\TE{echo}\\ND"
            header["acquisition_number"] = int(header["sop_uid"].split(".")[0]) + 1
            header["sop_uid"] = f"{echo}/{header['sop_uid']}"
            files.append(file)
    return files


def test_an_echo_without_the_last_slice_of_the_other_is_left_out():
    files = two_echoes(1, 5)

    assert set(find_incomplete(files[:-1])) == {f"2/0.{n}" for n in range(4)}
    assert find_incomplete(files) == {}


def test_a_volume_that_lacks_an_echo_is_left_out():
    files = two_echoes(4, 3)

    assert set(find_incomplete(files[:-3])) == {f"1/3.{n}" for n in range(3)}


def test_a_slice_that_no_volume_has_leaves_the_run_out():
    files = run(4, 5)
    lost = [file for file in files if not file.header.sop_uid.endswith(".2")]

    assert len(find_incomplete(lost)) == len(lost)


@given(st.integers(6, 9), st.integers(1, 3), st.integers(1, 4))
def test_volumes_lost_inside_a_run_are_told_by_its_numbers(volumes, slices, lost):
    files = run(volumes, slices)
    gone = slices * lost

    (sentence,) = set(find_skipped(files[:gone] + files[gone + slices :]).values())

    assert "1 volume is missing" in sentence


def test_whole_runs_and_their_tails_lack_no_volume_inside():
    files = run(6, 3)

    assert find_skipped(files) == find_skipped(files[:-6]) == {}


def test_numbers_that_another_image_of_the_run_has_are_not_missing():
    files = run(6, 1)
    vars(files[3].header)["image_type"] = "DERIVED"

    assert find_skipped(files) == {}


def test_slices_that_follow_the_head_are_no_hole():
    files = run(4, 3)
    for file in files:
        volume = int(file.header.sop_uid.split(".")[0])
        vars(file.header)["acquisition_number"] = volume
        if volume == 3:
            vars(file.header)["image_position"] += "1"

    assert find_incomplete(files) == {}


def test_mosaics_hold_whole_volumes():
    files = run(5, 1, image_type="ORIGINAL\\PRIMARY\\M\\MOSAIC")
    vars(files[0].header)["image_position"] = "1\\2\\3"

    assert find_incomplete(files) == {}


def test_direction_follows_axis_and_sign():
    assert read_direction("j", ("L", "A", "S")) == "PA"
    assert read_direction("i-", ("L", "A", "S")) == "LR"
    assert read_direction("", ("L", "A", "S")) is None


def test_reproin_names_lose_prefix_and_comment():
    found = read_reproin_name("WIP func-bold_task-rest_run-01__comment")

    assert found is not None
    assert (found.datatype, found.suffix) == ("func", "bold")
    assert found.entities == {"task": "rest", "run": "1"}
    assert read_reproin_name("functional") is None
    assert read_reproin_name("anat") is None


def test_settings_need_nothing():
    assert BidsSettings().rules == ()
