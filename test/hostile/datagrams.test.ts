// Datagrams that are no honest packets change nothing and are dropped by name; floods meet bounds.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as c from "../../internal/protocol/constants.ts";
import * as w from "../../internal/wire/frame-writers.ts";
import { seeded, seededInt } from "../path/seeded.ts";
import { Bench } from "./bench.ts";
import { frame, ping } from "./peer.ts";

const { APPLICATION, HANDSHAKE, INITIAL } = c;

function stream(id: number, offset: number, length: number, fin = false): Uint8Array {
  return frame((buf) => w.writeStreamHeader(buf, 0, id, offset, length, fin, true) + length);
}

function join(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

describe("datagrams of no worth", () => {
  for (const role of ["client", "server"] as const) {
    // rfc9000#12.3 a receiver MUST discard a newly unprotected packet unless it is certain that it has not processed it
    test(`replayed and duplicated, ${role}`, () => {
      const bench = new Bench(role).connect();
      const datagram = bench.peer.send(APPLICATION, ping());
      bench.peer.out.push(datagram.slice(), datagram.slice());
      bench.settle();
      assert.deepEqual(bench.drops, ["duplicate", "duplicate"]);
      bench.assertOpen("replay");
    });

    // rfc9001#9.3 an attacker can modify packets: a packet that does not authenticate is dropped
    test(`corrupted and truncated, ${role}`, () => {
      const bench = new Bench(role).connect();
      const datagram = bench.peer.packet(APPLICATION, stream(role === "client" ? 0 : 1, 0, 300));
      // Any bit behind the connection ID, and any length that leaves a sample.
      for (let at = 9; at < datagram.length; at += 11) {
        const bad = datagram.slice();
        bad[at]! ^= 1 << (at % 8);
        bench.peer.out.push(bad);
      }
      for (let end = 40; end < datagram.length; end += 37) bench.peer.out.push(datagram.slice(0, end));
      const sent = bench.peer.out.length;
      bench.settle();
      assert.deepEqual(
        bench.drops,
        Array.from({ length: sent }, () => "decryption_failed"),
      );
      bench.peer.out.push(datagram);
      bench.settle();
      bench.assertOpen("corruption");
      assert.equal(bench.drops.length, sent);
    });

    // rfc9000#17.2 packets containing a zero value for the fixed bit MUST be discarded
    test(`fixed bit zero, short packets, garbage, ${role}`, () => {
      const bench = new Bench(role, {}, { greaseQuicBit: false }).connect();
      const { peer } = bench;
      peer.send(APPLICATION, ping(), { firstByte: 0x40 });
      bench.settle();
      assert.deepEqual(bench.drops, ["invalid_header"]);
      const seed = 20260101;
      const random = seeded(seed);
      const int = seededInt(seed);
      for (let i = 0; i < 500; i++) {
        const garbage = new Uint8Array(1 + int(1400));
        random(garbage);
        // Half of them reach the connection.
        if (i % 2 === 0 && garbage.length > 9) {
          garbage[0]! &= 0x7f;
          garbage.set(peer.dcid, 1);
        }
        peer.out.push(garbage);
        if (i % 50 === 49) bench.settle();
      }
      bench.assertOpen(`garbage, seed ${seed}`);
      const allowed = new Set([
        "invalid_header",
        "decryption_failed",
        "unknown_connection_id",
        "unsupported_version",
        "rate_limited",
        "keys_discarded",
      ]);
      for (const reason of bench.drops) assert.ok(allowed.has(reason), reason);
    });
  }

  // rfc9000#12.2 receivers SHOULD ignore any subsequent packets with a different Destination Connection ID
  test("coalesced for another connection", () => {
    const bench = new Bench("client", { sendsCrypto: (level) => level === INITIAL });
    bench.settle();
    bench.victim.trace.length = 0;
    const { peer } = bench;
    const first = peer.packet(HANDSHAKE, ping());
    const second = peer.packet(HANDSHAKE, ping(), { dcid: new Uint8Array(8) });
    const third = peer.packet(APPLICATION, ping(), { dcid: new Uint8Array(8) });
    peer.out.push(join(first, second), join(peer.packet(HANDSHAKE, ping()), third));
    bench.settle();
    assert.deepEqual(bench.drops, ["coalesced_dcid_mismatch", "coalesced_dcid_mismatch"]);
    bench.assertNeighbour("coalescing");
  });

  // rfc9000#7.2 it MUST discard any subsequent packet it receives with a different Source Connection ID
  test("a source connection ID that changes", () => {
    const bench = new Bench("client", { sendsCrypto: (level) => level === INITIAL });
    bench.settle();
    bench.victim.trace.length = 0;
    bench.peer.send(HANDSHAKE, ping(), { scid: new Uint8Array(8) });
    bench.settle();
    assert.deepEqual(bench.drops, ["unexpected_packet"]);
  });

  // rfc9001#4.9 keys that were discarded open nothing
  test("0-RTT and packets under discarded keys", () => {
    const bench = new Bench("client").connect();
    bench.peer.out.push(bench.peer.packet(INITIAL, new Uint8Array(1160).fill(1)));
    bench.peer.sendZeroRtt();
    bench.settle();
    assert.equal(bench.drops.length, 2);
    assert.deepEqual(bench.drops, ["keys_discarded", "early_data_rejected"]);
    bench.assertOpen("old keys");
  });

  // rfc9000#14.1 a server MUST discard an Initial packet in a UDP datagram smaller than 1200 bytes
  test("an Initial in a small datagram", () => {
    const bench = new Bench("client", { sendsCrypto: () => false });
    bench.peer.out.push(bench.peer.packet(INITIAL, new Uint8Array(900).fill(1)));
    bench.settle();
    assert.deepEqual(bench.drops, ["initial_too_small"]);
    assert.equal(bench.victim.endpoint.connectionCount, 1);
  });
});

describe("floods", () => {
  const PACKETS = 3000;

  function flood(role: "client" | "server", payload: (i: number) => Uint8Array): Bench {
    const bench = new Bench(role).connect();
    for (let i = 0; i < PACKETS && bench.localError === null; i++) {
      bench.peer.send(APPLICATION, payload(i));
      if (i % 20 === 19) {
        bench.now += 1;
        bench.settle();
      }
      // What it says is not kept here either.
      if (bench.peer.frames.length > 5000) bench.peer.frames.length = 0;
      bench.victim.trace.length = 0;
    }
    bench.run(100);
    return bench;
  }

  test("PING: answered by few ACKs", () => {
    const bench = flood("client", ping);
    bench.assertOpen("PING");
    assert.ok(bench.connection.stats.packetsSent < PACKETS);
  });

  test("PATH_CHALLENGE: the newest are answered, none is queued without bound", () => {
    const bench = flood("client", (i) =>
      frame((buf) => w.writePathFrame(buf, 0, c.FRAME_PATH_CHALLENGE, new Uint8Array(8).fill(i))),
    );
    bench.assertOpen("PATH_CHALLENGE");
    assert.ok(bench.connection.stats.bytesSent < bench.connection.stats.bytesReceived * 4);
  });

  test("tiny STREAM frames with gaps: memory follows the window", () => {
    const before = process.memoryUsage();
    const bench = flood("client", (i) =>
      join(...Array.from({ length: 40 }, (_, k) => stream(0, 2 + (((i * 40 + k) * 3) % 250_000), 1))),
    );
    const after = process.memoryUsage();
    const grown = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers;
    assert.ok(grown < 64 << 20, `${grown} bytes`);
    // Too many gaps end the connection rather than grow: no code of the RFC's fits better than INTERNAL_ERROR.
    bench.assertClosed(c.INTERNAL_ERROR, "gaps");
  });

  test("streams opened and reset at once: none stays", () => {
    const bench = flood("client", (i) =>
      i < 90
        ? join(
            stream(4 * i, 0, 1),
            frame((buf) => w.writeResetStream(buf, 0, 4 * i, 1n, 1)),
            frame((buf) => w.writeStopSending(buf, 0, 4 * i, 1n)),
          )
        : ping(),
    );
    bench.assertOpen("stream churn");
    assert.ok(bench.connection.streams.size <= 100);
  });

  test("RETIRE_CONNECTION_ID for each new one: the set stays small", () => {
    const bench = new Bench("client").connect();
    const { peer } = bench;
    bench.connection.ping();
    let sequence = 0;
    for (let round = 0; round < 300; round++) {
      // From the connection ID after the one it retires.
      const keep = peer.issued.get(sequence + 1);
      if (keep === undefined) break;
      peer.dcid = keep;
      peer.send(
        APPLICATION,
        frame((buf) => w.writeNumberFrame(buf, 0, c.FRAME_RETIRE_CONNECTION_ID, sequence)),
      );
      sequence++;
      bench.now += 1;
      bench.settle();
      assert.ok(peer.issued.size - sequence <= 8, `${peer.issued.size} issued, ${sequence} retired`);
    }
    assert.ok(sequence > 100, `${sequence} retired`);
    bench.run(10_000);
    bench.assertOpen("retirement");
  });

  // rfc9000#5.1.2 an endpoint SHOULD limit the number of connection IDs it has retired locally
  test("NEW_CONNECTION_ID that retires the one before: bounded or ended", () => {
    const bench = flood("client", (i) =>
      frame((buf) =>
        w.writeNewConnectionId(
          buf,
          0,
          i + 1,
          i + 1,
          Uint8Array.of(1, 2, 3, 4, 0, 0, i >> 8, i & 255),
          Uint8Array.of(...new Uint8Array(14), i >> 8, i & 255),
        ),
      ),
    );
    const { close } = bench.peer;
    if (close !== undefined) bench.assertClosed(c.CONNECTION_ID_LIMIT_ERROR, "connection ID churn");
    bench.assertNeighbour("connection ID churn");
  });
});
