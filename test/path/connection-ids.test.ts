import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { cidGenerator, LocalCids, RemoteCids } from "../../internal/path/connection-ids.ts";
import { toHex } from "../../internal/protocol/bytes.ts";
import { CONNECTION_ID_LIMIT_ERROR, PROTOCOL_VIOLATION } from "../../internal/protocol/constants.ts";
import { TransportError } from "../../internal/protocol/errors.ts";
import { MAX_PENDING_RETIREMENTS, RETIRED_CONNECTION_ID_TIME } from "../../internal/protocol/limits.ts";
import { REC_NEW_CONNECTION_ID, REC_RETIRE_CONNECTION_ID } from "../../internal/recovery/sent-packets.ts";
import { FrameCollector } from "../../internal/wire/frame-objects.ts";
import { parseFrames } from "../../internal/wire/frames.ts";
import { PACKET_ONE_RTT } from "../../internal/protocol/constants.ts";
import { seeded, seededInt } from "./seeded.ts";

class Records {
  readonly all: [number, number][] = [];
  addRecord(kind: number, a: number): void {
    this.all.push([kind, a]);
  }
}

function failsWith(code: number, act: () => void): void {
  assert.throws(act, (error: unknown) => error instanceof TransportError && error.errorCode === code);
}

function local(seed: number, length = 8, original: Uint8Array | null = null) {
  const routes = new Set<string>();
  const cids = new LocalCids({
    generator: cidGenerator(length),
    random: seeded(seed),
    resetToken: (cid) => new Uint8Array(16).fill(cid[0] ?? 0),
    host: {
      addCid: (cid) => void routes.add(toHex(cid)),
      removeCid: (cid) => void routes.delete(toHex(cid)),
    },
    original,
  });
  return { cids, routes };
}

function writeAll(cids: { writeFrames: LocalCids["writeFrames"] }, room = 1200) {
  const buf = new Uint8Array(room);
  const records = new Records();
  const end = cids.writeFrames(buf, 0, room, records);
  return { buf, end, records: records.all };
}

