"""
Write the pages of this folder that follow from the code.

Run ``python docs/reference/generate.py`` after a change of a command, of the study
file, of the layout or of an asset; a test compares the pages with the code.
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import BaseModel

if TYPE_CHECKING:
    import dagster as dg
    from dagster._core.definitions.assets.graph.asset_graph import AssetGraph, AssetNode

FOLDER = Path(__file__).resolve().parent
NOTE = "<!-- Written by docs/reference/generate.py; do not edit. -->\n"

OTHER_RULES = {
    "by_vr": "as the representation asks for: binary numbers stay, other numbers, "
    "codes and texts by `number`, `code` and `token`, dates move, UIDs change, "
    "sequences are entered, bytes of unknown form go",
    "descriptor": "the words of a description that the vocabulary knows",
    "drop": "always removed",
    "ge_protocol": "GE's packed protocol, unpacked, and packed anew with its technique",
    "ge_user_data": "numbers at known places; zeros elsewhere",
    "icc_profile": "a plain colour profile, the same for every image",
    "number_or_recurse": "a number stays; a sequence is treated element by element",
    "recurse": "a sequence is treated element by element",
    "siemens_csa": "a CSA header, written anew from the lists below",
    "siemens_protocol": "a protocol text, written anew from the lists below",
}
"""Rules of the lists that are not a pattern."""


def pages() -> dict[str, str]:
    """Return the text of each generated page by its file name."""
    made = {
        "command_line.md": _command_line(),
        "study_file.md": _study_file(),
        "deidentification.md": _deidentification(),
        "home.md": _home(),
        "assets.md": _assets(),
        "quality_metrics.md": _quality_metrics(),
    }
    return {name: f"{NOTE}\n{text.rstrip()}\n" for name, text in made.items()}


def main() -> None:
    """Write each page into this folder."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text)


def _command_line() -> str:
    from imaging_platform.cli.main import cli

    head = (
        "# Command line\n\n"
        "One command, `imaging-platform`, works on the home that `IMAGING_HOME` "
        "names.\n"
        "Without that variable the home is `imaging_home` in the current folder.\n"
        "`--json` prints a report for programs; errors are JSON then, too.\n"
        "The exit codes are explained in [Exit codes](exit_codes.md).\n"
    )
    sections = [_describe_command(path, each) for path, each in _commands(cli)]
    return "\n".join([head, *sections])


def _commands(
    group: click.Group, before: str = ""
) -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(group.commands.items()):
        path = f"{before}{name}"
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path} ")
        else:
            yield path, command


