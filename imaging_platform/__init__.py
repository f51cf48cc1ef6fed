"""A Dagster data platform for neuroimaging, from DICOM drop to report."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imaging_platform.settings import load_layout as load_layout

__version__ = "0.1.0"
__all__ = ["__version__", "load_layout"]


def __getattr__(name: str) -> object:
    """Import what notebooks ask for when they ask for it: the package stays light."""
    if name == "load_layout":
        return importlib.import_module("imaging_platform.settings").load_layout
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
