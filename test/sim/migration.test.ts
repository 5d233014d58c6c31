// Connections that move: rfc9000#9, rfc9000#9.6.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Connection } from "../../internal/connection/connection.ts";
import { markForeign, type Path } from "../../internal/path/path.ts";
import { makeAddress, type Address } from "../../internal/protocol/address.ts";
import { toHex } from "../../internal/protocol/bytes.ts";
import { MAX_PATHS } from "../../internal/protocol/limits.ts";
import type { Host } from "./network.ts";
import { replayed, Scenario, type ScenarioOptions } from "./scenario.ts";

const scenario = (options: Partial<ScenarioOptions> = {}): Scenario =>
  new Scenario({
    seed: 21,
    nullAead: true,
    traced: true,
    up: { delay: 20 },
    down: { delay: 20 },
    ...options,
  });

/** Another socket of `host`. */
function socket(host: Host, ip: string, port: number): Address {
  const local = makeAddress(ip, port);
  markForeign(local, true);
  host.others.push(local);
  return local;
}

function path(client: Connection, local: Address): Path {
  const made = client.migration.add(local);
  assert.ok(typeof made !== "string", String(made));
  return made;
}

/** Events about paths, as the client's owner hears them; or the server's, with the other's address. */
function pathEvents(s: Scenario, host = s.client): string[] {
  const seen: string[] = [];
  const { onEvent } = host;
  host.onEvent = (event) => {
    if (event.type === "connection" && "path" in event.event) {
      const { type, path } = event.event;
      seen.push(host === s.client ? type : `${type} ${path.remote.key}`);
    }
    onEvent(event);
  };
  return seen;
}

/** What the trace of one side says of paths. */
function traced(s: Scenario, side: "client" | "server"): string[] {
  return s.trace[side].flatMap((event) =>
    event.name === "path_updated" ? [side === "client" ? event.state : `${event.state} ${event.remote}`] : [],
  );
}

const finished = (s: Scenario, at: Connection, id: number) => s.state(at).streams.get(id)?.finished === true;

