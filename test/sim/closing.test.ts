// How connections end: rfc9000#10.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PACKET_INITIAL } from "../../internal/protocol/constants.ts";
import { ApplicationError, TransportError } from "../../internal/protocol/errors.ts";
import { replayed, Scenario } from "./scenario.ts";

function gone(scenario: Scenario): boolean {
  return scenario.client.endpoint.connectionCount + scenario.server.endpoint.connectionCount === 0;
}

describe("closing", () => {
  it("tells the application's code and reason, and forgets all after three PTO", () => {
    for (const closer of ["client", "server"] as const) {
      replayed(
        () => new Scenario({ seed: 1 }),
        (scenario) => {
          const pair = scenario.connect();
          const other = closer === "client" ? pair.server : pair.client;
          pair[closer].closeWithError(42n, "bye", scenario.net.now);
          const closedAt = scenario.net.now;
          // rfc9000#10.2 these states SHOULD persist for at least three times the current PTO interval.
          const pto = pair[closer].recovery.timer.pto(2);
          scenario.until("the peer knows", () => scenario.state(other).error !== null, 1000);
          const error = scenario.state(other).error;
          assert.ok(error instanceof ApplicationError);
          assert.equal(error.errorCodeBig, 42n);
          assert.equal(error.reason, "bye");
          assert.equal(error.remote, true);
          assert.equal(scenario.state(pair[closer]).error?.remote, false);
          scenario.until("both are gone", () => gone(scenario), 10_000);
          assert.ok(scenario.net.now - closedAt >= 3 * pto - 1, `${scenario.net.now - closedAt} ms`);
        },
      );
    }
  });

  it("in the handshake, it is none in flight while the server drains", () => {
    const scenario = new Scenario({ seed: 3, up: { delay: 10 }, down: { delay: 10 } });
    const { endpoint } = scenario.server;
    const client = scenario.dial();
    scenario.until("the server has it", () => endpoint.handshakeCount === 1, 1000);
    client.closeWithError(0n, "", scenario.net.now);
    scenario.until("the server knows", () => endpoint.handshakeCount === 0, 1000);
    assert.equal(endpoint.connectionCount, 1);
    scenario.until("both are gone", () => gone(scenario), 10_000);
  });

  it("tells transport errors with their code and frame", () => {
    const scenario = new Scenario({ seed: 1 });
    const { client, server } = scenario.connect();
    server.closeWith(new TransportError(0x0a, "enough", { frameType: 0x08 }), scenario.net.now);
    scenario.until("the client knows", () => scenario.state(client).error !== null, 1000);
    const error = scenario.state(client).error;
    assert.ok(error instanceof TransportError);
    assert.equal(error.errorCode, 0x0a);
    assert.equal(error.frameType, 0x08);
    assert.equal(error.reason, "enough");
    scenario.until("both are gone", () => gone(scenario), 10_000);
  });

  it("keeps each side's own words when two closes cross", () => {
    const scenario = new Scenario({ seed: 1 });
    const { client, server } = scenario.connect();
    client.closeWithError(1n, "mine", scenario.net.now);
    server.closeWithError(2n, "no, mine", scenario.net.now);
    scenario.until("both are gone", () => gone(scenario), 10_000);
    for (const [connection, own, others] of [
      [client, 1n, 2n],
      [server, 2n, 1n],
    ] as const) {
      const { error } = scenario.state(connection);
      assert.ok(error instanceof ApplicationError && error.errorCodeBig === own && !error.remote);
      const { peerError } = connection.close;
      assert.ok(peerError instanceof ApplicationError && peerError.errorCodeBig === others);
    }
  });

  it("answers a peer that missed the close, more and more rarely", () => {
    // rfc9000#10.2.1 an endpoint SHOULD limit the rate at which it generates packets in the closing state.
    const scenario = new Scenario({
      seed: 1,
      nullAead: true,
      up: { delay: 200 },
      down: { delay: 200, rate: 500, queue: 10_000 },
    });
    const { client, server } = scenario.connect();
    const own = scenario.open(server, 3_000_000, false)!;
    scenario.until(
      "data flows",
      () => (scenario.state(client).streams.get(own.stream.id)?.received ?? 0) > 400_000,
    );
    scenario.up.blackhole = true;
    const before = scenario.client.datagramsSent;
    const { stats } = scenario.client.endpoint;
    const arrived = stats.datagramsReceived;
    client.closeWithError(1n, "", scenario.net.now);
    // What comes within a round trip may have been sent before the close was heard: the queue is long here.
    scenario.run(50);
    assert.equal(scenario.client.datagramsSent - before, 1);
    scenario.run(3000);
    const got = stats.datagramsReceived - arrived;
    const answers = scenario.client.datagramsSent - before;
    assert.ok(got > 30, `${got} datagrams came`);
    assert.ok(answers >= 3 && answers <= 2 + Math.log2(got), `${answers} answers to ${got} datagrams`);
  });

  it("is heard although the first close is lost", () => {
    const scenario = new Scenario({ seed: 1 });
    const { client, server } = scenario.connect();
    scenario.run(200);
    const first = scenario.up.count;
    scenario.up.filter = (_, index) => index > first;
    client.closeWithError(5n, "x", scenario.net.now);
    scenario.open(server, 1000, false);
    scenario.until("the server knows", () => scenario.state(server).error !== null, 1000);
    assert.equal(scenario.state(server).error?.code, "ERR_QUIC_APPLICATION");
  });

  it("sends nothing while draining, not even a close of its own", () => {
    // rfc9000#10.2.2 an endpoint in the draining state MUST NOT send any packets.
    const scenario = new Scenario({ seed: 1 });
    const { client, server } = scenario.connect();
    scenario.run(200);
    const kept: Uint8Array[] = [];
    scenario.up.filter = ({ bytes }) => (kept.push(bytes.slice()), true);
    scenario.open(client, 5000, false);
    scenario.run(100);
    const before = scenario.server.datagramsSent;
    client.closeWithError(0n, "", scenario.net.now);
    scenario.until("the server knows", () => scenario.state(server).error !== null, 1000);
    for (const bytes of kept) scenario.net.inject(bytes, scenario.client.address, scenario.server.address);
    scenario.run(5);
    assert.equal(scenario.server.datagramsSent - before, 0);
    assert.equal(scenario.server.endpoint.connectionCount, 1, "it drains");
  });

  it("hides the application's words before the handshake is done", () => {
    // rfc9000#10.2.3 MUST be replaced by CONNECTION_CLOSE of type 0x1c with APPLICATION_ERROR.
    const scenario = new Scenario({ seed: 1, traced: true });
    const client = scenario.dial();
    scenario.run(5);
    client.closeWithError(99n, "secret", scenario.net.now);
    scenario.run(2000);
    const closes = scenario.trace.server.flatMap((event) =>
      event.name === "packet_received" && event.header.type === PACKET_INITIAL
        ? event.frames.filter((frame) => frame.type === "connection_close")
        : [],
    );
    assert.ok(closes.length > 0, "the server got no close");
    assert.ok(!JSON.stringify(closes, (_, value: unknown) => String(value)).includes("secret"));
    assert.ok(scenario.state(client).error instanceof ApplicationError);
    scenario.until("both are gone", () => gone(scenario), 20_000);
    assert.equal(scenario.accepted.length, 0);
  });
});

