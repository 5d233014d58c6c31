// 0-RTT on a simulated network: taken, refused for every reason there is, lost, overtaking, replayed. rfc9001#4.6
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Connection } from "../../internal/connection/connection.ts";
import { AES_256_GCM_SHA384, CHACHA20_POLY1305_SHA256 } from "../../internal/crypto/suites.ts";
import { makeAddress } from "../../internal/protocol/address.ts";
import { PACKET_ONE_RTT, PACKET_ZERO_RTT, VERSION_2, ZERO_RTT } from "../../internal/protocol/constants.ts";
import {
  EARLY_QUEUE_TIME,
  MAX_EARLY_QUEUE_DATAGRAMS,
  TICKET_AGE_TOLERANCE,
} from "../../internal/protocol/limits.ts";
import type { ClientSession } from "../../internal/tls/session.ts";
import type { EarlyDataUse } from "../../internal/tls/types.ts";
import { early, packets, scenario, serverSide, tickets, verdicts, visit } from "./early-data.ts";
import { replayed, type Scenario, type StreamState } from "./scenario.ts";

const DELAY = 15;

describe("0-RTT that is taken", () => {
  it("is answered after one round trip, and says that it came early", () => {
    replayed(
      () => scenario(),
      (s) => {
        const session = visit(s);
        const begun = s.net.now;
        const client = early(s, session);
        const request = s.open(client, 1000);
        assert.ok(request !== null && request.stream.early);
        s.until("the answer is here", () => request.finished);
        assert.equal(s.net.now - begun, 2 * DELAY);
        assert.equal(request.received, 500);
        s.until("confirmed", () => s.state(client).confirmed);
        const server = s.accepted[0]!;
        const theirs = s.state(server).streams.get(request.stream.id)!;
        assert.equal(theirs.received, 1000);
        assert.ok(theirs.stream.early);
        assert.deepEqual([verdicts(s, "client"), verdicts(s, "server")], [[true], [true]]);
        assert.equal(client.handshake.tls.earlyData, "accepted");
        assert.equal(server.handshake.tls.earlyData, "accepted");
        // What comes later is not early.
        const later = s.open(client, 10)!;
        s.until("the second request is there", () => later.finished);
        assert.equal(later.stream.early, false);
        assert.equal(s.state(server).streams.get(later.stream.id)!.stream.early, false);
      },
    );
  });

  it("shares its packet numbers with 1-RTT, which alone follows it, and its keys go", () => {
    const s = scenario();
    const session = visit(s);
    const client = early(s, session);
    s.open(client, 5000);
    s.until("confirmed", () => s.state(client).confirmed);
    s.run(3000);
    const zero = packets(s, "client", "packet_sent", PACKET_ZERO_RTT);
    const one = packets(s, "client", "packet_sent", PACKET_ONE_RTT);
    assert.ok(zero.length >= 4 && one.length > 0);
    // rfc9001#5.6 0-RTT and 1-RTT packets share a packet number space.
    assert.ok(Math.max(...zero) < Math.min(...one));
    assert.deepEqual(packets(s, "server", "packet_received", PACKET_ZERO_RTT), zero);
    // rfc9001#5.6 A client MUST NOT send 0-RTT packets once it starts processing 1-RTT packets.
    const sent = s.trace.client.flatMap((event) => (event.name === "packet_sent" ? [event.header.type] : []));
    assert.ok(sent.lastIndexOf(PACKET_ZERO_RTT) < sent.indexOf(PACKET_ONE_RTT));
    // rfc9001#5.6 A server MUST NOT use 0-RTT keys to protect packets.
    assert.deepEqual(packets(s, "server", "packet_sent", PACKET_ZERO_RTT), []);
    for (const side of ["client", "server"] as const) {
      const gone = s.trace[side].filter(
        (event) => event.name === "key_discarded" && event.level === ZERO_RTT,
      );
      assert.equal(gone.length, 1, side);
    }
    assert.ok(serverSide(s).protection.wasDiscarded(ZERO_RTT));
    assert.ok(client.protection.wasDiscarded(ZERO_RTT));
    const restored = s.trace.client.find((event) => event.name === "parameters_restored");
    assert.equal(restored?.parameters["initialMaxStreamsBidi"], 100);
  });

  it("is logged under CLIENT_EARLY_TRAFFIC_SECRET on both sides, with the same secret", () => {
    const s = scenario({ client: { keyLog: true }, server: { keyLog: true } });
    const session = visit(s);
    const lines: { [role: string]: string[] } = { client: [], server: [] };
    for (const host of [s.client, s.server]) {
      const before = host.onEvent;
      host.onEvent = (event) => {
        before(event);
        if (event.type !== "connection" || event.event.type !== "key_log") return;
        lines[event.connection.role]!.push(event.event.line);
      };
    }
    const client = early(s, session);
    s.open(client, 100);
    s.until("confirmed", () => s.state(client).confirmed);
    const of = (role: string) =>
      lines[role]!.filter((line) => line.startsWith("CLIENT_EARLY_TRAFFIC_SECRET "));
    assert.equal(of("client").length, 1);
    assert.deepEqual(of("client"), of("server"));
  });

  it("keeps to the limits it remembers, and goes on with the new ones", () => {
    const small = { maxIncomingStreams: 2, initialStreamWindow: 2000, initialConnectionWindow: 3000 };
    const s = scenario({ server: small });
    const session = visit(s);
    s.listen({ server: { ...small, maxIncomingStreams: 5, initialConnectionWindow: 100_000 } });
    const client = early(s, session);
    const first = s.open(client, 5000)!;
    s.open(client, 5000);
    // rfc9000#7.4.1 a client MUST only use remembered transport parameters in 0-RTT.
    assert.equal(s.open(client, 1), null);
    s.run(DELAY);
    const bytes = s.trace.client.flatMap((event) =>
      event.name === "packet_sent" && event.header.type === PACKET_ZERO_RTT ? event.frames : [],
    );
    const sent = bytes.reduce(
      (sum, frame) => sum + (frame.type === "stream" ? (frame["length"] as number) : 0),
      0,
    );
    assert.equal(sent, 3000);
    s.until("1-RTT", () => s.state(client).complete);
    assert.ok(s.open(client, 1) !== null);
    s.until("all of it arrives", () => first.finished);
    assert.equal(client.handshake.tls.earlyData, "accepted");
  });

  it("passes a Retry with its packet numbers", () => {
    // rfc9000#17.2.3 a client SHOULD attempt to resend data in 0-RTT packets after it sends a new Initial packet.
    let demands = false;
    const s = scenario({
      serverEndpoint: { verifySourceAddress: () => demands, validatedAddresses: 0 },
    });
    const session = visit(s);
    demands = true;
    const begun = s.net.now;
    const client = early(s, session);
    const request = s.open(client, 3000)!;
    s.until("the answer is here", () => request.finished);
    assert.equal(s.net.now - begun, 4 * DELAY);
    const numbers = packets(s, "client", "packet_sent", PACKET_ZERO_RTT);
    // rfc9000#17.2.5.3 the packet number MUST NOT be reset.
    assert.deepEqual(numbers, [...new Set(numbers)]);
    assert.ok(numbers.length >= 6);
    assert.equal(client.handshake.tls.earlyData, "accepted");
  });

  it("is not what a client does unless it is asked to", () => {
    // rfc9001#5.6 A client MUST NOT use 0-RTT for application data unless specifically requested by the application.
    const s = scenario();
    const session = visit(s);
    const client = s.dial(undefined, { session });
    assert.equal(client.openStream(true), null);
    s.until("confirmed", () => s.state(client).confirmed);
    assert.ok(client.handshake.tls.resumed);
    assert.equal(client.handshake.tls.earlyData, "none");
    assert.deepEqual(packets(s, "client", "packet_sent", PACKET_ZERO_RTT), []);
  });

  it("waits for a filter that takes its time", () => {
    const s = scenario({ earlyData: { replay: "pending" } });
    const session = visit(s);
    const asked: { connection: Connection; id: number; use: EarlyDataUse }[] = [];
    const before = s.server.onEvent;
    s.server.onEvent = (event) => {
      before(event);
      if (event.type !== "connection" || event.event.type !== "pending") return;
      const { request } = event.event;
      assert.equal(request.kind, "early_data");
      if (request.kind === "early_data")
        asked.push({ connection: event.connection, id: request.id, use: request });
    };
    const client = early(s, session);
    const request = s.open(client, 8000)!;
    s.run(200);
    assert.equal(asked.length, 1);
    const [{ connection, id, use }] = asked as [(typeof asked)[0]];
    assert.equal(use.ticketId.length, 32);
    assert.ok(use.expiry > s.net.wallNow);
    assert.equal(s.state(connection).streams.size, 0);
    connection.provide(id, { allowed: true }, s.net.now, s.net.wallNow);
    assert.ok(s.state(connection).streams.size === 0);
    s.until("the answer is here", () => request.finished);
    assert.equal(client.handshake.tls.earlyData, "accepted");
  });
});

