"""Parameterised notebooks and their self-contained pages: session and study reports."""
