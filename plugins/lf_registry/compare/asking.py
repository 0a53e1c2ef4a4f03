"""The two ways to ask: models on this machine, and servers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Any, Protocol

from ..files import is_dir
from ..fingerprint import identity_of
from ..secret_text import hide_in_text
from .answer_log import AnswerLog
from .api import Server, api_url, check_models
from .generate import ask_local, ask_servers
from .prompts import Prompt
from .request import Request
from .sides import SIDES, resolve


class Asking(Protocol):
    """What both ways know.

    Attributes:
        notes: what the user should know.
        systems: side -> what stands in front of each conversation.
        settings: what decides the answers: another value, and answers that are there already do not count.
        about: what else the report says about the models.
        models: which models answered, for the model card: the base's Hub id (``base_model``; None for a folder), and
            the ``Identity`` of the tuned one's folder (``tuned_model``; None for a server's).
    """

    notes: list[str]
    systems: dict[str, list[str]]
    settings: dict[str, Any]
    about: dict[str, Any]
    models: dict[str, Any]

    def run(self, log: AnswerLog) -> list[str]:
        """Make the answers that the log does not have yet; returns notes."""


class Models:
    """Two models, or a model and its adapter, run by Transformers here.

    Raises:
        UserError: a model, its tokenizer or its chat template cannot be used, or refuses a prompt.
    """

    def __init__(self, request: Request, prompts: Sequence[Prompt]) -> None:
        from .chat import ask, personas

        self._request = request
        self._sides, self.notes = resolve(
            request.base,
            str(request.tuned),
            template=request.template,
            settings=request.settings,
            same_template=request.same_template,
            trust=request.trust_remote_code,
        )
        self._asked = {side.name: ask(side, prompts) for side in self._sides}
        self.systems = {side.name: personas(side, prompts) for side in self._sides}
        before, after = self._sides
        self.settings: dict[str, Any] = {
            "base_files": before.fingerprint,
            "tuned_files": after.fingerprint,
            "dtype": request.dtype,
        }
        self.about = {
            "base": before.label,
            "tuned": after.label,
            "base_template": before.template,
            "tuned_template": after.template,
        }
        self.models = {
            "base_model": None if is_dir(before.label) else before.label,
            "tuned_model": identity_of(after.adapter or after.model).as_json(),
        }

    def run(self, log: AnswerLog) -> list[str]:
        """See ``Asking.run``."""
        request = self._request
        return ask_local(
            self._sides, self._asked, log, request.decoding, dtype=request.dtype, trust=request.trust_remote_code
        )


class Servers:
    """Two models behind OpenAI's chat API, which write prompts with their own chat templates.

    Raises:
        UserError: a server does not answer, or does not know a model.
    """

    def __init__(self, request: Request, prompts: Sequence[Prompt], stack: ExitStack) -> None:
        self._decoding, self._prompts = request.decoding, prompts
        urls = [api_url(str(request.api), "--api")]
        urls.append(api_url(request.api_tuned, "--api-tuned") if request.api_tuned else urls[0])
        models = (str(request.base), str(request.tuned))
        self._servers = [
            stack.enter_context(closing(Server(url, name))) for url, name in zip(urls, models, strict=True)
        ]
        check_models(self._servers)
        self.notes = ["perplexity was not measured: a chat API does not tell the likelihood of a reference"]
        self.systems = {side: [prompt.system for prompt in prompts] for side in SIDES}
        self.settings: dict[str, Any] = {
            "base": models[0],
            "tuned": models[1],
            "base_server": hide_in_text(urls[0]),
            "tuned_server": hide_in_text(urls[1]),
        }
        self.about: dict[str, Any] = {"base": models[0], "tuned": models[1]}
        self.models: dict[str, Any] = {"base_model": None, "tuned_model": None}

    def run(self, log: AnswerLog) -> list[str]:
        """See ``Asking.run``."""
        ask_servers(self._servers, self._prompts, log, self._decoding)
        return []
