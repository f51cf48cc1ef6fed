"""`imaging-platform`: the second face of the same functions."""
