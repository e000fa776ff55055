# shellcheck shell=bash
# What the tests need of the machine.

# ensure_test_packages: as root, installs the clients and tools that system tests and gates run.
ensure_test_packages() {
    local missing=()
    need() { have "$1" || [ -x "/usr/sbin/$1" ] || missing+=("$2"); }
    need ip iproute2
    need nsenter util-linux
    need sysctl procps
    need python3 python3
    need turnutils_uclient coturn
    need rtpengine rtpengine-daemon
    need promtool prometheus
    need kamailio kamailio
    need sipp sip-tester
    need tshark tshark
    need nft nftables
    need valgrind valgrind
    need strace strace
    need openssl openssl
    need ffmpeg ffmpeg
    need age age
    /usr/bin/python3 -c 'import aioice' 2>/dev/null || missing+=(python3-aioice)
    ldconfig -p | grep -q libsrtp2 || missing+=(libsrtp2-1)
    { have gst-inspect-1.0 && gst-inspect-1.0 srtpenc && gst-inspect-1.0 rtppcmupay; } >/dev/null 2>&1 ||
        missing+=(gstreamer1.0-tools gstreamer1.0-plugins-{base,good,bad})
    local browser=()
    have chromium || have chromium-browser || browser=(chromium)
    have firefox-esr || have firefox || browser+=(firefox-esr)
    [ $((${#missing[@]} + ${#browser[@]})) -gt 0 ] || return 0
    if ! is_root; then
        warn "skipped: not root, and these packages are missing: ${missing[*]} ${browser[*]}"
        return 0
    fi
    say "The tests run real clients and tools"
    [ ${#missing[@]} -eq 0 ] || without_starting_services apt_install "${missing[@]}" || exit
    # Ubuntu has Chromium and Firefox as snaps only.
    [ ${#browser[@]} -eq 0 ] || without_starting_services apt_install "${browser[@]}" ||
        warn "skipped: ${browser[*]} could not be installed, so tests with them are not run"
}

# Debian starts what it installs. The tests want programs, not a TURN server or a database in the background.
without_starting_services() {
    local policy=/usr/sbin/policy-rc.d
    if [ -e "$policy" ]; then ("$@"); return; fi
    (
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
        "$@"
    )
}

# decide_what_must_run: sets RACEWAY_REQUIRE_BPF=1 where nothing may skip.
decide_what_must_run() {
    if [ "${CI:-}" = true ] || { is_root && bpf_works; }; then
        export RACEWAY_REQUIRE_BPF=1
        say "Tests that need root or BPF must run here"
    else
        warn "skipped where needed: tests of XDP and network namespaces (they need root and BPF)"
    fi
}

# Whether the kernel lets this user make a network namespace and mount bpffs.
bpf_works() {
    unshare --mount --net sh -c 'mount -t bpf bpf /mnt' 2>/dev/null
}
