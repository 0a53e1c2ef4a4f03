#!/usr/bin/env bash
# One training on all nodes of a RunPod Instant Cluster. Start the same command on every node:
#
#   recipes/runpod/cluster.sh recipes/ironman_lora.yaml [key=value ...]
#
# RunPod's names for the cluster are mapped to LLaMA-Factory's; a variable with LLaMA-Factory's name that is set already
# wins. The nodes need the same recipe and data, and an output_dir on a volume that all of them see: each writes its
# own part of a checkpoint. A run that was interrupted goes on when the same command is started again on every node.
set -euo pipefail

here=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
networks=${LF_REGISTRY_NETWORKS:-/sys/class/net} # only the tests set it
problems=()

say() { printf 'cluster.sh: %s\n' "$*" >&2; }

# number NAME VALUE LEAST MOST: what is wrong with VALUE, if anything is.
number() {
    local name=$1 value=$2 least=$3 most=$4
    if [[ -z $value ]]; then
        problems+=("$name is not set")
    elif [[ ! $value =~ ^[0-9]{1,6}$ ]] || ((10#$value < least || 10#$value > most)); then
        problems+=("$name is '$value'; it must be a number from $least to $most")
    else
        return 0
    fi
    return 1
}

usage="usage: recipes/runpod/cluster.sh RECIPE [key=value ...]     (the same command on every node)"
if (($# == 0)); then
    echo "$usage" >&2
    exit 2
elif [[ $1 == -h || $1 == --help ]]; then
    cat <<HELP
$usage

One training on all nodes of a cluster. RunPod's names are read where LLaMA-Factory's are not set:
  NNODES          NUM_NODES     the number of nodes
  NODE_RANK       NODE_RANK     this node's place, from 0
  MASTER_ADDR     PRIMARY_ADDR  the address of the first node
  MASTER_PORT     PRIMARY_PORT  a port of the first node
  NPROC_PER_NODE  NUM_TRAINERS  the GPUs of a node
NCCL_SOCKET_IFNAME: the interface that the nodes share; ens1 when it is left out and exists.
The recipe's output_dir must be on a volume that all nodes see.
HELP
    exit 0
fi
if [[ ! -f $1 ]]; then
    problems+=("the recipe $1 does not exist in $PWD")
fi

nodes=${NNODES:-${NUM_NODES:-}}
rank=${NODE_RANK:-}
address=${MASTER_ADDR:-${PRIMARY_ADDR:-}}
port=${MASTER_PORT:-${PRIMARY_PORT:-}}
processes=${NPROC_PER_NODE:-${NUM_TRAINERS:-}}

if number "NNODES (RunPod: NUM_NODES), the number of nodes," "$nodes" 1 4096; then
    number "NODE_RANK, this node's place from 0," "$rank" 0 $((10#$nodes - 1)) || true
else
    number "NODE_RANK, this node's place from 0," "$rank" 0 4095 || true
fi
[[ -n $address ]] || problems+=("MASTER_ADDR (RunPod: PRIMARY_ADDR), the address of the first node, is not set")
number "MASTER_PORT (RunPod: PRIMARY_PORT), a port of the first node," "$port" 1 65535 || true
if number "NPROC_PER_NODE (RunPod: NUM_TRAINERS), the GPUs of a node," "$processes" 1 64; then
    if command -v nvidia-smi >/dev/null; then
        gpus=$(nvidia-smi -L 2>/dev/null | grep -c '^GPU' || true)
        if ((gpus < 10#$processes)); then
            problems+=("this node has $gpus GPUs, but $processes processes are to run on it: see \`nvidia-smi -L\`; with fewer on purpose, set NPROC_PER_NODE on every node")
        fi
    fi
fi
# Several nodes meet over the cluster's own network. eth0 leads to the internet only: NCCL would wait there for ever.
interface=${NCCL_SOCKET_IFNAME:-}
if [[ -z $interface || $interface =~ (^|,)=?eth0?(,|$) ]]; then
    if [[ -e $networks/ens1 ]]; then
        [[ -z $interface ]] || say "NCCL_SOCKET_IFNAME=$interface leads to the internet, not to the other nodes; ens1 instead"
        interface=ens1
    elif [[ $nodes != 1 ]]; then
        others=$(find "$networks" -mindepth 1 -maxdepth 1 ! -name lo ! -name eth0 -printf '%f ' 2>/dev/null || true)
        problems+=("there is no network interface ens1, RunPod's network between the nodes, and eth0 leads to the internet \
only: set NCCL_SOCKET_IFNAME to the interface that the nodes share (other interfaces here: ${others:-none})")
    fi
fi
if ! cli=$(command -v llamafactory-cli); then
    cli=$here/../../.venv/bin/llamafactory-cli
    [[ -x $cli ]] || problems+=("llamafactory-cli is not found: run \`make .venv/.ready\` in the checkout")
fi

if ((${#problems[@]})); then
    say "this node cannot join the training (${#problems[@]} to mend):"
    printf '  - %s\n' "${problems[@]}" >&2
    echo "  next: on a RunPod Instant Cluster these are set: look with  env | grep -E 'NODE|PRIMARY|MASTER|TRAINERS'  or export them" >&2
    exit 1
fi

if [[ -n ${WORLD_SIZE:-} && $WORLD_SIZE != $((10#$nodes * 10#$processes)) ]]; then
    say "WORLD_SIZE=$WORLD_SIZE is not $nodes nodes of $processes processes; the latter count"
fi
unset WORLD_SIZE RANK LOCAL_RANK LOCAL_WORLD_SIZE # torchrun sets them for each process; RunPod's would be read before

export NNODES=$nodes NODE_RANK=$rank MASTER_ADDR=$address MASTER_PORT=$port NPROC_PER_NODE=$processes FORCE_TORCHRUN=1
if [[ -n $interface ]]; then
    export NCCL_SOCKET_IFNAME=$interface
    # Gloo takes one name, and no prefixes or exceptions as NCCL does.
    if [[ -z ${GLOO_SOCKET_IFNAME:-} && -e $networks/$interface ]]; then
        export GLOO_SOCKET_IFNAME=$interface
    fi
fi
say "node $rank of $nodes, $processes processes each, meeting at $address:$port${interface:+ over $interface}"
exec "$cli" train "$@"
