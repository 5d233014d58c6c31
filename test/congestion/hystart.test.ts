import assert from "node:assert/strict";
import { test } from "node:test";
import { newRenoFactory } from "../../internal/congestion/newreno.ts";
import { cubicFactory } from "../../internal/congestion/cubic.ts";
import { APPLICATION, HANDSHAKE } from "../../internal/protocol/constants.ts";
import { Path } from "./acked.ts";

const MTU = 1000;

function start(rtt: number, paced = true): Path {
  const path = new Path(newRenoFactory({ maxDatagramSize: MTU, paced }), MTU, rtt);
  path.now = 1000;
  return path;
}

test("constant round trips: the window doubles each round", () => {
  const path = start(50);
  for (let round = 1; round <= 6; round++) {
    const before = path.cc.cwnd;
    path.round();
    assert.ok(path.cc.cwnd >= 1.9 * before && path.cc.cwnd <= 2.1 * before, `round ${round}`);
  }
  assert.equal(path.cc.state, "slow_start");
});

// rfc9406#4.2 RttThresh = max(MIN_RTT_THRESH, min(lastRoundMinRTT / MIN_RTT_DIVISOR, MAX_RTT_THRESH))
for (const [rtt, threshold] of [
  [16, 4],
  [80, 10],
  [400, 16],
] as const) {
  test(`round trips of ${rtt} ms must grow by ${threshold} ms`, () => {
    for (const [grown, conservative] of [
      [threshold - 0.5, false],
      [threshold, true],
    ] as const) {
      const path = start(rtt);
      for (let round = 0; round < 4; round++) path.round();
      path.rtt = rtt + grown;
      // N_RTT_SAMPLE is 8: seven ACKs of the new round say nothing yet.
      path.round();
      const state = path.cc.state;
      assert.equal(state, conservative ? "conservative_slow_start" : "slow_start", `grown by ${grown}`);
    }
  });
}

test("eight samples, not seven", () => {
  const path = start(80);
  for (let round = 0; round < 4; round++) path.round();
  // The next ACK begins a round.
  path.rtt = 120;
  for (let i = 0; i < 7; i++) path.ack();
  assert.equal(path.cc.state, "slow_start");
  path.ack();
  assert.equal(path.cc.state, "conservative_slow_start");
});

test("conservative slow start grows a quarter as fast, for five rounds, then it is over", () => {
  const path = start(80);
  for (let round = 0; round < 4; round++) path.round();
  path.rtt = 100;
  for (let i = 0; i < 8; i++) path.ack();
  assert.equal(path.cc.state, "conservative_slow_start");
  const windows = [path.cc.cwnd];
  let rounds = 0;
  while (path.cc.state === "conservative_slow_start") {
    path.round();
    windows.push(path.cc.cwnd);
    assert.ok(++rounds < 8);
  }
  // CSS_ROUNDS is 5, the round it began in among them; the last ends with the first ACK of the next.
  assert.ok(rounds === 5 || rounds === 6, `${rounds}`);
  for (let i = 1; i < 4; i++) {
    const factor = windows[i + 1]! / windows[i]!;
    assert.ok(factor > 1.2 && factor < 1.3, `${factor}`);
  }
  // rfc9406#4.2 enter congestion avoidance by setting the ssthresh to the current cwnd
  assert.equal(path.cc.state, "congestion_avoidance");
  assert.ok(path.cc.ssthresh < Infinity && path.cc.ssthresh <= path.cc.cwnd);
});

test("round trips that shrink again resume standard slow start", () => {
  const path = start(80);
  for (let round = 0; round < 4; round++) path.round();
  path.rtt = 100;
  for (let i = 0; i < 8; i++) path.ack();
  assert.equal(path.cc.state, "conservative_slow_start");
  path.rtt = 81;
  path.round();
  path.round();
  assert.equal(path.cc.state, "slow_start");
  assert.equal(path.cc.ssthresh, Infinity);
});

test("a sender that does not pace counts eight datagrams of an ACK at most", () => {
  for (const paced of [true, false]) {
    const { cc } = start(50, paced);
    const before = cc.cwnd;
    new Path(cc, MTU, 50).ack({ bytes: 20 * MTU, bytesAfterRecovery: 20 * MTU, largestSentTime: 5 });
    assert.equal(cc.cwnd - before, (paced ? 20 : 8) * MTU);
  }
});

test("numbers of one packet number space do not end a round of another", () => {
  const path = start(80);
  for (let i = 0; i < 20; i++) path.ack({ space: HANDSHAKE, largestAcked: 1000 + i, nextNumber: 1020 });
  assert.equal(path.cc.state, "slow_start");
  path.rtt = 200;
  path.ack({ space: APPLICATION, largestAcked: 0, nextNumber: 12 });
  for (let i = 1; i < 8; i++) path.ack({ space: APPLICATION, largestAcked: i, nextNumber: 30 });
  assert.equal(path.cc.state, "conservative_slow_start");
});

test("after a loss slow start is the plain one", () => {
  const path = new Path(cubicFactory({ maxDatagramSize: MTU }), MTU, 20);
  path.now = 1000;
  for (let round = 0; round < 6; round++) path.round();
  path.lose();
  path.cc.onPersistentCongestion(path.now);
  for (let i = 0; i < 40; i++) {
    path.rtt += 1;
    path.ack();
    assert.notEqual(path.cc.state, "conservative_slow_start");
  }
});
