// Peers that break the rules of 0-RTT: which error each hears, and what is merely ignored. rfc9001#4.6, rfc9000#12.4
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Connection } from "../../internal/connection/connection.ts";
import { encodeRemembered, decodeRemembered } from "../../internal/connection/remembered.ts";
import {
  APPLICATION,
  PACKET_ZERO_RTT,
  PROTOCOL_VIOLATION,
  VERSION_1,
  ZERO_RTT,
  type Level,
} from "../../internal/protocol/constants.ts";
import { TransportError } from "../../internal/protocol/errors.ts";
import type { ClientSession } from "../../internal/tls/session.ts";
import * as w from "../../internal/wire/frame-writers.ts";
import { patchLength, writeLongHeader, writeShortHeader } from "../../internal/wire/header.ts";
import { Scenario } from "../sim/scenario.ts";
import { early, once, packets, scenario, serverSide, tickets, visit } from "../sim/early-data.ts";
import { bare, cryptoFrame, frame } from "./peer.ts";

/** A packet under the keys of one end of a connection, with any frames. */
function forge(
  from: Connection,
  level: Level,
  payload: Uint8Array,
  number: number,
  dcid = from.remoteCids.current,
): Uint8Array {
  const buf = new Uint8Array(payload.length + 120);
  const pnOffset =
    level === APPLICATION
      ? writeShortHeader(buf, 0, dcid, from.protection.keyPhase, false, 4, number)
      : writeLongHeader(
          buf,
          0,
          PACKET_ZERO_RTT,
          VERSION_1,
          dcid,
          from.localCids.handshakeCid,
          null,
          4,
          number,
        );
  buf.set(payload, pnOffset + 4);
  let end = pnOffset + 4 + payload.length;
  if (level !== APPLICATION) patchLength(buf, pnOffset, end + 16 - pnOffset);
  end = from.protection.seal(level, buf, 0, pnOffset, 4, end, number);
  from.protection.maskPending();
  return buf.slice(0, end);
}

function assertClosed(s: Scenario, connection: Connection, what: string): void {
  const { localError } = connection.close;
  assert.ok(localError instanceof TransportError, `${what}: ${String(localError)}`);
  assert.equal(localError.errorCode, PROTOCOL_VIOLATION, what);
  s.until("both ends are over", () => s.client.endpoint.connectionCount === 0, 60_000);
}

const FORBIDDEN: readonly (readonly [string, Uint8Array])[] = [
  ["ACK", frame((buf) => w.writeAck(buf, 0, 100, Float64Array.of(0, 0), 1, 0, null))],
  // rfc9001#8.3 A server MUST treat receipt of a CRYPTO frame in a 0-RTT packet as … PROTOCOL_VIOLATION.
  ["CRYPTO", cryptoFrame(0, Uint8Array.of(5, 0, 0, 0))],
  ["HANDSHAKE_DONE", bare(0x1e)],
  ["NEW_TOKEN", frame((buf) => w.writeNewToken(buf, 0, new Uint8Array(16)))],
  ["PATH_RESPONSE", Uint8Array.of(0x1b, 1, 2, 3, 4, 5, 6, 7, 8)],
  ["RETIRE_CONNECTION_ID", frame((buf) => w.writeNumberFrame(buf, 0, 0x19, 0))],
];

