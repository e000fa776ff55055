# shellcheck shell=bash
# What every script here says and asks.

say() { printf '== %s\n' "$*"; }
warn() { printf '!! %s\n' "$*" >&2; }
die() { warn "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" = 0 ]; }

# apt_install PACKAGE... : installs Debian packages; refuses with the command to type where it cannot.
apt_install() {
    local again="run as root: apt-get install $*"
    have apt-get || die "This is not Debian or Ubuntu. Install what these packages hold: $*"
    is_root || die "Missing packages and not root; $again"
    say "Installing Debian packages: $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -q update || warn "apt-get update failed; trying with the lists that are here"
    apt-get -q install --yes --no-install-recommends "$@" || die "apt-get could not install: $*"
}
