// Versions on a simulated network: upgrades without a round trip, Version Negotiation, and what somebody on the path may
// forge without doing harm. rfc9000#6, rfc9368, rfc9369
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { afterVersionNegotiation, type ClientConnectionOptions } from "../../internal/connection/client.ts";
import type { Connection } from "../../internal/connection/connection.ts";
import { retryIntegrityTag } from "../../internal/handshake/retry.ts";
import { simProvider } from "../../internal/crypto/sim.ts";
import {
  INITIAL,
  PACKET_HANDSHAKE,
  PACKET_INITIAL,
  VERSION_1,
  VERSION_2,
  VERSION_NEGOTIATION_ERROR,
} from "../../internal/protocol/constants.ts";
import { TransportError, VersionNegotiationError } from "../../internal/protocol/errors.ts";
import { VERSION_NEGOTIATION_PATIENCE } from "../../internal/protocol/limits.ts";
import type { TraceEvent } from "../../internal/protocol/tracer.ts";
import {
  encodeRetry,
  encodeVersionNegotiation,
  LongHeader,
  parseLongHeader,
  patchLength,
  writeLongHeader,
} from "../../internal/wire/header.ts";
import { seeded } from "../path/seeded.ts";
import { HANDSHAKE_KINDS, handshakeCase, LOSSES } from "./cases.ts";
import { replayed, Scenario, type ScenarioOptions } from "./scenario.ts";

const V1 = VERSION_1;
const V2 = VERSION_2;
const RESERVED = 0x1a2a3a4a;
const PATIENT = { handshakeTimeout: 600_000, maxIdleTimeout: 600_000 };

type Sent = Extract<TraceEvent, { name: "packet_sent" }>;
const sent = (trace: readonly TraceEvent[]): Sent[] =>
  trace.filter((event): event is Sent => event.name === "packet_sent");
const carries = (event: Sent, type: string): boolean => event.frames.some((frame) => frame.type === type);

/** Dials as `src` does: again with another version where a Version Negotiation packet says so. */
function negotiate(scenario: Scenario): { first: Connection; second: Connection | null } {
  const first = scenario.dial();
  const over = (each: Connection) => scenario.state(each).complete || scenario.state(each).error !== null;
  scenario.until("the first attempt ends", () => over(first));
  const next = afterVersionNegotiation({} as ClientConnectionOptions, scenario.state(first).error);
  if (next === null) return { first, second: null };
  const second = scenario.dial(next.negotiated);
  scenario.until("the second attempt ends", () => over(second));
  return { first, second };
}

describe("compatible version negotiation", () => {
  // Client's versions and original version, server's versions and whether its order counts, what comes of it.
  const CASES: readonly [number[], number, number[], boolean, number][] = [
    [[V1, V2], V1, [V1, V2], false, V1],
    [[V1, V2], V1, [V2, V1], true, V2],
    [[V2, V1], V1, [V1, V2], false, V2],
    [[V2, V1], V2, [V1, V2], false, V2],
    [[V2, V1], V2, [V1, V2], true, V1],
    [[V2], V2, [V1, V2], true, V2],
    [[V2, V1], V1, [V1], true, V1],
  ];
  for (const [versions, originalVersion, theirs, honorVersionOrder, result] of CASES) {
    const hex = (list: number[]) => list.map((each) => each.toString(16)).join(" ");
    it(`client ${hex(versions)} beginning with ${originalVersion.toString(16)}, server ${hex(theirs)}: ${result.toString(16)}`, () => {
      const scenario = new Scenario({
        seed: 1,
        traced: true,
        client: { versions, originalVersion },
        server: { versions: theirs, honorVersionOrder },
      });
      const begun = scenario.net.now;
      const { client, server } = scenario.connect();
      // Not a round trip more: two of 30 ms until HANDSHAKE_DONE is there.
      assert.ok(scenario.net.now - begun <= 61, `${scenario.net.now - begun} ms`);
      assert.equal(client.version, result);
      assert.equal(server.version, result);
      scenario.transfer(client, server, 50_000);
      scenario.transfer(server, client, 50_000);
      // rfc9369#4.1 The server MUST send all CRYPTO frames using the negotiated version; both endpoints MUST send
      // Handshake packets using the negotiated version.
      for (const event of sent(scenario.trace.server)) {
        if (event.header.type === PACKET_INITIAL && carries(event, "crypto")) {
          assert.equal(event.header.version, result);
        }
      }
      for (const event of [...sent(scenario.trace.server), ...sent(scenario.trace.client)]) {
        if (event.header.type === PACKET_HANDSHAKE) assert.equal(event.header.version, result);
      }
      for (const side of ["client", "server"] as const) {
        const events = scenario.trace[side].filter((event) => event.name === "version_information");
        const last = events.at(-1)!;
        assert.ok(last.name === "version_information" && last.chosen === result && last.theirs.length > 0);
      }
    });
  }

  for (const kind of HANDSHAKE_KINDS) {
    it(`version 1 to 2 and back under loss: ${kind}`, () => {
      for (const loss of LOSSES) {
        for (const [from, to] of [
          [V1, V2],
          [V2, V1],
        ] as const) {
          replayed(
            () =>
              new Scenario({
                seed: 7,
                kind,
                respond: 2000,
                client: { ...PATIENT, versions: [from, to] },
                server: { ...PATIENT, versions: [to, from], honorVersionOrder: true },
              }),
            (scenario) => {
              handshakeCase(scenario, loss, "both");
              for (const { connection } of scenario.states.values()) assert.equal(connection.version, to);
            },
          );
        }
      }
    });
  }

  it("survives that the server's Handshake packets overtake its Initial", () => {
    const scenario = new Scenario({
      seed: 3,
      kind: "long chain",
      client: { versions: [V1, V2] },
      server: { versions: [V2, V1], honorVersionOrder: true },
      down: { delay: 15, reorder: 1, reorderDelay: 10 },
    });
    const { client } = scenario.connect();
    assert.equal(client.version, V2);
  });
});

