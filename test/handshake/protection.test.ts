// Levels, batches, limits and disposal of PacketProtection.
import assert from "node:assert/strict";
import { test } from "node:test";
import { simProvider } from "../../internal/crypto/sim.ts";
import type { CryptoProvider } from "../../internal/crypto/provider.ts";
import { AES_128_GCM_SHA256, SUITES } from "../../internal/crypto/suites.ts";
import {
  KEY_USE,
  PacketProtection,
  SEAL_OVERHEAD,
  type KeyUse,
} from "../../internal/handshake/protection.ts";
import { toHex } from "../../internal/protocol/bytes.ts";
import {
  AEAD_LIMIT_REACHED,
  APPLICATION,
  HANDSHAKE,
  INITIAL,
  VERSION_1,
  VERSION_2,
  ZERO_RTT,
  type Level,
} from "../../internal/protocol/constants.ts";
import { TransportError } from "../../internal/protocol/errors.ts";
import { RESERVED_SEALS } from "../../internal/protocol/limits.ts";
import { REAL, seeded, take } from "../crypto/helpers.ts";

const PROVIDERS = [...REAL, simProvider({ nullAead: true })];

function pair(provider: CryptoProvider, suite = AES_128_GCM_SHA256, use: KeyUse = KEY_USE) {
  const client = new PacketProtection(provider, "client", VERSION_1, use);
  const server = new PacketProtection(provider, "server", VERSION_1, use);
  const random = seeded(1);
  const dcid = take(random, 8);
  client.installInitial(VERSION_1, dcid);
  server.installInitial(VERSION_1, dcid);
  for (const level of [HANDSHAKE, APPLICATION, ZERO_RTT] as const) {
    const [up, down] = [take(random, suite.hashLength), take(random, suite.hashLength)];
    const early = level === ZERO_RTT;
    client.install(level, suite, early ? null : down, up);
    server.install(level, suite, up, early ? null : down);
  }
  return { client, server };
}

/** Writes an unprotected packet: header of 10 bytes, packet number of `pnLength`, payload of `size`. */
function write(
  buf: Uint8Array,
  start: number,
  level: Level,
  pn: number,
  pnLength: number,
  size: number,
  phase = 0,
) {
  buf[start] = (level === APPLICATION ? 0x40 | (phase << 2) : 0xc0 | (level << 4)) | (pnLength - 1);
  for (let i = 1; i < 10; i++) buf[start + i] = i;
  for (let i = 0; i < pnLength; i++) buf[start + 10 + i] = Math.floor(pn / 256 ** (pnLength - 1 - i)) % 256;
  for (let i = 0; i < size; i++) buf[start + 10 + pnLength + i] = i + pn;
  return start + 10 + pnLength + size;
}

