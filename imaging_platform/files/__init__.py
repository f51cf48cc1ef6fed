"""Bytes on disk: digests, staging, all-or-nothing publishing, safe unpacking."""
