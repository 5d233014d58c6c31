// 0-RTT as deployments meet it: what quic-go's integration tests go through, here in virtual time. test/integration/scenarios.md
// says which is which.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Connection } from "../../internal/connection/connection.ts";
import {
  CONNECTION_REFUSED,
  PACKET_ONE_RTT,
  PACKET_ZERO_RTT,
  type PacketType,
} from "../../internal/protocol/constants.ts";
import { TransportError } from "../../internal/protocol/errors.ts";
import { cidGenerator } from "../../internal/path/cid-generator.ts";
import { isLongHeader, LongHeader, parseLongHeader } from "../../internal/wire/header.ts";
import { early, packets, scenario, serverSide, tickets, visit } from "./early-data.ts";
import type { Scenario } from "./scenario.ts";

const DELAY = 15;

/** STREAM frames in packets of one type that a side got: stream, offset, length. */
function streamFrames(
  s: Scenario,
  side: "client" | "server",
  name: "packet_sent" | "packet_received",
  type: PacketType,
) {
  return s.trace[side].flatMap((event) =>
    event.name === name && event.header.type === type
      ? event.frames
          .filter((frame) => frame.type === "stream")
          .map((frame) => ({
            stream: frame["streamId"] as number,
            offset: frame["offset"] as number,
            length: frame["length"] as number,
          }))
      : [],
  );
}

const isZeroRtt = (bytes: Uint8Array): boolean => isLongHeader(bytes[0]!) && ((bytes[0]! >> 4) & 3) === 1;

