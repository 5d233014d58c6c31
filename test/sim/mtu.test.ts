// Path MTU discovery over a simulated network: rfc8899, rfc9000#14.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Connection } from "../../internal/connection/connection.ts";
import { markForeign, type Path } from "../../internal/path/path.ts";
import { makeAddress } from "../../internal/protocol/address.ts";
import { MTU_RAISE_TIMER } from "../../internal/protocol/limits.ts";
import type { LinkOptions } from "./network.ts";
import { replayed, Scenario, type ScenarioOptions } from "./scenario.ts";

const scenario = (ceiling: number, path: LinkOptions, options: Partial<ScenarioOptions> = {}): Scenario => {
  const config = { mtuDiscovery: true, maxDatagramSize: ceiling };
  return new Scenario({
    seed: 12,
    nullAead: true,
    traced: true,
    up: path,
    down: path,
    client: config,
    server: config,
    ...options,
  });
};

const mtu = (connection: Connection): number => connection.paths.active.mtu;

const links = (s: Scenario) => [s.up, s.down];

function send(s: Scenario, client: Connection, server: Connection, bytes: number, ms = 120_000): number {
  const opened = s.open(client, bytes, false)!;
  const from = s.net.now;
  s.until("the transfer", () => s.state(server).streams.get(opened.stream.id)?.finished === true, ms);
  return s.net.now - from;
}

/** Transfers until the search of `from` is over. */
function search(s: Scenario, from: Connection, to: Connection): void {
  for (let i = 0; i < 60 && from.paths.active.discovery.state !== "complete"; i++)
    send(s, from, to, 1_000_000);
}

describe("path MTU discovery in the simulator", () => {
  it("finds the ceiling, or what the path carries, and uses it both ways", () => {
    for (const [carried, ceiling] of [
      [1500, 1452],
      [1300, 1452],
      [9000, 9000],
      [65535, 65527],
      [20_000, 65527],
    ] as const) {
      const s = scenario(ceiling, { delay: 10, mtu: carried });
      const { client, server } = s.connect();
      search(s, client, server);
      search(s, server, client);
      const most = Math.min(carried, ceiling);
      for (const each of [client, server]) {
        assert.ok(mtu(each) <= most && mtu(each) > most - 20, `${each.role}: ${mtu(each)} of ${most}`);
        // rfc9000#14.4 the loss of a probe is no sign of congestion
        assert.equal(each.controller.recoveryStart, -Infinity, `${each.role} on ${carried}`);
      }
      const largest = Math.max(
        ...s.trace.server.flatMap((event) => (event.name === "packet_received" ? [event.size] : [])),
      );
      assert.ok(largest > most - 20 && largest <= most, `${largest}`);
    }
  });

  it("finds it in the presence of losses, too", () => {
    replayed(
      () => scenario(1452, { delay: 10, loss: 0.05 }),
      (s) => {
        const { client, server } = s.connect();
        send(s, client, server, 500_000);
        assert.equal(mtu(client), 1452);
      },
    );
  });

  it("is off without DF: datagrams keep their size", () => {
    const s = scenario(1452, { delay: 10 }, { client: { mtuDiscovery: false } });
    const { client, server } = s.connect();
    send(s, client, server, 300_000);
    assert.equal(mtu(client), 1252);
    assert.ok(!s.trace.client.some((event) => event.name === "mtu_updated"));
  });

  // rfc9000#18.2 max_udp_payload_size; rfc9000#14.3
  it("honours what the peer takes", () => {
    const s = scenario(9000, { delay: 10 }, { server: { maxUdpPayloadSize: 1400 } });
    const { client, server } = s.connect();
    send(s, client, server, 300_000);
    assert.equal(mtu(client), 1400);
  });

  it("a path that shrinks in the middle of a transfer: smaller datagrams, a new search, and all arrives", () => {
    replayed(
      () => scenario(9000, { delay: 10, mtu: 9000 }),
      (s) => {
        const { client, server } = s.connect();
        search(s, client, server);
        assert.equal(mtu(client), 9000);
        for (const link of links(s)) link.options.mtu = 1320;
        const time = send(s, client, server, 2_000_000);
        assert.ok(time < 10_000, `${time} ms`);
        search(s, client, server);
        assert.ok(mtu(client) <= 1320 && mtu(client) > 1300, `${mtu(client)}`);
        // It grows again: found after the raise timer.
        for (const link of links(s)) link.options.mtu = 9000;
        s.run(10_000);
        send(s, client, server, 10_000);
        assert.ok(mtu(client) <= 1320);
        // rfc8899#5.1.1 PMTU_RAISE_TIMER
        const raised = s.net.now + MTU_RAISE_TIMER;
        while (s.net.now < raised) {
          s.run(10_000);
          send(s, client, server, 1000);
        }
        search(s, client, server);
        assert.equal(mtu(client), 9000);
      },
    );
  });

  it("large datagrams that vanish while small ones pass are found out without a timeout", () => {
    const s = scenario(1452, { delay: 10 });
    const { client, server } = s.connect();
    send(s, client, server, 300_000);
    assert.equal(mtu(client), 1452);
    for (const link of links(s)) link.options.mtu = 1250;
    // Small packets keep the acknowledgements coming.
    const opened = s.open(client, 1_000_000, false)!;
    for (let i = 1; i < 100; i++) s.net.at(s.net.now + 5 * i, () => client.ping());
    s.until("the transfer", () => s.state(server).streams.get(opened.stream.id)?.finished === true, 60_000);
    assert.ok(mtu(client) <= 1250, `${mtu(client)}`);
  });

  it("an initial size that is too large for the path gets through the handshake", () => {
    const config = { mtuDiscovery: true, datagramSize: 1452, maxDatagramSize: 1452 };
    const s = scenario(1452, { delay: 10, mtu: 1280 }, { client: config, server: config });
    const { client, server } = s.connect();
    send(s, client, server, 200_000);
    assert.ok(mtu(client) <= 1280 && mtu(server) <= 1280);
  });
});

