// The simulator's provider: deterministic, and no corruption gets through.
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodePkcs8 } from "../../internal/crypto/der.ts";
import { simProvider } from "../../internal/crypto/sim.ts";
import { toHex, utf8 } from "../../internal/protocol/bytes.ts";
import { REAL, seeded, take } from "./helpers.ts";

test("null AEAD: the payload stays, every changed bit shows", () => {
  const sim = simProvider({ nullAead: true });
  const random = seeded(11);
  const [key, iv] = [take(random, 16), take(random, 12)];
  const aead = sim.packetAead("aes-128-gcm", key, iv);
  for (const [header, payload] of [
    [9, 60],
    [20, 61],
    [1, 1],
    [3, 0],
    [30, 62],
    [12, 63],
  ] as const) {
    const packet = take(random, 5 + header + payload + 16 + 5);
    const before = packet.slice();
    aead.seal(packet, 5, header, 5 + header, payload, 77);
    const end = 5 + header + payload + 16;
    assert.equal(toHex(packet.subarray(0, end - 16)), toHex(before.subarray(0, end - 16)));
    assert.equal(toHex(packet.subarray(end)), toHex(before.subarray(end)));
    assert.equal(aead.open(packet, 5, header, 5 + header, payload + 16, 77), true);
    for (let at = 5; at < end; at++) {
      for (let bit = 0; bit < 8; bit++) {
        packet[at]! ^= 1 << bit;
        assert.equal(
          aead.open(packet, 5, header, 5 + header, payload + 16, 77),
          false,
          `byte ${at} bit ${bit}`,
        );
        packet[at]! ^= 1 << bit;
      }
    }
    for (const pn of [76, 78, 77 + 2 ** 32]) {
      assert.equal(aead.open(packet, 5, header, 5 + header, payload + 16, pn), false);
    }
    // Cut off, header and payload apart elsewhere, other keys.
    if (payload > 0) {
      assert.equal(aead.open(packet, 5, header, 5 + header, payload + 15, 77), false);
      assert.equal(aead.open(packet, 5, header + 1, 6 + header, payload + 15, 77), false);
    }
    assert.equal(aead.open(packet, 5, header, 5 + header, 15, 77), false);
    key[3]! ^= 1;
    assert.equal(
      sim.packetAead("aes-128-gcm", key, iv).open(packet, 5, header, 5 + header, payload + 16, 77),
      false,
    );
    key[3]! ^= 1;
    iv[11]! ^= 1;
    assert.equal(
      sim.packetAead("aes-128-gcm", key, iv).open(packet, 5, header, 5 + header, payload + 16, 77),
      false,
    );
    iv[11]! ^= 1;
  }
  const mask = new Uint8Array(32).fill(1);
  sim.headerProtector("aes-128-gcm", key).masks(take(random, 16), 1, mask);
  assert.equal(toHex(mask), "00".repeat(16) + "01".repeat(16));
});

test("null AEAD: swapped words and blocks of zeros show", () => {
  const aead = simProvider({ nullAead: true }).packetAead(
    "aes-128-gcm",
    new Uint8Array(16),
    new Uint8Array(12),
  );
  const packet = new Uint8Array(200);
  take(seeded(12), 8).forEach((byte, i) => (packet[40 + i] = byte));
  aead.seal(packet, 0, 10, 10, 150, 0);
  const swapped = packet.slice();
  swapped.set(packet.subarray(40, 44), 44);
  swapped.set(packet.subarray(44, 48), 40);
  assert.equal(aead.open(swapped, 0, 10, 10, 166, 0), false);
  const moved = packet.slice();
  moved.copyWithin(10, 14, 160);
  assert.equal(aead.open(moved, 0, 10, 10, 166, 0), false);
});

test("null AEAD: where the header ends counts, even among zeros", () => {
  const aead = simProvider({ nullAead: true }).packetAead(
    "aes-128-gcm",
    new Uint8Array(16),
    new Uint8Array(12),
  );
  const packet = new Uint8Array(64);
  aead.seal(packet, 0, 5, 5, 43, 0);
  assert.equal(aead.open(packet, 0, 6, 6, 58, 0), false);
  assert.equal(aead.open(packet, 0, 5, 5, 59, 0), true);
});

test("without nullAead packets are real", () => {
  const sim = simProvider();
  const packets = [sim, ...REAL].map((provider) => {
    const packet = new Uint8Array(100);
    provider.packetAead("aes-256-gcm", new Uint8Array(32), new Uint8Array(12)).seal(packet, 0, 5, 5, 60, 1);
    return toHex(packet);
  });
  assert.equal(new Set(packets).size, 1);
});

test("simulated signatures: deterministic, bound to key, scheme and data; real ones verify as well", () => {
  const sim = simProvider();
  const keys = [1, 2].map((seed) => encodePkcs8("ec-p256", take(seeded(seed), 32)));
  const [a, b] = keys.map((key) => sim.signingKey(key)) as [
    ReturnType<typeof sim.signingKey>,
    ReturnType<typeof sim.signingKey>,
  ];
  const signature = a.sign("ecdsa_secp256r1_sha256", utf8("data"));
  assert.equal(
    toHex(signature),
    toHex(sim.signingKey(keys[0]!).sign("ecdsa_secp256r1_sha256", utf8("data"))),
  );
  assert.equal(sim.verify("ecdsa_secp256r1_sha256", a.spki, utf8("data"), signature), true);
  assert.equal(sim.verify("ecdsa_secp256r1_sha256", a.spki, utf8("dota"), signature), false);
  assert.equal(sim.verify("ecdsa_secp256r1_sha256", b.spki, utf8("data"), signature), false);
  assert.equal(sim.verify("ecdsa_secp384r1_sha384", a.spki, utf8("data"), signature), false);
  for (const real of REAL) {
    assert.equal(real.verify("ecdsa_secp256r1_sha256", a.spki, utf8("data"), signature), false);
    const genuine = real.signingKey(keys[0]!).sign("ecdsa_secp256r1_sha256", utf8("data"));
    assert.equal(sim.verify("ecdsa_secp256r1_sha256", a.spki, utf8("data"), genuine), true);
    assert.equal(sim.verify("ecdsa_secp256r1_sha256", b.spki, utf8("data"), genuine), false);
  }
});
