// Who comes in, who has to prove an address, who is turned away: on the endpoint, without handshakes.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { verifyRetry } from "../../internal/handshake/retry.ts";
import { hostOf, Hosts } from "../../internal/endpoint/hosts.ts";
import type { EndpointOptions } from "../../internal/endpoint/types.ts";
import { makeAddress, type Address } from "../../internal/protocol/address.ts";
import { PACKET_INITIAL, VERSION_1 } from "../../internal/protocol/constants.ts";
import { FAILED_INITIALS, MAX_TRACKED_HOSTS, RATES } from "../../internal/protocol/limits.ts";
import { parseRetry, patchLength, writeLongHeader } from "../../internal/wire/header.ts";
import { Bench, CLIENT, longPacket, OTHER } from "./fake.ts";

const dcid = (n: number, length = 8) => new Uint8Array(length).fill(n);
const from = (n: number) => makeAddress(`10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`, 5000);

function initial(to: Uint8Array, token: Uint8Array = new Uint8Array(0)): Uint8Array {
  const out = new Uint8Array(1200);
  const pn = writeLongHeader(out, 0, PACKET_INITIAL, VERSION_1, to, dcid(0xcc), token, 4, 0);
  patchLength(out, pn, out.length - pn);
  return out;
}

function listening(options: Partial<EndpointOptions> = {}): Bench {
  const bench = new Bench(options);
  bench.endpoint.listen({});
  return bench;
}

const ALL = { verifySourceAddress: () => true };

describe("Retry", () => {
  test("is sent instead of a connection, and its token lets in", () => {
    const bench = listening(ALL);
    bench.receive([initial(dcid(1))]);
    assert.equal(bench.made.length, 0);
    assert.deepEqual(bench.drops, ["address_unvalidated"]);
    const { datagrams, remotes } = bench.transmit();
    assert.deepEqual(remotes, [CLIENT]);
    assert.ok(verifyRetry(bench.provider, VERSION_1, dcid(1), datagrams[0]!));
    const retry = parseRetry(datagrams[0]!, 0, datagrams[0]!.length)!;
    assert.deepEqual(retry.dcid, dcid(0xcc));
    // rfc9000#17.2.5.1 MUST NOT be equal to the Destination Connection ID field of the packet sent by the client
    assert.notDeepEqual(retry.scid, dcid(1));
    bench.receive([initial(retry.scid, retry.token)]);
    assert.equal(bench.made.length, 1);
    assert.deepEqual(bench.made[0]!.initial!.originalDcid, dcid(1));
    assert.deepEqual(bench.made[0]!.initial!.dcid, retry.scid);
    assert.equal(bench.made[0]!.initial!.validated, true);
    assert.equal(bench.endpoint.stats.statelessSent.retry, 1);
    assert.equal(bench.endpoint.stats.connectionsRefused, 0);
  });

  test("a token of it that is not good ends the attempt with INVALID_TOKEN", () => {
    const bench = listening(ALL);
    bench.receive([initial(dcid(1))]);
    const answer = bench.transmit().datagrams[0]!;
    const retry = parseRetry(answer, 0, answer.length)!;
    bench.receive([[initial(retry.scid, retry.token), OTHER]]);
    bench.receive([initial(dcid(9), retry.token)]);
    assert.deepEqual(bench.drops.slice(1), ["invalid_token", "invalid_token"]);
    assert.equal(bench.endpoint.stats.statelessSent.connection_close, 2);
    // A token nobody here sealed is as good as none.
    const forged = retry.token.slice();
    forged[30]! ^= 1;
    bench.receive([initial(retry.scid, forged)]);
    assert.equal(bench.drops.at(-1), "address_unvalidated");
    assert.equal(bench.made.length, 0);
  });

  test("is demanded of everybody while too many have not proved their address", () => {
    const bench = listening({ maxUnvalidatedHandshakes: 3 });
    for (let n = 0; n < 5; n++) bench.receive([[initial(dcid(n + 1)), from(n)]]);
    assert.equal(bench.made.length, 3);
    assert.deepEqual(bench.drops, ["address_unvalidated", "address_unvalidated"]);
    // One is done: there is room for another.
    bench.made[0]!.emit({ type: "handshake_complete" });
    while (bench.endpoint.pollEvent() !== null);
    bench.receive([[initial(dcid(9)), from(9)]]);
    assert.equal(bench.made.length, 4);
    // And who was there before is asked for no proof.
    bench.receive([[initial(dcid(10)), from(0)]]);
    assert.equal(bench.made.length, 5);
    assert.equal(bench.made[4]!.initial!.validated, false);
  });

  test("is demanded while first packets turn out to be garbage", () => {
    const bench = listening();
    bench.authenticates = false;
    for (let n = 0; n < FAILED_INITIALS.burst; n++) bench.receive([[initial(dcid(n)), from(n)]]);
    assert.equal(bench.made.length, FAILED_INITIALS.burst);
    bench.authenticates = true;
    bench.receive([initial(dcid(200))]);
    assert.equal(bench.drops.at(-1), "address_unvalidated");
    bench.receive([initial(dcid(200))], 1000);
    assert.equal(bench.made.length, FAILED_INITIALS.burst + 1);
  });
});

