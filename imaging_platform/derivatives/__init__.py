"""What is computed from a BIDS session: masks, defaced heads, motion, diffusion."""
