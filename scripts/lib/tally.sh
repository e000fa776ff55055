# shellcheck shell=bash
# Runs steps, counts what passed and failed.

passed=0
failed=0
failures=()
log=$(mktemp -t raceway-test.XXXXXX)
trap 'rm -f "$log"' EXIT

# step NAME COMMAND...: one check.
step() {
    local name=$1 begun=$SECONDS
    shift
    say "$name"
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        failures+=("$name: $*")
    fi
    say "$name: $((SECONDS - begun)) s"
}

# cargo_tests NAME COMMAND...: counts what "test result" lines say; shows only what a reader needs of the output.
cargo_tests() {
    local name=$1 status begun=$SECONDS
    shift
    say "$name"
    "$@" >"$log"
    status=$?
    grep -E '^(test result|skipped)|^test .* (FAILED|ignored)|panicked at' "$log"
    passed=$((passed + $(count_in passed "$log")))
    failed=$((failed + $(count_in failed "$log")))
    if [ $status -ne 0 ]; then
        sed -n '/^failures:/,/^test result/p' "$log"
        [ "$(count_in failed "$log")" -gt 0 ] || { failed=$((failed + 1)); failures+=("$name: did not build or run"); }
        while read -r line; do failures+=("$line"); done < <(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log")
    fi
    say "$name: $((SECONDS - begun)) s"
}

# count_in WORD FILE: the sum of "N WORD" over the test result lines.
count_in() {
    sed -n "s/^test result:.* \([0-9]*\) $1[;.].*/\1/p" "$2" | awk '{ sum += $1 } END { print sum + 0 }'
}

# system_tests: real clients in network namespaces.
system_tests() {
    local status begun=$SECONDS must=()
    say "system tests"
    [ -z "${RACEWAY_REQUIRE_BPF:-}" ] || must=(--must-run)
    scripts/system/run ${must[@]+"${must[@]}"} 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    local p f
    p=$(sed -n 's/^system tests: \([0-9]*\) passed.*/\1/p' "$log")
    f=$(sed -n 's/^system tests: .* \([0-9]*\) failed.*/\1/p' "$log")
    passed=$((passed + ${p:-0}))
    failed=$((failed + ${f:-0}))
    if [ "$status" -ne 0 ]; then
        [ "${f:-0}" -gt 0 ] || failed=$((failed + 1))
        failures+=("system tests: see above")
    fi
    say "system tests: $((SECONDS - begun)) s"
}

finish() {
    if [ ${#failures[@]} -gt 0 ]; then
        warn "failed:"
        printf '     %s\n' "${failures[@]}"
    fi
    printf '%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ] || exit 1
}
