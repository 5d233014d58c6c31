// Attacks on a server by clients that need no connection, or never finish one: rfc9000#8, rfc9000#21.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as c from "../../internal/protocol/constants.ts";
import * as limits from "../../internal/protocol/limits.ts";
import { parseRetry, patchLength, writeLongHeader } from "../../internal/wire/header.ts";
import { seeded } from "../path/seeded.ts";
import { counted } from "./counted.ts";
import { Crowd, spoofed } from "./crowd.ts";
import { cryptoFrame, ping, ScriptedPeer } from "./peer.ts";

const { INITIAL, HANDSHAKE } = c;

const random = seeded(31);
const bytes = (n: number) => {
  const out = new Uint8Array(n);
  random(out);
  return out;
};

/** An Initial that looks like one and opens for nobody. */
function garbage(token: Uint8Array = new Uint8Array(0)): Uint8Array {
  const out = bytes(1200);
  const pn = writeLongHeader(out, 0, c.PACKET_INITIAL, c.VERSION_1, bytes(8), bytes(8), token, 4, 0);
  patchLength(out, pn, out.length - pn);
  return out;
}

/** A well-protected Initial with nothing of a ClientHello in it. */
function hollow(): Uint8Array {
  const peer = new ScriptedPeer("client", spoofed(1), {
    seed: new DataView(bytes(4).buffer).getUint32(0),
    sendsCrypto: () => false,
  });
  return peer.send(INITIAL, ping());
}

describe("Initial floods from many spoofed addresses", () => {
  const PACKETS = 20_000;

  test("garbage: hardly any keys, no connection, and Retry within its rate", () => {
    const { provider, counts } = counted();
    const crowd = new Crowd({ provider }, { provider });
    const { endpoint } = crowd.victim;
    const packet = garbage();
    for (let i = 0; i < PACKETS; i++) {
      // Another connection ID and another address each time.
      packet.set(bytes(8), 6);
      crowd.send(packet, spoofed(i));
      if (i % 256 === 255) {
        crowd.now += 1;
        crowd.settle();
        assert.ok(endpoint.connectionCount <= 1);
        crowd.victim.trace.length = 0;
      }
    }
    crowd.settle();
    // Two Initial keys (read, write) for each packet that is looked into: as many as FAILED_INITIALS allows.
    const looked = limits.FAILED_INITIALS.burst + 10;
    assert.ok(counts.aeads <= 2 * looked, `${counts.aeads} keys`);
    assert.ok(counts.opens <= looked, `${counts.opens} packets opened`);
    assert.equal(counts.asymmetric, 0);
    const { retry } = endpoint.stats.statelessSent;
    const seconds = PACKETS / 256 / 1000;
    const { burst, perSecond } = limits.RATES.retry.total;
    assert.ok(retry > 0 && retry <= burst + perSecond * seconds + 1, `${retry} Retry packets`);
    // None of the victims of reflection gets more than what was sent in its name.
    for (const { sent, got } of crowd.ledger.values()) assert.ok(got <= sent);
    crowd.run(1000);
    crowd.assertServes("garbage");
  });

  test("well-protected packets without a ClientHello: as many handshakes as the limit, then Retry", () => {
    const { provider, counts } = counted();
    const crowd = new Crowd({ provider }, { provider });
    const { endpoint } = crowd.victim;
    for (let i = 0; i < 1200; i++) {
      crowd.send(hollow(), spoofed(i));
      if (i % 100 === 99) {
        crowd.now += 10;
        crowd.settle();
        crowd.victim.trace.length = 0;
      }
    }
    assert.ok(endpoint.handshakeCount === limits.MAX_UNVALIDATED_HANDSHAKES);
    assert.equal(counts.asymmetric, 0);
    assert.ok(counts.aeads <= 2 * limits.MAX_UNVALIDATED_HANDSHAKES);
    // An honest client proves its address, and comes in.
    crowd.assertServes("handshakes without an end");
    assert.ok(endpoint.stats.statelessSent.retry > 0);
    // rfc9000#8.1 and those that nobody finishes are forgotten.
    crowd.run(limits.HANDSHAKE_TIMEOUT + 1000);
    const { handshakeCount, connectionCount } = crowd.victim.endpoint;
    assert.deepEqual([handshakeCount, connectionCount <= 1], [0, true]);
  });

  test("unknown versions: Version Negotiation within its rate, never larger than what came", () => {
    const crowd = new Crowd();
    const packet = garbage();
    packet.set([0x1a, 0x2b, 0x3c, 0x4d], 1);
    for (let i = 0; i < 5000; i++) {
      crowd.send(packet, spoofed(i));
      if (i % 500 === 499) crowd.settle();
    }
    crowd.settle();
    const { total } = limits.RATES.versionNegotiation;
    assert.equal(crowd.victim.endpoint.stats.statelessSent.version_negotiation, total.burst);
    assert.ok(crowd.answered.bytes <= 1200 * total.burst);
    crowd.assertServes("unknown versions");
  });

  test("made-up tokens: one look at each, and none is a proof", () => {
    const { provider, counts } = counted();
    const crowd = new Crowd({ provider, verifySourceAddress: () => true }, { provider });
    for (let i = 0; i < 2000; i++) {
      crowd.send(garbage(bytes(60 + (i % 400))), spoofed(i));
      if (i % 100 === 99) {
        crowd.now += 10;
        crowd.settle();
      }
    }
    assert.equal(crowd.victim.endpoint.connectionCount, 0);
    assert.equal(counts.aeads, 0);
    // Opened once with the one key there is, where it has the length of a token at all; Retry has a token and a tag.
    const { retry } = crowd.victim.endpoint.stats.statelessSent;
    assert.ok(counts.oneShots <= 2000 + 2 * retry, `${counts.oneShots} one-shot AEADs`);
    crowd.run(1000);
    crowd.assertServes("made-up tokens");
  });
});

