#!/usr/bin/env bash
# Each fuzzer for a few seconds, under AddressSanitizer and UndefinedBehaviorSanitizer: tests/fuzz/fuzz.sh [SECONDS]. What was found
# before stays in PC_BUILD/fuzz/corpus and is where the next run begins, so that a long run by hand serves the short ones.
# shellcheck source=tests/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh" || exit 1
seconds=${1:-8}
need clang meson ninja
fuzz=$PC_BUILD/fuzz
unset CFLAGS LDFLAGS
targets=(body certs attributes request wire)

# build: with the instrumentation for libFuzzer in all of our code; the PLC's half needs no TPM stack for it.
build() {
    [ -f "$fuzz/build.ninja" ] ||
        CC=clang meson setup "$fuzz" "$PC_SOURCE" -Dfuzz=true -Ddevice=false -Db_sanitize=address,undefined -Db_lundef=false -Dbuildtype=debugoptimized || return 1
    ninja -C "$fuzz" "${targets[@]/#/tests/fuzz/fuzz_}" tests/fuzz/seeds
}
check "the fuzzers build" build || finish
export PC_TEST_KEYS=$fuzz/tests/data
check "well-formed inputs to begin with" "$fuzz/tests/fuzz/seeds" "$WORK/seeds"
for target in "${targets[@]}"; do
    mkdir -p "$fuzz/corpus/$target"
    check "$target: nothing found in $seconds s" "$fuzz/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -max_len=8192 -timeout=10 \
        -rss_limit_mb=1024 -verbosity=0 -print_final_stats=1 -artifact_prefix="$fuzz/" "$fuzz/corpus/$target" "$WORK/seeds/$target"
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$WORK/err")
    if [ "${runs:-0}" -gt 1000 ]; then pass "$target: $runs inputs"; else fail "$target: only ${runs:-0} inputs" "$(tail -n 5 "$WORK/err")"; fi
done
finish
