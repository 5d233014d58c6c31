// What the application does about the connection IDs of one connection: rfc9000#5.1.

import type { CidRefusal } from "../path/cid-errors.ts";
import type { Connection } from "./connection.ts";

/**
 * Gives the peer a connection ID of the application's choice.
 * @returns its sequence number, or why it cannot be.
 */
export function issueCid(
  connection: Connection,
  cid: Uint8Array,
  token: Uint8Array | null,
  retireIfNeeded: boolean,
): number | CidRefusal | "unconfirmed" {
  // Before, the peer has not said how many it takes.
  if (!connection.close.isOpen || !connection.handshakeComplete) return "unconfirmed";
  if (connection.hasCid(cid)) return "in_use";
  const issued = connection.localCids.provide(cid, token, retireIfNeeded);
  connection.wake();
  return issued;
}

/** Gives the peer's connection ID of that number back. False where that cannot be. */
export function retireCid(connection: Connection, sequence: number): boolean {
  const retired =
    connection.close.isOpen && connection.handshakeComplete && connection.remoteCids.retire(sequence);
  if (retired) connection.wake();
  return retired;
}

/** From now on events tell of connection IDs that are retired, on both sides. */
export function watchCids({ events, localCids, remoteCids }: Connection): void {
  localCids.onRetired ??= (sequence, cid) => events.push({ type: "cid_retired", ours: true, sequence, cid });
  remoteCids.onRetired ??= (sequence, cid) =>
    events.push({ type: "cid_retired", ours: false, sequence, cid });
}
