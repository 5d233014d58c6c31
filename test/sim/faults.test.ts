// Networks and machines that misbehave in the middle of things.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { retryIntegrityTag } from "../../internal/handshake/retry.ts";
import { makeAddress } from "../../internal/protocol/address.ts";
import { concatBytes } from "../../internal/protocol/bytes.ts";
import { PACKET_INITIAL, TRANSPORT_PARAMETER_ERROR, VERSION_1 } from "../../internal/protocol/constants.ts";
import { TransportError } from "../../internal/protocol/errors.ts";
import { simProvider } from "../../internal/crypto/sim.ts";
import { encodeRetry, LongHeader, parseLongHeader } from "../../internal/wire/header.ts";
import { seededFloat } from "./network.ts";
import { replayed, Scenario, type StreamState } from "./scenario.ts";

const LINK = { delay: 20, rate: 1000, queue: 200 };

/** Starts a transfer and lets it get under way. */
function underway(scenario: Scenario, from: "client" | "server" = "client"): () => void {
  const pair = scenario.connect();
  const [sender, receiver] = from === "client" ? [pair.client, pair.server] : [pair.server, pair.client];
  const own = scenario.open(sender, 1_000_000, false)!;
  const theirs = (): StreamState | undefined => scenario.state(receiver).streams.get(own.stream.id);
  scenario.until("data flows", () => (theirs()?.received ?? 0) > 100_000);
  return () => {
    scenario.until(
      "all arrives",
      () => theirs()?.finished === true || scenario.state(sender).error !== null,
      300_000,
    );
    scenario.check(theirs()?.received === 1_000_000, "not all arrived");
  };
}

function bad(seed: number): Scenario {
  return new Scenario({ seed, up: LINK, down: LINK, nullAead: true, traced: true });
}

describe("NAT rebinding", () => {
  for (const from of ["client", "server"] as const) {
    it(`goes on at the new port and at the new address, data from the ${from}`, () => {
      // rfc9000#9.3
      replayed(
        () => bad(1),
        (scenario) => {
          const finish = underway(scenario, from);
          // A client that only receives has to speak first: nothing reaches its old binding.
          const [client] = scenario.states.keys();
          scenario.client.address = makeAddress("192.0.2.1", 50_001);
          client!.ping();
          scenario.run(300);
          assert.equal(scenario.accepted[0]!.remote.port, 50_001);
          scenario.client.address = makeAddress("192.0.2.77", 50_002);
          client!.ping();
          scenario.run(300);
          assert.equal(scenario.accepted[0]!.remote.ip, "192.0.2.77");
          assert.ok(
            scenario.trace.server.some(
              (event) => event.name === "path_updated" && event.state === "validated",
            ),
          );
          finish();
        },
      );
    });
  }

  it("of a quiet connection is noticed with the next packet", () => {
    const scenario = bad(2);
    const { client, server } = scenario.connect();
    scenario.client.address = makeAddress("192.0.2.1", 50_009);
    scenario.run(5000);
    scenario.transfer(client, server, 20_000);
    scenario.transfer(server, client, 20_000);
    assert.equal(server.remote.port, 50_009);
  });

  it("is not done by copies from elsewhere", () => {
    // rfc9000#9.3.3 an attacker can copy packets; the original path is validated again.
    const scenario = bad(3);
    const spoofed = makeAddress("198.51.100.9", 1);
    const finish = underway(scenario, "client");
    let copies = 0;
    scenario.up.filter = ({ bytes }, index) => {
      if (index % 50 === 0 && copies++ < 20) scenario.net.inject(bytes, spoofed, scenario.server.address);
      return true;
    };
    finish();
    assert.equal(scenario.accepted[0]!.remote.key, scenario.client.address.key);
  });
});

describe("outages", () => {
  it("of three seconds are survived, both ways or one", () => {
    for (const sides of [["up"], ["down"], ["up", "down"]] as const) {
      replayed(
        () => bad(1),
        (scenario) => {
          const finish = underway(scenario);
          for (const side of sides) scenario[side].blackhole = true;
          scenario.run(3000);
          for (const side of sides) scenario[side].blackhole = false;
          finish();
        },
      );
    }
  });

  it("slow the probes down", () => {
    // rfc9002#6.2.1 when a PTO timer expires, the PTO backoff MUST be increased.
    const scenario = bad(1);
    underway(scenario);
    scenario.up.blackhole = scenario.down.blackhole = true;
    scenario.run(1000);
    const sent = scenario.client.datagramsSent;
    scenario.run(15_000);
    const probes = scenario.client.datagramsSent - sent;
    assert.ok(probes >= 2 && probes < 20, `${probes} probes in 15 s`);
  });
});

