#!/bin/sh
# Installs or uninstalls the boat's program as a systemd service. Can be repeated: an installation is updated, an existing configuration
# is kept.
#
#   sudo ./install.sh                      the program beside this script or in target/release
#   sudo ./install.sh --binary FILE        this program
#   sudo ./install.sh --uninstall          remove program and service; keep configuration and sightings
#   DESTDIR=image ./install.sh             install into a folder, e.g. an image: no user, no service start
set -eu

usage() {
    sed -n '2,9s/^# \{0,1\}//p' "$0"
}

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

say() {
    echo "install.sh: $*"
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
destdir=${DESTDIR:-}
user=flukewatch
unit=flukewatch-edge.service
binary=
uninstall=no

while [ $# -gt 0 ]; do
    case $1 in
        --binary)
            [ $# -ge 2 ] || fail "--binary needs a file"
            binary=$2
            shift
            ;;
        --uninstall) uninstall=yes ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            usage >&2
            exit 2
            ;;
    esac
    shift
done

if [ -z "$destdir" ] && [ "$(id -u)" -ne 0 ]; then
    fail "must be run by root: sudo $0"
fi
if [ -n "$destdir" ]; then
    case $destdir in
        /*) ;;
        *) destdir=$PWD/$destdir ;;
    esac
fi

# Whether this installs into the running system, under systemd.
with_systemd() {
    [ -z "$destdir" ] && [ -d /run/systemd/system ]
}

if [ "$uninstall" = yes ]; then
    if with_systemd; then
        systemctl disable --now "$unit" 2>/dev/null || true
    fi
    rm -f "$destdir/usr/bin/flukewatch-edge" "$destdir/lib/systemd/system/$unit" \
        "$destdir/usr/share/doc/flukewatch-edge/edge.example.toml"
    rmdir "$destdir/usr/share/doc/flukewatch-edge" 2>/dev/null || true
    if with_systemd; then
        systemctl daemon-reload
    fi
    say "removed. /etc/flukewatch, /var/lib/flukewatch with the outbox, and the user $user are kept; remove them by hand once everything is delivered"
    exit 0
fi

if [ -z "$binary" ]; then
    for candidate in "$here/flukewatch-edge" "$here/../../target/release/flukewatch-edge"; do
        if [ -f "$candidate" ]; then
            binary=$candidate
            break
        fi
    done
fi
[ -n "$binary" ] || fail "no program beside this script or in target/release: build it with 'cargo build --release -p flukewatch-edge', or pass --binary"
[ -f "$binary" ] || fail "$binary does not exist"

example=
for candidate in "$here/edge.example.toml" "$here/../edge.example.toml"; do
    if [ -f "$candidate" ]; then
        example=$candidate
        break
    fi
done
[ -n "$example" ] || fail "edge.example.toml is missing beside this script"
[ -f "$here/$unit" ] || fail "$unit is missing beside this script"

# A program for another processor would otherwise fail only at the first start.
if [ -z "$destdir" ] && ! "$binary" --version >/dev/null 2>&1; then
    fail "$binary does not run on this computer ($(uname -m)): was it built for another one?"
fi

if [ -z "$destdir" ]; then
    if ! getent group "$user" >/dev/null; then
        groupadd --system "$user"
    fi
    if ! getent passwd "$user" >/dev/null; then
        useradd --system --gid "$user" --home-dir /var/lib/flukewatch --no-create-home \
            --shell /usr/sbin/nologin --comment "Flukewatch" "$user"
    fi
    for group in video dialout render; do
        if getent group "$group" >/dev/null; then
            usermod --append --groups "$group" "$user"
        fi
    done
fi

install -d -m 0755 "$destdir/usr/bin" "$destdir/lib/systemd/system" "$destdir/usr/share/doc/flukewatch-edge"
install -m 0755 "$binary" "$destdir/usr/bin/flukewatch-edge.new"
# In one step: a power cut leaves the old or the new program.
mv -f "$destdir/usr/bin/flukewatch-edge.new" "$destdir/usr/bin/flukewatch-edge"
install -m 0644 "$here/$unit" "$destdir/lib/systemd/system/$unit"
install -m 0644 "$example" "$destdir/usr/share/doc/flukewatch-edge/edge.example.toml"

# The configuration holds the broker's password.
install -d -m 0750 "$destdir/etc/flukewatch" "$destdir/var/lib/flukewatch"
config=$destdir/etc/flukewatch/edge.toml
fresh=no
if [ ! -e "$config" ]; then
    fresh=yes
    "$here/boat-config.sh" "$example" >"$config.new"
    chmod 0640 "$config.new"
    mv "$config.new" "$config"
fi
if [ -z "$destdir" ]; then
    chown root:"$user" /etc/flukewatch "$config"
    chown "$user:$user" /var/lib/flukewatch
fi

# The address that opens the boat's page, with its token; made as the boat's user, who has to read it. An image's token is made at its
# first start.
if [ -z "$destdir" ]; then
    runuser -u "$user" -- flukewatch-edge page-token --config /etc/flukewatch/edge.toml ||
        say "print the address of the boat's page: sudo -u $user flukewatch-edge page-token --config /etc/flukewatch/edge.toml"
fi

if with_systemd; then
    systemctl daemon-reload
    systemctl enable "$unit"
    if systemctl is-active --quiet "$unit"; then
        systemctl restart "$unit"
        say "$unit restarted with the new program"
    fi
fi

if [ "$fresh" = yes ]; then
    say "fill in /etc/flukewatch/edge.toml (boat, trusted_keys, camera, receiver, broker), put the signed bundle at /var/lib/flukewatch/whales.flukebundle, then:"
    say "  sudo -u $user flukewatch-edge check --config /etc/flukewatch/edge.toml"
    say "  sudo systemctl start flukewatch-edge"
else
    say "done; /etc/flukewatch/edge.toml is unchanged"
fi