def _describe_command(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [
        f"## imaging-platform {path}\n",
        f"{inspect.cleandoc(command.help or '')}\n",
        f"```text\nimaging-platform {path} {usage}\n```\n",
    ]
    rows = [
        (", ".join(param.opts), param.help or "", _default_of(param))
        for param in command.params
        if isinstance(param, click.Option)
    ]
    if rows:
        lines.append(_table(["option", "meaning", "default"], rows))
    return "\n".join(lines)


def _default_of(option: click.Option) -> str:
    if option.required:
        return "required"
    return str(option.default) if option.show_default else ""


def _study_file() -> str:
    from imaging_platform.apps.settings import AppOutput
    from imaging_platform.apps.template import PLACEHOLDERS
    from imaging_platform.bids.protocol import ExpectedSeries
    from imaging_platform.bids.settings import Condition
    from imaging_platform.deid.mask_recipes import MaskMatch, Region
    from imaging_platform.qc.settings import Limit
    from imaging_platform.study_file import describe_study

    return "\n".join(
        [
            "# Study file\n",
            "A study is `studies/<name>/study.yaml` in the home.",
            "`imaging-platform study new` writes the file below: every setting with "
            "its default, commented out.",
            "An unknown key is an error that names the nearest known one.",
            "A part that is left out has its default, also one bound of one limit.",
            "Secrets are never in this file.\n",
            f"```yaml\n{describe_study('my_study').rstrip()}\n```\n",
            "## Tests of a rule\n",
            "Each field under `bids.rules[].match` is a shell pattern, a number, a "
            "list of these, or a mapping with these keys "
            "([how to](../how-to/write_a_bids_rule.md)).\n",
            _fields(Condition),
            "## Expected series\n",
            "Each series under `protocol.series[]` has these keys "
            "([how to](../how-to/compare_acquisitions.md)).\n",
            _fields(ExpectedSeries),
            "## Outputs of an app\n",
            "Each output under `apps[].outputs[]` has these keys "
            "([how to](../how-to/add_a_bids_app.md)).\n",
            _fields(AppOutput),
            "In the command, environment, needs and outputs of an app stand:\n",
            _table(
                ["placeholder", "is"],
                [
                    *((f"`{{{name}}}`", what) for name, what in PLACEHOLDERS.items()),
                    ("`{params.<name>}`", "the value of that name under `params`"),
                ],
            ),
            "## Masks\n",
            "Each mask under `deid.masks[]` names its images by `match` "
            "([how to](../how-to/mask_burned_in_text.md)).\n",
            _fields(MaskMatch),
            "Each of its `regions[]` is a rectangle of pixels.\n",
            _fields(Region),
            "## Limits of a metric\n",
            "Each metric under `quality` has these keys.\n",
            _fields(Limit),
        ]
    )


def _quality_metrics() -> str:
    from imaging_platform.qc.definitions import read_definitions

    rows = [
        (
            f"`{each.name}`",
            each.kinds.replace(" ", ", "),
            each.unit,
            each.better,
            each.meaning,
            each.source,
            f"`{each.function}`",
        )
        for each in sorted(read_definitions(), key=lambda each: each.name)
    ]
    columns = ["metric", "scans", "unit", "better", "definition", "source", "function"]
    return "\n".join(
        [
            "# Quality metrics\n",
            "Names and definitions are those of MRIQC 24.0; where its code and its "
            "documentation differ, the code counts.",
            "A test compares the values with those of its own functions on phantoms: "
            "within 0.1 %, 2 % for `qi_2`, counts exactly.\n",
            "`*` stands for a tissue (`csf`, `gm`, `wm`, `total`; `bg` and `fg` are "
            "background and foreground), an axis or a shell.",
            "The side that is better is `high` or `low`; a metric that is `neither` "
            "describes the scan.\n",
            _table(columns, rows),
            "## In Python\n",
            "Each function stands below `imaging_platform.qc`, takes arrays, and says "
            "in its docstring what they are.",
            "One function a kind of scan returns all metrics by name:\n",
            _table(
                ["scan", "function", "takes"],
                [
                    ("T1w", "`anatomy.measure_t1w`", "`anatomy.Head`"),
                    ("T2w, FLAIR", "`anatomy.measure_t2w`", "`anatomy.Head`"),
                    ("BOLD", "`bold.measure_bold`", "the realigned run and its mask"),
                    ("DWI", "`diffusion.measure_dwi`", "`diffusion.DiffusionScan`"),
                ],
            ),
            "## Where it differs from MRIQC\n",
            "- `ndc` is what the code of MRIQC 24.0 returns, which takes voxels for "
            "volumes: it serves to compare with MRIQC's tables only.",
            "- `ndc_images` compares whole images, as Yeh 2019 and dipy define it; "
            "limits and cohorts use it.",
            "- `snr_cc_shell1_*` is the first shell above b = 0, as MRIQC's function "
            "has it; its workflow hands it b = 0 as the first.",
            "- `fwhm_*`, `aor`, `aqi`, `gcor` and `sigma_pca` follow AFNI's and "
            "MRtrix's definitions inside the brain mask, without these programs.",
            "- A study's masks are its own: tissues and brain by the derivatives of "
            "this platform, the air above the face by the height of the brain.",
            "- `fd_*` and `bdiffs_*` of diffusion are not measured in sessions, since "
            "rigid realignment takes the contrast between directions for motion "
            "([Limits](../explanation/limits.md#data) has numbers); in Python they are "
            "measured where a motion is given.",
            "- `tpm_overlap_*` of a session's T1w compares with the template laid on "
            "it by an affine, not by a warp: folds overlap less than in MRIQC.",
            "- `gsr` repeats that of `gsr_x` and `gsr_y` which lies along phase "
            "encoding, for its limit.",
        ]
    )


def _fields(model: type[BaseModel]) -> str:
    rows = [
        (f"`{info.alias or n}`", info.description or "")
        for n, info in model.model_fields.items()
    ]
    return _table(["key", "meaning"], rows)


def _deidentification() -> str:
    from imaging_platform.deid.tables import (
        load_siemens_lists,
        load_table,
        table_edition,
    )
    from imaging_platform.deid.values import CUT_RULES, PATTERNS

    siemens = load_siemens_lists()
    technique = load_table("technique.json")["attributes"]
    reviewed = load_table("private_reviewed.json")["elements"]
    safe = load_table("private_safe.json")
    words = [(f"`{name}`", meaning) for name, meaning in sorted(OTHER_RULES.items())]
    texts = [(f"`{name}`", f"`{row[0]}`", row[1]) for name, row in technique.items()]
    rules = [
        (f"`{name}`", "cut" if name in CUT_RULES else "go", f"`{pattern}`")
        for name, pattern in sorted(PATTERNS.items())
    ]
    return "\n".join(
        [
            "# What stays of a header\n",
            f"In force is Table E.1-1 of DICOM PS3.15, edition {table_edition()}, "
            "under the options of the [study file](study_file.md).",
            "The lists of this page come beside it; what neither names is removed.",
            "`imaging-platform policy explain` says of one element what happens to "
            "it, and why.\n",
            "## Texts of the standard\n",
            "Attributes that the table does not name and that hold text; numbers and "
            "geometry need no row.\n",
            _table(["attribute", "value rule", "needed for"], texts),
            "## Private elements of the reviewed list\n",
            f"It comes before the {len(safe['elements']):,} elements of the public "
            f"lists ({safe['source']}).",
            "A rule is a word or a pattern of the next section.\n",
            _table(
                ["element", "creator", "VR", "rule", "why"],
                [_private_row(name, row) for name, row in sorted(reviewed.items())],
            ),
            "## Value rules\n",
            "A whole value must match the pattern, and its words must be technique "
            "([why](../explanation/deidentification.md#text)).",
            "What does not match goes; of a rule that cuts, the other words stay.\n",
            _table(["rule", "other words", "pattern"], rules),
            "These are no patterns:\n",
            _table(["rule", "what it does"], words),
            "## Siemens' own headers\n",
            "Read and written anew with these entries; everything else goes.\n",
            f"Numbers of the CSA headers: {_listed(tuple(siemens['csa_numbers']))}.\n",
            _table(
                ["text of the CSA headers", "value rule"], _rules(siemens["csa_texts"])
            ),
            "Numbers of the protocol, as patterns: "
            f"{_listed(tuple(siemens['protocol_numbers']))}.\n",
            _table(
                ["text of the protocol, as pattern", "value rule"],
                _rules(siemens["protocol_texts"]),
            ),
        ]
    )


def _private_row(name: str, row: list[str]) -> tuple[str, ...]:
    group, creator, element = name[:4], name[5:-3], name[-2:]
    return f"({group},xx{element})", creator, row[0], f"`{row[1]}`", row[2]


def _rules(texts: Mapping[str, str]) -> list[tuple[str, ...]]:
    return [(f"`{name}`", f"`{rule}`") for name, rule in texts.items()]


def _home() -> str:
    from imaging_platform.model import layout
    from imaging_platform.model.ids import SessionKey

    def key_of(function: object, **given: object) -> tuple[str, str]:
        meaning = inspect.getdoc(function) or ""
        text = function("STUDY", **given)  # type: ignore[operator]
        return f"`{text}`", _sentence(meaning)

    key = SessionKey("LABEL", "1")
    trees = [
        key_of(layout.raw_session, key=key),
        key_of(layout.anonymized_dicom, key=key),
        key_of(layout.bids_dataset),
        key_of(layout.bids_session, key=key),
        key_of(layout.derivative_dataset, pipeline="motion"),
        key_of(layout.derivative, pipeline="motion", key=key),
        key_of(layout.app_dataset, app="mriqc", version="24.0.2"),
        key_of(layout.app_session, app="mriqc", version="24.0.2", key=key),
        key_of(layout.app_log, app="mriqc", partition=str(key)),
        key_of(layout.deid_report, key=key),
        key_of(layout.bids_evidence, key=key),
        key_of(layout.session_quality, key=key),
        key_of(layout.session_report, key=key),
        key_of(layout.study_report),
        key_of(layout.notebook, asset="drift_notebook", partition=str(key)),
        key_of(layout.partial_report, asset="drift_notebook", partition=str(key)),
        key_of(layout.catalog),
        key_of(layout.dataset_index),
        key_of(layout.processing_plan),
        key_of(layout.release, version="1.0.0"),
        key_of(layout.release_record, version="1.0.0"),
    ]
    home = layout.Home(Path("home"))
    files = [
        (home.study_file("STUDY"), "The study file."),
        (home.notebooks("STUDY")[1], "Notebooks that become assets of the study."),
        (
            home.decisions_file("STUDY"),
            "Accepted results and freezes, with author and reason; back it up.",
        ),
        (
            home.citation_file("STUDY"),
            "How to cite the study; leaves with each release.",
        ),
        (
            home.edits("STUDY", "freesurfer", str(key)),
            "What people corrected by hand for an app; back it up.",
        ),
        (home.licence_file("freesurfer.txt"), "A licence that apps may need."),
        (home.secret_file("STUDY"), "The study's secret key, mode 0600; back it up."),
        (
            home.released_file("STUDY"),
            "Series that a person let through the pixel gate, with author and reason.",
        ),
        (
            home.guard_file("STUDY", key),
            "What must not be found in what is made of a session, mode 0600.",
        ),
        (home.mapping_file("STUDY"), "The site's own labels, encrypted with the key."),
        (
            home.canary("STUDY"),
            "Where `canary` works; gone afterwards, and may be removed at any time.",
        ),
        (
            home.canary_originals("STUDY"),
            "The same for what has identity.",
        ),
        (home.dagster, "Event log and settings of the embedded Dagster."),
    ]
    others = [(f"`{path.relative_to(home.root)}`", meaning) for path, meaning in files]
    return "\n".join(
        [
            "# Layout of a home\n",
            "A home is one folder; every path below is relative to it.",
            "`imaging-platform where STUDY` prints the paths of a study.\n",
            "## Zones\n",
            "Each zone has one folder a study: `<zone>/<study>`.\n",
            _table(
                ["zone", "holds identity"],
                [
                    (f"`{zone}`", "yes" if zone in layout.IDENTIFIED_ZONES else "no")
                    for zone in layout.ZONES
                ],
            ),
            "## Other folders\n",
            _table(["path", "is"], others),
            "## Published trees\n",
            "A tree holds `.record.json`: asset, partition, code version, inputs, "
            "tools, settings, software, report and data version; `.outputs.json`: the "
            "content digest of each file. De-identified DICOM has `.headers.json`, "
            "too: what the headers say of the place of each image, so that a "
            "conversion reads none of them; it is left out of a store in S3, and one "
            "that does not fit its files is not used.",
            "Hidden beside the trees of a study lie `.staging` (what is being built) "
            "and `.holds` (what waits for a person).\n",
            _table(["path", "is"], trees),
            f"The derivative datasets are {_listed(tuple(layout.PIPELINES))}.",
        ]
    )


def _assets() -> str:
    from imaging_platform.definitions import define_home
    from imaging_platform.model.layout import Home

    with tempfile.TemporaryDirectory() as empty:
        definitions = define_home(Home(Path(empty)))
    graph = definitions.resolve_asset_graph()
    return "\n".join(
        [
            "# Assets, checks, jobs and sensors\n",
            "Each study has these assets under its own name: `<study>/<asset>`, "
            "in the group `<study>`.",
            "Partitions are `<study>_drops` and `<study>_sessions`.\n",
            _table(
                ["asset", "partitions", "inputs", "kinds", "what it is"],
                [_asset_row(graph.get(key)) for key in graph.toposorted_asset_keys],
            ),
            "## Checks\n",
            "A blocking check that fails stops the run before anything downstream.\n",
            _table(["asset", "check", "blocking"], _check_rows(graph)),
            "## Jobs\n",
            _table(["job", "assets"], _job_rows(definitions)),
            "Each BIDS App of a study has a job of its own, `<study>_run_<app>`, whose "
            "runs have the tags `imaging/app`, `imaging/cpus` and "
            "`imaging/memory_gb`.\n",
            "## Sensors\n",
            "They are on from the start, but for `<study>_reprocess_stale`.\n",
            _table(["sensor", "does", "looks every"], _sensor_rows(definitions)),
            "A study with BIDS Apps has one more, `<study>_apps`: it runs each app of "
            "a session that was converted anew, and looks every 30 s.\n",
        ]
    )


def _asset_row(node: AssetNode) -> tuple[str, ...]:
    partitions = getattr(node.partitions_def, "name", None)
    return (
        f"`{node.key.path[-1]}`",
        _of_any_study(partitions, "").lstrip("_") if partitions else "the whole study",
        ", ".join(sorted(parent.path[-1] for parent in node.parent_keys)),
        ", ".join(sorted(node.kinds or ())),
        _sentence(node.description or ""),
    )


def _check_rows(graph: AssetGraph) -> list[tuple[str, ...]]:
    return [
        (
            f"`{key.path[-1]}`",
            f"`{check.name}`",
            "yes" if graph.get_check_spec(check).blocking else "no",
        )
        for key in graph.toposorted_asset_keys
        for check in sorted(graph.get_check_keys_for_assets({key}))
    ]


def _job_rows(definitions: dg.Definitions) -> list[tuple[str, ...]]:
    rows = []
    for job in sorted(definitions.jobs or (), key=lambda job: job.name):
        selected = definitions.resolve_job_def(job.name).asset_layer.selected_asset_keys
        names = sorted(key.path[-1] for key in selected)
        rows.append((f"`{_of_any_study(job.name)}`", ", ".join(names)))
    return rows


def _sensor_rows(definitions: dg.Definitions) -> list[tuple[str, ...]]:
    return [
        (
            f"`{_of_any_study(sensor.name)}`",
            sensor.description or "",
            f"{sensor.minimum_interval_seconds} s",
        )
        for sensor in sorted(definitions.sensors or (), key=lambda each: each.name)
    ]


def _of_any_study(name: str, word: str = "<study>") -> str:
    """Return a name of the demo study's definitions as any study has it."""
    from imaging_platform.settings import DEMO_STUDY

    return word + name.removeprefix(DEMO_STUDY.name)


def _sentence(text: str) -> str:
    """Return the first paragraph of a docstring as one sentence of a table."""
    first = " ".join(text.split("\n\n")[0].split()).removeprefix("Return the key of ")
    return first[:1].upper() + first[1:]


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(columns: list[str], rows: list[tuple[str, ...]]) -> str:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in (columns, *cells)]
    return "\n".join([lines[0], "|" + " --- |" * len(columns), *lines[1:]]) + "\n"


if __name__ == "__main__":
    main()
