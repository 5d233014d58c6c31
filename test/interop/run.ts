// Interop: every case against every peer, as client and as server, through the relay; ecn between hosts of its own.
//   npm run interop -- [--full] [--peers quic-go,aioquic,nginx,caddy,curl,ngtcp2] [--cases a,b] [--role client|server] [--impl NAME]
//                      [--jobs N] [--tries N] [--seed N] [--json FILE] [--keep] [--qlog]
// The short form (default) takes quic-go, and of ngtcp2 what quic-go lacks, 20 MB where much is sent, 10 connections in the loss
// cases and one run of goodput; --full takes every peer, 100 MB, 50, and the mean of five.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { CASES, type Case } from "./cases.ts";
import { type Implementation, implementations, type Role } from "./implementations.ts";
import { type Outcome, type Pairing, runCase } from "./run-case.ts";

const { values } = parseArgs({
  options: {
    full: { type: "boolean", default: false },
    peers: { type: "string" },
    cases: { type: "string" },
    role: { type: "string" },
    impl: { type: "string", default: "ours" },
    jobs: { type: "string" },
    tries: { type: "string", default: "1" },
    seed: { type: "string", default: "1" },
    json: { type: "string" },
    keep: { type: "boolean", default: false },
    qlog: { type: "boolean", default: false },
  },
});

interface Lack {
  peer: string;
  /** The role the peer would have. */
  role?: Role;
  case: string;
  reason: string;
}

interface Result extends Outcome {
  peer: string;
  /** The role of the implementation under test. */
  role: Role;
  case: string;
}

function stop(message: string): never {
  console.error(message);
  process.exit(2);
}

const known = implementations();
function named(name: string): Implementation {
  return (
    known.get(name) ?? stop(`No implementation is called ${name}. There are: ${[...known.keys()].join(", ")}`)
  );
}
const split = (text: string | undefined): string[] | undefined => text?.split(",").filter(Boolean);

/** Peers of the short form, and which cases they are for. */
const SHORT = new Map<string, (test: Case) => boolean>([
  ["quic-go", () => true],
  [
    "ngtcp2",
    ({ name, inPlaceOfHq, goodput }) => name === "http3" || (inPlaceOfHq === true && goodput !== true),
  ],
]);
const short = !values.full && values.peers === undefined;
const all = [...known.keys()].filter((name) => name !== "ours");

const impl = named(values.impl);
const peers = (split(values.peers) ?? (short ? [...SHORT.keys()] : all)).map(named);
const wanted = split(values.cases);
for (const name of wanted ?? []) {
  if (!CASES.some((each) => each.name === name)) {
    stop(`No case is called ${name}. There are: ${CASES.map((each) => each.name).join(", ")}`);
  }
}
const cases = CASES.filter(({ name }) => wanted === undefined || wanted.includes(name));
if (values.role !== undefined && values.role !== "client" && values.role !== "server") {
  stop("--role is client or server");
}
const roles: Role[] = values.role === undefined ? ["client", "server"] : [values.role as Role];
const lacks = JSON.parse(readFileSync(join(import.meta.dirname, "peers", "lacks.json"), "utf8")) as Lack[];

const begun = performance.now();
const home = mkdtempSync(join(tmpdir(), "quic-interop-"));
const missing = await impl.prepare();
if (missing !== null) stop(`${impl.name} cannot be run: ${missing}`);

const results: Result[] = [];
interface Cell {
  pairing: Pairing;
  test: Case;
  peer: string;
  role: Role;
}
const queue: Cell[] = [];
const reasons = await Promise.all(peers.map((peer) => peer.prepare()));
for (const [i, peer] of peers.entries()) {
  const reason = reasons[i]!;
  for (const role of roles) {
    const peerRole: Role = role === "client" ? "server" : "client";
    if (!peer.roles.includes(peerRole) || !impl.roles.includes(role)) continue;
    if (reason !== null) console.log(`skipped: ${peer.name} as ${peerRole}: ${reason}`);
    for (const test of cases) {
      if (peer.http3Alone === true ? !test.testcase.startsWith("http3") : test.inPlaceOfHq === true) continue;
      if (short && wanted === undefined && SHORT.get(peer.name)!(test) === false) continue;
      const at = { peer: peer.name, role, case: test.name };
      const lack = lacks.find(
        (each) =>
          each.peer === peer.name &&
          each.case === test.name &&
          (each.role === undefined || each.role === peerRole),
      );
      if (reason !== null) results.push({ ...at, verdict: "skipped", detail: reason, elapsedMs: 0 });
      else if (lack !== undefined) {
        results.push({ ...at, verdict: "peer lacks it", detail: lack.reason, elapsedMs: 0 });
      } else {
        const pairing =
          role === "client"
            ? { client: impl, server: peer, underTest: role }
            : { client: peer, server: impl, underTest: role };
        queue.push({ pairing, test, peer: peer.name, role });
      }
    }
  }
}

/**
 * How much of the link a transfer should take: the mean of as many runs as the interop runner does, in the short form one of a few.
 * Where the peer sends it is the peer's congestion controller that is measured.
 */
const RUNS = values.full ? 5 : 3;
const GOOD = { client: 0.8, server: 0.9 };
/** Where the relay sends packets that much later than the path would, on average, the machine is measured and not the transfer. */
const BUSY_MS = 1;

