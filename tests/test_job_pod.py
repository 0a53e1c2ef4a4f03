"""What a job does to the pod that it runs on, and what it asks of the machine before it begins."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from job_runs import POD, Desk
from lf_registry.job.machine import without_peer_access
from lf_registry.job.places import Volume, find_volume
from test_job import wait_for

STOP, DELETE = "runpodctl pod stop pod123", "runpodctl pod delete pod123"
QUICK = ("--grace", "1s")


def pod_calls(desk: Desk) -> list[str]:
    return [line for line in desk.calls if line.startswith("runpodctl")]


def test_on_a_volume_everything_that_must_survive_does_and_the_pod_stops(gpus: Desk, volume: Path):
    home = Path(gpus.environment["HOME"]) / ".cache/huggingface"
    home.mkdir(parents=True)
    (home / "token").write_text("hf_" + "x" * 34)
    words = ("recipe.yaml", "--merge", "merge.yaml", "--publish", "me/try", "--volume", str(volume), "--stop")
    done = gpus.job(*words, **POD, RUNPOD_GPU_COUNT="2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (volume / "outputs/try.job/job.log").is_file() and (volume / "outputs/merged/model.safetensors").is_file()
    assert gpus.seen["HF_HOME"] == f"{volume}/.cache/huggingface" and gpus.seen["TMPDIR"] == "/tmp"
    assert gpus.seen["HF_TOKEN_PATH"] == str(home / "token")  # a token of `hf auth login` is found all the same
    assert gpus.seen["NCCL_P2P_DISABLE"] == "1" and "GPUs 0 and 1 have no NVLink" in done.stdout
    assert "2x NVIDIA A100-SXM4-80GB" in done.stdout and "effective batch 2 x 1 x 2 = 4" in done.stdout
    assert "listed 20" in done.stdout  # the price with its date
    assert gpus.calls[-2:] == [
        f"lf-registry publish {volume}/outputs/merged me/try --recipe recipe.yaml",
        STOP,
    ]
    assert "x" * 34 not in done.stdout
    log = (volume / "outputs/try.job/job.log").read_text()
    assert "is published as me/try, verified" in log and "stop of pod pod123 asked for" in log
    again = gpus.job(*words, *QUICK, **POD)  # somebody starts the pod to look at the result: there is time to say so
    assert "there was nothing left to do: the pod is to stop in 1 s" in again.stdout and gpus.calls[-1] == STOP
    assert not list(Path(gpus.environment["LF_REGISTRY_JOBS"]).iterdir())


@pytest.mark.parametrize(
    ("words", "environment", "calls", "said"),
    [
        (["--stop"], {"TRAIN": "fail"}, [STOP], "the job failed: the pod is to stop in 1 s"),
        (["--terminate"], {}, [STOP], "--terminate would delete what was trained"),
        (["--terminate", "--network-volume"], {"TRAIN": "fail"}, [DELETE], "the job failed"),
        (["--terminate", "--publish", "me/try"], {}, [DELETE], "verified"),
        (["--terminate", "--publish", "me/try"], {"FAIL": "publish"}, [STOP], "stopped instead of terminated"),
        (["--stop", "--terminate"], {}, [STOP], "do not go together"),
        (["--stop", "output_dir="], {}, [STOP], "output_dir: is missing"),
        (["--stop", "--grace", "soon"], {}, None, "write seconds, minutes or hours"),
        (
            ["--stop", "--publish", "me/try"],
            {"LF_REGISTRY_JOBS": "/proc/none"},
            [STOP],
            "asked for",
        ),  # as on a disk that is full
        (["--stop"], {"PYTHON": "/bin/false"}, [STOP], "lf-registry is not installed for /bin/false"),
        (["--stop"], {"FAKE_RUNPODCTL": "old"}, [STOP, "runpodctl stop pod pod123"], "asked for"),
    ],
)
def test_the_pod_stops_after_the_end_however_the_job_ended(desk: Desk, volume, words, environment, calls, said):
    if calls is None:  # that grace time is five minutes: not waited for
        desk.environment["PATH"] = f"{Path(desk.environment['PATH'].split(':')[0])}:{os.environ['PATH']}"
        tools = Path(desk.environment["PATH"].split(":")[0])
        (tools / "sleep").write_text("#!/bin/sh\n")
        (tools / "sleep").chmod(0o755)
        calls = [STOP]
    grace = [] if "--grace" in words else QUICK
    done = desk.job("recipe.yaml", "--volume", str(volume), *words, *grace, **POD, HF_TOKEN="x", **environment)
    assert pod_calls(desk) == calls, done.stdout + done.stderr
    assert said in done.stdout + done.stderr
    assert bool(done.returncode) == ("verified" not in said and "asked for" not in said)
    if "is missing" in said:  # before there is a log of its own: nobody sees the terminal of a pod that has stopped
        kept = (volume / "job.sh.log").read_text()
        assert "job: job.sh recipe.yaml output_dir= --stop" in kept and said in kept and "stop of pod pod123" in kept


def test_without_any_place_for_its_notes_a_job_does_not_begin_and_the_pod_stops(desk: Desk):
    tools = Path(desk.environment["PATH"].split(":")[0])
    (tools / "mktemp").symlink_to("/bin/false")
    done = desk.job("recipe.yaml", "--stop", *QUICK, **POD)
    assert done.returncode == 1 and desk.calls == [STOP] and "so nothing was started" in done.stderr


def test_a_pod_that_cannot_be_stopped_is_said_loudly(desk: Desk, volume: Path):
    done = desk.job("recipe.yaml", "--volume", str(volume), "--stop", **POD, FAKE_RUNPODCTL="fail")
    assert done.returncode == 1 and "THE POD STILL RUNS AND COSTS" in done.stdout.splitlines()[-1]
    assert len(pod_calls(desk)) == 8


def test_the_only_copy_is_never_lost(desk: Desk):
    """Without a volume: refused before the training, and not stopped when publishing fails."""
    refused = desk.job("recipe.yaml", "--stop", *QUICK, **POD)
    assert refused.returncode == 1 and "lost when the pod stops, and it is not published" in refused.stderr
    assert desk.verbs() == ["runpodctl pod"]  # nothing was trained, so nothing is lost
    words = ("recipe.yaml", "--publish", "me/try", "--stop", *QUICK)
    assert "there is no Hugging Face token" in desk.job(*words, **POD).stdout
    assert desk.verbs() == ["runpodctl pod"]
    failed = desk.job(*words, **POD, HF_TOKEN="x", FAIL="publish")
    assert failed.returncode == 1 and "NOT STOPPED, AND IT GOES ON COSTING" in failed.stdout
    assert "lf-registry publish FOLDER REPO_ID" in failed.stdout.splitlines()[-1] and pod_calls(desk) == []
    desk.verbs()
    broken = desk.job(*words, **POD, PYTHON="/bin/false")  # also when the next run cannot even look
    assert "NOT STOPPED" in broken.stdout and desk.verbs() == []
    again = desk.job(*words, **POD, HF_TOKEN="x", FAIL="publish")  # where nothing is trained any more
    assert "NOT STOPPED" in again.stdout and desk.verbs() == ["lf-registry publish"]
    done = desk.job(*words, **POD, HF_TOKEN="x")
    assert done.returncode == 0 and desk.verbs() == ["lf-registry publish", "runpodctl pod"]


def test_a_training_that_saved_nothing_does_not_keep_a_pod_without_a_volume(desk: Desk, hub):
    words = ("recipe.yaml", "--publish", "tester/try", "--stop", *QUICK)
    online = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.endpoint, "HF_TOKEN": hub.token, "NO_PROXY": "127.0.0.1"}
    failed = desk.job(*words, **POD, TRAIN="fail", SAID="hf_" + "x" * 34, **online)
    assert failed.returncode == 1 and pod_calls(desk) == [STOP], failed.stdout + failed.stderr
    assert (
        f"the log is uploaded, because its disk goes with the pod: {hub.endpoint}/tester/try-job-log" in failed.stdout
    )
    assert "copy the log until then" not in failed.stdout
    repo = hub.repo("tester/try-job-log")
    assert repo.private and b"CUDA out of memory (hidden)" in repo.read("job.log", "main")
    offline = desk.job(*words, **POD, TRAIN="fail", HF_TOKEN="x")
    assert "the log could not be uploaded: HF_HUB_OFFLINE is set" in offline.stdout
    assert "copy the log until then" in offline.stdout and pod_calls(desk) == [STOP, STOP]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_job_that_is_interrupted_before_it_begins_is_to_be_run_again(desk: Desk, tmp_path: Path, number):
    """The interpreter that job.sh asks whether all is installed sends the signal, as a terminal or a pod would."""
    slow = tmp_path / "python"
    slow.write_text(f"#!/bin/sh\nkill -{number:d} $PPID\nexit 1\n")
    slow.chmod(0o755)
    done = desk.job("recipe.yaml", "--publish", "me/try", "--stop", **POD, HF_TOKEN="x", PYTHON=str(slow))
    assert done.returncode == 75 and "run the same command again" in done.stdout, done.stdout + done.stderr
    assert done.stderr == "" and desk.calls == []


def test_an_interrupted_job_and_a_second_job_keep_the_pod(desk: Desk, volume: Path):
    words = ("recipe.yaml", "--volume", str(volume), "--stop", *QUICK)
    with subprocess.Popen(
        desk.command(*words),
        cwd=desk.folder,
        env=desk.environment | POD | {"TRAIN": "hang"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for(Path(desk.environment["CALLS"] + ".hangs"), process)
        second = desk.job(*words, "output_dir=outputs/other", **POD)
        assert "NOT STOPPED: another job runs on this pod" in second.stdout and "outputs/try" in second.stdout
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 75 and "not stopped, because the job was interrupted" in printed
    assert pod_calls(desk) == []


def test_during_the_grace_time_the_pod_can_be_kept(desk: Desk, volume: Path):
    (volume / "outputs/try.job").mkdir(parents=True)
    (volume / "outputs/try.job/KEEP").touch()
    done = desk.job("recipe.yaml", "--volume", str(volume), "--stop", "--grace", "1h", **POD, TRAIN="fail")
    assert done.returncode == 1 and "kept: the pod goes on" in done.stdout and pod_calls(desk) == []


@pytest.mark.parametrize(
    ("words", "environment", "code", "said"),
    [
        (["--stop"], {}, 2, "RUNPOD_POD_ID is not set"),
        (["--public"], {}, 2, "--public goes with --publish"),
        (["--publish", "a b/c"], {}, 2, "did you mean a-b/c"),
        (["--publish", ""], {}, 2, "cannot be a repository on the Hub"),
        (["export_dir=x"], {}, 2, "add --merge MERGE_RECIPE"),
        (["--publish", "hf_" + "x" * 34], {}, 2, "a token ((hidden)) does not belong"),
        ([], {"NUM_NODES": "2"}, 2, "cluster.sh"),
        (["--volume", "missing"], {}, 2, "is no folder"),
        (["--volume", "."], POD, 2, "is on the container disk"),
        (["--merge", "merge.yaml", "export_dir=m", "finetuning_type=full"], {}, 1, "there is nothing to merge"),
        (["--volume-size", "much"], {}, 2, "write a size such as 200GB"),
        ([], {"GPUS": "1", "RUNPOD_GPU_COUNT": "2"}, 1, "2 GPUs by contract and 1 in fact"),
        ([], {"SMI_FAILS": "1"}, 1, "start the pod anew"),
        ([], {"DRIVER": "570.124.06", "CUDA": "12.8"}, 1, "takes driver 580 or newer: torch would see no GPU"),
    ],
)
def test_what_cannot_work_is_said_before_anything_runs(gpus: Desk, quick: Desk, words, environment, code, said):
    done = quick.job("recipe.yaml", *words, **environment)
    assert done.returncode == code and said in done.stdout + done.stderr
    assert quick.calls == []


def test_a_pod_without_runpodctl_is_stopped_over_http_and_the_key_is_no_argument(desk: Desk, volume: Path):
    tools = Path(desk.environment["PATH"].split(":")[0])
    (tools / "runpodctl").unlink()
    words = ("recipe.yaml", "--volume", str(volume), "--stop", *QUICK)
    refused = desk.job(*words, **POD)
    assert refused.returncode == 2 and "nothing could stop the pod" in refused.stderr
    (tools / "curl").write_text('#!/bin/sh\necho "curl $*" >>"$CALLS"\ncat >"$CALLS.stdin"\n')
    (tools / "curl").chmod(0o755)
    done = desk.job(*words, **POD, RUNPOD_API_KEY="k" * 20)
    assert done.returncode == 0, done.stdout + done.stderr
    assert desk.calls[-1].endswith("https://api.runpod.io/v2/pods/pod123/action") and "kkkk" not in desk.calls[-1]
    assert "Bearer " + "k" * 20 in Path(desk.environment["CALLS"] + ".stdin").read_text()


def test_a_model_that_does_not_fit_on_the_volume_is_downloaded_beside_it(quick: Desk, volume: Path):
    words = ("model_name_or_path=Qwen/Qwen2.5-0.5B", "--volume", str(volume), "--volume-size", "2GB")
    done = quick.job("recipe.yaml", *words)
    assert done.returncode == 0, done.stdout
    assert "HF_HOME stays on the container disk" in done.stdout and "HF_HOME" not in quick.seen


def test_a_disk_that_is_too_small_is_said_with_what_is_missing_before_training(quick: Desk, volume: Path):
    words = ("--volume", str(volume), "--volume-size", "1200MB", "lora_rank=512")
    done = quick.job("recipe.yaml", *words, "max_steps=100")
    printed = done.stdout
    assert done.returncode == 1 and "are missing: this job writes" in printed and "rent a larger volume" in printed
    assert "add save_total_limit=1 behind the recipe" in printed and quick.calls == []


def test_a_merge_recipe_of_something_else_is_refused_and_a_changed_training_is_followed(quick: Desk):
    refused = quick.job("recipe.yaml", "output_dir=outputs/two", "--merge", "recipe.yaml")
    assert refused.returncode == 1 and "that is not what is trained here" in refused.stderr
    shutil.copytree(quick.folder / "model", quick.folder / "other")
    done = quick.job(
        "recipe.yaml",
        "output_dir=outputs/two",
        "model_name_or_path=other",
        "export_dir=outputs/merged-two",
        "--merge",
        "merge.yaml",
    )
    assert done.returncode == 0, done.stdout
    merge = quick.calls[-1].split()[2:]
    assert merge[0] == "merge.yaml" and set(merge[1:]) == {
        "export_dir=outputs/merged-two",
        "model_name_or_path=other",
        "adapter_name_or_path=outputs/two",
    }


def test_the_cards_recipe_is_the_one_that_was_run(quick: Desk):
    done = quick.job("recipe.yaml", "learning_rate=0.5", "--publish", "me/try", HF_TOKEN="x")
    assert done.returncode == 0, done.stdout
    path = quick.folder / quick.calls[-1].split()[-1]
    assert path.name == "recipe.yaml" and "learning_rate: 0.5" in path.read_text()


def test_what_the_user_has_set_wins(gpus: Desk, quick: Desk, volume: Path):
    done = quick.job(
        "recipe.yaml", "--volume", str(volume), NCCL_P2P_DISABLE="0", HF_HOME="/elsewhere", TMPDIR="/var/tmp"
    )
    assert done.returncode == 0 and quick.seen["NCCL_P2P_DISABLE"] == "0"
    assert quick.seen["HF_HOME"] == "/elsewhere" and quick.seen["TMPDIR"] == "/var/tmp"
    assert "HF_HOME=/elsewhere stays" in done.stdout


def test_links_between_gpus():
    matrix = (
        " \t\x1b[4mGPU0\tGPU1\tGPU2\x1b[0m\t\n GPU0\tX\tOK\tNS\t\n GPU1\tOK\tX\tCNS\t\n GPU2\tNS\tCNS\tX\t\n\nLegend:\n"
    )
    assert without_peer_access(matrix, (0, 1)) == []
    assert without_peer_access(matrix, (0, 1, 2)) == [(0, 2), (1, 2)]
    assert without_peer_access("nothing that is known", (0, 1)) == []


def test_a_volume_is_a_mount_of_its_own(tmp_path: Path, volume: Path):
    assert find_volume({}, workspace=tmp_path).path is None
    assert find_volume({}, workspace=tmp_path / "missing").path is None
    found = find_volume({"RUNPOD_VOLUME_ID": "v"}, workspace=volume)
    assert found.path == volume and not found.network  # tmpfs is no network: one sign is not enough
    assert found.place("outputs/a") == f"{volume}/outputs/a" and found.place("/a") == "/a"
    assert Volume(None).place("outputs/a") == "outputs/a"