describe("a client's 0-RTT packets", () => {
  for (const [name, payload] of FORBIDDEN) {
    // rfc9000#12.5 receipt of these frames in 0-RTT packets MAY be treated as PROTOCOL_VIOLATION; rfc9000#12.4 an endpoint
    // MUST treat receipt of a frame in a packet type that is not permitted as PROTOCOL_VIOLATION.
    test(`with ${name}`, () => {
      const s = scenario();
      const client = early(s, visit(s));
      s.open(client, 100);
      const bad = forge(client, ZERO_RTT, payload, 50);
      s.run(1);
      s.net.inject(bad, s.client.address, s.server.address);
      s.until("the server ends it", () => serverSide(s).close.localError !== null, 2000);
      assertClosed(s, serverSide(s), name);
    });
  }

  test("under keys that nobody has, or changed, are noise", () => {
    const s = scenario();
    const client = early(s, visit(s));
    const request = s.open(client, 100)!;
    const bad = forge(client, ZERO_RTT, bare(1), 50);
    bad[bad.length - 1]! ^= 1;
    s.run(1);
    s.net.inject(bad, s.client.address, s.server.address);
    s.until("the answer is here", () => request.finished);
    assert.ok(s.drops("server").includes("decryption_failed"));
    assert.equal(client.handshake.tls.earlyData, "accepted");
  });

  test("that come again, or after the keys went, are dropped", () => {
    const s = scenario();
    const session = visit(s);
    const flight: Uint8Array[] = [];
    s.up.filter = ({ bytes }) => (flight.push(bytes.slice()), true);
    const client = early(s, session);
    s.open(client, 4000);
    s.until("confirmed", () => s.state(client).confirmed);
    const late = flight.filter((bytes) => ((bytes[0]! >> 4) & 3) === PACKET_ZERO_RTT && bytes[0]! >= 0xc0);
    assert.ok(late.length > 0);
    const before = packets(s, "server", "packet_received", PACKET_ZERO_RTT).length;
    for (const bytes of late) s.net.inject(bytes, s.client.address, s.server.address);
    s.run(1);
    s.run(3000);
    for (const bytes of late) s.net.inject(bytes, s.client.address, s.server.address);
    s.run(10);
    assert.equal(packets(s, "server", "packet_received", PACKET_ZERO_RTT).length, before);
    assert.ok(s.drops("server").includes("duplicate"));
    // rfc9001#4.9.3 servers MUST discard 0-RTT keys within a short time.
    assert.ok(s.drops("server").includes("keys_discarded"));
    assert.ok(client.close.isOpen);
  });

  test("beyond a stream's limit are an error as in 1-RTT", () => {
    const s = scenario({ server: { maxIncomingStreams: 3 } });
    const client = early(s, visit(s));
    const bad = forge(
      client,
      ZERO_RTT,
      frame((buf) => w.writeStreamHeader(buf, 0, 4 * 100, 0, 4, true, true) + 4),
      50,
    );
    s.run(1);
    s.net.inject(bad, s.client.address, s.server.address);
    s.until("the server ends it", () => serverSide(s).close.localError !== null, 2000);
    assert.match(String(serverSide(s).close.localError), /stream/i);
  });

  test("in a flood take no more than their share, and the honest get through", () => {
    const s = scenario();
    const session = visit(s);
    for (let i = 0; i < 2000; i++) {
      const bytes = new Uint8Array(600);
      bytes.set([0xd0, 0, 0, 0, 1, 8, i >> 8, i, 3, 4, 5, 6, 7, 8, 0, 0x42, 0x00]);
      s.net.inject(bytes, s.client.address, s.server.address);
    }
    s.run(1);
    assert.ok(s.server.endpoint.stats.dropped.queue_overflow! > 1900);
    const client = early(s, session);
    const request = s.open(client, 100)!;
    s.until("the answer is here", () => request.finished);
    assert.equal(client.handshake.tls.earlyData, "accepted");
  });
});