describe("path MTU discovery on more than one path", () => {
  // rfc9000#14 UDP datagrams MUST NOT be fragmented at the IP layer.
  it("is of the paths whose sockets set DF, whichever the first is", () => {
    for (const first of [true, false]) {
      const s = scenario(
        1452,
        { delay: 10 },
        { client: { mtuDiscovery: true, maxDatagramSize: 1452, dontFragment: first } },
      );
      const { client, server } = s.connect();
      s.run(200);
      const local = makeAddress("192.0.2.200", 1234);
      markForeign(local, !first);
      s.client.others.push(local);
      const home = client.paths.active;
      const other = client.migration.add(local);
      assert.ok(typeof other !== "string", String(other));
      client.migration.probe(other, s.net.now);
      client.wake();
      s.run(200);
      send(s, client, server, 500_000);
      client.migration.switchTo(other, s.net.now);
      send(s, client, server, 500_000);
      const [sets, lacks] = first ? [home, other] : [other, home];
      assert.deepEqual([sets.discovery.state, sets.mtu], ["complete", 1452]);
      assert.deepEqual([lacks.discovery.state, lacks.mtu], ["off", 1252]);
    }
  });

  /** Another way of the client's that was probed; and a probe of `probe` bytes is under way on the one in use. */
  function away(s: Scenario, probe: number, carried: number): { client: Connection; other: Path } {
    const local = makeAddress("192.0.2.200", 1234);
    let ready = false;
    let under = false;
    s.up.filter = ({ bytes, from }) => {
      if (bytes.length !== probe || from.key === local.key) return true;
      under ||= ready;
      return ready;
    };
    const { client } = s.connect();
    markForeign(local, true);
    s.client.others.push(local);
    const link = { delay: 10, mtu: carried };
    s.client.routes.set(local.key, { outbound: [s.net.link(link)], inbound: [s.net.link(link)] });
    s.until("a connection ID for it", () => client.remoteCids.activeCount > 1);
    const other = client.migration.add(local);
    assert.ok(typeof other !== "string", String(other));
    assert.equal(client.migration.probe(other, s.net.now), null);
    client.wake();
    s.until("an answer", () => other.validation.state === "succeeded");
    assert.equal(client.paths.active.discovery.state, "searching");
    ready = true;
    client.ping();
    s.until("a probe", () => under);
    return { client, other };
  }

  // rfc9000#14.3 … maintain a DPLPMTUD Maximum Packet Size (MPS) for each combination of local and remote IP addresses.
  it("a path that is left in the midst of its search goes on with it when it is in use again", () => {
    replayed(
      () => scenario(1452, { delay: 10 }),
      (s) => {
        const { client, other } = away(s, 1452, 1500);
        const server = s.accepted[0]!;
        const home = client.paths.active;
        assert.equal(client.migration.switchTo(other, s.net.now), null);
        // The answer to home's probe is lost with it.
        s.up.blackhole = s.down.blackhole = true;
        s.run(2000);
        s.up.blackhole = s.down.blackhole = false;
        assert.equal(client.migration.switchTo(home, s.net.now), null);
        send(s, client, server, 500_000);
        assert.deepEqual([home.discovery.state, home.mtu], ["complete", 1452]);
      },
    );
  });

  it("the answer to a probe of the path that was left tells nothing of a narrower one", () => {
    replayed(
      () => scenario(1452, { delay: 10, mtu: 1500 }),
      (s) => {
        const { client, other } = away(s, 1452, 1300);
        const server = s.accepted[0]!;
        const home = client.paths.active;
        assert.equal(client.migration.switchTo(other, s.net.now), null);
        let largest = 0;
        const from = s.net.now;
        while (s.net.now < from + 500) {
          s.run(1);
          largest = Math.max(largest, other.mtu);
        }
        search(s, client, server);
        largest = Math.max(largest, other.mtu);
        assert.ok(largest <= 1300 && other.mtu > 1280, `${largest}, in the end ${other.mtu}`);
        // It came too late to be used, not to be known.
        assert.equal(home.mtu, 1452);
      },
    );
  });
});
