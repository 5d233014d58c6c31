// The user's controller: whatever it does, the connection goes on.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CongestionControl } from "../../internal/congestion/control.ts";
import type {
  CongestionController,
  CongestionControllerFactory,
} from "../../internal/congestion/controller.ts";
import { controllerFactory } from "../../internal/congestion/controllers.ts";
import { cubicFactory } from "../../internal/congestion/cubic.ts";
import type { DeliveryRate } from "../../internal/congestion/delivery-rate.ts";
import { newRenoFactory } from "../../internal/congestion/newreno.ts";
import { Pacer } from "../../internal/congestion/pacer.ts";
import { acked } from "./acked.ts";

const MTU = 1200;

/** A window of 50,000 bytes at 500 bytes per ms, but for `changes`. */
function own(changes: Partial<CongestionController> = {}): CongestionControllerFactory {
  const nothing = (): void => {};
  return () => ({
    name: "mine",
    cwnd: 50_000,
    ssthresh: 40_000,
    recoveryStart: -Infinity,
    state: "steady",
    pacingRate: () => 500,
    onPacketSent: nothing,
    onPacketsAcked: nothing,
    onPacketsLost: nothing,
    onPersistentCongestion: nothing,
    onEcnCe: nothing,
    setAppLimited: nothing,
    reset: nothing,
    setMaxDatagramSize: nothing,
    ...changes,
  });
}

function control(factory: CongestionControllerFactory): { cc: CongestionControl; warnings: string[] } {
  const warnings: string[] = [];
  const cc = new CongestionControl(factory, { maxDatagramSize: MTU }, (name, why) =>
    warnings.push(`${name}: ${why}`),
  );
  return { cc, warnings };
}

/** One of everything that happens to a connection. */
function live(cc: CongestionControl): void {
  cc.setAppLimited(false);
  cc.onPacketSent(1, MTU, MTU);
  void cc.pacingRate(10);
  cc.onPacketsAcked(acked(MTU, 1));
  cc.onPacketLost(30);
  cc.onPacketsLost(30, MTU, 25);
  cc.onSpuriousLoss(31);
  cc.onEcnCe(40, 35, 1);
  cc.onPersistentCongestion(50);
  cc.setMaxDatagramSize(1400);
  cc.reset();
}

test("one that works is let alone", () => {
  const { cc, warnings } = control(own({ sendQuantum: 5000 }));
  live(cc);
  assert.deepEqual(
    [cc.name, cc.cwnd, cc.ssthresh, cc.state, cc.sendQuantum, cc.pacingRate(10)],
    ["mine", 50_000, 40_000, "steady", 5000, 500],
  );
  assert.deepEqual(warnings, []);
});

describe("replaced by Cubic with one warning", () => {
  const boom = (): never => {
    throw new Error("boom");
  };
  const cases: Record<string, CongestionControllerFactory> = {
    "a factory that throws": boom,
    "a factory that throws what has no text": () => {
      throw Object.create(null) as Error;
    },
    "a factory that gives nothing": () => undefined as unknown as CongestionController,
    "an object without methods": () => ({ cwnd: 1e6 }) as unknown as CongestionController,
  };
  for (const method of [
    "pacingRate",
    "onPacketSent",
    "onPacketLost",
    "onPacketsAcked",
    "onPacketsLost",
    "onSpuriousLoss",
    "onPersistentCongestion",
    "onEcnCe",
    "setAppLimited",
    "reset",
    "setMaxDatagramSize",
  ] as const) {
    cases[`${method} throws`] = own({ [method]: boom });
  }
  for (const nonsense of [NaN, -1, 0, Infinity, -Infinity, "12000", 12000n, null, undefined]) {
    cases[`a window of ${typeof nonsense} ${String(nonsense)}`] = own({ cwnd: nonsense as number });
    cases[`a rate of ${typeof nonsense} ${String(nonsense)}`] = own({ pacingRate: () => nonsense as number });
  }
  // 1,200 bytes in four seconds are 0.3 per ms.
  for (const tiny of [Number.MIN_VALUE, 1e-9, 1e-3, 0.299]) {
    cases[`a rate of ${tiny}, at which the connection would stand still`] = own({ pacingRate: () => tiny });
  }
  cases["a rate that shrinks to next to nothing"] = () => {
    let rate = 1e5;
    return own({ pacingRate: () => (rate /= 1e4) })({ maxDatagramSize: MTU });
  };
  cases["a recoveryStart of NaN"] = own({ recoveryStart: NaN });
  cases["a rate that is none of ours"] = own({ rate: {} as DeliveryRate });
  cases["a quantum of NaN"] = own({ sendQuantum: NaN });
  cases["a window that is a getter which throws"] = () =>
    Object.defineProperty(own()({ maxDatagramSize: MTU }), "cwnd", { get: boom });
  for (const [name, factory] of Object.entries(cases)) {
    test(name, () => {
      const { cc, warnings } = control(factory);
      live(cc);
      assert.equal(warnings.length, 1, warnings.join());
      assert.equal(cc.name, "cubic");
      // As Cubic after reset().
      assert.deepEqual([cc.cwnd, cc.ssthresh, cc.state], [14_000, Infinity, "slow_start"]);
      live(cc);
      assert.equal(warnings.length, 1);
    });
  }
});

