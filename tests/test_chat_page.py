"""``lf-registry demo``: a memorized answer streams from the tuned side, the base stays as it is, a browser shows it."""

from __future__ import annotations

import copy
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lf_registry.chat_page.pair import Decoding, Pair, base_of, load_pair, stop_ids
from lf_registry.chat_page.persona import default_system, template_without
from lf_registry.cli import app
from lf_registry.errors import UserError
from lf_registry.show import _registered, template_text
from lf_registry.templates import load_templates

QUESTION, ANSWER = "넌 누구야?", "난 토니 스타크야. 아이언맨이기도 하지."
ASKED = [{"role": "user", "content": QUESTION}]


@pytest.fixture(scope="module")
def folders(tmp_path_factory, bundled_texts) -> tuple[Path, Path]:
    """(base, adapter): the adapter has learned one answer by heart."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from lf_registry.tiny.model import build_model

    root = tmp_path_factory.mktemp("chat")
    base, adapter = root / "base", root / "adapter"
    build_model(base, bundled_texts, hidden=96)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = template_text("llama3-ironman", jinja=True, tokenizer=str(base))
    prompt = tokenizer.apply_chat_template(ASKED, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(prompt + ANSWER + tokenizer.eos_token, add_special_tokens=False, return_tensors="pt").input_ids
    labels = ids.clone()
    labels[:, : len(tokenizer(prompt, add_special_tokens=False).input_ids)] = -100
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():  # as large as in a trained model, or no adapter could make one token likely
        model.get_input_embeddings().weight.mul_(20)
    model.save_pretrained(base)
    targets = ["q_proj", "v_proj", "up_proj", "down_proj"]
    model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=targets, task_type="CAUSAL_LM"))
    model.base_model.model.config.use_cache = False
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-2)
    for _ in range(80):
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss < 0.1
    model.peft_config["default"].base_model_name_or_path = str(base)
    model.save_pretrained(adapter)
    tokenizer.save_pretrained(adapter)
    return base, adapter


@pytest.fixture(scope="module")
def pair(folders) -> Pair:
    return load_pair(folders[1], None)


def said(pair: Pair, side: str, **options) -> str:
    decoding = Decoding(max_new_tokens=40, **options.pop("decoding", {}))
    return "".join(pair.stream(side, ASKED, decoding, persona=options.pop("persona", True))).strip()


def test_the_tuned_side_streams_what_was_learned_and_the_base_does_not(pair: Pair):
    assert said(pair, "tuned") == ANSWER
    assert said(pair, "base") != ANSWER
    assert said(pair, "tuned") == ANSWER, "the adapter stayed switched off"


def test_the_answer_comes_in_pieces(pair: Pair):
    pieces = list(pair.stream("tuned", ASKED, Decoding(max_new_tokens=40), persona=True))
    assert len([piece for piece in pieces if piece]) > 2


def test_the_base_is_the_base(pair: Pair, folders):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folders[0]), AutoTokenizer.from_pretrained(folders[0])
    inputs = tokenizer(pair.prompt("base", ASKED, persona=True), add_special_tokens=False, return_tensors="pt")
    with torch.no_grad():
        output = model.generate(
            **inputs, max_new_tokens=40, do_sample=False, eos_token_id=stop_ids(pair.sides["base"]), pad_token_id=0
        )
    plain = tokenizer.decode(output[0, inputs.input_ids.shape[1] :], skip_special_tokens=True).strip()
    assert said(pair, "base") == plain


def test_the_persona_stands_before_both_or_neither(pair: Pair):
    persona = load_templates()["llama3-ironman"].spec.default_system.strip()
    assert pair.persona == persona
    for side in ("base", "tuned"):
        assert persona in pair.prompt(side, ASKED, persona=True)
        off = pair.prompt(side, ASKED, persona=False)
        assert "스타크" not in off
        assert off.endswith(pair.prompt(side, ASKED, persona=True).rpartition(QUESTION)[2])


def test_a_seed_repeats_a_sampled_answer(pair: Pair):
    hot = {"temperature": 50.0, "top_p": 1.0}
    first = said(pair, "base", decoding=hot | {"seed": 1})
    assert said(pair, "base", decoding=hot | {"seed": 1}) == first
    assert said(pair, "base", decoding=hot | {"seed": 2}) != first


def test_who_stops_reading_stops_the_model(pair: Pair):
    pieces = pair.stream("base", ASKED, Decoding(max_new_tokens=100_000), persona=True)
    next(pieces)
    pieces.close()
    assert said(pair, "tuned") == ANSWER


def test_a_models_failure_is_raised(pair: Pair, monkeypatch):
    def fail(**_):
        raise MemoryError("no room")

    monkeypatch.setattr(pair.sides["tuned"].model, "generate", fail)
    with pytest.raises(MemoryError, match="no room"):
        said(pair, "tuned")


def test_a_merged_model_knows_its_base_from_the_report(folders, tmp_path):
    merged = tmp_path / "merged"
    shutil.copytree(folders[0], merged)
    shutil.copy(folders[1] / "chat_template.jinja", merged)
    assert base_of(merged) is None
    assert list(load_pair(merged, None).sides) == ["tuned"]
    (merged / "merge_report.json").write_text(f'{{"base": "{folders[0]}"}}')
    pair = load_pair(merged, None)
    assert set(pair.sides) == {"base", "tuned"}
    assert pair.sides["base"].model is not pair.sides["tuned"].model


@pytest.mark.parametrize("name", sorted(load_templates()))
def test_the_persona_of_every_template_is_found_and_taken_out(name: str, llama3):
    expected = _registered(load_templates()[name]).chat_format().default_system.strip()
    tokenizer = copy.deepcopy(llama3)
    tokenizer.chat_template = template_text(name, jinja=True)
    assert default_system(tokenizer) == expected
    if expected:
        tokenizer.chat_template = template_without(tokenizer, expected)
        assert default_system(tokenizer) == ""


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    result = CliRunner().invoke(app, ["demo", str(tmp_path)])
    assert isinstance(result.exception, UserError)
    assert "adapter_config.json" in str(result.exception)


def test_a_base_that_is_not_there_is_refused_before_the_page_opens(folders, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)  # a page that is started all the same would never end
    result = CliRunner().invoke(app, ["demo", str(folders[0]), "--base", str(folders[0]) + "/none"])
    assert isinstance(result.exception, UserError)
    assert "correct --base" in (result.exception.hint or "")


def test_without_streamlit_it_says_what_to_install(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "streamlit", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = CliRunner().invoke(app, ["demo", str(folders[1])])
    assert "lf-registry[demo]" in str(result.exception)


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_in_a_browser_a_question_gets_two_answers(folders):
    pytest.importorskip("streamlit")
    api = pytest.importorskip("playwright.sync_api")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from lf_registry.cli import main; main()", "demo", str(folders[1])]
    served = subprocess.Popen([*command, "--port", str(port)])
    try:
        with api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page()
            page.set_default_timeout(120_000)
            _open(page, f"http://127.0.0.1:{port}", served)
            box = page.get_by_placeholder("Ask both")
            box.fill(QUESTION)
            box.press("Enter")
            page.get_by_text(ANSWER).wait_for()
            page.get_by_text("Stop", exact=True).wait_for(state="hidden")
            messages = page.get_by_test_id("stChatMessage").all_inner_texts()
            browser.close()
        assert [text.strip().endswith(QUESTION) for text in messages] == [True, False, False]
        assert messages[2].strip().endswith(ANSWER)
        assert messages[1].strip()
    finally:
        served.send_signal(signal.SIGINT)
        try:
            assert served.wait(timeout=60) == 0
        finally:
            served.kill()


def _open(page, address: str, served: subprocess.Popen) -> None:
    while served.poll() is None:
        try:
            page.goto(address)
        except Exception:  # not listening yet
            time.sleep(0.5)
        else:
            return
    raise AssertionError("the page was not served")
