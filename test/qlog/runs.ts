// Connections of many kinds on the simulated network, with a qlog for each.
import { makeAddress } from "../../internal/protocol/address.ts";
import type { TracerInfo } from "../../src/index.ts";
import { qlogCallback, type QlogLevel } from "../../qlog/index.ts";
import { QlogTracer } from "../../qlog/writer.ts";
import { Scenario, type ScenarioOptions } from "../sim/scenario.ts";

export interface Log {
  readonly info: TracerInfo;
  text: string;
}

/** In place of a connection ID where a trace is an endpoint's. */
export const ENDPOINT = "00";

/** The records of a trace. */
export function records(text: string): { [name: string]: unknown }[] {
  return text
    .split("\u001e")
    .filter((part) => part !== "")
    .map((part) => JSON.parse(part) as { [name: string]: unknown });
}

/** Runs a scenario with a qlog on both sides and the connections closed at the end. */
export function logged(options: ScenarioOptions, level: QlogLevel, body: (s: Scenario) => void): Log[] {
  const logs: Log[] = [];
  const tracer = qlogCallback(
    (text, info) => {
      const known = logs.find((each) => each.info.odcid === info.odcid && each.info.role === info.role);
      if (known === undefined) logs.push({ info, text });
      else known.text += text;
    },
    { level },
  );
  const endpoint = options.serverEndpoint === undefined ? null : tracer({ role: "server", odcid: ENDPOINT });
  const scenario = new Scenario({
    ...options,
    client: { ...options.client, tracer },
    server: { ...options.server, tracer },
    // What belongs to no connection has a trace of its own.
    ...(options.serverEndpoint === undefined
      ? {}
      : {
          serverEndpoint: { ...options.serverEndpoint, tracer: endpoint },
        }),
  });
  body(scenario);
  for (const { connection } of scenario.states.values())
    connection.closeWithError(7n, "done", scenario.net.now);
  scenario.run(120_000);
  if (endpoint instanceof QlogTracer) endpoint.end();
  return logs;
}

/** One of each kind: plain, losses, reordering, a blackhole, key updates, resets, long chains, refusals. */
export function manyRuns(level: QlogLevel = "extra"): Log[] {
  const jumbled = { delay: 20, rate: 10e6 / 8000, reorder: 0.2, reorderDelay: 60 };
  const lossy = { delay: 20, rate: 10e6 / 8000, loss: 0.05 };
  return [
    ...logged({ seed: 1 }, level, (s) => {
      const { client, server } = s.connect();
      s.transfer(client, server, 300_000);
      client.updateKeys();
      s.transfer(client, server, 100_000);
      s.transfer(server, client, 100_000);
    }),
    ...logged({ seed: 2, up: lossy, down: lossy }, level, (s) => {
      const { client, server } = s.connect();
      s.transfer(client, server, 500_000);
      s.transfer(server, client, 500_000);
      const stream = s.open(client, 200_000);
      stream?.stream.send?.reset(9n);
      stream?.stream.recv?.stop(4n);
      s.run(2000);
    }),
    ...logged({ seed: 3, kind: "long chain" }, level, (s) => void s.connect()),
    ...logged(
      { seed: 31, serverEndpoint: { verifySourceAddress: () => true } },
      level,
      (s) => void s.connect(),
    ),
    ...logged({ seed: 4, kind: "client auth", server: { maxIncomingStreams: 2 } }, level, (s) => {
      const { client } = s.connect();
      for (let i = 0; i < 6; i++) s.open(client, 50_000);
      s.run(3000);
    }),
    ...logged({ seed: 5, client: { maxIdleTimeout: 2000 } }, level, (s) => {
      s.connect();
      s.run(10_000);
    }),
    ...logged({ seed: 6, up: { delay: 10, loss: 1 } }, level, (s) => {
      s.dial();
      s.run(30_000);
    }),
    // Reordering far enough that losses turn out to be spurious, and that packets wait for their keys.
    ...logged({ seed: 7, kind: "long chain", up: jumbled, down: jumbled }, level, (s) => {
      const { client, server } = s.connect();
      s.transfer(client, server, 300_000);
      s.transfer(server, client, 300_000);
    }),
    // The first answer is lost: what follows it waits for its keys.
    ...logged({ seed: 9, kind: "long chain" }, level, (s) => {
      s.down.filter = (_datagram, index) => index !== 0;
      s.connect();
    }),
    // A NAT that gives the client another port, then another address.
    ...logged({ seed: 8 }, level, (s) => {
      const { client, server } = s.connect();
      s.transfer(client, server, 20_000);
      for (const [ip, port] of [
        ["192.0.2.1", 50_001],
        ["192.0.2.77", 50_002],
      ] as const) {
        s.client.address = makeAddress(ip, port);
        client.ping();
        s.run(1000);
      }
      s.transfer(server, client, 20_000);
    }),
  ];
}
