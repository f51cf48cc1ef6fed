"""Labels of the site and looking behind a pseudonym, as a user meets them."""

from __future__ import annotations

import io
import json
import os
import pty
import sys
from collections.abc import Callable

import pytest

from imaging_platform.cli.main import FAILED, HELD, WRONG_USE, main
from imaging_platform.deid.pseudonyms import subject_label
from imaging_platform.files.audit import TRAIL, read_audit
from imaging_platform.intake.arrivals import list_arrivals
from imaging_platform.intake.drop import index_drop
from imaging_platform.model.layout import Home
from imaging_platform.resources.keys import read_secret
from imaging_platform.resources.mapping import read_labels, read_mapping
from imaging_platform.settings import load_study
from tests.intake.drops import mr_bytes, write_files

STUDY = "memory"
WHY = ("--study", STUDY, "--reason", "incidental finding")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    monkeypatch.setenv("IMAGING_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home")


@pytest.fixture
def run(home, monkeypatch, capsys) -> Run:
    """Run a command whose output is no terminal."""

    def run(*arguments: str, typed: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["imaging-platform", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        with pytest.raises(SystemExit) as left:
            main()
        printed = capsys.readouterr()
        return int(left.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def show(run, monkeypatch) -> Run:
    """Run a command on a real terminal; what it shows comes back as output."""

    def show(*arguments: str, typed: str = "") -> tuple[int, str, str]:
        ours, theirs = pty.openpty()
        with os.fdopen(theirs, "w") as terminal, os.fdopen(ours, "rb", 0) as screen:
            with monkeypatch.context() as patch:
                patch.setattr(sys, "stdout", terminal)
                code, _, err = run(*arguments, typed=typed)
            terminal.flush()
            os.set_blocking(screen.fileno(), False)
            parts = list(iter(lambda: screen.read(1 << 16), None))
        return code, b"".join(parts).decode().replace("\r\n", "\n"), err

    return show


@pytest.fixture
def label(run, home) -> str:
    """Take two visits of one person in; return the person's label."""
    run("study", "new", STUDY)
    take_in(home, "one", mr_bytes(patient_id="KES^7"))
    take_in(home, "two", mr_bytes(patient_id="KES^7", study=2, study_date="20270304"))
    return subject_label(read_secret(home, STUDY), "KES^7")


def take_in(home: Home, name: str, data: bytes) -> dict[str, int]:
    inbox, zone = home.zone("inbox", STUDY), home.zone("identified", STUDY)
    write_files(inbox / name, {f"{name}.dcm": data})
    labels = read_labels(home, STUDY, load_study(home, STUDY).labels)
    (arrival,) = list_arrivals(inbox, secret=labels.secret)
    report = index_drop(
        [arrival.path],
        drop_id=arrival.drop_id,
        zone=zone,
        label_study=labels.of_study,
        limits=load_study(home, STUDY).intake,
    )
    return {session.session_key: session.n_instances for session in report.sessions}


def test_a_label_leads_to_the_person_the_sessions_and_their_true_dates(show, label):
    code, shown, _ = show("whois", f"sub-{label}", *WHY)

    assert code == 0
    assert "KES^7" in shown
    assert "ses-1         20260102" in shown
    assert "ses-2         20270304" in shown


def test_who_asked_when_for_whom_and_why_is_written_down(show, run, home, label):
    show("whois", label, *WHY)

    (entry,) = read_audit(home.zone("identified", STUDY))
    _, out, _ = run("audit", STUDY, "--json")

    assert (entry.action, entry.subject, entry.reason) == (
        "whois",
        f"sub-{label}",
        "incidental finding",
    )
    assert entry.author
    assert json.loads(out)[0]["subject"] == f"sub-{label}"


def test_nobody_is_shown_through_a_pipe_and_nothing_is_written_down(run, home, label):
    code, out, err = run("whois", f"sub-{label}", *WHY)

    assert code == WRONG_USE
    assert "terminal" in err
    assert "KES" not in out + err
    assert read_audit(home.zone("identified", STUDY)) == ()


def test_without_a_reason_nobody_is_shown(show, label):
    code, shown, err = show("whois", label, "--study", STUDY)

    assert code == WRONG_USE
    assert "KES" not in shown + err


def test_a_person_leads_to_the_label_and_the_id_is_typed_not_given(show, home, label):
    code, shown, _ = show("whois", "--find", *WHY, typed="kes^7\n")

    (entry,) = read_audit(home.zone("identified", STUDY))
    trail = (home.zone("identified", STUDY) / TRAIL).read_text()
    assert code == 0
    assert f"sub-{label}" in shown
    assert (entry.action, entry.subject) == ("whois --find", f"sub-{label}")
    assert "kes" not in trail.lower().replace(label.lower(), "")


def test_a_search_that_finds_nobody_is_written_down_too(show, home, label):
    code, _, err = show("whois", "--find", *WHY, typed="HERON-1\n")

    (entry,) = read_audit(home.zone("identified", STUDY))
    assert code == FAILED
    assert entry.subject == "nobody"
    assert "HERON" not in err


@pytest.mark.parametrize("arguments", [["sub-x", "--find"], [], ["sub-x!"]])
def test_a_label_or_a_search_is_asked_for_not_both_or_neither(show, label, arguments):
    code, _, _ = show("whois", *arguments, *WHY)

    assert code == WRONG_USE


def test_an_unknown_label_is_told_as_such(show, label):
    code, _, err = show("whois", "sub-NOBODY", *WHY)

    assert code == FAILED
    assert "No session of sub-NOBODY" in err


def test_a_name_cannot_steer_the_terminal(show, run, home):
    run("study", "new", STUDY)
    take_in(home, "one", mr_bytes(patient_id="KES\x1b]0;mine\x07"))
    label = subject_label(read_secret(home, STUDY), "KES\x1b]0;mine\x07")

    _, shown, _ = show("whois", label, *WHY)

    assert "KES?]0;mine?" in shown
    assert "\x1b" not in shown


def test_a_changed_trail_is_told_and_nobody_is_shown(show, run, home, label):
    show("whois", label, *WHY)
    trail = home.zone("identified", STUDY) / TRAIL
    trail.write_text(trail.read_text().replace("incidental", "accidental"))

    checked, _, err = run("audit", STUDY)
    looked, shown, _ = show("whois", label, *WHY)

    assert (checked, looked) == (FAILED, FAILED)
    assert "entry 1" in err
    assert "KES" not in shown


def test_the_audit_trail_is_shown_as_a_table(show, run, label):
    show("whois", label, *WHY)

    code, out, _ = run("audit", STUDY)

    assert code == 0
    assert "incidental finding" in out
    assert "Digest of the last entry" in out


def test_labels_of_the_site_are_imported_and_used(run, home, tmp_path):
    run("study", "new", STUDY)
    table = tmp_path / "labels.csv"
    table.write_text("patient_id,subject,session,study_uid\nKES^7,01,base,1.2.3.1\n")

    code, out, _ = run("mapping", "import", STUDY, str(table))

    assert code == 0
    assert "Delete the CSV file" in out
    assert take_in(home, "one", mr_bytes(patient_id="KES^7")) == {"sub-01_ses-base": 1}


def test_a_refused_import_names_the_line_and_not_the_patient(run, home, tmp_path):
    run("study", "new", STUDY)
    table = tmp_path / "labels.csv"
    table.write_text("patient_id,subject\nKES^7,01\nHER^8,01\n")

    code, out, err = run("mapping", "import", STUDY, str(table))

    assert code == FAILED
    assert "line 3" in err
    assert "HER" not in out + err
    assert read_audit(home.zone("identified", STUDY)) == ()


def test_a_label_is_added_and_removed_one_by_one(run, home):
    run("study", "new", STUDY)

    run("mapping", "add", STUDY, "--subject", "01", typed="KES^7\n")
    run(
        *("mapping", "add", STUDY, "--subject", "01", "--session", "base"),
        typed="KES^7\n\nA77\n\n",
    )
    added = read_mapping(home, STUDY)
    run("mapping", "remove", STUDY, "--subject", "01", "--session", "base")
    left = read_mapping(home, STUDY)

    assert [(row.session, row.accession_number) for row in added] == [
        ("", ""),
        ("base", "A77"),
    ]
    assert [row.session for row in left] == [""]
    assert [
        (entry.action, entry.subject)
        for entry in read_audit(home.zone("identified", STUDY))
    ] == [
        ("mapping add", "sub-01"),
        ("mapping add", "sub-01_ses-base"),
        ("mapping remove", "sub-01_ses-base"),
    ]


def test_what_is_not_in_the_table_cannot_be_removed(run):
    run("study", "new", STUDY)

    code, _, err = run("mapping", "remove", STUDY, "--subject", "01")

    assert code == FAILED
    assert "mapping list" in err


def test_the_table_is_listed_on_a_terminal_only_and_written_down(run, show, home):
    run("study", "new", STUDY)
    run("mapping", "add", STUDY, "--subject", "01", typed="KES^7\n")

    piped, out, _ = run("mapping", "list", STUDY, "--reason", "monthly check")
    code, shown, _ = show("mapping", "list", STUDY, "--reason", "monthly check")

    assert (piped, code) == (WRONG_USE, 0)
    assert "KES" not in out
    assert "KES^7" in shown
    assert [e.action for e in read_audit(home.zone("identified", STUDY))] == [
        "mapping add",
        "mapping list",
    ]


def test_no_command_takes_a_patient_id_as_an_argument():
    from imaging_platform.cli.identity import whois
    from imaging_platform.cli.mapping import mapping

    names = {
        parameter.name
        for command in (whois, *mapping.commands.values())
        for parameter in command.params
    }

    assert not {name for name in names if name and "patient" in name}


def test_a_key_is_shown_by_its_fingerprint_backed_up_and_restored(
    run, home, tmp_path, monkeypatch
):
    monkeypatch.setattr("getpass.getpass", lambda *_, **__: "five random words")
    run("key", "create", STUDY)
    key = home.secret_file(STUDY).read_text().strip()
    _, shown, _ = run("key", "show", STUDY, "--json")
    backed_up = run("key", "backup", STUDY, str(tmp_path / "backup"))
    home.secret_file(STUDY).unlink()

    lost = run("key", "create", STUDY)
    restored = run("key", "restore", STUDY, str(tmp_path / "backup"))
    checked = run("key", "check", STUDY, "--json")

    assert (backed_up[0], lost[0], restored[0], checked[0]) == (0, WRONG_USE, 0, 0)
    assert home.secret_file(STUDY).read_text().strip() == key
    fingerprint = json.loads(shown)["fingerprint"]
    assert fingerprint in restored[1]
    assert fingerprint in json.loads(checked[1])["fingerprint"]
    for _, out, err in (backed_up, lost, restored, checked):
        assert key not in out + err


def test_a_key_is_created_once(run):
    run("key", "create", STUDY)

    code, _, err = run("key", "create", STUDY)

    assert code == WRONG_USE
    assert "stays" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["study", "check", STUDY],
        ["key", "show", STUDY],
        ["key", "check", STUDY],
        ["mapping", "add", STUDY, "--subject", "01"],
        ["anonymize", ".", "out", "--study", "study.yaml"],
    ],
)
def test_every_command_that_reads_the_key_refuses_a_changed_one(
    run, home, tmp_path, monkeypatch, arguments
):
    run("study", "new", STUDY)
    home.secret_file(STUDY).write_text("ab" * 32)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(f"name: {STUDY}\n")

    code, _, err = run(*arguments, typed="KES^7\n")

    assert code == WRONG_USE
    assert "was made with" in err


def test_anonymize_gives_the_labels_that_the_platform_gives(
    run, home, tmp_path, monkeypatch
):
    run("study", "new", STUDY)
    take_in(home, "one", mr_bytes(patient_id="KES^7"))
    run("mapping", "add", STUDY, "--subject", "02", typed="HER^8\n")
    originals = write_files(
        tmp_path / "originals",
        {
            "old.dcm": mr_bytes(patient_id="KES^7"),
            "new.dcm": mr_bytes(patient_id="KES^7", study=5, study_date="20200101"),
            "mapped.dcm": mr_bytes(patient_id="HER^8", study=6),
            "nobody.dcm": mr_bytes(patient_id="", study=7),
        },
    )
    ledger = (home.zone("identified", STUDY) / "ledger.jsonl").read_bytes()
    label = subject_label(read_secret(home, STUDY), "KES^7")

    code, out, _ = run(
        *("anonymize", str(originals), str(tmp_path / "clean")),
        *("--study", str(home.study_file(STUDY)), "--json"),
    )

    report = json.loads(out)
    assert code in (0, HELD)
    assert sorted(report["sessions"]) == sorted(
        [f"sub-{label}_ses-1", f"sub-{label}_ses-2", "sub-02_ses-1"]
    )
    assert report["unreadable"] == {"no patient id, or no study uid": 1}
    assert (home.zone("identified", STUDY) / "ledger.jsonl").read_bytes() == ledger


@pytest.mark.parametrize("content", [b"name: [memory\n", b"\xff\xfe\0", b"- a\n"])
def test_a_study_file_that_is_none_is_a_wrong_setting(run, home, tmp_path, content):
    (tmp_path / "study.yaml").write_bytes(content)
    (tmp_path / "in").mkdir()

    code, _, err = run(
        *("anonymize", str(tmp_path / "in"), str(tmp_path / "out")),
        *("--study", str(tmp_path / "study.yaml")),
    )

    assert code == WRONG_USE
    assert "study file" in err
    assert "fault of the platform" not in err


def test_anonymize_writes_nothing_into_its_source(run, home, tmp_path):
    run("study", "new", STUDY)
    originals = tmp_path / "in"
    originals.mkdir()

    code, _, err = run(
        *("anonymize", str(originals), str(originals / "out")),
        *("--study", str(home.study_file(STUDY))),
    )

    assert code == WRONG_USE
    assert "Name a folder outside the source." in err
    assert list(originals.iterdir()) == []