describe("connection IDs of ours", () => {
  test("sequence 0 routes from the start and needs no frame", () => {
    const { cids, routes } = local(1);
    assert.equal(cids.length, 8);
    assert.equal(cids.handshakeCid.length, 8);
    assert.deepEqual([...routes], [toHex(cids.handshakeCid)]);
    assert.equal(cids.hasFrames, false);
    assert.equal(cids.sequenceOf(cids.handshakeCid, 0), 0);
    assert.equal(cids.handshakeResetToken[0], cids.handshakeCid[0]);
  });

  // rfc9000#5.1.1 MUST NOT provide more connection IDs than the peer's limit
  test("issues up to the peer's limit and no more", () => {
    for (const [limit, expected] of [
      [2, 2],
      [3, 3],
      [100, 4],
    ] as const) {
      const { cids, routes } = local(limit);
      cids.setPeerLimit(limit);
      cids.issue(0);
      cids.issue(0);
      assert.equal(cids.activeCount, expected);
      assert.equal(routes.size, expected);
      const { buf, end, records } = writeAll(cids);
      assert.deepEqual(
        records,
        Array.from({ length: expected - 1 }, (_, i) => [REC_NEW_CONNECTION_ID, i + 1]),
      );
      const collector = new FrameCollector();
      parseFrames(buf, 0, end, PACKET_ONE_RTT, collector);
      assert.equal(cids.hasFrames, false);
    }
  });

  test("frames that do not fit wait, lost frames come again", () => {
    const { cids } = local(7);
    cids.setPeerLimit(4);
    cids.issue(0);
    assert.equal(writeAll(cids, 20).end, 0);
    assert.deepEqual(writeAll(cids, 40).records, [[REC_NEW_CONNECTION_ID, 1]]);
    assert.equal(writeAll(cids).records.length, 2);
    cids.onLost(2);
    cids.onLost(2);
    assert.deepEqual(writeAll(cids).records, [[REC_NEW_CONNECTION_ID, 2]]);
    cids.onRetire(2, 0, 0);
    cids.onLost(2);
    assert.deepEqual(writeAll(cids).records, [[REC_NEW_CONNECTION_ID, 4]]);
  });

  // rfc9000#5.1.1 SHOULD supply a new connection ID when the peer retires a connection ID
  test("a retired one is replaced, and routes for a while", () => {
    const { cids, routes } = local(3);
    cids.setPeerLimit(2);
    cids.issue(0);
    const first = toHex(cids.handshakeCid);
    cids.onRetire(0, 1, 1000);
    assert.equal(cids.activeCount, 2);
    assert.equal(cids.sequenceOf(cids.handshakeCid, 0), -1);
    assert.ok(routes.has(first));
    cids.onRetire(0, 1, 1001);
    assert.equal(cids.activeCount, 2);
    cids.issue(1000 + RETIRED_CONNECTION_ID_TIME);
    assert.ok(!routes.has(first));
  });

  test("a peer that retires without end keeps nothing alive", () => {
    const { cids, routes } = local(4);
    cids.setPeerLimit(4);
    cids.issue(0);
    for (let sequence = 0; sequence < 200; sequence++) {
      writeAll(cids);
      cids.onRetire(sequence, sequence + 1, 0);
    }
    assert.ok(routes.size <= 4 + 8, String(routes.size));
    cids.removeAll();
    assert.equal(routes.size, 0);
    assert.equal(cids.hasFrames, false);
  });

  test("violations in RETIRE_CONNECTION_ID", () => {
    const { cids } = local(5);
    // rfc9000#19.16 a sequence number greater than any previously sent MUST be treated as PROTOCOL_VIOLATION
    failsWith(PROTOCOL_VIOLATION, () => cids.onRetire(1, 0, 0));
    // … sent: one that waits for its frame was not.
    cids.setPeerLimit(4);
    cids.issue(0);
    failsWith(PROTOCOL_VIOLATION, () => cids.onRetire(1, 0, 0));
    writeAll(cids);
    cids.onRetire(1, 0, 0);
    // rfc9000#19.16 MUST NOT refer to the Destination Connection ID field of the packet in which it is contained
    failsWith(PROTOCOL_VIOLATION, () => cids.onRetire(0, 0, 0));
    const none = local(5, 0).cids;
    none.setPeerLimit(4);
    none.issue(0);
    assert.equal(none.activeCount, 1);
    failsWith(PROTOCOL_VIOLATION, () => none.onRetire(0, -1, 0));
  });

  test("the client's first choice routes for a while after its last use", () => {
    const original = new Uint8Array(12).fill(9);
    const { cids, routes } = local(6, 8, original);
    assert.ok(routes.has(toHex(original)));
    cids.retireOriginal(1000);
    cids.retireOriginal(1000);
    cids.issue(3999);
    assert.ok(routes.has(toHex(original)));
    cids.issue(4000);
    assert.ok(!routes.has(toHex(original)));
    cids.removeAll();
    assert.equal(routes.size, 0);
  });
});

function remote(limit = 4, initial = new Uint8Array([1, 2, 3, 4])) {
  const tokens: string[] = [];
  const cids = new RemoteCids({
    initial,
    limit,
    host: {
      addResetToken: (token) => void tokens.push(toHex(token)),
      removeResetToken: (token) => void tokens.splice(tokens.indexOf(toHex(token)), 1),
    },
  });
  return { cids, tokens };
}

const cid = (n: number) => new Uint8Array([0xc0, n >> 8, n & 0xff, 1, 1, 1]);
const token = (n: number) => new Uint8Array(16).fill(n);

