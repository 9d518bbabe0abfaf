# Completion of posternctl(1) for bash.

# Runs posternctl for its JSON output, against the socket that the command line names so far. It is the
# one in PATH, whatever the command line begins with: "./posternctl" may be a stranger's, and completing
# must not start it before its user does.
_posternctl_ask() {
    timeout 2 posternctl "${_posternctl_socket[@]}" --json "$@" 2>/dev/null </dev/null
}

# The values of "name" in JSON on standard input. Only what a name can consist of: bash expands the
# words of `compgen -W`, and a name like $(id) shall never be one.
_posternctl_names() {
    grep -oE '"name":"[A-Za-z0-9._-]+"' | cut -d'"' -f4
}

# In the same way the ids of jobs.
_posternctl_jobs() {
    grep -oE '"job":"[0-9a-f]{32}"' | cut -d'"' -f4
}

_posternctl() {
    # From the tables of ctl/verbs/, by ctl_tests (HACKING.md, "Tests"):
    local verbs='run attach logs wait jobs show cancel notify list describe check whoami ping call lint status reload log-level'
    local options='--socket --user --json --help --version'
    local -A own=(
        [run]='--detach --on-interrupt --datagram --file --input --no-input'
        [attach]='--tail --from-now'
        [logs]='--follow --stdout --stderr --tail'
        [jobs]='--all --action --state --since --limit'
        [show]='--all'
        [cancel]='--signal --now --all-of'
        [describe]='--datagram'
        [check]='--datagram --file'
        [whoami]='--datagram'
        [ping]='--datagram'
        [call]='--more --lines'
    )
    # End of what is from the tables.
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local verb='' action='' word i
    local -a _posternctl_socket=() datagram=()
    COMPREPLY=()

    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
            --socket)
                # "--socket=PATH" comes as three words.
                [[ ${COMP_WORDS[i + 1]} == '=' ]] && ((i++))
                ((i + 1 < COMP_CWORD)) && _posternctl_socket=(--socket "${COMP_WORDS[i + 1]}")
                ((i++))
                ;;
            --file)
                # NAME=PATH is three words.
                [[ ${COMP_WORDS[i + 1]} == '=' ]] && ((i++))
                ((i++))
                [[ ${COMP_WORDS[i + 1]} == '=' ]] && ((i += 2))
                ;;
            --on-interrupt)
                [[ ${COMP_WORDS[i + 1]} == '=' ]] && ((i++))
                ((i++))
                ;;
            --tail)
                [[ ${COMP_WORDS[i + 1]} == '=' ]] && ((i++))
                ((i++))
                ;;
            --action)
                ;&
            --state)
                ;&
            --since)
                ;&
            --limit)
                ;&
            --input)
                [[ ${COMP_WORDS[i + 1]} == '=' ]] && ((i++))
                ((i++))
                ;;
            --signal)
                [[ ${COMP_WORDS[i + 1]} == '=' ]] && ((i++))
                ((i++))
                ;;
            --all-of)
                [[ ${COMP_WORDS[i + 1]} == '=' ]] && ((i++))
                ((i++))
                ;;
            --user) _posternctl_socket=(--user) ;;
            --datagram) datagram=(--datagram) ;;
            -*) ;;
            *)
                if [[ -z $verb ]]; then
                    verb=$word
                elif [[ -z $action ]]; then
                    action=$word
                fi
                ;;
        esac
    done

    if [[ $previous == --socket || $previous == --input ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
    fi
    if [[ $verb == cancel && $previous == --signal ]]; then
        mapfile -t COMPREPLY < <(compgen -W 'HUP INT QUIT ABRT KILL USR1 USR2 TERM' -- "$current")
        return
    fi
    if [[ $verb == cancel && $previous == --all-of ]]; then
        mapfile -t COMPREPLY < <(compgen -u -- "$current")
        return
    fi
    if [[ $previous == --on-interrupt || $previous == '=' && ${COMP_WORDS[COMP_CWORD - 2]} == --on-interrupt ]]; then
        [[ $current == '=' ]] || mapfile -t COMPREPLY < <(compgen -W 'detach cancel' -- "$current")
        return
    fi
    case $previous in
        --action)
            mapfile -t COMPREPLY < <(
                compgen -W "$(_posternctl_ask list | _posternctl_names)" -- "$current")
            return
            ;;
        --state)
            mapfile -t COMPREPLY < <(compgen -W 'starting running ended failed' -- "$current")
            return
            ;;
        --since | --limit)
            return
            ;;
    esac
    if [[ $current == -* ]]; then
        [[ -n $verb ]] && options+=" ${own[$verb]-}"
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
        return
    fi
    if [[ -z $verb ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$current")
        return
    fi
    case $verb in
        run | check | describe | notify)
            [[ $verb == notify ]] && datagram=(--datagram)
            if [[ -z $action ]]; then
                mapfile -t COMPREPLY < <(
                    # A list is what the stream socket alone gives.
                    compgen -W "$(_posternctl_ask list | _posternctl_names)" -- "$current")
            elif [[ $verb != describe && $current != '=' && $previous != '=' ]]; then
                # The action's own name is among the names as well.
                mapfile -t COMPREPLY < <(
                    compgen -S = -W "$(_posternctl_ask "${datagram[@]}" describe "$action" | _posternctl_names |
                        grep -vxF -e "$action")" -- "$current")
                compopt -o nospace 2>/dev/null
            fi
            ;;
        show)
            [[ -z $action ]] && mapfile -t COMPREPLY < <(
                compgen -W "$(_posternctl_ask jobs | _posternctl_jobs)" -- "$current")
            ;;
        lint)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            ;;
        call)
            mapfile -t COMPREPLY < <(
                compgen -P org.postern.Actions. -W 'List Describe Check Run WhoAmI Ping' \
                    -- "${current#org.postern.Actions.}")
            ;;
    esac
}

complete -F _posternctl posternctl
