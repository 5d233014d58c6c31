// Attacks on an established connection, by name: what they may cost is counted, in frames, packets and bytes.
// rfc9000#21
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as c from "../../internal/protocol/constants.ts";
import * as limits from "../../internal/protocol/limits.ts";
import * as w from "../../internal/wire/frame-writers.ts";
import { toHex } from "../../internal/protocol/bytes.ts";
import { Bench } from "./bench.ts";
import { counted } from "./counted.ts";
import { cryptoFrame, frame, ping } from "./peer.ts";

const { APPLICATION } = c;

const join = (...parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));
const stream = (id: number, offset: number, length: number, fin = false) =>
  frame((buf) => w.writeStreamHeader(buf, 0, id, offset, length, fin, true) + length);
const number = (type: number, value: number) => frame((buf) => w.writeNumberFrame(buf, 0, type, value));
const path = (type: number, fill: number) =>
  frame((buf) => w.writePathFrame(buf, 0, type, new Uint8Array(8).fill(fill)));
const many = (n: number, make: (i: number) => Uint8Array) =>
  join(...Array.from({ length: n }, (_, i) => make(i)));

/** Sends `payload(i)` in a packet each, `together` of them at one instant, and forgets what is said about it. */
function flood(bench: Bench, packets: number, payload: (i: number) => Uint8Array, together = 20): void {
  for (let i = 0; i < packets && bench.localError === null; i++) {
    bench.peer.send(APPLICATION, payload(i));
    if (i % together === together - 1) {
      bench.now += 1;
      bench.settle();
      bench.peer.frames.length = 0;
    }
    bench.victim.trace.length = 0;
  }
  bench.run(100);
}

describe("path frames", () => {
  // rfc9000#8.2.2 MUST NOT send more than one PATH_RESPONSE frame in response to one PATH_CHALLENGE frame
  test("PATH_CHALLENGE flood: so many answers at once, and no debt", () => {
    const bench = new Bench("client").connect();
    const { stats } = bench.connection;
    const begun = { sent: stats.bytesSent, received: stats.bytesReceived };
    // A hundred challenges a packet, ten packets at a time.
    let answered = 0;
    for (let round = 0; round < 50; round++) {
      for (let k = 0; k < 10; k++) {
        bench.peer.send(
          APPLICATION,
          many(100, (i) => path(c.FRAME_PATH_CHALLENGE, i)),
        );
      }
      bench.peer.frames.length = 0;
      bench.settle();
      const responses = bench.peer.frames.filter((each) => each.type === "path_response").length;
      assert.ok(responses <= limits.MAX_QUEUED_PATH_RESPONSES, `${responses} answers at once`);
      answered += responses;
      bench.now += 1;
    }
    assert.ok(answered > 0);
    assert.ok(stats.bytesSent - begun.sent < (stats.bytesReceived - begun.received) / 4);
    // Nothing is left to answer afterwards.
    bench.peer.frames.length = 0;
    bench.run(1000);
    assert.equal(bench.peer.frames.filter((each) => each.type === "path_response").length, 0);
    bench.assertOpen("PATH_CHALLENGE flood");
  });

  test("PATH_RESPONSE flood: unasked answers cost their ACKs", () => {
    const bench = new Bench("server").connect();
    const before = bench.connection.stats.packetsSent;
    flood(bench, 2000, (i) => many(100, (k) => path(c.FRAME_PATH_RESPONSE, i + k)));
    // rfc9000#13.2.2 a packet for two at most, and none of its own.
    assert.ok(bench.connection.stats.packetsSent - before <= 1100);
    assert.equal(bench.connection.paths.active.validation.state, "idle");
    bench.assertOpen("PATH_RESPONSE flood");
  });
});

