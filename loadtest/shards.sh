#!/bin/sh
# Measures the memory of a follower with a part of the users: opens a copy of a data folder as the first shard of
# 1, 2, 4 and 8, one after the other. Needs the program built in release:
#
#   loadtest/shards.sh DATA
set -eu

program=${CARGO_TARGET_DIR:-target}/release/qianmian
work=$(mktemp -d)
pid=""

end() {
    # Only what this script has started.
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap end EXIT INT TERM

cp -r "$1" "$work/copy"
for shards in 1 2 4 8; do
    # No primary is there: the follower answers from its folder.
    QIANMIAN_FOLLOW__SHARD="0/$shards" QIANMIAN_TRAIN__AUTOMATIC=false "$program" serve --data "$work/copy" \
        --listen 127.0.0.1:50971 --admin-listen 127.0.0.1:50972 --follow 127.0.0.1:9 >"$work/log" 2>&1 &
    pid=$!
    tries=0
    until grep -q serving "$work/log"; do
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || { cat "$work/log"; exit 1; }
        sleep 1
    done
    awk -v shards="$shards" '/^VmRSS/ { printf "shard 0/%d: %d MiB\n", shards, $2 / 1024 }' "/proc/$pid/status"
    grep -o "seconds.*" "$work/log" | head -1
    kill "$pid"
    wait "$pid" || true
    pid=""
done
