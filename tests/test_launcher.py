"""The launcher hook: what is set, what is checked, and that the user wins."""

from __future__ import annotations

import os
import types
from pathlib import Path

import pytest

from lf_registry.errors import UserError
from lf_registry.hooks import launcher

MODULE = types.SimpleNamespace(__file__="/opt/python/llamafactory/launcher.py")
RECIPE = "recipes/ironman_lora.yaml"


@pytest.fixture
def environment(monkeypatch):
    for name in ("FORCE_TORCHRUN", "NPROC_PER_NODE", "USE_RAY", "USE_KT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("llamafactory.extras.misc.get_device_count", lambda: 0)
    saved = dict(os.environ)
    yield monkeypatch
    os.environ.clear()
    os.environ.update(saved)


def settings() -> tuple[str | None, str | None]:
    return os.environ.get("FORCE_TORCHRUN"), os.environ.get("NPROC_PER_NODE")


def test_deepspeed_without_a_gpu_starts_one_process(environment):
    launcher.prepare([RECIPE], MODULE)
    assert settings() == ("1", "1")


def test_deepspeed_on_one_gpu_uses_it(environment):
    environment.setattr("llamafactory.extras.misc.get_device_count", lambda: 1)
    launcher.prepare([RECIPE], MODULE)
    assert settings() == ("1", None)


def test_what_the_user_has_set_wins(environment):
    environment.setenv("FORCE_TORCHRUN", "0")
    launcher.prepare([RECIPE], MODULE)
    assert settings() == ("0", None)
    environment.setenv("FORCE_TORCHRUN", "1")
    environment.setenv("NPROC_PER_NODE", "2")
    launcher.prepare([RECIPE], MODULE)
    assert settings() == ("1", "2")


def test_without_deepspeed_nothing_is_set(environment):
    launcher.prepare(["recipes/ironman_qlora.yaml"], MODULE)
    launcher.prepare([RECIPE, "deepspeed=null"], MODULE)
    launcher.prepare(["--stage", "sft"], MODULE)
    assert settings() == (None, None)


def test_deepspeed_from_the_command_line(environment):
    launcher.prepare(["recipes/ironman_qlora.yaml", "deepspeed=recipes/deepspeed/ds_z2.json"], MODULE)
    assert settings() == ("1", "1")


def test_ray_is_left_alone(environment):
    environment.setenv("USE_RAY", "1")
    launcher.prepare([RECIPE], MODULE)
    assert settings() == (None, None)


def test_a_space_in_an_argument_is_an_error(environment):
    with pytest.raises(UserError) as caught:
        launcher.prepare([RECIPE, "output_dir=my outputs/try 1"], MODULE)
    assert "'output_dir=my outputs/try 1' contains a space" in str(caught.value)


def test_a_space_where_llamafactory_is_installed_is_an_error(environment):
    with pytest.raises(UserError, match="breaks at the space in that path"):
        launcher.prepare([RECIPE], types.SimpleNamespace(__file__="/home/kim/my venv/llamafactory/launcher.py"))


def test_spaces_do_no_harm_without_torchrun(environment):
    launcher.prepare(["recipes/ironman_qlora.yaml", "run_name=my run"], MODULE)


def test_torchrun_of_this_environment_is_found(environment):
    environment.setenv("PATH", "/usr/bin")
    launcher.prepare([RECIPE], MODULE)
    first = Path(os.environ["PATH"].split(os.pathsep)[0])
    assert (first / "torchrun").exists()


def test_unknown_names_are_all_reported_before_anything_starts(environment):
    with pytest.raises(UserError) as caught:
        launcher.prepare([RECIPE, "template=lama3-ironman", "dataset=ironmen", "deepspeed=ds_z3.json"], MODULE)
    text = str(caught.value)
    assert "template: 'lama3-ironman' does not exist; did you mean 'llama3-ironman'" in text
    assert "dataset: 'ironmen' is not in dataset_info.json; did you mean 'ironman'" in text
    assert "deepspeed: ds_z3.json does not exist" in text
    assert len(caught.value.problems) == 3


def test_unknown_keys_are_reported_with_the_names(environment):
    changes = ["num_train_epoch=3", "evaluation_strategy=epoch", "template=lama3-ironman", "hub_token=" + "x" * 20]
    with pytest.raises(UserError) as caught:
        launcher.prepare([RECIPE, *changes], MODULE)
    said = [problem.removeprefix(f"{RECIPE}: ").partition(":")[0] for problem in caught.value.problems]
    assert said == ["num_train_epoch", "evaluation_strategy", "template"]
    assert "did you mean 'num_train_epochs'" in str(caught.value)
    next_step = f"lf-registry check {RECIPE} {' '.join(changes[:3])} --no-data"
    assert caught.value.hint.startswith(next_step), "no token in it"
    environment.setenv("USE_MCA", "1")
    launcher.prepare([RECIPE, "tensor_model_parallel_size=2"], MODULE)


def test_a_mistyped_chat_recipe(environment):
    module = types.SimpleNamespace(launch=lambda: pytest.fail("started"), subprocess=None)
    launcher.apply(module)
    environment.setattr("sys.argv", ["llamafactory-cli", "chat", "recipes/chat/ironmann.yaml"])
    with pytest.raises(UserError, match=r"there is no such recipe; did you mean 'recipes/chat/ironman\.yaml'"):
        module.launch()


def test_an_empty_argument_is_an_error(environment):
    with pytest.raises(UserError, match="the argument '' is empty"):
        launcher.prepare(["--deepspeed", "x.json", "--report_to", ""], MODULE)


def test_a_deepspeed_configuration_inside_the_recipe(environment):
    launcher.prepare(["recipes/ironman_qlora.yaml", 'deepspeed="{stage:2}"'], MODULE)
    assert settings() == ("1", "1")


def test_tokenized_data_needs_no_dataset(environment, tmp_path):
    (tmp_path / "dataset_info.json").write_text("{}")
    launcher.prepare([RECIPE, "dataset=gone", f"tokenized_path={tmp_path}"], MODULE)
    with pytest.raises(UserError, match="'gone'"):
        launcher.prepare([RECIPE, "dataset=gone", f"tokenized_path={tmp_path / 'empty'}"], MODULE)


def test_the_recipe_itself_is_misspelt(environment):
    with pytest.raises(UserError, match=r"did you mean 'recipes/ironman_lora\.yaml'"):
        launcher.prepare(["recipes/ironman_lra.yaml"], MODULE)


def test_an_override_without_a_value(environment):
    with pytest.raises(UserError, match="'--bf16' is not an override"):
        launcher.prepare([RECIPE, "--bf16"], MODULE)


def test_the_launcher_is_still_the_one_we_hook():
    """Fails loudly when LLaMA-Factory changes what the hook relies on."""
    import inspect

    import llamafactory.cli
    import llamafactory.launcher as module

    assert module.launch.__module__ == "lf_registry.hooks.launcher"
    source = inspect.getsource(module)
    assert 'is_env_enabled("FORCE_TORCHRUN")' in source
    assert 'os.getenv("NPROC_PER_NODE", str(get_device_count()))' in source
    assert 'args=" ".join(sys.argv[1:])' in source and ".split()" in source
    assert "launcher.launch()" in inspect.getsource(llamafactory.cli)
