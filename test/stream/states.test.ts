// The state machines of rfc9000#3, and what each transition sends.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { content, frames, pair, readAll, settle, Side } from "./harness.ts";

const types = (side: Side) => frames(side.packets()).map(([type]) => type);

describe("sending", () => {
  test("ready, send, data sent, data received", () => {
    const client = new Side("client");
    const { send } = client.map.open(false)!;
    assert.equal(send!.state, "ready");
    send!.write(content(2, 0, 100), false);
    const [data] = client.packets();
    assert.equal(send!.state, "send");
    send!.finish();
    const [end] = client.packets();
    assert.deepEqual(frames([end!]), [["stream", 2, 100, true, ""]]);
    assert.equal(send!.state, "data_sent");
    client.acked(end!);
    assert.equal(send!.state, "data_sent");
    assert.ok(!send!.allAcked);
    client.acked(data!);
    assert.equal(send!.state, "data_received");
    assert.ok(send!.allAcked && send!.isTerminal);
    assert.equal(client.map.size, 0);
  });

  test("the end travels with the last data, or alone where it comes late, or with nothing at all", () => {
    const client = new Side("client");
    const { send } = client.map.open(true)!;
    send!.write(content(0, 0, 3), false);
    send!.finish();
    client.map.open(true)!.send!.finish();
    const calls = frames(client.packets());
    assert.deepEqual(
      calls.map((call) => [call[1], call[2], call[3]]),
      [
        [4, 0, true],
        [0, 0, true],
      ],
    );
  });

  test("an end needs no credit", () => {
    const client = new Side("client");
    const { send } = client.map.open(true)!;
    send!.write(content(0, 0, 64 * 1024), false);
    client.packets();
    send!.finish();
    assert.deepEqual(frames(client.packets()), [["stream", 0, 64 * 1024, true, ""]]);
  });

  test("a lost end goes again, with the data it came with or alone", () => {
    const client = new Side("client");
    const { send } = client.map.open(true)!;
    send!.write(content(0, 0, 10), false);
    send!.finish();
    const [first] = client.packets();
    client.lost(first!);
    const [second] = client.packets();
    assert.deepEqual(frames([second!]), frames([first!]));
    assert.equal(client.packet(), null);
    // The data is acknowledged late, the end is not: it goes alone.
    client.lost(second!);
    client.map.onRecordAcked(3, 0, 0, 10);
    const [third] = client.packets();
    assert.deepEqual(frames([third!]), [["stream", 0, 10, true, ""]]);
    client.acked(third!);
    assert.ok(send!.isTerminal);
  });

  test("acknowledged after all: what was thought lost is not sent again", () => {
    const client = new Side("client");
    client.map.open(true)!.send!.write(content(0, 0, 5000), false);
    const sent = client.packets();
    for (const packet of sent) client.lost(packet);
    for (const packet of sent) client.acked(packet);
    assert.equal(client.packet(), null);
  });

  // rfc9000#3.3 MUST NOT send a STREAM or STREAM_DATA_BLOCKED frame for a stream in the "Reset Sent" state
  test("a reset ends all sending, and is repeated as it was until acknowledged", () => {
    const client = new Side("client");
    const { send } = client.map.open(false)!;
    send!.write(content(2, 0, 100_000), false);
    const sent = client.packets(1200, 10);
    const { finalSize } = send!;
    send!.reset(2n ** 61n);
    send!.reset(5n);
    assert.equal(send!.write(content(0, 0, 10), false), 0);
    send!.finish();
    for (const packet of sent) client.lost(packet);
    const [reset] = client.packets();
    const clipped = Number.MAX_SAFE_INTEGER;
    const expected = frames([reset!]);
    assert.equal(expected.length, 1);
    assert.deepEqual(
      [expected[0]![0], expected[0]![1], expected[0]![3], expected[0]![4]],
      ["reset_stream", 2, 2n ** 61n, finalSize],
    );
    assert.ok((expected[0]![2] as number) >= clipped);
    assert.equal(send!.state, "reset_sent");
    assert.ok(!send!.allAcked);
    client.lost(reset!);
    // rfc9000#13.3 The content of a RESET_STREAM frame MUST NOT change when it is sent again.
    const [again] = client.packets();
    assert.deepEqual(frames([again!]), expected);
    client.lost(again!);
    client.acked(reset!);
    // rfc9000#3.3 A sender MUST NOT send any of these frames from a terminal state
    assert.equal(client.packet(), null);
    assert.equal(send!.state, "reset_received");
    assert.equal(client.map.size, 0);
    assert.ok(!send!.allAcked);
  });

  test("a reset may be the first frame of a stream, and is nothing once all was acknowledged", () => {
    const { client, server } = pair();
    client.map.open(false)!.send!.reset(7n);
    settle(client, server);
    assert.equal(server.opened[0]!.recv!.resetCode, 7n);
    const { send } = client.map.open(false)!;
    send!.finish();
    settle(client, server);
    send!.reset(1n);
    assert.deepEqual(types(client), []);
    assert.equal(send!.resetCode, null);
  });

  // rfc9000#3.5 MUST send a RESET_STREAM frame if the stream is in the "Ready" or "Send" state; SHOULD copy the error
  // code
  test("STOP_SENDING is answered with RESET_STREAM and its code, in every state but the last", () => {
    for (const prepare of ["ready", "send", "data_sent"] as const) {
      const client = new Side("client");
      const stream = client.map.open(true)!;
      if (prepare !== "ready") stream.send!.write(content(0, 0, 10), false);
      if (prepare === "data_sent") stream.send!.finish();
      client.packets();
      assert.equal(stream.send!.state, prepare);
      client.map.onStopSending(0, 77n);
      assert.equal(stream.send!.stopCode, 77n);
      assert.ok(client.writable.has(stream));
      assert.deepEqual(frames(client.packets()), [
        ["reset_stream", 0, 77, 77n, prepare === "ready" ? 0 : 10],
      ]);
      client.map.onStopSending(0, 78n);
      assert.deepEqual(types(client), []);
    }
  });

  test("STOP_SENDING after our own reset changes nothing of it", () => {
    const client = new Side("client");
    const stream = client.map.open(true)!;
    stream.send!.reset(1n);
    client.map.onStopSending(0, 2n);
    assert.deepEqual(frames(client.packets()), [["reset_stream", 0, 1, 1n, 0]]);
  });

  test("the end of the connection takes unsent data with it, and nobody is told that it arrived", () => {
    const client = new Side("client");
    const some = client.map.open(true)!.send!;
    const none = client.map.open(true)!.send!;
    some.write(content(0, 0, 1000), false);
    const sent = client.packets();
    client.map.closeAll();
    assert.ok(!some.allAcked);
    assert.ok(none.allAcked);
    assert.equal(some.capacity, 0);
    assert.equal(some.write(content(0, 0, 1), false), 0);
    for (const packet of sent) client.acked(packet);
    assert.ok(!some.allAcked);
    assert.equal(client.map.open(true), null);
    assert.equal(client.packet(), null);
    assert.equal(client.map.sharedRoom, 16 * 1024 * 1024);
  });
});