describe("0.5-RTT", () => {
  it("reaches a client whose handshake the server does not know to be complete", () => {
    const s = scenario({ listenEarly: true });
    s.up.filter = (_, index) => index === 0;
    const client = s.dial();
    s.until("the server has a connection", () => s.accepted.length === 1);
    const server = s.accepted[0]!;
    assert.equal(server.handshakeComplete, false);
    const own = s.open(server, 700, false)!;
    s.until("the data is there", () => s.state(client).streams.get(own.stream.id)?.finished === true);
    assert.equal(server.handshakeComplete, false);
    s.up.filter = null;
    s.until("both are through", () => s.state(client).confirmed && s.state(server).complete);
    assert.equal(s.accepted.length, 1);
    assert.equal(s.server.endpoint.handshakeCount, 0);
  });

  it("stays within three times what came", () => {
    // rfc9000#8.1 0.5-RTT data as well.
    const s = scenario({ listenEarly: true, kind: "long chain" });
    s.up.filter = (_, index) => index === 0;
    s.dial();
    s.until("the server has a connection", () => s.accepted.length === 1);
    s.open(s.accepted[0]!, 100_000, false);
    s.run(5000);
    assert.ok(s.server.bytesSent <= 3 * s.server.bytesReceived);
  });
});

const SERVER = { maxDatagramFrameSize: 1200 };

