"""What happens to a message's text before it enters a prompt, in training and in every chat template.

Two rules, the same everywhere:

- White space at the edges is removed, as Llama 3's own chat template does: a newline at the start of an answer would
  merge with the newlines of the header in front of it, so that training (which tokenizes prompt and answer apart) and
  serving (which tokenizes the whole) would see different tokens.
- Text that looks like a control token (``<|eot_id|>``, ``<|question|>``, ``### 답변:``) gets a space after its second
  character, so that nobody can end a turn or forge one from inside a message. Content is data, never control.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: What counts as a control token in a format's text: ``<|...|>``, a short tag such as ``<s>`` or ``[INST]``, or the
#: heading of a block such as ``### Response:``.
_CONTROL = re.compile(r"<\|[^|<>]+\|>|</?[A-Za-z_][\w]*>|\[/?[A-Z_]{2,}\]|<｜[^｜<>]+｜>|#{2,} ?\w[\w ]*:")


def control_tokens(texts: Iterable[str]) -> list[str]:
    """The control tokens in a format's own texts, longest first, each once."""
    found = {token for text in texts for token in _CONTROL.findall(text)}
    return sorted(found, key=lambda token: (-len(token), token))


def defuse(token: str) -> str:
    """The harmless spelling of a control token: ``<|eot_id|>`` becomes ``<| eot_id|>``."""
    return f"{token[:2]} {token[2:]}"


def clean(text: str, tokens: Iterable[str]) -> str:
    """Apply both rules to a message's text."""
    text = text.strip()
    for token in tokens:
        text = text.replace(token, defuse(token))
    return text
