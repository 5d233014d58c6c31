// Somebody on the path who sees a client's first packet and answers before the server does: an honest server's answer
// wins, and where there is none the client hears what was sent to it. rfc9000#21.1, rfc9000#5.2
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { simProvider } from "../../internal/crypto/sim.ts";
import { PacketProtection } from "../../internal/handshake/protection.ts";
import { retryIntegrityTag } from "../../internal/handshake/retry.ts";
import { concatBytes } from "../../internal/protocol/bytes.ts";
import {
  CONNECTION_REFUSED,
  INITIAL,
  PACKET_INITIAL,
  PACKET_ONE_RTT,
  PROTOCOL_VIOLATION,
  VERSION_1,
} from "../../internal/protocol/constants.ts";
import { HandshakeTimeoutError, TransportError } from "../../internal/protocol/errors.ts";
import { FORGERY_PATIENCE } from "../../internal/protocol/limits.ts";
import {
  encodeRetry,
  LongHeader,
  parseLongHeader,
  patchLength,
  writeLongHeader,
} from "../../internal/wire/header.ts";
import * as w from "../../internal/wire/frame-writers.ts";
import { Host } from "./network.ts";
import { Scenario, type ScenarioOptions } from "./scenario.ts";

const provider = simProvider();

interface Seen {
  readonly dcid: Uint8Array;
  readonly scid: Uint8Array;
}

/** A server's Initial with these frames, as anybody can make it who saw the client's. */
function initial(
  { dcid, scid }: Seen,
  frames: Uint8Array,
  number = 0,
  source = new Uint8Array(8).fill(0xee),
): Uint8Array {
  const protection = new PacketProtection(provider, "server", VERSION_1);
  protection.installInitial(VERSION_1, dcid);
  const buf = new Uint8Array(1400);
  const pn = writeLongHeader(buf, 0, PACKET_INITIAL, VERSION_1, scid, source, new Uint8Array(0), 4, number);
  buf.set(frames, pn + 4);
  const end = pn + 4 + frames.length;
  patchLength(buf, pn, end + 16 - pn);
  const sealed = protection.seal(INITIAL, buf, 0, pn, 4, end, number);
  protection.maskPending();
  protection.disposeAll();
  return buf.slice(0, sealed);
}

function retry({ dcid, scid }: Seen, fill = 5): Uint8Array {
  const packet = encodeRetry(VERSION_1, scid, new Uint8Array(8).fill(fill), new Uint8Array(40).fill(fill), 0);
  return concatBytes(packet, retryIntegrityTag(provider, VERSION_1, dcid, packet));
}

const written = (write: (buf: Uint8Array) => number) => {
  const buf = new Uint8Array(1200);
  return buf.slice(0, write(buf));
};
const close = written((buf) =>
  w.writeConnectionClose(buf, 0, buf.length, false, CONNECTION_REFUSED, 0, new Uint8Array(0)),
);
const crypto = (offset: number, data: Uint8Array) =>
  written((buf) => {
    const at = w.writeCryptoHeader(buf, 0, offset, data.length);
    buf.set(data, at);
    return at + data.length;
  });

/** What is forged, by name. */
const FORGERIES: readonly [string, (seen: Seen) => Uint8Array[]][] = [
  ["a Retry", (seen) => [retry(seen)]],
  ["two Retry packets", (seen) => [retry(seen), retry(seen, 6)]],
  ["an Initial without frames", (seen) => [initial(seen, new Uint8Array(0))]],
  ["an Initial with PING, under a connection ID of its own", (seen) => [initial(seen, Uint8Array.of(1))]],
  ["an Initial with a packet number far ahead", (seen) => [initial(seen, Uint8Array.of(1), 2 ** 30)]],
  [
    "an Initial that acknowledges what was not sent",
    (seen) => [
      initial(
        seen,
        written((buf) => w.writeAck(buf, 0, 100, Float64Array.of(2, 2), 1, 0, null)),
      ),
    ],
  ],
  [
    "an Initial that acknowledges what was sent",
    (seen) => [
      initial(
        seen,
        written((buf) => w.writeAck(buf, 0, 100, Float64Array.of(0, 0), 1, 0, null)),
      ),
    ],
  ],
  ["an Initial with CONNECTION_CLOSE", (seen) => [initial(seen, close)]],
  ["an Initial with a frame that is not for it", (seen) => [initial(seen, Uint8Array.of(0x1e))]],
  ["an Initial with a frame that nobody knows", (seen) => [initial(seen, Uint8Array.of(0x3f))]],
  [
    "an Initial with an alert's worth of CRYPTO",
    (seen) => [initial(seen, crypto(0, new Uint8Array(100).fill(9)))],
  ],
  ["an Initial with CRYPTO far ahead", (seen) => [initial(seen, crypto(1 << 20, new Uint8Array(10)))]],
  [
    "all of them",
    (seen) => [
      initial(seen, close),
      initial(seen, Uint8Array.of(1), 2 ** 30),
      initial(seen, crypto(0, new Uint8Array(100).fill(9))),
      initial(seen, crypto(1 << 20, new Uint8Array(10))),
      retry(seen),
      initial(seen, close, 7),
    ],
  ],
];

