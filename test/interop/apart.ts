// Cases between two hosts: network namespaces of the runner's own with a link between them. The relay is not in the way, whose
// sockets would tell nothing of ECN.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Hosts } from "../network/hosts.ts";
import type { Role } from "./implementations.ts";

/** rfc5737: for documentation; nobody has it but the server's host. */
const CLIENT_ADDRESS = "192.0.2.1";
export const SERVER_ADDRESS = "192.0.2.2";
const PORT = 4433;
const ETHERNET = 1500;
/** Marks that both ends have to see: as many as rfc9000#13.4.2 (A.4) has them test the path with. */
const LEAST_MARKS = 10;

/** Where client and server are hosts of their own. */
export interface Apart {
  readonly hosts: Hosts;
  readonly address: string;
  readonly port: number;
  on(role: Role): (program: string, args: readonly string[]) => { program: string; args: string[] };
  close(): Promise<void>;
}

/** What a case finds: why it did not take place, or null, and in few words what was seen. */
export interface Finding {
  readonly objection: string | null;
  readonly detail: string;
}

/** Makes the hosts, or says why not. */
export async function setApart(): Promise<Apart | string> {
  const hosts = await Hosts.make(["client", "server"]);
  if (typeof hosts === "string") return hosts;
  await hosts.link(
    { host: "client", addresses: [`${CLIENT_ADDRESS}/24`] },
    { host: "server", addresses: [`${SERVER_ADDRESS}/24`] },
    ETHERNET,
  );
  return {
    hosts,
    address: SERVER_ADDRESS,
    port: PORT,
    on: (role) => (program, args) => hosts.command(role, program, args),
    close: () => hosts.close(),
  };
}

/** Both sides mark what they send, and find that the marks arrive: by the kernels' counts, and by their own words. */
export async function ecnTookPlace({ hosts }: Apart, qlog: string): Promise<Finding> {
  const received = { client: await hosts.ecnReceived("client"), server: await hosts.ecnReceived("server") };
  const logs = readdirSync(qlog, { recursive: true }).map((name) => ({
    name: String(name),
    text: readFileSync(join(qlog, String(name)), "utf8"),
  }));
  const detail = (["client", "server"] as const)
    .map((role) => {
      const { ect0, ect1, ce, notEct } = received[role];
      return `${role} received ${ect0} of ECT(0), ${ect1} of ECT(1), ${ce} of CE, ${notEct} without`;
    })
    .join("; ");
  let told = 0;
  for (const role of ["client", "server"] as const) {
    const { ect0, ect1 } = received[role === "client" ? "server" : "client"];
    if (ect0 + ect1 < LEAST_MARKS) return { objection: `the ${role} hardly marked anything`, detail };
    const states = logs
      .filter(({ name }) => name.includes(role))
      .flatMap(({ text }) =>
        [...text.matchAll(/ecn_state_updated"[^\n]*?"new":"(\w+)"/g)].map(([, to]) => to),
      );
    if (states.length > 0) told++;
    if (states.length > 0 && states.at(-1) !== "capable") {
      return { objection: `validation by the ${role}: ${states.join(", ")}`, detail };
    }
  }
  // Not every peer tells of it; the implementation under test does.
  if (told === 0) return { objection: "nobody told of a validation", detail };
  // The server sends most: it goes on marking because its validation succeeded.
  const { ect0, ect1, notEct } = received.client;
  if (ect0 + ect1 < 10 * notEct) return { objection: "the server gave marking up", detail };
  return { objection: null, detail };
}
