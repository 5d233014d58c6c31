// Handshakes of every kind under loss, on either side. rfc9002#6.2, rfc9000#8.1
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PACKET_HANDSHAKE } from "../../internal/protocol/constants.ts";
import { AMPLIFICATION_FACTOR } from "../../internal/protocol/limits.ts";
import { HANDSHAKE_KINDS, handshakeCase, handshakeScenario, LOSSES, SIDES } from "./cases.ts";
import { replayed, Scenario } from "./scenario.ts";

describe("handshakes on a lossy network", () => {
  for (const kind of HANDSHAKE_KINDS) {
    for (const loss of LOSSES) {
      it(`${kind}, ${loss} lost`, () => {
        for (const side of loss === "none" ? (["both"] as const) : SIDES) {
          for (const seed of loss === "30 %" ? [1, 2, 3] : [1]) {
            replayed(
              () => handshakeScenario(kind, seed),
              (scenario) => handshakeCase(scenario, loss, side),
            );
          }
        }
      });
    }
  }

  it("takes more than three datagrams for the long chain", () => {
    const scenario = handshakeScenario("long chain", 1);
    const client = scenario.dial();
    scenario.until("complete", () => scenario.state(client).complete);
    assert.ok(scenario.server.bytesSent > 3 * 1252, `${scenario.server.bytesSent} bytes`);
  });

  it("sends lost Initial data though the window is full of Handshake packets", () => {
    // rfc9002#6.2.4 an endpoint SHOULD send ack-eliciting packets from other packet number spaces with in-flight data.
    const scenario = new Scenario({ seed: 1, kind: "long chain" });
    scenario.down.filter = (_, index) => index >= 1;
    const client = scenario.dial();
    scenario.until("the handshake completes", () => scenario.state(client).complete, 9000);
  });

  it("never exceeds three times what came from an unvalidated address", () => {
    // rfc9000#8.1 MUST NOT send more than three times as many bytes as the number of bytes they have received.
    for (const seed of [1, 2, 3, 4, 5]) {
      const scenario = new Scenario({ seed, kind: "long chain", up: { delay: 20, loss: 0.4 }, traced: true });
      // rfc9000#8.1 once an endpoint has successfully processed a Handshake packet from the peer it can consider the
      // peer address to have been validated.
      const validated = (): boolean =>
        scenario.trace.server.some(
          (event) => event.name === "packet_received" && event.header.type === PACKET_HANDSHAKE,
        );
      let most = 0;
      scenario.down.filter = () => {
        const { bytesSent, bytesReceived } = scenario.server;
        most = Math.max(most, bytesSent / bytesReceived);
        if (bytesSent > AMPLIFICATION_FACTOR * bytesReceived && !validated()) {
          scenario.fail(`${bytesSent} bytes sent for ${bytesReceived}`);
        }
        return true;
      };
      const client = scenario.dial();
      scenario.until(
        "complete",
        () => scenario.state(client).complete || scenario.state(client).error !== null,
      );
      assert.ok(most > 2, "the limit was not reached");
    }
  });

  it("does not deadlock when all that the client says after its hello is lost for a while", () => {
    // rfc9002#6.2.2.1 the client MUST set the PTO timer … even if there are no packets in flight.
    for (const seed of [1, 2]) {
      const scenario = new Scenario({ seed, kind: "long chain" });
      scenario.up.filter = (_, index) => index === 0 || index > 4;
      const client = scenario.dial();
      scenario.until("the handshake is confirmed", () => scenario.state(client).confirmed, 9000);
    }
  });

  it("gives up a handshake that nobody answers, and one that does not finish", () => {
    for (const heard of [false, true]) {
      const scenario = new Scenario({ seed: 1, kind: "long chain", client: { handshakeTimeout: 5000 } });
      if (heard) scenario.down.filter = (_, index) => index < 1;
      else scenario.up.blackhole = true;
      if (heard) scenario.up.filter = (_, index) => index < 1;
      const client = scenario.dial();
      scenario.run(4990);
      assert.equal(scenario.state(client).error === null, true);
      scenario.run(20);
      assert.equal(scenario.state(client).error?.code, "ERR_QUIC_HANDSHAKE_TIMEOUT");
      // The server's is over with its own timer.
      scenario.run(60_000);
      assert.equal(scenario.client.endpoint.connectionCount + scenario.server.endpoint.connectionCount, 0);
      assert.equal(scenario.server.endpoint.handshakeCount, 0);
    }
  });

  it("takes a busy server's many clients", () => {
    const scenario = new Scenario({ seed: 1, up: { delay: 10, loss: 0.1 }, down: { delay: 10, loss: 0.1 } });
    const clients = Array.from({ length: 20 }, () => scenario.dial());
    scenario.until("all are confirmed", () => clients.every((each) => scenario.state(each).confirmed));
    assert.equal(scenario.accepted.length, 20);
  });
});