for (const provider of PROVIDERS) {
  for (const suite of SUITES) {
    test(`every level and packet number length: ${provider.name} ${suite.name}`, () => {
      const { client, server } = pair(provider, suite);
      const buf = new Uint8Array(2000);
      for (const level of [INITIAL, HANDSHAKE, APPLICATION, ZERO_RTT] as const) {
        for (const pnLength of [1, 2, 3, 4]) {
          const pn = 2 ** (8 * pnLength - 2) + 3;
          const end = client.seal(level, buf, 30, 40, pnLength, write(buf, 30, level, pn, pnLength, 99), pn);
          assert.equal(end, 30 + 10 + pnLength + 99 + SEAL_OVERHEAD);
          client.maskPending();
          client.maskPending();
          assert.equal(server.unprotectHeader(level, buf, 30, 40, end, pn - 1), true);
          assert.deepEqual([server.pn, server.pnLength, server.reservedBitsSet], [pn, pnLength, false]);
          assert.equal(server.open(level, buf, 30, 40, end), 99);
          for (let i = 0; i < 99; i++) assert.equal(buf[40 + pnLength + i], (i + pn) & 0xff);
        }
      }
      assert.equal(server.openFailed, 0);
    });
  }

  test(`a run: sealed in one slab, masked once, unmasked in one batch: ${provider.name}`, () => {
    const { client, server } = pair(provider);
    const slab = new Uint8Array(65536);
    const n = 150;
    const [starts, pnOffsets, ends] = [new Int32Array(n), new Int32Array(n), new Int32Array(n)];
    let pos = 0;
    for (let i = 0; i < n; i++) {
      starts[i] = pos;
      pnOffsets[i] = pos + 10;
      pos = client.seal(APPLICATION, slab, pos, pos + 10, 2, write(slab, pos, APPLICATION, i, 2, 30 + i), i);
      ends[i] = pos;
    }
    client.maskPending();
    // One is too short for a sample, one is damaged.
    ends[20] = pnOffsets[20]! + 19;
    slab[ends[30]! - 1]! ^= 1;
    server.unprotectHeaders(APPLICATION, slab, starts, pnOffsets, ends, n);
    let largest = -1;
    for (let i = 0; i < n; i++) {
      if (i === 20) {
        // rfc9001#5.4.2 An endpoint MUST discard packets that are not long enough to contain a complete sample.
        assert.equal(pnOffsets[i], -1);
        continue;
      }
      server.readPacketNumber(APPLICATION, slab, starts[i]!, pnOffsets[i]!, largest);
      assert.equal(server.pn, i);
      const length = server.open(APPLICATION, slab, starts[i]!, pnOffsets[i]!, ends[i]!);
      assert.equal(length, i === 30 ? -1 : 30 + i);
      if (length >= 0) largest = i;
    }
    assert.equal(server.openFailed, 1);
    assert.equal(client.sealed(APPLICATION), n);
  });

  test(`coalesced levels and a second buffer before masking: ${provider.name}`, () => {
    const { client, server } = pair(provider);
    const [a, b] = [new Uint8Array(1500), new Uint8Array(1500)];
    const first = client.seal(INITIAL, a, 0, 10, 1, write(a, 0, INITIAL, 0, 1, 50), 0);
    const second = client.seal(HANDSHAKE, a, first, first + 10, 2, write(a, first, HANDSHAKE, 1, 2, 50), 1);
    const third = client.seal(
      APPLICATION,
      a,
      second,
      second + 10,
      1,
      write(a, second, APPLICATION, 2, 1, 50),
      2,
    );
    const other = client.seal(APPLICATION, b, 0, 10, 1, write(b, 0, APPLICATION, 3, 1, 50), 3);
    // Keys may go while a packet waits for its mask.
    client.discard(APPLICATION);
    for (const [level, buf, start, end, pn] of [
      [INITIAL, a, 0, first, 0],
      [HANDSHAKE, a, first, second, 1],
      [APPLICATION, a, second, third, 2],
      [APPLICATION, b, 0, other, 3],
    ] as const) {
      assert.ok(server.unprotectHeader(level, buf, start, start + 10, end, pn - 1));
      assert.equal(server.open(level, buf, start, start + 10, end), 50);
      assert.equal(server.pn, pn);
    }
  });
}

test("too short for a sample: not sealed, not unmasked", () => {
  const { client, server } = pair(REAL[0]!);
  const buf = new Uint8Array(100);
  assert.throws(() => client.seal(APPLICATION, buf, 0, 10, 2, 13, 0), RangeError);
  const end = client.seal(APPLICATION, buf, 0, 10, 2, 14, 0);
  client.maskPending();
  assert.equal(server.unprotectHeader(APPLICATION, buf, 0, 10, end - 1, -1), false);
  assert.equal(server.unprotectHeader(APPLICATION, buf, 0, 10, end, -1), true);
});

test("reserved bits are told, and only an authentic packet has them", () => {
  const { client, server } = pair(REAL[0]!);
  const buf = new Uint8Array(100);
  for (const [level, bits] of [
    [APPLICATION, 0x08],
    [APPLICATION, 0x10],
    [HANDSHAKE, 0x04],
    [HANDSHAKE, 0x08],
  ] as const) {
    const payloadEnd = write(buf, 0, level, 1, 1, 40);
    buf[0]! |= bits;
    const end = client.seal(level, buf, 0, 10, 1, payloadEnd, 1);
    client.maskPending();
    assert.ok(server.unprotectHeader(level, buf, 0, 10, end, 0));
    assert.equal(server.reservedBitsSet, true);
    assert.equal(server.open(level, buf, 0, 10, end), 40);
  }
});