describe("Version Negotiation", () => {
  it("has the client begin again with a version the server speaks", () => {
    // rfc9368#2.1 it SHALL select a mutually supported version and send a new first flight with that version
    const CASES: readonly (readonly [ScenarioOptions["client"], ScenarioOptions["server"], number])[] = [
      [{ versions: [V2, V1] }, { versions: [V1] }, V1],
      [{ versions: [V1, V2] }, { versions: [V2] }, V2],
      [{ originalVersion: RESERVED }, {}, V1],
      [{ versions: [V2, V1], originalVersion: RESERVED }, {}, V2],
      // And then the server moves it on: rfc9368#2.3, figure 2.
      [{ originalVersion: RESERVED }, { versions: [V2, V1], honorVersionOrder: true }, V2],
    ];
    for (const [client, server, result] of CASES) {
      replayed(
        () => new Scenario({ seed: 5, client, server, traced: true }),
        (scenario) => {
          const { first, second } = negotiate(scenario);
          const error = scenario.state(first).error;
          assert.ok(error instanceof VersionNegotiationError, String(error));
          assert.ok(second !== null);
          assert.equal(scenario.state(second).error, null);
          assert.equal(second.version, result);
          scenario.until("accepted", () => scenario.accepted.length === 1);
          scenario.transfer(second, scenario.accepted[0]!, 10_000);
          assert.equal(scenario.server.endpoint.stats.statelessSent.version_negotiation, 1);
          const [seen] = scenario.trace.client.filter(
            (event) => event.name === "version_information" && event.theirs.length > 0,
          );
          assert.ok(seen?.name === "version_information" && seen.chosen === null);
          // rfc9000#6.3 endpoints MAY add reserved versions
          assert.ok(seen.theirs.some((version) => (version & 0x0f0f0f0f) === 0x0a0a0a0a));
        },
      );
    }
  });

  it("ends the attempt where there is no version in common", () => {
    const scenario = new Scenario({ seed: 6, client: { versions: [V2] }, server: { versions: [V1] } });
    const { first, second } = negotiate(scenario);
    const error = scenario.state(first).error;
    assert.ok(error instanceof VersionNegotiationError);
    assert.ok(error.next === null && second === null);
    assert.ok(error.theirs.includes(V1));
    assert.match(error.message, /No QUIC version in common/);
    assert.equal(scenario.client.endpoint.connectionCount, 0);
  });

  it("can be switched off", () => {
    const scenario = new Scenario({
      seed: 6,
      client: { versions: [V2], handshakeTimeout: 3000 },
      server: { versions: [V1] },
      serverEndpoint: { disableVersionNegotiation: true },
    });
    const { first } = negotiate(scenario);
    assert.equal(scenario.state(first).error?.code, "ERR_QUIC_HANDSHAKE_TIMEOUT");
    assert.equal(scenario.server.endpoint.stats.statelessSent.version_negotiation, 0);
  });
});

