// What version a connection ends up with, and which answers of a peer are refused: rfc9368, rfc9369#4.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  chooseVersion,
  drawReservedVersion,
  isCompatible,
  isReservedVersion,
  VersionNegotiator,
} from "../../internal/connection/versions.ts";
import {
  PACKET_HANDSHAKE,
  PACKET_INITIAL,
  PACKET_RETRY,
  PACKET_ZERO_RTT,
  VERSION_1,
  VERSION_2,
  VERSION_NEGOTIATION_ERROR,
} from "../../internal/protocol/constants.ts";
import { TransportError } from "../../internal/protocol/errors.ts";
import { seeded } from "../path/seeded.ts";

const RESERVED = 0x1a2a3a4a;
const V1 = VERSION_1;
const V2 = VERSION_2;

function client(versions: number[], original = versions[0]!, reacting = false): VersionNegotiator {
  return new VersionNegotiator({ role: "client", versions, honorVersionOrder: false, original, reacting });
}
function server(versions: number[], original: number, honorVersionOrder = true): VersionNegotiator {
  return new VersionNegotiator({ role: "server", versions, honorVersionOrder, original, reacting: false });
}
function refused(error: unknown): boolean {
  return error instanceof TransportError && error.errorCode === VERSION_NEGOTIATION_ERROR;
}

describe("reserved versions", () => {
  it("follow the pattern 0x?a?a?a?a and are never the one given", () => {
    // rfc9000#15 versions that follow the pattern 0x?a?a?a?a are reserved for use in forcing version negotiation
    const random = seeded(3);
    const drawn = new Set<number>();
    for (let i = 0; i < 200; i++) {
      const version = drawReservedVersion(random, RESERVED);
      assert.ok(isReservedVersion(version) && version > 0 && version <= 0xffffffff);
      drawn.add(version);
    }
    assert.ok(drawn.size > 190);
    const same = drawReservedVersion(seeded(9), 0);
    assert.notEqual(drawReservedVersion(seeded(9), same), same);
    assert.equal(isReservedVersion(V1) || isReservedVersion(V2), false);
  });
});

describe("compatible version negotiation", () => {
  it("knows that versions 1 and 2 convert into one another, and nothing else", () => {
    assert.ok(isCompatible(V1, V2) && isCompatible(V2, V1) && isCompatible(RESERVED, RESERVED));
    assert.ok(!isCompatible(V1, RESERVED) && !isCompatible(RESERVED, V2));
  });

  it("says what a first flight is compatible with, its own version among it", () => {
    // rfc9368#3 the version in the Chosen Version field MUST be included in this list
    assert.deepEqual(client([V1, V2]).available, [V1, V2]);
    assert.deepEqual(client([V2, V1], V1).available, [V2, V1]);
    assert.deepEqual(client([V2]).available, [V2]);
    assert.deepEqual(client([V1, V2], RESERVED).available, [RESERVED]);
    for (let seed = 0; seed < 30; seed++) {
      const { chosen, available } = client([V2, V1], V1).local(seeded(seed));
      assert.equal(chosen, V1);
      assert.deepEqual(
        available.filter((version) => !isReservedVersion(version)),
        [V2, V1],
      );
      assert.equal(available.length, 3);
    }
  });

  // Server's versions, whether its order counts, the client's original and list, the result.
  const CHOICES: readonly [number[], boolean, number, number[], number][] = [
    [[V1, V2], true, V1, [V1, V2], V1],
    [[V2, V1], true, V1, [V1, V2], V2],
    [[V2, V1], true, V1, [V1], V1],
    [[V1, V2], true, V2, [V2, V1], V1],
    [[V1, V2], false, V2, [V2, V1], V2],
    [[V1, V2], false, V1, [V2, V1], V2],
    [[V1, V2], false, V1, [RESERVED, V2, V1], V2],
    [[V1], false, V1, [V2, V1], V1],
    [[V1, V2], false, V1, [0x55555555, V1], V1],
  ];
  for (const [versions, own, original, list, result] of CHOICES) {
    const show = (numbers: number[]) => numbers.map((each) => each.toString(16)).join();
    it(`server ${show(versions)} (${own ? "own" : "client's"} order), client ${show(list)} in ${original.toString(16)}`, () => {
      const negotiator = server(versions, original, own);
      assert.equal(negotiator.onPeer({ chosen: original, available: list }), result !== original);
      assert.equal(negotiator.current, result);
      assert.equal(negotiator.original, original);
    });
  }

  it("stays with the original version where the client says nothing", () => {
    // rfc9368#4 Servers MAY complete the handshake even if the Version Information is missing
    const negotiator = server([V2, V1], V1);
    assert.equal(negotiator.onPeer(undefined), false);
    assert.equal(negotiator.current, V1);
  });

  it("rfc9368#4 the server MUST validate that the client's Chosen Version matches the version in use", () => {
    assert.throws(() => server([V1, V2], V1).onPeer({ chosen: V2, available: [V1, V2] }), refused);
    assert.throws(() => server([V1, V2], V2).onPeer({ chosen: V1, available: [V1, V2] }), refused);
  });
});

