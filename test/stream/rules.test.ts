// What a peer must not do, and the error it gets: rfc9000#3, rfc9000#4, rfc9000#19.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as c from "../../internal/protocol/constants.ts";
import { TransportError } from "../../internal/protocol/errors.ts";
import { MAX_STREAM_GAPS } from "../../internal/protocol/limits.ts";
import { content, frames, LIMITS, pair, readAll, settle, Side } from "./harness.ts";

const code = (errorCode: number, frameType: number) => (error: unknown) => {
  assert.ok(error instanceof TransportError, String(error));
  assert.equal(error.errorCode, errorCode, error.message);
  assert.equal(error.frameType, frameType, error.message);
  return true;
};

// Client bidi 0, server bidi 1, client uni 2, server uni 3.
describe("state errors", () => {
  const deliver: [string, number, (side: Side, id: number) => void][] = [
    ["STREAM", c.FRAME_STREAM, (s, id) => s.stream(id, 0, new Uint8Array(1))],
    ["RESET_STREAM", c.FRAME_RESET_STREAM, (s, id) => s.map.onResetStream(id, 0n, 0)],
    ["STREAM_DATA_BLOCKED", c.FRAME_STREAM_DATA_BLOCKED, (s, id) => s.map.onStreamDataBlocked(id)],
    ["MAX_STREAM_DATA", c.FRAME_MAX_STREAM_DATA, (s, id) => s.map.onMaxStreamData(id, 10)],
    ["STOP_SENDING", c.FRAME_STOP_SENDING, (s, id) => s.map.onStopSending(id, 0n)],
  ];
  for (const [name, type, act] of deliver) {
    const aboutSending = name === "MAX_STREAM_DATA" || name === "STOP_SENDING";
    // rfc9000#19.8 MUST terminate the connection with error STREAM_STATE_ERROR if it receives a STREAM frame for a
    // locally initiated stream that has not yet been created; rfc9000#19.5, rfc9000#19.10 the same
    test(`${name} for a stream of ours that was never opened`, () => {
      assert.throws(() => act(new Side("client"), 0), code(c.STREAM_STATE_ERROR, type));
      assert.throws(() => act(new Side("server"), 1), code(c.STREAM_STATE_ERROR, type));
    });
    if (aboutSending) {
      // rfc9000#19.5 receives a STOP_SENDING frame for a receive-only stream MUST terminate the connection with error
      // STREAM_STATE_ERROR; rfc9000#19.10 the same for MAX_STREAM_DATA
      test(`${name} for a receive-only stream`, () => {
        const side = new Side("client");
        side.stream(3, 0, new Uint8Array(1));
        assert.throws(() => act(side, 3), code(c.STREAM_STATE_ERROR, type));
        assert.throws(() => act(new Side("server"), 2), code(c.STREAM_STATE_ERROR, type));
      });
    } else {
      // rfc9000#19.4 receives a RESET_STREAM frame for a send-only stream MUST terminate the connection with error
      // STREAM_STATE_ERROR; rfc9000#19.8, rfc9000#19.13 the same
      test(`${name} for a send-only stream`, () => {
        const side = new Side("client");
        side.map.open(false);
        assert.throws(() => act(side, 2), code(c.STREAM_STATE_ERROR, type));
      });
    }
    // rfc9000#4.6 that receives a frame with a stream ID exceeding the limit it has sent MUST treat this as a
    // connection error of type STREAM_LIMIT_ERROR
    test(`${name} beyond the stream limit`, () => {
      const side = new Side("client");
      act(side, 4 * 99 + 1);
      assert.throws(() => act(side, 4 * 100 + 1), code(c.STREAM_LIMIT_ERROR, type));
      if (!aboutSending) assert.throws(() => act(side, 4 * 100 + 3), code(c.STREAM_LIMIT_ERROR, type));
    });
    // rfc9000#3.2 for bidirectional streams … receipt of a MAX_STREAM_DATA or STOP_SENDING frame … also creates
    test(`${name} opens a bidirectional stream of the peer's, and all below it`, () => {
      const side = new Side("server");
      act(side, 12);
      assert.deepEqual(
        side.opened.map((stream) => stream.id),
        [0, 4, 8, 12],
      );
      assert.ok(side.opened.every((stream) => stream.send !== null && stream.recv !== null));
    });
    test(`${name} for a closed stream is ignored`, () => {
      const { client, server } = pair();
      const stream = client.map.open(true)!;
      stream.send!.finish();
      settle(client, server);
      server.map.get(0)!.send!.finish();
      settle(client, server);
      assert.equal(client.map.size + server.map.size, 0);
      server.opened = [];
      for (const side of [client, server]) act(side, 0);
      assert.equal(client.map.size + server.map.size + server.opened.length, 0);
    });
  }

  test("identifiers too big for a number are errors", () => {
    for (const role of ["client", "server"] as const) {
      assert.throws(() => new Side(role).stream(Infinity, 0, new Uint8Array(1)), TransportError);
      assert.throws(() => new Side(role).map.onStopSending(Infinity, 0n), TransportError);
    }
  });
});

