"""The only door to other processes: dcm2niix, the BIDS validator, isolated Python."""