/** Somebody on the path who sees the client's first packet and answers before the server does. */
function intrude(scenario: Scenario, forge: (header: LongHeader, bytes: Uint8Array) => Uint8Array[]): void {
  const { net } = scenario;
  let done = false;
  scenario.up.filter = (datagram) => {
    const header = new LongHeader();
    if (!done && parseLongHeader(datagram.bytes, 0, datagram.bytes.length, header)) {
      done = true;
      for (const bytes of forge(header, datagram.bytes)) {
        net.at(net.now + 1, () => net.send({ bytes, from: datagram.to, to: datagram.from, ecn: 0 }, null));
      }
    }
    return true;
  };
}
const cids = (header: LongHeader, bytes: Uint8Array) => ({
  dcid: bytes.slice(header.dcidOffset, header.dcidOffset + header.dcidLength),
  scid: bytes.slice(header.scidOffset, header.scidOffset + header.scidLength),
});

describe("forgeries on the path: the honest server's answer wins", () => {
  function honest(
    name: string,
    forge: (header: LongHeader, bytes: Uint8Array) => Uint8Array[],
    reason: RegExp,
  ) {
    it(name, () => {
      for (const server of [{}, { versions: [V2, V1], honorVersionOrder: true }]) {
        const scenario = new Scenario({ seed: 8, traced: true, server });
        intrude(scenario, forge);
        const { client, server: accepted } = scenario.connect();
        assert.equal(client.version, server.versions === undefined ? V1 : V2);
        scenario.transfer(client, accepted, 20_000);
        // What was forged arrived, and was dropped by name or (Version Negotiation) not believed.
        const drops = scenario.drops("client").join();
        const seen = scenario.trace.client.some(
          (event) => event.name === "version_information" && event.theirs.includes(0x5a5a5a5a),
        );
        assert.ok(reason.test(drops) || seen, drops);
        assert.equal(scenario.accepted.length, 1);
      }
    });
  }

  // rfc9000#6.2 MUST discard any Version Negotiation packet if it has received and successfully processed any other
  // packet: one that comes in time refutes it.
  honest(
    "Version Negotiation without a version in common",
    (header, bytes) => {
      const { dcid, scid } = cids(header, bytes);
      return [encodeVersionNegotiation(scid, dcid, [0x5a5a5a5a], 0)];
    },
    /never/,
  );
  honest(
    "Version Negotiation that asks for version 2",
    (header, bytes) => {
      const { dcid, scid } = cids(header, bytes);
      return [encodeVersionNegotiation(scid, dcid, [0x5a5a5a5a, V2], 0)];
    },
    /never/,
  );
  honest(
    "Version Negotiation that lists the client's version, has other connection IDs, or is cut off",
    (header, bytes) => {
      const { dcid, scid } = cids(header, bytes);
      const whole = encodeVersionNegotiation(scid, dcid, [V2], 0);
      return [
        encodeVersionNegotiation(scid, dcid, [V2, V1], 0),
        encodeVersionNegotiation(
          scid,
          dcid.map((byte) => byte ^ 1),
          [V2],
          0,
        ),
        encodeVersionNegotiation(scid, dcid, [], 0),
        whole.slice(0, whole.length - 1),
      ];
    },
    /^(invalid_version_negotiation,?){4}/,
  );
  for (const version of [V1, V2]) {
    honest(
      `Initials of version ${version.toString(16)} with garbage`,
      (header, bytes) => {
        const { dcid, scid } = cids(header, bytes);
        return [1, 2, 3].map((seed) => {
          const packet = new Uint8Array(1200);
          seeded(seed)(packet);
          const pnOffset = writeLongHeader(
            packet,
            0,
            PACKET_INITIAL,
            version,
            scid,
            dcid,
            new Uint8Array(0),
            2,
            0,
          );
          patchLength(packet, pnOffset, packet.length - pnOffset);
          return packet;
        });
      },
      /decryption_failed/,
    );
    honest(
      `Handshake packets of version ${version.toString(16)} with garbage`,
      (header, bytes) => {
        const { dcid, scid } = cids(header, bytes);
        return Array.from({ length: 30 }, (_, seed) => {
          const packet = new Uint8Array(100);
          seeded(seed)(packet);
          const pnOffset = writeLongHeader(packet, 0, PACKET_HANDSHAKE, version, scid, dcid, null, 2, 0);
          patchLength(packet, pnOffset, packet.length - pnOffset);
          return packet;
        });
      },
      /keys_unavailable|unexpected_version/,
    );
  }
  honest(
    "Retry with a tag that is not of the original connection ID, or of another version",
    (header, bytes) => {
      const { dcid, scid } = cids(header, bytes);
      const provider = simProvider();
      const retry = (version: number, odcid: Uint8Array) => {
        const body = encodeRetry(version, scid, new Uint8Array(8).fill(7), new Uint8Array(40), 0);
        return Uint8Array.from([...body, ...retryIntegrityTag(provider, version, odcid, body)]);
      };
      const wrong = dcid.map((byte) => byte ^ 0x80);
      return [retry(V1, wrong), retry(V2, wrong), retry(V2, dcid)];
    },
    /invalid_retry.*unexpected_version/,
  );

  it("where the server's answer is late, the forged packet costs a second attempt that fails closed", () => {
    // rfc9368#4 These connection closures prevent an attacker from being able to use forged Version Negotiation packets
    // to force a version downgrade.
    const scenario = new Scenario({ seed: 9, down: { delay: 15 } });
    scenario.down.filter = (_, __, now) => now > 1000 + VERSION_NEGOTIATION_PATIENCE;
    intrude(scenario, (header, bytes) => {
      const { dcid, scid } = cids(header, bytes);
      return [encodeVersionNegotiation(scid, dcid, [V2], 0)];
    });
    const { first, second } = negotiate(scenario);
    assert.ok(scenario.state(first).error instanceof VersionNegotiationError);
    const error = scenario.state(second!).error;
    assert.ok(error instanceof TransportError, String(error));
    assert.equal(error.errorCode, VERSION_NEGOTIATION_ERROR);
    assert.equal(error.remote, false);
  });

  it("Version Negotiation in answer to the second attempt is ignored", () => {
    // rfc9368#4 MUST ignore any Version Negotiation packets it receives in response to that connection attempt
    const scenario = new Scenario({
      seed: 10,
      client: { versions: [V2, V1] },
      server: { versions: [V1] },
      traced: true,
    });
    const { second } = (() => {
      const first = scenario.dial();
      scenario.until("over", () => scenario.state(first).error !== null);
      intrude(scenario, (header, bytes) => {
        const { dcid, scid } = cids(header, bytes);
        return [encodeVersionNegotiation(scid, dcid, [V2], 0)];
      });
      return { second: scenario.dial(V1) };
    })();
    scenario.until("complete", () => scenario.state(second).complete);
    assert.ok(scenario.drops("client").includes("invalid_version_negotiation"));
    assert.equal(second.version, V1);
  });
});

