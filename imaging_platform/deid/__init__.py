"""De-identification of one session's DICOM: allow-list, keyed, fails closed."""
