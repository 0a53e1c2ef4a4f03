"""``recipes/runpod/cluster.sh``: what it sets, what it refuses, and two nodes that train what one node of two does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from conftest import ROOT
from resume_runs import free_port, losses

SCRIPT = ROOT / "recipes" / "runpod" / "cluster.sh"
RECIPE = "recipes/ironman_lora.yaml"
#: What an Instant Cluster sets on the second of two nodes with eight GPUs each.
RUNPOD = {
    "PRIMARY_ADDR": "10.65.0.2",
    "PRIMARY_PORT": "29400",
    "NODE_ADDR": "10.65.0.3",
    "NODE_RANK": "1",
    "NUM_NODES": "2",
    "NUM_TRAINERS": "8",
    "WORLD_SIZE": "16",
}
SHOWN = (
    "NNODES NODE_RANK MASTER_ADDR MASTER_PORT NPROC_PER_NODE FORCE_TORCHRUN NCCL_SOCKET_IFNAME GLOO_SOCKET_IFNAME "
    "WORLD_SIZE"
)


@pytest.fixture
def node(tmp_path):
    """A node: a llamafactory-cli that prints what it is given, and network interfaces; returns a function to start."""
    commands, networks = tmp_path / "bin", tmp_path / "net"
    commands.mkdir()
    # In a folder without a .venv beside it, where the script would find the command.
    script = tmp_path / "checkout" / "recipes" / "runpod" / SCRIPT.name
    script.parent.mkdir(parents=True)
    shutil.copy(SCRIPT, script)

    def command(name: str, script: str) -> None:
        (commands / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (commands / name).chmod(0o755)

    command("llamafactory-cli", f'echo "$@"; for name in {SHOWN}; do eval "echo $name=\\$$name"; done; exit 75')

    def start(*arguments: str, interfaces: tuple[str, ...] = ("lo", "eth0", "ens1"), gpus: int | None = None, **more):
        for name in interfaces:
            (networks / name).mkdir(parents=True)
        if gpus is not None:
            command("nvidia-smi", "\n".join(f"echo 'GPU {number}: NVIDIA H100 80GB HBM3'" for number in range(gpus)))
        environment = {"PATH": f"{commands}:/usr/bin:/bin", "LF_REGISTRY_NETWORKS": str(networks)}
        done = subprocess.run(
            [script, *(arguments or (RECIPE,))],
            env=environment | {name: value for name, value in more.items() if value is not None},
            capture_output=True,
            text=True,
            check=False,
        )
        lines = done.stdout.splitlines()
        done.passed_on = lines[0] if lines else None
        done.set = dict(line.split("=", 1) for line in lines[1:])
        return done

    start.commands = commands
    return start


def test_runpods_names_become_llamafactorys(node):
    done = node(RECIPE, "max_steps=3", **RUNPOD)
    assert done.passed_on == f"train {RECIPE} max_steps=3"
    assert done.set == {
        "NNODES": "2",
        "NODE_RANK": "1",
        "MASTER_ADDR": "10.65.0.2",
        "MASTER_PORT": "29400",
        "NPROC_PER_NODE": "8",
        "FORCE_TORCHRUN": "1",
        "NCCL_SOCKET_IFNAME": "ens1",
        "GLOO_SOCKET_IFNAME": "ens1",
        "WORLD_SIZE": "",
    }
    assert "node 1 of 2, 8 processes each, meeting at 10.65.0.2:29400 over ens1" in done.stderr


def test_the_trainings_exit_code_comes_back(node):
    assert node(**RUNPOD).returncode == 75, "what a run answers that was asked to save and stop"


def test_llamafactorys_own_names_win(node):
    done = node(**RUNPOD, NNODES="4", NPROC_PER_NODE="2", MASTER_ADDR="node-0", MASTER_PORT="1234")
    assert (done.set["NNODES"], done.set["NPROC_PER_NODE"]) == ("4", "2")
    assert (done.set["MASTER_ADDR"], done.set["MASTER_PORT"]) == ("node-0", "1234")
    assert "WORLD_SIZE=16 is not 4 nodes of 2 processes" in done.stderr


@pytest.mark.parametrize("asked", ["eth0", "eth", "=eth0", "ens1,eth0"])
def test_nccl_never_talks_over_eth0(node, asked):
    done = node(**RUNPOD, NCCL_SOCKET_IFNAME=asked)
    assert done.set["NCCL_SOCKET_IFNAME"] == "ens1"
    assert f"NCCL_SOCKET_IFNAME={asked} leads to the internet" in done.stderr


@pytest.mark.parametrize(("asked", "gloo"), [("ens2", "ens2"), ("^eth0", ""), ("eth1", "")])
def test_another_interface_is_the_users_to_choose(node, asked, gloo):
    done = node(**RUNPOD, NCCL_SOCKET_IFNAME=asked, interfaces=("eth0", "ens1", "ens2"))
    assert (done.set["NCCL_SOCKET_IFNAME"], done.set["GLOO_SOCKET_IFNAME"]) == (asked, gloo)


@pytest.mark.parametrize("asked", [None, "eth0"])
def test_without_the_clusters_network_nothing_starts(node, asked):
    done = node(**RUNPOD, NCCL_SOCKET_IFNAME=asked, interfaces=("lo", "eth0", "enp5s0"))
    assert done.returncode == 1 and done.passed_on is None
    assert "no network interface ens1" in done.stderr and "other interfaces here: enp5s0" in done.stderr


def test_a_single_node_needs_no_network(node):
    done = node(**RUNPOD | {"NUM_NODES": "1", "NODE_RANK": "0", "WORLD_SIZE": "8"}, interfaces=("eth0",))
    assert (done.passed_on, done.set["NCCL_SOCKET_IFNAME"]) == (f"train {RECIPE}", "")


def test_outside_a_cluster_all_that_is_missing_is_said_at_once(node):
    (node.commands / "llamafactory-cli").unlink()
    done = node("recipes/ironman.yaml", interfaces=("eth0",))
    assert done.returncode == 1
    for text in (
        "(8 to mend)",
        "the recipe recipes/ironman.yaml does not exist",
        "NUM_NODES), the number of nodes, is not set",
        "NODE_RANK, this node's place from 0, is not set",
        "PRIMARY_ADDR), the address of the first node, is not set",
        "PRIMARY_PORT), a port of the first node, is not set",
        "NUM_TRAINERS), the GPUs of a node, is not set",
        "there is no network interface ens1",
        "llamafactory-cli is not found",
        "next: ",
    ):
        assert text in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("NODE_RANK", "2", "NODE_RANK, this node's place from 0, is '2'; it must be a number from 0 to 1"),
        ("NUM_NODES", "two", "the number of nodes, is 'two'; it must be a number from 1"),
        ("PRIMARY_PORT", "70000", "is '70000'; it must be a number from 1 to 65535"),
        ("NUM_TRAINERS", "0", "the GPUs of a node, is '0'"),
    ],
)
def test_a_wrong_value_is_named(node, name, value, message):
    done = node(**RUNPOD | {name: value})
    assert done.returncode == 1 and message in done.stderr and "(1 to mend)" in done.stderr


@pytest.mark.parametrize("gpus", [0, 4])
def test_a_node_with_fewer_gpus_than_the_others_is_found(node, gpus):
    done = node(**RUNPOD, gpus=gpus)
    assert done.returncode == 1 and f"this node has {gpus} GPUs, but 8 processes" in done.stderr


def test_a_node_with_its_gpus_starts(node):
    assert node(**RUNPOD, gpus=8).set["NPROC_PER_NODE"] == "8"


def test_usage():
    done = subprocess.run([SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "") and "usage: recipes/runpod/cluster.sh RECIPE" in done.stderr
    done = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") and "NPROC_PER_NODE  NUM_TRAINERS" in done.stdout


@pytest.mark.skipif("LF_REGISTRY_SOAK" not in os.environ, reason="a minute of two cores: make soak")
@pytest.mark.timeout(900)
def test_two_nodes_of_one_process_train_what_one_node_of_two_does(trainer, tmp_path):
    settings = ("max_steps=3", "save_strategy='no'", "logging_steps=1")
    once = tmp_path / "one-node"
    reference = trainer.start(once, *settings)
    shared = tmp_path / "two-nodes"
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DS_ACCELERATOR": "cpu",
        "PRIMARY_ADDR": "127.0.0.1",
        "PRIMARY_PORT": str(free_port()),
        "NUM_NODES": "2",
        "NUM_TRAINERS": "1",
        "WORLD_SIZE": "2",
        "NCCL_SOCKET_IFNAME": "lo",
    }
    assert reference.wait() == [0, 0], reference.printed[-3000:]
    nodes = [
        subprocess.Popen(
            [SCRIPT, trainer.recipe, f"output_dir={shared}", *settings],
            cwd=ROOT,
            env=environment | {"NODE_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    printed = [process.communicate()[0] for process in nodes]
    assert [process.returncode for process in nodes] == [0, 0], "\n".join(text[-3000:] for text in printed)
    assert "Multi-node training enabled: num nodes: 2, node rank: 1" in printed[1]
    assert "world size: 2" in printed[0] and "DeepSpeed" in printed[0]
    assert losses(shared) == losses(once)
    adapters = [load_file(folder / "adapter_model.safetensors") for folder in (shared, once)]
    assert all(torch.equal(tensor, adapters[1][name]) for name, tensor in adapters[0].items())
    shutil.rmtree(tmp_path)
