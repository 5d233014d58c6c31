// Clients that move: by their NAT's doing (rfc9000#9.3), and by their own (rfc9000#9.2).
import { makeAddress } from "../../../internal/protocol/address.ts";
import { bdp } from "../congestion/path.ts";
import { percent, type Outcome, type Part, type PathCase } from "./cases.ts";
import { HOME, Ride, SENDERS, type Road, type Sender } from "./ride.ts";

/** By what the client's address changes, from `begin` for some ms. */
interface Rebinding {
  readonly name: string;
  /** ms until it is over. */
  readonly lasts: number;
  /** Part of the goodput there must be from a second later on. */
  readonly least: number;
  readonly begin: (ride: Ride) => void;
  /** Chance that a datagram is late: what was sent from the old address comes after what was sent from the new one. */
  readonly late?: number;
  readonly plotted?: boolean;
}

function addresses(ride: Ride, times: number, every: number, next: (i: number) => [string, number]): void {
  for (let i = 0; i < times; i++) ride.in(i * every, () => ride.rebind(...next(i)));
}

const REBINDINGS: readonly Rebinding[] = [
  {
    name: "another port",
    lasts: 0,
    least: 0.85,
    begin: (ride) => ride.rebind("192.0.2.1", 50_001),
    plotted: true,
  },
  {
    name: "another address",
    lasts: 0,
    least: 0.8,
    begin: (ride) => ride.rebind("198.51.100.7", 50_000),
    plotted: true,
  },
  {
    name: "another address, and back after 300 ms",
    lasts: 300,
    least: 0.8,
    begin: (ride) => {
      ride.rebind("198.51.100.7", 50_000);
      ride.in(300, () => ride.rebind("192.0.2.1", 50_000));
    },
  },
  {
    name: "another address while some datagrams are 30 ms late",
    lasts: 0,
    least: 0.7,
    begin: (ride) => ride.rebind("198.51.100.7", 50_000),
    late: 0.2,
  },
  {
    name: "another port every 500 ms, ten times",
    lasts: 5000,
    least: 0.8,
    begin: (ride) => addresses(ride, 10, 500, (i) => ["192.0.2.1", 50_001 + i]),
  },
  {
    name: "another address every 500 ms, ten times",
    lasts: 5000,
    least: 0.8,
    begin: (ride) => addresses(ride, 10, 500, (i) => [`198.51.100.${i + 1}`, 50_000]),
  },
  {
    name: "a storm: 200 addresses and ports in 2 s",
    lasts: 2000,
    least: 0.7,
    begin: (ride) =>
      addresses(ride, 200, 10, (i) => [`198.51.100.${1 + Math.floor(ride.random() * 50)}`, 50_000 + i]),
    plotted: true,
  },
  {
    name: "two addresses in turn for each datagram, for 2 s",
    lasts: 2000,
    least: 0.8,
    begin: (ride) => {
      const { s, time } = ride;
      const both = [s.client.address, makeAddress("198.51.100.9", 50_000)] as const;
      // What is sent to either arrives.
      s.client.others.push(...both);
      s.up.filter = (_, index) => {
        if (ride.time > time + 2000) s.up.filter = null;
        else s.client.address = both[index & 1]!;
        return true;
      };
    },
  },
];

function rebound(kind: Rebinding, sender: Sender, seed: number): Outcome {
  const { begin, lasts, least, late } = kind;
  // A client that only receives may have nothing to send when what is under way is lost: its PINGs tell where it is.
  const ride = new Ride({ seed, sender, config: { keepAlivePeriod: 200 } });
  if (late !== undefined) Object.assign(ride.s.up.options, { reorder: late, reorderDelay: 30 });
  ride.run(4000 + 500 * ride.random());
  const before = ride.share(2000, ride.time);
  const begun = ride.time;
  begin(ride);
  ride.run(lasts);
  const over = ride.time;
  ride.run(6000);
  const { server, s } = ride;
  ride.check(server.remote.key === s.client.address.key, `the server is at ${server.remote.key}`);
  ride.check(server.paths.active.validated, "the address has not proved itself");
  const after = ride.share(over + 1000, ride.time);
  const recovery = ride.recovery(over);
  ride.check(recovery <= 3000, `70 % of the rate only after ${recovery} ms`);
  ride.check(after >= least, `${percent(after)} of the rate a second later`);
  return {
    ride,
    figures: {
      "goodput before": before,
      "goodput from 1 s after": after,
      "longest silence, ms": ride.silence(begun, over + 2000),
      "70 % of the rate after ms": recovery,
    },
  };
}

