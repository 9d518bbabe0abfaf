#!/usr/bin/env bash
# as_root.sh COMMAND...: runs it as root. Anybody else's run is skipped, in CI it has failed.
if ((EUID == 0)); then
    exec "$@"
fi
echo "skipped: only root can do this (it boots a system in a container)"
[[ ${CI:-} == true ]] && exit 1
exit 77
