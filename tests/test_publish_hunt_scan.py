"""Secrets behind escapes and in base64, files that are no text, and finds that the user knows to be harmless."""

from __future__ import annotations

import base64
import bz2
import json
import textwrap
import zlib
from pathlib import Path

import pytest

from lf_registry.errors import UserError, WrongUsage
from lf_registry.publish import scan_files
from lf_registry.publish.allow import Allowed
from lf_registry.publish.artifact import Upload
from lf_registry.publish.request import Request, check_request, is_token
from lf_registry.publish.scan import LOCAL_PATH, NOT_SEARCHED, scan
from lf_registry.secret_text import hide_in_text

TOKEN = "hf_" + "qwertzuiopasdfghjklyxcvbnmQWERTZUI"
KEY = "sk-proj-" + "a8Fk2LpQ9xZr4TbW7mNc1VyH5sJd3GuE6iKo0BtX"
BEFORE = "".join(chr(33 + number % 90) for number in range(300))


def made(folder: Path, name: str, content: bytes | str) -> Upload:
    data = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(data)
    return Upload(name, len(data), folder / name)


def kinds(folder: Path, name: str, content: bytes | str) -> list[str]:
    return [leak.kind for leak in scan([made(folder, name, content)])]


@pytest.mark.parametrize("secret", [TOKEN, KEY])
@pytest.mark.parametrize("between", ["\n", "\t", "\r\n", "\f"])
def test_a_token_behind_an_escape_of_json(tmp_path, secret, between):
    text = json.dumps({"log": f"the token is:{between}{secret}{between}and no more"})
    (found,) = scan([made(tmp_path, "trainer_state.json", text)])
    assert found.kind.startswith(("a Hugging Face", "an OpenAI"))
    assert secret not in hide_in_text(text)


def test_a_token_in_an_address_with_escapes(tmp_path):
    assert kinds(tmp_path, "README.md", f"https://x.org/?t%3D{TOKEN}") == ["a Hugging Face token"]


def test_a_word_that_ends_like_the_beginning_of_a_token_is_none(tmp_path):
    assert kinds(tmp_path, "README.md", "outputs/multitask-Llama3AlphaKo8BInstruct and xhf_" + "a" * 34) == []


@pytest.mark.parametrize("name", ["outputs/task-Llama3AlphaKo8BInstruct", "me/risk-AnalysisLlama3Korean"])
def test_such_a_word_is_no_token_on_the_command_line(name):
    assert not is_token(name)
    assert is_token(TOKEN) and is_token(f"name={TOKEN}")


@pytest.mark.parametrize("wrap", [0, 76, 64])
@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("place", ["README.md", "trainer_state.json"])
def test_a_token_in_base64(tmp_path, wrap, shift, place):
    packed = base64.b64encode(f"{BEFORE}{' ' * shift} {TOKEN}\n{BEFORE}".encode()).decode()
    text = "\n".join(textwrap.wrap(packed, wrap)) if wrap else packed
    content = json.dumps({"image": text}) if place.endswith(".json") else f"![](data:image/png;base64,{text})"
    found = kinds(tmp_path, place, content)
    assert "a Hugging Face token in base64" in found


def test_base64_for_addresses(tmp_path):
    packed = base64.urlsafe_b64encode(f"~~~???~~~ {TOKEN} ~~~???~~~".encode()).decode()
    assert "_" in packed or "-" in packed
    assert "a Hugging Face token in base64" in kinds(tmp_path, "README.md", f"x {packed} y")


def test_base64_across_the_pieces_of_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(scan_files, "WINDOW", 1 << 12)
    monkeypatch.setattr(scan_files, "OVERLAP", 1 << 10)
    for before in range(2800, 3200, 37):
        packed = base64.b64encode(b"." * before + f" {TOKEN} ".encode() + b"." * 3000).decode()
        found = kinds(tmp_path, "README.md", f"x {packed}")
        assert found == ["a Hugging Face token in base64"], before


def test_base64_without_a_token_is_nothing(tmp_path):
    assert (
        kinds(tmp_path, "training_x.svg", f"<image href='{base64.b64encode(bytes(range(256)) * 9).decode()}'/>") == []
    )


@pytest.mark.parametrize(
    "content",
    [
        ("가나다라마바사 " * 400 + TOKEN).encode("utf-16-le"),
        ("가나다라마바사 " * 400 + TOKEN).encode("utf-16-be"),
        b"a" * 5000 + TOKEN.encode("utf-16-le"),
        TOKEN.encode("utf-32-le"),
        bz2.compress(TOKEN.encode() * 9),
        zlib.compress(TOKEN.encode() * 9),
        b"Apache License " * 900 + b"PK\x03\x04" + zlib.compress(TOKEN.encode()),
    ],
    ids=["utf-16-le", "utf-16-be", "utf-16 later", "utf-32", "bz2", "zlib", "zip behind text"],
)
def test_what_is_no_text_is_refused(tmp_path, content):
    (kind,) = kinds(tmp_path, "NOTICE", content)
    assert kind.startswith(NOT_SEARCHED) and "no UTF-8 text has" in kind


