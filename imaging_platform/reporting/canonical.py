"""An executed notebook without clock, host, process or place: same work, same bytes."""

from __future__ import annotations

import re
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbformat import NotebookNode

_ERROR_MARKER = "papermill-error-cell-tag"
_NOTEBOOK_KEYS = ("kernelspec", "title", "papermill")
_CELL_KEYS = ("tags", "name", "title")
# A literal start keeps the search linear: outputs hold pictures of megabytes.
_KERNEL_FILE = re.compile(r"scratch/home/ipykernel_\d+/\d+\.py")
_ENCODED = re.compile(r"([A-Za-z0-9+/]{128,}={0,2})")
"""No path is as long without a dot, a hyphen or an underscore."""

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,16}\b")


def canonical_notebook(
    notebook: NotebookNode, places: Mapping[str, str]
) -> NotebookNode:
    """
    Return a copy of `notebook` that holds only what its inputs and code determine.

    Times, durations, host and user paths, process numbers and memory addresses
    go; cell ids are counted; consecutive stream outputs are joined, since where
    they break depends on timing. Parameters stay, under ``metadata.papermill``.

    Parameters
    ----------
    notebook
        As papermill leaves it, nbformat 4.
    places
        Absolute path to the relative name that replaces it in outputs.
    """
    clean = nbformat.v4.upgrade(nbformat.from_dict(notebook.copy()))
    clean.cells = [
        _canonical_cell(cell, f"cell-{number:03d}", places)
        for number, cell in enumerate(_own_cells(notebook), start=1)
    ]
    parameters = notebook.metadata.get("papermill", {}).get("parameters", {})
    metadata = {
        key: notebook.metadata[key]
        for key in _NOTEBOOK_KEYS
        if key in notebook.metadata
    }
    metadata["papermill"] = {"parameters": parameters}
    metadata["language_info"] = {"name": "python"}
    clean.metadata = nbformat.from_dict(metadata)
    clean.nbformat, clean.nbformat_minor = 4, 5
    return clean


def without_places(text: str, places: Mapping[str, str]) -> str:
    """
    Return `text` with each path of `places` replaced, the longest first.

    Files of the kernel process (``ipykernel_<process>/<digest>.py``) and memory
    addresses, which differ from run to run, are replaced too. Pictures and volumes
    in base64 (RFC 4648) stay: their letters spell ``/tmp`` by chance.
    """
    # Of the two kinds of parts, each second one is encoded.
    parts = _ENCODED.split(text)
    parts[::2] = [_replace_places(part, places) for part in parts[::2]]
    return "".join(parts)


def _replace_places(text: str, places: Mapping[str, str]) -> str:
    for path in sorted(places, key=len, reverse=True):
        text = text.replace(path, places[path])
    return _ADDRESS.sub("0x0", _KERNEL_FILE.sub("cell", text))


def machine_places() -> dict[str, str]:
    """Return where this Python and its packages stand, and what to call it instead."""
    package = Path(__file__).resolve().parents[2]
    paths = sysconfig.get_paths()
    return {
        paths["purelib"]: "site-packages",
        paths["platlib"]: "site-packages",
        paths["stdlib"]: "python",
        sys.prefix: "python",
        sys.base_prefix: "python",
        str(package): "platform",
        str(Path.home()): "~",
        tempfile.gettempdir(): "scratch",
    }


def _own_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [
        cell
        for cell in notebook.cells
        if _ERROR_MARKER not in cell.metadata.get("tags", [])
    ]


def _canonical_cell(
    cell: NotebookNode, name: str, places: Mapping[str, str]
) -> NotebookNode:
    metadata = {key: cell.metadata[key] for key in _CELL_KEYS if key in cell.metadata}
    clean = {**cell, "id": name, "metadata": metadata}
    if cell.cell_type == "code":
        outputs = [_clean_output(output, places) for output in cell.outputs]
        clean["outputs"] = _join_streams(outputs)
    return NotebookNode(nbformat.from_dict(clean))


def _clean_output(value: object, places: Mapping[str, str]) -> object:
    if isinstance(value, str):
        return without_places(value, places)
    if isinstance(value, list):
        return [_clean_output(item, places) for item in value]
    if isinstance(value, dict):
        kept = ((k, v) for k, v in value.items() if k != "transient")
        return NotebookNode({k: _clean_output(v, places) for k, v in kept})
    return value


def _join_streams(outputs: list[object]) -> list[object]:
    joined: list[object] = []
    pending: dict[str, str] = {}

    def flush() -> None:
        for name in ("stdout", "stderr"):
            if name in pending:
                text = pending.pop(name)
                joined.append(nbformat.v4.new_output("stream", name=name, text=text))

    for output in outputs:
        if isinstance(output, dict) and output.get("output_type") == "stream":
            pending[output["name"]] = pending.get(output["name"], "") + output["text"]
        else:
            flush()
            joined.append(output)
    flush()
    return joined