/** What makes a server refuse, and under which name. */
const REFUSALS: readonly (readonly [
  string,
  string,
  (s: Scenario, session: ClientSession) => ClientSession,
])[] = [
  ["the server does not take it", "disabled", (s, session) => (s.listen({ earlyData: null }), session)],
  [
    "a limit was lowered",
    "parameters",
    (s, session) => (s.listen({ server: { ...SERVER, maxIncomingStreams: 99 } }), session),
  ],
  [
    "the application's data changed",
    "parameters",
    (s, session) => (s.listen({ tickets: tickets(5, "new settings") }), session),
  ],
  [
    "the replay filter says no",
    "replay",
    (s, session) => (s.listen({ earlyData: { replay: () => false } }), session),
  ],
  ["the ticket is unknown", "not_resumed", (s, session) => (s.listen({ tickets: tickets(6) }), session)],
  [
    "the ticket is too old",
    "not_resumed",
    (s, session) => ((s.net.wallOffset += 86_500_000), { ...session, received: s.net.wallNow - 1000 }),
  ],
  [
    "its age is not what the client says",
    "ticket_age",
    (_, session) => ({ ...session, received: session.received - TICKET_AGE_TOLERANCE - 1000 }),
  ],
  ["another protocol is chosen", "alpn", (s, session) => (s.listen({ alpn: ["other", "sim"] }), session)],
  [
    // rfc8446#4.2.10 the selected cipher suite MUST be the one associated with the PSK; resumption goes by its hash alone.
    "another cipher suite of the same hash is chosen",
    "cipher_suite",
    (s, session) => (s.listen({ suites: [CHACHA20_POLY1305_SHA256] }), session),
  ],
  [
    "a cipher suite of another hash is chosen",
    "not_resumed",
    (s, session) => (s.listen({ suites: [AES_256_GCM_SHA384] }), session),
  ],
  [
    "datagrams are not taken any more",
    "parameters",
    (s, session) => (s.listen({ server: { maxDatagramFrameSize: 0 } }), session),
  ],
  [
    "a certificate is demanded, which the session has none of",
    "not_resumed",
    (s, session) => (s.listen({ kind: "client auth" }), session),
  ],
  [
    "the tickets are of servers with another context",
    "not_resumed",
    (s, session) => (s.listen({ tickets: { ...tickets(), context: Uint8Array.of(1) } }), session),
  ],
  [
    "a HelloRetryRequest is needed",
    "retried",
    (s, session) => (s.listen({ kind: "retry request" }), session),
  ],
];