function intrude(scenario: Scenario, forge: (seen: Seen) => Uint8Array[], drop = false): void {
  const { net } = scenario;
  let done = false;
  scenario.up.filter = (datagram) => {
    const header = new LongHeader();
    const { bytes } = datagram;
    if (done || !parseLongHeader(bytes, 0, bytes.length, header)) return !drop;
    done = true;
    const seen = {
      dcid: bytes.slice(header.dcidOffset, header.dcidOffset + header.dcidLength),
      scid: bytes.slice(header.scidOffset, header.scidOffset + header.scidLength),
    };
    for (const each of forge(seen)) {
      net.at(net.now + 1, () =>
        net.send({ bytes: each, from: datagram.to, to: datagram.from, ecn: 0 }, null),
      );
    }
    return !drop;
  };
}

describe("an honest server's answer wins over", () => {
  for (const [name, forge] of FORGERIES) {
    it(name, () => {
      for (const options of [
        {},
        { kind: "long chain" },
        { kind: "post-quantum" },
      ] as Partial<ScenarioOptions>[]) {
        const scenario = new Scenario({ seed: 21, traced: true, ...options });
        intrude(scenario, forge);
        const { client, server } = scenario.connect();
        scenario.transfer(client, server, 20_000);
        scenario.transfer(server, client, 20_000);
        assert.equal(scenario.state(client).error, null);
        // It costs no time worth the name: the answer is on its way.
        assert.ok(client.stats.handshakeDuration < 1500, `${client.stats.handshakeDuration} ms`);
      }
    });
  }

  // rfc9000#17.2.5.2 an Initial that only acknowledges is no answer yet
  it("an Initial, when the answer is a Retry", () => {
    const scenario = new Scenario({ seed: 22, serverEndpoint: { verifySourceAddress: () => true } });
    intrude(scenario, (seen) => [initial(seen, Uint8Array.of(1)), initial(seen, close)]);
    const { client, server } = scenario.connect();
    scenario.transfer(client, server, 20_000);
  });
});

describe("where no server answers, the client hears", () => {
  for (const [name, frames, code, remote] of [
    ["CONNECTION_CLOSE", close, CONNECTION_REFUSED, true],
    ["of frames that are not for an Initial", Uint8Array.of(0x1e), PROTOCOL_VIOLATION, false],
    [
      "of acknowledgements of nothing",
      written((buf) => w.writeAck(buf, 0, 100, Float64Array.of(2, 2), 1, 0, null)),
      PROTOCOL_VIOLATION,
      false,
    ],
    ["of no frames", new Uint8Array(0), PROTOCOL_VIOLATION, false],
  ] as const) {
    it(name, () => {
      const scenario = new Scenario({ seed: 23 });
      intrude(scenario, (seen) => [initial(seen, frames)], true);
      const client = scenario.dial();
      const begun = scenario.net.now;
      scenario.until("it hears", () => scenario.state(client).error !== null, 5000);
      const { error } = scenario.state(client);
      assert.ok(error instanceof TransportError, String(error));
      assert.equal(error.errorCode, code);
      assert.equal(error.remote, remote);
      const after = scenario.net.now - begun;
      assert.ok(after >= FORGERY_PATIENCE && after < FORGERY_PATIENCE + 50, `${after} ms`);
    });
  }
});

