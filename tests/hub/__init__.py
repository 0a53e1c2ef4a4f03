"""A small Hugging Face Hub on 127.0.0.1, for tests: the client under test is always the real ``huggingface_hub``.

Two host names stand for two machines: the Hub itself is ``127.0.0.1``, and the storage to which it sends large files
(what a signed storage address or a CDN is for the real one) is ``localhost``, on the same port. Each call is logged
with its host name, so that a test can say what reached which machine.

Tests use the fixture ``hub`` of ``hub.fixtures``; ``python -m hub`` starts one by hand (in ``tests/``).
"""
