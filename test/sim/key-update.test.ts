// Key updates of whole connections: by count, on request, under loss, and what is left of keys at their limits.
// rfc9001#6
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { KEY_USE, type KeyUse } from "../../internal/handshake/protection.ts";
import {
  AEAD_LIMIT_REACHED,
  APPLICATION,
  errorCodeName,
  PACKET_ONE_RTT,
} from "../../internal/protocol/constants.ts";
import { TransportError } from "../../internal/protocol/errors.ts";
import { RESERVED_SEALS } from "../../internal/protocol/limits.ts";
import type { TraceEvent } from "../../internal/protocol/tracer.ts";
import { replayed, Scenario, type ScenarioOptions } from "./scenario.ts";

const LOSSY = { delay: 10, loss: 0.03, reorder: 0.1, duplicate: 0.02 };
const NEVER = { firstUpdate: Infinity, updateInterval: Infinity };

function scenario(keyUse: Partial<KeyUse>, options: Partial<ScenarioOptions> = {}): Scenario {
  const config = { keyUse: { ...KEY_USE, ...keyUse } };
  return new Scenario({ seed: 11, nullAead: true, client: config, server: config, traced: true, ...options });
}

const updates = (trace: readonly TraceEvent[], trigger: string) =>
  trace.filter((event) => event.name === "key_updated" && event.trigger === trigger).length;

describe("key updates", () => {
  it("by count, again and again, on a bad network", () => {
    for (const nullAead of [true, false]) {
      replayed(
        () =>
          scenario({ firstUpdate: 20, updateInterval: 100 }, { nullAead, up: LOSSY, down: LOSSY, seed: 12 }),
        (run) => {
          const { client, server } = run.connect();
          run.transfer(client, server, 500_000);
          run.transfer(server, client, 500_000);
          run.run(3000);
          assert.ok(client.stats.keyUpdates >= 6, `${client.stats.keyUpdates} updates`);
          // Both ends count the same: an update is one for both.
          assert.equal(client.stats.keyUpdates, server.stats.keyUpdates);
          assert.equal(client.protection.keyPhase, server.protection.keyPhase);
          // rfc9001#6.5 old read keys are gone three PTO later.
          assert.equal(client.protection.hasOldReadKeys || server.protection.hasOldReadKeys, false);
        },
      );
    }
  });

  it("on request, where rfc9001#6.1 allows it", () => {
    const run = scenario(NEVER, { up: { delay: 20 }, down: { delay: 20 } });
    const client = run.dial();
    // rfc9001#6.1 An endpoint MUST NOT initiate a key update prior to having confirmed the handshake
    assert.equal(client.updateKeys(), false);
    run.until("the handshake is confirmed", () => run.state(client).confirmed && run.accepted.length > 0);
    const server = run.accepted[0]!;
    run.transfer(client, server, 1000);
    run.run(1000);
    assert.equal(client.updateKeys(), true);
    // rfc9001#6.1 An endpoint MUST NOT initiate a subsequent key update unless it has received an acknowledgment for a
    // packet that was sent protected with keys from the current key phase.
    assert.equal(client.updateKeys(), false);
    const begun = run.net.now;
    run.until("the update is answered", () => client.stats.keyUpdates === 1, 1000);
    const answered = run.net.now;
    assert.ok(answered - begun >= 40 && answered - begun < 100, `${answered - begun} ms`);
    // It takes one PING of ours, and needs no data.
    assert.equal(server.stats.keyUpdates, 1);
    // rfc9001#6.5 Endpoints SHOULD wait three times the PTO before initiating a key update after receiving an
    // acknowledgment that confirms that the previous key update was received.
    run.run(3 * client.recovery.timer.pto(APPLICATION) - 10);
    assert.equal(client.updateKeys(), false);
    run.run(100);
    assert.equal(client.updateKeys(), true);
    run.until("again", () => client.stats.keyUpdates === 2, 1000);
    client.closeWithError(0n, "", run.net.now);
    assert.equal(client.updateKeys(), false);
    // What was done on whose wish is in the trace: two of ours, each answered.
    assert.equal(updates(run.trace.client, "local_update"), 2);
    assert.ok(updates(run.trace.server, "remote_update") >= 2);
  });

  it("wished by both at once is one", () => {
    const run = scenario(NEVER, { up: { delay: 20 }, down: { delay: 20 } });
    const { client, server } = run.connect();
    run.transfer(client, server, 1000);
    run.transfer(server, client, 1000);
    run.run(1000);
    for (let i = 1; i <= 4; i++) {
      assert.ok(client.updateKeys() && server.updateKeys());
      run.run(1000);
      assert.deepEqual([client.stats.keyUpdates, server.stats.keyUpdates], [i, i]);
    }
    run.transfer(client, server, 1000);
  });

  it("a peer that is lost is not taken for one that refuses: the update is repeated", () => {
    const run = scenario(NEVER, { up: { delay: 20 }, down: { delay: 20 } });
    const { client, server } = run.connect();
    run.transfer(client, server, 1000);
    run.run(1000);
    run.up.filter = () => false;
    assert.ok(client.updateKeys());
    run.run(500);
    assert.equal(server.stats.keyUpdates, 0);
    run.up.filter = null;
    run.until("it is answered", () => client.stats.keyUpdates === 1, 5000);
    run.transfer(server, client, 1000);
  });
});

