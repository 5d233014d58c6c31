// From a traffic secret to the objects that protect packets: rfc9001#5.1; labels of version 2: rfc9369#3.3.2.

import { hkdfExpandLabel } from "../crypto/hkdf.ts";
import type { CryptoProvider, HeaderProtector, PacketAead } from "../crypto/provider.ts";
import type { CipherSuite } from "../crypto/suites.ts";
import { VERSION_2 } from "../protocol/constants.ts";

function label(version: number, name: string): string {
  return version === VERSION_2 ? `quicv2 ${name}` : `quic ${name}`;
}

/** The AEAD of one traffic secret. */
export function deriveAead(
  provider: CryptoProvider,
  suite: CipherSuite,
  version: number,
  secret: Uint8Array,
): PacketAead {
  const key = hkdfExpandLabel(
    provider,
    suite.hash,
    secret,
    label(version, "key"),
    undefined,
    suite.keyLength,
  );
  const iv = hkdfExpandLabel(provider, suite.hash, secret, label(version, "iv"), undefined, 12);
  const aead = provider.packetAead(suite.aead, key, iv);
  key.fill(0);
  iv.fill(0);
  return aead;
}

/** Header protection of one traffic secret; it stays the same through key updates, rfc9001#6. */
export function deriveHeaderProtector(
  provider: CryptoProvider,
  suite: CipherSuite,
  version: number,
  secret: Uint8Array,
): HeaderProtector {
  const key = hkdfExpandLabel(provider, suite.hash, secret, label(version, "hp"), undefined, suite.keyLength);
  const hp = provider.headerProtector(suite.aead, key);
  key.fill(0);
  return hp;
}

/** The next generation's secret, rfc9001#6.1. */
export function nextSecret(
  provider: CryptoProvider,
  suite: CipherSuite,
  version: number,
  secret: Uint8Array,
): Uint8Array {
  return hkdfExpandLabel(provider, suite.hash, secret, label(version, "ku"), undefined, suite.hashLength);
}
