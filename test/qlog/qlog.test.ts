// The writer, the summary, and that no secret gets into what people share.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { test } from "node:test";
import { inspect } from "node:util";
import { dialAddr, listenAddr, selfSigned, Transport, type TraceEvent } from "../../src/index.ts";
import { formatStats, qlogFile, qlogStats, qlogStream } from "../../qlog/index.ts";
import { ENDPOINT, manyRuns, records } from "./runs.ts";

const folder = (): string => mkdtempSync(join(tmpdir(), "qlog-test-"));
const started: TraceEvent = {
  name: "connection_started",
  time: 5,
  role: "client",
  local: null,
  remote: "127.0.0.1:4433",
  odcid: "aa",
  version: 1,
};
const mtu: TraceEvent = { name: "mtu_updated", time: 6, mtu: 1300 };

function warnings(): { list: string[]; stop(): void } {
  const list: string[] = [];
  const on = (warning: Error): void => void list.push(warning.message);
  process.on("warning", on);
  return { list, stop: () => process.off("warning", on) };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("every trace starts with the header, is one connection's, and its summary counts it", () => {
  const logs = manyRuns("extra");
  const seen = new Set<string>();
  for (const { text, info } of logs) {
    const list = records(text);
    const header = list[0] as {
      file_schema: string;
      serialization_format: string;
      qlog_version: string;
      trace: object;
    };
    assert.equal(header.file_schema, "urn:ietf:params:qlog:file:sequential");
    assert.equal(header.serialization_format, "application/qlog+json-seq");
    assert.equal(header.qlog_version, "0.3");
    assert.deepEqual((header.trace as { vantage_point: object }).vantage_point, {
      name: "quic-ts",
      type: info.role,
    });
    const started = list.filter((each) => each["name"] === "quic:connection_started").length;
    assert.equal(started, info.odcid === ENDPOINT ? 0 : 1);
    seen.add(`${info.odcid} ${info.role}`);
    const [stats] = qlogStats(text);
    assert.equal(stats!.events, list.length - 1);
    assert.equal(stats!.packets.sent, list.filter((each) => each["name"] === "quic:packet_sent").length);
    assert.deepEqual(stats!.warnings, []);
    assert.match(formatStats(stats!), /losses/);
  }
  assert.equal(seen.size, logs.length);
});

test("levels and a choice of events", () => {
  const names = (level: "core" | "base" | "extra") =>
    new Set(manyRuns(level).flatMap(({ text }) => records(text).map((each) => each["name"])));
  const core = names("core");
  assert.ok(core.has("quic:packet_sent") && !core.has("quic:key_updated"));
  assert.ok(names("base").has("quic:key_updated"));
  const dir = folder();
  const tracer = qlogFile(join(dir, "x.sqlog"), { level: "extra", events: ["mtu_updated"] })({
    role: "client",
    odcid: "aa",
  })!;
  tracer.record(started);
  tracer.record(mtu);
  tracer.record({ name: "connection_state_updated", time: 7, state: "closed" });
  const list = records(readFileSync(join(dir, "x.sqlog"), "utf8"));
  assert.deepEqual(
    list.map((each) => each["name"]),
    [undefined, "quic:mtu_updated"],
  );
  rmSync(dir, { recursive: true });
});

test("a closed stream: one warning, and the tracer goes on taking events", async () => {
  const seen = warnings();
  const stream = new Writable({ write: (_chunk, _encoding, done) => done() });
  stream.destroy();
  const make = qlogStream(() => stream, { level: "extra" });
  for (let i = 0; i < 3; i++) {
    const tracer = make({ role: "server", odcid: `b${i}` })!;
    for (let k = 0; k < 2000; k++) tracer.record(mtu);
  }
  await turn();
  seen.stop();
  assert.equal(seen.list.length, 1, seen.list.join("\n"));
});

test("a transport's own tracer gets what belongs to no connection", async () => {
  const dir = folder();
  const file = join(dir, "transport.sqlog");
  const { key, cert } = selfSigned({ altNames: ["127.0.0.1"] });
  const transport = new Transport({
    address: "127.0.0.1",
    port: 0,
    tracer: qlogFile(file, { level: "extra" }),
  });
  const listener = await transport.listen({ key, cert, ALPNProtocols: ["t"] });
  const { port } = listener.address();
  process.emit("exit", 0);
  const [, listening] = records(readFileSync(file, "utf8"));
  assert.equal(listening!["name"], "quic:server_listening");
  assert.deepEqual(listening!["data"], { ip_v4: "127.0.0.1", port_v4: port });
  await transport.close();
  rmSync(dir, { recursive: true });
});

test("a full disk: one warning, and the connection goes on", { skip: !existsSync("/dev/full") }, async () => {
  const seen = warnings();
  const { key, cert } = selfSigned({ altNames: ["127.0.0.1"] });
  const listener = await listenAddr("127.0.0.1:0", { key, cert, ALPNProtocols: ["t"] });
  const tracer = qlogFile("/dev/full", { level: "extra" });
  const conn = await dialAddr(
    `127.0.0.1:${listener.address().port}`,
    { ca: cert, ALPNProtocols: ["t"] },
    { tracer },
  );
  const peer = await listener.accept();
  const stream = await conn.openStream();
  // More than the writer keeps back.
  await stream.write(new Uint8Array(500_000));
  await stream.close();
  const incoming = await peer.acceptStream();
  let got = 0;
  for await (const chunk of incoming) got += chunk.length;
  assert.equal(got, 500_000);
  conn.closeWithError(0, "");
  await listener.close();
  await turn();
  seen.stop();
  assert.equal(seen.list.length, 1, seen.list.join("\n"));
  assert.match(seen.list[0]!, /\/dev\/full: ENOSPC.*Connections go on without it/);
});

test("an uncaught error: what was buffered is in the file", () => {
  const dir = folder();
  const file = join(dir, "x.sqlog");
  const program = `
    import { qlogFile } from ${JSON.stringify(new URL("../../qlog/index.ts", import.meta.url).href)};
    const tracer = qlogFile(${JSON.stringify(file)}, { level: "extra" })({ role: "client", odcid: "aa" });
    tracer.record(${JSON.stringify(mtu)});
    throw new Error("boom");`;
  const { status } = spawnSync(
    process.execPath,
    ["--import", "tsx", "--input-type=module", "--eval", program],
    { stdio: "ignore" },
  );
  assert.notEqual(status, 0);
  assert.deepEqual(
    records(readFileSync(file, "utf8")).map((each) => each["name"]),
    [undefined, "quic:mtu_updated"],
  );
  rmSync(dir, { recursive: true });
});

test("QLOGDIR and SSLKEYLOGFILE: files by connection, no secret in them, in errors or in inspect", async () => {
  const seen = warnings();
  const dir = folder();
  process.env["QLOGDIR"] = join(dir, "logs/");
  process.env["SSLKEYLOGFILE"] = join(dir, "keys");
  const { key, cert } = await selfSigned({ altNames: ["localhost", "127.0.0.1"] });
  const tls = { key, cert, ALPNProtocols: ["t"] };
  let events = 0;
  const thrower = {
    record(): void {
      events++;
      throw new Error("broken tracer");
    },
  };
  const listener = await listenAddr("127.0.0.1:0", tls);
  const { port } = listener.address();
  const shown: string[] = [];
  for (let i = 0; i < 2; i++) {
    const conn = await dialAddr(`127.0.0.1:${port}`, { ca: cert, ALPNProtocols: ["t"] }, { tracer: thrower });
    const peer = await listener.accept();
    shown.push(inspect(conn, { depth: 8, showHidden: true }), inspect(peer, { depth: 8, showHidden: true }));
    conn.closeWithError(5, "bye");
    const info = await peer.closed;
    shown.push(inspect(info, { depth: 8 }), String((info.error as Error).stack));
  }
  await listener.close();
  process.env["QLOGDIR"] = "/proc/nowhere/";
  const other = await listenAddr("127.0.0.1:0", tls);
  const conn = await dialAddr(`127.0.0.1:${other.address().port}`, { ca: cert, ALPNProtocols: ["t"] });
  conn.closeWithError(0, "");
  await other.close();
  delete process.env["QLOGDIR"];
  delete process.env["SSLKEYLOGFILE"];
  await turn();
  seen.stop();

  assert.ok(events > 10);
  assert.equal(seen.list.filter((text) => text.includes("broken tracer")).length, 1);
  assert.equal(seen.list.filter((text) => text.startsWith("qlog:")).length, 1, seen.list.join("\n"));
  assert.equal(seen.list.filter((text) => text.includes("SSLKEYLOGFILE")).length, 1);
  // The rest of each trace leaves when the closing period is over, or with the process.
  const lines = readFileSync(join(dir, "keys"), "utf8").trim().split("\n");
  const secrets = lines.map((line) => line.split(" ")[2]!);
  assert.ok(secrets.length >= 8);
  assert.ok(
    lines.every((line) => /^(CLIENT|SERVER|EXPORTER)_[A-Z0-9_]+ [0-9a-f]{64} [0-9a-f]{64,96}$/.test(line)),
  );
  process.emit("exit", 0);
  const files = readdirSync(join(dir, "logs"));
  assert.equal(files.length, 4, files.join());
  for (const file of files) {
    assert.match(file, /^[0-9a-f]{16,40}_(client|server)\.sqlog$/);
    const text = readFileSync(join(dir, "logs", file), "utf8");
    assert.ok(records(text).length > 10);
    shown.push(text);
  }
  const all = shown.join("\n").toLowerCase();
  for (const secret of secrets) assert.ok(!all.includes(secret), "a traffic secret shows");
  rmSync(dir, { recursive: true });
  assert.ok(!existsSync(dir));
});

test("stats: truncated, foreign and broken files show what they can and say what is wrong where", () => {
  const text = manyRuns("base")[0]!.text;
  const cut = qlogStats(text.slice(0, text.length / 2))[0]!;
  assert.ok(cut.events > 10);
  assert.match(
    cut.warnings[0]!,
    /record \d+, at character \d+: not JSON \(the last one: the file is truncated\)/,
  );

  const old = {
    qlog_version: "0.3",
    traces: [
      {
        vantage_point: { type: "client" },
        common_fields: { time_format: "delta" },
        events: [
          {
            time: 0,
            name: "transport:packet_sent",
            data: { raw: { length: 1200 }, frames: [{ frame_type: "crypto" }] },
          },
          { time: 10, name: "recovery:metrics_updated", data: { smoothed_rtt: 33, pto_count: 2 } },
          { time: 5, name: "recovery:packet_lost", data: {} },
          "nonsense",
        ],
      },
    ],
  };
  const [foreign] = qlogStats(JSON.stringify(old));
  assert.deepEqual(
    [foreign!.duration, foreign!.rtt.smoothed, foreign!.lost, foreign!.ptos, foreign!.framesSent["crypto"]],
    [15, 33, 1, 2, 1],
  );
  assert.match(foreign!.warnings[0]!, /event 4: not an event/);
  const [broken] = qlogStats(JSON.stringify(old).slice(0, -40));
  assert.ok(broken!.events >= 2);
  for (const junk of [
    "",
    "\u001e",
    "null",
    "[]",
    "{}",
    "hello",
    "\u001e{",
    '{"traces":[1,null,{}]}',
    "\u0000\uffff",
  ]) {
    for (const each of qlogStats(junk)) {
      assert.ok(each.warnings.length > 0, JSON.stringify(junk));
      formatStats(each);
    }
  }
  const dir = folder();
  writeFileSync(join(dir, "x"), "");
  rmSync(dir, { recursive: true });
});