test("keys come, go and do not come back", () => {
  const protection = new PacketProtection(REAL[0]!, "client", VERSION_1);
  assert.deepEqual([protection.canOpen(INITIAL), protection.canSeal(INITIAL)], [false, false]);
  protection.installInitial(VERSION_1, new Uint8Array(8));
  assert.deepEqual([protection.canOpen(INITIAL), protection.canSeal(INITIAL)], [true, true]);
  protection.install(HANDSHAKE, AES_128_GCM_SHA256, null, new Uint8Array(32));
  assert.deepEqual([protection.canOpen(HANDSHAKE), protection.canSeal(HANDSHAKE)], [false, true]);
  assert.equal(protection.wasDiscarded(INITIAL), false);
  protection.discard(INITIAL);
  assert.deepEqual(
    [protection.canOpen(INITIAL), protection.canSeal(INITIAL), protection.wasDiscarded(INITIAL)],
    [false, false, true],
  );
  protection.discard(INITIAL);
  protection.disposeAll();
  protection.disposeAll();
  assert.equal(protection.canSeal(HANDSHAKE), false);
});

test("a Retry or another version replaces the Initial keys", () => {
  const client = new PacketProtection(REAL[0]!, "client", VERSION_1);
  const server = new PacketProtection(REAL[0]!, "server", VERSION_1);
  const buf = new Uint8Array(100);
  const seal = () => {
    const end = client.seal(INITIAL, buf, 0, 10, 1, write(buf, 0, INITIAL, 1, 1, 40), 1);
    client.maskPending();
    server.unprotectHeader(INITIAL, buf, 0, 10, end, 0);
    return server.open(INITIAL, buf, 0, 10, end);
  };
  client.installInitial(VERSION_1, Uint8Array.of(1));
  server.installInitial(VERSION_1, Uint8Array.of(2));
  assert.equal(seal(), -1);
  client.installInitial(VERSION_1, Uint8Array.of(2));
  assert.equal(seal(), 40);
  client.installInitial(VERSION_2, Uint8Array.of(2));
  assert.equal(seal(), -1);
  server.installInitial(VERSION_2, Uint8Array.of(2));
  assert.equal(seal(), 40);
});

/** Counts what was made and what was disposed of. */
function counting(): { provider: CryptoProvider; live: () => number } {
  const live = new Set<object>();
  const provider = Object.create(REAL[0]!) as CryptoProvider;
  provider.packetAead = (...args) => watch(REAL[0]!.packetAead(...args));
  provider.headerProtector = (...args) => watch(REAL[0]!.headerProtector(...args));
  function watch<T extends { dispose(): void }>(made: T): T {
    live.add(made);
    const dispose = made.dispose.bind(made);
    made.dispose = () => {
      live.delete(made);
      dispose();
    };
    return made;
  }
  return { provider, live: () => live.size };
}

test("no context is left", () => {
  const { provider, live } = counting();
  const { client, server } = pair(provider);
  assert.ok(live() > 10);
  const buf = new Uint8Array(100);
  // With a key update on top.
  const exchange = (from: PacketProtection, to: PacketProtection, pn: number) => {
    const payloadEnd = write(buf, 0, APPLICATION, pn, 1, 40, from.keyPhase);
    const end = from.seal(APPLICATION, buf, 0, 10, 1, payloadEnd, pn);
    from.maskPending();
    to.unprotectHeader(APPLICATION, buf, 0, 10, end, pn - 1);
    assert.equal(to.open(APPLICATION, buf, 0, 10, end), 40);
  };
  exchange(client, server, 0);
  exchange(server, client, 0);
  client.onAcked(0);
  assert.ok(client.initiateKeyUpdate());
  exchange(client, server, 1);
  exchange(server, client, 1);
  client.installInitial(VERSION_1, new Uint8Array(8));
  client.disposeAll();
  server.disposeAll();
  assert.equal(live(), 0);
});

