#!/usr/bin/env bash
# unpack.sh DIR: nft of the Debian suite named below, unpacked in DIR. Exit code 3: this machine cannot do that.
exec bash "$(dirname "$0")/../../tools/unpack-debian.sh" "$1" trixie nftables usr/sbin/nft
