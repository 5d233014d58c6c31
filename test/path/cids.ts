// What the tests of connection IDs share: both kinds with a host that remembers, and writing what is due.
import assert from "node:assert/strict";
import { cidGenerator } from "../../internal/path/cid-generator.ts";
import { LocalCids } from "../../internal/path/local-connection-ids.ts";
import { RemoteCids } from "../../internal/path/remote-connection-ids.ts";
import { toHex } from "../../internal/protocol/bytes.ts";
import { TransportError } from "../../internal/protocol/errors.ts";
import { seeded } from "./seeded.ts";

/** What leaves in a packet, as the sent packets keep it: kind and first number. */
export class Records {
  readonly all: [number, number][] = [];
  addRecord(kind: number, a: number): void {
    this.all.push([kind, a]);
  }
}

export function failsWith(code: number, act: () => void): void {
  assert.throws(act, (error: unknown) => error instanceof TransportError && error.errorCode === code);
}

/** Ours, and what routes to them. */
export function local(seed: number, length = 8, original: Uint8Array | null = null) {
  const routes = new Set<string>();
  const cids = new LocalCids({
    generator: cidGenerator(length),
    random: seeded(seed),
    resetToken: (cid) => new Uint8Array(16).fill(cid[0] ?? 0),
    host: {
      addCid: (cid) => void routes.add(toHex(cid)),
      removeCid: (cid) => void routes.delete(toHex(cid)),
    },
    original,
  });
  return { cids, routes };
}

/** Writes the frames that are due into one packet. */
export function writeAll(cids: { writeFrames: LocalCids["writeFrames"] }, room = 1200) {
  const buf = new Uint8Array(room);
  const records = new Records();
  const end = cids.writeFrames(buf, 0, room, records);
  return { buf, end, records: records.all };
}

/** The peer's, and the tokens that count. */
export function remote(limit = 4, initial = new Uint8Array([1, 2, 3, 4])) {
  const tokens: string[] = [];
  const cids = new RemoteCids({
    initial,
    limit,
    host: {
      addResetToken: (token) => void tokens.push(toHex(token)),
      removeResetToken: (token) => void tokens.splice(tokens.indexOf(toHex(token)), 1),
    },
  });
  return { cids, tokens };
}

export const cid = (n: number) => new Uint8Array([0xc0, n >> 8, n & 0xff, 1, 1, 1]);
export const token = (n: number) => new Uint8Array(16).fill(n);
