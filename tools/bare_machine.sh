#!/usr/bin/env bash
# Shows that facepool installs and passes its tests on a machine that has nothing: makes a Debian 12 root in a folder
# (debootstrap's smallest, with Python, make and git only), clones the last commit into root's home in there, and runs
# a command in the clone.
#
#   sudo tools/bare_machine.sh DIR                     # make demo && make test
#   sudo tools/bare_machine.sh DIR 'make demo'         # any other command
#   sudo CLONE_AS=nobody tools/bare_machine.sh DIR     # a clone in /srv that belongs to a user without a home
#
# Needs root, debootstrap, and a Debian mirror: the one that apt uses here, or MIRROR=ADDRESS. The root stays in DIR for
# the next run; the clone is made anew each time. Package index, certificates and name servers are those of this machine.
set -euo pipefail

fail() {
    echo "$1" >&2
    exit 1
}

if [[ -z ${BARE_MACHINE_MOUNTS:-} ]]; then
    [[ $# -ge 1 ]] || fail "Say where: tools/bare_machine.sh DIR ['COMMAND']"
    [[ $EUID -eq 0 ]] || fail "Only root may make a root: sudo tools/bare_machine.sh $*"
    command -v debootstrap >/dev/null || fail "debootstrap is missing. On Debian and Ubuntu: apt install debootstrap"
    BARE_MACHINE_MOUNTS=1 exec unshare --mount --propagation private "$0" "$@"  # what is mounted goes when this ends
fi

repository=$(cd "$(dirname "$0")/.." && pwd)
command=${2:-make demo && make test}
user=${CLONE_AS:-root}
mkdir -p "$1"
machine=$(cd "$1" && pwd)

if [[ ! -x $machine/usr/bin/git ]]; then
    mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' \
        'Component: main' | head -n 1)}
    [[ -n $mirror ]] || fail "apt knows no mirror of Debian 12 here. Name one: MIRROR=ADDRESS tools/bare_machine.sh $*"
    debootstrap --variant=minbase --include=python3,python3-venv,make,git,ca-certificates bookworm "$machine" "$mirror"
fi

lend() { # a file or folder of this machine, to be read under the same path in there
    [[ -e $1 && ! $1 -ef $machine$1 ]] || return 0
    if [[ -d $1 ]]; then mkdir -p "$machine$1"; else mkdir -p "$machine$(dirname "$1")" && touch "$machine$1"; fi
    mount --bind -o ro "$(readlink -f "$1")" "$machine$1"
}

mount -t proc proc "$machine/proc"
mount --rbind /dev "$machine/dev"
mount --rbind -o ro /sys "$machine/sys"
lend /etc/resolv.conf
lend /etc/ssl/certs/ca-certificates.crt
lend /etc/pip.conf
lend /etc/xdg/pip
lend "${HOME:-/root}/.config/pip"
local_indexes=$(python3 -m pip config list 2>/dev/null | grep -oE "(file://|=')/[^' ]+|[' ]/[^' ]+" | grep -oE '/[^/].*' || true)
for path in $local_indexes; do
    lend "${path%/simple}"
done

home=$(chroot "$machine" getent passwd "$user" | cut -d : -f 6)
folder=$home/facepool
[[ $user == root ]] || folder=/srv/facepool
rm -rf "${machine:?}$folder"
git clone --quiet "$repository" "$machine$folder"
chroot "$machine" chown -R "$user": "$folder"

kept=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "TERM=${TERM:-dumb}")
for name in $(compgen -e | grep -iE '^(PIP_.*|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|https?_proxy|all_proxy|no_proxy)$'); do
    kept+=("$name=${!name}")
done
chroot --userspec "$user" --groups "" "$machine" env -i "${kept[@]}" HOME="$home" bash -c "cd $folder && $command"
