// RESET_STREAM_AT: a reset that delivers the beginning all the same. reliable-stream-reset
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FINAL_SIZE_ERROR, STREAM_STATE_ERROR } from "../../internal/protocol/constants.ts";
import { TransportError } from "../../internal/protocol/errors.ts";
import { content, frames, LIMITS, pair, parameters, readAll, settle, Side } from "./harness.ts";

const resets = (side: Side) => frames(side.packets()).filter(([type]) => String(type).startsWith("reset"));
const code = (expected: number) => (error: unknown) =>
  error instanceof TransportError && error.errorCode === expected;

describe("resetting with a reliable size", () => {
  test("what lies before the boundary arrives though it was lost, then the reset", () => {
    const { client, server } = pair();
    const { send } = client.map.open(false)!;
    send!.write(content(2, 0, 2000), false);
    send!.setReliableBoundary();
    send!.write(content(2, 2000, 3000), false);
    const lost = client.packets();
    send!.reset(77n);
    for (const packet of lost) client.lost(packet);
    const sent = client.packets();
    assert.deepEqual(
      frames(sent).filter(([type]) => String(type).startsWith("reset")),
      [["reset_stream_at", 2, 77, 77n, 5000, 2000]],
    );
    const data = frames(sent).filter(([type]) => type === "stream");
    assert.equal(
      data.reduce((sum, call) => sum + (call[4] as string).length / 2, 0),
      2000,
    );
    // The frame may come before the data that it promises.
    for (const packet of [...sent].reverse()) server.receive(packet);
    const { recv } = server.opened[0]!;
    assert.equal(recv!.resetCode, null);
    assert.equal(recv!.available, 2000);
    assert.deepEqual(readAll(server.opened[0]!), content(2, 0, 2000));
    assert.equal(recv!.resetCode, 77n);
    assert.ok(recv!.isTerminal && !recv!.finished);
    // rfc9000#4.5 the final size counts, read or not.
    assert.equal(server.map.connectionWindow.consumed, 5000);
    // reliable-stream-reset#5.3 Data Recvd comes with the frame's and the data's acknowledgement.
    client.acked(sent.at(-1)!);
    assert.ok(!send!.isTerminal);
    for (const packet of sent) client.acked(packet);
    assert.ok(send!.isTerminal && !send!.allAcked);
    assert.equal(client.map.size, 0);
    assert.equal(client.map.sharedRoom, 16 * 1024 * 1024);
  });

  // reliable-stream-reset#4 An endpoint MUST NOT send a RESET_STREAM_AT frame that exceeds the largest maximum stream data
  // value advertised by the receiver
  test("waits for flow control where the boundary lies beyond it", () => {
    const small = { ...LIMITS, initialStreamWindow: 1000, maxStreamWindow: 1000 };
    const { client, server } = pair(small);
    const { send } = client.map.open(false)!;
    send!.write(content(2, 0, 2500), false);
    send!.setReliableBoundary();
    send!.write(content(2, 2500, 500), false);
    send!.reset(5n);
    const first = client.packets();
    assert.deepEqual(
      frames(first).filter(([type]) => type !== "stream"),
      [["stream_data_blocked", 2, 1000]],
    );
    for (const packet of first) server.receive(packet);
    for (const packet of first) client.acked(packet);
    const got = [];
    for (let i = 0; i < 10; i++) {
      got.push(...readAll(server.opened[0]!));
      settle(client, server);
    }
    assert.deepEqual(Uint8Array.from(got), content(2, 0, 2500));
    assert.equal(server.opened[0]!.recv!.resetCode, 5n);
    assert.equal(server.opened[0]!.recv!.finalSize, 2500);
    assert.equal(client.map.size + server.map.size, 0);
  });

  test("after FIN, with what was acknowledged already, and without a boundary", () => {
    const client = new Side("client");
    const { send } = client.map.open(false)!;
    send!.write(content(2, 0, 100), false);
    send!.setReliableBoundary();
    send!.write(content(2, 100, 100), false);
    send!.finish();
    const [data] = client.packets();
    client.map.onRecordAcked(3, 2, 0, 150);
    send!.reset(1n);
    const [reset] = client.packets();
    assert.deepEqual(frames([reset!]), [["reset_stream_at", 2, 1, 1n, 200, 100]]);
    client.lost(data!);
    assert.equal(client.packet(), null, "nothing behind the boundary goes again");
    client.acked(reset!);
    assert.ok(send!.isTerminal);
    const plain = client.map.open(false)!.send!;
    plain.write(content(6, 0, 10), false);
    client.packets();
    plain.reset(2n);
    assert.deepEqual(resets(client), [["reset_stream", 6, 2, 2n, 10]]);
  });

  test("a peer that did not announce it gets RESET_STREAM", () => {
    const client = new Side("client", LIMITS, null);
    client.map.setPeerParameters({ ...parameters(LIMITS), resetStreamAt: false });
    const { send } = client.map.open(false)!;
    send!.write(content(2, 0, 10), false);
    send!.setReliableBoundary();
    client.packets();
    send!.reset(2n);
    assert.deepEqual(resets(client), [["reset_stream", 2, 2, 2n, 10]]);
  });

  // reliable-stream-reset#5.4 endpoints SHOULD send a RESET_STREAM frame, since the peer has already indicated that it
  // does not intend to process any further data.
  test("STOP_SENDING takes the promise back; code and final size stay", () => {
    const client = new Side("client");
    const { send } = client.map.open(false)!;
    send!.write(content(2, 0, 500), false);
    send!.setReliableBoundary();
    const [data] = client.packets();
    send!.reset(9n);
    const [at] = client.packets();
    client.map.onStopSending(2, 33n);
    const [plain] = client.packets();
    assert.deepEqual(frames([plain!]), [["reset_stream", 2, 9, 9n, 500]]);
    client.lost(data!);
    client.lost(at!);
    assert.equal(client.packet(), null);
    client.acked(at!);
    assert.ok(!send!.isTerminal, "the frame with the smallest reliable size has to arrive");
    client.acked(plain!);
    assert.ok(send!.isTerminal);
    const other = client.map.open(false)!.send!;
    other.write(content(6, 0, 10), false);
    other.setReliableBoundary();
    client.packets();
    client.map.onStopSending(6, 33n);
    assert.deepEqual(resets(client), [["reset_stream", 6, 33, 33n, 10]]);
  });
});

