// Bulk data under every fault: complete, in order, once, and the same in the replay. rfc9000#2.2, rfc9002#7
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PACKET_ONE_RTT } from "../../internal/protocol/constants.ts";
import { FIRST_KEY_UPDATE } from "../../internal/protocol/limits.ts";
import { TRANSFERS, transferCase, transferScenario } from "./cases.ts";
import { replayed, Scenario } from "./scenario.ts";

const MB = 1_000_000;

describe("transfers on a bad network", () => {
  for (const { name, link } of TRANSFERS) {
    it(`1 MB: ${name}`, () => {
      for (const sender of ["client", "server"] as const) {
        replayed(
          () => transferScenario(link, 1),
          (scenario) => transferCase(scenario, MB, sender),
        );
      }
    });
  }

  it("both ways at once, on many streams", () => {
    const link = { delay: 20, rate: 3000, queue: 100, loss: 0.02, reorder: 0.05 };
    replayed(
      () => new Scenario({ seed: 3, up: link, down: link, nullAead: true, respond: 50_000 }),
      (scenario) => {
        const { client } = scenario.connect();
        const streams = Array.from({ length: 40 }, () => scenario.open(client, 50_000)!);
        scenario.until("all are answered", () => streams.every((each) => each.finished), 120_000);
        assert.ok(streams.every((each) => each.received === 50_000));
      },
    );
  });

  // The path of the interop runner's goodput, with 28 bytes of IP and UDP for each datagram. Headers and tags alone are
  // 4 % of it; the handshake is half a percent, slow start another.
  it("takes 93 % of a link of 10 Mbit/s from the handshake on", () => {
    const link = { delay: 15, rate: (1250 * 1452) / 1480, queue: 25, mtu: 1472 };
    const config = { mtuDiscovery: true, maxDatagramSize: 1452 };
    const scenario = new Scenario({
      seed: 3,
      nullAead: true,
      up: link,
      down: link,
      respond: 10 * MB,
      client: config,
      server: config,
    });
    const begun = scenario.net.now;
    const { client } = scenario.connect();
    const request = scenario.open(client, 100)!;
    scenario.net.flush(scenario.client);
    scenario.until("it is there", () => request.finished);
    const share = (8 * 10 * MB) / (scenario.net.now - begun) / 10_000;
    assert.ok(share >= 0.93, `${(100 * share).toFixed(1)} % of the link`);
  });

  it("updates keys on the way, and drops the old ones", () => {
    // rfc9001#6.5 an endpoint SHOULD retain old read keys for no more than three times the PTO.
    for (const nullAead of [false, true]) {
      const link = { delay: 20, rate: 2000, loss: 0.01, reorder: 0.1, duplicate: 0.02 };
      const scenario = new Scenario({ seed: 5, up: link, down: link, nullAead, traced: true });
      const { client, server } = scenario.connect();
      scenario.transfer(client, server, MB);
      scenario.transfer(server, client, MB);
      for (const [side, connection] of [
        ["client", client],
        ["server", server],
      ] as const) {
        const updates = scenario.trace[side].filter((event) => event.name === "key_updated");
        assert.ok(updates.length >= 2, `${side}: ${updates.length} key updates traced`);
        assert.ok(connection.protection.keyUpdates >= 1, side);
        assert.equal(connection.protection.hasOldReadKeys, false, `${side} keeps old keys`);
        assert.equal(scenario.state(connection).error, null);
      }
      const first = scenario.trace.client.find(
        (event) => event.name === "key_updated" && event.trigger !== "tls",
      );
      assert.ok(first !== undefined);
      const before = scenario.trace.client.filter(
        (event) =>
          event.name === "packet_sent" && event.header.type === PACKET_ONE_RTT && event.time < first.time,
      );
      assert.ok(before.length <= FIRST_KEY_UPDATE + 200, `the first update after ${before.length} packets`);
    }
  });

  it("updates keys many times on demand", () => {
    const scenario = new Scenario({ seed: 6, up: { delay: 5, loss: 0.05 }, down: { delay: 5, loss: 0.05 } });
    const { client, server } = scenario.connect();
    let updates = 0;
    for (let i = 0; i < 20; i++) {
      for (const each of i % 3 === 0 ? [client, server] : [i % 2 === 0 ? client : server]) {
        if (each.updateKeys()) updates++;
      }
      scenario.transfer(client, server, 20_000);
      scenario.run(300);
    }
    assert.ok(updates > 15, `${updates} updates`);
    assert.equal(client.protection.keyUpdates, server.protection.keyUpdates);
    assert.equal(scenario.state(client).error ?? scenario.state(server).error, null);
  });
});

describe("flow control", () => {
  it("stops a sender whose peer does not read, and goes on when it does", () => {
    // rfc9000#4.1 a sender MUST NOT send data in excess of either limit.
    const scenario = new Scenario({ seed: 1, nullAead: true });
    const { client, server } = scenario.connect();
    scenario.pauseIncoming = true;
    const own = scenario.open(client, 3 * MB, false)!;
    scenario.run(10_000);
    const theirs = scenario.state(server).streams.get(own.stream.id)!;
    const waiting = theirs.stream.recv!.available;
    assert.ok(waiting <= 512 * 1024 && waiting > 500 * 1024, `${waiting} bytes wait`);
    theirs.paused = false;
    scenario.read(theirs);
    scenario.until("all is there", () => theirs.finished);
    assert.equal(theirs.received, 3 * MB);
  });

  it("survives the loss of every update of the limits for a while", () => {
    const scenario = new Scenario({
      seed: 2,
      nullAead: true,
      server: { initialStreamWindow: 20_000, maxStreamWindow: 20_000, initialConnectionWindow: 30_000 },
      down: { delay: 10, loss: 0.3 },
    });
    const { client, server } = scenario.connect();
    scenario.transfer(client, server, 300_000);
  });

  it("replenishes streams over thousands of them", () => {
    // rfc9000#4.6
    const scenario = new Scenario({ seed: 3, nullAead: true, respond: 100, up: { delay: 5, loss: 0.01 } });
    const { client, server } = scenario.connect();
    let opened = 0;
    let most = 0;
    const open = (): boolean => {
      while (opened < 3000 && scenario.open(client, 32) !== null) opened++;
      most = Math.max(most, client.streams.size, server.streams.size);
      return scenario.state(client).finished === 3000;
    };
    scenario.until("3000 streams are answered", open, 600_000);
    scenario.run(2000);
    assert.ok(most <= 200, `${most} streams in memory`);
    assert.equal(client.streams.size + server.streams.size, 0, "streams that are over stay");
  });
});
