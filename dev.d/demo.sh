# The main job, shown: a guard on the example actions, and callers at its door.

steps=0
wrong=0

# step CODE STDOUT STDERR COMMAND...: shows the command, runs it, and holds it against what must come:
# the exit code, and extended regular expressions for standard output and error (the whole text, with
# its last newline left out).
step() {
    local code=$1 want_out=$2 want_err=$3 status=0 out err
    shift 3
    steps=$((steps + 1))
    printf '\n%s$ %s%s\n' "$bold" "$*" "$plain"
    bash -c "$*" </dev/null 2>"$demo_folder/err" | tee "$demo_folder/out" || status=${PIPESTATUS[0]}
    out=$(<"$demo_folder/out") err=$(<"$demo_folder/err")
    [[ -z $err ]] || printf '%s\n' "$err" >&2
    ((status == 0)) || printf '(exit code %s)\n' "$status"
    if [[ $status != "$code" || ! $out =~ ^($want_out)$ || ! $err =~ ^($want_err)$ ]]; then
        wrong=$((wrong + 1))
        printf 'dev: this step is WRONG: it must end with %s, say "%s" on standard output and "%s" on standard error\n' \
            "$code" "$want_out" "$want_err" >&2
    fi
}

explain() { printf '\n# %s\n' "$*"; }

start_demo_guard() {
    local -a options=()
    local user tries
    # Below /tmp, which is root's and sticky: a folder that others may write would make the action
    # files unsafe, and the guard would not believe them.
    demo_folder=$(mktemp -d /tmp/postern-demo-XXXXXX)
    at_exit+=("rm -rf $demo_folder")
    chmod 0755 "$demo_folder"
    install -d -m 0755 "$demo_folder/actions"
    install -m 0644 examples/demo/*.json "$demo_folder/actions"
    if ((EUID == 0)); then
        for user in daemon nobody; do
            id "$user" >/dev/null 2>&1 && break
        done
        options+=(--session-user "$user" --socket-mode 0666)
    fi
    export POSTERN_SOCKET=$demo_folder/postern.sock PATH=$repository/build/release/bin:$PATH
    local -a command=(posternd --socket "$POSTERN_SOCKET" --actions "$demo_folder/actions"
        --state "$demo_folder/state" --audit "$demo_folder/audit" --jobs direct "${options[@]}")
    printf '\n$ %s &\n$ export POSTERN_SOCKET=%s\n' "${command[*]}" "$POSTERN_SOCKET"
    start "${command[@]}" 2>"$demo_folder/log"
    for ((tries = 0; tries < 200; tries++)); do
        posternctl ping >/dev/null 2>&1 && return
        kill -0 "$started" 2>/dev/null || break
        sleep 0.05
    done
    cat "$demo_folder/log" >&2
    die "the guard did not come up; above is what it said"
}

demo() {
    local mode=$1 id='[0-9a-f]{32}' call
    say "A guard of your own on a copy of examples/demo"
    start_demo_guard

    explain "What may I run?"
    step 0 $'disk-usage +[^\n]+\nhello +[^\n]+\nresize +[^\n]+\nslow +[^\n]+\nwho-asked +[^\n]+' '' 'posternctl list'

    explain "Who am I, as the kernel told the guard?"
    step 0 "uid +.*$(id -u).*"$'\n'"gid +.*$(id -g).*" '' 'posternctl whoami'

    explain "Run an action."
    step 0 'Hi, g1' '' 'posternctl run hello name=g1'

    explain "One that takes a choice, and one that takes a number, a yes or no, and a list."
    step 0 $'[0-9.]+K\t/usr/share/base-files' '' 'posternctl run disk-usage place=/usr/share/base-files'
    step 0 $'resize volume data to 20 GiB\nwhile it is in use: false\nalice\nbob' '' \
        'posternctl run resize volume=data size=20 online=false notify=alice notify=bob'

    explain "Output comes while the job runs."
    step 0 $'step 1 of 3\nstep 2 of 3\nstep 3 of 3' 'all done' 'posternctl run slow'

    explain "A program that was written for sudo finds who called."
    step 0 "SUDO_GID=$(id -g)"$'\n'"SUDO_UID=$(id -u)"$'\n'"SUDO_USER=$(id -un)" '' 'posternctl run who-asked'

    explain "A value that the action does not take is refused; nothing is started."
    step 122 '' '.*place: "/root" is not one of /etc/apt, .*' 'posternctl run disk-usage place=/root'

    explain "What is not granted, and what does not exist, get the same answer."
    step 126 '' ".*\"forbidden\" does not exist or is not granted to you \(uid $(id -u) \($(id -un)\), .*\).*" \
        'posternctl run forbidden'
    step 126 '' ".*\"no-such\" does not exist or is not granted to you \(uid $(id -u) \($(id -un)\), .*\).*" \
        'posternctl run no-such'

    explain "The same call without posternctl: a line of JSON to the socket."
    call='{"method":"org.postern.Actions.Run","parameters":{"action":"hello","arguments":{"name":"g1"}}}'
    step 0 "\\{\"parameters\":\\{.*\"job\":\"$id\".*\\}\\}" '' \
        "printf '%s\\n' '$call' | nc -U -N \$POSTERN_SOCKET"
    grep -qF '"stdout":"Hi, g1\n"' "$demo_folder/out" || {
        wrong=$((wrong + 1))
        echo 'dev: the last step is WRONG: its reply must have "stdout":"Hi, g1\n"' >&2
    }

    explain "Each call has left a line in the audit; the last denial says why."
    step 0 '.*"action":"forbidden".*' '' "grep forbidden $demo_folder/audit | tail -n 1"

    printf '\n'
    ((wrong == 0)) || die "$wrong of $steps steps did not do what they should"
    say "All $steps steps did what they should"
    [[ $mode == --demo ]] && return

    cat <<END

The guard goes on, on the socket $POSTERN_SOCKET
From another terminal:

    export POSTERN_SOCKET=$POSTERN_SOCKET
    $repository/build/release/bin/posternctl run hello name=YOURS
    $repository/build/release/bin/posternctl --help

Its action files are in $demo_folder/actions. Change them, add one, and have it
look again with: kill -HUP $started
Its audit is $demo_folder/audit. Ctrl-C ends it and removes all of this.
END
    trap 'exit 0' INT TERM
    wait "$started" || true
    cat "$demo_folder/log" >&2
    die "the guard has ended by itself; above is what it said"
}
