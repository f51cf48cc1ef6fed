"""What differs between two versions of a published tree."""
