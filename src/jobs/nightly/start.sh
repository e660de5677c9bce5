#!/usr/bin/env bash
# Waits until the head of a Ray cluster takes clients, and then runs the driver on that cluster.
#
# Usage, in the image: RAY_HEAD=HOST[:PORT] src/jobs/nightly/start.sh [--rounds N] [--parts N]
#
#   RAY_HEAD              where the head takes clients; the port is 10001 if there is none
#   RAY_HEAD_WAIT_SECONDS how long to wait for it; 120 by default
#
# It ends with the exit code of the driver, or with 75, as one may try again later, if there is no head in time.
set -euo pipefail

if [ -z "${RAY_HEAD:-}" ]; then
    echo "RAY_HEAD is not set. To fix, set it to the host of the Ray head, as RAY_HEAD=head:10001." >&2
    exit 64
fi
host="${RAY_HEAD%:*}"
port=10001
[ "$host" = "$RAY_HEAD" ] || port="${RAY_HEAD##*:}"
wait_seconds="${RAY_HEAD_WAIT_SECONDS:-120}"

# A connection of bash alone; it may hang where nothing answers, hence the bound.
head_takes_clients() {
    timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$host" "$port" 2>/dev/null
}

until head_takes_clients; do
    if [ "$SECONDS" -ge "$wait_seconds" ]; then
        echo "No Ray head takes clients at $host:$port after $SECONDS s." >&2
        exit 75
    fi
    sleep 0.5
done
echo "The Ray head at $host:$port takes clients after $SECONDS s."
RAY_ADDRESS="ray://$host:$port" exec python -m jobs.nightly.driver "$@"
