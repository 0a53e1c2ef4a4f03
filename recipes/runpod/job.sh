#!/usr/bin/env bash
# Check, train, merge, publish, stop the pod; run it again after any interruption and it goes on where it stopped.
#
#   recipes/runpod/job.sh RECIPE [KEY=VALUE ...] [--merge MERGE_RECIPE] [--publish REPO_ID] [--stop | --terminate]
#   recipes/runpod/job.sh --help
#
# By hand, in tmux, or as the pod's command. The work is done by `python -m lf_registry.job`; this file passes signals on
# and decides about the pod, which has to happen even when Python does not start. Its notes are in $LF_REGISTRY_JOBS, on
# the container disk (lf_registry/job/notes.py writes them).
#
# PYTHON=... chooses the interpreter; else the checkout's .venv, else python3. LF_REGISTRY_STOP_PAUSE: seconds between two
# attempts to stop the pod.
set -euo pipefail

checkout=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
jobs=${LF_REGISTRY_JOBS:-/tmp/lf-registry-jobs-$(id -u)}
log=

say() { # a line on the terminal and in the log; neither a closed terminal nor a full disk ends this script
    local line
    line="[$(date -u '+%Y-%m-%d %H:%M:%S')Z] pod: $*"
    { printf '%s\n' "$line"; } 2>/dev/null || true
    if [ -n "$log" ]; then { printf '%s\n' "$line" >>"$log"; } 2>/dev/null || true; fi
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        printf '%s\n' "$PYTHON"
    elif [ -x "$checkout/.venv/bin/python" ]; then
        printf '%s\n' "$checkout/.venv/bin/python"
    else
        command -v python3 || command -v python || printf 'python3\n'
    fi
}

seconds_of() { # 90, 90s, 5m, 1h -> seconds; nothing for anything else
    case $1 in
        *[!0-9smh]* | [smh]* | *[smh]?* | '') ;;
        *h) printf '%s\n' $((10#${1%h} * 3600)) ;;
        *m) printf '%s\n' $((10#${1%m} * 60)) ;;
        *) printf '%s\n' $((10#${1%s})) ;;
    esac
}

# What this script itself needs of the command line; Python reads all of it, and refuses what is wrong.
action="" grace=5m word="" refused=""
for argument in "$@"; do
    if [ "$word" = --grace ]; then grace=$argument; fi
    case $argument in
        --stop) action=stop ;;
        --terminate) if [ "$action" != stop ]; then action=terminate; fi ;;
        --grace=*) grace=${argument#--grace=} ;;
        --help) action="" grace=0 && break ;;
    esac
    word=$argument
done
wait_seconds=$(seconds_of "$grace")
if [ -z "$wait_seconds" ]; then
    printf 'error: --grace %s: write seconds, minutes or hours: 90s, 5m, 1h\n' "$grace" >&2
    wait_seconds=300
    refused=yes # Python is not asked; a pod that was to be stopped still is
fi

interrupted=
trap 'interrupted=yes; if [ -n "${child:-}" ]; then kill -TERM "$child" 2>/dev/null || true; fi' TERM INT
trap '' HUP # a lost connection does not end a job

wait_for_child() { # sets $code; `wait` returns early when a signal comes
    local again
    code=0
    wait "$child" || code=$?
    while [ -n "$interrupted" ] && kill -0 "$child" 2>/dev/null; do
        code=0
        wait "$child" || code=$?
    done
    if [ -n "$interrupted" ]; then # it may have ended while the signal was handled: ask once more
        again=0
        wait "$child" 2>/dev/null || again=$?
        if [ "$again" -ne 127 ]; then code=$again; fi
    fi
    child=
}

