"""What of a study may leave: chosen, proved to be free of identity, never changed."""
