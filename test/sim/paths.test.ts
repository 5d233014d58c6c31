// What is measured on each path, packets on a chosen one, and packets that somebody off the path forwards. rfc9000#9
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Connection } from "../../internal/connection/connection.ts";
import { markForeign, type Path } from "../../internal/path/path.ts";
import { makeAddress, type Address } from "../../internal/protocol/address.ts";
import { replayed, Scenario, type ScenarioOptions } from "./scenario.ts";

const scenario = (options: Partial<ScenarioOptions> = {}): Scenario =>
  new Scenario({
    seed: 31,
    nullAead: true,
    traced: true,
    up: { delay: 20 },
    down: { delay: 20 },
    ...options,
  });

function add(s: Scenario, client: Connection, ip: string): Path {
  const local = makeAddress(ip, 1234);
  markForeign(local, true);
  s.client.others.push(local);
  const made = client.migration.add(local);
  assert.ok(typeof made !== "string", String(made));
  return made;
}

function delays(s: Scenario, ms: number): void {
  s.up.options.delay = s.down.options.delay = ms;
}

describe("measurements of each path", () => {
  it("are kept when data goes elsewhere, and go on where it comes back", () => {
    replayed(
      () => scenario(),
      (s) => {
        const { client, server } = s.connect();
        s.run(200);
        s.transfer(client, server, 500_000);
        const home = client.paths.active;
        const at = (path: Path) => client.pathKeeper.estimates(path);
        const before = at(home);
        assert.ok(before.smoothedRtt >= 40 && before.smoothedRtt < 80, `${before.smoothedRtt}`);
        assert.ok(before.congestionWindow > 12_520 && before.minRtt >= 40);
        const other = add(s, client, "192.0.2.200");
        assert.deepEqual([at(other).smoothedRtt, at(other).congestionWindow], [0, 0]);
        delays(s, 80);
        assert.equal(client.migration.probe(other, s.net.now), null);
        client.wake();
        s.run(500);
        // The probe was answered: so long it took.
        assert.ok(at(other).smoothedRtt >= 159.9 && at(other).smoothedRtt < 200, `${at(other).smoothedRtt}`);
        assert.ok(at(home).smoothedRtt < 160);
        const lost = at(home).packetsLost;
        s.up.options.loss = 0.02;
        assert.equal(client.migration.switchTo(other, s.net.now), null);
        s.transfer(client, server, 500_000);
        s.up.options.loss = 0;
        const there = at(other);
        assert.ok(there.smoothedRtt >= 159.9, `${there.smoothedRtt}`);
        assert.ok(there.packetsLost > 3 && there.bytesLost > 3000, `${there.packetsLost}`);
        // What was known of the first stays as it was when it was left.
        const left = at(home);
        assert.ok(left.smoothedRtt < 160 && left.congestionWindow > 0);
        assert.equal(left.packetsLost, lost);
        assert.equal(client.recovery.losses.packets, left.packetsLost + there.packetsLost);
        assert.equal(client.recovery.losses.bytes, left.bytesLost + there.bytesLost);
        delays(s, 20);
        assert.equal(client.migration.switchTo(home, s.net.now), null);
        s.transfer(client, server, 200_000);
        assert.ok(at(home).smoothedRtt < 80);
        assert.equal(at(other).packetsLost, there.packetsLost);
        assert.ok(at(other).smoothedRtt >= 159.9);
        // The server has measured both as well.
        const [first, second] = server.paths.all.map((path) => server.pathKeeper.estimates(path));
        assert.ok(first!.smoothedRtt > 0 && second!.smoothedRtt > 0);
      },
    );
  });

  it("what had left before the move and is lost is the old path's loss", () => {
    const s = scenario();
    const { client, server } = s.connect();
    s.run(200);
    s.transfer(client, server, 200_000);
    const home = client.paths.active;
    const other = add(s, client, "192.0.2.200");
    assert.equal(client.migration.probe(other, s.net.now), null);
    client.wake();
    s.run(200);
    const opened = s.open(client, 300_000, false)!;
    s.up.filter = ({ from }) => from.key !== s.client.address.key;
    s.run(5);
    assert.ok(client.recovery.bytesInFlight > 0);
    assert.equal(client.migration.switchTo(other, s.net.now), null);
    s.until("the rest", () => s.state(server).streams.get(opened.stream.id)?.finished === true, 60_000);
    const at = (path: Path) => client.pathKeeper.estimates(path);
    assert.ok(at(home).packetsLost > 5, `${at(home).packetsLost}`);
    // Some answers to the server's own probes of the old path, at most.
    assert.ok(at(other).packetsLost <= 3, `${at(other).packetsLost}`);
  });
});

describe("one ack-eliciting packet on a chosen path", () => {
  it("leaves there, is answered there, and moves nobody", () => {
    const s = scenario();
    const { client, server } = s.connect();
    s.run(200);
    const other = add(s, client, "192.0.2.200");
    assert.equal(client.migration.ping(other), null);
    s.run(30);
    assert.equal(other.datagramsSent, 1);
    s.run(200);
    // rfc9000#9.1 a probing frame: no validation of ours, and the server stays where it is.
    assert.equal(other.validation.state, "idle");
    assert.ok(other.datagramsReceived > 0);
    assert.ok(client.pathKeeper.estimates(other).smoothedRtt >= 40);
    assert.equal(server.remote.key, s.client.address.key);
    // The server can do the same on what it knows.
    const known = server.paths.all.find((path) => path !== server.paths.active)!;
    const before = known.datagramsSent;
    assert.equal(server.migration.ping(known), null);
    s.run(200);
    assert.equal(known.datagramsSent, before + 1);
    assert.ok(server.pathKeeper.estimates(known).latestRtt >= 40);
    // On the one in use it is a PING.
    const acked = client.recovery.largestAcked(2);
    assert.equal(client.migration.ping(client.paths.active), null);
    s.run(200);
    assert.ok(client.recovery.largestAcked(2) > acked);
    assert.equal(s.state(client).error, null);
  });
});

