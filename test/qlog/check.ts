// `npm run qlog-check`: what we write against the draft's CDDL, and against what tshark sees. Both tools come from
// Debian; where they cannot be had the part is skipped by name.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { vectorPath } from "../vectors.ts";
import { runTool, tool } from "./cddl.ts";
import { checkWithTshark } from "./tshark.ts";
import { manyRuns, records, type Log } from "./runs.ts";

/** Tests whose connections are looked at; `npm run qlog-check -- PART…` takes others. */
const HTTP3 = ["http3/connection", "http3/datagrams", "http3/push", "http3/scheduling"];
const TESTS = process.argv.length > 2 ? process.argv.slice(2) : ["integration", ...HTTP3];

/** Headers looked at whatever their shape; beyond them one of each shape. */
const SOME_HEADERS = 40;

const work = mkdtempSync(join(tmpdir(), "qlog-check-"));
const seed = Number(process.env["SEED"] ?? 1);

/** The rule of each event's data in the draft. */
function ruleOf(name: string): string {
  if (name.startsWith("loglevel:")) return "LogLevelWarning";
  if (name.startsWith("http3:")) return `HTTP3${camelCase(name.slice("http3:".length))}`;
  if (name.startsWith("http:")) return `HTTP${camelCase(name.slice("http:".length))}`;
  const short = name.slice("quic:".length);
  const exact: Record<string, string> = {
    mtu_updated: "QUICMTUUpdated",
    ecn_state_updated: "QUICECNStateUpdated",
  };
  exact["alpn_information"] = "QUICALPNInformation";
  exact["connection_id_updated"] = "QUICConnectionIDUpdated";
  return exact[short] ?? `QUIC${camelCase(short)}`;
}

function camelCase(name: string): string {
  return name.replace(/(^|_)([a-z])/g, (_all, _sep: string, letter: string) => letter.toUpperCase());
}

function shape(value: unknown): string {
  if (Array.isArray(value)) return `[${[...new Set(value.map(shape))].sort().join("|")}]`;
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([k, v]) => `${k}:${k === "frame_type" || k === "packet_type" ? String(v) : shape(v)}`).join()}}`;
  }
  return typeof value;
}

interface Picked {
  name: string;
  /** The record as it was written: numbers keep their form. */
  text: string;
}

/** What the connections of the integration tests and of HTTP/3's, over real sockets, write themselves. */
function integration(): Log[] {
  const logs = join(work, "integration");
  const { status, stdout } = spawnSync(
    process.execPath,
    ["--import", "tsx", join(import.meta.dirname, "../run.ts"), ...TESTS],
    { encoding: "utf8", env: { ...process.env, QLOGDIR: logs, QLOGLEVEL: "extra" } },
  );
  assert.equal(status, 0, stdout);
  return readdirSync(logs).map((name) => {
    const [odcid, role] = name.split(/[_.]/) as [string, "client" | "server"];
    return { info: { odcid, role }, text: readFileSync(join(logs, name), "utf8") };
  });
}

function pick(): { events: Picked[]; headers: string[]; total: number; shapes: number } {
  const all: Picked[] = [];
  const headers: string[] = [];
  const headerShapes = new Set<string>();
  const distinct = new Map<string, Picked>();
  const real = integration();
  for (const log of [...manyRuns(), ...real]) {
    const texts = log.text.split("\u001e").slice(1);
    records(log.text).forEach((record, i) => {
      if (i === 0) {
        // The tool takes half a second for each.
        const key = shape(record);
        if (headerShapes.has(key) && headers.length >= SOME_HEADERS) return;
        headerShapes.add(key);
        headers.push(texts[0]!);
        return;
      }
      const event = { name: String(record["name"]), text: texts[i]! };
      all.push(event);
      const key = event.name + shape(record["data"]);
      if (!distinct.has(key)) distinct.set(key, event);
    });
  }
  const events = [...distinct.values()];
  let state = seed;
  for (let i = 0; i < 500; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    events.push(all[state % all.length]!);
  }
  return { events, headers, total: all.length, shapes: distinct.size };
}

function checkCddl(): void {
  const cddl = tool("cddl");
  const folder = vectorPath("qlog-cddl");
  if (typeof cddl === "string" || folder === null) {
    console.log(`skipped: CDDL (${typeof cddl === "string" ? cddl : "no vectors"})`);
    return;
  }
  const grammar = readFileSync(join(folder, "qlog-event.quoted.cddl"), "utf8");
  const validate = (rule: string, texts: readonly string[]): string => {
    const at = join(work, rule);
    mkdirSync(at, { recursive: true });
    writeFileSync(
      join(at, "rule.cddl"),
      // The tool does not unwrap groups (`~`): their fields are put there.
      grammar
        .replace(/^start = .*$/m, `start = ${rule}`)
        .replace(
          /~LogFile/g,
          '"file_schema": text, "serialization_format": text, ? "title": text, ? "description": text',
        ),
    );
    const files = texts.map((text, i) => {
      const file = join(at, `${i}.json`);
      writeFileSync(file, text);
      return ["--json", file];
    });
    const { status, stdout, stderr } = runTool(cddl, [
      "--ci",
      "validate",
      "-d",
      join(at, "rule.cddl"),
      ...files.flat(),
    ]);
    const failed = `${stdout}${stderr}`
      .split("\n")
      .filter((line) => /ERROR|failed|rror validating/.test(line));
    return status === 0 && failed.length === 0
      ? ""
      : `${rule}: ${failed.slice(0, 4).join("; ")} (status ${status})`;
  };
  const { events, headers, total, shapes } = pick();
  const byRule = new Map<string, string[]>();
  for (const { name, text } of events) {
    const data = /"data":(.*)\}\s*$/s.exec(text)![1]!;
    byRule.set(ruleOf(name), [...(byRule.get(ruleOf(name)) ?? []), data]);
  }
  const problems = [...byRule].map(([rule, texts]) => validate(rule, texts));
  // The whole record, of some: the tool is slow on so large a choice. Their data have all been checked by rule.
  problems.push(
    validate(
      "Event",
      events.slice(0, 25).map((event) => event.text),
    ),
  );
  // qvis's two fields are outside of the draft's closed map.
  const stripped = headers.map((text) => text.replace('"qlog_version":"0.3","qlog_format":"JSON-SEQ",', ""));
  problems.push(validate("QlogFileSeq", stripped));
  // The tool must be able to refuse.
  assert.notEqual(
    validate("QUICKeyUpdated", ['{"key_type":"client_initial_secret","trigger":"nobody"}']),
    "",
  );
  const bad = problems.filter((each) => each !== "");
  assert.equal(bad.join("\n"), "");
  console.log(
    `CDDL: ${shapes} shapes and 500 random ones of ${total} events (${byRule.size} rules), ${headers.length} headers: valid`,
  );
}

try {
  checkCddl();
  checkWithTshark(work);
} finally {
  if (process.env["KEEP"] === undefined) rmSync(work, { recursive: true, force: true });
  else console.log(work);
}
