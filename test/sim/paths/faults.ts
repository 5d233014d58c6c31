// Networks that swallow, shrink and mangle: black holes, path MTU (rfc8899), ECN (rfc9000#13.4).
import { CONTROLLER_NAMES, type CongestionControllerName } from "../../../internal/congestion/controllers.ts";
import { ECN_CE, ECT_1, NOT_ECT } from "../../../internal/protocol/batch.ts";
import { APPLICATION } from "../../../internal/protocol/constants.ts";
import type { EcnState } from "../../../internal/recovery/ecn-validation.ts";
import type { Link } from "../network.ts";
import { percent, type Outcome, type Part, type PathCase } from "./cases.ts";
import { Ride, SENDERS, type Sender } from "./ride.ts";

const SETTLED = 4000;

/** What a ride was before and after something that began and ended at these times. */
function figures(ride: Ride, begun: number, over: number, least: number, patience: number): Outcome {
  const recovery = ride.recovery(over);
  ride.check(recovery <= patience, `70 % of the rate only after ${recovery} ms`);
  const after = ride.share(ride.time - 3000, ride.time);
  ride.check(after >= least, `${percent(after)} in the end`);
  return {
    ride,
    figures: {
      "goodput before": ride.share(1500, begun),
      "goodput in the last 3 s": after,
      "longest silence, ms": ride.silence(begun),
      "70 % of the rate after ms": recovery,
    },
  };
}

// Black holes

function hole(ms: number, which: (ride: Ride) => readonly Link[], sender: Sender, seed: number): Outcome {
  const ride = new Ride({ seed, sender });
  ride.run(SETTLED + 500 * ride.random());
  const begun = ride.time;
  for (const link of which(ride)) link.blackhole = true;
  ride.run(ms);
  for (const link of which(ride)) link.blackhole = false;
  const over = ride.time;
  // The backoff of probes may have doubled to what the hole lasted.
  ride.run(2 * ms + 6000);
  return figures(ride, begun, over, 0.85, ms + 1500);
}

function flicker(sender: Sender, seed: number): Outcome {
  const ride = new Ride({ seed, sender });
  ride.run(SETTLED);
  const begun = ride.time;
  for (let i = 0; i < 8; i++) {
    ride.data.blackhole = ride.acks.blackhole = true;
    ride.run(100 + 300 * ride.random());
    ride.data.blackhole = ride.acks.blackhole = false;
    ride.run(500);
  }
  const over = ride.time;
  ride.run(6000);
  const between = ride.share(begun, over);
  ride.check(between > 0.1, `${percent(between)} meanwhile`);
  return figures(ride, begun, over, 0.85, 2000);
}

/** Nothing ever passes again. rfc9000#10.1: silence is the end, in bounded time and with few datagrams. */
function forEver(sender: Sender, seed: number): Outcome {
  const idle = 10_000;
  const ride = new Ride({ seed, sender, config: { maxIdleTimeout: idle } });
  ride.run(SETTLED);
  const { s } = ride;
  const [begun, sent] = [s.net.now, s.client.datagramsSent + s.server.datagramsSent];
  ride.data.blackhole = ride.acks.blackhole = true;
  const ended = (): boolean => [ride.client, ride.server].every((each) => s.state(each).error !== null);
  s.until("both have given up", ended, 4 * idle);
  const time = s.net.now - begun;
  const datagrams = s.client.datagramsSent + s.server.datagramsSent - sent;
  // An ack-eliciting packet restarts the timer once: rfc9000#10.1.
  ride.check(time >= idle - 1000 && time <= 2.5 * idle, `after ${time} ms`);
  // A window was under way, and probes come two at a time.
  ride.check(datagrams < 200, `${datagrams} datagrams to nobody`);
  for (const each of [ride.client, ride.server]) {
    const { error } = s.state(each);
    ride.check(error?.code === "ERR_QUIC_IDLE_TIMEOUT", `${error?.message}`);
  }
  return { ride, figures: { "given up after ms": time, "datagrams meanwhile": datagrams } };
}

