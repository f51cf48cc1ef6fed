"""Arithmetic on voxels that several stages share."""
