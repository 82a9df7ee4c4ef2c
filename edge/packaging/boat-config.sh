#!/bin/sh
# Prints the example configuration, given as $1, adapted to an installed boat: data in /var/lib/flukewatch, a camera instead of a
# replay, and only signed bundles. The page stays on this computer alone.
set -eu
sed -e 's|^path = "whales.flukebundle"$|path = "/var/lib/flukewatch/whales.flukebundle"|' \
    -e 's|^allow_unsigned = true$|allow_unsigned = false|' \
    -e 's|^path = "outbox"$|path = "/var/lib/flukewatch/outbox"|' \
    -e 's|^plans = "plans"$|plans = "/var/lib/flukewatch/plans"|' \
    -e 's|^source = "replay"$|source = "v4l2"|' \
    -e 's|^path = "frames"$|path = "/dev/video0"|' \
    "$1"
