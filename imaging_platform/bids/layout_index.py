"""A pybids index of a whole dataset: built once a dataset version, then only read."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from imaging_platform.model import layout as layout_keys
from imaging_platform.model.errors import MissingInput
from imaging_platform.provenance.record import read_record

if TYPE_CHECKING:
    from bids import BIDSLayout


DATABASE = "layout.db"
"""Folder of the index inside its published tree."""

_FILE = "layout_index.sqlite"
_PATHS = (
    ("layout_info", "root"),
    ("files", "path"),
    ("files", "dirname"),
    ("tags", "file_path"),
    ("associations", "src"),
    ("associations", "dst"),
)
"""Where pybids keeps absolute paths."""


def build_index(root: Path, database: Path) -> None:
    """
    Index the dataset at `root` into the folder `database`, replacing an older one.

    Costs about 1.5 ms a file and holds the whole index in memory; a session's own
    step has no use for it.

    Parameters
    ----------
    root
        A BIDS dataset with its ``dataset_description.json``.
    database
        Folder of the index; it appears whole or not at all.
    """
    from bids import BIDSLayout

    _require_dataset(root)
    database.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=".staged-", dir=database.parent
    ) as staged_name:
        staged = Path(staged_name) / "index"
        layout = BIDSLayout(
            root, validate=False, database_path=staged, reset_database=True
        )
        if (open_session := layout.connection_manager.session) is not None:
            open_session.close()
        layout.connection_manager.engine.dispose()
        if database.exists():
            shutil.rmtree(database)
        staged.rename(database)


def load_layout(root: Path, database: Path) -> BIDSLayout:
    """
    Return the layout of `root` from the index that `build_index` made.

    The dataset may have moved since, with its home for example.

    Raises
    ------
    MissingInput
        There is no index, or no dataset.
    """
    from bids import BIDSLayout

    _require_dataset(root)
    if not database.is_dir():
        raise MissingInput(
            "The dataset has no index yet.",
            fix="Build the dataset's index first.",
        )
    scratch = Path(tempfile.mkdtemp(prefix="layout-"))
    found = _follow(root, database, scratch / "index")
    layout = BIDSLayout(root, validate=False, database_path=found)
    # The layout asks its database as long as it lives.
    weakref.finalize(layout, shutil.rmtree, scratch, ignore_errors=True)
    return layout


def _follow(root: Path, database: Path, scratch: Path) -> Path:
    """Return an index of where the dataset is now: itself, or a corrected copy."""
    with contextlib.closing(sqlite3.connect(_uri(database), uri=True)) as connection:
        ((indexed,),) = connection.execute("SELECT root FROM layout_info")
    if indexed == str(root):
        return database
    shutil.copytree(database, scratch)
    with contextlib.closing(sqlite3.connect(scratch / _FILE)) as connection:
        for table, column in _PATHS:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                (str(root), len(indexed) + 1, indexed, len(indexed) + 1, f"{indexed}/"),
            )
        connection.commit()
    return scratch


def _uri(database: Path) -> str:
    return f"{(database / _FILE).absolute().as_uri()}?mode=ro"


def open_published(home: Path, study: str) -> BIDSLayout:
    """
    Return the layout of a published study from its published index; read only.

    Parameters
    ----------
    home
        The imaging home.
    study
        Name of the study.

    Raises
    ------
    MissingInput
        There is no index, or it is older than the sessions that are published.
    """
    root = home / layout_keys.bids_dataset(study)
    index = home / layout_keys.dataset_index(study)
    record = read_record(index)
    if record is None:
        raise MissingInput(
            f"The dataset of {study} has no index yet.",
            fix=f"Run: imaging-platform process --study {study}",
        )
    if dict(record.inputs) != _published_versions(root):
        raise MissingInput(
            f"The index of {study} is older than its sessions.",
            fix=f"Run: imaging-platform process --study {study}",
        )
    return load_layout(root, index / DATABASE)


def _published_versions(root: Path) -> dict[str, str]:
    """Return the sessions that stand there, as the record of the index names them."""
    found = (read_record(tree) for tree in root.glob("sub-*/ses-*"))
    return {f"{r.asset}[{r.partition}]": r.data_version for r in found if r}


def _require_dataset(root: Path) -> None:
    if not (root / "dataset_description.json").is_file():
        raise MissingInput(
            "The folder is no BIDS dataset: it lacks dataset_description.json.",
            fix="Build the dataset-level files first.",
        )