def test_old_korean_text_is_text(tmp_path):
    assert kinds(tmp_path, "NOTICE", "이 모델은 비상업적 용도로만 쓸 수 있다.\n".encode("cp949")) == []
    assert kinds(tmp_path, "NOTICE", f"토큰{TOKEN}이다".encode("cp949")) == ["a Hugging Face token"]


def test_a_secret_in_a_name_is_told_as_that(tmp_path):
    (found,) = scan([Upload(f"LICENSE-{TOKEN}", 1, content=b"x")])
    assert "made from" not in str(found) and "(hidden), its name" in str(found) and TOKEN not in repr(found)


# What is harmless.

DOUBTFUL = "# 모델\n\ndocker run -v /workspace/models:/models x\n커밋 8f14e45fceea167a5a36dedd4bea2543aaaabbbb\n"


def refused(allowed: Allowed, *uploads: Upload, **options) -> UserError:
    with pytest.raises(UserError) as caught:
        allowed.refuse_leaks(uploads, **options)
    return caught.value


def test_the_error_says_how_to_allow_what_is_harmless(tmp_path):
    error = refused(Allowed(), made(tmp_path, "README.md", DOUBTFUL))
    assert error.hint.endswith("--allow README.md:3 --allow README.md:4")


def test_what_was_allowed_goes_up_and_is_told(tmp_path):
    allowed = Allowed(("README.md:3", "README.md:4", "README.md:9"))
    allowed.refuse_leaks([made(tmp_path, "README.md", DOUBTFUL)])
    assert [note.partition(" (--allow")[2] for note in allowed.notes] == [" README.md:3)", " README.md:4)"]
    (unused,) = allowed.unused()
    assert unused.startswith("--allow README.md:9: nothing was found there; did you mean 'README.md:")


def test_only_the_line_that_was_named(tmp_path):
    error = refused(Allowed(("README.md:3", "LICENSE:4")), made(tmp_path, "README.md", DOUBTFUL))
    assert len(error.problems) == 1 and "line 4" in error.problems[0]


@pytest.mark.parametrize("secret", [TOKEN, KEY, "-----BEGIN PRIVATE " + "KEY-----", "Bearer " + KEY[8:]])
def test_a_known_token_is_never_allowed(tmp_path, secret):
    error = refused(Allowed(("README.md:1",)), made(tmp_path, "README.md", f"x {secret}"))
    assert "--allow" not in error.hint


def test_a_place_without_lines(tmp_path):
    from safetensors.torch import save_file
    from torch import zeros

    save_file({"w": zeros(2)}, tmp_path / "model.safetensors", {"format": "pt", "run": "/workspace/out/x"})
    weights = Upload("model.safetensors", 1, tmp_path / "model.safetensors")
    error = refused(Allowed(), weights)
    assert error.hint.endswith("--allow 'model.safetensors:__metadata__: run'")
    Allowed(("model.safetensors:__metadata__: run",)).refuse_leaks([weights])


def test_an_allowed_line_moves_in_the_card_made_from_it(tmp_path):
    allowed = Allowed(("README.md:3", "README.md:4"))
    allowed.refuse_leaks([made(tmp_path, "README.md", DOUBTFUL)])
    card = ("---\nlicense: mit\n---\n" + DOUBTFUL).encode()
    allowed.refuse_leaks([Upload("README.md", len(card), content=card)], by_line=False)
    other = b"# x\n\nls /workspace/secret-project/models\n"  # line 3 is another now
    error = refused(allowed, Upload("README.md", len(other), content=other), by_line=False)
    assert LOCAL_PATH in str(error)


# The command line.


@pytest.mark.parametrize(
    ("name", "likely"),
    [
        ("me/my model", "me/my-model"),
        ("https://huggingface.co/me/x", "me/x"),
        ("https://huggingface.co/me/x/tree/main", "me/x"),
        ("me/x--y", "me/x-y"),
        ("me/한국어", None),
        ("", None),
    ],
)
def test_a_name_that_the_hub_does_not_take(name, likely):
    with pytest.raises(WrongUsage) as caught:
        check_request(Request(Path("f"), name))
    assert caught.value.hint == (f"did you mean {likely}?" if likely else None)
    assert "repo_type" not in str(caught.value)


def test_a_tag_is_not_put_on_what_only_a_card_was_verified_of():
    with pytest.raises(WrongUsage, match="--card-only verifies the card alone"):
        check_request(Request(Path("f"), "me/x", card_only=True, tag="v1"))


@pytest.mark.parametrize("path", ["/data/minsu/x", "/data1/llama", "/nas/team/run", "/srv/models/x", "/ssd/out"])
def test_disks_of_a_lab_are_paths_of_a_machine(tmp_path, path):
    assert kinds(tmp_path, "README.md", f"saved in {path}") == [LOCAL_PATH]
    assert kinds(tmp_path, "README.md", f"saved in .{path}, https://x.org{path} and a{path}") == []
