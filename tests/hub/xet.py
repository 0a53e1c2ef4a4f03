"""Xet: the tokens."""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter()


class Xet:
    def __init__(self, state):
        self.state = state

    def hash_of(self, sha256):
        return None