describe("turned away", () => {
  test("a busy server refuses, whatever the token", () => {
    const bench = listening();
    bench.endpoint.busy = true;
    bench.receive([initial(dcid(1))]);
    assert.deepEqual(bench.drops, ["server_busy"]);
    assert.equal(bench.endpoint.stats.connectionsRefused, 1);
    assert.equal(bench.endpoint.stats.busyRefusals, 1);
    bench.endpoint.busy = false;
    bench.receive([initial(dcid(1))]);
    assert.equal(bench.made.length, 1);
  });

  test("a host has so many connections, an IPv6 /64 being one", () => {
    const bench = listening({ maxConnectionsPerHost: 2 });
    const addresses = ["2001:db8:0:1::5", "2001:db8:0:1:a:b:c:d", "2001:db8:0:1::9", "2001:db8:0:2::5"];
    addresses.forEach((ip, n) => bench.receive([[initial(dcid(n + 1)), makeAddress(ip, 9)]]));
    assert.equal(bench.made.length, 3);
    assert.deepEqual(bench.drops, ["server_busy"]);
    bench.made[0]!.isClosed = true;
    bench.endpoint.handleTimeout(0, 0);
    bench.receive([[longPacket({ dcid: dcid(1) }), makeAddress(addresses[0]!, 9)]]);
    bench.receive([[initial(dcid(7)), makeAddress(addresses[1]!, 9)]]);
    assert.equal(bench.made.length, 4);
  });

  test("the filter's are dropped without an answer", () => {
    const bench = listening({ isBlocked: ({ ip }) => ip === CLIENT.ip });
    bench.receive([initial(dcid(1)), [initial(dcid(2)), OTHER]]);
    assert.deepEqual(bench.drops, ["blocked"]);
    assert.equal(bench.made.length, 1);
    assert.equal(bench.transmit().datagrams.length, 0);
  });

  test("new connections have a rate, in all and for each host", () => {
    const slow = { total: { perSecond: 10, burst: 4 }, host: { perSecond: 1, burst: 2 } };
    const bench = listening({ rates: { ...RATES, newConnection: slow } });
    for (let n = 0; n < 3; n++) bench.receive([initial(dcid(n + 1))]);
    assert.deepEqual([bench.made.length, bench.drops], [2, ["rate_limited"]]);
    for (let n = 3; n < 6; n++) bench.receive([[initial(dcid(n + 1)), from(n)]]);
    assert.equal(bench.made.length, 4);
    bench.receive([[initial(dcid(7)), from(7)]], 100);
    assert.equal(bench.made.length, 5);
    bench.receive([initial(dcid(8))], 2000);
    assert.equal(bench.made.length, 6);
  });

  test("Retry has a rate", () => {
    const bench = listening(ALL);
    const { burst } = RATES.retry.host;
    for (let n = 0; n < burst + 10; n++) {
      bench.receive([initial(dcid(n & 0xff))]);
      bench.transmit();
    }
    assert.equal(bench.endpoint.stats.statelessSent.retry, burst);
    assert.equal(bench.endpoint.stats.dropped.rate_limited, 10);
  });

  test("stateless resets can be switched off", () => {
    const bench = new Bench();
    bench.endpoint.sendsResets = false;
    bench.receive([Uint8Array.of(0x40, ...new Uint8Array(60))]);
    assert.equal(bench.transmit().datagrams.length, 0);
    bench.endpoint.sendsResets = true;
    bench.receive([Uint8Array.of(0x40, ...new Uint8Array(60))]);
    assert.equal(bench.transmit().datagrams.length, 1);
  });
});

describe("hosts", () => {
  test("an address's host", () => {
    const host = (ip: string) => hostOf(makeAddress(ip, 1));
    assert.equal(host("192.0.2.1"), "192.0.2.1");
    assert.equal(host("::ffff:192.0.2.1"), "::ffff:192.0.2.1");
    for (const [ip, expected] of [
      ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
      ["2001:db8::1", "2001:db8:0:0"],
      ["::1", "0:0:0:0"],
      ["2001:db8::", "2001:db8:0:0"],
      ["::2:3:4:5:6:7", "0:0:2:3"],
      ["1::5:6:7:8", "1:0:0:0"],
    ] as const) {
      assert.equal(host(ip), expected, ip);
    }
  });

  test("memory is bounded by those with connections and so many others", () => {
    const hosts = new Hosts(RATES);
    const kept: Address[] = [];
    for (let n = 0; n < 3 * MAX_TRACKED_HOSTS; n++) {
      const address = from(n);
      hosts.take("retry", address, 0);
      if (n % 1000 === 0) {
        hosts.onOpened(address);
        kept.push(address);
      }
    }
    assert.ok(hosts.size <= MAX_TRACKED_HOSTS + kept.length);
    for (const address of kept) {
      assert.equal(hosts.connectionsOf(address), 1);
      hosts.onClosed(address);
      hosts.onClosed(address);
      assert.equal(hosts.connectionsOf(address), 0);
    }
    assert.ok(hosts.size <= MAX_TRACKED_HOSTS);
  });

  test("a host that has used up its rate does not use up everybody's", () => {
    const hosts = new Hosts({
      ...RATES,
      retry: { total: { perSecond: 1, burst: 10 }, host: { perSecond: 1, burst: 2 } },
    });
    for (let n = 0; n < 50; n++) hosts.take("retry", CLIENT, 0);
    assert.ok(hosts.take("retry", OTHER, 0));
  });
});