const BOTH = (ride: Ride): readonly Link[] => [ride.data, ride.acks];
const DATA = (ride: Ride): readonly Link[] => [ride.data];
const ACKS = (ride: Ride): readonly Link[] => [ride.acks];

export const blackholes: Part = {
  name: "blackholes",
  title: "Nothing passes",
  cases: [
    ...SENDERS.flatMap((sender) =>
      (
        [
          ["300 ms, both directions", (seed) => hole(300, BOTH, sender, seed), true],
          ["1 s, both directions", (seed) => hole(1000, BOTH, sender, seed), true],
          ["4 s, both directions", (seed) => hole(4000, BOTH, sender, seed), true],
          ["1 s, the direction of data", (seed) => hole(1000, DATA, sender, seed)],
          ["1 s, the direction of acknowledgements", (seed) => hole(1000, ACKS, sender, seed)],
          ["4 s, the direction of acknowledgements", (seed) => hole(4000, ACKS, sender, seed)],
          ["100 to 400 ms, eight times", (seed) => flicker(sender, seed), true],
        ] as [string, (seed: number) => Outcome, boolean?][]
      ).map(([name, run, plotted]): PathCase => ({
        name: `${name}, data from the ${sender}`,
        run,
        plotted: plotted === true && sender === "server",
        brief: name.startsWith("1 s, both") && sender === "client",
      })),
    ),
    ...SENDERS.map((sender): PathCase => ({
      name: `for ever, data from the ${sender}`,
      run: (seed) => forEver(sender, seed),
      brief: sender === "server",
    })),
  ],
};

// Path MTU

function mtuRide(seed: number, sender: Sender, ceiling: number, loss = 0): Ride {
  const config = { mtuDiscovery: true, maxDatagramSize: ceiling };
  const ride = new Ride({ seed, sender, config, faults: loss > 0 ? { loss } : {}, controller: "bbr" });
  // It finds what the path carries: data from here on.
  ride.run(6000 + 500 * ride.random());
  const { mtu } = ride.from.paths.active;
  ride.check(mtu > ceiling - 20, `a path MTU of ${mtu} was found, of ${ceiling}`);
  return ride;
}

/** The path comes to carry no more than each of `sizes` in turn. */
function shrink(
  ceiling: number,
  sizes: readonly number[],
  options: { readonly loss?: number; readonly oneWay?: boolean },
  sender: Sender,
  seed: number,
): Outcome {
  const ride = mtuRide(seed, sender, ceiling, options.loss);
  const begun = ride.time;
  let over = begun;
  for (const size of sizes) {
    over = ride.time;
    ride.data.options.mtu = size;
    if (options.oneWay !== true) ride.acks.options.mtu = size;
    ride.run(9000);
    const { mtu } = ride.from.paths.active;
    ride.check(mtu <= size && mtu >= 1200, `datagrams of ${mtu} bytes where ${size} pass`);
    // A search finds what is left of a path that carries more than the base.
    if (size > 1300) ride.check(mtu > size - 20, `a path MTU of ${mtu} of ${size}`);
  }
  const outcome = figures(ride, begun, over, 0.8, 4000);
  return { ...outcome, figures: { ...outcome.figures, "path MTU in the end": ride.from.paths.active.mtu } };
}

