// Networks that congest: persistent congestion (rfc9002#7.6), reordering (rfc9002#6.1), queues that are far too long.
import { CONTROLLER_NAMES, type CongestionControllerName } from "../../../internal/congestion/controllers.ts";
import { percent, type Outcome, type Part, type PathCase } from "./cases.ts";
import { DATAGRAM, HOME, Ride, type Road } from "./ride.ts";

// Persistent congestion

/** @param expected whether so long a silence is persistent congestion. */
function collapse(
  controller: CongestionControllerName,
  ms: number,
  expected: boolean,
  seed: number,
): Outcome {
  const ride = new Ride({ seed, controller });
  ride.run(4000 + 500 * ride.random());
  const begun = ride.time;
  // Datagrams of an application that goes on: what is lost spans the time.
  ride.data.blackhole = true;
  ride.run(ms);
  ride.data.blackhole = false;
  const over = ride.time;
  ride.run(2 * ms + 5000);
  const least =
    Math.min(...ride.moments.filter(({ time }) => time > begun).map(({ cwnd }) => cwnd)) / DATAGRAM;
  // rfc9002#7.6.2 the sender's congestion window MUST be reduced to the minimum congestion window.
  if (expected) {
    ride.check(ride.collapses >= 1, "no persistent congestion was found");
    ride.check(least <= 4, `the window never was less than ${least} datagrams`);
  } else ride.check(ride.collapses === 0, `${ride.collapses} times persistent congestion`);
  const recovery = ride.recovery(over);
  ride.check(recovery <= ms + 2000, `70 % of the rate only after ${recovery} ms`);
  const after = ride.share(ride.time - 3000, ride.time);
  ride.check(after >= 0.85, `${percent(after)} in the end`);
  return {
    ride,
    figures: {
      "goodput before": ride.share(1500, begun),
      "goodput in the last 3 s": after,
      "least window, datagrams": least,
      "70 % of the rate after ms": recovery,
    },
  };
}

export const persistent: Part = {
  name: "persistent",
  title: "Persistent congestion",
  cases: CONTROLLER_NAMES.flatMap((controller) => [
    {
      name: `nothing for 100 ms is none, ${controller}`,
      run: (seed: number) => collapse(controller, 100, false, seed),
    },
    {
      name: `everything lost for 3 s, ${controller}`,
      run: (seed: number) => collapse(controller, 3000, true, seed),
      plotted: true,
      brief: controller === "bbr",
    },
    {
      name: `everything lost for 10 s, ${controller}`,
      run: (seed: number) => collapse(controller, 10_000, true, seed),
    },
  ]),
};

// Reordering

const inOrder = new Map<string, number>();

/** Every fifth datagram is late by up to `most` ms. */
function reorder(controller: CongestionControllerName, road: Road, most: number, seed: number): Outcome {
  const ms = 10_000;
  const key = [controller, road.rate, road.rtt, seed].join();
  let calm = inOrder.get(key);
  if (calm === undefined) {
    const straight = new Ride({ seed, controller, road });
    straight.run(ms);
    calm = straight.share(0, ms);
    inOrder.set(key, calm);
  }
  const ride = new Ride({ seed, controller, road, faults: { reorder: 0.2, reorderDelay: most } });
  ride.run(ms);
  const { lostPackets, spuriousLosses } = ride.from.recovery;
  const share = ride.share(0, ms);
  ride.check(share >= 0.8 * calm, `${percent(share)} where it was ${percent(calm)} in order`);
  ride.check(ride.collapses === 0, "persistent congestion");
  return {
    ride,
    figures: {
      "goodput in order": calm,
      goodput: share,
      "declared lost": lostPackets,
      "in vain": spuriousLosses,
    },
  };
}

const FAR: Road = { rate: 10, rtt: 100 };
const FAST: Road = { rate: 50, rtt: 20 };

export const reordering: Part = {
  name: "reordering",
  title: "20 % of the datagrams are late",
  cases: CONTROLLER_NAMES.flatMap((controller) =>
    [HOME, FAR, FAST].flatMap((road) =>
      [0.125, 0.25, 0.5].map((part): PathCase => ({
        name: `by up to ${part} round trips of ${road.rtt} ms at ${road.rate} Mbit/s, ${controller}`,
        run: (seed) => reorder(controller, road, part * road.rtt, seed),
        plotted: road === HOME && part === 0.5,
        brief: road === HOME && part === 0.5,
      })),
    ),
  ),
};

// Bufferbloat

function bloat(controller: CongestionControllerName, bdps: number, seed: number): Outcome {
  const road: Road = { ...HOME, queue: bdps };
  const ride = new Ride({ seed, controller, road });
  ride.run(20_000);
  const { from, data } = ride;
  const late = ride.moments.filter(({ time }) => time > 10_000);
  const queue = late.reduce((sum, { queued }) => sum + queued, 0) / late.length;
  const share = ride.share(10_000, ride.time);
  ride.check(share >= 0.9, `${percent(share)} of the rate`);
  // rfc9002#5: a round trip that grows twentyfold is no loss, and is measured.
  const { lostPackets, spuriousLosses } = from.recovery;
  ride.check(spuriousLosses === 0, `${spuriousLosses} packets declared lost in vain`);
  ride.check(lostPackets <= data.overflowed, `${lostPackets} packets lost, ${data.overflowed} dropped`);
  ride.check(ride.collapses === 0, "persistent congestion");
  // A smoothed round trip is some round trips behind.
  const recent = ride.moments.filter(({ time }) => time > ride.time - 6000).map(({ queued }) => queued);
  const [shortest, real] = [road.rtt + Math.min(...recent), road.rtt + Math.max(...recent)];
  const { smoothed } = from.rtt;
  ride.check(
    smoothed > 0.8 * shortest && smoothed < 1.2 * real,
    `a round trip of ${smoothed} ms, not ${shortest} to ${real}`,
  );
  if (controller === "bbr") ride.check(queue < road.rtt, `${queue} ms in the queue`);
  // A request beside it waits for the queue and no longer.
  const begun = ride.time;
  const request = ride.s.open(ride.from, 1000, false)!;
  const arrived = (): boolean => ride.s.state(ride.to).streams.get(request.stream.id)?.finished === true;
  ride.s.until("a request arrives", arrived, 20_000);
  const waited = ride.time - begun;
  ride.check(waited <= 1.5 * real + 100, `a small stream took ${waited} ms`);
  return {
    ride,
    figures: {
      "goodput in the second half": share,
      "mean queue, ms": queue,
      "a small stream takes ms": waited,
      lost: lostPackets,
    },
  };
}

export const bufferbloat: Part = {
  name: "bufferbloat",
  title: "Queues that are far too long",
  cases: CONTROLLER_NAMES.flatMap((controller) =>
    [10, 40].map((bdps): PathCase => ({
      name: `${bdps} BDP (${bdps * HOME.rtt} ms), ${controller}`,
      run: (seed) => bloat(controller, bdps, seed),
      plotted: bdps === 40,
      brief: bdps === 10 && controller === "bbr",
    })),
  ),
};
