#!/bin/sh
# usage: scripts/haproxy.sh [LINE]...
#
# Makes real HAProxys runnable, one for each release line (default: all that the tests want):
#
#	.cache/haproxy/<line>/haproxy    a wrapper that becomes HAProxy: same process id, any working directory
#	.cache/haproxy/<line>/version    which one it is
#
# They are Debian's packages, of whatever suite has the line at the time, unpacked together with the libraries they
# load and run by their own loader: nothing is installed, and this machine's apt and dpkg are only read. Mirror,
# proxies and credentials are those of this machine's apt, which also checks the signatures.
#
# What is in the cache is kept; delete a line's folder to get its newest version. PEERSD_CACHE names another cache
# folder. The exit code is 1 if a line could not be made; the others are made all the same.
set -eu

lines=${*:-2.6 3.0 3.2 3.4}
suites='bookworm trixie testing sid experimental'
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
cd "$(dirname "$0")/.."
cache=${PEERSD_CACHE:-.cache}/haproxy

say() { echo "haproxy.sh: $*" >&2; }
die() { say "$@"; exit 1; }

missing() {
	for line in $lines; do
		[ -x "$cache/$line/haproxy" ] || echo "$line"
	done
}

# write_apt_conf sets up an apt with sources, state and cache of its own in $tmp, in which no package is installed yet.
# The machine's configuration is read before it. A mirror may stand still, as snapshots do: old lists are as good here,
# and signed as well.
write_apt_conf() {
	mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' 'Component: main' |
		awk -v release="$(. /etc/os-release && echo "$VERSION_CODENAME")" '$2 == release { print $1; exit }')
	[ -n "$mirror" ] || die "apt's sources name no Debian mirror: see /etc/apt/sources.list and sources.list.d"
	[ -e "$keyring" ] || die "$keyring is missing: install debian-archive-keyring"

	mkdir -p "$tmp/state/lists/partial" "$tmp/cache/archives/partial"
	: >"$tmp/status"
	for suite in $suites; do
		echo "deb [arch=$(dpkg --print-architecture) signed-by=$keyring target=Packages] $mirror $suite main"
	done >"$tmp/sources.list"
	cat >"$tmp/apt.conf" <<-EOF
		#clear APT::Update;
		APT::Sandbox::User "root";
		Acquire::Check-Valid-Until "false";
		Dir::State "$tmp/state";
		Dir::State::status "$tmp/status";
		Dir::Cache "$tmp/cache";
		Dir::Cache::pkgcache "pkgcache.bin";
		Dir::Cache::srcpkgcache "srcpkgcache.bin";
		Dir::Etc::sourcelist "$tmp/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferences "/dev/null";
		Dir::Etc::preferencesparts "/dev/null";
	EOF
}

# find_version prints the newest version of a line, and a suite that has it.
find_version() {
	apt-cache -c "$tmp/apt.conf" madison haproxy |
		awk -v prefix="$1." 'index($3, prefix) == 1 { sub("/.*", "", $6); print $3, $6 }' | sort -V | tail -n 1
}

# make_line VERSION SUITE DIR: apt finds out what HAProxy depends on; of that only the libraries are of use.
make_line() (
	set -e
	mkdir -p "$3/root" "$3/debs" && cd "$3/debs"
	packages=$(apt-get -c "$tmp/apt.conf" -s -t "$2" --no-install-recommends install "haproxy=$1" |
		awk '$1 == "Inst" && $2 ~ /^(haproxy|z?lib.*)$/ { print $2 "=" substr($3, 2) }')
	apt-get -c "$tmp/apt.conf" -qq download $packages
	for deb in *.deb; do
		dpkg-deb -x "$deb" ../root
	done
	cd ..
	rm -r debs root/etc root/usr/share

	echo "$1" >version
	arch=$(cd root/usr/lib && echo *-linux-gnu*)
	loader=$(find root -type f -name 'ld-linux*')
	cat >haproxy <<-EOF
		#!/bin/sh
		# HAProxy $1, unpacked by scripts/haproxy.sh
		here=\${0%/*}
		exec "\$here/$loader" --library-path "\$here/root/lib/$arch:\$here/root/usr/lib/$arch" "\$here/root/usr/sbin/haproxy" "\$@"
	EOF
	chmod +x haproxy
	./haproxy -v >/dev/null
)

[ -n "$(missing)" ] || exit 0

for tool in apt-get dpkg-deb flock; do
	command -v $tool >/dev/null || die "$tool is missing: this needs Debian or a system made from it"
done
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
exec 9>"$cache/lock"
flock 9 # another run may be at it: then all is there after the wait
[ -n "$(missing)" ] || exit 0

rm -rf "$cache"/tmp.* # of a run that was killed
tmp=$(mktemp -d "$cache/tmp.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

say "reading the package lists of $suites"
write_apt_conf
apt-get -c "$tmp/apt.conf" -qq update || say 'not all package lists could be read, going on with the others'

failed=0
for line in $(missing); do
	found=$(find_version "$line")
	if [ -z "$found" ]; then
		say "there is no HAProxy $line in $suites (any more): tests that need it can't run"
		failed=1
		continue
	fi
	version=${found% *} suite=${found#* }
	say "HAProxy $version from $suite"
	set +e # a shell ignores -e in all that is called from a condition
	make_line "$version" "$suite" "$tmp/$line" >"$tmp/$line.log" 2>&1
	made=$?
	set -e
	if [ $made -eq 0 ]; then
		rm -rf "${cache:?}/$line"
		mv "$tmp/$line" "$cache/$line"
	else
		say "HAProxy $version could not be unpacked and run:"
		cat "$tmp/$line.log" >&2
		failed=1
	fi
done
exit $failed