/** It shrinks, and grows again: found when the search is done again, rfc8899#5.1.1. */
function regrown(sender: Sender, seed: number): Outcome {
  const road = { rate: 0.5, rtt: 40 };
  const config = { mtuDiscovery: true, maxDatagramSize: 1452 };
  const ride = new Ride({ seed, sender, road, config });
  ride.run(10_000);
  const begun = ride.time;
  ride.data.options.mtu = ride.acks.options.mtu = 1300;
  ride.run(20_000);
  const { active } = ride.from.paths;
  ride.check(active.mtu <= 1300 && active.mtu > 1280, `a path MTU of ${active.mtu} of 1300`);
  ride.data.options.mtu = ride.acks.options.mtu = 1500;
  const over = ride.time;
  ride.run(660_000);
  ride.check(active.mtu > 1432, `a path MTU of ${active.mtu} of 1452, eleven minutes later`);
  const outcome = figures(ride, begun, over, 0.8, 4000);
  return { ...outcome, figures: { ...outcome.figures, "path MTU in the end": active.mtu } };
}

export const mtu: Part = {
  name: "mtu",
  title: "The path MTU changes in the middle of a transfer",
  cases: SENDERS.flatMap((sender) =>
    (
      [
        ["1,452 → 1,400", (seed) => shrink(1452, [1400], {}, sender, seed), true],
        ["1,452 → 1,252", (seed) => shrink(1452, [1252], {}, sender, seed)],
        ["1,452 → 1,200", (seed) => shrink(1452, [1200], {}, sender, seed), true],
        ["1,452 → 1,400 → 1,330 → 1,200", (seed) => shrink(1452, [1400, 1330, 1200], {}, sender, seed), true],
        [
          "1,452 → 1,330, the direction of data only",
          (seed) => shrink(1452, [1330], { oneWay: true }, sender, seed),
        ],
        ["1,452 → 1,330 with 1 % loss", (seed) => shrink(1452, [1330], { loss: 0.01 }, sender, seed)],
        ["9,000 → 1,500", (seed) => shrink(9000, [1500], {}, sender, seed), true],
        ["1,452 → 1,300, and back", (seed) => regrown(sender, seed)],
      ] as [string, (seed: number) => Outcome, boolean?][]
    ).map(([name, run, plotted]): PathCase => ({
      name: `${name}, data from the ${sender}`,
      run,
      plotted: plotted === true && sender === "server",
      brief: name.endsWith("→ 1,200") && plotted === true && sender === "server" && !name.includes("1,330"),
    })),
  ),
};

// ECN

interface Mangling {
  readonly name: string;
  readonly mangle: (ecn: number, random: number) => number;
  /** What the sender's validation comes to. */
  readonly verdict: EcnState;
  /** Part of the rate that there must be in the end. */
  readonly least: number;
}

const onto = (to: number) => (ecn: number) => (ecn === NOT_ECT ? ecn : to);

const MANGLINGS: readonly Mangling[] = [
  { name: "untouched", mangle: (ecn) => ecn, verdict: "capable", least: 0.9 },
  { name: "marks are bleached", mangle: onto(NOT_ECT), verdict: "failed", least: 0.9 },
  { name: "ECT(0) becomes ECT(1)", mangle: onto(ECT_1), verdict: "failed", least: 0.9 },
  {
    name: "every second mark is bleached",
    mangle: (ecn, r) => (r < 0.5 ? NOT_ECT : ecn),
    verdict: "failed",
    least: 0.9,
  },
  {
    name: "marked datagrams are dropped",
    mangle: (ecn) => (ecn === NOT_ECT ? ecn : -1),
    verdict: "failed",
    least: 0.9,
  },
  // Each round trip with a mark is one with congestion: what is left is two datagrams a round trip, and BBR's four.
  { name: "everything is marked CE", mangle: onto(ECN_CE), verdict: "capable", least: 0.01 },
  {
    name: "half is marked CE",
    mangle: (ecn, r) => (r < 0.5 ? onto(ECN_CE)(ecn) : ecn),
    verdict: "capable",
    least: 0.01,
  },
];

