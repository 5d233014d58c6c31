// How sockets end with their process, and what forks, threads and the collector do to them.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { KINDS } from "./sockets.ts";

const SOURCE = new URL("../../src/index.ts", import.meta.url).href;
const SOCKETS = new URL("./sockets.ts", import.meta.url).href;

/** Runs a module of its own; its output and how it ended. */
function run(program: string, env: Record<string, string>, flags: string[] = []) {
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    [...flags, "--import", "tsx", "--input-type=module", "--eval", program],
    { encoding: "utf8", env: { ...process.env, ...env }, timeout: 30_000 },
  );
  return { status, signal, stdout: stdout.trim(), stderr };
}

const PREAMBLE = `
  import { Transport, selfSigned } from ${JSON.stringify(SOURCE)};
  const { cert, key } = selfSigned();
  const tls = { cert, key, ca: cert, ALPNProtocols: ["t"] };
  const echo = async (listener) => {
    for await (const conn of listener) void (async () => {
      for await (const stream of conn.incomingStreams()) void stream.sink(stream.source).catch(() => {});
    })().catch(() => {});
  };
  const talk = async (transport, port) => {
    const conn = await transport.dial({ host: "127.0.0.1", port }, tls);
    const stream = await conn.openStream();
    await stream.write(new TextEncoder().encode("ping"));
    stream.close();
    let text = "";
    for await (const chunk of stream) text += new TextDecoder().decode(chunk);
    return text;
  };
`;

for (const { kind, skip } of KINDS) {
  const env = { QUIC_TS_UDP: kind };
  describe(`${kind} socket and its process`, { skip }, () => {
    test("an open socket keeps the process, an unreferenced one does not", () => {
      const kept = run(
        `${PREAMBLE} const t = new Transport({ address: "127.0.0.1" }); await t.listen(tls);
         setTimeout(() => { console.log("alive"); t.unref(); }, 50).unref();
         process.on("exit", () => console.log("gone"));`,
        env,
      );
      assert.deepEqual([kept.status, kept.stdout], [0, "alive\ngone"], kept.stderr);
      const again = run(
        `${PREAMBLE} const t = new Transport({ address: "127.0.0.1" }); t.unref(); await t.listen(tls);
         setTimeout(() => {}, 10); t.ref(); setTimeout(() => { console.log("alive"); void t.close(); }, 50).unref();`,
        env,
      );
      assert.deepEqual([again.status, again.stdout], [0, "alive"], again.stderr);
    });

    test("process.exit amid a transfer ends it at once", () => {
      const { status, signal, stderr } = run(
        `${PREAMBLE} const t = new Transport({ address: "127.0.0.1" }); const l = await t.listen(tls); void echo(l);
         const conn = await t.dial({ host: "127.0.0.1", port: l.address().port }, tls);
         const stream = await conn.openStream();
         const chunk = new Uint8Array(1e6);
         let got = 0;
         void (async () => { for (;;) await stream.write(chunk); })();
         for await (const bytes of stream) if ((got += bytes.length) > 5e6) process.exit(7);`,
        env,
      );
      assert.deepEqual([status, signal], [7, null], stderr);
    });

    test("a forked process has a socket of its own, and none of its parent's", () => {
      const { status, stdout, stderr } = run(
        `${PREAMBLE} import { spawnSync } from "node:child_process"; 
         const child = "const { readdirSync, readlinkSync } = require('fs'); console.log(readdirSync('/proc/self/fd').filter((fd) => { try { return readlinkSync('/proc/self/fd/' + fd).startsWith('socket:'); } catch { return false; } }).length)";
         const sockets = () => spawnSync(process.execPath, ["-e", child], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).stdout;
         const before = sockets();
         const t = new Transport({ address: "127.0.0.1" }); const l = await t.listen(tls); void echo(l);
         console.log(await talk(t, l.address().port));
         console.log(sockets() === before);
         await t.close();`,
        env,
      );
      assert.deepEqual([status, stdout], [0, "ping\ntrue"], stderr);
    });

    test("a worker thread that is terminated with open connections takes nothing with it", () => {
      const { status, signal, stdout, stderr } = run(
        `import { Worker } from "node:worker_threads"; ${PREAMBLE}
         const source = ${JSON.stringify(`
           const { parentPort } = require("node:worker_threads");
           void (async () => {
             const { tsImport } = await import("tsx/esm/api");
             const { Transport, selfSigned } = await tsImport(${JSON.stringify(SOURCE)}, ${JSON.stringify(import.meta.url)});
             const { cert, key } = selfSigned();
             const tls = { cert, key, ca: cert, ALPNProtocols: ["t"] };
             const t = new Transport({ address: "127.0.0.1" });
             const l = await t.listen(tls);
             void (async () => { for await (const conn of l) void (async () => { for await (const s of conn.incomingStreams()) void s.sink(s.source).catch(() => {}); })().catch(() => {}); })();
             const conn = await t.dial({ host: "127.0.0.1", port: l.address().port }, tls);
             const stream = await conn.openStream();
             // All has come and been acknowledged: node:dgram itself does not survive termination with a datagram in hand.
             await stream.write(new Uint8Array(1e6));
             stream.close();
             for await (const bytes of stream) void bytes;
             await stream.drained();
             setTimeout(() => parentPort.postMessage(conn.connectionState().socket.kind), 60);
           })();
         `)};
         for (let i = 0; i < 2; i++) {
           const worker = new Worker(source, { eval: true, execArgv: [] });
           console.log(await new Promise((resolve) => worker.once("message", resolve)));
           await worker.terminate();
         }
         const t = new Transport({ address: "127.0.0.1" }); const l = await t.listen(tls); void echo(l);
         console.log(await talk(t, l.address().port));
         await t.close();`,
        env,
      );
      // Foreign handles on a worker's loop would abort the process: workers have dgram.
      assert.deepEqual([status, signal, stdout], [0, null, "dgram\ndgram\nping"], stderr);
    });

    test("the collector at every turn changes no byte", () => {
      const { status, stdout, stderr } = run(
        `import { Probe, numbered } from ${JSON.stringify(SOCKETS)};
         const [a, b] = [await Probe.open(${JSON.stringify(kind)}), await Probe.open(${JSON.stringify(kind)})];
         for (let i = 0; i < 60; i++) {
           gc();
           const sent = numbered(20 * 1200 + 1 + i, i);
           a.send(b.address, sent, 1200);
           gc();
           await b.until(21);
           gc();
           const got = Buffer.concat(b.got.splice(0).map(({ bytes }) => bytes));
           if (!got.equals(Buffer.from(sent))) throw new Error("round " + i);
         }
         await Promise.all([a.conn.close(), b.conn.close()]);
         gc();
         console.log("same");`,
        env,
        ["--expose-gc"],
      );
      assert.deepEqual([status, stdout], [0, "same"], stderr);
    });
  });
}
