import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { APPLICATION, HANDSHAKE, INITIAL } from "../../internal/protocol/constants.ts";
import { MAX_PTO } from "../../internal/protocol/limits.ts";
import { Harness } from "./harness.ts";

describe("the probe timeout", () => {
  test("is computed per space and doubles", () => {
    const h = new Harness("server", { confirmed: false });
    h.send(0, INITIAL);
    // rfc9002#6.2.1 max_ack_delay is set to 0 for Initial and Handshake.
    assert.equal(h.recovery.timer.at, 999);
    assert.equal(h.recovery.timer.pto(APPLICATION), 1024);
    h.recovery.onTimeout(998);
    assert.equal(h.recovery.probes.due(INITIAL), 0);
    h.recovery.onTimeout(999);
    assert.equal(h.recovery.timer.ptoCount, 1);
    assert.equal(h.recovery.timer.at, 1998);
    h.send(999, INITIAL);
    // rfc9002#6.2.1 the PTO backoff MUST be increased, resulting in the PTO period being set to twice its value.
    assert.equal(h.recovery.timer.at, 999 + 1998);
    for (let i = 0; i < 2000; i++) h.recovery.onTimeout(h.recovery.timer.at);
    assert.ok(h.recovery.timer.at < Infinity);
    const at = h.recovery.timer.at;
    h.recovery.onTimeout(at);
    assert.ok(h.recovery.timer.at - at <= MAX_PTO);
    assert.ok(h.recovery.timer.at > at);
  });

  test("is not for the application space before confirmation", () => {
    const h = new Harness("server", { confirmed: false });
    h.send(0);
    // rfc9002#6.2.1 MUST NOT set its PTO timer for the Application Data packet number space until confirmed.
    assert.equal(h.recovery.timer.at, Infinity);
    h.recovery.timer.setHandshakeConfirmed(1);
    assert.equal(h.recovery.timer.at, 1024);
  });

  test("gives way to the loss timer", () => {
    const h = new Harness();
    h.send(0);
    h.send(0);
    h.ack(100, [1]);
    // rfc9002#6.2.1 the PTO timer MUST NOT be set if a timer is set for time threshold loss detection.
    assert.equal(h.recovery.timer.at, 112.5);
    h.recovery.onTimeout(112.5);
    assert.equal(h.recovery.timer.at, Infinity);
    assert.equal(h.recovery.timer.ptoCount, 0);
  });

  test("starts over with an ACK, but not at a client whose address may not be validated", () => {
    const h = new Harness("client", { confirmed: false });
    h.send(0, INITIAL);
    h.recovery.onTimeout(999);
    h.send(999, INITIAL);
    h.ack(1100, [[0, 1]], INITIAL);
    // rfc9002#6.2.1 a client does not reset the PTO backoff factor on receiving acknowledgments in Initial packets.
    assert.equal(h.recovery.timer.ptoCount, 1);
    h.send(1100, HANDSHAKE);
    h.ack(1200, [0], HANDSHAKE);
    assert.equal(h.recovery.timer.ptoCount, 0);
    assert.equal(h.recovery.timer.at, Infinity);
  });

  test("a client with nothing in flight keeps the server from waiting for it", () => {
    const h = new Harness("client", { confirmed: false });
    h.send(0, INITIAL);
    h.ack(100, [0], INITIAL);
    // rfc9002#6.2.2.1 the client MUST set the PTO timer …, even if there are no packets in flight.
    assert.equal(h.recovery.timer.at, 400);
    h.recovery.onTimeout(400);
    assert.deepEqual([h.recovery.probes.due(INITIAL), h.recovery.probes.due(HANDSHAKE)], [1, 0]);
    assert.deepEqual(h.take().lost, []);
    h.recovery.timer.setHandshakeKeys(true);
    h.recovery.onTimeout(h.recovery.timer.at);
    assert.equal(h.recovery.probes.due(HANDSHAKE), 1);
    // Application data in flight alone does not change that.
    h.send(2000);
    assert.ok(h.recovery.timer.at < Infinity);
  });

  test("a blocked server has none, and what passed meanwhile is due at once", () => {
    const h = new Harness("server", { confirmed: false });
    h.send(0, INITIAL);
    h.recovery.timer.setAmplificationBlocked(true, 1);
    // rfc9002#6.2.2.1 the server's PTO timer MUST NOT be armed until datagrams have been received from the client.
    assert.equal(h.recovery.timer.at, Infinity);
    h.recovery.timer.setAmplificationBlocked(false, 5000);
    assert.equal(h.recovery.timer.at, 999);
    h.recovery.onTimeout(5000);
    assert.equal(h.recovery.probes.due(INITIAL), 1);
    assert.ok(h.recovery.timer.at > 5000);
  });
});