describe("clocks and event loops", () => {
  it("does not care about jumps of the wall clock", () => {
    const traces = [0, 86_400_000 * 400, -86_400_000 * 400].map((jump) => {
      const scenario = bad(1);
      const finish = underway(scenario);
      scenario.net.wallOffset += jump;
      scenario.run(200);
      scenario.net.wallOffset -= 2 * jump;
      finish();
      return scenario.net.traceHash;
    });
    assert.equal(new Set(traces).size, 1);
  });

  it("survives an event loop blocked for five seconds, on either side, in both directions", () => {
    for (const side of ["client", "server"] as const) {
      for (const from of ["client", "server"] as const) {
        replayed(
          () => bad(4),
          (scenario) => {
            const finish = underway(scenario, from);
            scenario[side].blockedUntil = scenario.net.now + 5000;
            finish();
          },
        );
      }
    }
  });

  it("survives one blocked during the handshake", () => {
    for (const side of ["client", "server"] as const) {
      const scenario = bad(5);
      const client = scenario.dial();
      scenario.run(30);
      scenario[side].blockedUntil = scenario.net.now + 5000;
      scenario.until("the handshake is confirmed", () => scenario.state(client).confirmed, 20_000);
      assert.equal(scenario.accepted.length, 1);
    }
  });

  it("a machine that slept past the idle timeout ends its connections at once", () => {
    const scenario = bad(6);
    const { client } = scenario.connect();
    scenario.run(500);
    scenario.client.blockedUntil = scenario.net.now + 3_600_000;
    scenario.run(3_600_100);
    assert.equal(scenario.state(client).error?.code, "ERR_QUIC_IDLE_TIMEOUT");
  });
});

describe("datagrams that are not what they seem", () => {
  it("replays of everything change nothing", () => {
    // rfc9000#12.3 a receiver MUST discard a newly unprotected packet unless it is certain that it has not processed
    // another packet with the same packet number from the same packet number space.
    const scenario = bad(1);
    for (const [link, from, to] of [
      [scenario.up, scenario.client, scenario.server],
      [scenario.down, scenario.server, scenario.client],
    ] as const) {
      link.filter = ({ bytes }, index, now) => {
        const copy = bytes.slice();
        for (const later of [1, 100, 2000].slice(0, index % 4)) {
          scenario.net.at(now + later, () => scenario.net.inject(copy, from.address, to.address));
        }
        return true;
      };
    }
    const finish = underway(scenario);
    finish();
    scenario.run(3000);
    assert.equal(scenario.accepted.length, 1);
    assert.equal(scenario.state(scenario.accepted[0]!).error, null);
    assert.ok(scenario.drops("server").includes("duplicate"));
  });

  it("garbage, truncated, extended and merged ones change nothing", () => {
    for (const seed of [1, 2, 3]) {
      const scenario = bad(seed);
      const random = seededFloat(seed);
      let previous = new Uint8Array(0);
      for (const [link, from, to] of [
        [scenario.up, scenario.client, scenario.server],
        [scenario.down, scenario.server, scenario.client],
      ] as const) {
        link.filter = ({ bytes }) => {
          const what = Math.floor(random() * 10);
          let evil: Uint8Array | null = null;
          if (what === 0) evil = bytes.slice(0, Math.floor(random() * bytes.length));
          else if (what === 1) evil = concatBytes(bytes, bytes.slice(0, 100));
          else if (what === 2) evil = concatBytes(previous, bytes);
          else if (what === 3)
            evil = bytes.map((byte) => (random() < 0.05 ? Math.floor(random() * 256) : byte));
          else if (what === 4) evil = new Uint8Array(1200).map(() => Math.floor(random() * 256));
          else if (what === 5)
            evil = concatBytes(bytes.slice(0, 1 + Math.floor(random() * 30)), new Uint8Array(1200));
          previous = bytes.slice();
          if (evil !== null) scenario.net.inject(evil, from.address, to.address);
          return true;
        };
      }
      const finish = underway(scenario);
      finish();
      assert.equal(scenario.accepted.length, 1);
      assert.equal(scenario.state(scenario.accepted[0]!).error, null);
    }
  });
});

