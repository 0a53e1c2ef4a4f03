"""Answers by a server that speaks OpenAI's chat API: ``llamafactory-cli api``, vLLM, and others."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..errors import UserError, WrongUsage, did_you_mean
from ..secret_text import hide_in_text
from .batches import Answer, Batch
from .decoding import Decoding
from .prompts import Prompt

if TYPE_CHECKING:
    import httpx

#: Where the key stands, as OpenAI's own client reads it; on a command line everybody could see it.
KEY_VARIABLE = "OPENAI_API_KEY"
#: Seconds for one answer, and how often a busy server is asked again.
_TIMEOUT, _TRIES = 600.0, 4
#: Requests that are streamed to see when the first token comes.
_PROBES = 5


def api_url(text: str, option: str) -> str:
    """The address that ``/chat/completions`` is put behind: ``http://host:8000`` becomes ``http://host:8000/v1``.

    Raises:
        WrongUsage: it is no address.
    """
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise WrongUsage(f"{option}: {hide_in_text(text)!r} is no address; write it like http://localhost:8000/v1")
    return (text if parts.path.strip("/") else f"{text.rstrip('/')}/v1").rstrip("/")


class Server:
    """One model of a server.

    Args:
        url: from ``api_url``.
        model: the name that the server knows it by.
    """

    def __init__(self, url: str, model: str) -> None:
        import httpx

        self.url, self.model = url, model
        key = os.environ.get(KEY_VARIABLE)
        self._client = httpx.Client(
            timeout=httpx.Timeout(_TIMEOUT, connect=10.0), headers={"Authorization": f"Bearer {key}"} if key else {}
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def models(self) -> list[str]:
        """The names that the server lists; nothing when it does not list any.

        Raises:
            UserError: nobody answers at the address.
        """
        response = self._request("GET", "models", None)
        try:
            return [str(entry["id"]) for entry in response.json()["data"]] if response.status_code == 200 else []
        except (ValueError, KeyError, TypeError):
            return []

    def chat(self, messages: Sequence[dict[str, Any]], **options: Any) -> dict[str, Any]:
        """One answer: the first choice, with ``usage``.

        Raises:
            UserError: the server refuses, or does not answer.
        """
        response = self._request("POST", "chat/completions", self._body(messages, options))
        if response.status_code != 200:
            raise self._refused(response)
        try:
            value = response.json()
            return {**value["choices"][0], "usage": value.get("usage") or {}}
        except (ValueError, KeyError, IndexError, TypeError):
            raise UserError(f"{hide_in_text(self.url)}: its answer is not that of a chat API") from None

    def first_token(self, messages: Sequence[dict[str, Any]]) -> float | None:
        """Seconds until the first piece of an answer comes; None when the server does not stream."""
        body = self._body(messages, {"max_tokens": 8, "temperature": 0.0}) | {"stream": True}
        started = time.perf_counter()
        import httpx

        try:
            with self._client.stream("POST", f"{self.url}/chat/completions", json=body) as response:
                for line in response.iter_lines():
                    if not line.startswith("data:") or line.endswith("[DONE]"):
                        continue
                    choices = json.loads(line[5:]).get("choices") or [{}]
                    if (choices[0].get("delta") or {}).get("content"):
                        return time.perf_counter() - started
        except (httpx.HTTPError, ValueError, KeyError, AttributeError):
            return None
        return None

    def _body(self, messages: Sequence[dict[str, Any]], options: dict[str, Any]) -> dict[str, Any]:
        return {"model": self.model, "messages": list(messages), **options}

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        import httpx

        why: Exception | None = None
        for attempt in range(_TRIES):
            try:
                response = self._client.request(method, f"{self.url}/{path}", json=body)
            except httpx.TransportError as error:
                why = error
                if isinstance(error, httpx.ConnectError | httpx.UnsupportedProtocol):
                    break
            else:
                if (response.status_code != 429 and response.status_code < 500) or attempt == _TRIES - 1:
                    return response
            time.sleep(0.5 * 2**attempt)
        raise UserError(
            f"{hide_in_text(self.url)}: the server does not answer ({type(why).__name__}: {why})",
            hint="start it (llamafactory-cli api RECIPE, or vllm serve MODEL), then the same command goes on",
        )

    def _refused(self, response: httpx.Response) -> UserError:
        text = hide_in_text(" ".join(response.text.split())[:300])
        where = f"{hide_in_text(self.url)}: the server refuses a request for {self.model!r}"
        if response.status_code in (401, 403):
            return UserError(f"{where}: {text}", hint=f"put its key into the environment variable {KEY_VARIABLE}")
        if response.status_code == 404 and (known := self.models()) and self.model not in known:
            return UserError(f"{where}; {did_you_mean(self.model, known, kind='models')}")
        return UserError(f"{where}: HTTP {response.status_code}: {text}")


def check_models(servers: Sequence[Server]) -> None:
    """See that the two models of one server are two.

    A server of a single model (``llamafactory-cli api``) answers to every name: it would be compared with itself.

    Raises:
        UserError: the server does not list a name.
    """
    first, second = servers
    if first.url != second.url:
        return
    if first.model == second.model:
        raise WrongUsage(f"--base and --tuned are both {first.model!r} on the same server: there is nothing to compare")
    known = first.models()
    missing = [name for name in (first.model, second.model) if name not in known]
    if known and missing:
        raise UserError(
            [
                f"{hide_in_text(first.url)}: has no model {n!r}; {did_you_mean(n, known, kind='models')}"
                for n in missing
            ],
            hint="name its models; for two servers of one model each: --api URL --api-tuned OTHER_URL",
        )


def answers(
    server: Server, prompts: Sequence[Prompt], batches: Sequence[list[int]], decoding: Decoding
) -> Iterator[Batch]:
    """Ask a server; the prompts of a batch are asked at the same time.

    Raises:
        UserError: see ``Server.chat``.
    """
    options: dict[str, Any] = {"max_tokens": decoding.max_new_tokens, "temperature": decoding.temperature}
    if decoding.temperature:
        options |= {"top_p": decoding.top_p, "seed": decoding.seed}

    def one(index: int) -> Answer:
        prompt = prompts[index]
        tools = {"tools": list(prompt.tools)} if prompt.tools else {}
        choice = server.chat(prompt.messages, **options, **tools)
        message = choice.get("message") or {}
        text = message.get("content") or ""
        if not text and message.get("tool_calls"):
            text = json.dumps([call.get("function") for call in message["tool_calls"]], ensure_ascii=False)
        tokens = choice["usage"].get("completion_tokens") or 0
        return Answer(index, text, int(tokens), choice.get("finish_reason") != "length")

    with ThreadPoolExecutor(decoding.batch_size) as pool:
        for batch in batches:
            started = time.perf_counter()
            found = list(pool.map(one, batch))
            yield Batch(found, time.perf_counter() - started, None, None)


def first_tokens(server: Server, prompts: Sequence[Prompt]) -> list[float]:
    """Seconds to the first token of a few prompts, asked one by one."""
    measured = [server.first_token(prompt.messages) for prompt in prompts[:_PROBES] if not prompt.tools]
    return [seconds for seconds in measured if seconds is not None]
