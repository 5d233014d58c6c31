import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { CongestionController } from "../../internal/congestion/controller.ts";
import { cubicFactory } from "../../internal/congestion/cubic.ts";
import { acked, Path } from "./acked.ts";

const MTU = 1000;

function close(actual: number, expected: number, tolerance: number, what = ""): void {
  assert.ok(
    Math.abs(actual - expected) <= tolerance,
    `${what} ${actual}, expected ${expected} ± ${tolerance}`,
  );
}

/** In congestion avoidance after a loss at a window of `segments`. */
function afterLoss(segments: number, rtt: number): { cc: CongestionController; path: Path } {
  const cc = cubicFactory({
    maxDatagramSize: MTU,
    previous: { cwnd: segments * MTU, ssthresh: segments * MTU },
  });
  const path = new Path(cc, MTU, rtt);
  path.now = 1000;
  path.lose();
  return { cc, path };
}

describe("CUBIC's window", () => {
  test("is cut to 0.7 by a loss, once per recovery period, and by a mark", () => {
    const { cc } = afterLoss(1000, 100);
    // rfc9438#4.6 SHOULD be set to 0.7
    assert.deepEqual([cc.cwnd, cc.ssthresh, cc.state], [700_000, 700_000, "recovery"]);
    cc.onPacketsLost(1050, MTU, 999);
    assert.equal(cc.cwnd, 700_000);
    cc.onEcnCe(1500, 1400, 3);
    close(cc.cwnd, 490_000, 0.001);
  });

  // rfc9438#4.2 W_cubic(t) = C (t − K)³ + W_max with K = ∛((W_max − cwnd_epoch) / C)
  test("follows the cubic function: concave to W_max at K, convex after it", () => {
    const rtt = 100;
    const { cc, path } = afterLoss(1000, rtt);
    const k = Math.cbrt((1000 - 700) / 0.4);
    close(k, 9.0856, 0.0001, "K in seconds");
    const epoch = path.now;
    for (const seconds of [1, 3, 5, 7, 8, k, 10, 12, 14]) {
      path.until(epoch + seconds * 1000);
      const expected = (at: number): number => 0.4 * (at - k) ** 3 + 1000;
      // The target is that of one round trip ahead, reached within the round trip.
      const segments = cc.cwnd / MTU;
      const slack = 2;
      assert.ok(
        segments >= expected(seconds - rtt / 1000) - slack &&
          segments <= expected(seconds + rtt / 1000) + slack,
        `${seconds} s: ${segments} segments, W_cubic ${expected(seconds)}`,
      );
    }
    assert.equal(cc.state, "congestion_avoidance");
  });

  test("does not depend on the round trip where the function rules", () => {
    const windows = [80, 160, 320].map((rtt) => {
      const { cc, path } = afterLoss(2000, rtt);
      path.until(path.now + 9000);
      return cc.cwnd / MTU;
    });
    close(windows[0]!, windows[1]!, 10);
    close(windows[1]!, windows[2]!, 20);
  });

  // rfc9438#4.3 W_est grows by α segments a round trip, α = 3 (1 − β) / (1 + β)
  test("is Reno's on short paths: α = 9/17 a round trip, 1 from the prior window on", () => {
    const { cc, path } = afterLoss(20, 10);
    const start = cc.cwnd / MTU;
    assert.equal(start, 14);
    path.until(path.now + 8 * 10);
    close(cc.cwnd / MTU, start + (8 * 9) / 17, 0.1, "after 8 rounds");
    while (cc.cwnd < 20 * MTU) path.ack();
    const from = cc.cwnd / MTU;
    path.until(path.now + 5 * 10);
    close(cc.cwnd / MTU, from + 5, 0.2, "as fast as Reno");
  });

  test("never more than half as much again in a round trip, nor less by an ACK", () => {
    const { cc, path } = afterLoss(50, 100);
    path.until(path.now + 100);
    // As after a long time without an ACK: the function is far above the window.
    const before = cc.cwnd;
    path.now += 60_000;
    let last = before;
    for (let i = 0; i < before / MTU; i++) {
      path.ack();
      assert.ok(cc.cwnd >= last);
      last = cc.cwnd;
    }
    assert.ok(cc.cwnd <= 1.5 * before * 1.2 && cc.cwnd > 1.3 * before, `${before} -> ${cc.cwnd}`);
  });

  // rfc9438#4.7 W_max = cwnd (1 + β) / 2 where cwnd < W_max
  test("fast convergence: a flow that did not get back plateaus earlier", () => {
    const { cc, path } = afterLoss(1000, 100);
    path.round();
    const cwnd = cc.cwnd / MTU;
    assert.ok(cwnd < 1000);
    path.lose();
    const wMax = (cwnd * 1.7) / 2;
    const k = Math.cbrt((wMax - 0.7 * cwnd) / 0.4);
    const epoch = path.now;
    path.until(epoch + k * 1000);
    close(cc.cwnd / MTU, wMax, 2, "plateau");
  });

  // rfc9438#4.2 t MUST NOT include periods during which cwnd has not been updated due to application-limited behavior
  test("time of the application does not count", () => {
    const { cc, path } = afterLoss(1000, 100);
    path.until(path.now + 3000);
    const before = cc.cwnd;
    cc.setAppLimited(true);
    for (let i = 0; i < 60; i++) {
      path.now += 1000;
      cc.onPacketsAcked(
        acked(MTU, path.now - 100, { now: path.now, priorInFlight: 2 * MTU, smoothedRtt: 100 }),
      );
    }
    assert.deepEqual([cc.cwnd, cc.state], [before, "application_limited"]);
    cc.setAppLimited(false);
    path.round();
    // As one round after those three seconds, not as a minute later.
    const k = Math.cbrt(300 / 0.4);
    close(cc.cwnd / MTU, 0.4 * (3.2 - k) ** 3 + 1000, 5);
    // Silence without any ACK does not either.
    path.until(path.now + 1000);
    const later = cc.cwnd;
    cc.setAppLimited(true);
    path.now += 60_000;
    cc.onPacketSent(path.now, MTU, MTU);
    cc.setAppLimited(false);
    path.ack();
    close(cc.cwnd, later, 2 * MTU);
  });

  // rfc9438#4.10 K is 0 and W_max the window at the beginning of the stage
  test("after a slow start without loss, and after a timeout, it grows from where it is", () => {
    const cc = cubicFactory({ maxDatagramSize: MTU, previous: { cwnd: 500 * MTU, ssthresh: 500 * MTU } });
    const path = new Path(cc, MTU, 100);
    path.now = 1000;
    path.ack();
    const epoch = path.now;
    path.until(epoch + 5000);
    close(cc.cwnd / MTU, 500 + 0.4 * 5.05 ** 3, 3);

    cc.onPacketsLost(path.now, MTU, path.now);
    const { ssthresh } = cc;
    cc.onPersistentCongestion(path.now);
    assert.deepEqual([cc.cwnd, cc.ssthresh, cc.state], [2 * MTU, ssthresh, "slow_start"]);
    while (cc.state === "slow_start") path.ack();
    assert.equal(cc.cwnd, ssthresh);
    const again = path.now;
    const from = cc.cwnd / MTU;
    path.until(again + 4000);
    close(cc.cwnd / MTU, from + 0.4 * 4 ** 3, 6, "convex from there");
  });

  test("is at least two datagrams", () => {
    const cc = cubicFactory({ maxDatagramSize: MTU });
    for (let t = 1; t < 30; t++) cc.onPacketsLost(t * 10, MTU, t * 10 - 1);
    assert.deepEqual([cc.cwnd, cc.ssthresh], [2 * MTU, 2 * MTU]);
    cc.reset();
    assert.deepEqual([cc.cwnd, cc.ssthresh, cc.recoveryStart], [10 * MTU, Infinity, -Infinity]);
  });
});

