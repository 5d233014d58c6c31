// HKDF-Expand-Label and key agreement against RFC 8448's traces; labels against RFC 9001 and 9369.
import assert from "node:assert/strict";
import { test } from "node:test";
import { hkdfExpandLabel } from "../../internal/crypto/hkdf.ts";
import { AES_128_GCM_SHA256, suiteById, SUITES } from "../../internal/crypto/suites.ts";
import { fromHex, toHex } from "../../internal/protocol/bytes.ts";
import { needsVectors, vectorJson } from "../vectors.ts";
import { bytesSource, hex, REAL } from "./helpers.ts";

interface Trace {
  readonly section: string;
  readonly steps: readonly {
    readonly action: string;
    readonly fields: readonly { name: string; hex: string }[];
  }[];
}

for (const provider of REAL) {
  test(`rfc8448 key schedules: ${provider.name}`, needsVectors("rfc", "rfc8448.json"), () => {
    let checked = 0;
    for (const trace of vectorJson<Trace[]>("rfc", "rfc8448.json")) {
      for (const { action, fields } of trace.steps) {
        const field = (name: string) => fields.find((f) => f.name === name)?.hex;
        const expand = (label: string, context: string, expected: string) => {
          const length = expected.length / 2;
          const got = hkdfExpandLabel(provider, "sha256", hex(field("PRK")), label, fromHex(context), length);
          assert.equal(toHex(got), expected, `${trace.section}: ${action}`);
          checked++;
        };
        const label = /"tls13 ([^"]+)"/.exec(action)?.[1];
        if (label !== undefined && field("PRK") !== undefined && field("expanded") !== undefined) {
          expand(label, (field("hash") ?? "").replace("(empty)", ""), field("expanded")!);
        } else if (field("key expanded") !== undefined) {
          expand("key", "", field("key expanded")!);
          expand("iv", "", field("iv expanded")!);
        } else if (/^extract secret/.test(action) && field("IKM") !== undefined) {
          const salt = /^[0-9a-f]+$/.test(field("salt") ?? "") ? hex(field("salt")) : new Uint8Array(0);
          assert.equal(
            toHex(provider.hkdfExtract("sha256", salt, hex(field("IKM")))),
            field("secret"),
            action,
          );
          checked++;
        } else if (field("private key") !== undefined && field("private key")!.length === 64) {
          const group = action.includes("x25519") ? "x25519" : "secp256r1";
          const share = provider.keyShare(group, bytesSource(hex(field("private key"))));
          assert.equal(toHex(share.publicKey), field("public key"), action);
          checked++;
        }
      }
    }
    assert.ok(checked > 60, `only ${checked}`);
  });

  test(`labels as RFC 9001 A.1 and RFC 9369 A.1 print them: ${provider.name}`, needsVectors("rfc"), () => {
    for (const file of ["rfc9001-appendix-a.json", "rfc9369-appendix-a.json"]) {
      const { labels } = vectorJson<{ labels: Record<string, string> }>("rfc", file);
      for (const [label, info] of Object.entries(labels)) {
        const seen: string[] = [];
        const spy = Object.create(provider) as typeof provider;
        spy.hkdfExpand = (hash, prk, given, length) => {
          seen.push(toHex(given));
          return provider.hkdfExpand(hash, prk, given, length);
        };
        const length = parseInt(info.slice(0, 4), 16);
        hkdfExpandLabel(spy, "sha256", new Uint8Array(32), label, undefined, length);
        assert.deepEqual(seen, [info]);
      }
    }
  });
}

test("suites", () => {
  assert.equal(suiteById(0x1301), AES_128_GCM_SHA256);
  assert.equal(suiteById(0x1304), undefined);
  assert.deepEqual(
    SUITES.map((suite) => [suite.name, suite.keyLength, suite.hashLength]),
    [
      ["TLS_AES_128_GCM_SHA256", 16, 32],
      ["TLS_AES_256_GCM_SHA384", 32, 48],
      ["TLS_CHACHA20_POLY1305_SHA256", 32, 32],
    ],
  );
});
