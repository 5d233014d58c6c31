// A certificate for local development.

import { randomFillSync } from "node:crypto";
import { nodeProvider } from "../internal/crypto/node.ts";
import { type GeneratedKeyType, makeCertificate, toPem } from "../internal/tls/self-signed.ts";

/** Options of {@link selfSigned}. */
export interface SelfSignedOptions {
  /** DNS names and IP addresses it is for. Default `localhost`, `127.0.0.1`, `::1`. */
  altNames?: readonly string[];
  /** Days until it expires. Default 14: longer than that browsers take no certificate by its hash. */
  days?: number;
  /** Default `ec-p256`. */
  keyType?: GeneratedKeyType;
}

/** PEM texts for the options `cert` and `key`; `cert` is also what clients put into `ca`. */
export interface SelfSigned {
  readonly cert: string;
  readonly key: string;
}

/**
 * Makes a self-signed certificate for local development: new at every call, trusted by nobody until it is put into
 * a client's `ca`.
 *
 * @example
 * const { cert, key } = selfSigned();
 * const listener = await listenAddr(4433, { cert, key, ALPNProtocols: ["echo"] });
 */
export function selfSigned(options: SelfSignedOptions = {}): SelfSigned {
  const altNames = options.altNames ?? ["localhost", "127.0.0.1", "::1"];
  const now = Date.now();
  const { cert, key } = makeCertificate({
    provider: nodeProvider(),
    random: (out) => void randomFillSync(out),
    altNames,
    // Clocks of two machines differ a little.
    notBefore: now - 3_600_000,
    notAfter: now + (options.days ?? 14) * 86_400_000 - 3_600_000,
    keyType: options.keyType ?? "ec-p256",
  });
  return { cert: toPem("CERTIFICATE", cert), key: toPem("PRIVATE KEY", key) };
}