/** Nothing is sent for 20 s, the NAT forgets, and the client asks for more. */
function afterSilence(sender: Sender, seed: number): Outcome {
  const ride = new Ride({ seed, sender });
  ride.run(3000);
  const pause = ride.pause();
  ride.run(20_000 + 1000 * ride.random());
  ride.rebind("198.51.100.7", 50_001);
  if (sender === "server") ride.client.ping();
  pause.end();
  const over = ride.time;
  ride.run(6000);
  const recovery = ride.recovery(over);
  ride.check(ride.server.remote.key === ride.s.client.address.key, "the server has not followed");
  ride.check(recovery <= 2000, `70 % of the rate only after ${recovery} ms`);
  return {
    ride,
    figures: {
      "goodput before": ride.share(1000, 3000),
      "goodput from 1 s after": ride.share(over + 1000, ride.time),
      "longest silence, ms": ride.silence(over, over + 2000),
      "70 % of the rate after ms": recovery,
    },
  };
}

export const rebinding: Part = {
  name: "rebinding",
  title: "The client's NAT changes its address",
  cases: [
    ...SENDERS.flatMap((sender) =>
      REBINDINGS.map((kind): PathCase => ({
        name: `${kind.name}, data from the ${sender}`,
        run: (seed) => rebound(kind, sender, seed),
        plotted: kind.plotted === true && sender === "server",
        brief: kind.plotted === true && sender === "server",
      })),
    ),
    ...SENDERS.map((sender): PathCase => ({
      name: `another address after 20 s of silence, data from the ${sender}`,
      run: (seed) => afterSilence(sender, seed),
    })),
  ],
};

// Migration

const ABROAD = "198.51.100.50";
const FAST: Road = { rate: 50, rtt: 20 };
const SLOW: Road = { rate: 2, rtt: 100 };

/** A path that was switched to has measured itself. */
function checkMeasured(ride: Ride, road: Road): void {
  const { min: minRtt } = ride.from.rtt;
  ride.check(
    minRtt >= road.rtt && minRtt < 1.5 * road.rtt + 10,
    `a round trip of ${minRtt} ms, not ${road.rtt}`,
  );
}

/** Time for a window to grow to what a road carries, ms. */
const growth = (road: Road): number => 1000 + 20 * road.rtt + 4 * bdp(road);

function figures(ride: Ride, road: Road, at: number, settled: number): Outcome {
  const before = ride.share(1500, 4000);
  const after = ride.share(settled, ride.time, road);
  const recovery = ride.recovery(at, road);
  ride.check(after >= 0.8, `${percent(after)} of the new path`);
  return {
    ride,
    figures: {
      "goodput before": before,
      "goodput after": after,
      "longest silence, ms": ride.silence(at, Math.min(at + 2000, ride.time)),
      "70 % of the rate after ms": recovery,
    },
  };
}

function toOther(road: Road, back: boolean, sender: Sender, seed: number): Outcome {
  const ride = new Ride({ seed, sender });
  ride.run(4000 + 500 * ride.random());
  const { local } = ride.interface(ABROAD, road);
  const path = ride.probed(local);
  const home = ride.client.paths.active;
  ride.check(path.validation.state === "succeeded", "the probe was not answered");
  // rfc9000#9.1 probing alone moves nobody.
  ride.check(ride.server.remote.key === ride.s.client.address.key, "the server followed a probe");
  let at = ride.time;
  ride.check(ride.client.migration.switchTo(path, ride.s.net.now) === null, "no switch");
  ride.run(growth(road));
  const settled = ride.time;
  ride.run(4000);
  checkMeasured(ride, road);
  ride.check(ride.server.remote.key === local.key, "the server has not followed");
  const outcome = figures(ride, road, at, settled);
  if (!back) return outcome;
  at = ride.time;
  ride.check(ride.client.migration.switchTo(home, ride.s.net.now) === null, "no way back");
  ride.run(growth(HOME) + 4000);
  checkMeasured(ride, HOME);
  return figures(ride, HOME, at, ride.time - 4000);
}