describe("connection IDs", () => {
  // rfc9000#19.16 a sequence number greater than any previously sent to the peer MUST be treated as PROTOCOL_VIOLATION
  test("RETIRE_CONNECTION_ID of those to come: none is made for it", () => {
    const { provider, counts } = counted();
    const bench = new Bench("client", {}, { provider }).connect();
    const before = counts.derivations;
    // The victim issues a new one for each retired; its frame has not left while this packet is read.
    bench.peer.send(
      APPLICATION,
      many(200, (i) => number(c.FRAME_RETIRE_CONNECTION_ID, i + 1)),
    );
    bench.assertClosed(c.PROTOCOL_VIOLATION, "retiring ahead");
    assert.ok(counts.derivations - before < 20);
  });

  test("RETIRE_CONNECTION_ID of the same again and again: one new one", () => {
    const bench = new Bench("client").connect();
    const { issued } = bench.peer;
    const before = issued.size;
    flood(bench, 500, () => many(100, () => number(c.FRAME_RETIRE_CONNECTION_ID, 1)));
    assert.equal(issued.size, before + 1);
    bench.assertOpen("retired again");
  });
});

describe("CRYPTO fragmentation", () => {
  test("after the handshake, byte by byte with gaps: ends with CRYPTO_BUFFER_EXCEEDED", () => {
    const bench = new Bench("client").connect();
    let frames = 0;
    flood(bench, 2000, (i) =>
      many(50, (k) => {
        frames++;
        return cryptoFrame(2 * ((i * 50 + k) % 30_000) + 1, Uint8Array.of(0));
      }),
    );
    // rfc9000#7.5 an endpoint that does not expand its buffer MUST close the connection with CRYPTO_BUFFER_EXCEEDED
    assert.equal((bench.localError as { errorCode: number }).errorCode, c.CRYPTO_BUFFER_EXCEEDED);
    assert.ok(frames <= limits.MAX_STREAM_GAPS + 1000, `${frames} gaps were kept`);
    bench.assertNeighbour("CRYPTO gaps");
  });

  test("the same bytes again and again cost nothing", () => {
    const bench = new Bench("server").connect();
    const before = bench.connection.stats.packetsSent;
    // An unfinished message: it stays in TLS's buffer, and its repetitions change nothing.
    flood(bench, 1000, () => many(100, (k) => cryptoFrame(k, Uint8Array.of([4, 0, 0, 200][k] ?? 0))));
    assert.ok(bench.connection.stats.packetsSent - before <= 600);
    bench.assertOpen("repeated CRYPTO");
  });
});

describe("acknowledgements", () => {
  /** The victim sends until it has left out a number; the peer acknowledges what it got. */
  function skipping(role: "client" | "server"): { bench: Bench; skipped: number } {
    const bench = new Bench(role).connect();
    const { peer, connection } = bench;
    let skipped = -1;
    let last = connection.recovery.peekPacketNumber(APPLICATION) - 1;
    for (let i = 0; i < 2000 && skipped < 0; i++) {
      connection.ping();
      bench.now += 1;
      bench.settle();
      for (const each of bench.victim.trace.splice(0)) {
        if (each.name !== "packet_sent" || each.header.dcid !== toHex(peer.scid)) continue;
        if (each.header.number === last + 2) skipped = last + 1;
        last = each.header.number;
      }
    }
    assert.ok(skipped >= 0, "the victim leaves out a packet number");
    return { bench, skipped };
  }

  for (const role of ["client", "server"] as const) {
    // rfc9000#21.4 an endpoint MAY skip packet numbers when sending packets to detect this behavior. An endpoint can then
    // immediately close the connection with a connection error of type PROTOCOL_VIOLATION
    test(`optimistic: a number that was left out, by a ${role}`, () => {
      const { bench, skipped } = skipping(role);
      const window = bench.connection.controller.cwnd;
      const { peer } = bench;
      peer.send(
        APPLICATION,
        frame((buf) => peer.writeAck(buf, 0, skipped, skipped + 1)),
      );
      bench.settle();
      assert.equal(bench.connection.controller.cwnd, window);
      bench.assertClosed(c.PROTOCOL_VIOLATION, "a number left out");
    });

    test(`honest: all but that, by a ${role}`, () => {
      const { bench, skipped } = skipping(role);
      const { peer } = bench;
      for (const [low, high] of [
        [0, skipped - 1],
        [skipped + 1, skipped + 1],
      ] as const) {
        peer.send(
          APPLICATION,
          frame((buf) => peer.writeAck(buf, 0, low, high)),
        );
      }
      bench.assertOpen("what was sent");
    });

    // rfc9000#13.1 An endpoint SHOULD treat receipt of an acknowledgment for a packet it did not send as a connection
    // error of type PROTOCOL_VIOLATION
    test(`of the packet that comes next, by a ${role}`, () => {
      const bench = new Bench(role).connect();
      const { peer, connection } = bench;
      const next = connection.recovery.peekPacketNumber(APPLICATION);
      peer.send(
        APPLICATION,
        frame((buf) => peer.writeAck(buf, 0, next, next)),
      );
      bench.assertClosed(c.PROTOCOL_VIOLATION, "never sent");
    });
  }

  test("of nothing new, with as many ranges as fit: the window stays where it is", () => {
    const bench = new Bench("client").connect();
    const { connection } = bench;
    for (let i = 0; i < 100; i++) {
      connection.ping();
      bench.now += 1;
      bench.settle();
    }
    const window = connection.controller.cwnd;
    const largest = connection.recovery.largestAcked(APPLICATION);
    const ranges = new Float64Array(60);
    for (let i = 0; i < 30; i++) ranges[2 * i] = ranges[2 * i + 1] = largest - 2 * i;
    flood(bench, 1000, () => many(10, () => frame((buf) => w.writeAck(buf, 0, 1200, ranges, 30, 0, null))));
    assert.equal(connection.controller.cwnd, window);
    bench.assertOpen("repeated ACKs");
  });
});

