"""``lf-registry check``: know that a run will work, and what it trains on, before paying for a GPU."""
