from imaging_platform.qc.group import ScanQuality, format_group, format_index
from imaging_platform.qc.metric import Measure, judge
from imaging_platform.qc.settings import QualitySettings


def scan(name: str, **values: float) -> ScanQuality:
    metrics = (
        judge(name, Measure(metric, value), QualitySettings())
        for metric, value in values.items()
    )
    return ScanQuality("sub-01/anat", name, "T1w", tuple(metrics))


def test_a_group_table_has_a_row_a_scan_and_a_column_a_metric():
    scans = [scan("sub-01_T1w", cjv=0.5, qi_1=0.0), scan("sub-02_T1w", cjv=0.8)]

    rows = [line.split("\t") for line in format_group(scans).splitlines()]

    assert rows[0] == ["bids_name", "verdict", "reasons", "cjv", "qi_1"]
    assert rows[1] == ["sub-01_T1w", "pass", "n/a", "0.5", "0"]
    assert rows[2][:2] == ["sub-02_T1w", "look"]
    assert rows[2][3:] == ["0.8", "n/a"]


def test_the_index_shows_the_worst_first_and_what_failed():
    scans = [scan("good", cjv=0.5), scan("bad", cjv=1.5)]

    page = format_index(scans, {"third": "no <image>"})

    assert page.index(">bad<") < page.index(">good<")
    assert "no &lt;image&gt;" in page


def test_files_of_a_scan_keep_its_entities():
    assert scan("sub-01_run-2_T1w").base == (
        "sub-01/anat/sub-01_run-2_desc-quality_T1w"
    )
