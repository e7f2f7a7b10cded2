#!/usr/bin/env bash
# Loads Recommend with h2load: one connection pool, one user. usage: h2load.sh ADDRESS USER [REQUESTS]
set -euo pipefail
address=$1 user=$2 requests=${3:-100000}
body=$(mktemp)
trap 'rm -f "$body"' EXIT
# A gRPC frame: no compression, length, then RecommendRequest{user_id = 1, limit = 3}.
python3 - "$user" >"$body" <<'PYTHON'
import struct, sys
user = sys.argv[1].encode()
message = b"\x0a" + bytes([len(user)]) + user + b"\x18\x14"
sys.stdout.buffer.write(b"\0" + struct.pack(">I", len(message)) + message)
PYTHON
h2load -n "$requests" -c 10 -m 10 -t 1 -d "$body" \
  -H 'content-type: application/grpc' -H 'te: trailers' \
  "http://$address/qianmian.v1.RecommendationService/Recommend"