describe("a loss that was none", () => {
  // rfc9438#4.9.2
  test("is undone: the window and where the function stood", () => {
    const { cc, path } = afterLoss(1000, 100);
    path.until(path.now + 5000);
    const { cwnd, ssthresh, recoveryStart } = cc;
    const other = afterLoss(1000, 100);
    other.path.until(other.path.now + 5000);
    assert.equal(other.cc.cwnd, cwnd);

    cc.onPacketsLost(path.now, MTU, path.now - 1);
    assert.equal(cc.cwnd, 0.7 * cwnd);
    cc.onSpuriousLoss!(path.now);
    assert.deepEqual([cc.cwnd, cc.ssthresh, cc.recoveryStart], [cwnd, ssthresh, recoveryStart]);
    path.until(path.now + 3000);
    other.path.until(other.path.now + 3000);
    assert.equal(cc.cwnd, other.cc.cwnd);
    // Once.
    cc.onSpuriousLoss!(path.now);
    assert.equal(cc.cwnd, other.cc.cwnd);
  });

  test("in slow start: slow start goes on", () => {
    const cc = cubicFactory({ maxDatagramSize: MTU });
    cc.onPacketsAcked(acked(5 * MTU, 1));
    cc.onPacketsLost(20, MTU, 15);
    assert.equal(cc.state, "recovery");
    cc.onSpuriousLoss!(30);
    assert.deepEqual([cc.cwnd, cc.ssthresh, cc.state], [15 * MTU, Infinity, "slow_start"]);
  });

  test("is not undone where the network said congestion as well, nor after persistent congestion", () => {
    const { cc, path } = afterLoss(1000, 100);
    cc.onEcnCe(path.now, 900, 1);
    cc.onSpuriousLoss!(path.now);
    assert.equal(cc.cwnd, 700_000);
    const other = afterLoss(1000, 100);
    other.cc.onPersistentCongestion(2000);
    other.cc.onSpuriousLoss!(2001);
    assert.equal(other.cc.cwnd, 2 * MTU);
  });

  test("is not undone where the window is larger again", () => {
    const { cc, path } = afterLoss(20, 100);
    while (cc.cwnd <= 25 * MTU) path.round();
    const { cwnd } = cc;
    cc.onSpuriousLoss!(path.now);
    assert.equal(cc.cwnd, cwnd);
  });
});
