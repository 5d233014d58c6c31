// What ours is measured with. QUIC_TS_BENCH_NULL=1 takes all encryption of packets away (the handshake stays): for seeing
// what it costs, in tests alone. QUIC_TS_BENCH_BUSY_POLL=0 has transports never wait awake.

import { FfiProvider, defaultProvider } from "../../../../internal/crypto/ffi.ts";
import { NodeProvider } from "../../../../internal/crypto/node.ts";
import type { Connection, TransportOptions } from "../../../../src/index.ts";
import { ALPN } from "../../engine/spec.ts";
import { nullProvider } from "../../memory/null-provider.ts";

const NULL = process.env["QUIC_TS_BENCH_NULL"] === "1";
if (NULL) {
  const none = nullProvider();
  for (const { prototype } of [NodeProvider, FfiProvider]) {
    prototype.packetAead = none.packetAead.bind(none);
    prototype.headerProtector = none.headerProtector.bind(none);
  }
}

export const TLS = { ALPNProtocols: [ALPN], groups: ["x25519"], ciphers: ["aes-128-gcm"] } as const;
/** Options of each transport. */
export const TRANSPORT: TransportOptions =
  process.env["QUIC_TS_BENCH_BUSY_POLL"] === "0" ? { busyPoll: 0 } : {};
export const NOTHING_KEPT = { sessionCache: null } as const;

/** What was negotiated and is in use. */
export function infoOf(connection: Connection): { [name: string]: unknown } {
  const { cipher, group, didResume, socket } = connection.connectionState();
  const busyPoll = TRANSPORT.busyPoll !== 0;
  return { cipher, group, didResume, crypto: NULL ? "null" : defaultProvider().name, busyPoll, ...socket };
}