// rfc9000#9.4 packets sent on another path MUST NOT contribute to congestion control and RTT estimation of this one.
it("a probe of a slow path changes nothing of what is measured on the one in use", () => {
  const s = scenario();
  const { client, server } = s.connect();
  s.run(200);
  s.transfer(client, server, 100_000);
  const other = add(s, client, "192.0.2.200");
  const slow = other.local!;
  s.up.filter = ({ bytes, from, to }) => {
    if (from.key !== slow.key) return true;
    s.net.at(s.net.now + 400, () => s.net.inject(bytes, slow, to));
    return false;
  };
  const { smoothedRtt, congestionWindow, packetsLost } = client.pathKeeper.estimates(client.paths.active);
  assert.equal(client.migration.ping(other), null);
  s.run(50);
  assert.equal(client.recovery.bytesInFlight, 0);
  s.run(2000);
  const after = client.pathKeeper.estimates(client.paths.active);
  assert.ok(Math.abs(after.smoothedRtt - smoothedRtt) < 5, `${after.smoothedRtt}, was ${smoothedRtt}`);
  assert.deepEqual([after.congestionWindow, after.packetsLost], [congestionWindow, packetsLost]);
  assert.ok(client.pathKeeper.estimates(other).smoothedRtt > 400);
});

describe("a preferred address where nobody is", () => {
  // rfc9000#21.5.3 a hostile server names somebody else's address: that gets probes, and few.
  it("gets a handful of probes, and nothing else", () => {
    const victim = { ip: "203.0.113.200", port: 53 };
    const s = scenario({ server: { preferredAddress: { ipv4: victim, ipv6: null } } });
    const there: number[] = [];
    s.net.onUnrouted = ({ to, bytes }) => {
      if (to.ip === victim.ip) there.push(bytes.length);
    };
    const { client, server } = s.connect();
    s.transfer(client, server, 300_000);
    s.run(20_000);
    assert.ok(there.length >= 1 && there.length <= 5, `${there.length} datagrams`);
    // rfc9000#8.2.1 an endpoint MUST expand datagrams that contain a PATH_CHALLENGE frame: no more than that.
    assert.ok(there.every((bytes) => bytes === 1200));
    assert.equal(client.remote.key, s.server.address.key);
    assert.equal(client.paths.all.length, 1);
    assert.equal(s.state(client).error, null);
  });
});

describe("packets that somebody off the path forwards", () => {
  /** Copies of everything the client sends arrive from elsewhere, before the originals. */
  function forwarding(s: Scenario, from: Address, until: number): { count: number } {
    const seen = { count: 0 };
    s.up.filter = ({ bytes }) => {
      if (s.net.now < until && (bytes[0]! & 0x80) === 0) {
        seen.count++;
        s.net.inject(bytes, from, s.server.address);
      }
      return true;
    };
    return seen;
  }

  // rfc9000#9.3.3 an off-path attacker that can observe packets might forward copies of genuine packets to endpoints.
  it("faster than the client itself: the connection comes back, and all arrives", () => {
    replayed(
      () => scenario(),
      (s) => {
        const { client, server } = s.connect();
        s.run(200);
        const spoofed = makeAddress("198.51.100.9", 1);
        const seen = forwarding(s, spoofed, s.net.now + 2000);
        const up = s.open(client, 400_000, false)!;
        const down = s.open(server, 400_000, false)!;
        s.until(
          "both transfers",
          () =>
            s.state(server).streams.get(up.stream.id)?.finished === true &&
            s.state(client).streams.get(down.stream.id)?.finished === true,
          120_000,
        );
        assert.ok(seen.count > 10, `${seen.count}`);
        s.run(3000);
        assert.equal(server.remote.key, s.client.address.key);
        assert.deepEqual([s.state(client).error, s.state(server).error], [null, null]);
      },
    );
  });

  it("for good: what the attacker's address gets stays within three times what came from there", () => {
    const s = scenario();
    const { client, server } = s.connect();
    s.run(200);
    const spoofed = makeAddress("198.51.100.9", 1);
    let there = 0;
    let from = 0;
    s.net.onUnrouted = ({ to, bytes }) => {
      if (to.key === spoofed.key) there += bytes.length;
    };
    s.up.filter = ({ bytes }) => {
      if ((bytes[0]! & 0x80) === 0) {
        from += bytes.length;
        s.net.inject(bytes, spoofed, s.server.address);
      }
      return true;
    };
    s.open(server, 2_000_000, false);
    s.open(client, 50_000, false);
    s.run(10_000);
    assert.ok(from > 0 && there <= 3 * from, `${there} for ${from}`);
    assert.ok(server.paths.all.length <= 4);
  });
});