function mangled(kind: Mangling, late: boolean, controller: CongestionControllerName, seed: number): Outcome {
  const ride = new Ride({ seed, controller });
  const { from, data } = ride;
  const random = ride.random;
  const begin = (): void => {
    data.options.mangle = (ecn) => kind.mangle(ecn, random());
  };
  if (!late) {
    // A connection whose path was so from the start: a new test begins with it.
    begin();
    from.recovery.ecn.start(ride.s.net.now);
  }
  ride.run(SETTLED);
  const begun = ride.time;
  if (late) begin();
  ride.run(4000);
  let marked = 0;
  data.filter = ({ ecn }) => {
    if (ecn !== NOT_ECT) marked++;
    return true;
  };
  ride.run(6000);
  const { state, congested } = from.recovery.ecn;
  ride.check(state === kind.verdict, `validation says ${state}`);
  // rfc9000#13.4.2.2 If validation fails, then the endpoint MUST disable ECN.
  if (kind.verdict === "failed")
    ride.check(marked === 0, `${marked} datagrams with marks after validation failed`);
  else ride.check(marked > 0, "no marks");
  const after = ride.share(ride.time - 5000, ride.time);
  ride.check(after >= kind.least, `${percent(after)} of the rate`);
  ride.check(ride.collapses === 0 || kind.name.includes("dropped"), "persistent congestion");
  // Two datagrams a round trip are the least.
  const silence = ride.silence(begun + 2000);
  ride.check(silence <= 500, `nothing came for ${silence} ms`);
  return {
    ride,
    figures: {
      "goodput in the last 5 s": after,
      "longest silence, ms": silence,
      "marked CE": congested,
      lost: from.recovery.lostPackets,
    },
  };
}

/** The peer reports other counts than what came. rfc9000#13.4.2.1 */
function miscounted(
  change: (counts: { ect0: number; ect1: number; ce: number }) => void,
  seed: number,
): Outcome {
  const ride = new Ride({ seed });
  ride.run(2000 + 500 * ride.random());
  ride.check(ride.from.recovery.ecn.state === "capable", "validation has not succeeded");
  const counts = ride.to.received[APPLICATION]!.ecnCounts;
  if (counts !== null) change(counts);
  ride.run(6000);
  const { state } = ride.from.recovery.ecn;
  ride.check(state === "failed", `validation says ${state}`);
  const after = ride.share(ride.time - 3000, ride.time);
  ride.check(after >= 0.9, `${percent(after)} of the rate`);
  return {
    ride,
    figures: {
      "goodput in the last 5 s": after,
      "longest silence, ms": ride.silence(2000),
      "marked CE": ride.from.recovery.ecn.congested,
      lost: ride.from.recovery.lostPackets,
    },
  };
}

export const ecn: Part = {
  name: "ecn",
  title: "ECN mangled",
  cases: [
    ...MANGLINGS.flatMap((kind) =>
      [false, true].map((late): PathCase => ({
        name: `${kind.name}${late ? ", from the middle on" : ""}, cubic`,
        run: (seed) => mangled(kind, late, "cubic", seed),
        plotted:
          late && /bleached|dropped|everything/.test(kind.name) && !kind.name.startsWith("every second"),
        brief: late && /^mark|^everything/.test(kind.name),
      })),
    ),
    ...CONTROLLER_NAMES.filter((name) => name !== "cubic").flatMap((controller) =>
      MANGLINGS.slice(-2).map((kind): PathCase => ({
        name: `${kind.name}, ${controller}`,
        run: (seed) => mangled(kind, true, controller, seed),
      })),
    ),
    ...(
      [
        ["the peer counts one too few", (c) => (c.ect0 -= 1)],
        ["the peer counts too many", (c) => (c.ect0 += 10_000)],
        ["the peer counts ECT(1) that was not sent", (c) => (c.ect1 += 1)],
        ["the peer's counts go back to nothing", (c) => (c.ect0 = c.ce = 0)],
      ] as [string, (counts: { ect0: number; ect1: number; ce: number }) => void][]
    ).map(([name, change], i): PathCase => ({
      name,
      run: (seed) => miscounted(change, seed),
      brief: i === 0,
    })),
  ],
};
