// Key updates, rfc9001#6.
import assert from "node:assert/strict";
import { test } from "node:test";
import { simProvider } from "../../internal/crypto/sim.ts";
import type { CryptoProvider } from "../../internal/crypto/provider.ts";
import { AES_128_GCM_SHA256, CHACHA20_POLY1305_SHA256 } from "../../internal/crypto/suites.ts";
import { PacketProtection } from "../../internal/handshake/protection.ts";
import { APPLICATION, KEY_UPDATE_ERROR, VERSION_1, VERSION_2 } from "../../internal/protocol/constants.ts";
import { TransportError } from "../../internal/protocol/errors.ts";
import { FIRST_KEY_UPDATE, KEY_UPDATE_INTERVAL } from "../../internal/protocol/limits.ts";
import { REAL, seeded, take } from "../crypto/helpers.ts";

const PN = 9;
const SIZE = 40;

/** One side, with packets as values. */
class Side {
  readonly protection: PacketProtection;
  next = 0;
  largest = -1;

  constructor(provider: CryptoProvider, role: "client" | "server", version: number, chacha: boolean) {
    this.protection = new PacketProtection(provider, role, version);
    const random = seeded(42);
    const [up, down] = [take(random, 32), take(random, 32)];
    const [read, write] = role === "client" ? [down, up] : [up, down];
    this.protection.install(APPLICATION, chacha ? CHACHA20_POLY1305_SHA256 : AES_128_GCM_SHA256, read, write);
  }

  /** @param ack whether an ACK frame is in it. */
  send(pn = this.next++, ack = true): Uint8Array {
    if (ack) this.protection.onAckSent();
    const buf = new Uint8Array(PN + 2 + SIZE + 16);
    buf[0] = 0x41 | (this.protection.keyPhase << 2);
    buf[PN] = pn >> 8;
    buf[PN + 1] = pn;
    this.protection.seal(APPLICATION, buf, 0, PN, 2, PN + 2 + SIZE, pn);
    this.protection.maskPending();
    return buf;
  }

  receive(packet: Uint8Array): boolean {
    const buf = packet.slice();
    assert.ok(this.protection.unprotectHeader(APPLICATION, buf, 0, PN, buf.length, this.largest));
    const opened = this.protection.open(APPLICATION, buf, 0, PN, buf.length) === SIZE;
    if (opened) this.largest = Math.max(this.largest, this.protection.pn);
    return opened;
  }
}

function sides(provider: CryptoProvider = REAL[0]!, version = VERSION_1, chacha = false) {
  return {
    client: new Side(provider, "client", version, chacha),
    server: new Side(provider, "server", version, chacha),
  };
}

/** Both have sent and had acknowledged a packet of the current phase. */
function exchange(a: Side, b: Side): void {
  const first = a.next;
  assert.ok(b.receive(a.send()));
  const answer = b.next;
  assert.ok(a.receive(b.send()));
  a.protection.onAcked(first);
  assert.ok(b.receive(a.send()));
  b.protection.onAcked(answer);
}

function keyUpdateError(error: unknown): boolean {
  return error instanceof TransportError && error.errorCode === KEY_UPDATE_ERROR;
}

for (const provider of [...REAL, simProvider({ nullAead: true })]) {
  for (const [version, chacha] of [
    [VERSION_1, false],
    [VERSION_1, true],
    [VERSION_2, false],
  ] as const) {
    test(`updates by either side, five generations: ${provider.name} ${version} ${chacha}`, () => {
      const { client, server } = sides(provider, version, chacha);
      for (let generation = 1; generation <= 5; generation++) {
        const [a, b] = generation % 2 === 0 ? [server, client] : [client, server];
        exchange(a, b);
        assert.equal(a.protection.initiateKeyUpdate(), true);
        // rfc9001#6.1 the endpoint toggles the value of the Key Phase bit.
        assert.equal(a.protection.keyPhase, generation % 2);
        assert.ok(b.receive(a.send()));
        assert.equal(b.protection.peerUpdated, true);
        // rfc9001#6.2 The endpoint MUST update its send keys to the corresponding key phase in response.
        assert.equal(b.protection.keyPhase, generation % 2);
        assert.ok(a.receive(b.send()));
        assert.equal(a.protection.peerUpdated, true);
        assert.equal(a.protection.keyUpdates, generation);
        a.protection.onAcked(a.next - 1);
        assert.ok(b.receive(a.send()));
        assert.equal(b.protection.peerUpdated, false);
        a.protection.dropOldReadKeys();
        b.protection.dropOldReadKeys();
      }
    });
  }
}

