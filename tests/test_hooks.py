"""The plugin in processes that import LLaMA-Factory, and in those that do not."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys

import pytest

from lf_registry.autoload import HOOKS, HookFinder
from lf_registry.errors import UserError
from lf_registry.models import load_models
from lf_registry.templates import load_templates

PROBE = """
import json, sys
from llamafactory.data.template import TEMPLATES
from llamafactory.extras.constants import DEFAULT_TEMPLATE, SUPPORTED_MODELS
found = {"templates": list(TEMPLATES), "models": list(SUPPORTED_MODELS), "default": DEFAULT_TEMPLATE}
print("RESULT" + json.dumps(found))
"""


def result(process: subprocess.CompletedProcess[str]) -> dict:
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout.split("RESULT")[1])


def test_a_plain_python_process_knows_templates_and_models(python):
    found = result(python(PROBE))
    assert set(load_templates()) <= set(found["templates"])
    for name, model in load_models().items():
        assert name in found["models"] and found["default"][name] == model.template


def test_switched_off(python):
    found = result(python(PROBE, LF_REGISTRY_DISABLE="1"))
    assert not set(load_templates()) & set(found["templates"])
    assert not set(load_models()) & set(found["models"])


def test_a_users_folder_is_active_in_every_process(python, project):
    project("templates/mine.yaml", "name: mine\nextends: llama3\ndefault_system: x\n")
    assert "mine" in result(python(PROBE, cwd=project.root))["templates"]


def test_a_broken_template_breaks_only_llamafactory_and_says_why(python, project):
    project("templates/mine.yaml", "name: mine\nextends: lama3\ndefault_system: x\n")
    assert python("import json", cwd=project.root).stderr == ""
    broken = python("import llamafactory.data.template", cwd=project.root)
    assert broken.returncode == 1
    assert "error: " in broken.stderr and "mine.yaml: extends: 'lama3' does not exist" in broken.stderr
    assert "Traceback" not in broken.stderr


def test_starting_python_imports_nothing_more(python):
    code = "import sys; print(sorted(m for m in sys.modules if m.startswith('lf_registry')), len(sys.modules))"
    on, off = python(code), python(code, LF_REGISTRY_DISABLE="1")
    names, count = on.stdout.rsplit(" ", 1)
    assert names == "['lf_registry', 'lf_registry.autoload']" and on.stderr == ""
    assert int(count) - int(off.stdout.rsplit(" ", 1)[1]) == 2


def test_the_finder_is_installed_once_and_finds_only_what_is_hooked():
    assert sum(isinstance(finder, HookFinder) for finder in sys.meta_path) == 1
    assert HookFinder().find_spec("json") is None
    assert HookFinder().find_spec("llamafactory.nothing") is None


def test_source_and_type_of_a_hooked_module_stay_its_own():
    import llamafactory.data.template as module

    assert inspect.getsource(module).startswith("# Copyright")
    assert module.__spec__.loader.__class__.__name__ == "SourceFileLoader"


def test_llamafactory_has_the_modules_and_functions_that_are_hooked():
    """Fails loudly when LLaMA-Factory moves or changes them."""
    from importlib.util import find_spec

    import llamafactory.data.parser
    from llamafactory.data import template
    from llamafactory.extras import constants

    assert all(find_spec(name) for name in HOOKS)
    parameters = list(inspect.signature(template.Template._encode).parameters)
    assert parameters == ["self", "tokenizer", "messages", "system", "tools"]
    assert list(inspect.signature(template.Template._convert_elements_to_ids).parameters) == [
        "self",
        "tokenizer",
        "elements",
    ]
    assert next(iter(inspect.signature(constants.register_model_group).parameters)) == "models"
    fix = inspect.getsource(template.Template.fix_jinja_template)
    assert "self.replace_jinja_template" in fix and "self._get_jinja_template(tokenizer)" in fix
    assert llamafactory.data.parser.get_dataset_list.__module__ == "lf_registry.hooks.datasets"
    from llamafactory.data import loader

    assert loader.get_dataset_list is llamafactory.data.parser.get_dataset_list


def test_an_unknown_template_says_which_was_meant(llama3):
    from llamafactory.data import get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments

    with pytest.raises(UserError, match="did you mean 'llama3-ironman'"):
        get_template_and_fix_tokenizer(llama3, DataArguments(template="lama3-ironman"))


def test_an_unknown_dataset_says_which_was_meant_and_where_it_is(project):
    from llamafactory.data.parser import get_dataset_list

    with pytest.raises(UserError, match=r"there is no such file, so no dataset is known"):
        get_dataset_list(["ironman"], ".")
    project("dataset_info.json", {"mine": {"file_name": "mine.json"}, "empty": {"file_name": "empty.json"}})
    project("empty.json", "[]\n")
    with pytest.raises(UserError) as caught:
        get_dataset_list(["mime", "ironman", "mine", "empty"], ".")
    mime, ironman, mine, empty = caught.value.problems
    assert "did you mean 'mine'" in mime
    assert "set dataset_dir to that folder" in ironman
    assert "its file mine.json does not exist" in mine
    assert "still empty" in empty


def test_names_that_llamafactory_accepts_are_not_our_business():
    from llamafactory.data.parser import get_dataset_list

    assert [attribute.dataset_name for attribute in get_dataset_list(["a/b"], "ONLINE")] == ["a/b"]
    assert len(get_dataset_list(["ironman", "kanana_qa"], ".")) == 2
    assert get_dataset_list(None, "nowhere") == []


def test_a_template_can_be_sent_to_a_fresh_process(python, tmp_path):
    """Spawned and Ray workers unpickle a template before anything else has imported LLaMA-Factory."""
    import pickle

    from llamafactory.data.template import TEMPLATES

    (tmp_path / "template.pickle").write_bytes(pickle.dumps(TEMPLATES["llama3-ironman"]))
    code = f"import pickle; t = pickle.load(open({str(tmp_path / 'template.pickle')!r}, 'rb')); print(type(t).__name__)"
    code += "; from llamafactory.data.template import TEMPLATES; print(t == TEMPLATES['llama3-ironman'])"
    done = python(code)
    assert done.stdout.splitlines()[-2:] == ["RegistryTemplate", "True"], done.stderr[-2000:]


KANANA = """
from transformers import LlamaConfig
config = LlamaConfig(hidden_size=1792, num_attention_heads=24, head_dim=128)
print(config.head_dim)
"""


def test_heads_wider_than_the_hidden_size_says(python):
    """Kanana 2.1B. When the stock half of this fails, Transformers has mended it: delete the hook."""
    assert python(KANANA).stdout == "128\n"
    stock = python(KANANA, LF_REGISTRY_DISABLE="1")
    assert stock.returncode == 1 and "is not a multiple of the number of attention heads" in stock.stderr


def test_heads_that_cannot_be_right_are_refused_as_before(python):
    wrong = python(KANANA.replace(", head_dim=128", ""))
    assert wrong.returncode == 1 and "is not a multiple of the number of attention heads" in wrong.stderr


def test_what_the_saving_hooks_rely_on():
    """Fails loudly when LLaMA-Factory or Transformers change it."""
    import transformers.trainer
    from llamafactory import launcher
    from llamafactory.hparams import parser
    from llamafactory.train import tuner

    original = inspect.unwrap(tuner._training_function)
    assert tuner._training_function is not original and list(inspect.signature(original).parameters) == ["config"]
    source = inspect.getsource(original)
    assert 'callbacks: list[Any] = config.get("callbacks")' in source and "get_train_args(args)" in source
    source = inspect.getsource(parser)
    assert "last_checkpoint = get_last_checkpoint(training_args.output_dir)" in source
    assert "model_args, data_args, training_args, finetuning_args, generating_args = _parse_train_args(args)" in source
    source = inspect.getsource(launcher)
    assert set(re.findall(r"subprocess\.(\w+)", source)) == {"run"} and source.count("env=env,\n") == 2
    source = inspect.getsource(transformers.trainer.Trainer._save_checkpoint)
    order = [
        "self.save_model(",
        "_save_optimizer_and_scheduler(",
        "_save_rng_state(",
        "save_to_json(",
        "rotate_checkpo",
    ]
    places = [source.index(step) for step in order]
    assert places == sorted(places), "the order of a save, from which resume/judge.py concludes what was not finished"


def test_the_watch_is_told_of_a_step_after_the_callback_that_decides_to_save(monkeypatch):
    import importlib
    import logging
    from types import SimpleNamespace

    from lf_registry.autoload import HOOKS

    monkeypatch.setenv("LF_REGISTRY_WATCH", "1")
    seen = []

    def training_function(config):
        seen.extend(type(callback).__name__ for callback in config["callbacks"])

    module = SimpleNamespace(
        __name__="llamafactory.train.tuner", _training_function=training_function, logger=logging.getLogger()
    )
    for name in HOOKS["llamafactory.train.tuner"].split():
        if not name.endswith("ray_cluster"):
            importlib.import_module(name).apply(module)
    module._training_function({"args": {}, "callbacks": []})
    assert seen.index("SavingCallback") < seen.index("WatchCallback")