describe("greasing", () => {
  it("the QUIC bit is unpredictable both ways once the handshake is complete, and only if both sides say so", () => {
    for (const [client, server] of [
      [true, true],
      [true, false],
      [false, true],
    ] as const) {
      const scenario = new Scenario({
        seed: 11,
        client: { greaseQuicBit: client },
        server: { greaseQuicBit: server },
      });
      const zeros = { up: 0, down: 0 };
      const ones = { up: 0, down: 0 };
      for (const side of ["up", "down"] as const) {
        scenario[side].filter = ({ bytes }) => {
          const first = bytes[0]!;
          // rfc9287#3.1 An endpoint MUST NOT set the QUIC Bit to 0 without knowing whether the peer supports the extension
          const zero = (first & 0x40) === 0;
          if ((first & 0x80) !== 0) assert.ok(!zero, "a long header before the parameters are known");
          (zero ? zeros : ones)[side]++;
          return true;
        };
      }
      const { client: from, server: to } = scenario.connect();
      scenario.transfer(from, to, 300_000);
      scenario.transfer(to, from, 300_000);
      for (const side of ["up", "down"] as const) {
        if (!(client && server)) assert.equal(zeros[side], 0);
        else assert.ok(zeros[side] > 0.3 * ones[side] && ones[side] > 0.3 * zeros[side], side);
      }
    }
  });

  it("a reserved transport parameter and a reserved version go out, another each time", () => {
    // rfc9000#18.1 identifiers of the form 31 * N + 27 are reserved
    const seen = new Set<number>();
    for (const seed of [1, 2, 3]) {
      const scenario = new Scenario({ seed });
      const { client, server } = scenario.connect();
      for (const { peerParameters } of [client, server]) {
        const unknown = peerParameters!.unknown!;
        assert.equal(unknown.length, 1);
        assert.equal((unknown[0]!.id - 27) % 31, 0);
        seen.add(unknown[0]!.id);
        const { available } = peerParameters!.versionInformation!;
        assert.equal(available.filter((version) => (version & 0x0f0f0f0f) === 0x0a0a0a0a).length, 1);
        assert.deepEqual(new Set(available).size, 3);
      }
      assert.ok(client.protection.wasDiscarded(INITIAL));
    }
    assert.equal(seen.size, 6);
  });
});
