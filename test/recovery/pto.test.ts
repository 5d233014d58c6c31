import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { APPLICATION, HANDSHAKE, INITIAL } from "../../internal/protocol/constants.ts";
import { MAX_HANDSHAKE_SPEED_UPS, MAX_PTO } from "../../internal/protocol/limits.ts";
import { REC_CRYPTO } from "../../internal/recovery/sent-packets.ts";
import { Harness } from "./harness.ts";

describe("the probe timeout", () => {
  test("is computed per space and doubles", () => {
    const h = new Harness("server", { confirmed: false });
    h.send(0, INITIAL);
    // rfc9002#6.2.1 max_ack_delay is set to 0 for Initial and Handshake.
    assert.equal(h.recovery.timeout(), 999);
    assert.equal(h.recovery.pto(APPLICATION), 1024);
    h.recovery.onTimeout(998);
    assert.equal(h.recovery.probesDue(INITIAL), 0);
    h.recovery.onTimeout(999);
    assert.equal(h.recovery.ptoCount, 1);
    assert.equal(h.recovery.timeout(), 1998);
    h.send(999, INITIAL);
    // rfc9002#6.2.1 the PTO backoff MUST be increased, resulting in the PTO period being set to twice its value.
    assert.equal(h.recovery.timeout(), 999 + 1998);
    for (let i = 0; i < 2000; i++) h.recovery.onTimeout(h.recovery.timeout());
    assert.ok(h.recovery.timeout() < Infinity);
    const at = h.recovery.timeout();
    h.recovery.onTimeout(at);
    assert.ok(h.recovery.timeout() - at <= MAX_PTO);
    assert.ok(h.recovery.timeout() > at);
  });

  test("is not for the application space before confirmation", () => {
    const h = new Harness("server", { confirmed: false });
    h.send(0);
    // rfc9002#6.2.1 MUST NOT set its PTO timer for the Application Data packet number space until confirmed.
    assert.equal(h.recovery.timeout(), Infinity);
    h.recovery.setHandshakeConfirmed(1);
    assert.equal(h.recovery.timeout(), 1024);
  });

  test("gives way to the loss timer", () => {
    const h = new Harness();
    h.send(0);
    h.send(0);
    h.ack(100, [1]);
    // rfc9002#6.2.1 the PTO timer MUST NOT be set if a timer is set for time threshold loss detection.
    assert.equal(h.recovery.timeout(), 112.5);
    h.recovery.onTimeout(112.5);
    assert.equal(h.recovery.timeout(), Infinity);
    assert.equal(h.recovery.ptoCount, 0);
  });

  test("starts over with an ACK, but not at a client whose address may not be validated", () => {
    const h = new Harness("client", { confirmed: false });
    h.send(0, INITIAL);
    h.recovery.onTimeout(999);
    h.send(999, INITIAL);
    h.ack(1100, [[0, 1]], INITIAL);
    // rfc9002#6.2.1 a client does not reset the PTO backoff factor on receiving acknowledgments in Initial packets.
    assert.equal(h.recovery.ptoCount, 1);
    h.send(1100, HANDSHAKE);
    h.ack(1200, [0], HANDSHAKE);
    assert.equal(h.recovery.ptoCount, 0);
    assert.equal(h.recovery.timeout(), Infinity);
  });

  test("a client with nothing in flight keeps the server from waiting for it", () => {
    const h = new Harness("client", { confirmed: false });
    h.send(0, INITIAL);
    h.ack(100, [0], INITIAL);
    // rfc9002#6.2.2.1 the client MUST set the PTO timer …, even if there are no packets in flight.
    assert.equal(h.recovery.timeout(), 400);
    h.recovery.onTimeout(400);
    assert.deepEqual([h.recovery.probesDue(INITIAL), h.recovery.probesDue(HANDSHAKE)], [1, 0]);
    assert.deepEqual(h.take().lost, []);
    h.recovery.setHandshakeKeys(true);
    h.recovery.onTimeout(h.recovery.timeout());
    assert.equal(h.recovery.probesDue(HANDSHAKE), 1);
    // Application data in flight alone does not change that.
    h.send(2000);
    assert.ok(h.recovery.timeout() < Infinity);
  });

  test("a blocked server has none, and what passed meanwhile is due at once", () => {
    const h = new Harness("server", { confirmed: false });
    h.send(0, INITIAL);
    h.recovery.setAmplificationBlocked(true, 1);
    // rfc9002#6.2.2.1 the server's PTO timer MUST NOT be armed until datagrams have been received from the client.
    assert.equal(h.recovery.timeout(), Infinity);
    h.recovery.setAmplificationBlocked(false, 5000);
    assert.equal(h.recovery.timeout(), 999);
    h.recovery.onTimeout(5000);
    assert.equal(h.recovery.probesDue(INITIAL), 1);
    assert.ok(h.recovery.timeout() > 5000);
  });
});

