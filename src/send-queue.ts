// What of a connection waits to be sent.

import type { Connection as CoreConnection } from "../internal/connection/connection.ts";

/** What waits to be sent on a connection at one moment. Sizes in bytes. */
export interface ConnectionSendQueue {
  /** Written on streams and not acknowledged. */
  readonly bufferedBytes: number;
  /** Of these, what has not left yet. */
  readonly unsentBytes: number;
  /** Streams that have some of it. */
  readonly streams: number;
  /** Datagrams that have not left yet, and their bytes. */
  readonly datagrams: number;
  readonly datagramBytes: number;
  /** The congestion window is full: what waits leaves as acknowledgements come. */
  readonly congested: boolean;
}

/** @internal */
export function sendQueueOf({
  streams,
  datagrams,
  recovery,
  paths,
  controller,
}: CoreConnection): ConnectionSendQueue {
  let bufferedBytes = 0;
  let unsentBytes = 0;
  let waiting = 0;
  for (const { send } of streams.values()) {
    if (send === null) continue;
    bufferedBytes += send.bufferedBytes;
    unsentBytes += send.unsentBytes;
    if (send.unsentBytes > 0) waiting++;
  }
  return {
    bufferedBytes,
    unsentBytes,
    streams: waiting,
    datagrams: datagrams.sendCount,
    datagramBytes: datagrams.sendBytes,
    congested: recovery.bytesInFlight + paths.active.mtu > controller.cwnd,
  };
}