function toAndFro(sender: Sender, seed: number): Outcome {
  const ride = new Ride({ seed, sender });
  ride.run(4000);
  const { local } = ride.interface(ABROAD, HOME);
  const paths = [ride.client.paths.active, ride.probed(local)] as const;
  const at = ride.time;
  for (let i = 1; i <= 9; i++) {
    ride.check(ride.client.migration.switchTo(paths[i & 1]!, ride.s.net.now) === null, `switch ${i}`);
    ride.run(500 + 1500 * ride.random());
  }
  const settled = ride.time + 1000;
  ride.run(5000);
  const between = ride.share(at, settled - 1000);
  ride.check(between >= 0.5, `${percent(between)} while it moved`);
  return figures(ride, HOME, at, settled);
}

/** Probes of a path that never answers do no harm. */
function deadEnd(sender: Sender, seed: number): Outcome {
  const ride = new Ride({ seed, sender });
  ride.run(4000);
  const { local, up, down } = ride.interface(ABROAD, HOME);
  (ride.random() < 0.5 ? up : down).blackhole = true;
  const at = ride.time;
  const path = ride.probed(local, 6000);
  ride.check(path.validation.state === "failed", `the probe: ${path.validation.state}`);
  ride.check(ride.client.migration.switchTo(path, ride.s.net.now) === "unvalidated", "it may be used");
  ride.run(4000);
  return figures(ride, HOME, at, at);
}

/** The way home is lost; the client finds out, probes another, and goes there. */
function flight(sender: Sender, seed: number): Outcome {
  const ride = new Ride({ seed, sender });
  ride.run(4000 + 500 * ride.random());
  const { local } = ride.interface(ABROAD, HOME);
  ride.data.blackhole = ride.acks.blackhole = true;
  ride.run(1000);
  const path = ride.probed(local);
  ride.check(path.validation.state === "succeeded", "the probe was not answered");
  const at = ride.time;
  ride.check(ride.client.migration.switchTo(path, ride.s.net.now) === null, "no switch");
  ride.run(2000);
  const settled = ride.time;
  ride.run(4000);
  checkMeasured(ride, HOME);
  return figures(ride, HOME, at, settled);
}

export const migration: Part = {
  name: "migration",
  title: "The client goes to another network",
  cases: SENDERS.flatMap((sender) =>
    (
      [
        ["to one like it", (seed) => toOther(HOME, false, sender, seed)],
        ["to 50 Mbit/s and 20 ms", (seed) => toOther(FAST, false, sender, seed), true],
        ["to 50 Mbit/s and 20 ms, and back", (seed) => toOther(FAST, true, sender, seed)],
        ["to 2 Mbit/s and 100 ms", (seed) => toOther(SLOW, false, sender, seed), true],
        ["to 2 Mbit/s and 100 ms, and back", (seed) => toOther(SLOW, true, sender, seed)],
        ["to and fro nine times, every 0.5 to 2 s", (seed) => toAndFro(sender, seed), true],
        ["probes of a path that does not answer", (seed) => deadEnd(sender, seed)],
        ["a second after the way home is lost", (seed) => flight(sender, seed), true],
      ] as [string, (seed: number) => Outcome, boolean?][]
    ).map(([name, run, plotted]): PathCase => ({
      name: `${name}, data from the ${sender}`,
      run,
      plotted: plotted === true && sender === "server",
      brief: plotted === true && sender === "client" && name !== "to 50 Mbit/s and 20 ms",
    })),
  ),
};