describe("amplification", () => {
  // rfc9000#8.1 an endpoint MUST limit the amount of data it sends to the unvalidated address to three times the amount
  // of data received from that address.
  test("a ClientHello in a victim's name: three times its bytes, retransmissions and all", () => {
    const crowd = new Crowd();
    const peer = new ScriptedPeer("client", spoofed(7));
    for (const datagram of peer.out.splice(0)) crowd.send(datagram, peer.address);
    // Nobody answers. The server repeats what it has to say until it gives up.
    crowd.run(limits.HANDSHAKE_TIMEOUT + 1000);
    const { sent, got } = crowd.ledger.get(peer.address.key)!;
    assert.ok(got > 0 && got <= 3 * sent, `${got} bytes for ${sent}`);
    assert.equal(crowd.victim.endpoint.connectionCount, 0);
  });

  test("drip by drip: each datagram buys three times its own", () => {
    const crowd = new Crowd();
    const peer = new ScriptedPeer("client", spoofed(8));
    for (const datagram of peer.out.splice(0)) crowd.send(datagram, peer.address);
    crowd.settle();
    const dcid = peer.dcid;
    for (let i = 0; i < 300; i++) {
      const drop = bytes(30);
      drop[0] = 0x40 | (drop[0]! & 0x3f);
      drop.set(dcid, 1);
      crowd.send(drop, peer.address);
      crowd.run(20);
      const { sent, got } = crowd.ledger.get(peer.address.key)!;
      assert.ok(got <= 3 * sent, `${got} bytes for ${sent}`);
    }
  });

  test("a refusal and a Retry are smaller than what they answer", () => {
    for (const verify of [true, false]) {
      const crowd = new Crowd({ verifySourceAddress: () => verify });
      crowd.victim.endpoint.busy = !verify;
      const peer = new ScriptedPeer("client", spoofed(9));
      for (const datagram of peer.out.splice(0)) crowd.send(datagram, peer.address);
      crowd.run(5000);
      const { sent, got } = crowd.ledger.get(peer.address.key)!;
      assert.ok(got > 0 && got < sent, `${got} bytes for ${sent}`);
    }
  });
});

