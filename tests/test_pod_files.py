"""What is not run here, because it needs a pod: the image, SkyPilot's files, and the guide."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pathspec
import pytest
import yaml

from conftest import ROOT
from lf_registry.secret_text import hide_in_text, names_a_secret
from pod_table import BEGIN, END, table

FOLDER = ROOT / "recipes" / "runpod"
FILES = sorted(path for path in FOLDER.iterdir() if path.is_file())
GUIDES = sorted(FOLDER.glob("README*.md"))
SKY = FOLDER / "lora.sky.yaml"
VOLUME = FOLDER / "volume.sky.yaml"
#: Each instruction of the Dockerfile with its arguments, continued lines joined.
INSTRUCTIONS = [
    tuple(line.split(maxsplit=1))
    for line in re.sub(r"\\\n\s*", "", (FOLDER / "Dockerfile").read_text(encoding="utf-8")).splitlines()
    if line and not line.startswith("#")
]


def stays_outside(path: str) -> bool:
    """By .dockerignore: the last pattern that matches counts. Docker's begin at the root, as Git's behind a slash."""
    lines = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.strip()]
    anchored = [re.sub(r"^(!?)(?!\*|/|#)", r"\1/", line) for line in lines]
    return pathspec.PathSpec.from_lines("gitignore", anchored).match_file(path)


def copied() -> list[str]:
    found = []
    for name, arguments in INSTRUCTIONS:
        if name == "COPY":
            words = [word for word in arguments.split() if not word.startswith("--")]
            found += words[:-1]
    return found


def test_what_the_image_copies_exists_and_is_sent_to_docker():
    assert {"plugins/", "recipes/", "templates/", "datasets/", "requirements.lock"} <= set(copied())
    for source in copied():
        path = ROOT / source
        assert path.is_dir() if source.endswith("/") else path.is_file(), source
        assert not stays_outside(source + ("x.yaml" if source.endswith("/") else "")), source


def test_everything_that_is_shipped_reaches_the_image():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not listed:
        pytest.skip("not a Git checkout")
    shipped = ("plugins/", "recipes/", "templates/", "datasets/", "requirements.lock", "pyproject.toml", "Makefile")
    assert not [path for path in listed if path.startswith(shipped) and stays_outside(path)]


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".env",
        ".venv/bin/python",
        ".venv-3.13/bin/python",
        "hub.env",
        "outputs/ironman_lora/adapter_model.safetensors",
        "recipes/x.safetensors",
        "recipes/outputs/tokenizer.json",
        "recipes/.env",
        "recipes/runpod/.env.local",
        "recipes/runpod/id_ed25519",
        "plugins/lf_registry/__pycache__/cli.cpython-312.pyc",
        "datasets/token",
        "wandb/run/log.txt",
        "tests/test_cli.py",
        "notes.txt",
    ],
)
def test_secrets_and_results_stay_outside_the_image(path):
    assert stays_outside(path)


def test_no_secret_is_in_a_layer():
    for name, arguments in INSTRUCTIONS:
        if name in ("ARG", "ENV"):
            assert not [key for key in re.findall(r"(\w+)=", arguments) if names_a_secret(key)], arguments
        assert "--mount=type=secret" not in arguments and not re.search(r"HF_TOKEN|hf auth|login", arguments), arguments


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_for_pods_holds_a_token(path):
    text = path.read_text(encoding="utf-8")
    assert hide_in_text(text) == text


def test_the_project_is_installed_by_another_than_root():
    users = [arguments for name, arguments in INSTRUCTIONS if name == "USER"]
    assert users == ["1100:1100", "0:0"], "root again only for RunPod's start script"
    names = [name for name, _ in INSTRUCTIONS]
    runs = [place for place, name in enumerate(names) if name in ("RUN", "COPY")]
    assert all(names.index("USER") < place < len(names) - names[::-1].index("USER") - 1 for place in runs[1:])


def test_the_images_cuda_is_the_locks():
    """torch of the lock, the base image, the filter for pods: one CUDA version."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    major, minor = re.search(r"^nvidia-cuda-runtime==(\d+)\.(\d+)", lock, flags=re.M).groups()
    image = INSTRUCTIONS[0][1]
    assert f"-cu{major}{minor}0-" in image
    for path in (*GUIDES, FOLDER / "Dockerfile"):
        assert f"--min-cuda-version {major}.{minor}" in path.read_text(encoding="utf-8"), path
    for path in (*GUIDES, SKY):
        assert image in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("tool", [("hadolint", FOLDER / "Dockerfile"), ("shellcheck", *FOLDER.glob("*.sh"))], ids=str)