describe("Retry", () => {
  const token = new Uint8Array(40).fill(9);
  const scid = new Uint8Array(8).fill(5);

  /** Answers the client's first Initial with what `make` makes of it instead of letting it through. */
  function intercept(
    scenario: Scenario,
    make: (header: LongHeader, bytes: Uint8Array) => Uint8Array[],
  ): void {
    scenario.up.filter = ({ bytes }, index) => {
      if (index > 0) return true;
      const header = new LongHeader();
      assert.ok(parseLongHeader(bytes, 0, bytes.length, header));
      for (const each of make(header, bytes)) {
        scenario.net.inject(each, scenario.server.address, scenario.client.address);
      }
      return false;
    };
  }

  function retry(header: LongHeader, bytes: Uint8Array, source = scid, withToken = token): Uint8Array {
    const dcid = bytes.slice(header.scidOffset, header.scidOffset + header.scidLength);
    const original = bytes.slice(header.dcidOffset, header.dcidOffset + header.dcidLength);
    const packet = encodeRetry(VERSION_1, dcid, source, withToken, 0);
    return concatBytes(packet, retryIntegrityTag(simProvider(), VERSION_1, original, packet));
  }

  it("is followed once, with its token and connection ID, and demands the server's confirmation", () => {
    const scenario = new Scenario({ seed: 1, traced: true });
    const sent: { dcid: Uint8Array; token: Uint8Array }[] = [];
    intercept(scenario, (header, bytes) => [
      retry(header, bytes),
      // rfc9000#17.2.5.2 a client MUST accept and process at most one Retry packet.
      retry(header, bytes, new Uint8Array(8).fill(6)),
    ]);
    const first = scenario.up.filter!;
    scenario.up.filter = (datagram, index, now) => {
      const { bytes } = datagram;
      const header = new LongHeader();
      if (index > 0 && parseLongHeader(bytes, 0, bytes.length, header) && header.type === PACKET_INITIAL) {
        sent.push({
          dcid: bytes.slice(header.dcidOffset, header.dcidOffset + header.dcidLength),
          token: bytes.slice(header.tokenOffset, header.tokenOffset + header.tokenLength),
        });
      }
      return first(datagram, index, now);
    };
    const client = scenario.dial();
    scenario.until("the client gives up", () => scenario.state(client).error !== null, 5000);
    assert.ok(sent.length > 0);
    // rfc9000#17.2.5.3 the client MUST include the token, and uses the Source Connection ID of the Retry.
    assert.deepEqual(sent[0]!.token, token);
    assert.deepEqual(sent[0]!.dcid, scid);
    assert.ok(sent.every((each) => Buffer.compare(each.token, token) === 0));
    assert.ok(scenario.drops("client").includes("invalid_retry"));
    // rfc9000#17.2.5.3 a client MUST NOT reset the packet number: 0 was the first Initial.
    const received = scenario.trace.server.find((event) => event.name === "packet_received");
    assert.ok(received?.name === "packet_received" && received.header.number > 0);
    // rfc9000#7.3 absence of retry_source_connection_id after a Retry: TRANSPORT_PARAMETER_ERROR or PROTOCOL_VIOLATION.
    const { error } = scenario.state(client);
    assert.ok(
      error instanceof TransportError && error.errorCode === TRANSPORT_PARAMETER_ERROR,
      String(error),
    );
  });

  it("is ignored when its tag, token or connection ID are wrong", () => {
    // rfc9000#17.2.5.2
    const scenario = new Scenario({ seed: 2, traced: true });
    intercept(scenario, (header, bytes) => {
      const wrong = retry(header, bytes);
      wrong[wrong.length - 1]! ^= 1;
      const own = bytes.slice(header.dcidOffset, header.dcidOffset + header.dcidLength);
      return [wrong, retry(header, bytes, scid, new Uint8Array(0)), retry(header, bytes, own)];
    });
    const client = scenario.dial();
    scenario.until("the handshake is confirmed", () => scenario.state(client).confirmed, 5000);
    assert.equal(scenario.drops("client").filter((reason) => reason === "invalid_retry").length, 3);
  });

  it("after an answer of the server is ignored", () => {
    const scenario = new Scenario({ seed: 3, kind: "long chain", traced: true });
    let late: Uint8Array | null = null;
    scenario.up.filter = ({ bytes }, index) => {
      const header = new LongHeader();
      if (index === 0 && parseLongHeader(bytes, 0, bytes.length, header)) late = retry(header, bytes);
      if (index === 1) scenario.net.inject(late!, scenario.server.address, scenario.client.address);
      return true;
    };
    const client = scenario.dial();
    scenario.until("the handshake is confirmed", () => scenario.state(client).confirmed, 5000);
    assert.ok(scenario.drops("client").includes("invalid_retry"));
  });
});