// rfc9000#17.2.5.2 A client MUST accept and process at most one Retry packet for each connection attempt: where the server
// demands one of its own, the forged one that came before it ends the attempt. rfc9000#21.1.1.1, rfc9000#21.2
describe("a forged Retry towards a server that demands one", () => {
  const attempt = (validatedAddresses: number) => {
    let demands = validatedAddresses === 0;
    const scenario = new Scenario({
      seed: 24,
      traced: true,
      client: { handshakeTimeout: 4000 },
      serverEndpoint: { verifySourceAddress: () => demands, validatedAddresses },
    });
    if (validatedAddresses > 0) {
      const { client } = scenario.connect();
      client.closeWithError(0n, "", scenario.net.now);
      scenario.until("it is over", () => scenario.client.endpoint.connectionCount === 0);
      scenario.accepted.length = 0;
      demands = true;
    }
    intrude(scenario, (seen) => [retry(seen)]);
    return scenario;
  };

  it("costs the attempt, and nothing else: the handshake times out, the server keeps no state", () => {
    const scenario = attempt(0);
    const client = scenario.dial();
    scenario.until("it gives up", () => scenario.state(client).error !== null, 10_000);
    assert.ok(scenario.state(client).error instanceof HandshakeTimeoutError);
    // The server's own Retry came, to each Initial, and was not taken.
    assert.ok(scenario.drops("client").includes("invalid_retry"));
    assert.equal(scenario.server.endpoint.connectionCount, 0);
    assert.equal(client.handshakeComplete, false);
    // The next attempt, which nobody meddles with, succeeds.
    const { client: next, server } = scenario.connect();
    scenario.transfer(next, server, 20_000);
  });

  it("costs nothing where the client's address was seen a moment ago", () => {
    const scenario = attempt(10);
    const { client, server } = scenario.connect();
    scenario.transfer(client, server, 20_000);
  });
});

/**
 * Somebody on the path with a server of its own, whose answers reach the client in the server's name, and before the
 * server's. `alter` sees them first: false keeps one back.
 */
function impostor(scenario: Scenario, alter: (datagram: { bytes: Uint8Array }) => boolean, delay = 0): void {
  const { net, server, up } = scenario;
  const { endpoint } = new Scenario({ seed: 99, kind: "long chain" }).server;
  const host = net.add(new Host(server.address, endpoint));
  const link = net.link({ delay });
  link.filter = alter;
  host.outbound.push(link);
  up.filter = (datagram) => {
    host.waiting.push({ ...datagram, bytes: datagram.bytes.slice() });
    return true;
  };
}

// rfc9001#5.2 Initial packets … lack confidentiality or integrity protection against those who saw the first; rfc8446#4.4
// authentication comes with the certificate. A whole ServerHello looks like an honest one until then.
describe("a whole ServerHello of somebody else's", () => {
  const dial = (scenario: Scenario) =>
    scenario.dial(undefined, {
      tls: {
        alpn: ["sim"],
        serverName: "server.example",
        // The honest server's chain is a single certificate.
        verify: (chain) =>
          chain.length === 1
            ? { ok: true }
            : { ok: false, alert: "bad_certificate", reason: "an impostor's", certificateReason: "X" },
      },
    });

  it("after the server's changes nothing", () => {
    const scenario = new Scenario({ seed: 25, traced: true });
    impostor(scenario, () => true, 40);
    const client = dial(scenario);
    scenario.until("confirmed", () => scenario.state(client).confirmed, 5000);
    scenario.transfer(client, scenario.accepted[0]!, 20_000);
    assert.ok(scenario.drops("client").length > 0);
  });

  it("before it, without what authenticates it: the handshake times out, and nothing of the application's leaves", () => {
    const scenario = new Scenario({ seed: 26, traced: true, client: { handshakeTimeout: 4000 } });
    let cut = 0;
    impostor(scenario, (datagram) => {
      const header = new LongHeader();
      const { bytes } = datagram;
      if (!parseLongHeader(bytes, 0, bytes.length, header) || header.type !== PACKET_INITIAL) return false;
      datagram.bytes = bytes.slice(0, header.packetEnd);
      cut++;
      return true;
    });
    const client = dial(scenario);
    scenario.until("it gives up", () => scenario.state(client).error !== null, 10_000);
    assert.ok(cut > 0);
    assert.ok(
      scenario.state(client).error instanceof HandshakeTimeoutError,
      String(scenario.state(client).error),
    );
    assert.equal(client.handshakeComplete, false);
    const sent = scenario.trace.client.flatMap((event) =>
      event.name === "packet_sent" ? [event.header.type] : [],
    );
    assert.ok(!sent.includes(PACKET_ONE_RTT));
  });

  it("before it, with a chain that is not the server's: the certificate is refused", () => {
    const scenario = new Scenario({ seed: 27, traced: true });
    impostor(scenario, () => true);
    const client = dial(scenario);
    scenario.until("it gives up", () => scenario.state(client).error !== null, 10_000);
    const { error } = scenario.state(client);
    assert.ok(error instanceof TransportError, String(error));
    // rfc9001#4.8 0x0100 and the alert: bad_certificate.
    assert.equal(error.errorCode, 0x100 + 42);
    assert.equal(error.remote, false);
    assert.equal(client.handshakeComplete, false);
  });
});
