// npm run harden [-- --minutes N] [--megabytes N] [--only checkingAllocator|valgrind|soak]
// Memory that C touches, looked at by others than us: glibc's checking allocator, valgrind, and time. The short form (no
// options) takes seconds of each; `--minutes 10 --megabytes 100` is the long one. What cannot be had is skipped by name.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: { minutes: { type: "string" }, megabytes: { type: "string" }, only: { type: "string" } },
});
const seconds = values.minutes === undefined ? 12 : 60 * Number(values.minutes);
const long = values.megabytes !== undefined;
const TRANSFER = join(import.meta.dirname, "transfer.ts");
const TESTS = ["udp/contract.test.ts", "udp/faults.test.ts", "crypto/ffi.test.ts"];

interface Sample {
  heap: number;
  external: number;
  rss: number;
  files: number;
  contexts: number;
  rounds?: number;
}

function node(args: string[], env: Record<string, string> = {}, before: string[] = []) {
  const [program, ...rest] = [...before, process.execPath, "--import", "tsx", ...args];
  const begun = performance.now();
  const result = spawnSync(program!, rest, {
    encoding: "utf8",
    env: { ...process.env, ...env },
    maxBuffer: 64e6,
    timeout: 3600_000,
  });
  return { ...result, took: ((performance.now() - begun) / 1000).toFixed(1) };
}

function report(stdout: string): { kind: string; samples: Sample[] } {
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as { kind: string; samples: Sample[] };
}

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
  const tests = TESTS.map((name) => join(import.meta.dirname, "..", name));
  const tested = node(["--test", ...tests], env);
  assert.equal(tested.status, 0, `${tested.stdout.slice(-3000)}${tested.stderr.slice(-2000)}`);
  const passed = /^# pass (\d+)/m.exec(tested.stdout)?.[1] ?? /ℹ pass (\d+)/.exec(tested.stdout)?.[1];
  const moved = node([TRANSFER, "100"], env);
  assert.equal(moved.status, 0, moved.stderr);
  console.log(
    `checking allocator: ${passed} tests of sockets and FFI, 100 MB there and back by the ${report(moved.stdout).kind} socket: no corruption (${tested.took} + ${moved.took} s)`,
  );
}

function valgrind(): void {
  if (spawnSync("valgrind", ["--version"]).status !== 0) {
    console.log("skipped: valgrind (not installed)");
    return;
  }
  const megabytes = values.megabytes ?? "1";
  // Invalid writes are what FFI would do wrong; V8 itself reads uninitialised stack by design and is not asked about it.
  const flags = [
    "valgrind",
    "--smc-check=all-non-file",
    "--undef-value-errors=no",
    "--error-exitcode=99",
    "--leak-check=no",
    "--quiet",
    `--suppressions=${join(import.meta.dirname, "valgrind.supp")}`,
  ];
  const { status, stdout, stderr, took } = node(["--jitless", TRANSFER, megabytes], {}, flags);
  assert.equal(status, 0, stderr.slice(-4000));
  console.log(
    `valgrind: ${megabytes} MB there and back by the ${report(stdout).kind} socket: no invalid access (${took} s)`,
  );
}

function soak(): void {
  for (const [udp, crypto] of [
    ["native", ""],
    ["dgram", "node"],
  ] as const) {
    const { status, stdout, stderr } = node(["--expose-gc", TRANSFER, "2", String(seconds / 2)], {
      QUIC_TS_UDP: udp,
      ...(crypto === "" ? {} : { QUIC_TS_CRYPTO: crypto }),
    });
    assert.equal(status, 0, stderr);
    const { kind, samples } = report(stdout);
    const [before, after] = samples as [Sample, Sample];
    assert.equal(after.files, before.files, "open files");
    assert.equal(after.contexts, 0, "native contexts and keys");
    // What a process of V8's varies by itself.
    assert.ok(after.heap <= 1.05 * before.heap + 2e6, `heap ${before.heap} → ${after.heap}`);
    assert.ok(after.external <= before.external + 4e6, `external ${before.external} → ${after.external}`);
    assert.ok(after.rss <= 1.2 * before.rss + 30e6, `RSS ${before.rss} → ${after.rss}`);
    const mb = (bytes: number): string => (bytes / 1e6).toFixed(1);
    console.log(
      `soak, ${kind}${crypto && ` and ${crypto}:crypto`}: ${after.rounds} connections with 2 MB there and back in ${seconds / 2} s: ` +
        `heap ${mb(before.heap)} → ${mb(after.heap)} MB, external ${mb(before.external)} → ${mb(after.external)}, ` +
        `RSS ${mb(before.rss)} → ${mb(after.rss)}, files ${before.files} → ${after.files}, native contexts ${after.contexts}`,
    );
  }
}

const parts = { checkingAllocator, valgrind, soak };
for (const [name, part] of Object.entries(parts))
  if (values.only === undefined || values.only === name) part();
if (!long) console.log("the short form; --minutes 10 --megabytes 100 is the long one");
