"""``recipes/runpod/job.sh``: check, train, merge, publish; every stage can be repeated.

No module here imports LLaMA-Factory: the stages are commands.
"""