describe("streams", () => {
  const WINDOW = 300_000;
  const given = {
    initialStreamWindow: WINDOW,
    maxStreamWindow: WINDOW,
    initialConnectionWindow: WINDOW,
    maxConnectionWindow: WINDOW,
    maxIncomingStreams: 100,
    maxIncomingUniStreams: 100,
    holdStreams: true,
  };
  const held = (bench: Bench) => {
    let bytes = 0;
    for (let id = 0; id < 800; id++) bytes += bench.connection.streams.get(id)?.recv?.memory ?? 0;
    return bytes;
  };

  test("tiny STREAM frames all over the window: memory is the window's", () => {
    const bench = new Bench("client", {}, given).connect();
    flood(bench, 1000, (i) =>
      many(40, (k) => {
        const n = i * 40 + k;
        // One byte in each of the places that a stream's share of the window has.
        return stream(4 * (n % 100), Math.floor(n / 100) % 3 === 0 ? 0 : 1 + ((n * 7) % 2900), 1);
      }),
    );
    const bytes = held(bench);
    assert.ok(bytes > 0 && bytes <= 2 * WINDOW, `${bytes} bytes held for a window of ${WINDOW}`);
    assert.ok(bench.localError === null || bench.connection.close.state !== "open");
    bench.assertNeighbour("tiny frames");
  });

  test("one byte at the end of the window: not a block for each byte before it", () => {
    const bench = new Bench("client", {}, given).connect();
    for (let id = 0; id < 20; id++) bench.peer.send(APPLICATION, stream(4 * id, WINDOW / 20 - 1, 1));
    bench.settle();
    assert.ok(held(bench) <= 2 * WINDOW, `${held(bench)} bytes`);
    bench.assertOpen("far ahead");
  });

  // Rapid reset: rfc9000#4.6 says nothing of when a limit is raised, and that is the defence.
  test("stream-count churn: opened, reset, and no credit for others", () => {
    const bench = new Bench("client", {}, given).connect();
    let opened = 0;
    let credit = given.maxIncomingStreams;
    for (let round = 0; round < 100; round++) {
      for (let k = 0; k < 20 && opened < credit; k++) {
        const id = 4 * opened++;
        bench.peer.send(
          APPLICATION,
          join(
            stream(id, 0, 1),
            frame((buf) => w.writeResetStream(buf, 0, id, 1n, 1)),
            frame((buf) => w.writeStopSending(buf, 0, id, 1n)),
          ),
        );
      }
      bench.now += 1;
      bench.settle();
      for (const each of bench.peer.frames) {
        if (each.type === "max_streams" && "maximum" in each) credit = Math.max(credit, Number(each.maximum));
      }
    }
    assert.equal(opened, given.maxIncomingStreams);
    assert.equal(bench.connection.streams.size, given.maxIncomingStreams);
    // The application takes half of them: as many more may come, and the half that is over is gone.
    for (let i = 0; i < 50; i++) bench.connection.streams.taken(bench.connection.streams.get(4 * i)!);
    bench.settle();
    assert.equal(bench.connection.streams.size, 50);
    bench.peer.send(APPLICATION, stream(4 * opened, 0, 1));
    bench.assertOpen("churn");
  });

  // rfc9000#4.1, rfc9000#4.6 frames that do not increase a limit MUST be ignored
  test("MAX_* frames that raise nothing", () => {
    const bench = new Bench("client").connect();
    const own = bench.connection.openStream(true)!;
    const events = () =>
      bench.victim.events.filter(
        (each) => each.type === "connection" && each.event.type === "streams_available",
      );
    const told = events().length;
    const before = bench.connection.stats.packetsSent;
    flood(bench, 1000, (i) =>
      join(
        number(c.FRAME_MAX_DATA, i),
        number(c.FRAME_MAX_STREAMS_BIDI, i % 10),
        number(c.FRAME_MAX_STREAMS_UNI, i % 10),
        frame((buf) => w.writeStreamNumberFrame(buf, 0, c.FRAME_MAX_STREAM_DATA, own.id, i)),
        number(c.FRAME_DATA_BLOCKED, i),
        number(c.FRAME_STREAMS_BLOCKED_BIDI, i % 10),
      ),
    );
    assert.ok(bench.connection.stats.packetsSent - before <= 600);
    assert.equal(events().length, told);
    bench.assertOpen("limits that stay");
  });
});

