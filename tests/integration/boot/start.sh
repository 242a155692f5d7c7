# shellcheck shell=bash
# systemd started in a container over this machine's files, under an overlay, for shell tests. Nothing outside of the test's own folder is
# written, and no mount outlives it. Sourced after common.sh; the test defines furnish.
[ "$(id -u)" -eq 0 ] || {
    echo "1..0 # SKIP needs root"
    exit 0
}
root=$WORK/overlay/root
export WORK root

# inside VISIT: prepared as root of a mount namespace of its own; furnish puts into $root what this test needs.
inside() {
    set -e
    mkdir "$WORK/overlay"
    mount -t tmpfs tmpfs "$WORK/overlay"
    mkdir "$WORK/overlay/upper" "$WORK/overlay/work" "$root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$WORK/overlay/upper,workdir=$WORK/overlay/work" "$root"
    DESTDIR=$root meson install -C "$PC_BUILD" --no-rebuild --quiet
    : >"$root/etc/fstab"
    furnish
    cp "$PC_SOURCE/tests/integration/boot/$1" "$root/srv/visit"
    printf '%s\n' '[Unit]' 'Requires=basic.target visit.service' After=basic.target >"$root/etc/systemd/system/visit.target"
    printf '%s\n' '[Unit]' After=basic.target '[Service]' ExecStart=/srv/visit >"$root/etc/systemd/system/visit.service"
    timeout -k 5 200 systemd-nspawn -q -D "$root" --private-network --register=no --keep-unit -b systemd.unit=visit.target \
        >"$WORK/console" 2>&1 </dev/null || true
    cp -a "$root/srv/results" "$WORK/results"
}

# boot VISIT: the container, and VISIT in it, whose results are then in $WORK/results.
boot() {
    export -f inside furnish
    if unshare -m --propagation private bash -c "inside $1" >"$WORK/inside.log" 2>&1 && [ -s "$WORK/results/ended" ]; then
        return
    fi
    # Where no container can be started at all, that is the machine's matter; one that came up must come to its end.
    if [ "${CI:-}" = true ] && grep -qs systemd "$WORK/console"; then
        fail "systemd in a container" "$(tail -n 5 "$WORK/inside.log")" "$(tail -n 10 "$WORK/console" 2>/dev/null)"
        finish
    fi
    echo "1..0 # SKIP systemd cannot be run in a container here: $(tail -n 1 "$WORK/inside.log")"
    exit 0
}

# told NAME: what was told there at that point, on one line
told() { tr '\n' ' ' <"$WORK/results/$1"; }
