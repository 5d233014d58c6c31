// Congestion controllers on whole connections: the default, the change on a live one, and one of the user's that fails.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { CongestionControllerFactory } from "../../internal/congestion/controller.ts";
import { bbrFactory } from "../../internal/congestion/bbr.ts";
import { cubicFactory } from "../../internal/congestion/cubic.ts";
import { newRenoFactory } from "../../internal/congestion/newreno.ts";
import type { Connection } from "../../internal/connection/connection.ts";
import type { ConnectionConfig } from "../../internal/connection/config.ts";
import { Scenario } from "../sim/scenario.ts";

function scenario(client: Partial<ConnectionConfig> = {}, warnings: string[] = []): Scenario {
  const link = { delay: 20, rate: 1250, queue: 60 };
  const made = new Scenario({ seed: 5, nullAead: true, up: link, down: link, client, traced: true });
  const before = made.client.onEvent;
  made.client.onEvent = (event) => {
    if (event.type !== "accepted" && event.event.type === "warning") warnings.push(event.event.message);
    before(event);
  };
  return made;
}

/** Names of the controllers that the client's trace tells of, in order. */
function controllers(s: Scenario): string[] {
  return s.trace.client.flatMap((e) => (e.name === "recovery_parameters_set" ? [e.controller] : []));
}

test("Cubic is the default, and its states are in the trace", () => {
  const s = scenario();
  const { client, server } = s.connect();
  assert.equal(client.controller.name, "cubic");
  s.transfer(client, server, 4_000_000);
  assert.deepEqual(controllers(s), ["cubic"]);
  const states = new Set(
    s.trace.client.flatMap((e) => (e.name === "congestion_state_updated" ? [e.state] : [])),
  );
  // The slow start ends by HyStart++, not by a loss, and congestion avoidance follows.
  for (const state of ["slow_start", "conservative_slow_start", "congestion_avoidance"]) {
    assert.ok(states.has(state), `${state} in ${[...states].join()}`);
  }
  assert.ok(s.trace.client.some((e) => e.name === "recovery_metrics_updated" && e.ssthresh < Infinity));
});

test("changed while a transfer runs, again and again: nothing is lost and the window stays", () => {
  const s = scenario();
  const { client, server } = s.connect();
  const own = s.open(client, 6_000_000, false)!;
  const factories: CongestionControllerFactory[] = [newRenoFactory, bbrFactory, cubicFactory];
  for (let i = 0; i < 12; i++) {
    s.run(150);
    const { cwnd } = client.controller;
    client.setCongestionControl(factories[i % 3]!, s.net.now);
    assert.equal(client.controller.cwnd, cwnd);
    assert.equal(client.controller.name, ["newreno", "bbr", "cubic"][i % 3]);
  }
  s.until("all of it arrives", () => s.state(server).streams.get(own.stream.id)?.finished === true);
  assert.equal(s.state(server).streams.get(own.stream.id)!.received, 6_000_000);
  assert.equal(controllers(s).length, 13);
});

test("changed before there is data, the first slow start is still to come", () => {
  for (const factory of [newRenoFactory, bbrFactory, cubicFactory]) {
    const s = scenario();
    const { client, server } = s.connect();
    const { cwnd } = client.controller;
    client.setCongestionControl(factory, s.net.now);
    assert.equal(client.controller.ssthresh, Infinity);
    s.open(client, 6_000_000, false);
    s.net.flush(s.client);
    // The window doubles with each of four round trips, and what is under way fills the path: two megabytes in two seconds.
    s.run(200);
    assert.ok(client.controller.cwnd >= 4 * cwnd, `${client.controller.name}: ${client.controller.cwnd}`);
    s.run(1800);
    const arrived = [...s.state(server).streams.values()][0]!.stream.recv!.arrived;
    assert.ok(arrived > 2_000_000, `${client.controller.name}: ${arrived} bytes`);
  }
});

/** Why controllers failed, as the client's trace has it. */
function failures(s: Scenario): string[] {
  return s.trace.client.flatMap((e) => (e.name === "congestion_control_failed" ? [e.reason] : []));
}

