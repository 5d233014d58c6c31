import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { APPLICATION, HANDSHAKE, INITIAL } from "../../internal/protocol/constants.ts";
import { MAX_HANDSHAKE_SPEED_UPS } from "../../internal/protocol/limits.ts";
import { Harness } from "./harness.ts";

describe("probes", () => {
  test("carry the oldest data, two packets of it, and lose nothing", () => {
    const h = new Harness();
    for (let i = 0; i < 5; i++) h.send(0);
    h.recovery.onTimeout(1024);
    assert.deepEqual(h.take().lost, ["2:0", "2:1"]);
    assert.equal(h.recovery.probes.due(APPLICATION), 2);
    // rfc9002#6.2 MUST NOT cause prior unacknowledged packets to be marked as lost.
    assert.equal(h.recovery.bytesInFlight, 5 * 1200);
    assert.equal(h.recovery.lostPackets, 0);
    h.send(1024);
    h.send(1024);
    // rfc9002#7.5 a sender MUST count these packets as being additionally in flight.
    assert.equal(h.recovery.bytesInFlight, 7 * 1200);
    assert.equal(h.recovery.probes.due(APPLICATION), 0);
    // The next ones carry what these did not.
    h.recovery.onTimeout(h.recovery.timer.at);
    assert.deepEqual(h.take().lost, ["2:2", "2:3"]);
    // Lost for good: nothing is handed out twice.
    h.ack(4000, [6]);
    assert.deepEqual(h.take(), { acked: ["2:6"], lost: ["2:4"] });
    h.recovery.onTimeout(h.recovery.timer.at);
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
    assert.equal(h.recovery.probes.due(APPLICATION), 1);
  });

  test("bring other spaces' data along", () => {
    const h = new Harness("server", { confirmed: false });
    h.send(0, INITIAL);
    h.send(0, HANDSHAKE);
    h.send(0);
    h.recovery.onTimeout(999);
    // rfc9002#6.2.4 SHOULD send ack-eliciting packets from other packet number spaces with in-flight data.
    assert.deepEqual(
      [INITIAL, HANDSHAKE, APPLICATION].map((space) => h.recovery.probes.due(space as 0 | 1 | 2)),
      [1, 1, 1],
    );
    assert.deepEqual(h.take().lost, ["0:0", "1:0", "2:0"]);
  });
});

describe("repeated handshake data of the peer's", () => {
  test("has ours sent again at once, a few times", () => {
    // rfc9002#6.2.3 an endpoint MAY, for a limited number of times per connection, send a packet containing
    // unacknowledged CRYPTO data earlier than the PTO expiry.
    const h = new Harness("server", { confirmed: false });
    h.send(0, INITIAL);
    h.send(0, HANDSHAKE);
    h.recovery.probes.speedUpHandshake();
    assert.deepEqual(h.lost, [`${INITIAL}:0`, `${HANDSHAKE}:0`]);
    assert.equal(h.recovery.probes.due(INITIAL), 1);
    assert.equal(h.recovery.probes.due(HANDSHAKE), 1);
    assert.equal(h.recovery.timer.ptoCount, 0);
    for (let i = 0; i < 100; i++) {
      h.send(1, INITIAL);
      h.recovery.probes.speedUpHandshake();
    }
    assert.equal(h.lost.length, 2 + MAX_HANDSHAKE_SPEED_UPS - 1);
  });
});
