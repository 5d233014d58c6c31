#!/usr/bin/env bash
# unpack-debian.sh DIR SUITE "PACKAGE..." PROGRAM...: fetches packages from a Debian suite and unpacks them in DIR, with all they need,
# beside the system and without touching it. Each PROGRAM (as usr/bin/x) must be there then. Wants apt-get, dpkg and a Debian mirror
# among the system's sources; needs no root. Exit code 3: this machine cannot do that (the last line says why).
set -euo pipefail
dir=$(mkdir -p "$1" && cd "$1" && pwd)
suite=$2
read -ra wanted <<< "$3"
programs=("${@:4}")
cannot() { echo "$1"; exit 3; }

command -v apt-get > /dev/null && command -v dpkg > /dev/null || cannot "no apt-get here"
# The system's own mirror serves other suites as well.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2> /dev/null | grep -v '^#' |
  grep -oE 'https?://[^ ]+/debian/?( |$)' | head -1 | tr -d ' ') || true
[ -n "$mirror" ] || cannot "no Debian mirror among the system's package sources"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keyring" ] || cannot "no keyring of the Debian archive"

state=$dir/.apt
mkdir -p "$state"/{lists/partial,cache/archives/partial,empty}
: > "$state/status"
echo "deb [signed-by=$keyring] $mirror $suite main" > "$state/sources"
apt() {
  apt-get -qq -o Dir::State="$state" -o Dir::State::lists="$state/lists" -o Dir::State::status="$state/status" \
    -o Dir::Cache="$state/cache" -o Dir::Etc::sourcelist="$state/sources" -o Dir::Etc::sourceparts="$state/empty" \
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts="$state/empty" -o APT::Install-Recommends=false \
    -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none "$@"
}
apt update > "$state/log" 2>&1 || cannot "the package lists of $suite could not be fetched: $(tail -1 "$state/log")"
apt -y --download-only install "${wanted[@]}" >> "$state/log" 2>&1 ||
  cannot "${wanted[*]} of $suite could not be fetched: $(tail -1 "$state/log")"
for package in "$state"/cache/archives/*.deb; do dpkg-deb -x "$package" "$dir"; done
rm -rf "$state/cache" "$state/lists"
for link in bin sbin lib lib64; do
  [ -e "$dir/$link" ] || [ ! -d "$dir/usr/$link" ] || ln -s "usr/$link" "$dir/$link"
done
for program in "${programs[@]}"; do [ -x "$dir/$program" ] || cannot "the packages hold no $program"; done
