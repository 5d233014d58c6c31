// Key agreement of both providers against Wycheproof.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";
import type { MlKem768 } from "../../internal/crypto/hybrid.ts";
import { nodeMlKem } from "../../internal/crypto/node-ml-kem.ts";
import { concatBytes, toHex } from "../../internal/protocol/bytes.ts";
import { needsVectors } from "../vectors.ts";
import { bytesSource, fit, hex, REAL, seeded, wycheproof } from "./helpers.ts";

for (const provider of REAL) {
  test(`wycheproof x25519: ${provider.name}`, needsVectors("wycheproof"), () => {
    let refused = 0;
    for (const group of wycheproof("x25519")) {
      for (const c of group.tests) {
        const share = provider.keyShare("x25519", bytesSource(hex(c["private"])));
        const secret = share.agree(hex(c["public"]));
        // rfc8446#7.4.2 implementations MUST check whether the computed shared secret is the all-zero value and abort.
        const zero = /^0*$/.test(c["shared"] as string);
        assert.equal(secret === null ? null : toHex(secret), zero ? null : c["shared"], `tcId ${c.tcId}`);
        if (zero) refused++;
      }
    }
    assert.ok(refused > 10);
  });

  for (const [file, group, length] of [
    ["ecdh_secp256r1_ecpoint", "secp256r1", 32],
    ["ecdh_secp384r1_ecpoint", "secp384r1", 48],
  ] as const) {
    test(`wycheproof ${file}: ${provider.name}`, needsVectors("wycheproof"), () => {
      for (const vectors of wycheproof(file)) {
        for (const c of vectors.tests) {
          // Every key costs two multiplications: of the many valid P-384 cases a quarter will do.
          if (length === 48 && c.result === "valid" && c.tcId % 4 !== 0) continue;
          const share = provider.keyShare(group, bytesSource(fit(hex(c["private"]), length)));
          const point = hex(c["public"]);
          const secret = share.agree(point);
          // rfc8446#4.2.8.2 only uncompressed points: the "acceptable" ones are compressed.
          const expected = c.result === "invalid" || point[0] !== 4 ? null : c["shared"];
          assert.equal(secret === null ? null : toHex(secret), expected, `tcId ${c.tcId} ${c.comment}`);
        }
      }
    });
  }

  test(`X25519MLKEM768 refuses invalid shares: ${provider.name}`, needsVectors("wycheproof"), () => {
    const random = seeded(7);
    const point = provider.keyShare("x25519", random).publicKey;
    let refused = 0;
    for (const group of wycheproof("mlkem_768_encaps")) {
      for (const c of group.tests) {
        if (c.result === "valid" && refused > 20) continue;
        // tls-ecdhe-mlkem#4.1 the server MUST perform the encapsulation key check of FIPS 203 #7.2.
        const answer = provider.respond("X25519MLKEM768", concatBytes(hex(c["ek"]), point), random);
        assert.equal(answer !== null, c.result === "valid", `tcId ${c.tcId}`);
        if (answer === null) refused++;
      }
    }
    assert.ok(refused > 0);
    const client = provider.keyShare("X25519MLKEM768", random);
    const answer = provider.respond("X25519MLKEM768", client.publicKey, random)!;
    assert.equal(answer.publicKey.length, 1088 + 32);
    assert.equal(client.publicKey.length, 1184 + 32);
    assert.equal(toHex(client.agree(answer.publicKey)!), toHex(answer.secret));
    for (const length of [0, 1088, 1119, 1121]) assert.equal(client.agree(new Uint8Array(length)), null);
    // tls-ecdhe-mlkem#4.1 the X25519 part is checked as on its own: an all-zero result aborts.
    const zeroPoint = concatBytes(answer.publicKey.subarray(0, 1088), new Uint8Array(32));
    assert.equal(client.agree(zeroPoint), null);
    const zeroShare = concatBytes(client.publicKey.subarray(0, 1184), new Uint8Array(32));
    assert.equal(provider.respond("X25519MLKEM768", zeroShare, random), null);
  });
}

const KEMS: [string, MlKem768][] = [["noble", ml_kem768]];
// Where this Node has ML-KEM of its own it must agree.
if (nodeMlKem() !== ml_kem768) KEMS.push(["node", nodeMlKem()]);

for (const [name, kem] of KEMS) {
  test(`wycheproof mlkem_768: ${name}`, needsVectors("wycheproof"), () => {
    for (const group of wycheproof("mlkem_768")) {
      for (const c of group.tests) {
        const run = () => {
          const keys = kem.keygen(hex(c["seed"]));
          assert.equal(toHex(keys.publicKey), c["ek"], `tcId ${c.tcId}`);
          return toHex(kem.decapsulate(hex(c["c"]), keys.secretKey));
        };
        if (c.result === "valid") assert.equal(run(), c["K"], `tcId ${c.tcId}`);
        else assert.throws(run, `tcId ${c.tcId}`);
      }
    }
  });

  test(`wycheproof mlkem_768_encaps: ${name}`, needsVectors("wycheproof"), () => {
    for (const group of wycheproof("mlkem_768_encaps")) {
      for (const c of group.tests) {
        const run = () => kem.encapsulate(hex(c["ek"]), hex(c["m"]));
        if (c.result === "valid") {
          const { cipherText, sharedSecret } = run();
          assert.equal(toHex(cipherText), c["c"], `tcId ${c.tcId}`);
          assert.equal(toHex(sharedSecret), c["K"], `tcId ${c.tcId}`);
        } else assert.throws(run, `tcId ${c.tcId}`);
      }
    }
  });
}