describe("quiet connections", () => {
  it("end on both sides after the smaller of both idle timeouts", () => {
    const scenario = new Scenario({
      seed: 1,
      client: { maxIdleTimeout: 4000 },
      server: { maxIdleTimeout: 9000 },
    });
    const { client, server } = scenario.connect();
    scenario.run(300);
    const sent = scenario.net.datagrams;
    scenario.run(3500);
    assert.equal(scenario.state(client).error ?? scenario.state(server).error, null);
    scenario.run(1500);
    for (const each of [client, server]) {
      assert.equal(scenario.state(each).error?.code, "ERR_QUIC_IDLE_TIMEOUT", each.role);
    }
    // rfc9000#10.1 silently.
    assert.equal(scenario.net.datagrams, sent);
    assert.ok(gone(scenario));
  });

  it("are kept alive, under loss as well", () => {
    for (const loss of [0, 0.1]) {
      const scenario = new Scenario({
        seed: 2,
        client: { maxIdleTimeout: 10_000, keepAlivePeriod: 3000 },
        up: { delay: 30, loss },
        down: { delay: 30, loss },
      });
      const { client, server } = scenario.connect();
      scenario.run(600_000);
      assert.equal(scenario.state(client).error ?? scenario.state(server).error, null);
      // A PING and its ACK per period, not a stream of them.
      assert.ok(scenario.client.datagramsSent < 300, `${scenario.client.datagramsSent} datagrams`);
      scenario.transfer(client, server, 10_000);
    }
  });

  it("end streams that did not finish with an error", () => {
    const scenario = new Scenario({ seed: 3, client: { maxIdleTimeout: 3000 } });
    const { client, server } = scenario.connect();
    const own = scenario.open(client, 2_000_000, false)!;
    scenario.run(60);
    scenario.up.blackhole = scenario.down.blackhole = true;
    scenario.run(20_000);
    for (const each of [client, server])
      assert.equal(scenario.state(each).error?.code, "ERR_QUIC_IDLE_TIMEOUT");
    assert.equal(scenario.state(server).streams.get(own.stream.id)?.finished, false);
  });
});

describe("stateless reset", () => {
  it("ends a connection whose peer lost its state", () => {
    // rfc9000#10.3.1
    const scenario = new Scenario({
      seed: 1,
      serverEndpoint: { statelessResetKey: new Uint8Array(32).fill(7) },
    });
    const { client } = scenario.connect();
    scenario.transfer(client, scenario.accepted[0]!, 5000);
    scenario.run(500);
    scenario.server.endpoint.dispose();
    scenario.open(client, 3000, false);
    scenario.until("the client knows", () => scenario.state(client).error !== null, 2000);
    assert.equal(scenario.state(client).error?.code, "ERR_QUIC_STATELESS_RESET");
    const sent = scenario.client.datagramsSent;
    scenario.run(10_000);
    assert.equal(scenario.client.datagramsSent, sent, "packets after the reset");
    assert.ok(gone(scenario));
  });

  it("with a wrong token is nothing but garbage", () => {
    const scenario = new Scenario({ seed: 1 });
    const { client, server } = scenario.connect();
    const fake = new Uint8Array(60).fill(0x41);
    for (let i = 0; i < 20; i++) scenario.net.inject(fake, scenario.server.address, scenario.client.address);
    scenario.transfer(client, server, 50_000);
    assert.equal(scenario.state(client).error, null);
  });
});
