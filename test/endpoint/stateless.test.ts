import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PacketProtection } from "../../internal/handshake/protection.ts";
import { deriveResetToken } from "../../internal/path/reset-token.ts";
import {
  CONNECTION_REFUSED,
  INITIAL,
  PACKET_INITIAL,
  VERSION_1,
  VERSION_2,
} from "../../internal/protocol/constants.ts";
import { RATES } from "../../internal/protocol/limits.ts";
import { describeFrames } from "../../internal/wire/frame-objects.ts";
import {
  LongHeader,
  parseInvariants,
  parseLongHeader,
  parseVersionNegotiation,
} from "../../internal/wire/header.ts";
import { Bench, CLIENT, KEY, longPacket, OTHER, shortPacket } from "./fake.ts";

const dcid = (n: number, length = 8) => new Uint8Array(length).fill(n);

describe("Version Negotiation", () => {
  // rfc9000#5.2.2 SHOULD send a Version Negotiation packet; rfc9000#17.2.1 connection IDs are swapped
  test("answers an unknown version with ours and a reserved one", () => {
    const bench = new Bench();
    bench.endpoint.listen({});
    for (let n = 0; n < 50; n++) {
      const version = 0x1a2a3a4a;
      bench.receive([longPacket({ version, dcid: dcid(1, 40), scid: dcid(2, 30) })]);
      const { datagrams, remotes } = bench.transmit();
      assert.equal(datagrams.length, 1);
      assert.equal(remotes[0], CLIENT);
      const answer = datagrams[0]!;
      const header = new LongHeader();
      assert.ok(parseInvariants(answer, 0, answer.length, header));
      assert.equal(header.version, 0);
      assert.deepEqual(answer.slice(header.dcidOffset, header.dcidOffset + header.dcidLength), dcid(2, 30));
      assert.deepEqual(answer.slice(header.scidOffset, header.scidOffset + header.scidLength), dcid(1, 40));
      const versions = parseVersionNegotiation(answer, 0, answer.length)!;
      assert.equal(versions.length, 3);
      assert.ok(versions.includes(VERSION_1) && versions.includes(VERSION_2));
      // rfc9000#15 reserved versions follow the pattern 0x?a?a?a?a; never the one the client chose
      const reserved = versions.filter((each) => (each & 0x0f0f0f0f) === 0x0a0a0a0a);
      assert.equal(reserved.length, 1);
      assert.notEqual(reserved[0], version);
    }
    assert.equal(bench.endpoint.stats.statelessSent.version_negotiation, 50);
  });

  test("is not sent to small datagrams, to Version Negotiation, or by a client", () => {
    const bench = new Bench();
    bench.receive([longPacket({ version: 0x1a2a3a4a })]);
    bench.endpoint.listen({});
    bench.receive([
      // rfc9000#5.2.2 Servers MUST drop smaller packets that specify unsupported versions
      longPacket({ version: 0x1a2a3a4a, size: 1199 }),
      // rfc9000#6.1 MUST NOT send a Version Negotiation packet in response to receiving one
      longPacket({ version: 0 }),
    ]);
    assert.deepEqual(bench.drops, ["not_listening", "unsupported_version", "unknown_connection_id"]);
    assert.equal(bench.transmit().datagrams.length, 0);
  });

  test("is rate limited, and never sent to ourselves", () => {
    const bench = new Bench();
    bench.endpoint.listen({});
    const packet = longPacket({ version: 0x1a2a3a4a });
    bench.receive([[packet, CLIENT, CLIENT]]);
    assert.deepEqual(bench.drops, ["invalid_source"]);
    bench.trace.length = 0;
    let sent = 0;
    for (let i = 0; i < 10; i++) {
      bench.receive(new Array(100).fill(packet), 1);
      for (let more = true; more;) {
        const result = bench.transmit(1);
        sent += result.datagrams.length;
        more = result.more;
      }
    }
    assert.equal(sent, RATES.versionNegotiation.host.burst);
    assert.equal(
      bench.drops.filter((each) => each === "rate_limited").length,
      1000 - RATES.versionNegotiation.host.burst,
    );
  });
});