test("rfc9001#6.1 MUST NOT initiate before the handshake is confirmed, nor again before an acknowledgment", () => {
  const { client, server } = sides();
  assert.equal(client.protection.initiateKeyUpdate(), false);
  assert.ok(server.receive(client.send()));
  assert.equal(client.protection.initiateKeyUpdate(), false);
  exchange(client, server);
  assert.equal(client.protection.initiateKeyUpdate(), true);
  assert.equal(client.protection.initiateKeyUpdate(), false);
  assert.ok(server.receive(client.send()));
  assert.ok(client.receive(server.send()));
  assert.equal(client.protection.initiateKeyUpdate(), false);
  // An acknowledgment of the previous phase's packets is none of this one's.
  client.protection.onAcked(0);
  assert.equal(client.protection.initiateKeyUpdate(), false);
  client.protection.onAcked(client.next - 1);
  // rfc9001#6.5 SHOULD wait three times the PTO: as long as old keys are there.
  assert.equal(client.protection.hasOldReadKeys, true);
  assert.equal(client.protection.initiateKeyUpdate(), false);
  client.protection.dropOldReadKeys();
  assert.equal(client.protection.hasOldReadKeys, false);
  assert.equal(client.protection.initiateKeyUpdate(), true);
});

test("rfc9001#6.1 MUST retain old keys until a packet with the new ones was unprotected", () => {
  const { client, server } = sides();
  exchange(client, server);
  client.protection.initiateKeyUpdate();
  // The server has not heard of it and goes on with the old keys.
  for (let i = 0; i < 3; i++) assert.ok(client.receive(server.send()));
  assert.ok(server.receive(client.send()));
  assert.ok(client.receive(server.send()));
  assert.equal(client.protection.peerUpdated, true);
});

test("rfc9001#6.5 late packets: opened with the previous keys until these are dropped", () => {
  const { client, server } = sides();
  exchange(client, server);
  const late = [client.send(), client.send(), client.send()];
  client.protection.initiateKeyUpdate();
  const fresh = [client.send(), client.send()];
  assert.ok(server.receive(fresh[1]!));
  assert.equal(server.protection.peerUpdated, true);
  assert.ok(server.receive(late[1]!));
  assert.equal(server.protection.peerUpdated, false);
  assert.ok(server.receive(fresh[0]!));
  assert.ok(server.receive(late[0]!));
  server.protection.dropOldReadKeys();
  assert.equal(server.receive(late[2]!), false);
  assert.equal(server.protection.openFailed, 1);
  assert.ok(server.receive(client.send()));
});

test("an apparent key update that does not authenticate changes nothing", () => {
  const { client, server } = sides();
  exchange(client, server);
  const forged = client.send();
  forged[0]! ^= 0x04;
  assert.equal(server.receive(forged), false);
  assert.equal(server.protection.keyPhase, 0);
  assert.ok(server.receive(client.send()));
  client.protection.initiateKeyUpdate();
  assert.ok(server.receive(client.send()));
});

test("rfc9001#6.2 a second update before any packet was sent with the first: KEY_UPDATE_ERROR", () => {
  const { client, server } = sides();
  exchange(client, server);
  client.protection.initiateKeyUpdate();
  assert.ok(server.receive(client.send()));
  // The client goes on without waiting: played by answers that the server never sent.
  const ghost = sides();
  exchange(ghost.client, ghost.server);
  ghost.client.protection.initiateKeyUpdate();
  assert.ok(ghost.server.receive(ghost.client.send()));
  assert.ok(ghost.client.receive(ghost.server.send()));
  ghost.client.protection.onAcked(ghost.client.next - 1);
  ghost.client.protection.dropOldReadKeys();
  assert.ok(ghost.client.protection.initiateKeyUpdate());
  assert.throws(() => server.receive(ghost.client.send()), keyUpdateError);
});

