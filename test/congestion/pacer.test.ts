import assert from "node:assert/strict";
import { test } from "node:test";
import { newRenoFactory } from "../../internal/congestion/newreno.ts";
import { Pacer } from "../../internal/congestion/pacer.ts";

const MTU = 1200;

test("a burst is an initial window, then the rate rules", () => {
  const cc = newRenoFactory({ maxDatagramSize: MTU });
  const pacer = new Pacer(cc, { smoothed: 100 }, MTU, true);
  // rfc9002#7.7 senders SHOULD limit bursts to the initial congestion window.
  let sent = 0;
  while (pacer.budget(1000) >= MTU) {
    pacer.onSent(MTU);
    sent += MTU;
  }
  assert.equal(sent, 12_000);
  // Slow start: 2 × 12,000 / 100 ms
  assert.equal(pacer.rate, 240);
  assert.equal(pacer.nextSendTime(1000, MTU), 1005);
  assert.ok(pacer.budget(1004) < MTU);
  assert.equal(pacer.budget(1005), MTU);
  // However long nothing is sent, and although the clock may stand still or go back.
  assert.equal(pacer.budget(1e9), 12_000);
  assert.equal(pacer.budget(5), 12_000);
});

test("N is 1.25 in congestion avoidance", () => {
  const cc = newRenoFactory({ maxDatagramSize: MTU });
  cc.onPacketsLost(10, MTU, 5);
  const pacer = new Pacer(cc, { smoothed: 50 }, MTU, true);
  // rfc9002#7.7 rate = N * congestion_window / smoothed_rtt
  assert.equal(pacer.rate, (1.25 * 6000) / 50);
});

test("over a second it sends what the rate says, whatever the timer does", () => {
  const cc = newRenoFactory({ maxDatagramSize: MTU });
  const pacer = new Pacer(cc, { smoothed: 20 }, MTU, true);
  let now = 0;
  let sent = 0;
  while (now < 1000) {
    while (pacer.budget(now) >= MTU) {
      pacer.onSent(MTU);
      sent += MTU;
    }
    const next = pacer.nextSendTime(now, MTU);
    assert.ok(next >= now + 1);
    now = next + 0.3;
  }
  assert.ok(Math.abs(sent - pacer.rate * 1000) <= 12_000 + 2 * MTU);
});

test("off is off", () => {
  const pacer = new Pacer(newRenoFactory({ maxDatagramSize: MTU }), { smoothed: 1 }, MTU, false);
  assert.equal(pacer.budget(0), Infinity);
  assert.equal(pacer.nextSendTime(7, 1e9), 7);
});
