"""The Hugging Face token, which is never shown, and what it may do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Thread
from typing import Any

from ..secret_text import hide_in_text
from .page import Section

#: Longer than this nobody waits for a page.
SECONDS = 3.0
_LOGIN = "hf auth login (a token of role write, from huggingface.co/settings/tokens)"


def ask_hub(token: str | None) -> Callable[[], dict[str, Any]]:
    """Ask the Hub, in the background, what a token may do; the result waits at most ``SECONDS`` for the answer.

    Returns:
        A function that returns what ``whoami`` says, ``{"offline": reason}`` or ``{"refused": True}``.
    """
    answer: dict[str, Any] = {}

    def ask() -> None:
        from ..network import stay_offline_without_network

        if stay_offline_without_network():
            answer["offline"] = "the Hub is not reached, or HF_HUB_OFFLINE is set"
            return
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError

        try:
            answer.update(HfApi().whoami(token=token))
        except HfHubHTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            answer.update({"refused": True} if status in (401, 403) else {"offline": f"the Hub answers {status}"})
        except Exception as error:  # the network's errors, and a proxy's page in place of JSON
            answer["offline"] = hide_in_text(f"{type(error).__name__}: {error}".splitlines()[0])

    thread = Thread(target=ask, name="lf-registry-doctor-hub", daemon=True)
    if token:
        thread.start()

    def result() -> dict[str, Any]:
        if token:
            thread.join(SECONDS)
        return dict(answer) or {"offline": f"no answer in {SECONDS:.0f} s"}

    return result


def hub(token: str | None, source: str, answer: Mapping[str, Any]) -> Section:
    """Describe the token.

    Args:
        token: only whether there is one is used.
        source: where it comes from.
        answer: see ``ask_hub``.
    """
    section = Section("Hugging Face Hub")
    if not token:
        section.say("token", "none")
        message = "no token: models behind a licence cannot be downloaded, and nothing can be published"
        section.find("warning", "no-token", "token", message, _LOGIN)
        return section
    section.say("token", f"present, from {source}")
    if "refused" in answer:
        section.say("rights", "none: the Hub refuses it")
        message = f"the Hub refuses the token from {source}: it was revoked, has expired or was cut off"
        section.find("error", "token-refused", "token", message, _LOGIN)
    elif "offline" in answer:
        section.say("rights", f"not asked: {answer['offline']}")
    else:
        role, writes = _rights(answer)
        section.say("user", str(answer.get("name")))
        section.say("rights", f"role {role}: " + ("reads and writes" if writes else "reads"))
        if not writes:
            message = f"the token (role {role}) cannot write: training works, publishing does not"
            section.find("warning", "token-reads-only", "token", message, _LOGIN)
    return section


def _rights(answer: Mapping[str, Any]) -> tuple[str, bool]:
    access = (answer.get("auth") or {}).get("accessToken") or {}
    role = str(access.get("role", "unknown"))
    fine = access.get("fineGrained") or {}
    scopes = [permission for scope in fine.get("scoped") or [] for permission in scope.get("permissions") or []]
    return role, role in ("write", "admin") or "repo.write" in [*scopes, *(fine.get("global") or [])]


def find_token(environment: Mapping[str, str]) -> tuple[str | None, str]:
    """(the token that huggingface_hub uses, where it comes from)."""
    from huggingface_hub import get_token
    from huggingface_hub.constants import HF_TOKEN_PATH

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if environment.get(name):
            return get_token(), name
    return get_token(), HF_TOKEN_PATH