describe("client migration in the simulator", () => {
  it("probes another path without using it, switches in the middle of a transfer, and back", () => {
    replayed(
      () => scenario(),
      (s) => {
        const { client, server } = s.connect();
        s.run(200);
        const seen = pathEvents(s);
        const other = path(client, socket(s.client, "192.0.2.200", 1234));
        const before = toHex(client.remoteCids.current);
        assert.equal(client.migration.switchTo(other, s.net.now), "unvalidated");
        assert.equal(client.migration.probe(other, s.net.now), null);
        client.wake();
        s.run(200);
        assert.deepEqual(seen, ["path_validated"]);
        // rfc9000#9.1 probing alone moves nobody.
        assert.equal(server.remote.key, s.client.address.key);
        assert.ok(other.datagramsSent > 0 && other.datagramsReceived > 0);
        const opened = s.open(client, 2_000_000, false)!;
        s.run(100);
        const { cwnd } = client.controller;
        assert.ok(cwnd > 20_000);
        assert.equal(client.migration.switchTo(other, s.net.now), null);
        // rfc9000#9.5 another connection ID for another path
        assert.notEqual(toHex(client.remoteCids.current), before);
        // rfc9000#9.4 congestion control and round trips begin anew
        assert.ok(client.controller.cwnd < cwnd && !client.rtt.hasSample);
        s.until("the transfer", () => finished(s, server, opened.stream.id), 60_000);
        assert.equal(server.remote.key, other.local!.key);
        assert.equal(client.paths.active, other);
        const home = client.paths.all.find((each) => each !== other)!;
        assert.equal(client.migration.switchTo(home, s.net.now), null);
        const again = s.open(client, 300_000, false)!;
        s.until("the way back", () => finished(s, server, again.stream.id), 60_000);
        assert.equal(server.remote.key, s.client.address.key);
        assert.equal(s.state(client).error, null);
        // Both directions, and the server's view.
        const answer = s.open(server, 300_000, false)!;
        s.until("the answer", () => finished(s, client, answer.stream.id), 60_000);
      },
    );
  });

  it("the server hears of a new address, of its answer, and of that of the one before", () => {
    const s = scenario();
    const { client, server } = s.connect();
    s.run(200);
    const seen = pathEvents(s, s.server);
    const atClient = pathEvents(s);
    const local = socket(s.client, "192.0.2.200", 1234);
    const other = path(client, local);
    assert.equal(client.migration.probe(other, s.net.now), null);
    client.wake();
    s.run(500);
    // rfc9000#9.3 the server probes it as well, and it is not used.
    assert.deepEqual(seen, [`path_validated ${local.key}`]);
    const home = s.client.address.key;
    assert.equal(client.migration.switchTo(other, s.net.now), null);
    s.run(500);
    // rfc9000#9.3.3 the one that was left is probed once more.
    assert.deepEqual(seen.slice(1), [`path_changed ${local.key}`, `path_validated ${home}`]);
    // Nobody had to answer again for the switch.
    assert.deepEqual(atClient, ["path_validated", "path_changed"]);
    assert.deepEqual(traced(s, "client"), ["validating", "validated", "active"]);
    assert.deepEqual(traced(s, "server"), [
      `validating ${local.key}`,
      `validated ${local.key}`,
      `validating ${home}`,
      `active ${local.key}`,
      `validated ${home}`,
    ]);
    assert.equal(server.paths.active.remote.key, local.key);
  });

  it("the server hears of an address that does not answer", () => {
    const s = scenario();
    const { client, server } = s.connect();
    s.run(200);
    const seen = pathEvents(s, s.server);
    const forged = makeAddress("198.51.100.9", 1);
    s.up.filter = ({ bytes }) => {
      s.up.filter = null;
      s.net.inject(bytes, forged, s.server.address);
      return false;
    };
    client.ping();
    s.run(5000);
    // rfc9000#9.3.2 MUST revert to using the last validated peer address
    const home = s.client.address.key;
    assert.ok(seen.includes(`path_failed ${forged.key}`), seen.join());
    assert.ok(!seen.includes(`path_validated ${forged.key}`), seen.join());
    assert.equal(seen.filter((each) => each.startsWith("path_changed")).at(-1), `path_changed ${home}`);
    assert.ok(traced(s, "server").includes(`abandoned ${forged.key}`));
    assert.equal(server.remote.key, home);
  });

  it("every path has connection IDs of its own, in both directions", () => {
    const s = scenario();
    const { client, server } = s.connect();
    s.run(200);
    const other = path(client, socket(s.client, "192.0.2.200", 1234));
    const used = new Map<string, Set<string>>();
    const watch = (datagram: { bytes: Uint8Array; from: Address; to: Address }): boolean => {
      if ((datagram.bytes[0]! & 0x80) !== 0) return true;
      const way = `${datagram.from.key} ${datagram.to.key}`;
      const cids = used.get(way) ?? new Set<string>();
      used.set(way, cids.add(toHex(datagram.bytes.subarray(1, 9))));
      return true;
    };
    s.up.filter = watch;
    s.down.filter = watch;
    assert.equal(client.migration.probe(other, s.net.now), null);
    client.wake();
    s.run(200);
    client.migration.switchTo(other, s.net.now);
    const opened = s.open(client, 200_000, false)!;
    s.until("the transfer", () => finished(s, server, opened.stream.id), 60_000);
    const all = [...used.values()].flatMap((cids) => [...cids]);
    // rfc9000#9.5 An endpoint MUST NOT reuse a connection ID when sending from more than one local address, … nor to more than
    // one destination address.
    assert.equal(
      new Set(all).size,
      all.length,
      JSON.stringify([...used].map(([way, cids]) => [way, ...cids])),
    );
  });

  it("a path that does not answer is given up; the connection stays where it is", () => {
    const s = scenario();
    const { client, server } = s.connect();
    s.run(200);
    const seen = pathEvents(s);
    const local = makeAddress("192.0.2.250", 9);
    markForeign(local, true);
    s.client.others.push(local);
    s.up.filter = ({ from }) => from.key !== local.key;
    const dead = path(client, local);
    assert.equal(client.migration.probe(dead, s.net.now), null);
    client.wake();
    s.run(10_000);
    assert.deepEqual(seen, ["path_failed"]);
    assert.equal(client.migration.switchTo(dead, s.net.now), "unvalidated");
    const opened = s.open(client, 100_000, false)!;
    s.until("a transfer", () => finished(s, server, opened.stream.id), 60_000);
    // It may be tried again, and closed; its connection ID is retired and another comes.
    assert.equal(client.migration.probe(dead, s.net.now), null);
    assert.ok(client.paths.remove(dead));
    s.run(500);
    assert.equal(client.remoteCids.activeCount, 4);
  });

  // rfc9000#9.4 A sender can make exceptions for probe packets so that their loss detection is independent and does not unduly
  // cause the congestion controller to reduce its sending rate.
  it("probes that are lost, or slow, tell nothing of the path in use", () => {
    const s = scenario();
    const { client, server } = s.connect();
    s.run(200);
    const local = socket(s.client, "192.0.2.250", 9);
    const dead = path(client, local);
    s.up.filter = ({ from }) => from.key !== local.key;
    const opened = s.open(client, 3_000_000, false)!;
    assert.equal(client.migration.probe(dead, s.net.now), null);
    client.wake();
    const { rtt } = client;
    s.until("the transfer", () => finished(s, server, opened.stream.id), 60_000);
    s.run(10_000);
    assert.equal(dead.validation.state, "failed");
    assert.ok(dead.datagramsSent > 1);
    assert.equal(client.controller.recoveryStart, -Infinity, "no loss on the path in use");
    assert.equal(client.recovery.bytesInFlight, 0);
    // One that takes a second.
    const far = socket(s.client, "192.0.2.251", 9);
    s.client.routes.set(far.key, {
      outbound: [s.net.link({ delay: 500 })],
      inbound: [s.net.link({ delay: 500 })],
    });
    client.paths.remove(dead);
    s.run(200);
    const slow = path(client, far);
    assert.equal(client.migration.probe(slow, s.net.now), null);
    client.wake();
    s.run(2000);
    assert.equal(slow.validation.state, "succeeded");
    assert.ok(rtt.latest < 100 && rtt.smoothed < 100, `${rtt.latest}, ${rtt.smoothed}`);
  });

  // rfc9000#9.4 On confirming a peer's ownership of its new address, an endpoint MUST immediately reset the congestion controller
  // and round-trip time estimator for the new path.
  it("a client that only receives: its new address has a window of its own as soon as it has proved itself", () => {
    const link = { delay: 20, rate: 1250, queue: 40 };
    replayed(
      () => scenario({ up: link, down: link }),
      (s) => {
        const { client, server } = s.connect();
        s.run(200);
        const opened = s.open(server, 8_000_000, false)!;
        s.run(3000);
        const received = (): number => s.state(client).streams.get(opened.stream.id)?.received ?? 0;
        const { cwnd } = server.controller;
        assert.ok(cwnd > 50_000);
        s.client.address = makeAddress("198.51.100.7", 50_000);
        s.until("the address proves itself", () => {
          const { active } = server.paths;
          return active.remote.key === s.client.address.key && active.validated;
        });
        assert.ok(server.controller.cwnd < cwnd / 2 && !server.rtt.hasSample, `${server.controller.cwnd}`);
        // It goes back: the challenges that went to where nobody is cost the old path nothing.
        s.run(200);
        s.client.address = makeAddress("192.0.2.1", 50_000);
        client.ping();
        s.run(500);
        const before = received();
        s.run(1000);
        assert.ok(received() - before > 0.85 * 1_250_000, `${received() - before} bytes in a second`);
      },
    );
  });

  it("is refused where it cannot be", () => {
    const local = makeAddress("192.0.2.200", 1);
    markForeign(local, true);
    const plain = scenario();
    const before = plain.dial();
    assert.equal(before.migration.add(local), "unconfirmed");
    const { client, server } = plain.connect();
    plain.run(200);
    assert.equal(server.migration.add(local), "server");
    for (let i = 1; i < MAX_PATHS; i++) path(client, socket(plain.client, "192.0.2.200", i));
    assert.equal(client.migration.add(local), "too_many");
    // rfc9000#9 … MUST NOT initiate … disable_active_migration
    const fixed = scenario({ server: { disableActiveMigration: true } });
    const pinned = fixed.connect().client;
    fixed.run(200);
    assert.equal(pinned.migration.add(local), "disabled");
  });

  it("more paths than the server gave connection IDs for wait", () => {
    const s = scenario({ client: { activeConnectionIdLimit: 2 } });
    const { client } = s.connect();
    s.run(200);
    const first = path(client, socket(s.client, "192.0.2.200", 1));
    const second = path(client, socket(s.client, "192.0.2.201", 1));
    assert.equal(client.migration.probe(first, s.net.now), null);
    assert.equal(client.migration.probe(second, s.net.now), "no_spare_id");
    client.paths.remove(first);
    client.wake();
    s.run(500);
    assert.equal(client.migration.probe(second, s.net.now), null);
  });

  it("a storm of rebindings costs no more than the bounds, and all arrives", () => {
    replayed(
      () => scenario(),
      (s) => {
        const { client, server } = s.connect();
        s.run(200);
        const opened = s.open(client, 1_000_000, false)!;
        for (let i = 0; i < 200; i++) {
          s.net.at(s.net.now + 10 * i, () => {
            s.client.address = makeAddress(`192.0.2.${1 + (i % 50)}`, 40_000 + i);
            assert.ok(server.paths.all.length <= MAX_PATHS);
          });
        }
        s.until("the transfer", () => finished(s, server, opened.stream.id), 120_000);
        assert.equal(s.state(server).error, null);
        s.run(2000);
        assert.equal(server.remote.key, s.client.address.key);
      },
    );
  });

  it("connection IDs that were retired are not used again, whatever moves", () => {
    const s = scenario();
    const { client, server } = s.connect();
    s.run(200);
    const retired = new Set<string>();
    for (let i = 0; i < 6; i++) {
      const before = client.localCids.values.map(toHex);
      assert.ok(client.renewConnectionIds(s.net.now));
      assert.ok(server.renewConnectionIds(s.net.now));
      s.run(300);
      for (const old of before) retired.add(old);
      const now = client.localCids.values.map(toHex);
      assert.ok(
        now.every((cid) => !retired.has(cid)),
        "new ones",
      );
      assert.equal(now.length, before.length);
      assert.ok(!retired.has(toHex(server.remoteCids.current)));
    }
    const opened = s.open(client, 100_000, false)!;
    s.until("a transfer", () => finished(s, server, opened.stream.id), 60_000);
    assert.equal(s.state(client).error, null);
    assert.equal(s.state(server).error, null);
  });
});

