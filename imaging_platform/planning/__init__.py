"""Which results are missing or out of date, and why, from versions alone."""
