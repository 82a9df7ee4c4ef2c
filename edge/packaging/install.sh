#!/bin/sh
# Installs the boat's program as a service of systemd, or takes it away again. May be run as often as you like: what is there is
# brought up to date, and a configuration that is there is left as it is.
#
#   sudo ./install.sh                      the program beside this script or in target/release
#   sudo ./install.sh --binary FILE        this program
#   sudo ./install.sh --uninstall          removes program and service; configuration and sightings stay
#   DESTDIR=image ./install.sh             into a folder, as for an image: no user is made and no service started
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
    fail "this changes the system and must be run by root: sudo $0"
fi
if [ -n "$destdir" ]; then
    case $destdir in
        /*) ;;
        *) destdir=$PWD/$destdir ;;
    esac
fi

# Whether the running system, and not a folder, is meant, and has systemd at work.
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
    say "removed. /etc/flukewatch, /var/lib/flukewatch with the outbox, and the user $user stay; remove them by hand once shore has everything"
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
[ -n "$binary" ] || fail "there is no program beside this script nor in target/release: build it with 'cargo build --release -p flukewatch-edge', or name it with --binary"
[ -f "$binary" ] || fail "$binary is not there"

example=
for candidate in "$here/edge.example.toml" "$here/../edge.example.toml"; do
    if [ -f "$candidate" ]; then
        example=$candidate
        break
    fi
done
[ -n "$example" ] || fail "edge.example.toml is not beside this script"
[ -f "$here/$unit" ] || fail "$unit is not beside this script"

# A program for another processor would fail only when the boat is at sea.
if [ -z "$destdir" ] && ! "$binary" --version >/dev/null 2>&1; then
    fail "$binary does not run on this computer ($(uname -m)): is it built for another one?"
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
# In one step, so that a power cut leaves the old one or the new one.
mv -f "$destdir/usr/bin/flukewatch-edge.new" "$destdir/usr/bin/flukewatch-edge"
install -m 0644 "$here/$unit" "$destdir/lib/systemd/system/$unit"
install -m 0644 "$example" "$destdir/usr/share/doc/flukewatch-edge/edge.example.toml"

# The broker's password stands in the configuration: others may not read it.
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

if with_systemd; then
    systemctl daemon-reload
    systemctl enable "$unit"
    if systemctl is-active --quiet "$unit"; then
        systemctl restart "$unit"
        say "$unit is restarted with the new program"
    fi
fi

if [ "$fresh" = yes ]; then
    say "fill in /etc/flukewatch/edge.toml (boat, camera, receiver, broker), put the bundle at /var/lib/flukewatch/whales.flukebundle, then:"
    say "  sudo -u $user flukewatch-edge check --config /etc/flukewatch/edge.toml"
    say "  sudo systemctl start flukewatch-edge"
else
    say "done; /etc/flukewatch/edge.toml is as it was"
fi
