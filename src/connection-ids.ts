// Whose connection IDs a transport uses: random ones, or a generator's.

import type { Connection as CoreConnection } from "../internal/connection/connection.ts";
import type { CidGenerator } from "../internal/path/connection-ids.ts";
import { cidGenerator } from "../internal/path/connection-ids.ts";
import { InvalidOptionError } from "../internal/protocol/errors.ts";
import { MAX_CONNECTION_ID_LENGTH, MIN_CONNECTION_ID_LENGTH } from "../internal/protocol/limits.ts";
import type { ConnectionIdGenerator } from "./quic-lb.ts";
import { random } from "./random.ts";

/** The connection IDs of one connection: rfc9000#5.1. */
export interface ConnectionIds {
  /** Ours: where the peer may send to. */
  readonly sources: readonly Uint8Array[];
  /** The peer's in use. */
  readonly destination: Uint8Array;
  /** The peer's that are not in use: one is needed for each new path (rfc9000#9.5). */
  readonly spare: number;
}

/** @internal */
export function connectionIdsOf({ localCids, remoteCids }: CoreConnection): ConnectionIds {
  const sources = localCids.values.map((cid) => cid.slice());
  return { sources, destination: remoteCids.current.slice(), spare: remoteCids.activeCount - 1 };
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