describe("what packets are taken", () => {
  it("at a client: another version until the first CRYPTO frame of either", () => {
    const ours = client([V1, V2]);
    assert.ok(ours.accepts(PACKET_INITIAL, V1) && ours.accepts(PACKET_INITIAL, V2));
    // Ahead of its Initial.
    assert.ok(ours.accepts(PACKET_HANDSHAKE, V2));
    assert.ok(!ours.accepts(PACKET_INITIAL, RESERVED));
    // rfc9369#4.1 The client ignores Retry packets using other versions
    assert.ok(ours.accepts(PACKET_RETRY, V1) && !ours.accepts(PACKET_RETRY, V2));
    ours.settle();
    assert.ok(!ours.accepts(PACKET_INITIAL, V2) && !ours.accepts(PACKET_HANDSHAKE, V2));

    const upgraded = client([V1, V2]);
    assert.equal(upgraded.onServerInitial(V1), false);
    assert.equal(upgraded.onServerInitial(V2), true);
    assert.equal(upgraded.current, V2);
    // rfc9369#4.1 An endpoint MUST drop packets using any other version
    for (const type of [PACKET_INITIAL, PACKET_HANDSHAKE] as const) {
      assert.ok(upgraded.accepts(type, V2) && !upgraded.accepts(type, V1));
    }
    assert.ok(!client([V1]).accepts(PACKET_INITIAL, V2), "a version that was not offered");
  });

  it("at a server: Initials and 0-RTT of the original version besides the negotiated one", () => {
    const ours = server([V2, V1], V1);
    assert.ok(!ours.accepts(PACKET_INITIAL, V2));
    ours.onPeer({ chosen: V1, available: [V1, V2] });
    // rfc9369#4.1 The server MUST NOT discard its original version Initial receive keys until …
    assert.ok(ours.accepts(PACKET_INITIAL, V1) && ours.accepts(PACKET_INITIAL, V2));
    assert.ok(ours.accepts(PACKET_HANDSHAKE, V2) && !ours.accepts(PACKET_HANDSHAKE, V1));
    // rfc9369#4.1 The client MUST NOT send 0-RTT packets using the negotiated version
    assert.ok(ours.accepts(PACKET_ZERO_RTT, V1) && !ours.accepts(PACKET_ZERO_RTT, V2));
  });
});

describe("a client's checks of version_information", () => {
  it("rfc9368#4 the server's Chosen Version was not sent by the client: version negotiation error", () => {
    assert.throws(() => client([V1]).onPeer({ chosen: V2, available: [V1, V2] }), refused);
    assert.throws(() => client([V1, V2]).onPeer({ chosen: RESERVED, available: [V1] }), refused);
  });

  it("rfc9368#4 clients MUST validate that the server's Chosen Version is equal to the Negotiated Version", () => {
    assert.throws(() => client([V1, V2]).onPeer({ chosen: V2, available: [V1, V2] }), refused);
    const upgraded = client([V1, V2]);
    upgraded.onServerInitial(V2);
    assert.throws(() => upgraded.onPeer({ chosen: V1, available: [V1, V2] }), refused);
    upgraded.onPeer({ chosen: V2, available: [] });
  });

  it("missing: fine where nothing changed, an error where the version did", () => {
    client([V1, V2]).onPeer(undefined);
    const upgraded = client([V1, V2]);
    upgraded.onServerInitial(V2);
    assert.throws(() => upgraded.onPeer(undefined), refused);
  });

  it("after Version Negotiation: missing is an error, but for version 1 where it says version 1", () => {
    // rfc9368#4 Clients MUST NOT complete the handshake if they are reacting to a Version Negotiation packet and the
    // Version Information is missing; rfc9368#8 is the exception.
    assert.throws(() => client([V1, V2], V2, true).onPeer(undefined), refused);
    client([V2, V1], V1, true).onPeer(undefined);
  });

  it("after Version Negotiation: the same choice must follow from what the server really speaks", () => {
    // rfc9368#4 If the client would have selected a different version, the client MUST close the connection
    client([V2, V1], V1, true).onPeer({ chosen: V1, available: [V1] });
    assert.throws(() => client([V2, V1], V1, true).onPeer({ chosen: V1, available: [V1, V2] }), refused);
    assert.throws(() => client([V2, V1], V1, true).onPeer({ chosen: V1, available: [] }), refused);
    // The Negotiated Version counts though the server is about to remove it.
    client([V1, V2], V1, true).onPeer({ chosen: V1, available: [V2] });
    // Incompatible negotiation followed by compatible: rfc9368#2.3, figure 2.
    const both = client([V1, V2], V1, true);
    both.onServerInitial(V2);
    both.onPeer({ chosen: V2, available: [V1, V2] });
  });

  it("chooses by its own order", () => {
    assert.equal(chooseVersion([V2, V1], [RESERVED, V1, V2]), V2);
    assert.equal(chooseVersion([V2], [V1]), null);
  });
});