test("the secrets given are not kept: the caller zeroes them", () => {
  const client = new PacketProtection(REAL[0]!, "client", VERSION_1);
  const server = new PacketProtection(REAL[0]!, "server", VERSION_1);
  for (const protection of [client, server]) {
    for (const secret of [new Uint8Array(32).fill(7), Buffer.alloc(32, 7)]) {
      protection.install(APPLICATION, AES_128_GCM_SHA256, secret, secret);
      secret.fill(0);
    }
  }
  const buf = new Uint8Array(100);
  const send = (from: PacketProtection, to: PacketProtection, pn: number) => {
    const payloadEnd = write(buf, 0, APPLICATION, pn, 1, 40, from.keyPhase);
    const end = from.seal(APPLICATION, buf, 0, 10, 1, payloadEnd, pn);
    from.maskPending();
    to.unprotectHeader(APPLICATION, buf, 0, 10, end, pn - 1);
    return to.open(APPLICATION, buf, 0, 10, end);
  };
  assert.equal(send(client, server, 0), 40);
  assert.equal(send(server, client, 0), 40);
  client.onAcked(0);
  client.initiateKeyUpdate();
  assert.equal(send(client, server, 1), 40);
  // The next generation comes from the secret itself, not from zeros.
  const zero = new PacketProtection(REAL[0]!, "server", VERSION_1);
  zero.install(APPLICATION, AES_128_GCM_SHA256, new Uint8Array(32), new Uint8Array(32));
  assert.equal(send(client, zero, 2), -1);
});

test("rfc9001#6.6 integrity limit: AEAD_LIMIT_REACHED", () => {
  const { server } = pair(REAL[0]!, SUITES[2]);
  const buf = new Uint8Array(100);
  server.openFailed = 2 ** 36 - 1;
  server.unprotectHeader(APPLICATION, buf, 0, 10, 80, 0);
  assert.equal(server.open(APPLICATION, buf, 0, 10, 80), -1);
  server.unprotectHeader(APPLICATION, buf, 0, 10, 80, 0);
  assert.throws(
    () => server.open(APPLICATION, buf, 0, 10, 80),
    (error) => error instanceof TransportError && error.errorCode === AEAD_LIMIT_REACHED,
  );
});

test("rfc9001#6.6 confidentiality limit: not one packet more with the same key", () => {
  const provider = simProvider({ nullAead: true });
  const limit = 500;
  const use = { ...KEY_USE, confidentiality: [limit, limit], updateInterval: 50 } as const;
  const reached = (error: unknown) =>
    error instanceof TransportError && error.errorCode === AEAD_LIMIT_REACHED;
  for (const level of [HANDSHAKE, APPLICATION] as const) {
    const { client, server } = pair(provider, AES_128_GCM_SHA256, use);
    const buf = new Uint8Array(100);
    let pn = 0;
    const seal = () => client.seal(level, buf, 0, 10, 1, 40, pn++);
    if (level === APPLICATION) {
      while (pn < limit - RESERVED_SEALS) seal();
      // It is said once, and the packets that are left can say so to the peer.
      assert.throws(seal, reached);
      pn--;
    }
    while (pn < limit) seal();
    assert.equal(client.sealed(level), limit);
    for (let i = 0; i < 3; i++) assert.throws(seal, reached);
    assert.equal(client.sealed(level), limit);
    if (level === APPLICATION) {
      // A key update in time starts the count again.
      const packet = new Uint8Array(100);
      const end = server.seal(level, packet, 0, 10, 1, write(packet, 0, level, 0, 1, 20), 0);
      server.maskPending();
      client.unprotectHeader(level, packet, 0, 10, end, -1);
      assert.equal(client.open(level, packet, 0, 10, end), 20);
      client.onAcked(5);
      assert.equal(client.updateDue, true);
      assert.equal(client.initiateKeyUpdate(), true);
      seal();
      assert.equal(client.sealed(level), 1);
    }
  }
});

test("masking touches header bytes alone", () => {
  const { client } = pair(REAL[0]!);
  const buf = new Uint8Array(100);
  const end = client.seal(APPLICATION, buf, 5, 15, 3, write(buf, 5, APPLICATION, 9, 3, 50), 9);
  const sealed = buf.slice();
  client.maskPending();
  for (let i = 0; i < buf.length; i++) {
    if (i !== 5 && (i < 15 || i >= 18)) assert.equal(buf[i], sealed[i], `byte ${i}`);
  }
  // rfc9001#5.4.1 five bits of a short header.
  assert.equal((buf[5]! ^ sealed[5]!) & 0xe0, 0);
  assert.equal(toHex(buf.subarray(end)), toHex(sealed.subarray(end)));
});
