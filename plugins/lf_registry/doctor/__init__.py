"""``lf-registry doctor``: one page on this machine, and what on it will break a run."""