describe("0-RTT that is taken", () => {
  for (const length of [0, 15]) {
    it(`with connection IDs of ${length} bytes at the client`, () => {
      const s = scenario({ clientEndpoint: { cids: cidGenerator(length) } });
      const client = early(s, visit(s));
      const request = s.open(client, 50_000)!;
      s.until("the answer is here", () => request.finished && s.state(client).confirmed);
      s.until("all is there", () => s.state(serverSide(s)).streams.get(0)!.received === 50_000);
      const numbers = packets(s, "server", "packet_received", PACKET_ZERO_RTT);
      assert.ok(numbers.length >= 9, `${numbers.length}`);
      assert.equal(Math.min(...numbers), 0);
      const issued = s.trace.server.some(
        (event) =>
          event.name === "packet_received" &&
          event.frames.some((frame) => frame.type === "new_connection_id"),
      );
      assert.equal(
        issued,
        length > 0,
        "rfc9000#19.15 no NEW_CONNECTION_ID where the peer has zero-length IDs",
      );
    });
  }

  it("has nothing in it that was written after the handshake", () => {
    const s = scenario();
    const client = early(s, visit(s));
    const first = s.open(client, 5 * 1024, false)!;
    s.until("the handshake is complete", () => s.state(client).complete);
    const second = s.open(client, 40_000, false)!;
    const received = (id: number) => s.state(serverSide(s)).streams.get(id)?.received;
    s.until(
      "both are there",
      () => received(first.stream.id) === 5 * 1024 && received(second.stream.id) === 40_000,
    );
    const zero = streamFrames(s, "server", "packet_received", PACKET_ZERO_RTT);
    assert.ok(zero.length > 0);
    assert.deepEqual([...new Set(zero.map(({ stream }) => stream))], [first.stream.id]);
  });

  it("arrives whole where each fourth of its packets is lost", () => {
    const s = scenario();
    const session = visit(s);
    let sent = 0;
    let lost = 0;
    s.up.filter = ({ bytes }) => {
      if (!isZeroRtt(bytes) || ++sent % 4 !== 0) return true;
      lost++;
      return false;
    };
    const client = early(s, session);
    const request = s.open(client, 60_000)!;
    s.until("the answer is here", () => request.finished, 30_000);
    s.until("all is there", () => s.state(serverSide(s)).streams.get(0)!.received === 60_000, 30_000);
    assert.ok(lost > 0);
    assert.equal(client.handshake.tls.earlyData, "accepted");
    // rfc9001#5.6 what was lost goes again in 1-RTT packets.
    assert.ok(
      streamFrames(s, "server", "packet_received", PACKET_ONE_RTT).some(({ stream }) => stream === 0),
    );
  });

  it("is sent whole again after a Retry, to the connection ID that it brought", () => {
    let demands = false;
    const s = scenario({ serverEndpoint: { verifySourceAddress: () => demands, validatedAddresses: 0 } });
    const session = visit(s);
    demands = true;
    const bytes = new Map<string, number>();
    s.up.filter = (datagram) => {
      const header = new LongHeader();
      for (let at = 0; at < datagram.bytes.length;) {
        if (!parseLongHeader(datagram.bytes, at, datagram.bytes.length, header)) break;
        const { dcidOffset, dcidLength } = header;
        const dcid = Buffer.from(datagram.bytes.subarray(dcidOffset, dcidOffset + dcidLength)).toString(
          "hex",
        );
        if (header.type === PACKET_ZERO_RTT)
          bytes.set(dcid, (bytes.get(dcid) ?? 0) + header.packetEnd - header.pnOffset - 20);
        at = header.packetEnd;
      }
      return true;
    };
    const client = early(s, session);
    const request = s.open(client, 5000)!;
    s.until("the answer is here", () => request.finished);
    const [first, second, ...more] = bytes.values();
    assert.equal(more.length, 0);
    assert.ok(first! >= 5000 && first! < 5200, `${first}`);
    assert.ok(Math.abs(first! - second!) <= 40, `${first} then ${second}`);
    const numbers = packets(s, "server", "packet_received", PACKET_ZERO_RTT);
    assert.ok(numbers.length >= 4 && Math.min(...numbers) >= 4, `${numbers.join()}`);
  });

  it("waits for credit that it remembers, and goes on in 1-RTT with what there is now", () => {
    for (const limit of ["initialStreamWindow", "initialConnectionWindow"] as const) {
      const s = scenario({ server: { [limit]: 3 } });
      const session = visit(s);
      s.listen({ server: { [limit]: 100 } });
      const client = early(s, session);
      const request = s.open(client, 6, false)!;
      s.until(
        "all is there",
        () => s.state(serverSide(s)).streams.get(request.stream.id)?.received === 6,
        2000,
      );
      // rfc9000#7.4.1 the remembered limit, not a byte more.
      const zero = streamFrames(s, "server", "packet_received", PACKET_ZERO_RTT);
      assert.deepEqual(
        zero.map(({ offset, length }) => [offset, length]),
        [[0, 3]],
      );
      const one = streamFrames(s, "server", "packet_received", PACKET_ONE_RTT);
      assert.ok(one.length > 0 && one.every(({ offset }) => offset >= 3));
      assert.equal(client.handshake.tls.earlyData, "accepted");
    }
  });

  it("knows the application's words in the ticket, and the client those it kept with it", () => {
    const s = scenario({ tickets: tickets(5, "settings") });
    const session = visit(s);
    const client = early(s, { ...session, applicationData: new TextEncoder().encode("mine") });
    s.open(client, 100);
    s.until("confirmed", () => s.state(client).confirmed);
    assert.equal(client.handshake.tls.earlyData, "accepted");
    const told = (data: Uint8Array | null) => new TextDecoder().decode(data!);
    assert.equal(told(serverSide(s).handshake.applicationData), "settings");
    assert.equal(told(client.handshake.applicationData), "mine");
  });
});

