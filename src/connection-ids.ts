// Whose connection IDs a transport uses: random ones, or a generator's.

import type { Connection as CoreConnection } from "../internal/connection/connection.ts";
import { type CidGenerator, cidGenerator } from "../internal/path/cid-generator.ts";
import { issueCid } from "../internal/connection/cid-control.ts";
import { InvalidOptionError, QuicError } from "../internal/protocol/errors.ts";
import {
  MAX_CONNECTION_ID_LENGTH,
  MIN_CONNECTION_ID_LENGTH,
  MIN_INITIAL_DCID_LENGTH,
} from "../internal/protocol/limits.ts";
import type { ConnectionIdGenerator } from "./quic-lb.ts";
import { random } from "./random.ts";

/** The connection IDs of one connection: rfc9000#5.1. */
export interface ConnectionIds {
  /** Ours: where the peer may send to. */
  readonly sources: readonly Uint8Array[];
  /** The one of them that the peer sent to last; null where that was retired since. */
  readonly source: Uint8Array | null;
  /** How many more of ours the peer takes (`issueConnectionId`). */
  readonly sourcesLeft: number;
  /** The peer's in use, and its sequence number (`retireConnectionId`). */
  readonly destination: Uint8Array;
  readonly destinationSequence: number;
  /** The peer's that are not in use: one is needed for each new path (rfc9000#9.5). */
  readonly spare: number;
}

/** @internal */
export function connectionIdsOf({ localCids, remoteCids, paths }: CoreConnection): ConnectionIds {
  return {
    sources: localCids.values.map((cid) => cid.slice()),
    source: localCids.bytesOf(paths.active.dcidSequence)?.slice() ?? null,
    sourcesLeft: localCids.left,
    destination: remoteCids.current.slice(),
    destinationSequence: remoteCids.currentSequence,
    spare: remoteCids.activeCount - 1,
  };
}

/** A connection ID is not valid any more. */
export interface RetiredConnectionId {
  /** Ours, which the peer has retired; else the peer's, which we have. */
  readonly ours: boolean;
  readonly connectionId: Uint8Array;
  readonly sequence: number;
}

/** Options of `issueConnectionId`. */
export interface IssueOptions {
  /** 16 bytes that end the connection as a stateless reset (rfc9000#10.3). Default: made with the transport's key. */
  resetToken?: Uint8Array;
  /** Where the peer holds as many as it takes, have it retire the oldest. Default false. */
  retireIfNeeded?: boolean;
}

const REFUSALS = {
  length: "Connection IDs of this transport have another length: see connectionIdLength.",
  in_use: "Another connection, or this one, has that connection ID already.",
  limit: "The peer takes no more connection IDs: set retireIfNeeded, or wait for it to retire some.",
  retiring: "The peer has not retired yet those that it was asked to: try again a little later.",
  unconfirmed: "Wait for the handshake: the peer has not said how many connection IDs it takes.",
  unretirable: "The peer gave no other connection ID to go on with, or none of that number that is free.",
} as const;

/** Thrown where a connection ID cannot be issued or retired; `refusal` says why in a word. */
export class ConnectionIdError extends QuicError {
  readonly refusal: keyof typeof REFUSALS;
  /** @internal */
  constructor(refusal: keyof typeof REFUSALS) {
    super("ERR_QUIC_CONNECTION_ID", REFUSALS[refusal], {
      temporary: refusal === "limit" || refusal === "retiring" || refusal === "unconfirmed",
    });
    this.refusal = refusal;
  }
}

/** @internal Gives its sequence number. @throws {ConnectionIdError}, {InvalidOptionError} */
export function issueConnectionId(core: CoreConnection, cid: Uint8Array, options: IssueOptions): number {
  const { resetToken, retireIfNeeded } = options;
  if (!(cid instanceof Uint8Array)) throw new InvalidOptionError("connectionId", "a Uint8Array");
  if (resetToken !== undefined && resetToken.length !== 16) {
    throw new InvalidOptionError("resetToken", "16 bytes that nobody can guess");
  }
  const issued = issueCid(core, cid, resetToken ?? null, retireIfNeeded === true);
  if (typeof issued === "string") throw new ConnectionIdError(issued);
  return issued;
}

/** What of DialOptions says which connection IDs a connection begins with. */
export interface InitialConnectionIds {
  /**
   * The destination connection ID of the first packets, 8 to 20 bytes: nobody on the way may be able to guess it (rfc9000#7.2).
   * Default: random.
   */
  dcid?: Uint8Array;
  /**
   * Our own first connection ID, of the transport's `connectionIdLength`, that none of its connections has. With it a host's
   * first address alone is tried. Default: the generator's.
   */
  scid?: Uint8Array;
}

/** @internal @throws {InvalidOptionError} */
export function initialConnectionIds({ dcid, scid }: InitialConnectionIds): InitialConnectionIds {
  const fits =
    dcid === undefined ||
    (dcid instanceof Uint8Array &&
      dcid.length >= MIN_INITIAL_DCID_LENGTH &&
      dcid.length <= MAX_CONNECTION_ID_LENGTH);
  if (!fits) throw new InvalidOptionError("dcid", `${MIN_INITIAL_DCID_LENGTH} to 20 bytes`);
  if (scid !== undefined && !(scid instanceof Uint8Array)) throw new InvalidOptionError("scid", "bytes");
  return {
    ...(dcid === undefined ? {} : { dcid: dcid.slice() }),
    ...(scid === undefined ? {} : { scid: scid.slice() }),
  };
}

/** What of TransportOptions says how connection IDs are made. */
export interface ConnectionIdOptions {
  /** Bytes of our connection IDs, 4 to 20, default 8; 0 for a transport that only dials, one connection for each peer. */
  connectionIdLength?: number;
  /** Makes them instead: see QuicLbGenerator. */
  connectionIdGenerator?: ConnectionIdGenerator;
}

/** @internal */
export function generatorOf(options: ConnectionIdOptions): CidGenerator | undefined {
  const { connectionIdGenerator: given, connectionIdLength } = options;
  const length = given?.length ?? connectionIdLength;
  if (length === undefined) return undefined;
  const name = given === undefined ? "connectionIdLength" : "connectionIdGenerator.length";
  // Shorter ones would be found by guessing, and run out.
  const fits =
    Number.isInteger(length) && length >= MIN_CONNECTION_ID_LENGTH && length <= MAX_CONNECTION_ID_LENGTH;
  if (length !== 0 && !fits) {
    const range = `${MIN_CONNECTION_ID_LENGTH} to ${MAX_CONNECTION_ID_LENGTH}`;
    throw new InvalidOptionError(name, `0, or an integer from ${range}, not ${String(length)}`);
  }
  const plain = cidGenerator(length);
  if (given === undefined) return plain;
  if (given.generate(random).length !== length) {
    throw new InvalidOptionError(
      "connectionIdGenerator",
      `connection IDs of ${length} bytes, as its length says`,
    );
  }
  let warned = false;
  return {
    length,
    generate: (draw) => {
      // It runs when clients come: what it throws is not theirs.
      try {
        const cid = given.generate(draw);
        if (cid instanceof Uint8Array && cid.length === length) return cid;
        throw new TypeError(`not ${length} bytes`);
      } catch (error) {
        if (!warned) {
          const message = `connectionIdGenerator failed, random connection IDs are used: ${String(error)}`;
          process.emitWarning(message, { code: "QUIC_CONNECTION_ID_GENERATOR" });
        }
        warned = true;
        return plain.generate(draw);
      }
    },
  };
}