describe("stateless reset", () => {
  test("answers an unknown short header with the token of its connection ID", () => {
    const bench = new Bench();
    for (const size of [22, 30, 43, 44, 60, 100, 1400]) {
      const packet = shortPacket(dcid(size & 0xff), size);
      bench.receive([packet]);
      const { datagrams } = bench.transmit();
      assert.equal(datagrams.length, 1, String(size));
      const answer = datagrams[0]!;
      // rfc9000#10.3.3 MUST ensure that every Stateless Reset that it sends is smaller than the packet
      assert.ok(answer.length < size);
      assert.ok(answer.length >= 21 && answer.length <= 74);
      if (size <= 44) assert.equal(answer.length, size - 1);
      // rfc9000#10.3 formatted as a packet with a short header
      assert.equal(answer[0]! & 0xc0, 0x40);
      assert.deepEqual(answer.slice(-16), deriveResetToken(bench.provider, KEY, dcid(size & 0xff)));
    }
    assert.equal(bench.drops.length, 7);
  });

  test("two endpoints that reset each other fall silent", () => {
    const a = new Bench();
    const b = new Bench({ statelessResetKey: new Uint8Array(32).fill(9) });
    let datagrams = [shortPacket(dcid(1), 100)];
    let rounds = 0;
    while (datagrams.length > 0) {
      const bench = rounds++ % 2 === 0 ? a : b;
      bench.receive(datagrams);
      datagrams = bench.transmit().datagrams;
      assert.ok(rounds < 100);
    }
  });

  test("needs a key and a packet to hide behind", () => {
    const bench = new Bench();
    bench.receive([shortPacket(dcid(1), 21)]);
    const keyless = new Bench({ statelessResetKey: null });
    keyless.receive([shortPacket(dcid(1), 100)]);
    assert.equal(bench.transmit().datagrams.length + keyless.transmit().datagrams.length, 0);
    assert.deepEqual(bench.drops, ["unknown_connection_id"]);
  });

  test("of the peer's is recognised by token and address", () => {
    const bench = new Bench();
    const connection = bench.endpoint.dial({ remote: CLIENT }, 0, 0);
    const token = dcid(0x77, 16);
    connection.host.addResetToken(token, CLIENT, connection);
    const reset = shortPacket(dcid(0x55), 50);
    reset.set(token, 34);
    const long = longPacket({ dcid: dcid(0x56), size: 60 });
    long.set(token, 44);
    bench.receive([[reset, OTHER]]);
    assert.equal(connection.resets, 0);
    // rfc9000#10.3 MUST treat any packet ending in a valid stateless reset token as a Stateless Reset
    bench.receive([reset, long]);
    assert.equal(connection.resets, 2);
    assert.equal(bench.endpoint.stats.statelessResetsReceived, 2);
    connection.host.removeResetToken(token, CLIENT);
    bench.receive([reset]);
    assert.equal(connection.resets, 2);
    connection.host.addResetToken(token, CLIENT, connection);
    connection.isClosed = true;
    bench.receive([shortPacket(connection.cid)]);
    bench.receive([reset]);
    assert.equal(connection.resets, 2);
  });

  test("answers packets of connections that are gone", () => {
    const bench = new Bench();
    const connection = bench.endpoint.dial({ remote: CLIENT }, 0, 0);
    bench.endpoint.closeAll(Object.assign(new Error("x")) as never, 0);
    bench.receive([shortPacket(connection.cid, 80)]);
    const [answer] = bench.transmit().datagrams;
    assert.deepEqual(answer!.slice(-16), deriveResetToken(bench.provider, KEY, connection.cid));
  });
});

// rfc9000#5.2.2 SHOULD send an Initial packet containing a CONNECTION_CLOSE frame with CONNECTION_REFUSED
test("a refusal opens with the client's Initial keys, in both versions", () => {
  for (const version of [VERSION_1, VERSION_2]) {
    const bench = new Bench({ maxHandshakes: 0 });
    bench.endpoint.listen({});
    const first = dcid(0x42, 10);
    bench.receive([longPacket({ version, dcid: first, scid: dcid(6, 5) })]);
    const [answer] = bench.transmit().datagrams;
    const packet = answer!;
    const header = new LongHeader();
    assert.ok(parseLongHeader(packet, 0, packet.length, header));
    assert.equal(header.type, PACKET_INITIAL);
    assert.equal(header.version, version);
    assert.equal(header.packetEnd, packet.length);
    assert.deepEqual(packet.slice(header.dcidOffset, header.dcidOffset + header.dcidLength), dcid(6, 5));
    const client = new PacketProtection(bench.provider, "client", version);
    client.installInitial(version, first);
    assert.ok(client.unprotectHeader(INITIAL, packet, 0, header.pnOffset, header.packetEnd, -1));
    const length = client.open(INITIAL, packet, 0, header.pnOffset, header.packetEnd);
    assert.ok(length > 0);
    const start = header.pnOffset + client.pnLength;
    const [frame] = describeFrames(packet, start, start + length, PACKET_INITIAL);
    assert.equal(frame!.type, "connection_close");
    assert.equal(packet[start + 1], CONNECTION_REFUSED);
    client.disposeAll();
    assert.deepEqual(bench.drops, ["server_busy"]);
  }
});