describe("0-RTT that is refused", () => {
  for (const [what, refusal, change] of REFUSALS) {
    it(`because ${what}`, () => {
      replayed(
        () => scenario({ server: SERVER }),
        (s) => {
          const session = change(s, visit(s));
          const client = early(s, session);
          // More than one window.
          const request = s.open(client, 30_000)!;
          assert.ok(request.stream.early);
          s.until("the client hears of it", () => s.state(client).rejected !== null);
          assert.deepEqual(
            s.state(client).rejected!.map(({ id }) => id),
            [request.stream.id],
          );
          assert.ok(s.state(client).complete || client.openStream(true) === null);
          s.until("confirmed", () => s.state(client).confirmed);
          assert.equal(client.handshake.tls.earlyData, "rejected");
          const server = serverSide(s);
          assert.equal(server.handshake.tls.earlyDataRefusal, refusal);
          // rfc9001#4.6.2 When rejecting 0-RTT, a server MUST NOT process any 0-RTT packets, even if it could.
          assert.deepEqual(packets(s, "server", "packet_received", PACKET_ZERO_RTT), []);
          assert.ok(s.drops("server").includes("early_data_rejected"));
          assert.equal(s.state(server).streams.size, 0);
          // rfc9001#4.6.2 the client MUST reset the state of all streams: the first again is the first.
          const again = s.open(client, 30_000)!;
          assert.equal(again.stream.id, request.stream.id);
          assert.notEqual(again.stream, request.stream);
          assert.equal(again.stream.early, false);
          s.until("the answer is here", () => again.finished);
          s.until("all is there", () => s.state(server).streams.get(0)?.received === 30_000);
          s.until("nothing is in flight", () => client.recovery.bytesInFlight === 0, 1000);
        },
      );
    });
  }

  it("because the session is of another version", () => {
    // rfc9369#5 no ticket of one version in the other: there is nothing to refuse.
    const s = scenario();
    const session = visit(s);
    const client = s.dial(undefined, {
      session: { ...session, quicVersion: VERSION_2 },
      earlyData: true,
    });
    assert.equal(client.openStream(true), null);
    s.until("confirmed", () => s.state(client).confirmed);
    assert.equal(client.handshake.tls.earlyData, "none");
    assert.equal(client.handshake.tls.resumed, false);
  });

  it("because it is a copy of a first flight that was taken", () => {
    // rfc8446#8 the honest connection was taken, the copy is not.
    const s = scenario();
    const session = visit(s);
    const flight: Uint8Array[] = [];
    s.up.filter = (datagram) => {
      if (flight.length < 3) flight.push(datagram.bytes.slice());
      return true;
    };
    const client = early(s, session);
    const request = s.open(client, 2000)!;
    s.until("the answer is here", () => request.finished && s.state(client).confirmed);
    client.closeWithError(0n, "", s.net.now);
    s.until("it is over", () => s.server.endpoint.connectionCount === 0);
    const known = new Set(s.states.keys());
    const stranger = makeAddress("198.51.100.9", 999);
    for (const bytes of flight) s.net.inject(bytes, stranger, s.server.address);
    s.run(500);
    const [copy] = [...s.states.keys()].filter((each) => !known.has(each) && each.role === "server");
    assert.ok(copy !== undefined);
    assert.equal(copy.handshake.tls.earlyDataRefusal, "replay");
    assert.equal(s.state(copy).streams.size, 0);
    assert.ok(s.drops("server").includes("early_data_rejected"));
  });
});

