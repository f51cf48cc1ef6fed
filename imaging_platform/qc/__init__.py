"""Quality metrics of each scan of a session, and the verdict on them."""
