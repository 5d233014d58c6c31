// npm run harden [-- --minutes N] [--megabytes N] [--suite [PART…]] [--only checkingAllocator|valgrind|soak]
// Memory that C touches, looked at by others than us: glibc's checking allocator, valgrind, and time. The short form (no
// options) takes seconds of each; `--minutes 10 --megabytes 100 --suite` is the long one: so many minutes for each path,
// and the main test command (its PARTs) under the checking allocator. What cannot be had is skipped by name, and a
// watcher that does not see the fault that it is shown first (faulty.ts) counts as a failure.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { loadKoffi } from "../../internal/ffi/koffi.ts";

const { values, positionals } = parseArgs({
  options: {
    minutes: { type: "string" },
    megabytes: { type: "string" },
    suite: { type: "boolean", default: false },
    only: { type: "string" },
  },
  allowPositionals: true,
});
/** Of the soak of each path. */
const seconds = values.minutes === undefined ? 8 : 60 * Number(values.minutes);
const megabytes = values.megabytes ?? "2";
const ROOT = join(import.meta.dirname, "../..");
const CACHE = join(import.meta.dirname, ".cache");
const TRANSFER = join(import.meta.dirname, "transfer.ts");
const FAULTY = join(import.meta.dirname, "faulty.ts");
/** Without --suite: the tests of sockets and FFI that run in this process: those of processes start others. */
const TESTS = ["udp/contract.test.ts", "udp/faults.test.ts", "crypto/ffi.test.ts"];

interface Sample {
  heap: number;
  external: number;
  rss: number;
  files: number;
  contexts: number;
  handles: number;
  rounds: number;
}

function node(args: string[], env: Record<string, string> = {}, before: string[] = ["--import", "tsx"]) {
  const [program, ...rest] =
    before[0] === "--import" ? [process.execPath, ...before, ...args] : [...before, ...args];
  const begun = performance.now();
  const result = spawnSync(program!, rest, {
    encoding: "utf8",
    env: { ...process.env, ...env },
    maxBuffer: 64e6,
    timeout: 3600_000,
  });
  return { ...result, took: ((performance.now() - begun) / 1000).toFixed(1) };
}

interface Report {
  kind: string;
  crypto: string;
  samples: Sample[];
}

const report = (stdout: string): Report => JSON.parse(stdout.trim().split("\n").at(-1)!) as Report;

/** glibc's allocator with checks of its own at every free, and memory filled with a pattern when it is handed out. */
function checkingAllocator(): void {
  const library = ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib64", "/lib64"]
    .map((folder) => join(folder, "libc_malloc_debug.so.0"))
    .find((path) => existsSync(path));
  if (library === undefined) {
    console.log("skipped: the checking allocator (no libc_malloc_debug.so.0 here)");
    return;
  }
  const env = { LD_PRELOAD: library, MALLOC_CHECK_: "3", MALLOC_PERTURB_: "165" };
  const control = node(["--expose-gc", FAULTY, "overflow"], env);
  if (control.status === 3) {
    console.log("skipped: the checking allocator (koffi cannot be had here)");
    return;
  }
  assert.equal(control.signal, "SIGABRT", `the allocator missed a fault: ${control.stdout}${control.stderr}`);
  const tests = TESTS.map((name) => join(import.meta.dirname, "..", name));
  const suite = [join(import.meta.dirname, "../run.ts"), ...positionals];
  const tested = node(values.suite ? suite : ["--test", ...tests], env);
  assert.equal(tested.status, 0, `${tested.stdout.slice(-3000)}${tested.stderr.slice(-2000)}`);
  const passed = /^# pass (\d+)/m.exec(tested.stdout)?.[1] ?? /ℹ pass (\d+)/.exec(tested.stdout)?.[1];
  const moved = node([TRANSFER, "100"], env);
  assert.equal(moved.status, 0, moved.stderr);
  console.log(
    `checking allocator: an overflow is seen; ${passed} tests ` +
      `${values.suite ? ["of npm test", ...positionals].join(" ") : "of sockets and FFI"}, 100 MB there and back by the ` +
      `${report(moved.stdout).kind} socket: no corruption (${tested.took} + ${moved.took} s)`,
  );
}