describe("stateless resets", () => {
  // rfc9000#10.3.1 comparing: a token is 16 bytes, and guesses cost the guesser a datagram each.
  test("guessed ones end nothing", () => {
    const { provider, counts } = counted();
    const bench = new Bench("client", {}, { provider }).connect();
    const before = { ...counts };
    for (let i = 0; i < 2000; i++) {
      const guess = new Uint8Array(43).fill(i);
      guess[0] = 0x40 | (i & 0x3f);
      guess.set(bench.peer.dcid, 1);
      guess[42] = i >> 8;
      bench.peer.out.push(guess);
      if (i % 100 === 99) bench.settle();
    }
    bench.settle();
    assert.equal(bench.drops.length, 2000);
    assert.ok(counts.opens - before.opens <= 2000);
    assert.equal(counts.aeads, before.aeads);
    bench.assertOpen("guessed resets");
  });

  test("packets of unknown connections: so many answers a second, to one host and to all", () => {
    const bench = new Bench("client").connect();
    const { stats } = bench.victim.endpoint;
    const { statelessReset } = limits.RATES;
    for (let i = 0; i < 5000; i++) {
      const packet = new Uint8Array(60).fill(i);
      packet[0] = 0x40;
      packet[1] = i >> 8;
      bench.peer.out.push(packet);
      if (i % 100 === 99) bench.settle();
    }
    bench.settle();
    assert.equal(stats.statelessSent.stateless_reset, statelessReset.host.burst);
    assert.equal(bench.victim.drops.filter((reason) => reason === "rate_limited").length, 4950);
    bench.assertNeighbour("resets");
  });
});

test("PING flood: ACKs alone, and few", () => {
  const bench = new Bench("client").connect();
  const { stats } = bench.connection;
  const before = stats.bytesSent;
  flood(bench, 3000, () => ping());
  assert.ok(stats.bytesSent - before < 3000 * 30);
  bench.assertOpen("PING flood");
});
