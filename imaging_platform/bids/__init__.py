"""DICOM of one session to BIDS: decided by evidence, explained, nothing lost."""
