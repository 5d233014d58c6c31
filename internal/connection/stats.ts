/** Counters of one connection. Plain numbers, updated in place; a snapshot is a copy. */
export class ConnectionStats {
  packetsSent = 0;
  packetsReceived = 0;
  bytesSent = 0;
  bytesReceived = 0;
  datagramsSent = 0;
  datagramsReceived = 0;
  packetsLost = 0;
  packetsDropped = 0;
  packetsBuffered = 0;
  duplicatePackets = 0;
  handshakeStart = 0;
  /** Monotonic ms from the first packet to the completed handshake, 0 until then. */
  handshakeDuration = 0;
}
