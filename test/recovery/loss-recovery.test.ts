import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { APPLICATION, HANDSHAKE, INITIAL } from "../../internal/protocol/constants.ts";
import { REC_CRYPTO } from "../../internal/recovery/sent-packets.ts";
import { Harness } from "./harness.ts";

describe("ends", () => {
  test("discarding a space leaves nothing of it", () => {
    const h = new Harness("client", { confirmed: false });
    h.send(0, INITIAL);
    h.send(0, INITIAL, { eliciting: false, inFlight: true, bytes: 300 });
    h.send(10, HANDSHAKE);
    h.recovery.onTimeout(999);
    h.take();
    h.recovery.discardSpace(INITIAL, 1000);
    // rfc9002#6.4 MUST discard all recovery state and MUST remove them from the count of bytes in flight.
    assert.equal(h.recovery.bytesInFlight, 1200);
    // rfc9002#6.2.2 the PTO and loss detection timers MUST be reset.
    assert.equal(h.recovery.timer.ptoCount, 0);
    assert.equal(h.recovery.timer.at, 10 + 999);
    assert.equal(h.recovery.probes.due(INITIAL), 0);
    h.ack(1001, [0], INITIAL);
    assert.deepEqual(h.take(), { acked: [], lost: [] });
  });

  test("a Retry sends Initial again with new numbers", () => {
    const h = new Harness("client", { confirmed: false });
    h.send(0, INITIAL);
    h.recovery.onRetry(50);
    assert.deepEqual(h.take(), { acked: [], lost: ["0:0"] });
    assert.equal(h.recovery.bytesInFlight, 0);
    // rfc9000#17.2.5.3 a client MUST NOT reset the packet number for any packet number space after a Retry.
    assert.equal(h.send(51, INITIAL), 1);
  });

  test("a new path starts anew and hears nothing of the old one", () => {
    const h = new Harness();
    h.send(0);
    h.ack(100, [0]);
    for (let i = 0; i < 3; i++) h.send(100);
    h.recovery.onNewPath(110);
    assert.equal(h.recovery.bytesInFlight, 0);
    assert.equal(h.rtt.hasSample, false);
    assert.equal(h.controller.cwnd, 12_000);
    assert.ok(h.recovery.timer.at < Infinity);
    // rfc9000#9.4 packets sent on the old path MUST NOT contribute to congestion control or RTT estimation.
    h.ack(200, [3]);
    assert.equal(h.rtt.hasSample, false);
    h.recovery.onTimeout(h.recovery.timer.at);
    assert.equal(h.controller.cwnd, 12_000);
    assert.equal(h.recovery.bytesInFlight, 0);
    h.send(1000);
    h.ack(1040, [4]);
    assert.equal(h.rtt.latest, 40);
  });

  test("records belong to their packet when another is being written", () => {
    const h = new Harness();
    h.send(0);
    const sent = h.recovery.sent(APPLICATION);
    sent.begin(h.recovery.peekPacketNumber(APPLICATION));
    sent.addRecord(REC_CRYPTO, 99, 0, 0);
    h.ack(5, [0]);
    h.recovery.usePacketNumber(APPLICATION);
    h.recovery.onPacketSent(APPLICATION, 6, 1200, true, true, 0);
    h.ack(9, [1]);
    assert.deepEqual(h.take().acked, ["2:0", "2:99"]);
  });
});

test("traces tell of losses, timers, states and metrics", () => {
  const h = new Harness("client", { trace: true });
  for (let i = 0; i < 5; i++) h.send(0);
  h.ack(100, [4]);
  h.recovery.onTimeout(h.recovery.timer.at);
  const names = new Set(h.events.map((event) => event.name));
  for (const name of [
    "packet_lost",
    "packets_acked",
    "recovery_metrics_updated",
    "congestion_state_updated",
    "timer_updated",
  ] as const) {
    assert.ok(names.has(name), name);
  }
  const timers = h.events.flatMap((e) => (e.name === "timer_updated" ? [`${e.timer} ${e.action}`] : []));
  for (const timer of ["pto set", "pto cancelled", "loss_timeout set", "loss_timeout expired"]) {
    assert.ok(timers.includes(timer), timer);
  }
});
