"""One set of tables over every session of a study, read from the published records."""
