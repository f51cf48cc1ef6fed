"""What was done to de-identify a session, in plain words; never an original value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imaging_platform.reporting.markup import (
    Html,
    badge,
    details,
    escape,
    join,
    number,
    sentence,
    table,
    words,
)
from imaging_platform.reporting.session_inputs import SessionInputs

Report = Mapping[str, Any]  # a `deid.session.DeidReport` as plain values

_ACTIONS = {
    "remove": "removed",
    "empty": "emptied",
    "replace by a dummy": "replaced by a dummy value",
    "replace by the pseudonym": "replaced by the pseudonym",
    "remap UID": "given a new UID",
    "shift date": "moved by the days of the subject",
    "keep time": "times of day, kept",
    "keep": "numbers, kept",
    "keep by rule": "kept because the value fits a rule",
    "cap age": "ages, 90 years at most",
    "apply to the items": "sequences, gone through item by item",
    "parse and rewrite": "vendor headers, parsed and rewritten",
}


def show_deidentification(inputs: SessionInputs, study: str = "") -> Html:
    """
    Return what de-identification did to a session, and what it kept back.

    Parameters
    ----------
    inputs
        The published trees of the session.
    study
        Name of the study, for the command that releases a series.
    """
    report = inputs.report("anonymized_dicom")
    record = inputs.record("anonymized_dicom")
    if not report or record is None:
        return sentence("The record of the de-identified DICOM is not published.")
    verdict, said = _guard_of(report)
    pieces = [
        Html(f"<p>{badge(verdict, words=said)}</p>"),
        Html("".join(f"<p>{escape(line)}</p>" for line in _say_what_was_done(report))),
        _show_kept_back(report, study, record.partition),
        _show_written(report),
    ]
    columns = [
        piece for piece in (_show_actions(report), _show_codes(report)) if piece.markup
    ]
    pieces.append(Html(f'<div class="beside">{join(columns).markup}</div>'))
    pieces.append(_show_details(report))
    return join(piece for piece in pieces if piece.markup)


def _guard_of(report: Report) -> tuple[str, str]:
    """Return verdict and words of the badge."""
    if report.get("proved") is True:
        return "pass", "guard: no identifier found"
    return "fail", "not proved"


def _say_what_was_done(report: Report) -> Iterator[str]:
    read, written = report.get("files_read"), report.get("files_written")
    kept_back = sum(int(row.get("n_files", 0)) for row in _rows(report, "quarantined"))
    duplicate = int(report.get("files_duplicate") or 0)
    if read is not None:
        also = f", {duplicate} came twice" if duplicate else ""
        yield (
            f"Of {read} files {written} were written de-identified and "
            f"{kept_back} stay in the identified zone{also}."
        )
    if report.get("proved") is True:
        yield (
            "Names, numbers, dates, devices, places and UIDs that the originals tell "
            "of their subject were searched in every written file, and none was found."
        )
    masked = sum(
        int(r.get("n_files", 0)) for r in _rows(report, "written") if r.get("mask")
    )
    if masked:
        yield f"In {masked} files rectangles of pixels were blackened by a recipe."
    released = sum(
        int(row.get("n_files", 0))
        for row in _rows(report, "written")
        if row.get("is_released")
    )
    if released:
        yield (
            f"{released} files were let through by a person; the audit trail says who."
        )


def _show_kept_back(report: Report, study: str, session: str) -> Html:
    rows = _rows(report, "quarantined")
    if not rows:
        return sentence("No file was kept back.")
    body = [
        (
            str(row.get("series") or "unreadable"),
            str(row.get("sop_class") or "–"),
            str(row.get("n_files", "")),
            str(row.get("reason", "")),
            "yes" if row.get("can_be_released") else "no",
        )
        for row in rows
    ]
    shown = table(
        ["Series", "Kind", "Files", "Why", "Can be released"],
        body,
        numeric=(2,),
        kind="facts",
        caption="Kept back in the identified zone",
    )
    if not any(row.get("can_be_released") for row in rows):
        return shown
    command = (
        f"imaging-platform release {study or 'STUDY'} {session} "
        '--series SERIES --reason "…"'
    )
    return shown + Html(
        f'<p class="note">After a look at its pixels, a person releases a series by '
        f"<code>{escape(command)}</code></p>"
    )


def _show_written(report: Report) -> Html:
    rows = _rows(report, "written")
    if not rows:
        return Html("")
    body = [
        (
            str(row.get("series", "")),
            str(row.get("sop_class", "")),
            str(row.get("n_files", "")),
            str(row.get("mask") or "–"),
            "by a person" if row.get("is_released") else "–",
        )
        for row in rows
    ]
    listed = table(
        ["Series", "Kind", "Files", "Mask", "Released"],
        body,
        numeric=(2,),
        kind="facts",
    )
    return details(f"{len(rows)} series were written", listed)


def _show_actions(report: Report) -> Html:
    actions = report.get("actions")
    if not isinstance(actions, Mapping) or not actions:
        return Html("")
    ordered = sorted(actions.items(), key=lambda item: (-int(item[1]), item[0]))
    rows = [(_ACTIONS.get(name) or str(name), f"{count:d}") for name, count in ordered]
    return table(
        ["What was done to elements", "Elements"], rows, numeric=(1,), kind="facts"
    )


def _show_codes(report: Report) -> Html:
    rows = [
        (str(code), str(meaning)) for code, meaning in report.get("method_codes", ())
    ]
    if not rows:
        return Html("")
    return table(["Code", "Method stated in each file (CID 7050)"], rows, kind="facts")


def _show_details(report: Report) -> Html:
    facts = [
        ("edition of PS3.15", _say(report.get("table_edition"))),
        ("engine", _say(report.get("engine_version"))),
        ("policy", _say(report.get("policy_digest"))),
    ]
    pieces = [table(["De-identification", ""], facts, kind="facts")]
    options = report.get("options")
    if isinstance(options, Mapping) and options:
        rows = [
            (words(str(name)), _say(value)) for name, value in sorted(options.items())
        ]
        pieces.append(table(["Option of the study", ""], rows, kind="facts"))
    return details("Options, edition and engine", join(pieces))


def _rows(report: Report, name: str) -> Sequence[Report]:
    return report.get(name) or ()


def _say(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, list | tuple):
        named = [one["name"] if isinstance(one, Mapping) else str(one) for one in value]
        return ", ".join(named) or "–"
    text = "" if value is None else str(value)
    return text[:16] + "…" if len(text) == 64 and text.isalnum() else text or "–"