describe("datagrams in 0-RTT", () => {
  const sides = { client: { maxDatagramFrameSize: 1200 }, server: { maxDatagramFrameSize: 1200 } };
  const send = (s: Scenario, connection: Connection, size: number) =>
    connection.datagrams.send(new Uint8Array(size), { watched: true }, s.net.now);

  function fates(s: Scenario): string[] {
    const outcomes: string[] = [];
    const before = s.client.onEvent;
    s.client.onEvent = (event) => {
      before(event);
      if (event.type === "connection" && event.event.type === "datagram_settled") {
        outcomes[event.event.id] = event.event.outcome;
      }
    };
    return outcomes;
  }

  it("are told from others", () => {
    const s = scenario(sides);
    const client = early(s, visit(s));
    const outcomes = fates(s);
    send(s, client, 500);
    s.until("confirmed", () => s.state(client).confirmed);
    send(s, client, 600);
    s.until("both are there", () => outcomes.length === 2);
    const { datagrams } = serverSide(s);
    for (const [size, isEarly] of [
      [500, true],
      [600, false],
    ] as const) {
      const data = datagrams.receive()!;
      assert.equal(data.length, size);
      assert.equal(datagrams.isEarly(data), isEarly);
    }
    assert.deepEqual(outcomes, ["acked", "acked"]);
  });

  it("are void where it is refused, those that waited as well", () => {
    const s = scenario(sides);
    const session = visit(s);
    s.listen({ earlyData: null });
    const client = early(s, session);
    const outcomes = fates(s);
    // More than the first window takes.
    for (let i = 0; i < 40; i++) send(s, client, 1000);
    s.until("the client hears of it", () => s.state(client).rejected !== null);
    assert.equal(outcomes.length, 40);
    const lost = outcomes.filter((outcome) => outcome === "lost").length;
    assert.ok(lost >= 5 && lost < 40);
    assert.equal(outcomes.filter((outcome) => outcome === "purged").length, 40 - lost);
    s.until("confirmed", () => s.state(client).confirmed);
    send(s, client, 700);
    s.until("it is there", () => outcomes[40] === "acked");
    const { datagrams } = serverSide(s);
    const data = datagrams.receive()!;
    assert.equal(data.length, 700);
    assert.equal(datagrams.isEarly(data), false);
    assert.equal(datagrams.receive(), null);
  });
});

