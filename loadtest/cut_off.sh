#!/bin/sh
# Cuts a follower off from its primary for a while, under load: primary, follower and load in network namespaces
# of their own, joined by a bridge in a fourth. Needs root, iproute2, and the programs built in release:
#
#   loadtest/cut_off.sh [EVENTS_A_SECOND] [SECONDS_CUT_OFF]
set -eu

events=${1:-5000}
seconds=${2:-60}
programs=${CARGO_TARGET_DIR:-target}/release
work=$(mktemp -d)
id=qm$$
pids=""

end() {
    # Only what this script has started.
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    for host in net primary copy load; do ip netns del "$id-$host" 2>/dev/null || true; done
    rm -rf "$work"
}
trap end EXIT INT TERM

# The hosts: 192.0.2.0/24 is reserved for examples (RFC 5737), and reaches nothing outside.
ip netns add "$id-net"
ip -n "$id-net" link add bridge type bridge
ip -n "$id-net" link set bridge up
number=1
for host in primary copy load; do
    ip netns add "$id-$host"
    ip -n "$id-net" link add "$host" type veth peer name eth netns "$id-$host"
    ip -n "$id-net" link set "$host" master bridge up
    ip -n "$id-$host" address add "192.0.2.$number/24" dev eth
    ip -n "$id-$host" link set eth up
    ip -n "$id-$host" link set lo up
    number=$((number + 1))
done

serve() { # HOST ADDRESS ARGUMENT…
    host=$1
    address=$2
    shift 2
    QIANMIAN_SERVE__INSECURE=true QIANMIAN_SERVE__ADMIN_LISTEN= QIANMIAN_TRAIN__AUTOMATIC=false \
        ip netns exec "$id-$host" "$programs/qianmian" serve --listen "$address" "$@" \
        >"$work/$host.log" 2>&1 &
    pids="$pids $!"
}

"$programs/qianmian-bench" synth --users 20000 --items 5000 --events 500000 "$work/log.csv" >/dev/null
"$programs/qianmian" import "$work/log.csv" --data "$work/primary" >/dev/null 2>&1
QIANMIAN_TRAIN__TUNE=false "$programs/qianmian" train --data "$work/primary" >/dev/null 2>&1
serve primary 192.0.2.1:50051 --data "$work/primary"
serve copy 192.0.2.2:50051 --data "$work/copy" --follow 192.0.2.1:50051
sleep 3

(
    sleep 10
    echo "$(date +%s.%N | cut -c-12) CUT: the follower's link is down towards the primary"
    # The load still reaches both: only packets between the two are dropped.
    ip netns exec "$id-copy" ip route add blackhole 192.0.2.1/32
    ip netns exec "$id-primary" ip route add blackhole 192.0.2.2/32
    sleep "$seconds"
    ip netns exec "$id-copy" ip route del blackhole 192.0.2.1/32
    ip netns exec "$id-primary" ip route del blackhole 192.0.2.2/32
    echo "$(date +%s.%N | cut -c-12) MENDED"
) &
pids="$pids $!"

ip netns exec "$id-load" "$programs/qianmian-bench" followers --watch \
    --primary 192.0.2.1:50051 --follower 192.0.2.2:50051 \
    --events "$events" --seconds $((seconds + 25))
