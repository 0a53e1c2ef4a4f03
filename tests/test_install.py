"""Installing and uninstalling: the plugin is active after either kind of install, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from conftest import ROOT

PROBE = "from llamafactory.data.template import TEMPLATES; print('llama3-ironman' in TEMPLATES)"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture
def venv(tmp_path, uv):
    """An empty environment that sees this one's packages, except ours: a path in a .pth does not run the .pth there."""
    folder = tmp_path / "venv"
    subprocess.run([uv, "venv", "--quiet", "--offline", "--python", sys.executable, folder], check=True)
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    (packages / "zz_others.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        if command[0] == "pip":
            command = (uv, *command, "--quiet", "--offline", "--python", str(folder / "bin" / "python"))
        else:
            command = (str(folder / "bin" / command[0]), *command[1:])
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    run.packages = packages
    return run


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_wheel(venv, wheel):
    assert ok(venv("python", "-c", "import sys; print('lf_registry' in sys.modules)")) == "False\n"
    ok(venv("pip", "install", "--no-deps", str(wheel)))
    assert ok(venv("python", "-c", PROBE)).endswith("True\n")
    listed = ok(venv("lf-registry", "list"))
    for word in ("kanana_qa", "ironman_eval", "ironman_lora.yaml", "site-packages/lf_registry/data/templates"):
        assert word in listed
    ok(venv("pip", "uninstall", "lf-registry"))
    started = venv("python", "-c", "import sys; print([m for m in sys.modules if 'lf_' in m])")
    assert (started.stdout, started.stderr) == ("[]\n", "")
    assert not [path.name for path in venv.packages.iterdir() if "lf_registry" in path.name]


def test_an_editable_install(venv):
    ok(venv("pip", "install", "--no-deps", "--no-build-isolation", "-e", str(ROOT)))
    assert ok(venv("python", "-c", PROBE)).endswith("True\n")
    code = "import lf_registry.paths as p; print(p.base_root().origin, p.__file__)"
    assert ok(venv("python", "-c", code)) == f"checkout {ROOT / 'plugins' / 'lf_registry' / 'paths.py'}\n"
    ok(venv("pip", "uninstall", "lf-registry"))
    started = venv("python", "-c", "import sys; print([m for m in sys.modules if 'lf_' in m])")
    assert (started.stdout, started.stderr) == ("[]\n", "")


def test_a_checkout_that_was_moved_away_does_not_disturb_python(venv):
    (venv.packages / "lf_registry_autoload.pth").write_bytes(
        (ROOT / "plugins" / "lf_registry_autoload.pth").read_bytes()
    )
    started = venv("python", "-c", "print('fine')")
    assert (started.stdout, started.stderr) == ("fine\n", "")


def test_what_is_in_the_wheel(wheel):
    import zipfile

    names = zipfile.ZipFile(wheel).namelist()
    assert "lf_registry_autoload.pth" in names
    for folder in ("templates", "datasets", "recipes"):
        shipped = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert shipped <= {name.removeprefix("lf_registry/data/") for name in names}
    package = {str(path.relative_to(ROOT / "plugins")) for path in (ROOT / "plugins" / "lf_registry").rglob("*.*")}
    assert {name for name in package if "__pycache__" not in name} <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]
