"""Tokens of the known kinds in the bytes of a file, also when they are packed in base64."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from ..secret_text import BEGIN, SHAPES

#: (first byte, byte after the last, kind), in the block that was searched.
Hit = tuple[int, int, str]

#: A text that every secret of the kind has in it. Searching for it costs a hundredth of the pattern.
_ANCHORS = {
    "a Hugging Face token": (b"hf_", b"api_org_"),
    "a GitHub token": (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
    "a GitLab token": (b"glpat-",),
    "an AWS key": (b"AKIA", b"ASIA"),
    "an OpenAI or Anthropic key": (b"sk-",),
    "a Google key": (b"AIza", b"GOCSPX-", b"ya29."),
    "a Slack token": (b"xox", b"hooks.slack.com"),
    "a Weights & Biases key": (b"wandb_v",),
    "a RunPod key": (b"rpa_",),
    "a Groq, xAI or Replicate key": (b"gsk_", b"xai-", b"r8_"),
    "a package registry's token": (b"pypi-", b"npm_"),
    "a Stripe key": (b"k_live_",),
    "a Discord webhook": (b"/api/webhooks/",),
    "a Telegram bot's token": (b":AA",),
    "a signed web token (JWT)": (b".eyJ",),
    "a private key": (b"PRIVATE KEY",),
}
assert _ANCHORS.keys() == SHAPES.keys(), "a shape without an anchor would never be searched for"
_SHAPES = {kind: re.compile(rf"{BEGIN}(?:{shape})".encode()) for kind, shape in SHAPES.items()}
#: Base64 that a token fits in, also in lines, also the kind for addresses.
_PACKED = re.compile(rb"[A-Za-z0-9+/_-]{40,}(?:(?:\\r|\\n|\r|\n)+[A-Za-z0-9+/_-]{4,})*")
_BREAKS = re.compile(rb"\\[rn]|[\r\n]")
_PLAIN = bytes.maketrans(b"-_", b"+/")


def shaped(data: bytes) -> Iterator[Hit]:
    """Tokens of the known kinds."""
    for kind, anchors in _ANCHORS.items():
        if any(anchor in data for anchor in anchors):
            yield from ((match.start(), match.end(), kind) for match in _SHAPES[kind].finditer(data))


def in_base64(data: bytes) -> Iterator[Hit]:
    """Tokens in base64: a file that was packed into a setting, an image in an SVG. The place may be a few bytes off."""
    for match in _PACKED.finditer(data):
        run = _BREAKS.sub(b"", match.group()).translate(_PLAIN)
        for skipped in range(4 if match.start() == 0 else 1):  # a piece of a file may begin between two groups of four
            text = base64.b64decode(run[skipped : skipped + (len(run) - skipped) // 4 * 4])
            for start, end, kind in shaped(text):
                begin = match.start() + skipped + start * 4 // 3
                yield begin, min(begin + (end - start) * 4 // 3, match.end()), f"{kind} in base64"
