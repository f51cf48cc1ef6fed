"""Words that every other package uses: errors, identifiers and the layout on disk."""