for old in "$jobs"/*/; do # notes of jobs that ended and left nothing behind
    if [ -d "$old" ] && [ ! -e "$old/lose-container" ] && [ ! -e "$old/lose-volume" ] &&
        ! kill -0 "$(cat "$old/pid" 2>/dev/null || echo x)" 2>/dev/null; then
        rm -rf -- "$old"
    fi
done
run=
for place in "$jobs" "/dev/shm/lf-registry-jobs-$(id -u)"; do # a full disk must not keep the pod running
    if mkdir -p "$place" && run=$(mktemp -d "$place/XXXXXX") && echo "$$" >"$run/pid"; then break; fi
    if [ -n "$run" ]; then rm -rf -- "$run"; fi
    rmdir -- "$place" || true
    run=
done 2>/dev/null
if [ -z "$run" ]; then
    printf 'error: %s\n  next: make room, and run the same command again\n' \
        "nothing can be written into $jobs nor into /dev/shm, so nothing was started" >&2
    refused=disk
    run=$jobs/none
fi
export LF_REGISTRY_JOB_RUN=$run

python=$(find_python)
installed=yes
if [ -z "$refused" ]; then "$python" -c 'import lf_registry, typer' 2>/dev/null || installed=; fi
if [ "$refused" = disk ]; then
    code=1
elif [ -n "$refused" ]; then
    code=2
elif [ -n "$interrupted" ]; then
    code=143 # as if Python had been told before it listens
elif [ -z "$installed" ]; then
    printf 'error: %s\n  next: %s\n' "lf-registry is not installed for $python, so nothing was started" \
        "$python -m pip install $checkout   (or name another interpreter: PYTHON=...)" >&2
    code=1
else
    "$python" -m lf_registry.job "$@" &
    child=$!
    if [ -n "$interrupted" ]; then kill -TERM "$child" 2>/dev/null || true; fi # between this line and the one above
    wait_for_child
fi
log=$(cat "$run/log" 2>/dev/null || true)
if [ -n "$interrupted" ] && [ "$code" -eq 143 ]; then
    code=75
    say "interrupted: run the same command again, it goes on where it stopped"
fi

finish() {
    if [ ! -e "$run/lose-container" ] && [ ! -e "$run/lose-volume" ]; then rm -rf -- "$run"; fi
    if [ "${run%/*}" != "$jobs" ]; then rmdir -- "${run%/*}" 2>/dev/null || true; fi
    exit "$1"
}

if [ -z "$action" ] || [ -z "${RUNPOD_POD_ID:-}" ]; then finish "$code"; fi

# From here on the pod is to be stopped.
by_hand="by hand: runpodctl pod stop $RUNPOD_POD_ID"
if [ -n "$interrupted" ] || [ -e "$run/stopped" ]; then
    say "not stopped, because the job was interrupted; it goes on when it is run again ($by_hand)"
    finish "$code"
fi
if [ "$code" -eq 2 ] && [ -t 0 ]; then finish "$code"; fi # somebody is typing

for other in "$jobs"/*/; do
    other=${other%/}
    if [ "$other" != "$run" ] && kill -0 "$(cat "$other/pid" 2>/dev/null || echo x)" 2>/dev/null; then
        say "NOT STOPPED: another job runs on this pod, for $(cat "$other/output" 2>/dev/null || echo 'an unknown folder')" \
            "($by_hand, when it has ended)"
        finish "$code"
    fi
done
lost=$(cat "$jobs"/*/lose-container 2>/dev/null || true)
if [ -n "$lost" ]; then
    say "NOT STOPPED, AND IT GOES ON COSTING: $lost. It is the only copy, and it is not published."
    say "next: copy it away or publish it (lf-registry publish FOLDER REPO_ID), then $by_hand"
    if [ "$code" -eq 0 ]; then code=1; fi
    finish "$code"
fi
if [ "$action" = terminate ]; then
    lost=$(cat "$jobs"/*/lose-volume 2>/dev/null || true)
    if [ -z "$lost" ] && [ ! -e "$run/safe" ]; then lost="nothing is published, and no network volume is known"; fi
    if [ -n "$lost" ]; then
        say "stopped instead of terminated: $lost"
        action=stop
    fi
fi

if [ "$code" -ne 0 ] || [ -e "$run/idle" ]; then
    why="the job failed"
    if [ "$code" -eq 0 ]; then why="there was nothing left to do"; fi
    keep=$(dirname -- "${log:-$run/log}")/KEEP
    say "$why: the pod is to $action in $wait_seconds s; to keep it: Ctrl-C, or touch $(printf %q "$keep")"
    if [ -e "$run/log-lost" ]; then say "copy the log until then, it goes with the container disk: $log"; fi
    left=$wait_seconds
    while [ "$left" -gt 0 ] && [ -z "$interrupted" ] && [ ! -e "$keep" ]; do
        nap=$((left < 5 ? left : 5))
        sleep "$nap" &
        child=$!
        wait "$child" || true
        child=
        left=$((left - nap))
    done
    if [ -n "$interrupted" ] || [ -e "$keep" ]; then
        rm -f -- "$keep"
        say "kept: the pod goes on, and goes on costing ($by_hand)"
        finish "$code"
    fi
fi

rest() { # RunPod's interface for other programs; the key goes through a pipe, because `ps` shows arguments
    if [ -z "${RUNPOD_API_KEY:-}" ] || ! command -v curl >/dev/null; then return 1; fi
    printf 'header = "Authorization: Bearer %s"\n' "$RUNPOD_API_KEY" |
        curl --silent --show-error --fail --max-time 60 --config - --header 'Content-Type: application/json' \
            --data '{"action": "stop"}' "https://api.runpod.io/v2/pods/$RUNPOD_POD_ID/action"
}

attempt() { # $1: stop or terminate
    local new old
    case $1 in
        stop) new=stop old=stop ;;
        *) new=delete old=remove ;;
    esac
    if command -v runpodctl >/dev/null; then
        runpodctl pod "$new" "$RUNPOD_POD_ID" && return 0
        runpodctl "$old" pod "$RUNPOD_POD_ID" && return 0 # before version 2
    fi
    if [ "$1" = stop ]; then rest; else return 1; fi
}

timeout 120 sync || true
for pause in 1 3 9 0; do
    if reply=$(attempt "$action" 2>&1); then
        say "$action of pod $RUNPOD_POD_ID asked for${reply:+: $reply}"
        finish "$code"
    fi
    say "$action of pod $RUNPOD_POD_ID failed: ${reply:-neither runpodctl nor RUNPOD_API_KEY with curl is here}"
    if [ "$action" = terminate ]; then action=stop; fi # the next best: it ends the costs of the GPUs
    sleep $((pause * ${LF_REGISTRY_STOP_PAUSE:-10}))
done
say "THE POD STILL RUNS AND COSTS. next: stop it on https://console.runpod.io/pods ($by_hand)"
if [ "$code" -eq 0 ]; then code=1; fi
finish "$code"