// The longest first, so that none of them is left for the end. Most of a run is waiting for the path: more than one per core.
const LONG = [
  "handshakeloss",
  "handshakecorruption",
  "blackhole",
  "transfer",
  "transferloss",
  "transfercorruption",
  "connectionmigration",
];
const rank = (test: Case): number => (LONG.includes(test.name) ? LONG.indexOf(test.name) : LONG.length);
queue.sort((a, b) => rank(a.test) - rank(b.test));
const jobs = Math.max(1, Number(values.jobs ?? 2 * Math.min(4, availableParallelism())));

/** Each of them takes a tenth of a core. */
const QUIET_JOBS = 2;

const failed: { cell: Cell; result: Result }[] = [];
async function run(cell: Cell, folder: string): Promise<Result> {
  const { pairing, test, peer, role } = cell;
  const settings = {
    home: folder,
    full: values.full,
    seed: Number(values.seed),
    keep: values.keep || values.qlog,
    qlog: values.qlog,
  };
  const outcome = test.goodput === true ? await measured() : await runCase(pairing, test, settings);
  const seconds = (outcome.elapsedMs / 1000).toFixed(1).padStart(5);
  const who = `${pairing.client.name} -> ${pairing.server.name}`;
  console.log(`${seconds} s  ${outcome.verdict.padEnd(6)} ${test.name.padEnd(20)} ${who}  ${outcome.detail}`);
  return { peer, role, case: test.name, ...outcome };

  async function measured(): Promise<Outcome> {
    const shares: number[] = [];
    const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
    for (;;) {
      const outcome = await runCase(pairing, test, settings);
      if (outcome.verdict !== "ok") return outcome;
      shares.push(outcome.goodput!);
      const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
      const goodput = values.full ? mean : Math.max(...shares);
      const good = goodput >= GOOD[role];
      if (shares.length < RUNS && (values.full || !good)) continue;
      const late = outcome.stats!.latenessMs;
      const detail = `${percent(goodput)} of the link (${shares.map(percent).join(", ")}; ${late.toFixed(1)} ms late)`;
      const result = { ...outcome, goodput, detail };
      if (good) return result;
      if (late < BUSY_MS) return { ...result, verdict: "failed" };
      return { ...result, verdict: "skipped", detail: `too busy a machine to measure that: ${detail}` };
    }
  }
}
async function worker(queue: Cell[]): Promise<void> {
  for (let cell = queue.shift(); cell !== undefined; cell = queue.shift()) {
    const result = await run(cell, home);
    results.push(result);
    if (result.verdict === "failed") failed.push({ cell, result });
  }
}
// What is measured comes when it is quiet.
const quiet = queue.filter(({ test }) => test.goodput === true);
const busy = queue.filter(({ test }) => test.goodput !== true);
await Promise.all(Array.from({ length: jobs }, () => worker(busy)));
await Promise.all(Array.from({ length: Math.min(jobs, QUIET_JOBS) }, () => worker(quiet)));

// Both sides run in real time, several pairs at once: what failed may have wanted for a processor. It is tried again alone,
// and what it needed that for is said.
for (let again = 2; again <= Number(values.tries); again++) {
  for (const { cell, result } of failed.splice(0)) {
    const next = await run(cell, mkdtempSync(join(home, `try-${again}-`)));
    if (next.verdict === "failed") failed.push({ cell, result: next });
    else next.detail += `; at try ${again}, after: ${result.detail}`;
    results[results.indexOf(result)] = next;
    console.log(`AGAIN ${result.case}, ${impl.name} as ${result.role}, ${result.peer}: ${result.detail}`);
  }
}

function matrix(): string {
  const columns = peers.flatMap((peer) =>
    roles
      .filter((role) => results.some((each) => each.peer === peer.name && each.role === role))
      .map((role) => ({ peer: peer.name, role, title: `${role} / ${peer.name}` })),
  );
  const rows = cases.map((test) => [
    test.name,
    ...columns.map(
      ({ peer, role }) =>
        results.find((each) => each.peer === peer && each.role === role && each.case === test.name)
          ?.verdict ?? "",
    ),
  ]);
  const table = [[`${impl.name} as`, ...columns.map(({ title }) => title)], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  return table.map((row) => row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ")).join("\n");
}

console.log(`\n${matrix()}\n`);
const count = (verdict: Outcome["verdict"]): number =>
  results.filter((each) => each.verdict === verdict).length;
for (const { verdict, peer, role, case: name, detail } of results) {
  if (verdict === "peer lacks it") console.log(`${peer} lacks ${name} (${impl.name} as ${role}): ${detail}`);
}
console.log(
  `${count("ok")} ok, ${count("failed")} failed, ${count("peer lacks it")} lacking at the peer, ${count("skipped")} skipped; ` +
    `seed ${values.seed}, ${((performance.now() - begun) / 1000).toFixed(0)} s`,
);
const failures = results.filter(({ verdict }) => verdict === "failed");
for (const { peer, role, case: name, detail, folder } of failures) {
  console.log(
    `FAILED ${name}, ${impl.name} as ${role}, ${peer}: ${detail}${folder === undefined ? "" : ` (see ${folder})`}`,
  );
}
if (values.json !== undefined) {
  writeFileSync(
    values.json,
    `${JSON.stringify({ implementation: impl.name, full: values.full, seed: Number(values.seed), results }, null, 2)}\n`,
  );
}
if (failures.length === 0 && !values.keep && !values.qlog) rmSync(home, { recursive: true, force: true });
process.exit(failures.length === 0 ? 0 : 1);