describe("the server's preferred address in the simulator", () => {
  const preferring = (options: Partial<ScenarioOptions> = {}): { s: Scenario; local: Address } => {
    const ipv4 = { ip: "203.0.113.99", port: 4444 };
    const s = scenario({ ...options, server: { preferredAddress: { ipv4, ipv6: null }, ...options.server } });
    return { s, local: socket(s.server, ipv4.ip, ipv4.port) };
  };

  it("the client goes there after the handshake, with another connection ID", () => {
    const { s, local } = preferring();
    const { client, server } = s.connect();
    s.run(500);
    assert.equal(client.remote.key, local.key);
    assert.equal(client.remoteCids.currentSequence, 1);
    const opened = s.open(client, 200_000, false)!;
    s.until("a transfer", () => finished(s, server, opened.stream.id), 60_000);
    assert.equal(server.paths.active.local?.key, local.key);
    assert.equal(s.state(client).error, null);
  });

  it("of IPv6, where that is the family in use", () => {
    const ipv6 = { ip: "2001:db8::99", port: 4444 };
    const ipv4 = { ip: "203.0.113.99", port: 4444 };
    for (const preferredAddress of [
      { ipv4: null, ipv6 },
      { ipv4, ipv6 },
    ]) {
      const s = scenario({ server: { preferredAddress } });
      s.client.address = makeAddress("2001:db8:1::1", 50_000);
      s.server.address = makeAddress("2001:db8::1", 4433);
      const local = socket(s.server, ipv6.ip, ipv6.port);
      const { client, server } = s.connect();
      s.run(500);
      assert.equal(client.remote.key, local.key);
      const opened = s.open(client, 200_000, false)!;
      s.until("a transfer", () => finished(s, server, opened.stream.id), 60_000);
      assert.equal(server.paths.active.local?.key, local.key);
      assert.deepEqual([s.state(client).error, s.state(server).error], [null, null]);
    }
  });

  // rfc9000#9.6.1 the client SHOULD select one of the two addresses: only the family in use is known to work from here.
  it("of the other family alone is not tried", () => {
    for (const version of [4, 6]) {
      const ipv4 = { ip: "203.0.113.99", port: 4444 };
      const ipv6 = { ip: "2001:db8::99", port: 4444 };
      const preferredAddress = version === 4 ? { ipv4: null, ipv6 } : { ipv4, ipv6: null };
      const s = scenario({ server: { preferredAddress } });
      if (version === 6) {
        s.client.address = makeAddress("2001:db8:1::1", 50_000);
        s.server.address = makeAddress("2001:db8::1", 4433);
      }
      const offered = version === 4 ? ipv6 : ipv4;
      const local = socket(s.server, offered.ip, offered.port);
      let tried = 0;
      s.up.filter = ({ to }) => {
        if (to.key === local.key) tried++;
        return true;
      };
      const { client, server } = s.connect();
      const opened = s.open(client, 200_000, false)!;
      s.until("a transfer", () => finished(s, server, opened.stream.id), 60_000);
      s.run(1000);
      assert.deepEqual([tried, client.paths.all.length], [0, 1]);
      assert.equal(client.remote.key, s.server.address.key);
      assert.equal(s.state(client).error, null);
    }
  });

  it("also where the server forbids other moves", () => {
    const { s, local } = preferring({ server: { disableActiveMigration: true } });
    const { client } = s.connect();
    s.run(500);
    assert.equal(client.remote.key, local.key);
  });

  // rfc9000#9.6.1 the client MUST continue sending all future packets to the server's original IP address.
  it("one that does not answer is left alone", () => {
    const { s, local } = preferring();
    s.up.filter = ({ to }) => to.key !== local.key;
    const { client, server } = s.connect();
    const opened = s.open(client, 200_000, false)!;
    s.until("a transfer", () => finished(s, server, opened.stream.id), 60_000);
    s.run(10_000);
    assert.equal(client.remote.key, s.server.address.key);
    assert.equal(client.paths.all.length, 1);
    assert.equal(s.state(client).error, null);
  });

  it("a client that does not want to stays", () => {
    const { s } = preferring({ client: { followPreferredAddress: false } });
    const { client } = s.connect();
    s.run(500);
    assert.equal(client.remote.key, s.server.address.key);
  });
});
