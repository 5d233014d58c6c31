import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ReceiveWindow } from "../../internal/flow/receive-window.ts";
import { SendWindow } from "../../internal/flow/send-window.ts";
import { STREAM_WINDOW_INITIAL, STREAM_WINDOW_MAX } from "../../internal/protocol/limits.ts";

describe("receive window", () => {
  test("an update is due when half of the window was consumed", () => {
    const window = new ReceiveWindow(1000, 8000);
    assert.ok(!window.consume(499));
    assert.ok(window.consume(1));
    assert.ok(!window.advance(1000, 10));
    assert.equal(window.limit, 1500);
    assert.ok(!window.updateDue);
  });

  test("doubles up to its cap while windows are consumed within some round trips", () => {
    const window = new ReceiveWindow(STREAM_WINDOW_INITIAL, STREAM_WINDOW_MAX);
    window.begin(0);
    let now = 0;
    const sizes: number[] = [];
    while (sizes.length < 8) {
      now += 10;
      window.consume(window.limit - window.consumed);
      window.advance(now, 10);
      sizes.push(window.size / 1024);
      assert.equal(window.limit, window.consumed + window.size);
    }
    assert.deepEqual(sizes, [1024, 2048, 4096, 6144, 6144, 6144, 6144, 6144]);
  });

  test("stays as it is for a slow reader, without an RTT, and for little", () => {
    const slow = new ReceiveWindow(1000, 8000);
    slow.begin(0);
    slow.consume(1000);
    // A whole window in four round trips or more.
    assert.ok(!slow.advance(40, 10));
    const unknown = new ReceiveWindow(1000, 8000);
    unknown.consume(1000);
    assert.ok(!unknown.advance(1, 0));
    const little = new ReceiveWindow(1000, 8000);
    little.begin(0);
    little.consume(400);
    assert.ok(!little.advance(1, 10));
  });

  test("measures from the first data, not from the start of time", () => {
    const window = new ReceiveWindow(1000, 8000);
    window.begin(100_000);
    window.consume(600);
    assert.ok(window.advance(100_010, 10));
  });

  test("never lowers a limit", () => {
    const window = new ReceiveWindow(1000, 1000);
    window.advance(5, 1);
    assert.equal(window.limit, 1000);
    window.ensure(10_000);
    assert.equal(window.size, 1000);
  });

  // rfc9000#4.1 a receiver MUST close the connection with FLOW_CONTROL_ERROR if the sender violates …
  test("the limit itself may be reached", () => {
    const window = new ReceiveWindow(1000, 1000);
    assert.ok(!window.exceeds(1000));
    assert.ok(window.exceeds(1001));
  });
});

describe("send window", () => {
  // rfc9000#4.1 A sender MUST ignore any MAX_STREAM_DATA or MAX_DATA frames that do not increase flow control limits.
  test("limits only rise", () => {
    const window = new SendWindow();
    assert.ok(window.raise(100));
    assert.ok(!window.raise(100));
    assert.ok(!window.raise(50));
    assert.equal(window.limit, 100);
  });

  test("one BLOCKED frame for each limit, again only for the one that was lost and still holds", () => {
    const window = new SendWindow();
    window.raise(100);
    assert.ok(!window.blockedDue());
    window.used = 100;
    assert.ok(window.blockedDue());
    assert.ok(!window.blockedDue());
    assert.ok(window.blockedLost(100));
    window.raise(200);
    assert.ok(!window.blockedLost(100));
    window.used = 200;
    assert.ok(!window.blockedLost(100));
    assert.ok(window.blockedDue());
  });
});
