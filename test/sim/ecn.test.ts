// ECN over paths that carry it, and over those that do not: rfc9000#13.4.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ECN_CE, ECT_0, ECT_1, NOT_ECT } from "../../internal/protocol/batch.ts";
import type { Connection } from "../../internal/connection/connection.ts";
import type { LinkOptions } from "./network.ts";
import { replayed, Scenario, type ScenarioOptions } from "./scenario.ts";

const scenario = (options: Partial<ScenarioOptions> = {}): Scenario =>
  new Scenario({ seed: 4, nullAead: true, traced: true, ...options });

const state = (connection: Connection): string => connection.recovery.ecn.state;

/** A transfer of `bytes` from the client, to its end. Gives the client's connection. */
function transfer(s: Scenario, bytes: number): Connection {
  const { client, server } = s.connect();
  const opened = s.open(client, bytes, false)!;
  s.until("the transfer", () => s.state(server).streams.get(opened.stream.id)?.finished === true, 120_000);
  s.run(500);
  return client;
}

/** The marks of the client's packets, in order. */
const marks = (s: Scenario): number[] =>
  s.trace.client.flatMap((event) => (event.name === "packet_sent" ? [event.ecn] : []));

describe("ECN in the simulator", () => {
  it("is found capable, and every packet is marked", () => {
    const s = scenario();
    const client = transfer(s, 200_000);
    assert.equal(state(client), "capable");
    const sent = marks(s);
    assert.ok(sent.length > 150);
    // Between the ten packets of the test and the first answer none is.
    assert.ok(sent.filter((mark) => mark !== ECT_0).length < 20, `${sent.length}`);
    assert.equal(sent[0], ECT_0);
    assert.ok(sent.slice(30).every((mark) => mark === ECT_0));
    const states = s.trace.client.flatMap((event) =>
      event.name === "ecn_state_updated" ? [event.state] : [],
    );
    assert.equal(states[0], "testing");
    assert.equal(states.at(-1), "capable");
    assert.ok(!states.includes("failed"));
    assert.equal(client.recovery.lostPackets, 0);
  });

  it("off: nothing is marked, what comes marked is reported all the same", () => {
    const s = scenario({ client: { ecn: false } });
    const client = transfer(s, 100_000);
    assert.equal(state(client), "off");
    assert.ok(marks(s).every((mark) => mark === NOT_ECT));
    const { server } = s;
    void server;
    assert.ok(
      s.trace.server.some((event) => event.name === "ecn_state_updated" && event.state === "capable"),
    );
  });

  it("CE slows the sender down, without a loss", () => {
    const wide: LinkOptions = { delay: 20, rate: 5000 };
    const calm = transfer(scenario({ up: wide, down: wide }), 2_000_000);
    const s = replayed(
      () => scenario({ up: { ...wide, ce: 0.02 }, down: wide }),
      (each) => {
        const client = transfer(each, 2_000_000);
        assert.equal(state(client), "capable");
        assert.equal(client.recovery.lostPackets, 0);
        assert.ok(client.recovery.ecn.congested > 10, `${client.recovery.ecn.congested}`);
        assert.ok(client.controller.cwnd < calm.controller.cwnd / 2, `${client.controller.cwnd}`);
        assert.ok(client.controller.ssthresh < Infinity);
      },
    );
    assert.ok(s.trace.client.some((event) => event.name === "congestion_state_updated"));
  });

  // rfc9000#13.4.2.2 If validation fails, then the endpoint MUST disable ECN.
  for (const [name, mangle] of [
    ["bleaches marks", (ecn: number) => (ecn === ECT_0 ? NOT_ECT : ecn)],
    ["turns ECT(0) into ECT(1)", (ecn: number) => (ecn === ECT_0 ? ECT_1 : ecn)],
  ] as const) {
    it(`a path that ${name}: marking ends, the transfer goes on`, () => {
      const s = scenario({ up: { delay: 10, mangle } });
      const client = transfer(s, 300_000);
      assert.equal(state(client), "failed");
      assert.equal(client.recovery.lostPackets, 0);
      assert.equal(client.controller.ssthresh, Infinity);
      const sent = marks(s);
      assert.ok(sent.slice(40).every((mark) => mark === NOT_ECT));
    });
  }

  it("a path that marks everything: as slow as it asks for, and no slower", () => {
    const s = scenario({ up: { delay: 10, mangle: (ecn) => (ecn === ECT_0 ? ECN_CE : ecn) } });
    const client = transfer(s, 100_000);
    assert.equal(state(client), "capable");
    const { congested } = client.recovery.ecn;
    const marked = marks(s).filter((mark) => mark === ECT_0).length;
    assert.ok(congested > 50 && congested <= marked, `${congested} of ${marked}`);
    // rfc9002#7.1 an increase in the ECN-CE count is a congestion event, as a loss is; but nothing was lost.
    assert.equal(client.recovery.lostPackets, 0);
    // Once in a round trip the window shrinks, to the least that there is: rfc9002#7.2.
    assert.equal(client.controller.cwnd, 2 * client.paths.active.mtu);
    assert.ok(client.controller.ssthresh <= client.controller.cwnd);
  });

  it("a path that drops what is marked holds the handshake up for two timeouts at most", () => {
    const s = scenario({ up: { delay: 10, mangle: (ecn) => (ecn === NOT_ECT ? ecn : -1) } });
    const client = transfer(s, 100_000);
    assert.equal(state(client), "failed");
    assert.ok(client.stats.handshakeDuration < 4000, `${client.stats.handshakeDuration}`);
    assert.ok(
      marks(s)
        .slice(20)
        .every((mark) => mark === NOT_ECT),
    );
  });

  it("a path that begins to bleach later: marking ends then", () => {
    let bleaching = false;
    const s = scenario({
      up: { delay: 10, mangle: (ecn) => (bleaching && ecn === ECT_0 ? NOT_ECT : ecn) },
    });
    const { client, server } = s.connect();
    s.run(200);
    assert.equal(state(client), "capable");
    bleaching = true;
    const opened = s.open(client, 100_000, false)!;
    s.until("the transfer", () => s.state(server).streams.get(opened.stream.id)?.finished === true, 60_000);
    assert.equal(state(client), "failed");
  });
});
