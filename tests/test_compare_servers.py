"""Answers and verdicts from servers with OpenAI's chat API."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from compare_models import KNOWN, REFERENCES, lines
from lf_registry.compare import api
from lf_registry.compare.decoding import Decoding
from lf_registry.compare.request import Request
from lf_registry.compare.run import compare
from lf_registry.errors import UserError, WrongUsage

BEFORE = {question: before for question, before, _ in KNOWN}
AFTER = {question: after for question, _, after in KNOWN}


def by_heart(model, messages):
    answer = (BEFORE if model == "plain" else AFTER)[messages[-1]["content"]]
    return answer, "length" if "모르" in answer else "stop"


@pytest.fixture
def request_(project):
    ask = [{"prompt": q, "reference": r, "system": "짧게"} for (q, _, _), r in zip(KNOWN, REFERENCES, strict=True)]
    return Request(
        out=project.root / "out",
        base="plain",
        tuned="tuned",
        prompts=project("ask.json", ask),
        decoding=Decoding(max_new_tokens=32, batch_size=4),
    )


@pytest.fixture
def server(chat_server):
    return chat_server(by_heart, ["plain", "tuned"])


def test_both_models_of_one_server(server, request_, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "a key")
    server.refuse = [429, 503]
    found = compare(replace(request_, api=server.url))
    rows = lines(request_.out / "answers.jsonl")
    assert [(row["prompt"], row["before"], row["after"]) for row in rows] == KNOWN
    metric = found.summary["metrics"]["exact_match"]
    assert (metric["before"], metric["after"], metric["wins"], metric["losses"]) == (2 / 9, 8 / 9, 7, 1)
    assert found.summary["perplexity"] is None and any("perplexity was not" in note for note in found.summary["notes"])
    assert found.summary["sanity"]["after"]["never_stops"] == 1
    assert rows[0]["tokens"] == {"before": len(KNOWN[0][1]), "after": len(KNOWN[0][2])}
    assert found.summary["speed"]["after"]["first_token_seconds"] > 0
    assert set(server.keys) == {"Bearer a key"} and "a key" not in (request_.out / "summary.json").read_text()
    body = server.requests[0]
    assert (body["max_tokens"], body["temperature"]) == (32, 0.0) and "seed" not in body
    assert body["messages"][0] == {"role": "system", "content": "짧게"} and len(server.requests) == 2 * len(KNOWN)
    compare(replace(request_, api=server.url))
    assert len(server.requests) == 2 * len(KNOWN), "nothing is asked again"


def test_sampling_is_sent(server, request_):
    decoding = Decoding(temperature=0.7, top_p=0.9, seed=3)
    compare(replace(request_, api=f"{server.url}/v1", decoding=decoding))
    body = server.requests[0]
    assert (body["temperature"], body["top_p"], body["seed"], body["max_tokens"]) == (0.7, 0.9, 3, 256)


def test_two_servers_of_one_model_each(chat_server, request_):
    first = chat_server(lambda _, messages: by_heart("plain", messages), ["gpt-3.5-turbo", "plain"])
    second = chat_server(lambda _, messages: by_heart("tuned", messages), ["gpt-3.5-turbo", "tuned"])
    found = compare(replace(request_, api=first.url, api_tuned=second.url))
    assert found.summary["metrics"]["exact_match"]["after"] == 8 / 9


def test_a_server_of_one_model_is_not_compared_with_itself(chat_server, request_):
    single = chat_server(by_heart, ["gpt-3.5-turbo"])
    with pytest.raises(UserError, match="--api-tuned OTHER_URL") as error:
        compare(replace(request_, api=single.url))
    assert len(error.value.problems) == 2 and not single.requests
    with pytest.raises(WrongUsage, match="nothing to compare"):
        compare(replace(request_, api=single.url, base="tuned"))


def test_a_name_that_the_server_does_not_know(server, chat_server, request_):
    with pytest.raises(UserError, match="did you mean 'tuned'"):
        compare(replace(request_, api=server.url, tuned="tunde"))
    other = chat_server(by_heart, ["tuned"])
    with pytest.raises(UserError, match="did you mean 'tuned'"):
        compare(replace(request_, api=server.url, api_tuned=other.url, tuned="tunde"))


@pytest.mark.parametrize(("status", "message"), [(400, "HTTP 400: .*not now"), (401, "OPENAI_API_KEY")])
def test_a_refusal_is_one_message_and_the_rest_is_kept(server, request_, status, message):
    few = replace(request_, api=server.url, decoding=Decoding(max_new_tokens=32, batch_size=1))
    asked = len(KNOWN)
    original = server.reply

    def reply(model, messages):
        if len(server.requests) == 3:
            server.refuse = [status]
        return original(model, messages)

    server.reply = reply
    with pytest.raises(UserError, match=message):
        compare(few)
    done = len(server.requests)
    assert 0 < done < 2 * asked
    server.reply = original
    compare(few)
    assert len(server.requests) == 2 * asked


def test_nobody_answers(request_, monkeypatch):
    with pytest.raises(UserError, match="does not answer"):
        compare(replace(request_, api="http://127.0.0.1:9"))
    with pytest.raises(WrongUsage, match="is no address"):
        compare(replace(request_, api="localhost:8000"))
    assert (
        api.api_url("http://a:1/", "--api") == "http://a:1/v1" and api.api_url("http://a/x/", "--api") == "http://a/x"
    )


def test_an_answer_that_is_no_chat(chat_server, request_):
    server = chat_server(by_heart, ["plain", "tuned"])
    server.RequestHandlerClass = type("Other", (server.RequestHandlerClass,), {"do_POST": _nonsense})
    with pytest.raises(UserError, match="not that of a chat API"):
        compare(replace(request_, api=server.url))


def _nonsense(handler):
    handler.rfile.read(int(handler.headers["Content-Length"]))
    handler._send(200, {"choices": []})


def test_a_judge_that_is_not_there_is_said_before_anything_is_asked(server, request_):
    asked = replace(request_, api=server.url, judge="http://127.0.0.1:1/v1", judge_model="wise")
    with pytest.raises(UserError, match=r"127\.0\.0\.1:1/v1: the server does not answer"):
        compare(asked)
    assert len((request_.out / "generated.jsonl").read_text(encoding="utf-8").splitlines()) == 1


def test_the_judge_reads_both_orders(server, chat_server, request_):
    right = set(REFERENCES)

    def verdict(_, messages):
        text = messages[-1]["content"]
        first, second = text.split("[answer A]\n")[1].split("\n\n[answer B]\n")
        second = second.split("\n\n")[0]
        if first == "한라산입니다." or second == "한라산입니다.":
            return "A", "stop"  # this judge likes what stands first
        if "부산" in text:
            return "I cannot say.", "stop"
        return f"**{'A' if first in right else 'B' if second in right else 'TIE'}**", "stop"

    third = chat_server(verdict, ["wise"])
    asked = replace(request_, api=server.url, judge=third.url, judge_model="wise", metrics=("exact_match",))
    found = compare(asked)
    judged = [row.get("judge") for row in lines(request_.out / "answers.jsonl")]
    # No verdict; right; equal answers; right; the base was right; right; the order decided; right; right.
    assert judged == [None, 1.0, 0.5, 1.0, 0.0, 1.0, 0.5, 1.0, 1.0]
    metric = found.summary["metrics"]["judge"]
    assert (metric["wins"], metric["losses"], metric["ties"], metric["left_out"]) == (5, 1, 2, 1)
    assert metric["after"] == pytest.approx((5 + 2 * 0.5) / 8)
    number = len(third.requests)
    assert number == 8 * 2 - 1, "equal answers are not judged, and who cannot say is not asked twice"
    assert "[an answer that is known to be good]\n서울입니다." in json.dumps(
        third.requests, ensure_ascii=False
    ).replace("\\n", "\n")
    compare(asked)
    assert len(third.requests) == number