/** How to start valgrind: the system's, or one unpacked beside it. A string says why there is none. */
function findValgrind(): { command: string[]; env: Record<string, string> } | string {
  if (spawnSync("valgrind", ["--version"]).status === 0) return { command: ["valgrind"], env: {} };
  const root = join(CACHE, "valgrind");
  const program = join(root, "usr/bin/valgrind");
  if (!existsSync(program)) {
    const suite = /^VERSION_CODENAME=(\w+)$/m.exec(readText("/etc/os-release"))?.[1] ?? "stable";
    const script = join(import.meta.dirname, "../tools/unpack-debian.sh");
    const fetched = spawnSync("bash", [script, root, suite, "valgrind", "usr/bin/valgrind"], {
      encoding: "utf8",
    });
    if (fetched.status !== 0) {
      return `not installed, and ${fetched.stdout.trim().split("\n").at(-1) ?? "not to be fetched"}`;
    }
  }
  // Its tools lie where the package puts them, and the loader's symbols, which it needs, too.
  return {
    command: [program, `--extra-debuginfo-path=${join(root, "usr/lib/debug")}`],
    env: { VALGRIND_LIB: join(root, "usr/libexec/valgrind") },
  };
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** The programs as JavaScript: under valgrind, translating TypeScript would take longer than all else. */
function compiled(): string {
  const out = join(CACHE, "compiled");
  rmSync(out, { recursive: true, force: true });
  const options =
    "--target es2022 --module nodenext --rewriteRelativeImportExtensions --allowImportingTsExtensions --noCheck --types node";
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  const { status, stdout } = spawnSync(
    process.execPath,
    [tsc, TRANSFER, FAULTY, "--ignoreConfig", "--rootDir", ROOT, "--outDir", out, ...options.split(" ")],
    { encoding: "utf8" },
  );
  assert.equal(status, 0, stdout);
  cpSync(join(ROOT, "package.json"), join(out, "package.json"));
  return join(out, "test/harden");
}

function valgrind(): void {
  const found = findValgrind();
  if (typeof found === "string") {
    console.log(`skipped: valgrind (${found})`);
    return;
  }
  // Invalid reads and writes are what FFI would do wrong; V8 itself reads uninitialised stack by design and is not asked
  // about it. With V8's compilers at work: what they make of our code is what runs.
  const command = [
    ...found.command,
    "--smc-check=all-non-file",
    "--undef-value-errors=no",
    "--error-exitcode=99",
    "--leak-check=no",
    "--quiet",
    `--suppressions=${join(import.meta.dirname, "valgrind.supp")}`,
    process.execPath,
  ];
  const folder = compiled();
  const control = node(["--expose-gc", join(folder, "faulty.js"), "stale"], found.env, command);
  if (control.status === 3) {
    console.log("skipped: valgrind (koffi cannot be had here)");
    return;
  }
  assert.equal(control.status, 99, `valgrind missed a fault: ${control.stdout}${control.stderr}`);
  const { status, stdout, stderr, took } = node([join(folder, "transfer.js"), megabytes], found.env, command);
  assert.equal(status, 0, stderr.slice(-4000));
  console.log(
    `valgrind: a read of freed memory is seen; ${megabytes} MB there and back by the ${report(stdout).kind} socket: ` +
      `no invalid access (${control.took} + ${took} s)`,
  );
}

/** Growth per 1,000 rounds by least squares over the samples' second half, bytes: what comes and goes cancels out. */
function slope(samples: readonly Sample[], of: "heap" | "external" | "rss"): number {
  const late = samples.slice(samples.length >> 1);
  const meanX = late.reduce((sum, { rounds }) => sum + rounds, 0) / late.length;
  const meanY = late.reduce((sum, sample) => sum + sample[of], 0) / late.length;
  let xy = 0;
  let xx = 0;
  for (const sample of late) {
    xy += (sample.rounds - meanX) * (sample[of] - meanY);
    xx += (sample.rounds - meanX) ** 2;
  }
  return xx === 0 ? 0 : (1000 * xy) / xx;
}

/** Whether the native socket is to be had. */
const hasNative = (): boolean =>
  process.platform === "linux" && ["x64", "arm64"].includes(process.arch) && loadKoffi() !== null;

function soak(): void {
  for (const [udp, crypto] of [
    ["native", "openssl"],
    ["dgram", "node"],
  ] as const) {
    if (udp === "native" && !hasNative()) {
      console.log("skipped: the soak of the native socket (64-bit Linux and koffi are needed)");
      continue;
    }
    const { status, stdout, stderr } = node(["--expose-gc", TRANSFER, "2", String(seconds)], {
      QUIC_TS_UDP: udp,
      QUIC_TS_CRYPTO: crypto,
    });
    assert.equal(status, 0, stderr);
    const { samples, ...used } = report(stdout);
    // A path that stepped aside is not the one that was asked for.
    assert.deepEqual(used, { kind: udp, crypto });
    const [before, after] = [samples[0]!, samples.at(-1)!];
    assert.equal(after.files, before.files, "open files");
    assert.equal(after.contexts, 0, "native contexts and keys");
    assert.equal(after.handles, 0, "handles of libuv");
    // What a process of V8's varies by itself.
    assert.ok(after.heap <= 1.05 * before.heap + 2e6, `heap ${before.heap} → ${after.heap}`);
    assert.ok(after.external <= before.external + 4e6, `external ${before.external} → ${after.external}`);
    assert.ok(after.rss <= 1.2 * before.rss + 30e6, `RSS ${before.rss} → ${after.rss}`);
    const mb = (bytes: number): string => (bytes / 1e6).toFixed(1);
    let growth = "";
    if (after.rounds >= 2000) {
      // A leak of one kilobyte per connection would be 1 MB per 1,000.
      growth = (["heap", "external", "rss"] as const)
        .map((of) => `${of} ${mb(slope(samples, of))}`)
        .join(", ");
      assert.ok(slope(samples, "heap") < 0.5e6 && slope(samples, "external") < 0.5e6, growth);
      growth = `; MB per 1,000 connections in the second half: ${growth}`;
    }
    console.log(
      `soak, ${udp} socket and ${udp === "native" ? "libcrypto by FFI" : "node:crypto"}: ${after.rounds} connections ` +
        `with 2 MB there and back in ${seconds} s: ` +
        `heap ${mb(before.heap)} → ${mb(after.heap)} MB, external ${mb(before.external)} → ${mb(after.external)}, ` +
        `RSS ${mb(before.rss)} → ${mb(after.rss)}, files ${before.files} → ${after.files}, ` +
        `native contexts ${after.contexts}${growth}`,
    );
  }
}

const parts = { checkingAllocator, valgrind, soak };
for (const [name, part] of Object.entries(parts))
  if (values.only === undefined || values.only === name) part();
if (values.minutes === undefined || values.megabytes === undefined || !values.suite) {
  console.log("the short form; --minutes 10 --megabytes 100 --suite is the long one");
}