def test_linters_have_nothing_to_say(tool):
    if shutil.which(tool[0]) is None:
        pytest.skip(f"{tool[0]} is not installed")
    done = subprocess.run(tool, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_script_for_pods_can_be_started():
    assert all(os.access(path, os.X_OK) for path in FOLDER.glob("*.sh"))


def test_skypilots_files_fit_together():
    task, volume = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in (SKY, VOLUME))
    assert task["volumes"] == {"/workspace": volume["name"]}
    assert task["secrets"] == {"HF_TOKEN": None}, "given on the command line"
    for path in task["envs"].values():
        assert (ROOT / path).is_file(), path
    assert f"docker:{INSTRUCTIONS[0][1]}" == task["resources"]["image_id"]
    assert task["resources"]["autostop"] == {"idle_minutes": 10, "down": True}, "SkyPilot cannot stop a RunPod pod"


def test_skypilot_takes_the_files():
    sky = pytest.importorskip("sky")
    from sky.volumes.volume import Volume

    task = sky.Task.from_yaml(str(SKY))
    (resources,) = task.resources
    assert resources.use_spot and str(resources.cloud) == "RunPod"
    assert resources.accelerators == {"A100-80GB-SXM": 2}
    Volume.from_yaml_config(yaml.safe_load(VOLUME.read_text(encoding="utf-8"))).validate()


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_the_guides_table_is_what_estimate_says(guide):
    """Renew with UPDATE_GOLDEN=1."""
    text = guide.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    old, _, tail = rest.partition(END)
    new = f"\n{table(HEADERS[guide.name])}\n"
    if os.environ.get("UPDATE_GOLDEN"):
        guide.write_text(f"{head}{BEGIN}{new}{END}{tail}", encoding="utf-8")
        old = new
    assert old == new


HEADERS = {
    "README.md": "| recipe | pod | fullest GPU | volume | training | pod, an hour | training costs |",
    "README.ko.md": "| 레시피 | 팟 | 가장 찬 GPU | 볼륨 | 학습 시간 | 팟 시간당 | 학습 비용 |",
}


def code(path: Path) -> list[str]:
    """The commands of a guide, comments left out."""
    blocks = re.findall(r"^```\n(.*?)^```$", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [" ".join(re.split(r"\s+#", line)[0].split()) for line in lines]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.name)
def test_what_the_guide_names_exists(guide):
    text = guide.read_text(encoding="utf-8")
    for path in set(re.findall(r"\brecipes/[\w./-]+\.\w+", text)):
        assert (ROOT / path).is_file(), path
    for path in set(re.findall(r"\]\(((?!http)[\w.]+)\)", text)):
        assert (FOLDER / path).is_file(), path
    assert code(guide) == code(FOLDER / "README.md")


def test_the_guides_price_date_is_the_lists():
    as_of = yaml.safe_load((ROOT / "plugins/lf_registry/estimate/gpus.yaml").read_text(encoding="utf-8"))["as_of"]
    for guide in GUIDES:
        assert str(as_of) in guide.read_text(encoding="utf-8"), guide


def test_jobs_options_are_those_of_the_guide():
    job = pytest.importorskip("lf_registry.job.__main__")
    import typer

    options = {name for option in typer.main.get_command(job.app).params for name in option.opts}
    for guide in GUIDES:
        line = next(line for line in code(guide) if "job.sh" in line)
        assert set(re.findall(r"--[\w-]+", line)) <= options
