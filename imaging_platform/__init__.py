"""A Dagster data platform for neuroimaging, from DICOM drop to report."""

__version__ = "0.1.0"