test("rfc9001#6.2 a second update before an acknowledgment left with the first: KEY_UPDATE_ERROR", () => {
  // Packets with updated keys alone say nothing: … any packets with updated keys containing an acknowledgment.
  for (const ack of [false, true]) {
    const { client, server } = sides();
    exchange(client, server);
    client.protection.initiateKeyUpdate();
    assert.ok(server.receive(client.send()));
    assert.ok(client.receive(server.send(server.next++, ack)));
    client.protection.onAcked(client.next - 1);
    client.protection.dropOldReadKeys();
    assert.ok(client.protection.initiateKeyUpdate());
    if (ack) assert.ok(server.receive(client.send()));
    else assert.throws(() => server.receive(client.send()), keyUpdateError);
  }
});

test("rfc9001#6.1 a client that updates before the handshake can be confirmed: KEY_UPDATE_ERROR", () => {
  const { client, server } = sides();
  // Played by an answer that the server never sent.
  const ghost = sides();
  assert.ok(ghost.client.receive(ghost.server.send()));
  ghost.client.send();
  ghost.client.protection.onAcked(0);
  assert.ok(ghost.client.protection.initiateKeyUpdate());
  assert.ok(server.receive(client.send()));
  assert.throws(() => server.receive(ghost.client.send()), keyUpdateError);
});

test("both at once: an update that meets one of our own, of which nothing was sent yet, is none too early", () => {
  // rfc9001#6.2 Endpoints might initiate a key update at the same time: one of them takes place.
  const { client, server } = sides();
  exchange(client, server);
  exchange(server, client);
  assert.ok(server.protection.initiateKeyUpdate());
  assert.ok(client.protection.initiateKeyUpdate());
  assert.ok(server.receive(client.send()));
  assert.ok(client.receive(server.send()));
  assert.equal(server.protection.keyUpdates, 1);
  assert.equal(client.protection.keyUpdates, 1);
  assert.equal(server.protection.keyPhase, client.protection.keyPhase);
});

test("rfc9001#6.2 new packets acknowledged in a packet with old keys: KEY_UPDATE_ERROR", () => {
  const { client, server } = sides();
  exchange(client, server);
  client.protection.initiateKeyUpdate();
  const pn = client.next;
  client.send();
  assert.ok(client.receive(server.send()));
  // Of an old packet it is fine.
  client.protection.onAcked(pn - 1);
  assert.throws(() => client.protection.onAcked(pn), keyUpdateError);
});

test("rfc9001#6.2 the same, in a late packet after the update", () => {
  const { client, server } = sides();
  exchange(client, server);
  const late = server.send();
  client.protection.initiateKeyUpdate();
  const pn = client.next;
  assert.ok(server.receive(client.send()));
  assert.ok(client.receive(server.send()));
  client.protection.onAcked(pn);
  assert.ok(client.receive(late));
  client.protection.onAcked(pn - 1);
  assert.throws(() => client.protection.onAcked(pn), keyUpdateError);
});

test("rfc9001#6.4 old keys used for a higher packet number than new ones: KEY_UPDATE_ERROR", () => {
  const { client, server } = sides();
  exchange(client, server);
  assert.ok(server.receive(client.send(50)));
  client.protection.initiateKeyUpdate();
  assert.throws(() => server.receive(client.send(49)), keyUpdateError);
});

test("updateDue: soon the first time, then at the interval, and only when permitted", () => {
  const { client, server } = sides(simProvider({ nullAead: true }));
  for (let i = 0; i < FIRST_KEY_UPDATE; i++) server.receive(client.send());
  assert.equal(client.protection.updateDue, false);
  assert.ok(client.receive(server.send()));
  client.protection.onAcked(client.next - 1);
  assert.equal(client.protection.updateDue, true);
  client.protection.initiateKeyUpdate();
  assert.equal(client.protection.updateDue, false);
  assert.ok(server.receive(client.send()));
  assert.ok(client.receive(server.send()));
  client.protection.onAcked(client.next - 1);
  client.protection.dropOldReadKeys();
  for (let i = 1; i < KEY_UPDATE_INTERVAL - 1; i++) client.send(i + 1000);
  assert.equal(client.protection.updateDue, false);
  client.send();
  assert.equal(client.protection.updateDue, true);
});
