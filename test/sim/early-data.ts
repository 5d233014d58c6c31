// What tests of 0-RTT share: a server with tickets and a filter, a first visit, a second one.
import assert from "node:assert/strict";
import type { Connection } from "../../internal/connection/connection.ts";
import { simProvider } from "../../internal/crypto/sim.ts";
import type { ClientSession } from "../../internal/tls/session.ts";
import { TicketKeys } from "../../internal/tls/tickets.ts";
import type { EarlyDataUse } from "../../internal/tls/types.ts";
import { seeded } from "../path/seeded.ts";
import { Scenario, type ScenarioOptions } from "./scenario.ts";

export function tickets(seed = 5, applicationData = "") {
  return {
    keys: new TicketKeys(simProvider(), seeded(seed), [new Uint8Array(32).fill(seed)]),
    lifetime: 86_400,
    count: 1,
    context: new Uint8Array(0),
    applicationData: new TextEncoder().encode(applicationData),
  };
}

/** Lets every ticket through once. */
export function once() {
  const seen = new Set<string>();
  return {
    replay: ({ ticketId }: EarlyDataUse): boolean => {
      const key = Buffer.from(ticketId).toString("hex");
      return !seen.has(key) && seen.add(key).size > 0;
    },
  };
}

export function scenario(options: Partial<ScenarioOptions> = {}): Scenario {
  return new Scenario({
    seed: 1,
    traced: true,
    respond: 500,
    tickets: tickets(),
    earlyData: once(),
    ...options,
  });
}

/** A connection that leaves a session behind, and is over. */
export function visit(s: Scenario): ClientSession {
  const { client } = s.connect();
  s.until("a ticket came", () => s.state(client).sessions.length > 0);
  client.closeWithError(0n, "", s.net.now);
  const over = () => s.client.endpoint.connectionCount + s.server.endpoint.connectionCount === 0;
  s.until("it is over", over, 300_000);
  s.accepted.length = 0;
  s.trace.client.length = s.trace.server.length = 0;
  return s.state(client).sessions[0]!;
}

export const early = (s: Scenario, session: ClientSession): Connection =>
  s.dial(undefined, { session, earlyData: true });

export function packets(
  s: Scenario,
  side: "client" | "server",
  name: "packet_sent" | "packet_received",
  type: number,
) {
  return s.trace[side].flatMap((event) =>
    event.name === name && event.header.type === type ? [event.header.number] : [],
  );
}

export const verdicts = (s: Scenario, side: "client" | "server") =>
  s.trace[side].flatMap((event) => (event.name === "early_data" ? [event.accepted] : []));

/** The connection that the server has with the client. */
export function serverSide(s: Scenario): Connection {
  const found = [...s.states.keys()].filter((each) => each.role === "server").at(-1);
  assert.ok(found !== undefined);
  return found;
}