describe("being reset with a reliable size", () => {
  test("the size shrinks, never grows; data behind it is not read", () => {
    const server = new Side("server");
    server.stream(2, 0, content(2, 0, 100));
    server.map.onResetStream(2, 4n, 1000, 600);
    const { recv } = server.opened[0]!;
    server.stream(2, 100, content(2, 100, 700));
    assert.equal(recv!.available, 600);
    // reliable-stream-reset#5.2 The receiver MUST ignore any RESET_STREAM_AT frame that increases the Reliable Size.
    server.map.onResetStream(2, 4n, 1000, 700);
    assert.equal(recv!.available, 600);
    server.map.onResetStream(2, 4n, 1000, 300);
    assert.equal(recv!.available, 300);
    assert.deepEqual(readAll(server.opened[0]!), content(2, 0, 300));
    assert.equal(recv!.resetCode, 4n);
    assert.equal(server.map.connectionWindow.consumed, 1000);
  });

  test("RESET_STREAM after it ends the waiting", () => {
    const server = new Side("server");
    server.stream(2, 50, content(2, 50, 100));
    server.map.onResetStream(2, 4n, 1000, 600);
    const { recv } = server.opened[0]!;
    assert.equal(recv!.resetCode, null);
    server.readable.clear();
    server.map.onResetStream(2, 4n, 1000);
    assert.equal(recv!.resetCode, 4n);
    assert.ok(recv!.isTerminal && server.readable.size === 1);
    assert.equal(recv!.memory, 0);
  });

  test("a reader that stops is done at once", () => {
    const server = new Side("server");
    server.stream(2, 0, content(2, 0, 100));
    server.map.onResetStream(2, 4n, 1000, 600);
    server.opened[0]!.recv!.stop(1n);
    assert.deepEqual(
      frames(server.packets()).filter(([type]) => type === "stop_sending"),
      [],
    );
    assert.ok(server.opened[0]!.recv!.isTerminal);
    assert.equal(server.map.connectionWindow.consumed, 1000);
  });

  // reliable-stream-reset#5.2 MUST close the connection with a connection error of type STREAM_STATE_ERROR or
  // FINAL_SIZE_ERROR
  test("a code or a final size that changes is an error", () => {
    for (const [again, size, expected] of [
      [5n, 1000, STREAM_STATE_ERROR],
      [4n, 1001, FINAL_SIZE_ERROR],
      [4n, 999, FINAL_SIZE_ERROR],
    ] as const) {
      const server = new Side("server");
      server.map.onResetStream(2, 4n, 1000, 600);
      assert.throws(() => server.map.onResetStream(2, again, size, 10), code(expected));
      assert.throws(() => server.stream(2, 900, content(2, 0, 99), true), code(FINAL_SIZE_ERROR));
    }
  });
});