describe("0-RTT on a bad network", () => {
  for (const [name, link] of [
    ["loss", { delay: DELAY, loss: 0.2 }],
    ["reordering", { delay: DELAY, reorder: 0.5, reorderDelay: 20 }],
    ["duplication", { delay: DELAY, duplicate: 0.4 }],
    ["corruption", { delay: DELAY, corrupt: 0.1 }],
    [
      "everything",
      { delay: DELAY, loss: 0.1, reorder: 0.3, reorderDelay: 20, duplicate: 0.1, corrupt: 0.05 },
    ],
  ] as const) {
    for (const refused of [false, true]) {
      it(`${name}, ${refused ? "refused" : "taken"}`, () => {
        for (const seed of [1, 2, 3, 4, 5, 6]) {
          const s = scenario({
            seed,
            up: link,
            down: link,
            respond: 3000,
            client: { handshakeTimeout: 60_000, maxIdleTimeout: 120_000 },
            server: { handshakeTimeout: 60_000, maxIdleTimeout: 120_000 },
          });
          const session = visit(s);
          if (refused) s.listen({ earlyData: { replay: () => false } });
          const client = early(s, session);
          let request = s.open(client, 20_000)!;
          s.until("the handshake is over", () => s.state(client).complete, 60_000);
          if (refused) request = s.open(client, 20_000)!;
          s.until("the answer is here", () => request.finished, 120_000);
          const theirs = (): StreamState | undefined => s.state(serverSide(s)).streams.get(0);
          s.until("the request is there", () => theirs()?.finished === true, 120_000);
          assert.equal(theirs()!.received, 20_000);
          assert.equal(request.received, 3000);
          assert.equal(client.handshake.tls.earlyData, refused ? "rejected" : "accepted");
          assert.equal(theirs()!.stream.early, !refused);
        }
      });
    }
  }

  it("loses the whole of it and sends it again", () => {
    const s = scenario();
    const session = visit(s);
    // The first datagram has the Initial in it, with room for 0-RTT.
    const from = s.up.count;
    s.up.filter = (_, index) => index === from || index > from + 4;
    const client = early(s, session);
    const request = s.open(client, 5000)!;
    s.until("the answer is here", () => request.finished, 5000);
    assert.equal(client.handshake.tls.earlyData, "accepted");
    s.until("all of it is there", () => s.state(serverSide(s)).streams.get(0)!.received === 5000, 5000);
  });

  it("is kept for a while where it overtakes its Initial", () => {
    const s = scenario();
    const session = visit(s);
    const first: Uint8Array[] = [];
    s.up.filter = (datagram) => {
      if (first.length > 0) return true;
      first.push(datagram.bytes.slice());
      return false;
    };
    const client = early(s, session);
    const request = s.open(client, 6000)!;
    s.run(DELAY + 5);
    s.net.inject(first[0]!, s.client.address, s.server.address);
    const begun = s.net.now;
    s.until("the answer is here", () => request.finished);
    assert.equal(s.net.now - begun, DELAY);
    assert.ok(!s.drops("server").includes("unknown_connection_id"));
    assert.deepEqual(
      packets(s, "server", "packet_received", PACKET_ZERO_RTT),
      packets(s, "client", "packet_sent", PACKET_ZERO_RTT),
    );
  });

  it("is dropped by name where its Initial does not come, comes too late, or is too much", () => {
    const s = scenario();
    const session = visit(s);
    const from = s.up.count;
    s.up.filter = (_, index) => index !== from;
    const client = early(s, session);
    const request = s.open(client, 6000)!;
    s.run(DELAY + EARLY_QUEUE_TIME + 1);
    const { dropped } = s.server.endpoint.stats;
    const sent = packets(s, "client", "packet_sent", PACKET_ZERO_RTT).length;
    assert.equal(dropped.unknown_connection_id, sent - 1);
    // One copy more than fits.
    const [bytes] = s.trace.client.flatMap((event) => (event.name === "packet_sent" ? [event] : []));
    assert.ok(bytes !== undefined);
    s.until("the answer is here all the same", () => request.finished);
    const flood = new Uint8Array(300);
    flood.set([0xd0, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0x41, 0x00]);
    for (let i = 0; i <= MAX_EARLY_QUEUE_DATAGRAMS; i++) {
      s.net.inject(flood, makeAddress("198.51.100.9", 999), s.server.address);
    }
    s.run(1);
    assert.equal(dropped.queue_overflow, 1);
    s.run(EARLY_QUEUE_TIME);
    assert.equal(dropped.unknown_connection_id, sent - 1 + MAX_EARLY_QUEUE_DATAGRAMS);
  });
});
