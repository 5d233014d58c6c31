#!/usr/bin/env bash
# unpack.sh DIR: ngtcp2's example client and server (over GnuTLS) of the Debian suite named below, unpacked in DIR. Exit code 3: this
# machine cannot do that.
exec bash "$(dirname "$0")/../../../tools/unpack-debian.sh" "$1" trixie "ngtcp2-client ngtcp2-server" usr/bin/gtlsclient usr/sbin/gtlsserver
