// npm run test:paths [-- --all|--portable] [PART…]
// The tests that use real sockets and whole connections, over each socket and each crypto back end. `npm test` runs
// everything over the fastest that works here; this names what it runs over and makes sure that it is that.
// Without options: the native socket with libcrypto by FFI, then node:dgram with node:crypto; `--all` adds both mixtures,
// `--portable` is the latter pair alone.
import { spawnSync } from "node:child_process";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..");
const args = process.argv.slice(2);
const all = args.includes("--all");
const parts = args.filter((arg) => !arg.startsWith("--"));
// Those of udp/ and crypto/ name their sockets and back ends themselves: `npm test` has run them over both.
const PARTS = [
  "tls/",
  "handshake/",
  "connection/",
  "endpoint/",
  "hostile/",
  "integration/",
  "http3/",
  "docs/",
];
interface Path {
  readonly socket: "native" | "dgram";
  readonly crypto: "openssl" | "node";
}
const FAST: Path = { socket: "native", crypto: "openssl" };
const PORTABLE: Path = { socket: "dgram", crypto: "node" };
const MIXED: readonly Path[] = [
  { socket: "native", crypto: "node" },
  { socket: "dgram", crypto: "openssl" },
];
const PATHS = args.includes("--portable") ? [PORTABLE] : [FAST, PORTABLE, ...(all ? MIXED : [])];

function environment({ socket, crypto }: Path): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, QUIC_TS_UDP: socket };
  delete env["QUIC_TS_CRYPTO"];
  delete env["QUIC_TS_FFI"];
  if (crypto === "node") env["QUIC_TS_CRYPTO"] = "node";
  return env;
}

/** What a process with this environment really uses. */
function inUse(env: NodeJS.ProcessEnv): Path {
  const url = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
  const program = `
    const { openSocket } = await import(${url("../internal/udp/open.ts")});
    const { defaultProvider } = await import(${url("../internal/crypto/ffi.ts")});
    const socket = await openSocket({ address: "127.0.0.1" });
    console.log(JSON.stringify({ socket: socket.describe().kind, crypto: defaultProvider().name }));
    await socket.close();`;
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ["--import", "tsx", "--input-type=module", "--eval", program],
    { encoding: "utf8", env, cwd: ROOT },
  );
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Path;
}

let failed = false;
for (const path of PATHS) {
  const name = `${path.socket} socket, ${path.crypto === "openssl" ? "libcrypto by FFI" : "node:crypto"}`;
  const env = environment(path);
  const used = inUse(env);
  if (used.socket !== path.socket || used.crypto !== path.crypto) {
    // Not for want of trying, then the defaults are what `npm test` has run over already.
    console.log(
      `skipped: ${name} (here it is ${used.socket} and ${used.crypto}: 64-bit Linux and koffi are needed)`,
    );
    if (path === PORTABLE) failed = true;
    continue;
  }
  const begun = performance.now();
  const tests = parts.length > 0 ? parts : PARTS;
  const result = spawnSync(process.execPath, ["--import", "tsx", "test/run.ts", ...tests], {
    encoding: "utf8",
    env,
    cwd: ROOT,
    maxBuffer: 1 << 28,
  });
  const figure = (what: string): string =>
    new RegExp(`^ℹ ${what} (\\d+)`, "m").exec(result.stdout)?.[1] ?? "?";
  const took = ((performance.now() - begun) / 1000).toFixed(0);
  console.log(
    `${name}: ${figure("pass")} passed, ${figure("fail")} failed, ${figure("skipped")} skipped (${took} s)`,
  );
  if (result.status !== 0) {
    failed = true;
    // The reporter repeats the failures at its end.
    const at = result.stdout.lastIndexOf("✖ failing tests:");
    console.log(
      at < 0 ? `${result.stdout.slice(-6000)}${result.stderr.slice(-2000)}` : result.stdout.slice(at),
    );
  }
}
process.exit(failed ? 1 : 0);