describe("receiving", () => {
  test("receive, size known, data received, data read", () => {
    const server = new Side("server");
    server.stream(2, 10, content(2, 10, 10), true);
    const [stream] = server.opened;
    const recv = stream!.recv!;
    assert.equal(recv.state, "size_known");
    assert.ok(!server.readable.has(stream!));
    server.stream(2, 0, content(2, 0, 10));
    assert.equal(recv.state, "data_received");
    assert.ok(server.readable.has(stream!));
    assert.deepEqual(recv.peek(5), content(2, 0, 5));
    assert.deepEqual(readAll(stream!), content(2, 0, 20));
    assert.equal(recv.state, "data_read");
    assert.ok(recv.finished && recv.isTerminal);
    assert.equal(server.map.size, 0);
  });

  test("an end without data tells a reader that waits, at once", () => {
    const server = new Side("server");
    server.stream(2, 0, content(2, 0, 10));
    const [stream] = server.opened;
    readAll(stream!);
    server.readable.clear();
    server.stream(2, 10, new Uint8Array(0), true);
    assert.ok(server.readable.has(stream!));
    assert.ok(stream!.recv!.finished);
    assert.equal(server.map.size, 0);
    const empty = new Side("server");
    empty.stream(2, 0, new Uint8Array(0), true);
    assert.ok(empty.readable.has(empty.opened[0]!));
    assert.ok(empty.opened[0]!.recv!.finished);
  });

  test("an end ahead of a gap waits for the data", () => {
    const server = new Side("server");
    server.stream(2, 0, content(2, 0, 1200));
    server.stream(2, 2400, new Uint8Array(0), true);
    const [stream] = server.opened;
    assert.equal(stream!.recv!.available, 1200);
    assert.deepEqual(readAll(stream!), content(2, 0, 1200));
    assert.ok(!stream!.recv!.finished);
    server.stream(2, 1200, content(2, 1200, 1200));
    assert.deepEqual(readAll(stream!), content(2, 1200, 1200));
    assert.ok(stream!.recv!.finished);
  });

  test("an end while the reader is paused: all is there later, credit comes with the reading", () => {
    const { client, server } = pair();
    const { send } = client.map.open(false)!;
    send!.write(content(2, 0, 30_000), false);
    send!.finish();
    settle(client, server);
    const [stream] = server.opened;
    assert.ok(send!.isTerminal);
    assert.equal(server.map.size, 1);
    assert.equal(server.map.connectionWindow.consumed, 0);
    assert.deepEqual(readAll(stream!), content(2, 0, 30_000));
    assert.equal(server.map.connectionWindow.consumed, 30_000);
    assert.equal(server.map.size, 0);
  });

  test("a reset drops what was not read and gives its credit back, gaps included", () => {
    const server = new Side("server");
    server.stream(2, 0, content(2, 0, 100));
    server.stream(2, 500, content(2, 500, 100));
    const [stream] = server.opened;
    stream!.recv!.readInto(new Uint8Array(40));
    server.readable.clear();
    server.map.onResetStream(2, 2n ** 60n, 1000);
    assert.ok(server.readable.has(stream!));
    assert.equal(stream!.recv!.resetCode, 2n ** 60n);
    assert.equal(stream!.recv!.available, 0);
    assert.ok(!stream!.recv!.finished);
    assert.equal(stream!.recv!.memory, 0);
    assert.equal(server.map.connectionWindow.received, 1000);
    assert.equal(server.map.connectionWindow.consumed, 1000);
    assert.equal(server.map.size, 0);
    server.stream(2, 100, content(2, 100, 400));
    assert.equal(server.map.connectionWindow.received, 1000);
  });

  // rfc9000#4.4 On receipt of a RESET_STREAM frame, an endpoint will … ignore further data arriving on that stream.
  test("late data after a reset is neither kept nor shown, while the other half lives", () => {
    const server = new Side("server");
    server.stream(0, 0, content(0, 0, 100));
    server.map.onResetStream(0, 1n, 1000);
    server.readable.clear();
    server.stream(0, 100, content(0, 100, 900), true);
    const { recv } = server.opened[0]!;
    assert.deepEqual([recv!.available, recv!.memory, recv!.finished, server.readable.size], [0, 0, false, 0]);
    assert.equal(server.map.connectionWindow.consumed, 1000);
  });

  // rfc9000#3.2 A RESET_STREAM signal might be suppressed … if stream data is completely received
  test("a reset after all data arrived is ignored", () => {
    const server = new Side("server");
    server.stream(2, 0, content(2, 0, 100), true);
    server.map.onResetStream(2, 1n, 100);
    assert.equal(server.opened[0]!.recv!.resetCode, null);
    assert.deepEqual(readAll(server.opened[0]!), content(2, 0, 100));
  });

  test("stop asks the peer until it heard, drops data and gives credit back", () => {
    const server = new Side("server");
    server.stream(2, 0, content(2, 0, 100));
    const [stream] = server.opened;
    const recv = stream!.recv!;
    recv.stop(9n);
    recv.stop(10n);
    assert.equal(recv.available, 0);
    assert.equal(server.map.connectionWindow.consumed, 100);
    const [stop] = server.packets();
    assert.deepEqual(frames([stop!]), [["stop_sending", 2, 9, 9n]]);
    server.lost(stop!);
    // rfc9000#3.5 is expected to send another STOP_SENDING frame if a packet containing a previous one is lost
    const [again] = server.packets();
    assert.deepEqual(frames([again!]), [["stop_sending", 2, 9, 9n]]);
    server.acked(again!);
    assert.ok(!recv.isTerminal);
    server.stream(2, 100, content(2, 100, 50));
    assert.equal(server.map.connectionWindow.consumed, 150);
    server.map.onResetStream(2, 9n, 400);
    assert.equal(server.map.connectionWindow.consumed, 400);
    assert.ok(recv.isTerminal);
    assert.equal(server.map.size, 0);
  });

  // rfc9000#3.5 If the stream is in the "Recv" or "Size Known" state, the transport SHOULD signal this by sending a
  // STOP_SENDING frame
  test("stop with the size known: the peer is told and the half is over when it heard", () => {
    const server = new Side("server");
    server.stream(2, 50, content(2, 50, 50), true);
    const { recv } = server.opened[0]!;
    recv!.stop(3n);
    assert.equal(server.map.connectionWindow.consumed, 100);
    const [stop] = server.packets();
    assert.deepEqual(frames([stop!]), [["stop_sending", 2, 3, 3n]]);
    assert.ok(!recv!.isTerminal);
    server.acked(stop!);
    assert.ok(recv!.isTerminal);
    assert.equal(server.map.size, 0);
  });

  test("stop with everything received, or after a reset, says nothing", () => {
    const server = new Side("server");
    server.stream(2, 0, content(2, 0, 50), true);
    server.opened[0]!.recv!.stop(3n);
    server.map.onResetStream(6, 1n, 0);
    server.opened[1]!.recv!.stop(3n);
    assert.deepEqual(types(server), []);
    assert.equal(server.map.size, 0);
  });

  test("a reset that crosses our stop ends the asking", () => {
    const server = new Side("server");
    server.stream(2, 0, content(2, 0, 50));
    server.opened[0]!.recv!.stop(3n);
    server.map.onResetStream(2, 1n, 50);
    assert.deepEqual(types(server), []);
  });
});
