#!/usr/bin/env bash
# peer.sh PROGRAM...: ngtcp2's example client or server (PROGRAM with its first arguments) under the interop runner's contract, for
# the cases over HTTP/3: ROLE, TESTCASE, REQUESTS, SSLKEYLOGFILE, QLOGDIR; WWW, DOWNLOADS, CERTS, LISTEN, PORT. 127: unknown case.
set -euo pipefail
options=(--quiet)
[ -z "${QLOGDIR:-}" ] || options+=(--qlog-dir="$QLOGDIR")
# The one port that is left to choose: next to the one that was given.
second=127.0.0.1:$((${PORT:-0} + 1))

server() {
  case $TESTCASE in
    http3 | http3post | http3upload | http3keyupdate | http3rebind | http3migration | http3zerortt) ;;
    http3retry) options+=(--validate-addr) ;;
    http3v2) options+=(--preferred-versions=v2,v1) ;;
    http3preferred) options+=(--preferred-ipv4-addr="$second") ;;
    *) exit 127 ;;
  esac
  # It answers every request with the file of that name: a body that was sent it counts and forgets.
  ln -sfn . "$WWW/upload"
  ln -sfn . "$WWW/echo"
  "$@" "${options[@]}" --send-trailers --htdocs="$WWW" "$LISTEN" "$PORT" "$CERTS/priv.key" "$CERTS/cert.pem" &
  trap 'kill $!' TERM
  local listening
  listening=$(printf ':%04X ' "$PORT")
  until grep -q "$listening" /proc/net/udp /proc/net/udp6; do
    kill -0 $! || exit 1
    sleep 0.02
  done
  echo listening
  wait $!
}

client() {
  local urls first host port
  read -ra urls <<< "$REQUESTS"
  first=${urls[0]#https://}
  first=${first%%/*}
  host=${first%:*}
  port=${first##*:}
  options+=(--download="$DOWNLOADS" --exit-on-all-streams-close --handshake-timeout=20s)
  case $TESTCASE in
    http3 | http3retry | http3rebind | http3preferred) ;;
    # Its client ends where another update has not been confirmed by then: well after the server's first one, and with small windows, so
    # that it sends what the server acknowledges.
    http3keyupdate) options+=(--key-update=1500ms --max-data=300K --max-stream-data-bidi-local=200K) ;;
    http3v2) options+=(--available-versions=v2,v1) ;;
    http3migration) options+=(--change-local-addr=500ms) ;;
    http3goaway)
      for url in "${urls[@]}"; do "$@" "${options[@]}" "$host" "$port" "$url"; done
      return
      ;;
    http3post | http3upload)
      for url in "${urls[@]}"; do
        local name=${url##*/} method=POST path=echo
        [ "$TESTCASE" = http3post ] || { method=PUT path=upload; }
        "$@" "${options[@]}" --http-method=$method --data="$WWW/$name" "$host" "$port" "https://$host:$port/$path/$name"
      done
      return
      ;;
    http3zerortt)
      options+=(--session-file="$DOWNLOADS/.session" --tp-file="$DOWNLOADS/.tp")
      "$@" "${options[@]}" --wait-for-ticket "$host" "$port" "${urls[0]}"
      "$@" "${options[@]}" "$host" "$port" "${urls[@]:1}"
      return
      ;;
    *) exit 127 ;;
  esac
  "$@" "${options[@]}" "$host" "$port" "${urls[@]}"
}

"$ROLE" "$@"
