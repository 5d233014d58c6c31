// The harness itself: a case that did not take place must not pass. Ours stands on both sides, so this needs no other toolchain.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { type Case, CASES } from "./cases.ts";
import { type Command, type Implementation, implementations } from "./implementations.ts";
import { type Outcome, runCase } from "./run-case.ts";

const home = mkdtempSync(join(tmpdir(), "quic-interop-test-"));
after(() => rmSync(home, { recursive: true, force: true }));

const ours = implementations().get("ours")!;
const named = (name: string): Case => CASES.find((each) => each.name === name)!;

function run(test: Case, client: Implementation = ours): Promise<Outcome> {
  const settings = { home, full: false, seed: 1, keep: false, qlog: false };
  return runCase({ client, server: ours, underTest: "client" }, test, settings);
}

/** An implementation that is a line of JavaScript. */
function script(source: string): Implementation {
  const command = (): Command => ({ program: process.execPath, args: ["-e", source] });
  return { name: "script", roles: ["client"], prepare: () => Promise.resolve(null), command };
}

describe("the interop harness", { concurrency: 2 }, () => {
  it("passes a handshake that took place", async () => {
    const { verdict, detail } = await run(named("handshake"));
    assert.equal(verdict, "ok", detail);
  });

  it("sees which cipher suites were offered", async () => {
    const { verdict, detail } = await run({
      ...named("chacha20"),
      name: "not-chacha20",
      testcase: "transfer",
      files: () => [100],
    });
    assert.equal(verdict, "failed");
    assert.match(detail, /offered other suites: .*1301/);
  });

  it("reads the server's stream limit, and wants losses where losses are due", async () => {
    const { verdict, detail } = await run({
      ...named("multiplexing"),
      name: "no-losses",
      files: () => [32],
      check: (evidence) =>
        named("multiplexing").check!(evidence) ??
        named("transferloss").check!(evidence) ??
        "nothing was wrong",
    });
    assert.equal(verdict, "failed");
    assert.equal(detail, "no packets were dropped");
  });

  it("fails a client that downloads nothing, or something else", async () => {
    const idle = await run({ ...named("handshake"), name: "idle" }, script(""));
    assert.match(idle.detail, /was not downloaded/);
    const forger = script(
      `const fs = require("fs"), { REQUESTS, DOWNLOADS } = process.env;
       fs.writeFileSync(DOWNLOADS + "/" + REQUESTS.split("/").pop(), Buffer.alloc(1024));`,
    );
    const forged = await run({ ...named("handshake"), name: "forged" }, forger);
    assert.match(forged.detail, /not the 1024 of the server/);
  });

  it("sees whether the client moved", async () => {
    const path = { delayMs: 1 };
    const moved = await run({ ...named("connectionmigration"), path });
    assert.equal(moved.verdict, "ok", moved.detail);
    const stays = await run({ ...named("connectionmigration"), name: "stays", testcase: "transfer", path });
    assert.equal(stays.verdict, "failed");
    assert.equal(stays.detail, "the client sent from 1 sockets");
  });

  it("measures what the transfer takes of the link", async () => {
    const test = { ...named("goodput"), files: () => [200_000] };
    const { verdict, detail, goodput } = await run(test);
    assert.equal(verdict, "ok", detail);
    // Mostly handshake and slow start.
    assert.ok(goodput! > 0.1 && goodput! < 0.9, `${goodput}`);
  });

  it("sees who marks nothing for ECN, where it may make hosts", async (t) => {
    const portable = (): Command => {
      const { program, args, cwd } = ours.command({} as never);
      return { program: "env", args: ["QUIC_TS_UDP=dgram", program, ...args], cwd: cwd! };
    };
    const { verdict, detail } = await run(named("ecn"), { ...ours, command: portable });
    if (verdict === "skipped") return t.skip(detail);
    assert.equal(verdict, "failed");
    assert.match(detail, /^the client hardly marked anything/);
  });

  it("fails a case that an endpoint does not know", async () => {
    const { verdict, detail } = await run({
      ...named("handshake"),
      name: "unknown",
      testcase: "no-such-case",
    });
    assert.equal(verdict, "failed");
    assert.match(detail, /the server did not start: unsupported test case: no-such-case/);
  });
});

describe("our endpoint", () => {
  for (const ROLE of ["client", "server"]) {
    it(`ends with 127 as a ${ROLE} that does not know the case`, () => {
      const { program, args, cwd } = ours.command({} as never);
      const { status, stdout } = spawnSync(program, args, {
        cwd,
        env: { ...process.env, ROLE, TESTCASE: "no-such-case" },
        encoding: "utf8",
      });
      assert.equal(status, 127);
      assert.match(stdout, /unsupported/);
    });
  }
});
