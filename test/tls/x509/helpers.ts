// Chains for the tests of this folder, from a seed.
import { nodeProvider } from "../../../internal/crypto/node.ts";
import type { RandomSource } from "../../../internal/protocol/random.ts";
import {
  makeCertificate,
  toPem,
  type CertificateAndKey,
  type CertificateOptions,
} from "../../../internal/tls/self-signed.ts";
import { loadTrustAnchors, verifyChain, type VerifyChainInput } from "../../../internal/tls/x509/path.ts";
import { utcMs } from "../../../internal/tls/x509/time.ts";

export const provider = nodeProvider();
export const NOW = utcMs(2025, 6, 15, 12, 0, 0);
export const YEAR = 365 * 86_400_000;

/** mulberry32: reproducible bytes. */
export function seeded(seed: number): RandomSource {
  let state = seed >>> 0;
  return (out) => {
    for (let i = 0; i < out.length; i++) {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      out[i] = t ^ (t >>> 14);
    }
  };
}

const random = seeded(5280);

export type Options = Partial<CertificateOptions>;

/** A certificate that is valid at NOW. */
export function make(options: Options = {}): CertificateAndKey {
  return makeCertificate({ provider, random, notBefore: NOW - YEAR, notAfter: NOW + YEAR, ...options });
}

export function root(options: Options = {}): CertificateAndKey {
  return make({ subject: "CN=Test Root, O=Tests", ca: true, ...options });
}

export function intermediate(issuer: CertificateAndKey, options: Options = {}): CertificateAndKey {
  return make({ subject: "CN=Test Intermediate, O=Tests", ca: true, issuer, ...options });
}

export function leaf(issuer: CertificateAndKey, options: Options = {}): CertificateAndKey {
  return make({ subject: "CN=leaf", altNames: ["example.org"], issuer, ...options });
}

/** "ok" or the reason. */
export function verdict(
  chain: readonly CertificateAndKey[],
  anchors: readonly CertificateAndKey[],
  options: Partial<VerifyChainInput> = {},
): string {
  const result = verify(chain, anchors, options);
  return result.ok ? "ok" : result.certificateReason;
}

export function verify(
  chain: readonly CertificateAndKey[],
  anchors: readonly CertificateAndKey[],
  options: Partial<VerifyChainInput> = {},
) {
  return verifyChain(provider, {
    chain: chain.map(({ cert }) => cert),
    anchors: loadTrustAnchors(anchors.map(({ cert }) => cert)),
    now: NOW,
    purpose: "server",
    serverName: "example.org",
    ...options,
  });
}

export const pem = (...certificates: readonly CertificateAndKey[]): string =>
  certificates.map(({ cert }) => toPem("CERTIFICATE", cert)).join("");
