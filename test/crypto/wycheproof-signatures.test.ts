// Signature verification of both providers against Wycheproof.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { SignatureName } from "../../internal/crypto/provider.ts";
import { needsVectors } from "../vectors.ts";
import { hex, REAL, wycheproof } from "./helpers.ts";

const FILES: readonly (readonly [string, SignatureName])[] = [
  ["ecdsa_secp256r1_sha256", "ecdsa_secp256r1_sha256"],
  ["ecdsa_secp384r1_sha384", "ecdsa_secp384r1_sha384"],
  ["ecdsa_secp521r1_sha512", "ecdsa_secp521r1_sha512"],
  ["ed25519", "ed25519"],
  ["rsa_pss_2048_sha256_mgf1_32", "rsa_pss_rsae_sha256"],
  ["rsa_pss_3072_sha256_mgf1_32", "rsa_pss_rsae_sha256"],
  ["rsa_pss_4096_sha512_mgf1_64", "rsa_pss_rsae_sha512"],
  ["rsa_signature_2048_sha256", "rsa_pkcs1_sha256"],
];

for (const [file, scheme] of FILES) {
  for (const provider of REAL) {
    test(`wycheproof ${file}: ${provider.name}`, needsVectors("wycheproof"), () => {
      let valid = 0;
      for (const group of wycheproof(file)) {
        const spki = hex(group["publicKeyDer"]);
        for (const c of group.tests) {
          const ok = provider.verify(scheme, spki, hex(c["msg"]), hex(c["sig"]));
          // "acceptable" is a DigestInfo without its NULL: rfc8017#9.2 note 1 lets a verifier take it. Ours need not.
          if (c.result !== "acceptable")
            assert.equal(ok, c.result === "valid", `tcId ${c.tcId} ${c.comment}`);
          if (ok) valid++;
        }
      }
      assert.ok(valid > 0);
    });
  }
}
