"""Which checkpoint a run goes on from, and how it stops so that it can. No module here imports LLaMA-Factory."""
