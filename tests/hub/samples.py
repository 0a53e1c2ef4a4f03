"""Code that a client runs, and how a test looks at what came of it."""

from __future__ import annotations

import pytest

MODES = pytest.mark.parametrize("mode", ["lfs", "xet"])
CREATE = "api.create_repo('tester/m', private=True, exist_ok=True)\n"
UPLOAD = CREATE + "print(api.upload_folder(repo_id='tester/m', folder_path=args[0]).oid)\n"
DOWNLOAD = "from huggingface_hub import snapshot_download\nsnapshot_download('tester/m', local_dir=args[1])\n"


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.parts[len(folder.parts)] not in (".cache", ".gitattributes")
    }


def succeeded(run):
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def calls(hub, method, part):
    return [call for call in hub.calls if call.method == method and part in call.path]


def large_bytes(hub):
    """The bytes of large files that came in, whatever way they came."""
    return sum(call.bytes_in for call in hub.calls if call.method == "PUT" and call.host == "localhost")
