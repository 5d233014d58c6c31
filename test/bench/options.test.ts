import assert from "node:assert/strict";
import { test } from "node:test";
import { parseOptions, UsageError } from "./options.ts";
import { peer } from "./peers/index.ts";
import { assertExpected } from "./scenario.ts";

test("Names, numbers and files are read", () => {
  const args =
    "--scenario download,rr --peers quic-go --runs 3 --megabytes 0.5 --json x.json --from a,b".split(" ");
  const options = parseOptions(args);
  assert.deepEqual(options.scenarios, ["download", "rr"]);
  assert.deepEqual(options.peers, ["quic-go"]);
  assert.deepEqual([options.runs, options.megabytes, options.seconds], [3, 0.5, null]);
  assert.deepEqual([options.json, options.svg, options.from], ["x.json", null, ["a", "b"]]);
  assert.deepEqual([options.environment, options.expect], [{}, {}]);
});

test("Switches become environment variables, and what ours must confirm", () => {
  const { environment, expect } = parseOptions(
    "--udp dgram --crypto node --gso off --gro on --ffi off".split(" "),
  );
  assert.deepEqual(environment, {
    QUIC_TS_UDP: "dgram",
    QUIC_TS_CRYPTO: "node",
    QUIC_TS_GSO: "0",
    QUIC_TS_FFI: "0",
  });
  assert.deepEqual(expect, { kind: "dgram", crypto: "node", gso: "false", gro: "true" });
  const asleep = parseOptions(["--busy-poll", "off"]);
  assert.deepEqual(asleep.environment, { QUIC_TS_BENCH_BUSY_POLL: "0" });
  assert.deepEqual(asleep.expect, { busyPoll: "false" });
  assert.deepEqual(parseOptions(["--busy-poll", "on"]).expect, { busyPoll: "true" });
  assert.deepEqual(parseOptions(["--crypto", "null"]).environment, { QUIC_TS_BENCH_NULL: "1" });
});

test("A fast path that stepped aside although it was asked for is an error", () => {
  assert.doesNotThrow(() => assertExpected({ kind: "native", gso: true }, { kind: "native", gso: "true" }));
  assert.throws(() => assertExpected({ kind: "dgram" }, { kind: "native" }), /kind native, but says dgram/);
});

test("What makes no sense is refused", () => {
  for (const line of [
    "--runs 0",
    "--runs 1.5",
    "--seconds -1",
    "--udp tcp",
    "--gso 1",
    "--busy-poll 0",
    "--results a/b",
    "--what",
  ]) {
    assert.throws(() => parseOptions(line.split(" ")), UsageError, line);
  }
});

test("Peers are known by their packages' names too; ours has modes", () => {
  assert.equal(peer("@currentspace/http3")?.name, "currentspace");
  assert.equal(peer("node:http2")?.name, "http2");
  assert.equal(peer("oursome"), undefined);
  const mode = peer("ours:QUIC_TS_UDP=dgram+QUIC_TS_GSO=0+QUIC_TS_BENCH_BUSY_POLL=0")!;
  assert.match(mode.notes.join(), /QUIC_TS_UDP=dgram.*QUIC_TS_GSO=0.*BUSY_POLL=0/);
});