describe("probes", () => {
  test("carry the oldest data, two packets of it, and lose nothing", () => {
    const h = new Harness();
    for (let i = 0; i < 5; i++) h.send(0);
    h.recovery.onTimeout(1024);
    assert.deepEqual(h.take().lost, ["2:0", "2:1"]);
    assert.equal(h.recovery.probesDue(APPLICATION), 2);
    // rfc9002#6.2 MUST NOT cause prior unacknowledged packets to be marked as lost.
    assert.equal(h.recovery.bytesInFlight, 5 * 1200);
    assert.equal(h.recovery.lostPackets, 0);
    h.send(1024);
    h.send(1024);
    // rfc9002#7.5 a sender MUST count these packets as being additionally in flight.
    assert.equal(h.recovery.bytesInFlight, 7 * 1200);
    assert.equal(h.recovery.probesDue(APPLICATION), 0);
    // The next ones carry what these did not.
    h.recovery.onTimeout(h.recovery.timeout());
    assert.deepEqual(h.take().lost, ["2:2", "2:3"]);
    // Lost for good: nothing is handed out twice.
    h.ack(4000, [6]);
    assert.deepEqual(h.take(), { acked: ["2:6"], lost: ["2:4"] });
    h.recovery.onTimeout(h.recovery.timeout());
    assert.deepEqual(h.take().lost, ["2:5"]);
    assert.equal(h.recovery.bytesInFlight, 0);
    assert.equal(h.recovery.lostPackets, 6);
  });

  test("acknowledged after all are reported as such", () => {
    const h = new Harness();
    h.send(0);
    h.recovery.onTimeout(1024);
    h.take();
    h.ack(1030, [0]);
    assert.deepEqual(h.take(), { acked: ["2:0"], lost: [] });
  });

  test("without data are one", () => {
    const h = new Harness();
    h.send(0);
    h.recovery.onTimeout(1024);
    // rfc9002#6.2.4 when there is no data to send, the sender SHOULD send a PING in a single packet.
    assert.equal(h.recovery.probesDue(APPLICATION), 1);
  });

  test("bring other spaces' data along", () => {
    const h = new Harness("server", { confirmed: false });
    h.send(0, INITIAL);
    h.send(0, HANDSHAKE);
    h.send(0);
    h.recovery.onTimeout(999);
    // rfc9002#6.2.4 SHOULD send ack-eliciting packets from other packet number spaces with in-flight data.
    assert.deepEqual(
      [INITIAL, HANDSHAKE, APPLICATION].map((space) => h.recovery.probesDue(space as 0 | 1 | 2)),
      [1, 1, 1],
    );
    assert.deepEqual(h.take().lost, ["0:0", "1:0", "2:0"]);
  });
});

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
    assert.equal(h.recovery.ptoCount, 0);
    assert.equal(h.recovery.timeout(), 10 + 999);
    assert.equal(h.recovery.probesDue(INITIAL), 0);
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
    assert.ok(h.recovery.timeout() < Infinity);
    // rfc9000#9.4 packets sent on the old path MUST NOT contribute to congestion control or RTT estimation.
    h.ack(200, [3]);
    assert.equal(h.rtt.hasSample, false);
    h.recovery.onTimeout(h.recovery.timeout());
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
  h.recovery.onTimeout(h.recovery.timeout());
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

describe("repeated handshake data of the peer's", () => {
  test("has ours sent again at once, a few times", () => {
    // rfc9002#6.2.3 an endpoint MAY, for a limited number of times per connection, send a packet containing
    // unacknowledged CRYPTO data earlier than the PTO expiry.
    const h = new Harness("server", { confirmed: false });
    h.send(0, INITIAL);
    h.send(0, HANDSHAKE);
    h.recovery.speedUpHandshake();
    assert.deepEqual(h.lost, [`${INITIAL}:0`, `${HANDSHAKE}:0`]);
    assert.equal(h.recovery.probesDue(INITIAL), 1);
    assert.equal(h.recovery.probesDue(HANDSHAKE), 1);
    assert.equal(h.recovery.ptoCount, 0);
    for (let i = 0; i < 100; i++) {
      h.send(1, INITIAL);
      h.recovery.speedUpHandshake();
    }
    assert.equal(h.lost.length, 2 + MAX_HANDSHAKE_SPEED_UPS - 1);
  });
});
