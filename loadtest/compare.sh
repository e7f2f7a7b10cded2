#!/usr/bin/env bash
# Needs ghz v0.120.0. Loads the demo and the ceiling with ghz in turn, three times each, and prints
# requests/s, p50 and p99 in milliseconds of every run. Loopback only; ends by itself.
# With QIANMIAN_TRAIN__TUNE=false the first model stays, and its weighted blend is measured;
# without, a tuned one that is trained after it, with its second stage.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-target}"
cargo build --release --quiet --bins
log=$(mktemp)
config=$(mktemp --suffix .json)
"$target/release/qianmian" serve --demo --listen 127.0.0.1:50061 >"$log" 2>/dev/null &
demo=$!
"$target/release/qianmian-bench" ceiling 127.0.0.1:50062 >/dev/null &
ceiling=$!
trap 'kill $demo $ceiling 2>/dev/null || true; rm -f "$log" "$config"' EXIT
for _ in $(seq 300); do grep -q '^Serving' "$log" && break; sleep 0.1; done
if [ "${QIANMIAN_TRAIN__TUNE:-true}" = true ]; then
  "$target/release/qianmian" train --server 127.0.0.1:50061 2>/dev/null
fi
measure() { # NAME ADDRESS
  # ghz knows a configuration by the ending of its name, and takes the host from it alone.
  sed "s/127.0.0.1:50051/$2/; s/^{/{ \"format\": \"json\",/" loadtest/recommend.json >"$config"
  ghz --config "$config" | python3 -c '
import json, sys
r = json.load(sys.stdin)
at = {d["percentage"]: d["latency"] / 1e6 for d in r["latencyDistribution"]}
assert set(r["statusCodeDistribution"]) == {"OK"}, r["statusCodeDistribution"]
rps = r["rps"]
print(f"{sys.argv[1]:<10} {rps:>8.0f} requests/s   p50 {at[50]:.2f} ms   p99 {at[99]:.2f} ms")' "$1"
}
for _ in 1 2 3; do
  measure ceiling 127.0.0.1:50062
  measure recommend 127.0.0.1:50061
done