describe("keys at their limits", () => {
  const limit = 300;
  const low = { ...NEVER, confidentiality: [limit, limit] } as const;

  // rfc9001#6.6 Endpoints MUST initiate a key update before sending more protected packets than the confidentiality
  // limit for the selected AEAD permits.
  it("are changed before", () => {
    const up = { delay: 15, rate: 300, queue: 20 };
    const run = scenario({ ...low, firstUpdate: 100, updateInterval: 100 }, { up });
    const { client, server } = run.connect();
    run.transfer(client, server, 2_000_000);
    assert.equal(run.state(client).error, null);
    assert.ok(client.stats.packetsSent > 4 * limit && client.stats.keyUpdates >= 4);
  });

  // rfc9001#6.6 If a key update is not possible or integrity limits are reached, the endpoint MUST stop using the
  // connection and only send stateless resets in response to receiving packets. It is RECOMMENDED that endpoints
  // immediately close the connection with a connection error of type AEAD_LIMIT_REACHED before reaching a state where
  // key updates are not possible.
  it("without an update the connection ends, and the peer hears why", () => {
    const run = scenario(low);
    const { client, server } = run.connect();
    const own = run.open(client, 2_000_000, false)!;
    run.until("the client gives up", () => run.state(client).error !== null);
    run.until("the server hears it", () => run.state(server).error !== null, 1000);
    for (const [side, remote] of [
      [client, false],
      [server, true],
    ] as const) {
      const { error } = run.state(side);
      assert.ok(error instanceof TransportError, String(error));
      assert.equal(errorCodeName(error.errorCode), errorCodeName(AEAD_LIMIT_REACHED));
      assert.equal(error.remote, remote);
    }
    const sealed = run.trace.client.filter(
      (event) => event.name === "packet_sent" && event.header.type === PACKET_ONE_RTT,
    ).length;
    assert.ok(sealed <= limit, `${sealed} packets under one key`);
    assert.ok(sealed > limit - RESERVED_SEALS);
    assert.ok(own.sent < 2_000_000);
  });

  // rfc9001#6.6 If the total number of received packets that fail authentication within the connection, across all keys,
  // exceeds the integrity limit for the selected AEAD, the endpoint MUST immediately close the connection with a
  // connection error of type AEAD_LIMIT_REACHED and not process any more packets.
  it("packets that fail to authenticate are counted over all keys", () => {
    const run = scenario(
      { firstUpdate: 20, updateInterval: 50, integrity: [40, 40] },
      {
        down: { delay: 15, corrupt: 0.08 },
      },
    );
    const { client, server } = run.connect();
    run.open(server, 2_000_000, false);
    run.until("the client gives up", () => run.state(client).error !== null);
    const { error } = run.state(client);
    assert.ok(error instanceof TransportError && error.errorCode === AEAD_LIMIT_REACHED, String(error));
    assert.ok(client.stats.keyUpdates >= 2, `${client.stats.keyUpdates} updates`);
    assert.equal(run.drops("client").filter((reason) => reason === "decryption_failed").length, 40);
  });
});
