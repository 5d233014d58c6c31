import type { SocketDescription } from "../../src/index.ts";

/** What a socket of a test's own says of itself: it sends and receives, and nothing more. */
export function plainSocket(kind: string): SocketDescription {
  return {
    kind,
    gso: false,
    gro: false,
    ecn: false,
    dontFragment: false,
    receiveBufferSize: 0,
    sendBufferSize: 0,
  };
}
