// TLS 1.3 cipher suites, rfc8446#B.4.

import type { AeadName, HashName } from "./provider.ts";

export interface CipherSuite {
  readonly id: number;
  readonly name: string;
  readonly aead: AeadName;
  readonly hash: HashName;
  readonly hashLength: number;
  readonly keyLength: number;
}

export const AES_128_GCM_SHA256: CipherSuite = {
  id: 0x1301,
  name: "TLS_AES_128_GCM_SHA256",
  aead: "aes-128-gcm",
  hash: "sha256",
  hashLength: 32,
  keyLength: 16,
};
export const AES_256_GCM_SHA384: CipherSuite = {
  id: 0x1302,
  name: "TLS_AES_256_GCM_SHA384",
  aead: "aes-256-gcm",
  hash: "sha384",
  hashLength: 48,
  keyLength: 32,
};
export const CHACHA20_POLY1305_SHA256: CipherSuite = {
  id: 0x1303,
  name: "TLS_CHACHA20_POLY1305_SHA256",
  aead: "chacha20-poly1305",
  hash: "sha256",
  hashLength: 32,
  keyLength: 32,
};

// rfc9001#5.3 A cipher suite MUST NOT be negotiated unless a header protection scheme is defined for the cipher
// suite.
// rfc9001#5.4.1 Before a TLS cipher suite can be used with QUIC, a header protection algorithm MUST be specified for
// the AEAD used with that cipher suite.
export const SUITES: readonly CipherSuite[] = [
  AES_128_GCM_SHA256,
  AES_256_GCM_SHA384,
  CHACHA20_POLY1305_SHA256,
];

export function suiteById(id: number): CipherSuite | undefined {
  return SUITES.find((suite) => suite.id === id);
}

export function suiteByAead(aead: AeadName): CipherSuite {
  return SUITES.find((suite) => suite.aead === aead)!;
}
