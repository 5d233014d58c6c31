import assert from "node:assert/strict";
import { test } from "node:test";
import { newRenoFactory } from "../../internal/congestion/newreno.ts";
import { initialWindow } from "../../internal/congestion/window.ts";
import { acked } from "./acked.ts";

const MTU = 1200;
test("the initial window", () => {
  // rfc9002#7.2 ten times the maximum datagram size, limited to the larger of 14,720 bytes or twice that size.
  assert.equal(initialWindow(1200), 12_000);
  assert.equal(initialWindow(1452), 14_520);
  assert.equal(initialWindow(1500), 14_720);
  assert.equal(initialWindow(9000), 18_000);
  const cc = newRenoFactory({ maxDatagramSize: 1200 });
  cc.setMaxDatagramSize(1452);
  assert.equal(cc.cwnd, 14_520);
});

test("slow start, recovery, congestion avoidance", () => {
  const cc = newRenoFactory({ maxDatagramSize: MTU });
  assert.equal(cc.state, "slow_start");
  // rfc9002#7.3.1 increases by the number of bytes acknowledged.
  cc.onPacketsAcked(acked(4800, 1));
  assert.equal(cc.cwnd, 16_800);
  cc.onPacketsLost(20, MTU, 5);
  // rfc9002#7.3.2 MUST set the slow start threshold to half the value of the congestion window.
  assert.deepEqual([cc.cwnd, cc.ssthresh, cc.state], [8400, 8400, "recovery"]);
  // Once per recovery period, and no growth by what was sent before it.
  cc.onPacketsLost(25, MTU, 20);
  cc.onEcnCe(26, 19, 1);
  cc.onPacketsAcked(acked(2400, 20));
  assert.deepEqual([cc.cwnd, cc.state], [8400, "recovery"]);
  // rfc9002#7.3.2 it ends when a packet sent during the recovery period is acknowledged; only that grows the window.
  cc.onPacketsAcked(acked(9600, 21, { bytesAfterRecovery: 1200 }));
  assert.deepEqual([cc.cwnd, cc.state], [8400, "congestion_avoidance"]);
  // rfc9002#7.3.3 one maximum datagram size for each congestion window that is acknowledged.
  cc.onPacketsAcked(acked(6000, 22));
  assert.equal(cc.cwnd, 8400);
  cc.onPacketsAcked(acked(1200, 23));
  assert.equal(cc.cwnd, 9600);
  cc.onEcnCe(40, 30, 1);
  assert.equal(cc.cwnd, 4800);
});

test("never less than two datagrams; persistent congestion starts over in slow start", () => {
  const cc = newRenoFactory({ maxDatagramSize: MTU });
  for (let t = 1; t < 10; t++) cc.onPacketsLost(t * 10, MTU, t * 10 - 1);
  assert.equal(cc.cwnd, 2 * MTU);
  const other = newRenoFactory({ maxDatagramSize: MTU });
  other.onPacketsLost(10, MTU, 5);
  other.onPersistentCongestion(10);
  assert.deepEqual([other.cwnd, other.ssthresh, other.state], [2 * MTU, 6000, "slow_start"]);
  other.reset();
  assert.deepEqual([other.cwnd, other.ssthresh], [12_000, Infinity]);
});

test("an underutilized window does not grow", () => {
  const cc = newRenoFactory({ maxDatagramSize: MTU });
  cc.setAppLimited(true);
  // rfc9002#7.8 when bytes in flight is smaller than the congestion window, it SHOULD NOT be increased …
  cc.onPacketsAcked(acked(1200, 1, { priorInFlight: 1200 }));
  assert.deepEqual([cc.cwnd, cc.state], [12_000, "application_limited"]);
  // … but one that was filled by the last of the data was utilized.
  cc.onPacketsAcked(acked(1200, 2, { priorInFlight: 12_000 }));
  assert.equal(cc.cwnd, 13_200);
});

test("a window that the machine leaves half empty does not grow, data or not", () => {
  // rfc9002#7.8 when the window is underutilized it SHOULD NOT be increased in either slow start or congestion avoidance.
  const cc = newRenoFactory({ maxDatagramSize: MTU });
  cc.onPacketsAcked(acked(3 * MTU, 1, { priorInFlight: 5 * MTU }));
  assert.equal(cc.cwnd, 10 * MTU);
  cc.onPacketsAcked(acked(3 * MTU, 2, { priorInFlight: 5 * MTU + 1 }));
  assert.equal(cc.cwnd, 13 * MTU);
  cc.onPacketsLost(20, MTU, 5);
  cc.onPacketsAcked(acked(100 * MTU, 21, { priorInFlight: 3 * MTU }));
  assert.equal(cc.cwnd, 6.5 * MTU);
});
