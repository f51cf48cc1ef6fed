"""What starts by itself: a settled drop, an indexed session, a finished cohort."""
