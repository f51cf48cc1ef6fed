"""What each published tree was made from, kept inside it and independent of Dagster."""
