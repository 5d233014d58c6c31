// The latency spin bit: rfc9000#17.4.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { SpinMode } from "../../internal/path/spin-bit.ts";
import { SPIN_BIT } from "../../internal/wire/header.ts";
import { Scenario } from "./scenario.ts";

/** The times at which the bit of the client's packets changes, as an observer beside its link sees them. */
function edges(seed: number, mode: SpinMode): { edges: number[]; first: boolean | null } {
  const config = { spinBit: mode };
  const link = { delay: 25 };
  const s = new Scenario({ seed, nullAead: true, up: link, down: link, client: config, server: config });
  const seen: number[] = [];
  let last: boolean | null = null;
  let first: boolean | null = null;
  s.up.filter = ({ bytes }, _index, now) => {
    if ((bytes[0]! & 0x80) !== 0) return true;
    const spin = (bytes[0]! & SPIN_BIT) !== 0;
    first ??= spin;
    if (last !== null && spin !== last) seen.push(now);
    last = spin;
    return true;
  };
  const { client, server } = s.connect();
  const opened = s.open(client, 2_000_000, false)!;
  s.until("the transfer", () => s.state(server).streams.get(opened.stream.id)?.finished === true, 60_000);
  return { edges: seen, first };
}

describe("spin bit in the simulator", () => {
  it("on: changes once in a round trip", () => {
    let spinning = 0;
    for (let seed = 1; seed <= 6; seed++) {
      const seen = edges(seed, "on").edges;
      if (seen.length === 0) continue;
      spinning++;
      const periods = seen.slice(1).map((at, i) => at - seen[i]!);
      assert.ok(periods.length > 3, `${periods.length}`);
      for (const period of periods) assert.ok(period >= 49 && period < 90, `${period} ms`);
    }
    assert.ok(spinning >= 3);
  });

  // rfc9000#17.4 endpoints MUST disable their use of the spin bit for a random selection of at least one in every 16 network
  // paths
  it("on: one connection in some does not spin all the same", () => {
    let still = 0;
    for (let seed = 1; seed <= 60 && still === 0; seed++) if (edges(seed, "on").edges.length === 0) still++;
    assert.ok(still > 0);
  });

  // rfc9000#17.4 An endpoint resets the spin value for a network path to 0 when changing the connection ID being used on it.
  it("on: begins anew with another connection ID, by our own wish or the peer's", () => {
    for (const own of [true, false]) {
      let spinning = 0;
      for (let seed = 1; seed <= 6; seed++) {
        const config = { spinBit: "on" } as const;
        const link = { delay: 25 };
        const s = new Scenario({
          seed,
          nullAead: true,
          up: link,
          down: link,
          client: config,
          server: config,
        });
        const { client, server } = s.connect();
        s.run(200);
        s.open(client, 2_000_000, false);
        const { spin } = client.paths.active;
        // One in some does not spin.
        if (!s.net.runUntil(() => spin.value, 500)) continue;
        const before = client.remoteCids.currentSequence;
        const changed = (): boolean => client.remoteCids.currentSequence !== before;
        if (own) assert.ok(client.remoteCids.retire(before));
        else {
          // What comes meanwhile leaves it as it is.
          const spun = spin.onReceived.bind(spin);
          spin.onReceived = () => {};
          assert.ok(server.renewConnectionIds(s.net.now));
          s.until("another connection ID", changed);
          spin.onReceived = spun;
        }
        assert.ok(changed());
        assert.equal(spin.value, false, `seed ${seed}`);
        spinning++;
      }
      assert.ok(spinning >= 3);
    }
  });

  it("off: always 0; greased: never changes, and is not always the same", () => {
    const firsts = new Set<boolean | null>();
    for (let seed = 1; seed <= 12; seed++) {
      assert.deepEqual(edges(seed, "off"), { edges: [], first: false });
      const greased = edges(seed, "greased");
      assert.deepEqual(greased.edges, []);
      firsts.add(greased.first);
    }
    assert.deepEqual(firsts, new Set([true, false]));
  });
});