/** NewReno until `when` packets were sent, then `what`. */
function failing(when: number, what: (key: string) => unknown): CongestionControllerFactory {
  return (options) => {
    let sent = 0;
    return new Proxy(newRenoFactory(options), {
      get: (target, key) => {
        if (key === "onPacketSent") sent++;
        if (key === "name") return "mine";
        const value: unknown = Reflect.get(target, key, target);
        if (sent > when && (key === "cwnd" || key === "onPacketsAcked")) return what(key);
        return typeof value === "function" ? (value.bind(target) as unknown) : value;
      },
    });
  };
}

for (const [name, what] of [
  [
    "throws",
    () => {
      throw new Error("boom");
    },
  ],
  ["says NaN", (key) => (key === "cwnd" ? NaN : () => {})],
  ["says Infinity", (key) => (key === "cwnd" ? Infinity : () => {})],
  ["says a negative window", (key) => (key === "cwnd" ? -1 : () => {})],
] as [string, (key: string) => unknown][]) {
  test(`one of the user's that ${name} in a transfer: Cubic, one warning, a trace event, and all arrives`, () => {
    const warnings: string[] = [];
    const s = scenario({ congestionControl: failing(500, what) }, warnings);
    const { client, server }: { client: Connection; server: Connection } = s.connect();
    assert.equal(client.controller.name, "mine");
    s.transfer(client, server, 3_000_000);
    assert.equal(client.controller.name, "cubic");
    assert.equal(warnings.length, 1, warnings.join());
    assert.match(warnings[0]!, /^The congestion controller "mine" failed: .*Cubic took its place\.$/);
    assert.deepEqual(controllers(s), ["mine", "cubic"]);
    assert.deepEqual(failures(s).length, 1);
  });
}

test("a factory that throws is told of at once", () => {
  const warnings: string[] = [];
  const s = scenario(
    {
      congestionControl: () => {
        throw new Error("boom");
      },
    },
    warnings,
  );
  const { client, server } = s.connect();
  s.transfer(client, server, 100_000);
  assert.equal(client.controller.name, "cubic");
  assert.equal(warnings.length, 1);
  assert.deepEqual(failures(s), ["boom"]);
});

/** NewReno, but for the rate. */
const paced = (rate: number): CongestionControllerFactory => {
  return (options) => {
    const inner = newRenoFactory(options);
    return new Proxy(inner, {
      get: (_, key) => {
        if (key === "name") return "mine";
        if (key === "pacingRate") return () => rate;
        const value: unknown = Reflect.get(inner, key, inner);
        return typeof value === "function" ? (value.bind(inner) as unknown) : value;
      },
    });
  };
};

for (const [rate, name] of [
  [1e-9, "cubic"],
  [1e-3, "cubic"],
  [Number.MAX_VALUE, "mine"],
] as const) {
  test(`one of the user's that says ${rate} bytes per ms: all arrives in time`, () => {
    const warnings: string[] = [];
    const s = scenario({ congestionControl: paced(rate) }, warnings);
    const { client, server } = s.connect();
    s.transfer(client, server, 200_000);
    assert.equal(client.controller.name, name);
    assert.equal(warnings.length, name === "mine" ? 0 : 1, warnings.join());
    assert.ok(s.net.now < 2000, `${s.net.now} ms`);
  });
}

test("one of the user's that is slow, but moves: it is let alone, and the connection lives", () => {
  const warnings: string[] = [];
  const s = scenario({ congestionControl: paced(0.5), maxIdleTimeout: 10_000 }, warnings);
  const { client, server } = s.connect();
  const opened = s.open(client, 40_000, false)!;
  s.until(
    "all of it arrives",
    () => s.state(server).streams.get(opened.stream.id)?.finished === true,
    120_000,
  );
  assert.equal(client.controller.name, "mine");
  assert.deepEqual(warnings, []);
  assert.ok(s.net.now > 40_000, `${s.net.now} ms`);
});
