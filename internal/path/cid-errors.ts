// What is wrong with connection IDs: the peer's frames about them, and the application's wishes.

import {
  FRAME_NEW_CONNECTION_ID,
  FRAME_RETIRE_CONNECTION_ID,
  PROTOCOL_VIOLATION,
} from "../protocol/constants.ts";
import { TransportError } from "../protocol/errors.ts";

/** Why a connection ID of the application's cannot be issued. */
export type CidRefusal =
  /** Ours have another length, or none. */
  | "length"
  /** Packets to it go to a connection already. */
  | "in_use"
  /** The peer holds as many as it takes. */
  | "limit"
  /** The peer has not retired those yet that it was asked to. */
  | "retiring";

export function retireError(what: string): TransportError {
  return new TransportError(PROTOCOL_VIOLATION, `RETIRE_CONNECTION_ID ${what}`, {
    frameType: FRAME_RETIRE_CONNECTION_ID,
  });
}

export function newCidError(what: string): TransportError {
  return new TransportError(PROTOCOL_VIOLATION, `NEW_CONNECTION_ID ${what}`, {
    frameType: FRAME_NEW_CONNECTION_ID,
  });
}