// rfc9000#4.5 an endpoint SHOULD respond with an error of type FINAL_SIZE_ERROR
describe("final size", () => {
  const ended = () => {
    const side = new Side("server");
    side.stream(0, 0, content(0, 0, 100), true);
    return side;
  };
  const stream = code(c.FINAL_SIZE_ERROR, c.FRAME_STREAM);
  const reset = code(c.FINAL_SIZE_ERROR, c.FRAME_RESET_STREAM);

  test("cannot change", () => {
    assert.throws(() => ended().stream(0, 100, new Uint8Array(1), true), stream);
    assert.throws(() => ended().stream(0, 0, new Uint8Array(50), true), stream);
    assert.throws(() => ended().map.onResetStream(0, 0n, 99), reset);
    assert.throws(() => ended().map.onResetStream(0, 0n, 101), reset);
    ended().stream(0, 0, content(0, 0, 100), true);
    ended().map.onResetStream(0, 0n, 100);
  });
  test("bounds the data", () => {
    assert.throws(() => ended().stream(0, 100, new Uint8Array(1)), stream);
    assert.throws(() => ended().stream(0, 90, new Uint8Array(11)), stream);
    ended().stream(0, 100, new Uint8Array(0));
  });
  test("is not below what was received, gaps or not", () => {
    const side = new Side("server");
    side.stream(0, 500, new Uint8Array(10));
    assert.throws(() => side.stream(0, 0, new Uint8Array(509), true), stream);
    assert.throws(() => side.map.onResetStream(0, 0n, 509), reset);
    side.map.onResetStream(0, 0n, 510);
  });
  test("holds after a reset, after a stop and after reading to the end, while the stream is there", () => {
    const sides = [0, 1, 2].map(() => new Side("server"));
    for (const side of sides) side.stream(0, 0, new Uint8Array(100));
    sides[0]!.map.onResetStream(0, 0n, 120);
    sides[1]!.map.get(0)!.recv!.stop(1n);
    sides[1]!.stream(0, 110, new Uint8Array(10), true);
    sides[2]!.stream(0, 100, new Uint8Array(20), true);
    readAll(sides[2]!.map.get(0)!);
    for (const side of sides) {
      side.stream(0, 110, new Uint8Array(10), true);
      assert.throws(() => side.stream(0, 110, new Uint8Array(11)), stream);
      assert.throws(() => side.stream(0, 110, new Uint8Array(9), true), stream);
      assert.throws(() => side.map.onResetStream(0, 0n, 121), reset);
    }
  });
});

// rfc9000#4.1 A receiver MUST close the connection with an error of type FLOW_CONTROL_ERROR if the sender violates the
// advertised connection or stream data limits
describe("flow control", () => {
  const stream = code(c.FLOW_CONTROL_ERROR, c.FRAME_STREAM);
  const reset = code(c.FLOW_CONTROL_ERROR, c.FRAME_RESET_STREAM);
  const window = LIMITS.initialStreamWindow;

  test("of a stream counts the highest offset", () => {
    const side = new Side("server");
    side.stream(0, window - 1, new Uint8Array(1));
    assert.throws(() => side.stream(0, window, new Uint8Array(1)), stream);
    assert.throws(() => side.stream(4, window, new Uint8Array(1)), stream);
    assert.throws(() => side.map.onResetStream(8, 0n, window + 1), reset);
    assert.throws(() => side.stream(12, window + 1, new Uint8Array(0), true), stream);
  });
  test("of the connection counts the sum of them, resets and stopped streams as well", () => {
    const side = new Side("server");
    side.stream(0, window - 1, new Uint8Array(1));
    side.stream(4, window - 1, new Uint8Array(1));
    side.stream(0, 0, new Uint8Array(1000));
    assert.throws(() => side.stream(8, 0, new Uint8Array(1)), stream);
    assert.throws(() => side.map.onResetStream(12, 0n, 1), reset);
    side.stream(8, 0, new Uint8Array(0), true);
  });
  // rfc9000#3.5 STREAM frames received after sending a STOP_SENDING frame are still counted toward connection and
  // stream flow control
  test("goes on after STOP_SENDING", () => {
    const side = new Side("server");
    side.stream(0, 0, new Uint8Array(10));
    side.map.get(0)!.recv!.stop(1n);
    side.stream(0, 10, new Uint8Array(90));
    assert.equal(side.map.connectionWindow.received, 100);
    assert.equal(side.map.connectionWindow.consumed, 100);
    assert.throws(() => side.stream(0, window, new Uint8Array(1)), stream);
  });
  test("a peer that leaves a gap after each byte is cut off at a bound", () => {
    const side = new Side("server");
    side.stream(0, 0, new Uint8Array(1));
    for (let i = 1; i <= MAX_STREAM_GAPS; i++) side.stream(0, 2 * i, new Uint8Array(1));
    assert.throws(
      () => side.stream(0, 2 * MAX_STREAM_GAPS + 2, new Uint8Array(1)),
      code(c.INTERNAL_ERROR, c.FRAME_STREAM),
    );
    assert.ok(side.map.get(0)!.recv!.memory <= 4096);
  });
});

test("frames may carry limits too big for a number", () => {
  const side = new Side("client");
  const stream = side.map.open(true)!;
  side.map.onMaxData(Infinity);
  side.map.onMaxStreamData(0, Infinity);
  stream.send!.write(content(0, 0, 300_000), false);
  assert.equal(
    frames(side.packets())
      .filter(([type]) => type === "stream")
      .reduce((sum, frame) => sum + (frame[4] as string).length / 2, 0),
    300_000,
  );
});