describe("connection IDs of the peer's", () => {
  test("the first changes in the handshake, later ones are used when asked", () => {
    const { cids, tokens } = remote();
    cids.setInitial(cid(0));
    assert.deepEqual(cids.current, cid(0));
    cids.setInitialResetToken(token(100));
    cids.onNewConnectionId(1, 0, cid(1), token(1));
    assert.deepEqual(cids.current, cid(0));
    assert.deepEqual(tokens, [toHex(token(100))]);
    assert.ok(cids.rotate());
    assert.deepEqual(cids.current, cid(1));
    assert.equal(cids.currentSequence, 1);
    // rfc9000#10.3.1 tokens of unused or retired connection IDs MUST NOT be checked
    assert.deepEqual(tokens, [toHex(token(1))]);
    assert.deepEqual(writeAll(cids).records, [[REC_RETIRE_CONNECTION_ID, 0]]);
    assert.equal(cids.rotate(), false);
    cids.removeAll();
    assert.deepEqual(tokens, []);
  });

  test("a frame that comes twice changes nothing, not even after its connection ID was retired", () => {
    const { cids } = remote();
    cids.onNewConnectionId(1, 0, cid(1), token(1));
    cids.onNewConnectionId(1, 0, cid(1), token(1));
    assert.equal(cids.activeCount, 2);
    cids.onNewConnectionId(2, 0, cid(2), token(2));
    cids.rotate();
    cids.rotate();
    cids.onNewConnectionId(1, 0, cid(1), token(1));
    assert.equal(cids.activeCount, 1);
    assert.equal(cids.currentSequence, 2);
  });

  test("contradictions are violations", () => {
    const { cids } = remote();
    cids.onNewConnectionId(1, 0, cid(1), token(1));
    // rfc9000#19.15 the same sequence with another connection ID, token, or the same connection ID under another
    failsWith(PROTOCOL_VIOLATION, () => cids.onNewConnectionId(1, 0, cid(7), token(1)));
    failsWith(PROTOCOL_VIOLATION, () => cids.onNewConnectionId(1, 0, cid(1), token(7)));
    failsWith(PROTOCOL_VIOLATION, () => cids.onNewConnectionId(2, 0, cid(1), token(1)));
    // rfc9000#19.15 with a zero-length Destination Connection ID MUST be treated as PROTOCOL_VIOLATION
    const none = remote(4, new Uint8Array(0)).cids;
    failsWith(PROTOCOL_VIOLATION, () => none.onNewConnectionId(1, 0, cid(1), token(1)));
  });

  // rfc9000#5.1.1 MUST close the connection with an error of type CONNECTION_ID_LIMIT_ERROR
  test("more than active_connection_id_limit, counted after retiring", () => {
    const { cids } = remote(2);
    cids.onNewConnectionId(1, 0, cid(1), token(1));
    cids.onNewConnectionId(2, 1, cid(2), token(2));
    assert.equal(cids.activeCount, 2);
    failsWith(CONNECTION_ID_LIMIT_ERROR, () => cids.onNewConnectionId(3, 1, cid(3), token(3)));
  });

  // rfc9000#5.1.2 MUST stop using the corresponding connection IDs and retire them with RETIRE_CONNECTION_ID
  test("Retire Prior To moves to the next one", () => {
    const { cids, tokens } = remote();
    cids.onNewConnectionId(1, 0, cid(1), token(1));
    cids.onNewConnectionId(3, 3, cid(3), token(3));
    assert.deepEqual(cids.current, cid(3));
    assert.deepEqual(tokens, [toHex(token(3))]);
    assert.deepEqual(writeAll(cids).records, [
      [REC_RETIRE_CONNECTION_ID, 0],
      [REC_RETIRE_CONNECTION_ID, 1],
    ]);
    // rfc9000#19.15 a late frame with a smaller sequence number MUST be retired at once
    cids.onNewConnectionId(2, 0, cid(2), token(2));
    assert.equal(cids.activeCount, 1);
    assert.deepEqual(writeAll(cids).records, [[REC_RETIRE_CONNECTION_ID, 2]]);
    cids.onLost(0);
    cids.onLost(0);
    assert.deepEqual(writeAll(cids).records, [[REC_RETIRE_CONNECTION_ID, 0]]);
    cids.onLost(1);
    cids.onAcked(1);
    cids.onAcked(0);
    assert.equal(cids.hasFrames, false);
  });

  // rfc9000#5.1.2 SHOULD limit the number of connection IDs it has retired locally
  test("RETIRE_CONNECTION_ID stuffing ends the connection", () => {
    const { cids } = remote();
    failsWith(CONNECTION_ID_LIMIT_ERROR, () => {
      for (let n = 1; n < 10 * MAX_PENDING_RETIREMENTS; n++) {
        cids.onNewConnectionId(n, n, cid(n), token(n & 0xff));
        writeAll(cids);
      }
    });
    const acked = remote().cids;
    for (let n = 1; n < 200; n++) {
      acked.onNewConnectionId(n, n, cid(n), token(n & 0xff));
      for (const [, sequence] of writeAll(acked).records) acked.onAcked(sequence);
    }
    assert.equal(acked.currentSequence, 199);
  });

  test("a datagram that ends in a token in use is a stateless reset", () => {
    const { cids } = remote();
    cids.setInitialResetToken(token(5));
    cids.onNewConnectionId(1, 0, cid(1), token(6));
    const datagram = new Uint8Array(40).fill(0x41);
    datagram.set(token(5), 24);
    assert.ok(cids.isStatelessReset(datagram, 0, 40));
    assert.ok(!cids.isStatelessReset(datagram, 20, 40));
    assert.ok(!cids.isStatelessReset(datagram, 0, 39));
    datagram.set(token(6), 24);
    assert.ok(!cids.isStatelessReset(datagram, 0, 40));
    assert.deepEqual(cids.currentResetToken, token(5));
  });

  test("the preferred address has sequence 1", () => {
    const { cids } = remote();
    cids.onPreferredAddress(cid(1), token(1));
    cids.onNewConnectionId(2, 1, cid(2), token(2));
    assert.equal(cids.currentSequence, 1);
  });

  test("random histories of a peer that follows the rules", () => {
    for (let seed = 1; seed <= 50; seed++) {
      const int = seededInt(seed);
      const issued = local(seed);
      const { cids, tokens } = remote(4, new Uint8Array(issued.cids.handshakeCid));
      issued.cids.setPeerLimit(4);
      issued.cids.issue(0);
      for (let step = 0; step < 200; step++) {
        const now = step * 100;
        const buf = new Uint8Array(300);
        const forward = new Records();
        const end = issued.cids.writeFrames(buf, 0, 40 + int(200), forward);
        const lost = int(4) === 0;
        if (lost) for (const [, sequence] of forward.all) issued.cids.onLost(sequence);
        else {
          const deliver = new Forward(cids);
          if (end > 0) parseFrames(buf, 0, end, PACKET_ONE_RTT, deliver);
        }
        if (int(3) === 0) cids.rotate();
        const back = writeAll(cids);
        for (const [, sequence] of back.records) {
          if (int(4) === 0) cids.onLost(sequence);
          else {
            issued.cids.onRetire(sequence, issued.cids.sequenceOf(cids.current, 0), now);
            cids.onAcked(sequence);
          }
        }
        assert.ok(issued.cids.sequenceOf(cids.current, 0) >= 0, `seed ${seed} step ${step}`);
        assert.ok(tokens.length <= 1, `seed ${seed} step ${step}`);
        assert.ok(issued.routes.size <= 12, `seed ${seed} step ${step}`);
      }
    }
  });
});

/** Takes NEW_CONNECTION_ID frames to where they belong. */
class Forward extends FrameCollector {
  readonly #to: RemoteCids;
  constructor(to: RemoteCids) {
    super();
    this.#to = to;
  }
  override onNewConnectionId(
    sequence: number,
    retirePriorTo: number,
    buf: Uint8Array,
    at: number,
    length: number,
  ): void {
    // The token lies right behind the connection ID, rfc9000#19.15.
    const tokenAt = at + length;
    this.#to.onNewConnectionId(
      sequence,
      retirePriorTo,
      buf.slice(at, tokenAt),
      buf.slice(tokenAt, tokenAt + 16),
    );
  }
}