describe("0-RTT that is refused for limits", () => {
  const opened = (client: Connection, bidi: boolean): number => {
    let n = 0;
    while (client.openStream(bidi) !== null) n++;
    return n;
  };

  it("of streams: the new ones hold from then on", () => {
    const s = scenario({ server: { maxIncomingStreams: 42, maxIncomingUniStreams: 10 } });
    const session = visit(s);
    s.listen({ server: { maxIncomingStreams: 41, maxIncomingUniStreams: 9 } });
    const client = early(s, session);
    s.open(client, 3000, false);
    s.until("the handshake is complete", () => s.state(client).complete);
    assert.equal(client.handshake.tls.earlyData, "rejected");
    assert.deepEqual([opened(client, true), opened(client, false)], [41, 9]);
    s.run(500);
    assert.ok(packets(s, "client", "packet_sent", PACKET_ZERO_RTT).length > 0);
    assert.deepEqual(packets(s, "server", "packet_received", PACKET_ZERO_RTT), []);
    assert.equal(s.state(serverSide(s)).streams.size, 0);
  });

  it("of the connection's window: a byte less is what may be sent", () => {
    const s = scenario({ server: { initialConnectionWindow: 100 } });
    const session = visit(s);
    // Reading gives no more credit while nothing is read.
    s.pauseIncoming = true;
    s.listen({ server: { initialConnectionWindow: 99 } });
    const client = early(s, session);
    s.until("the handshake is complete", () => s.state(client).complete);
    assert.equal(client.handshake.tls.earlyData, "rejected");
    s.open(client, 2000, false);
    s.run(1000);
    const one = streamFrames(s, "server", "packet_received", PACKET_ONE_RTT);
    assert.equal(Math.max(...one.map(({ offset, length }) => offset + length)), 99);
  });
});

describe("0-RTT whose connection does not come about", () => {
  it("was kept for its Initial, which is answered by a Retry: dropped by name, sent again after it", () => {
    let demands = false;
    const s = scenario({ serverEndpoint: { verifySourceAddress: () => demands, validatedAddresses: 0 } });
    const session = visit(s);
    demands = true;
    const first: Uint8Array[] = [];
    s.up.filter = ({ bytes }) => {
      if (first.length > 0) return true;
      first.push(bytes.slice());
      return false;
    };
    const client = early(s, session);
    const request = s.open(client, 6000)!;
    s.run(DELAY + 5);
    const before = s.server.endpoint.stats.dropped.address_unvalidated ?? 0;
    s.net.inject(first[0]!, s.client.address, s.server.address);
    s.run(1);
    // The Initial, and each 0-RTT datagram that waited for it.
    const sent = packets(s, "client", "packet_sent", PACKET_ZERO_RTT).length;
    assert.ok(s.server.endpoint.stats.dropped.address_unvalidated! - before >= sent - 1);
    s.until("the answer is here", () => request.finished);
    assert.equal(client.handshake.tls.earlyData, "accepted");
    const numbers = packets(s, "server", "packet_received", PACKET_ZERO_RTT);
    assert.ok(Math.min(...numbers) >= sent - 1, "none of those that waited was looked at");
  });

  it("is refused with its connection: CONNECTION_REFUSED, and no word of 0-RTT", () => {
    const s = scenario();
    const session = visit(s);
    s.server.endpoint.busy = true;
    const client = early(s, session);
    s.open(client, 6000);
    s.until("the client hears of it", () => s.state(client).error !== null, 5000);
    const { error, rejected } = s.state(client);
    assert.ok(error instanceof TransportError, String(error));
    assert.equal(error.errorCode, CONNECTION_REFUSED);
    assert.ok(error.remote);
    assert.equal(rejected, null);
    assert.deepEqual(packets(s, "server", "packet_received", PACKET_ZERO_RTT), []);
    assert.equal(s.server.endpoint.connectionCount, 0);
    // The ticket was not used: it is good for the next attempt.
    s.server.endpoint.busy = false;
    const again = early(s, session);
    const request = s.open(again, 100)!;
    s.until("the answer is here", () => request.finished);
    assert.equal(again.handshake.tls.earlyData, "accepted");
  });
});
