"""BIDS Apps: programs and containers of other people as assets of a study."""
