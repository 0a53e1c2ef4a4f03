"""What the doctor says of a token, asked at a Hub that runs in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from lf_registry.doctor.hub import hub

TOKEN = "hf_" + "x" * 34
ASK = """
import json, os, sys
from lf_registry.doctor.hub import ask_hub, find_token
token, source = find_token(os.environ)
print(json.dumps([source, ask_hub(token)()]))
"""


@pytest.fixture
def server():
    """A Hub: set ``server.reply`` to (status, JSON), or to None for one that never answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers["Authorization"]))
            if web.reply is None:
                done.wait(60)
                return
            status, body = web.reply
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *arguments):
            return None

    asked, done = [], Event()
    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.asked = asked
    Thread(target=web.serve_forever, daemon=True).start()
    yield web
    done.set()
    web.shutdown()
    web.server_close()


def ask(server, tmp_path, **environment):
    """(where the token comes from, what a fresh process with this token is told)."""
    hidden = (
        "HF_HUB_OFFLINE",
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    )
    env = {key: value for key, value in os.environ.items() if key not in hidden}
    env |= {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path)} | environment
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True, env=env)
    assert TOKEN not in done.stdout + done.stderr
    return json.loads(done.stdout)


def who(role, **fine):
    access = {"role": role, "displayName": "x"} | ({"fineGrained": fine} if fine else {})
    return {"name": "tony", "type": "user", "auth": {"type": "access_token", "accessToken": access}}


SCOPED = [{"entity": {"type": "user", "name": "tony"}, "permissions": ["repo.content.read", "repo.write"]}]


@pytest.mark.parametrize(
    ("answer", "rights", "codes"),
    [
        (who("write"), "role write: reads and writes", []),
        (who("read"), "role read: reads", ["token-reads-only"]),
        (who("fineGrained", scoped=SCOPED), "role fineGrained: reads and writes", []),
        (
            who("fineGrained", scoped=[], **{"global": ["discussion.write"]}),
            "role fineGrained: reads",
            ["token-reads-only"],
        ),
        ({"name": "tony"}, "role unknown: reads", ["token-reads-only"]),
        ({"refused": True}, "none: the Hub refuses it", ["token-refused"]),
        ({"offline": "no network"}, "not asked: no network", []),
    ],
)
def test_rights(answer, rights, codes):
    section = hub(TOKEN, "HF_TOKEN", answer)
    assert dict(section.facts)["token"] == "present, from HF_TOKEN" and dict(section.facts)["rights"] == rights
    assert [found.code for found in section.findings] == codes


def test_no_token():
    section = hub(None, "nowhere", {})
    assert [found.code for found in section.findings] == ["no-token"] and "hf auth login" in section.findings[0].fix


def test_the_hub_is_asked(server, tmp_path):
    server.reply = 200, who("write")
    source, answer = ask(server, tmp_path, HF_TOKEN=TOKEN)
    assert source == "HF_TOKEN" and answer == who("write")
    assert server.asked == [("/api/whoami-v2", f"Bearer {TOKEN}")]
    (tmp_path / "token").write_text(TOKEN)
    source, answer = ask(server, tmp_path)
    assert source == str(tmp_path / "token") and answer == who("write")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ((401, {"error": "Invalid"}), {"refused": True}),
        ((503, {}), {"offline": "the Hub answers 503"}),
        (None, {"offline": "no answer in 3 s"}),
    ],
)
def test_a_hub_that_does_not_say(server, tmp_path, reply, expected):
    server.reply = reply
    assert ask(server, tmp_path, HF_TOKEN=TOKEN)[1] == expected


def test_nobody_is_asked_without_a_token_or_a_network(server, tmp_path):
    server.reply = 200, who("write")
    assert "offline" in ask(server, tmp_path)[1]
    assert "HF_HUB_OFFLINE" in ask(server, tmp_path, HF_TOKEN=TOKEN, HF_HUB_OFFLINE="1")[1]["offline"]
    assert server.asked == []
