#!/bin/sh
# usage: scripts/install.sh PACKAGE...    installs Debian packages, for make and .ci/run
set -eu

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "install.sh: $* is missing: install it, or run this as root on Debian" >&2
	exit 1
fi
echo "install.sh: installing $*" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install --no-install-recommends "$@" >/dev/null
