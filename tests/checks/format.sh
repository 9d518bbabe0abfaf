#!/usr/bin/env bash
# Every C++ file as clang-format 19 would write it. Mend with: tests/checks/format.sh -i
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mapfile -t files < <(find base host model protocol daemon ctl tests -name '*.h' -o -name '*.cc' | sort)
((${#files[@]})) || { echo "format: no sources found" >&2; exit 1; }
if [[ ${1:-} == -i ]]; then
    exec clang-format-19 -i "${files[@]}"
fi
clang-format-19 --dry-run --Werror "${files[@]}"
echo "format: ${#files[@]} files"
