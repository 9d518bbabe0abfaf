#!/usr/bin/env bash
# run.sh PROGRAM SECONDS CORPUS [OPTION...]: fuzzes for so long, from the seeds beside this script and
# from what earlier runs found. A finding is kept below CORPUS-findings/ and fails. OPTIONs are
# libFuzzer's.
set -euo pipefail
program=$1 seconds=$2 corpus=$3
shift 3
seeds=$(dirname "${BASH_SOURCE[0]}")/seeds/$(basename "$program")
mkdir -p "$corpus" "$corpus-findings"
folders=("$corpus")
[[ -d $seeds ]] && folders+=("$seeds")
# A finding ends libFuzzer with 77 otherwise, which ctest would take for "skipped".
exec "$program" -error_exitcode=1 -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -verbosity=1 -artifact_prefix="$corpus-findings/" "$@" "${folders[@]}"
