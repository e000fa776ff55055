# shellcheck shell=bash
# Runs two programs in the foreground, starts either again when it dies, ends both on Ctrl-C. One that refuses to
# start in the first place ends both as well: what it complains about does not go away by itself.

readonly RESTART_FIRST_S=1 RESTART_LAST_S=30 STEADY_S=60 STOP_S=10 READY_S=20

# supervise NAME PROGRAM NAME PROGRAM OPTION...: both get the options. Returns when told to stop, or 1 when one did not start.
# The caller defines is_ready and after_stop.
supervise() {
    declare -gA program=() process=() started=() pause=() due=()
    options=("${@:5}")
    order=("$1" "$3")
    program[$1]=$2
    program[$3]=$4
    stopping=
    failed=
    had_terminal=
    ! [ -t 0 ] || had_terminal=1
    # The signal only sets a flag: the loop below sees it, since "wait" ends on a trapped signal.
    trap 'stopping=1' INT TERM
    trap 'hung_up' HUP
    trap 'stop_all' EXIT
    local name
    for name in "${order[@]}"; do
        pause[$name]=$RESTART_FIRST_S
        start_one "$name"
    done
    waiting_since=$SECONDS
    while [ -z "$stopping" ]; do
        sleep 0.2 &
        wait $! 2>/dev/null
        [ -z "$waiting_since" ] || announce
        for name in "${order[@]}"; do
            look_after "$name"
        done
    done
    [ -z "$failed" ]
}

# Says once that it is ready, or that it takes long.
announce() {
    if is_ready; then
        say "Ready. Ctrl-C stops it."
        waiting_since=
    elif [ $((SECONDS - waiting_since)) -eq $READY_S ]; then
        warn "Not ready after $READY_S s; the lines above say why. Still trying."
        sleep 1
    fi
}

# Programs ignore the terminal's Ctrl-C (own process group), so that they are stopped in order.
start_one() {
    set -m
    "${program[$1]}" ${options[@]+"${options[@]}"} &
    process[$1]=$!
    set +m
    started[$1]=$SECONDS
    due[$1]=
}

look_after() {
    local name=$1 status
    if [ -n "${due[$name]}" ]; then
        [ "$SECONDS" -lt "${due[$name]}" ] || { say "Starting $name again"; start_one "$name"; }
        return
    fi
    ! kill -0 "${process[$name]}" 2>/dev/null || return 0
    wait "${process[$name]}" 2>/dev/null
    status=$?
    [ -z "$stopping" ] || return 0
    if [ -n "$waiting_since" ] && [ "$status" -le 128 ]; then
        warn "raceway-$name did not start (status $status); the lines above say why"
        failed=1
        stopping=1
        return 0
    fi
    [ $((SECONDS - started[$name])) -lt $STEADY_S ] || pause[$name]=$RESTART_FIRST_S
    warn "raceway-$name ended ($(status_text $status)); starting it again in ${pause[$name]} s"
    due[$name]=$((SECONDS + pause[$name]))
    pause[$name]=$((pause[$name] * 2 < RESTART_LAST_S ? pause[$name] * 2 : RESTART_LAST_S))
}

status_text() {
    if [ "$1" -gt 128 ]; then echo "signal $(kill -l $(($1 - 128)))"; else echo "status $1"; fi
}

# SIGHUP says "reload" if somebody sent it, and "stop" if the terminal is gone: nobody could press Ctrl-C any more.
hung_up() {
    if [ -n "$had_terminal" ] && ! [ -t 0 ]; then
        stopping=1
    else
        kill -HUP "${process[control]}" 2>/dev/null
    fi
}

# Control first, so that it sees a relay until its end.
stop_all() {
    trap '' INT TERM HUP
    trap - EXIT
    local name at
    for name in control relay; do
        if [ -z "${process[$name]:-}" ] || [ -n "${due[$name]}" ]; then continue; fi
        kill -TERM "${process[$name]}" 2>/dev/null || continue
        at=$((SECONDS + STOP_S))
        while kill -0 "${process[$name]}" 2>/dev/null; do
            if [ $SECONDS -ge $at ]; then
                warn "raceway-$name does not stop; killing it"
                kill -KILL "${process[$name]}" 2>/dev/null
            fi
            sleep 0.1
        done
        wait "${process[$name]}" 2>/dev/null
    done
    after_stop
    say "Stopped"
}
