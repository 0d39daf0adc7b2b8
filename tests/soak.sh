#!/usr/bin/env bash
# Runs the quick suite N times in each of three conditions – quiet, beside a busy loop on one core, everything pinned to
# one core – and lists every test that failed at least once: a test that is red by chance is a defect.
# Each run's output is in test-results/soak/. Other arguments go to pytest: bash tests/soak.sh 5 tests/browser
set -euo pipefail
cd "$(dirname "$0")/.."

runs=${1:-}
[[ $runs =~ ^[1-9][0-9]*$ ]] || { echo "usage: bash tests/soak.sh N [ARGUMENTS OF PYTEST]" >&2; exit 2; }
shift
chosen=("$@")
command -v taskset >/dev/null || { echo "tests/soak.sh needs taskset, of util-linux: run it on Linux." >&2; exit 2; }
results=test-results/soak
core=$(taskset -pc $$ | grep -oE '[0-9]+' | tail -n 1) # the last one that we may use
rm -rf "$results"
mkdir -p "$results"

soak() { # soak CONDITION [COMMAND THAT RUNS OTHERS]
  local condition=$1 log
  shift
  for run in $(seq "$runs"); do
    log=$results/$condition-$run.log
    "$@" bash tests/run.sh -q -rfE ${chosen[@]+"${chosen[@]}"} >"$log" 2>&1 || true
    echo "$condition $run: $(grep -aE '^[0-9]+ (passed|failed|error)' "$log" | tail -n 1 || echo 'did not end')"
  done
}

soak quiet
taskset -c "$core" sh -c 'while :; do :; done' &
trap 'kill $!' EXIT
soak busy
kill $!
trap - EXIT
soak pinned taskset -c "$core"

failed=$(cat "$results"/*.log | { grep -aE '^(FAILED|ERROR) ' || true; } | sed -E 's/^(FAILED|ERROR) //; s/ - .*//' | sort | uniq -c)
ended=$({ grep -alE '^[0-9]+ passed' "$results"/*.log || true; } | wc -l)
if [ -n "$failed" ] || [ "$ended" != $((3 * runs)) ]; then
  echo "Failed at least once (how often, test); $ended of $((3 * runs)) runs ended with tests passed:"
  echo "$failed"
  exit 1
fi
echo "No test failed in $((3 * runs)) runs."
