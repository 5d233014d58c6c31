// AEAD, HMAC and HKDF of both providers against Wycheproof.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { AeadName, HashName } from "../../internal/crypto/provider.ts";
import { concatBytes, toHex } from "../../internal/protocol/bytes.ts";
import { needsVectors } from "../vectors.ts";
import { hex, REAL, wycheproof } from "./helpers.ts";

function aeadName(file: string, keySize: unknown): AeadName | null {
  if (file === "chacha20_poly1305") return "chacha20-poly1305";
  return keySize === 128 ? "aes-128-gcm" : keySize === 256 ? "aes-256-gcm" : null;
}

for (const file of ["aes_gcm", "chacha20_poly1305"]) {
  for (const provider of REAL) {
    test(`wycheproof ${file}: ${provider.name}`, needsVectors("wycheproof"), () => {
      let count = 0;
      for (const group of wycheproof(file)) {
        const name = aeadName(file, group["keySize"]);
        // QUIC's nonces have 96 bits, and its AEADs no 192-bit keys.
        if (name === null || group["ivSize"] !== 96) continue;
        for (const c of group.tests) {
          const [key, iv, aad] = [hex(c["key"]), hex(c["iv"]), hex(c["aad"])];
          const [message, sealed] = [hex(c["msg"]), concatBytes(hex(c["ct"]), hex(c["tag"]))];
          const label = `tcId ${c.tcId} ${c.comment}`;
          const opened = provider.aeadOpen(name, key, iv, aad, sealed);
          assert.equal(
            opened === null ? null : toHex(opened),
            c.result === "valid" ? toHex(message) : null,
            label,
          );

          // The packet interface, in place at odd offsets; packet number 0 leaves the IV as the nonce.
          const packet = new Uint8Array(3 + aad.length + sealed.length + 5);
          packet.set(aad, 3);
          packet.set(sealed, 3 + aad.length);
          const aead = provider.packetAead(name, key, iv);
          const at = 3 + aad.length;
          assert.equal(aead.open(packet, 3, aad.length, at, sealed.length, 0), c.result === "valid", label);
          if (c.result === "valid") {
            assert.equal(toHex(provider.aeadSeal(name, key, iv, aad, message)), toHex(sealed), label);
            assert.equal(toHex(packet.subarray(at, at + message.length)), toHex(message), label);
            aead.seal(packet, 3, aad.length, at, message.length, 0);
            assert.equal(toHex(packet.subarray(at, at + sealed.length)), toHex(sealed), label);
            assert.equal(toHex(packet.subarray(3, at)), toHex(aad), label);
            assert.equal(toHex(packet.subarray(at + sealed.length)), "0000000000", label);
          }
          aead.dispose();
          count++;
        }
      }
      assert.ok(count > 60);
    });
  }
}

for (const hash of ["sha256", "sha384"] as const satisfies HashName[]) {
  for (const provider of REAL) {
    test(`wycheproof hmac_${hash}: ${provider.name}`, needsVectors("wycheproof"), () => {
      for (const group of wycheproof(`hmac_${hash}`)) {
        for (const c of group.tests) {
          const full = toHex(provider.hmac(hash, hex(c["key"]), hex(c["msg"])));
          const tag = full.slice(0, (group["tagSize"] as number) / 4);
          assert.equal(tag === c["tag"], c.result === "valid", `tcId ${c.tcId}`);
        }
      }
    });

    test(`wycheproof hkdf_${hash}: ${provider.name}`, needsVectors("wycheproof"), () => {
      for (const group of wycheproof(`hkdf_${hash}`)) {
        for (const c of group.tests) {
          const prk = provider.hkdfExtract(hash, hex(c["salt"]), hex(c["ikm"]));
          const expand = () => provider.hkdfExpand(hash, prk, hex(c["info"]), c["size"] as number);
          if (c.result === "valid") assert.equal(toHex(expand()), c["okm"], `tcId ${c.tcId}`);
          // rfc5869#2.3 L, length of output keying material in octets (<= 255*HashLen)
          else assert.throws(expand, RangeError, `tcId ${c.tcId}`);
        }
      }
    });
  }
}
