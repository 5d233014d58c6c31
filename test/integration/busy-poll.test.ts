import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { test } from "node:test";
import { BusyPoll } from "../../src/busy-poll.ts";
import { Transport } from "../../src/index.ts";
import { until } from "./pair.ts";

const skip = availableParallelism() === 1 ? "one core has no time to spend" : false;

/** Exchanges that begin `every` ms, each answered after `wait`. */
function exchanges(poll: BusyPoll, n: number, wait: number, bytes = 100): void {
  let now = performance.now() - n * 2 * wait;
  for (let i = 0; i < n; i++) {
    poll.sent(now, bytes);
    now += wait;
    poll.arrived(now, bytes);
  }
}

test("answers that come at once are waited for awake, and then the loop sleeps", { skip }, async () => {
  const poll = new BusyPoll(5);
  exchanges(poll, 20, 0.1);
  poll.sent(performance.now(), 100);
  assert.equal(poll.awake, true);
  await until(() => !poll.awake, "sleep");
});

test("answers that take long, and bulk data, are not", { skip }, () => {
  for (const [wait, bytes] of [
    [8, 100],
    [100, 100],
    [0.1, 60_000],
  ] as const) {
    const poll = new BusyPoll(5);
    exchanges(poll, 20, wait, bytes);
    poll.sent(performance.now(), bytes);
    assert.equal(poll.awake, false, `${wait} ms, ${bytes} bytes`);
  }
});

test(
  "bursts with pauses between them are not: the last datagram of each would be waited after for nothing",
  { skip },
  async () => {
    const poll = new BusyPoll(0.5);
    let now = performance.now();
    for (let burst = 0; burst < 40; burst++) {
      for (let i = 0; i < 3; i++) {
        poll.sent(now, 100);
        poll.arrived((now += 0.05), 100);
      }
      now += 1;
    }
    await until(() => !poll.awake, "sleep");
    poll.sent(performance.now(), 100);
    assert.equal(poll.awake, false);
  },
);

test("a peer that becomes slow is not waited for any more, one that becomes fast is", { skip }, async () => {
  const poll = new BusyPoll(0.5);
  exchanges(poll, 20, 0.1);
  exchanges(poll, 30, 50);
  await until(() => !poll.awake, "sleep");
  poll.sent(performance.now(), 100);
  assert.equal(poll.awake, false);
  exchanges(poll, 60, 0.1);
  assert.equal(poll.awake, true);
  poll.stop();
  await until(() => !poll.awake, "the end");
});

test("0 switches it off; nonsense is refused", () => {
  const poll = new BusyPoll(0);
  exchanges(poll, 20, 0.01);
  assert.equal(poll.awake, false);
  for (const busyPoll of [-1, NaN, 1000]) {
    assert.throws(() => new Transport({ busyPoll }), {
      code: "ERR_QUIC_INVALID_OPTION",
      message: /busyPoll/,
    });
  }
});
