"""What an access token looks like, and hiding it: reports are saved, uploaded and pasted into forums."""

from __future__ import annotations

import re
from typing import Any

#: What stands in place of a secret.
HIDDEN = "(hidden)"
#: In front of a token: no letter or digit, or the end of an escape: `\\nhf_...` in JSON, `%3Dhf_...` in an address.
BEGIN = r"(?:(?<![A-Za-z0-9])|(?<=\\[abfnrtv])|(?<=%[0-9A-Fa-f]{2})|(?<=\\x[0-9A-Fa-f]{2}))"
#: What a token of each kind looks like, with the length that it really has. ASCII, and no group that captures: a recipe
#: is searched as text, a file as bytes.
SHAPES = {
    "a Hugging Face token": r"hf_[A-Za-z0-9]{30,}|api_org_[A-Za-z0-9]{30,}",
    "a GitHub token": r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,}",
    "a GitLab token": r"glpat-[A-Za-z0-9_-]{20,}",
    "an AWS key": r"(?:AKIA|ASIA)[A-Z0-9]{16}",
    # The run of 16 tells a key from words with hyphens: sk-learn-style-names-of-this-length.
    "an OpenAI or Anthropic key": r"sk-(?=[A-Za-z0-9_-]*[A-Za-z0-9]{16})[A-Za-z0-9_-]{20,}",
    "a Google key": r"AIza[A-Za-z0-9_-]{35}|GOCSPX-[A-Za-z0-9_-]{28}|ya29\.[A-Za-z0-9_-]{40,}",
    "a Slack token": r"xox[abeoprs]-[A-Za-z0-9-]{10,}|hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/]{20,}",
    "a Weights & Biases key": r"wandb_v\d_[A-Za-z0-9_]{30,}",
    "a RunPod key": r"rpa_[A-Za-z0-9]{30,}",
    "a Groq, xAI or Replicate key": r"gsk_[A-Za-z0-9]{40,}|xai-[A-Za-z0-9]{60,}|r8_[A-Za-z0-9]{37,}",
    "a package registry's token": r"pypi-[A-Za-z0-9_-]{80,}|npm_[A-Za-z0-9]{36}",
    "a Stripe key": r"[rs]k_live_[A-Za-z0-9]{20,}",
    "a Discord webhook": r"discord(?:app)?\.com/api/webhooks/\d{15,}/[A-Za-z0-9_-]{40,}",
    "a Telegram bot's token": r"\d{8,10}:AA[A-Za-z0-9_-]{33}",
    "a signed web token (JWT)": r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}",
    "a private key": r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----",
}
#: The password of an address: ``https://name:PASSWORD@host``.
URL_PASSWORD = r"(?<=://)[^\s/:@\"'<>]*:[^\s/@\"'<>]+(?=@)"
#: What is hidden in a text: half of a token too, and the password of an address.
_HIDE = re.compile(
    BEGIN + r"(?:hf_[A-Za-z0-9]{16,}|sk-[\w-]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}"
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{16,}|xox[a-z]-[\w-]{10,}|wandb_v\d_\w{16,}|rpa_[A-Za-z0-9]{16,}"
    r"|gsk_[A-Za-z0-9]{16,})|(?<=://)[^\s/:@]+:[^\s/@]+(?=@)"
)
#: The end of a word in a key that names a secret: `hub_token`, `apikey`; not `max_new_tokens`, not `tokenized_path`.
_SECRET_WORD = re.compile(
    r"(?:token|secrets?|passwords?|passwd|pwd|credentials?|webhook|(?:^|api|access|auth|private)keys?)$", re.IGNORECASE
)


def names_a_secret(key: str) -> bool:
    """Whether a key's value is a secret by its name: one of its words is or ends in token, key, secret, password."""
    return any(_SECRET_WORD.search(word) for word in re.split(r"[^A-Za-z0-9]+|_", key))


def hide_in_text(text: str) -> str:
    """The text with everything that has the shape of an access token or password replaced by ``(hidden)``."""
    return _HIDE.sub(HIDDEN, text)


def hide_in_values(value: Any, key: str = "") -> Any:
    """A recipe's value with all secrets replaced, by their key's name or by their shape, in nested values too."""
    if isinstance(value, dict):
        return {name: hide_in_values(item, f"{key}_{name}") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [hide_in_values(item, key) for item in value]
    if value is None or isinstance(value, bool) or value == "":
        return value
    if names_a_secret(key):
        return HIDDEN
    return hide_in_text(value) if isinstance(value, str) else value
