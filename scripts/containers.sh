#!/bin/sh
# usage: scripts/containers.sh    installs what the tests with containers need beside the engine, for make and .ci/run
set -eu
cd "$(dirname "$0")/.."

packages=
docker compose version >/dev/null 2>&1 || docker-compose version >/dev/null 2>&1 || packages=docker-compose
command -v busybox >/dev/null || packages="$packages busybox"
[ -z "$packages" ] || exec scripts/install.sh $packages
