// What both the tests and the campaign run.
import { HANDSHAKE_KINDS, Scenario, type HandshakeKind, type StreamState } from "./scenario.ts";
import { seededFloat, type LinkOptions } from "./network.ts";

export const LOSSES = ["none", "first", "first three", "30 %"] as const;
export type HandshakeLoss = (typeof LOSSES)[number];
/** Whose datagrams are lost. */
export const SIDES = ["client", "server", "both"] as const;
export type Side = (typeof SIDES)[number];
export { HANDSHAKE_KINDS };

/** Patience that outlasts the backoff of probes under 30 % loss both ways. */
const PATIENCE = 600_000;

export function handshakeScenario(kind: HandshakeKind, seed: number): Scenario {
  const config = { handshakeTimeout: PATIENCE, maxIdleTimeout: PATIENCE };
  return new Scenario({ seed, kind, client: config, server: config, respond: 2000 });
}

/** A handshake, and a request with its answer, under a loss. */
export function handshakeCase(scenario: Scenario, loss: HandshakeLoss, side: Side): void {
  const random = seededFloat(scenario.options.seed + 99);
  const lost = (_: unknown, index: number): boolean => {
    if (loss === "none") return true;
    if (loss === "first") return index >= 1;
    if (loss === "first three") return index >= 3;
    return random() >= 0.3;
  };
  if (side !== "server") scenario.up.filter = lost;
  if (side !== "client") scenario.down.filter = lost;
  const client = scenario.dial();
  scenario.until(
    "the client's handshake completes",
    () => scenario.state(client).complete || scenario.state(client).error !== null,
    PATIENCE,
  );
  const request = scenario.open(client, 1000);
  if (request === null) scenario.fail("no stream");
  scenario.until(
    "the answer arrives and the handshake is confirmed",
    () => (request.finished && scenario.state(client).confirmed) || scenario.state(client).error !== null,
    PATIENCE,
  );
  scenario.check(request.received === 2000, `${request.received} bytes of the answer`);
  const server = scenario.accepted[0];
  if (server === undefined) scenario.fail("the server accepted nothing");
  scenario.check(scenario.accepted.length === 1, "the server accepted more than one connection");
  // The answer does not wait for the whole request, of which a part may be lost.
  const got = (): StreamState | undefined => scenario.state(server).streams.get(request.stream.id);
  scenario.until("the request is there", () => got()?.finished === true, PATIENCE);
  scenario.check(got()?.received === 1000, "the request is of another size");
  client.closeWithError(7n, "done", scenario.net.now);
  scenario.until(
    "both are gone",
    () => scenario.client.endpoint.connectionCount + scenario.server.endpoint.connectionCount === 0,
    PATIENCE * 2,
  );
}

export interface TransferCase {
  readonly name: string;
  readonly link: LinkOptions;
}

const base: LinkOptions = { delay: 10, rate: 5000, queue: 400 };

/** The faults a transfer must survive, per direction. */
export const TRANSFERS: readonly TransferCase[] = [
  { name: "no faults", link: base },
  { name: "loss 1 %", link: { ...base, loss: 0.01 } },
  { name: "loss 3 %", link: { ...base, loss: 0.03 } },
  { name: "loss 10 %", link: { ...base, loss: 0.1 } },
  { name: "reordering", link: { ...base, reorder: 0.2, reorderDelay: 15 } },
  { name: "duplication", link: { ...base, duplicate: 0.2 } },
  { name: "corruption", link: { ...base, corrupt: 0.02 } },
  {
    name: "everything",
    link: { ...base, loss: 0.02, reorder: 0.1, duplicate: 0.05, corrupt: 0.01 },
  },
  { name: "short queue", link: { delay: 15, rate: 1250, queue: 25 } },
  { name: "congestion marks", link: { ...base, ce: 0.01 } },
  { name: "RTT 1 ms", link: { delay: 0.5, rate: 50_000, loss: 0.01 } },
  { name: "RTT 100 ms", link: { delay: 50, rate: 5000, loss: 0.01 } },
  { name: "RTT 500 ms", link: { delay: 250, rate: 5000, queue: 2000, loss: 0.01 } },
];

export function transferScenario(link: LinkOptions, seed: number): Scenario {
  return new Scenario({
    seed,
    up: link,
    down: link,
    nullAead: true,
    client: { handshakeTimeout: 60_000, maxIdleTimeout: 120_000 },
    server: { handshakeTimeout: 60_000, maxIdleTimeout: 120_000 },
  });
}

/** `bytes` from one side to the other. */
export function transferCase(scenario: Scenario, bytes: number, sender: "client" | "server"): void {
  const { client, server } = scenario.connect();
  const [from, to] = sender === "client" ? [client, server] : [server, client];
  scenario.transfer(from, to, bytes, 36_000_000);
}
