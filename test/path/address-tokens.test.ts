import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { nodeProvider } from "../../internal/crypto/node.ts";
import { AddressTokens } from "../../internal/path/address-tokens.ts";
import { makeAddress } from "../../internal/protocol/address.ts";
import { bytesEqual } from "../../internal/protocol/bytes.ts";
import { MAX_USED_TOKENS } from "../../internal/protocol/limits.ts";
import { seeded } from "./seeded.ts";

const HERE = makeAddress("192.0.2.1", 4000);
const NEW_PORT = makeAddress("192.0.2.1", 4001);
const ELSEWHERE = makeAddress("192.0.2.2", 4000);
const NOW = Date.UTC(2026, 0, 1);
const KEY = new Uint8Array(32).fill(1);
const lifetimes = { retry: 10_000, future: 3_600_000 };
const odcid = new Uint8Array(11).fill(0xd0);
const scid = new Uint8Array(8).fill(0x5c);

const make = (keys: Uint8Array[] | null = [KEY], seed = 1) =>
  new AddressTokens(nodeProvider(), seeded(seed), keys, lifetimes);
const invalid = (reason: string) => ({ kind: "invalid_retry", reason });
const none = (reason: string) => ({ kind: "none", reason });

describe("tokens of Retry packets", () => {
  test("say which Initial was answered, to whom, and come back to the Retry's connection ID", () => {
    const tokens = make();
    const token = tokens.retry(HERE, odcid, scid, NOW);
    assert.deepEqual(tokens.check(token, HERE, scid, NOW + 10_000), { kind: "retry", originalDcid: odcid });
    // rfc9000#8.1.4 SHOULD … verify that the source IP address and port in client packets remain constant
    assert.deepEqual(tokens.check(token, NEW_PORT, scid, NOW), invalid("address"));
    assert.deepEqual(tokens.check(token, HERE, odcid, NOW), invalid("connection_id"));
    // rfc9000#8.1.4 tokens sent in Retry packets are only accepted for a short time
    assert.deepEqual(tokens.check(token, HERE, scid, NOW + 10_001), invalid("expired"));
  });

  test("are taken once", () => {
    const tokens = make();
    const token = tokens.retry(HERE, odcid, scid, NOW);
    assert.equal(tokens.check(token, HERE, scid, NOW).kind, "retry");
    tokens.spend(token);
    assert.deepEqual(tokens.check(token, HERE, scid, NOW), invalid("used"));
    assert.equal(tokens.check(tokens.retry(HERE, odcid, scid, NOW), HERE, scid, NOW).kind, "retry");
  });
});

describe("tokens of NEW_TOKEN frames", () => {
  test("are bound to the address without its port", () => {
    const tokens = make();
    const token = tokens.future(HERE, NOW);
    assert.deepEqual(tokens.check(token, NEW_PORT, odcid, NOW + 3_600_000), { kind: "new_token" });
    // rfc9000#8.1.4 MUST include information that allows the server to verify that the client IP address has not changed
    assert.deepEqual(tokens.check(token, ELSEWHERE, odcid, NOW), none("address"));
    assert.deepEqual(tokens.check(token, HERE, odcid, NOW + 3_600_001), none("expired"));
    // rfc9000#8.1.4 replay of tokens is prevented or limited
    tokens.spend(token);
    assert.deepEqual(tokens.check(token, HERE, odcid, NOW), none("used"));
  });

  test("show nothing that links two of them", () => {
    // rfc9000#8.1.3 MUST NOT include information that would allow values to be linked by an observer
    const tokens = make();
    const [a, b] = [tokens.future(HERE, NOW), tokens.future(HERE, NOW)];
    // The name of the key is the server's alone, not the client's.
    assert.ok(bytesEqual(a.subarray(0, 8), b.subarray(0, 8)));
    assert.ok(bytesEqual(a.subarray(0, 8), tokens.future(ELSEWHERE, NOW).subarray(0, 8)));
    let equal = 0;
    for (let i = 8; i < a.length; i++) if (a[i] === b[i]) equal++;
    assert.ok(equal < 6, `${equal} of ${a.length - 8} bytes agree`);
  });

  test("used ones are remembered within a bound", () => {
    const tokens = make();
    const first = tokens.future(HERE, NOW);
    tokens.spend(first);
    for (let i = 1; i < MAX_USED_TOKENS; i++) tokens.spend(salted(i));
    assert.deepEqual(tokens.check(first, HERE, odcid, NOW), none("used"));
    tokens.spend(salted(0));
    assert.equal(tokens.check(first, HERE, odcid, NOW).kind, "new_token");
  });
});

describe("keys", () => {
  test("servers with the same key take each other's, others do not", () => {
    const token = make([KEY], 1).future(HERE, NOW);
    assert.equal(make([KEY], 2).check(token, HERE, odcid, NOW).kind, "new_token");
    assert.deepEqual(make([new Uint8Array(32).fill(2)]).check(token, HERE, odcid, NOW), none("foreign"));
    assert.deepEqual(make(null).check(token, HERE, odcid, NOW), none("foreign"));
    const rotated = make([new Uint8Array(32).fill(2), KEY]);
    assert.equal(rotated.check(token, HERE, odcid, NOW).kind, "new_token");
    assert.deepEqual(
      make([KEY]).check(rotated.future(HERE, NOW), HERE, odcid, NOW),
      none("foreign"),
      "the first seals",
    );
  });

  test("every bit counts", () => {
    const tokens = make();
    for (const token of [tokens.future(HERE, NOW), tokens.retry(HERE, odcid, scid, NOW)]) {
      for (let bit = 0; bit < token.length * 8; bit++) {
        const forged = token.slice();
        forged[bit >> 3]! ^= 1 << (bit & 7);
        assert.deepEqual(tokens.check(forged, HERE, scid, NOW), none("foreign"), `bit ${bit}`);
      }
      for (let length = 0; length < token.length; length++) {
        assert.deepEqual(tokens.check(token.subarray(0, length), HERE, scid, NOW), none("foreign"));
      }
    }
    assert.deepEqual(tokens.check(new Uint8Array(5000), HERE, scid, NOW), none("foreign"));
  });

  test("of another length are refused", () => {
    for (const keys of [[], [new Uint8Array(31)], Array<Uint8Array>(9).fill(KEY)]) {
      assert.throws(() => make(keys), { code: "ERR_QUIC_INVALID_OPTION" });
    }
  });
});

/** What has the shape of a sealed token and a salt of its own. */
function salted(n: number): Uint8Array {
  const token = new Uint8Array(60);
  new DataView(token.buffer).setUint32(8, n + 1);
  return token;
}