describe("a server", () => {
  // rfc9000#7.4.1 a client MUST treat … a server that accepts 0-RTT and reduces a limit as PROTOCOL_VIOLATION
  for (const name of [
    "activeConnectionIdLimit",
    "initialMaxData",
    "initialMaxStreamDataBidiLocal",
    "initialMaxStreamDataBidiRemote",
    "initialMaxStreamDataUni",
    "initialMaxStreamsBidi",
    "initialMaxStreamsUni",
  ] as const) {
    test(`that takes 0-RTT and lowers ${name}`, () => {
      const s = scenario();
      const session = visit(s);
      const remembered = decodeRemembered(session.transportParameters)!;
      const promised = { ...remembered, [name]: remembered[name] + 1 };
      const client = early(s, { ...session, transportParameters: encodeRemembered(promised) });
      s.open(client, 100);
      s.until("the client ends it", () => client.close.localError !== null);
      assert.match(String(client.close.localError), new RegExp(name));
      assertClosed(s, client, name);
    });
  }

  // rfc9001#4.6.2 a client SHOULD treat receipt of an acknowledgment for a 0-RTT packet as … PROTOCOL_VIOLATION.
  test("that refuses 0-RTT and acknowledges it", () => {
    const s = scenario();
    const session = visit(s);
    s.listen({ earlyData: null });
    const client = early(s, session);
    s.open(client, 100);
    s.until("confirmed", () => s.state(client).confirmed);
    assert.equal(client.handshake.tls.earlyData, "rejected");
    const ack = frame((buf) => w.writeAck(buf, 0, 100, Float64Array.of(0, 0), 1, 0, null));
    s.net.inject(forge(serverSide(s), APPLICATION, ack, 90), s.server.address, s.client.address);
    s.until("the client ends it", () => client.close.localError !== null, 1000);
    assertClosed(s, client, "ACK of 0-RTT that was refused");
  });

  // rfc9001#5.6 A client MUST NOT attempt to decrypt 0-RTT packets it receives and instead MUST discard them.
  test("that sends 0-RTT packets is ignored", () => {
    const s = scenario();
    const client = early(s, visit(s));
    const bytes = forge(client, ZERO_RTT, bare(1), 70, client.localCids.handshakeCid);
    s.run(1);
    s.net.inject(bytes, s.server.address, s.client.address);
    s.until("confirmed", () => s.state(client).confirmed);
    assert.deepEqual(s.drops("client"), ["unexpected_packet"]);
  });
});

describe("a ticket", () => {
  const outcome = (change: (session: ClientSession) => ClientSession, s = scenario()) => {
    const client = early(s, change(visit(s)));
    const request = s.open(client, 100);
    s.until("the handshake is over", () => s.state(client).complete || !client.close.isOpen);
    if (!client.close.isOpen) return `${String(client.close.peerError)}`;
    s.until("confirmed", () => s.state(client).confirmed);
    const again = client.handshake.tls.earlyData === "rejected" ? s.open(client, 100)! : request!;
    s.until("an answer", () => again.finished);
    return serverSide(s).handshake.tls.earlyDataRefusal;
  };

  test("that was changed anywhere is no ticket: the handshake is a full one", () => {
    const { length } = visit(scenario()).ticket;
    for (let at = 0; at < length; at += 7) {
      const changed = outcome((session) => {
        const ticket = session.ticket.slice();
        ticket[at]! ^= 0x10;
        return { ...session, ticket };
      });
      assert.equal(changed, "not_resumed", `byte ${at}`);
    }
    for (const size of [1, 16, length - 1]) {
      const cut = outcome((session) => ({ ...session, ticket: session.ticket.slice(0, size) }));
      assert.equal(cut, "not_resumed", `${size} bytes of it`);
    }
  });

  test("with another's secret ends the handshake", () => {
    // rfc8446#4.2.11 If this value is not present or does not validate, the server MUST abort the handshake.
    const stolen = outcome((session) => ({ ...session, secret: new Uint8Array(32) }));
    assert.match(String(stolen), /decrypt_error/);
  });

  test("that said nothing of 0-RTT carries none, whatever the client believes", () => {
    const s = scenario({ earlyData: null });
    const session = visit(s);
    assert.equal(session.earlyData, false);
    s.listen({ earlyData: once(), tickets: tickets() });
    const client = early(s, {
      ...session,
      earlyData: true,
      transportParameters: visitedParameters(),
    });
    s.open(client, 100);
    s.until("confirmed", () => s.state(client).confirmed);
    assert.equal(serverSide(s).handshake.tls.earlyDataRefusal, "not_announced");
  });
});

function visitedParameters(): Uint8Array {
  return visit(scenario()).transportParameters;
}
