// Rates of delivery: draft-ietf-ccwg-bbr, "Delivery Rate Samples".
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { DeliveryRate, SendSnapshots } from "../../internal/congestion/delivery-rate.ts";
import { WindowedMax } from "../../internal/congestion/windowed-max.ts";

const SIZE = 1000;

/** Packets by number, each of 1,000 bytes. */
class Flight {
  readonly rate = new DeliveryRate();
  readonly #at = new SendSnapshots(256);
  readonly #sent: number[] = [];
  inFlight = 0;

  send(now: number): number {
    this.inFlight += SIZE;
    this.rate.onSent(this.#at, this.#sent.length, now, SIZE, this.inFlight);
    return this.#sent.push(now) - 1;
  }

  ack(now: number, numbers: readonly number[], minRtt = 0): number {
    this.rate.begin();
    for (const n of numbers) {
      this.rate.onAcked(this.#at, n, now, this.#sent[n]!, SIZE);
      this.inFlight -= SIZE;
    }
    this.rate.finish(minRtt);
    return this.rate.sample.deliveryRate;
  }

  lose(n: number): void {
    this.inFlight -= SIZE;
    this.rate.onLost(this.#at, n, n, this.#sent[n]!, SIZE);
  }
}

describe("a sample", () => {
  test("is what was delivered between the ACK before the packet left and its own", () => {
    const flight = new Flight();
    // Ten packets, one per ms; each is acknowledged 20 ms later.
    for (let t = 0; t < 10; t++) flight.send(t);
    assert.equal(flight.ack(20, [0]), SIZE / 20);
    for (let t = 21; t < 30; t++) flight.ack(t, [t - 20]);
    assert.equal(flight.inFlight, 0);
    const { sample } = flight.rate;
    // The tenth left at 9 ms, when nothing was acknowledged: 10 packets in 29 ms.
    assert.deepEqual([sample.delivered, sample.priorDelivered, sample.txInFlight], [10 * SIZE, 0, 10 * SIZE]);
    assert.equal(sample.deliveryRate, (10 * SIZE) / 29);
    assert.equal(sample.isAppLimited, false);
  });

  test("in steady state is the rate of the path", () => {
    const flight = new Flight();
    let last = 0;
    for (let t = 0; t < 200; t++) {
      if (t >= 20) last = flight.ack(t, [t - 20]);
      flight.send(t);
    }
    assert.equal(last, SIZE);
  });

  test("is not faster than packets were sent, though their ACKs come at once", () => {
    const flight = new Flight();
    for (let t = 0; t <= 40; t += 2) flight.send(t);
    flight.ack(41, [0]);
    // Twenty in one ACK, 2 ms apart when they were sent.
    const rate = flight.ack(
      42,
      Array.from({ length: 20 }, (_, i) => i + 1),
    );
    assert.ok(rate <= SIZE / 2 + 1e-9, `${rate}`);
  });

  test("needs an interval of the shortest round trip", () => {
    const flight = new Flight();
    const n = flight.send(0);
    assert.equal(flight.ack(9, [n], 10), 0);
    assert.equal(flight.rate.sample.hasData, true);
  });

  test("of an idle time before does not count that", () => {
    const flight = new Flight();
    flight.ack(10, [flight.send(0)]);
    assert.equal(flight.ack(1010, [flight.send(1000)]), SIZE / 10);
  });

  test("is the application's until what it left out has passed", () => {
    const flight = new Flight();
    const [a, b] = [flight.send(0), flight.send(1)];
    flight.rate.markAppLimited(flight.inFlight);
    const [c, d] = [flight.send(2), flight.send(3)];
    flight.ack(20, [a]);
    assert.equal(flight.rate.sample.isAppLimited, false);
    flight.ack(21, [b]);
    flight.ack(22, [c]);
    assert.equal(flight.rate.sample.isAppLimited, true);
    assert.equal(flight.rate.appLimited, 0, "more than was in flight at the mark is delivered");
    const e = flight.send(22);
    flight.ack(23, [d]);
    assert.equal(flight.rate.sample.isAppLimited, true);
    flight.ack(42, [e]);
    assert.equal(flight.rate.sample.isAppLimited, false);
  });

  test("knows what was lost since the packet left, and a lost packet what was lost with it", () => {
    const flight = new Flight();
    const [a, b, c, d] = [flight.send(0), flight.send(1), flight.send(2), flight.send(3)];
    flight.lose(a);
    const e = flight.send(10);
    flight.lose(b);
    const { lostPacket } = flight.rate;
    assert.deepEqual(
      [lostPacket.number, lostPacket.bytes, lostPacket.sentTime, lostPacket.txInFlight, lostPacket.lost],
      [b, SIZE, 1, 2 * SIZE, 2 * SIZE],
    );
    flight.ack(20, [c, d]);
    assert.equal(flight.rate.sample.lost, 2 * SIZE);
    flight.ack(30, [e]);
    assert.equal(flight.rate.sample.lost, SIZE);
    flight.rate.onMarked(500);
    assert.equal(flight.rate.sample.lost, SIZE + 500);
  });

  test("of a packet without a snapshot is none, yet it was delivered", () => {
    const rate = new DeliveryRate();
    const at = new SendSnapshots(4);
    rate.begin();
    rate.onAcked(at, 1, 20, 0, SIZE);
    rate.finish(0);
    assert.deepEqual([rate.sample.hasData, rate.delivered], [false, SIZE]);
  });
});

test("the windowed maximum is that of the window, or little more than it", () => {
  const filter = new WindowedMax();
  const seen: number[] = [];
  let state = 7;
  for (let t = 0; t < 500; t++) {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    const value = state % 1000;
    seen.push(value);
    const now = filter.update(value, t, 10);
    const exact = Math.max(...seen.slice(-11));
    // It keeps three values only: it may miss the best of the window, but never invents or outlives one.
    assert.ok(now <= exact && now >= value, `${t}: ${now} of ${exact}`);
    assert.equal(filter.value, now);
  }
  filter.reset(0, 0);
  filter.update(9, 0, 10);
  for (let t = 1; t <= 10; t++) assert.equal(filter.update(1, t, 10), 9);
  assert.equal(filter.update(1, 11, 10), 1);
});
