"""Where published trees live; assets pass keys, stores carry bytes."""
