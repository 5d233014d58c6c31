// A peer that lies about versions, or clears the QUIC bit where it must not.
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import {
  APPLICATION,
  TRANSPORT_PARAMETER_ERROR,
  VERSION_1,
  VERSION_2,
  VERSION_NEGOTIATION_ERROR,
} from "../../internal/protocol/constants.ts";
import type { VersionInformation } from "../../internal/wire/transport-parameters.ts";
import { Bench } from "./bench.ts";
import { ping, type PeerOptions } from "./peer.ts";

const saying = (versionInformation: VersionInformation): PeerOptions => ({
  parameters: (p) => void (p.versionInformation = versionInformation),
});

describe("version_information of a hostile peer", () => {
  const CASES: readonly [string, "client" | "server", VersionInformation, number][] = [
    [
      "rfc9368#4 the server MUST validate that the client's Chosen Version matches the version in use",
      "client",
      { chosen: VERSION_2, available: [VERSION_2, VERSION_1] },
      VERSION_NEGOTIATION_ERROR,
    ],
    [
      "rfc9368#4 the server's Chosen Version was not sent by the client as part of its Available Versions",
      "server",
      { chosen: 0x0abcdef0, available: [VERSION_1] },
      VERSION_NEGOTIATION_ERROR,
    ],
    [
      "rfc9368#4 clients MUST validate that the server's Chosen Version is equal to the Negotiated Version",
      "server",
      { chosen: VERSION_2, available: [VERSION_1, VERSION_2] },
      VERSION_NEGOTIATION_ERROR,
    ],
    [
      "rfc9368#4 Chosen Version is not included in Available Versions: a parsing failure",
      "client",
      { chosen: VERSION_1, available: [VERSION_2] },
      TRANSPORT_PARAMETER_ERROR,
    ],
    [
      "rfc9368#4 a Chosen Version equal to zero: a parsing failure",
      "server",
      { chosen: 0, available: [VERSION_1] },
      TRANSPORT_PARAMETER_ERROR,
    ],
    [
      "rfc9368#4 any Available Version equal to zero: a parsing failure",
      "client",
      { chosen: VERSION_1, available: [VERSION_1, 0] },
      TRANSPORT_PARAMETER_ERROR,
    ],
  ];
  for (const [name, role, information, code] of CASES) {
    test(`${name}, ${role}`, () => {
      const bench = new Bench(role, saying(information));
      bench.assertClosed(code, name);
    });
  }

  test("versions nobody knows are ignored", () => {
    for (const role of ["client", "server"] as const) {
      const bench = new Bench(
        role,
        saying({ chosen: VERSION_1, available: [0x1a2a3a4a, VERSION_1, 0xfaceb002] }),
      ).connect();
      bench.assertOpen(role);
      assert.equal(bench.connection.version, VERSION_1);
    }
  });
});

describe("the QUIC bit", () => {
  for (const role of ["client", "server"] as const) {
    // rfc9287#3 An endpoint that advertises the grease_quic_bit transport parameter MUST accept packets with the QUIC Bit
    // set to a value of 0.
    test(`may be 0 where that was announced, ${role}`, () => {
      const bench = new Bench(role).connect();
      const before = bench.connection.stats.packetsReceived;
      bench.peer.send(APPLICATION, ping(), { firstByte: 0x40 });
      bench.settle();
      assert.deepEqual(bench.drops, []);
      assert.equal(bench.connection.stats.packetsReceived, before + 1);
      bench.assertOpen("greased");
    });

    // rfc9287#3.1 An endpoint MUST NOT set the QUIC Bit to 0 without knowing whether the peer supports the extension.
    test(`is 1 towards a peer that says nothing, ${role}`, () => {
      const first: number[] = [];
      const bench = new Bench(role).connect();
      const receive = bench.peer.receive.bind(bench.peer);
      bench.peer.receive = (datagram) => {
        first.push(datagram[0]!);
        receive(datagram);
      };
      for (let i = 0; i < 40; i++) {
        bench.connection.ping();
        bench.settle();
        bench.now += 30;
      }
      assert.ok(first.length >= 40);
      assert.ok(first.every((byte) => (byte & 0x40) !== 0));
    });

    // rfc9287#3 an endpoint MUST treat receipt of a non-empty value as TRANSPORT_PARAMETER_ERROR
    test(`a value in grease_quic_bit, ${role}`, () => {
      const bench = new Bench(role, { parameters: () => Uint8Array.of(0x6a, 0xb2, 1, 0) });
      bench.assertClosed(TRANSPORT_PARAMETER_ERROR, "grease_quic_bit");
    });
  }
});