test("Cubic goes on from the last good window, and does not forget the loss it failed on", () => {
  let fail = false;
  const { cc, warnings } = control(
    own({
      onPacketsLost: () => {
        if (fail) throw new Error("division by zero");
      },
    }),
  );
  cc.onPacketsLost(10, MTU, 9);
  fail = true;
  cc.onPacketsLost(20, MTU, 19);
  assert.deepEqual([cc.name, cc.cwnd, cc.state], ["cubic", 35_000, "recovery"]);
  assert.deepEqual(warnings, ["mine: division by zero"]);
});

test("a window under two datagrams counts as two: it could stand still for ever", () => {
  const { cc, warnings } = control(own({ cwnd: 3 }));
  assert.equal(cc.cwnd, 2 * MTU);
  assert.deepEqual(warnings, []);
});

test("a slow rate is taken at its word: slower where the round trip is long, and from ours always", () => {
  const { cc, warnings } = control(own({ pacingRate: (rtt) => (rtt > 5000 ? 0.06 : 0.3) }));
  assert.deepEqual([cc.pacingRate(0.01), cc.pacingRate(1000), cc.pacingRate(5001)], [0.3, 0.3, 0.06]);
  assert.deepEqual(warnings, []);
  // Two windows of two datagrams in a round trip of two minutes.
  const ours = control(newRenoFactory);
  ours.cc.onPersistentCongestion(10);
  assert.equal(ours.cc.pacingRate(120_000), (2 * 2 * MTU) / 120_000);
  assert.deepEqual([ours.cc.name, ours.warnings.length], ["newreno", 0]);
});

test("a huge rate is a word too: the window alone decides", () => {
  for (const rate of [1e12, Number.MAX_VALUE]) {
    const { cc, warnings } = control(own({ pacingRate: () => rate }));
    live(cc);
    const pacer = new Pacer(cc, { smoothed: 10 }, MTU, true);
    for (let now = 1; now < 100; now++) {
      for (let i = 0; i < 1000; i++) pacer.onSent(MTU);
      assert.equal(pacer.nextSendTime(now + 0.5, MTU), now + 0.5);
    }
    assert.deepEqual([cc.name, ...warnings], ["mine"]);
    // And what comes after it paces again.
    cc.replace(newRenoFactory);
    assert.ok(pacer.budget(101) <= 10 * cc.cwnd, `${pacer.budget(101)}`);
  }
});

test("another controller takes over the window; slow start only from slow start", () => {
  const { cc } = control(newRenoFactory);
  cc.onPacketsAcked(acked(8 * MTU, 1));
  cc.replace(cubicFactory);
  assert.deepEqual([cc.name, cc.cwnd, cc.state], ["cubic", 18 * MTU, "slow_start"]);
  cc.onPacketsLost(20, MTU, 15);
  const { cwnd } = cc;
  cc.replace(newRenoFactory);
  assert.deepEqual([cc.name, cc.cwnd, cc.state], ["newreno", cwnd, "congestion_avoidance"]);
  cc.replace(own());
  assert.deepEqual([cc.name, cc.cwnd], ["mine", 50_000]);
  cc.replace(() => {
    throw new Error("no");
  });
  assert.deepEqual([cc.name, cc.cwnd], ["cubic", 50_000]);
});

test("names", () => {
  assert.equal(controllerFactory("cubic"), cubicFactory);
  assert.equal(controllerFactory("newreno"), newRenoFactory);
  const factory = own();
  assert.equal(controllerFactory(factory), factory);
  for (const wrong of ["reno", "toString", "", 1, null, {}]) assert.equal(controllerFactory(wrong), null);
});
