"""Whether the Hugging Face Hub can be reached, so that a check without a network takes no minute of retries."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

_HUB = "https://huggingface.co"
_TIMEOUT_SECONDS = 5


def stay_offline_without_network() -> bool:
    """Set ``HF_HUB_OFFLINE`` when the Hub does not answer; what is in the cache is found all the same.

    Call it before ``huggingface_hub`` is imported, which reads the variable once. A proxy is not second-guessed.

    Returns:
        Whether this process is offline now.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return True
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return False
    address = urlsplit(os.environ.get("HF_ENDPOINT") or _HUB)
    try:
        port = address.port or (80 if address.scheme == "http" else 443)
        socket.create_connection((address.hostname or "", port), timeout=_TIMEOUT_SECONDS).close()
    except (OSError, ValueError):
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
        return True
    return False
