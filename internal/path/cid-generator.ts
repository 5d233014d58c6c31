// Who makes connection IDs.

import { CONNECTION_ID_LENGTH } from "../protocol/limits.ts";
import type { RandomSource } from "../protocol/random.ts";

/** Chooses the connection IDs of one endpoint; all have one length, so that short headers can be parsed. */
export interface CidGenerator {
  // rfc9000#10.3.2 An endpoint that uses this design MUST either use the same connection ID length for all
  // connections or encode the length of the connection ID such that it can be …
  readonly length: number;
  generate(random: RandomSource): Uint8Array;
}

/** rfc9000#5.1 connection IDs MUST NOT contain any information that lets observers correlate them: random bytes. */
export function cidGenerator(length = CONNECTION_ID_LENGTH): CidGenerator {
  // rfc9000#17.2 In QUIC version 1, this value MUST NOT exceed 20 bytes.
  return {
    length,
    generate: (random) => {
      const cid = new Uint8Array(length);
      random(cid);
      return cid;
    },
  };
}

/** Gives `cid` first, then what `rest` does. */
export function cidFirst(cid: Uint8Array, rest: CidGenerator): CidGenerator {
  let first: Uint8Array | null = cid;
  return {
    length: rest.length,
    generate: (random) => {
      const given = first;
      first = null;
      return given ?? rest.generate(random);
    },
  };
}
