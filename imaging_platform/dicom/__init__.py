"""What a DICOM file is: its structure, walked to the last byte, and its header."""