describe("slow-drip handshakes", () => {
  test("a byte now and then: no TLS is run for it, and it ends in time", () => {
    const { provider, counts } = counted();
    const crowd = new Crowd({ provider }, { provider });
    const peers = Array.from(
      { length: 50 },
      (_, i) => new ScriptedPeer("client", spoofed(i), { seed: 900 + i, sendsCrypto: () => false }),
    );
    const begun = crowd.now;
    for (let i = 0; i < 60; i++) {
      // A ClientHello of 500 bytes, one byte at a time.
      for (const peer of peers) {
        const first = [1, 0, 1, 0xf4][i] ?? 3;
        crowd.send(peer.send(INITIAL, cryptoFrame(i, Uint8Array.of(first))), peer.address);
      }
      crowd.run(200);
      crowd.victim.trace.length = 0;
    }
    assert.equal(counts.asymmetric, 0);
    assert.ok(crowd.now - begun > limits.HANDSHAKE_TIMEOUT);
    // Those of the last two seconds began anew, at other connection IDs or none.
    crowd.run(limits.HANDSHAKE_TIMEOUT);
    assert.equal(crowd.victim.endpoint.handshakeCount, 0);
    crowd.assertServes("drips");
  });

  test("clients that stop before Finished hold the limit's worth of memory, and so long", () => {
    const crowd = new Crowd({ maxHandshakes: 40 });
    const peers: ScriptedPeer[] = [];
    for (let i = 0; i < 60; i++) {
      const peer = new ScriptedPeer("client", spoofed(i), {
        seed: 2000 + i,
        sendsCrypto: (level) => level !== HANDSHAKE,
      });
      peers.push(peer);
      crowd.add(peer);
    }
    crowd.settle();
    assert.equal(crowd.victim.endpoint.handshakeCount, 40);
    // rfc9000#5.2.2 the rest hear CONNECTION_REFUSED.
    const refused = peers.filter((peer) => peer.close?.errorCode === c.CONNECTION_REFUSED);
    assert.equal(refused.length, 20);
    crowd.run(limits.HANDSHAKE_TIMEOUT + 1000);
    assert.equal(crowd.victim.endpoint.handshakeCount, 0);
    crowd.assertServes("half handshakes");
  });

  test("a ClientHello in one-byte frames, the last first, is one all the same", () => {
    const crowd = new Crowd();
    const peer = new ScriptedPeer("client", spoofed(3), { sendsCrypto: (level) => level !== INITIAL });
    const hello: Uint8Array[] = [];
    const whole = new Uint8Array(1160);
    const end = peer.crypto.writeFrames(INITIAL, whole, 0, whole.length, { addRecord() {} } as never);
    // Type, offset 0, a length of two bytes.
    const data = whole.slice(4, end);
    for (let i = data.length - 1; i >= 0; i--) hello.push(cryptoFrame(i, data.slice(i, i + 1)));
    crowd.add(peer);
    for (let i = 0; i < hello.length; i += 200) {
      peer.send(INITIAL, Uint8Array.from(hello.slice(i, i + 200).flatMap((each) => [...each])));
    }
    crowd.run(500);
    assert.ok(peer.complete, "the handshake completes");
  });
});

describe("tokens that are not one's own", () => {
  /** What an honest client got: a Retry's token, and where it is to be brought to. */
  function stolen(crowd: Crowd): { token: Uint8Array; scid: Uint8Array; owner: ScriptedPeer } {
    const owner = new ScriptedPeer("client", spoofed(50));
    let retry: ReturnType<typeof parseRetry> = null;
    crowd.onAnswer = (answer) => (retry ??= parseRetry(answer, 0, answer.length));
    for (const datagram of owner.out.splice(0)) crowd.send(datagram, owner.address);
    crowd.settle();
    crowd.onAnswer = null;
    const { token, scid } = retry as unknown as { token: Uint8Array; scid: Uint8Array };
    return { token, scid, owner };
  }

  function bring(token: Uint8Array, dcid: Uint8Array): Uint8Array {
    const out = bytes(1200);
    const pn = writeLongHeader(out, 0, c.PACKET_INITIAL, c.VERSION_1, dcid, bytes(8), token, 4, 0);
    patchLength(out, pn, out.length - pn);
    return out;
  }

  // rfc9000#8.1.3 the server SHOULD immediately close the connection with an INVALID_TOKEN error
  for (const [name, change, reason] of [
    ["from another address", { from: spoofed(51) }, "invalid_token"],
    ["at another connection ID", { dcid: true }, "invalid_token"],
    ["too late", { wait: limits.RETRY_TOKEN_LIFETIME + 1 }, "invalid_token"],
    ["with a bit changed", { bit: true }, "address_unvalidated"],
    ["of a server with another key", { key: true }, "address_unvalidated"],
  ] as const) {
    test(`a Retry's token ${name}: no connection, no key, no larger answer`, () => {
      const { provider, counts } = counted();
      const options = { provider, verifySourceAddress: () => true };
      const crowd = new Crowd(options, { provider });
      const from = "key" in change ? new Crowd({ ...options, tokenKeys: [bytes(32)] }) : crowd;
      const { token, scid, owner } = stolen(from);
      if ("bit" in change) token[20]! ^= 1;
      if ("wait" in change) crowd.run(change.wait);
      const address = "from" in change ? change.from : owner.address;
      const packet = bring(token, "dcid" in change ? bytes(8) : scid);
      const opens = counts.opens;
      crowd.victim.trace.length = 0;
      const before = crowd.answered.bytes;
      crowd.send(packet, address);
      crowd.settle();
      assert.deepEqual(crowd.victim.drops, [reason]);
      assert.equal(crowd.victim.endpoint.connectionCount, 0);
      assert.equal(counts.opens, opens);
      assert.ok(crowd.answered.bytes - before < packet.length);
      crowd.assertServes("a stolen token");
    });
  }
});
