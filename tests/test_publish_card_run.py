"""The code in a card works: it is executed on a tiny model, with the repositories' ids replaced by folders."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from pathlib import Path

import pytest

from card_folders import GOLDEN, LLAMA3, artifact
from lf_registry.publish.card.make import make_card
from lf_registry.recipes import read_recipe

RECIPE = "recipes/ironman_lora.yaml"
REPO = "someone/Llama-3-tiny"
CORPUS = ["아이언맨은 수트를 입는다. 자비스가 대답한다.", "안녕하세요, 자기소개를 해 주세요."] * 20


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A base, an adapter of it with the persona's chat template, and PEFT's own merge."""
    from peft import LoraConfig, PeftModel, get_peft_model

    from lf_registry.tiny.model import build_model, load

    root = tmp_path_factory.mktemp("trained")
    build_model(root / "base", CORPUS, hidden=96, layers=1)
    model, tokenizer = load(root / "base")
    tokenizer.eos_token = "<|eot_id|>"
    tokenizer.chat_template = (GOLDEN / "llama3-ironman.jinja").read_text("utf-8").removesuffix("\n")
    peft = get_peft_model(
        model, LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    )
    peft.save_pretrained(root / "adapter")
    merged = PeftModel.from_pretrained(load(root / "base")[0], root / "adapter").merge_and_unload()
    merged.save_pretrained(root / "merged")
    for folder in ("adapter", "merged"):
        tokenizer.save_pretrained(root / folder)
    return root


def code(text: str) -> str:
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return block


def answer(block: str, **folders: Path) -> tuple[str, dict]:
    """Execute a block with ids replaced by folders; returns what it printed, and its variables."""
    for name, folder in ((REPO, folders["repo"]), (LLAMA3, folders["base"])):
        block = block.replace(f'"{name}"', json.dumps(str(folder)))
    assert "someone/" not in block and "max_new_tokens=256" in block
    printed, variables = io.StringIO(), {}
    with contextlib.redirect_stdout(printed):
        exec(block.replace("max_new_tokens=256", "max_new_tokens=8, do_sample=False"), variables)
    return printed.getvalue(), variables


@pytest.mark.parametrize("kind", ["adapter", "merged"])
def test_the_code_of_the_card(trained, no_cached_cards, kind):
    folder = artifact(
        trained / kind, "adapter" if kind == "adapter" else "model", LLAMA3, "LORA" if kind == "adapter" else None
    )
    text, _ = make_card(folder, read_recipe(RECIPE), REPO, license=None, public=False, existing=None)
    said, variables = answer(code(text), repo=trained / kind, base=trained / "base")
    prompt = variables["tokenizer"].decode(variables["inputs"]["input_ids"][0])
    assert prompt.startswith("<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n너는 토니 스타크다.")
    assert prompt.count("<|begin_of_text|>") == 1 and prompt.endswith(
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    assert "자기소개를 해 주세요." in prompt
    assert variables["output"].shape[1] > variables["inputs"]["input_ids"].shape[1]
    assert said.endswith("\n") and "<|" not in said


def test_adapter_and_merged_model_answer_alike(trained, no_cached_cards):
    answers = set()
    for kind, peft in (("adapter", "LORA"), ("merged", None)):
        folder = artifact(trained / kind, "adapter" if peft else "model", LLAMA3, peft)
        text, _ = make_card(folder, read_recipe(RECIPE), REPO, license=None, public=False, existing=None)
        answers.add(answer(code(text), repo=trained / kind, base=trained / "base")[0])
    assert len(answers) == 1


def test_a_model_without_a_chat_template_goes_on_with_a_text(trained, no_cached_cards, tmp_path):
    folder = shutil.copytree(trained / "merged", tmp_path / "plain")
    (folder / "chat_template.jinja").unlink()
    text, _ = make_card(
        artifact(folder, "model", LLAMA3), read_recipe(RECIPE), REPO, license=None, public=False, existing=None
    )
    assert "apply_chat_template" not in text and "/v1/completions" in text
    _, variables = answer(code(text), repo=folder, base=trained / "base")
    assert "자기소개를 해 주세요." in variables["tokenizer"].decode(variables["inputs"]["input_ids"][0])
