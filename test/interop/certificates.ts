// Certificates for a run: a root, any number of authorities below it, and a server for loopback and for hosts of the runner's own.

import { randomFillSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { SERVER_ADDRESS } from "./apart.ts";
import { nodeProvider } from "../../internal/crypto/node.ts";
import { type CertificateAndKey, makeCertificate, toPem } from "../../internal/tls/self-signed.ts";

const DAY = 86_400_000;

/**
 * Writes `cert.pem` (server, then its authorities), `priv.key` and `ca.pem` into `folder`.
 * @param authorities between the root and the server. Each weighs about 1 KB, so that a few are more than a server may
 *   send to an address that is not validated.
 * @returns the size of the chain, DER.
 */
export function writeCertificates(folder: string, authorities: number): number {
  const common = {
    provider: nodeProvider(),
    random: (out: Uint8Array) => void randomFillSync(out),
    notBefore: Date.now() - DAY,
    notAfter: Date.now() + 10 * DAY,
  };
  const root = makeCertificate({ ...common, subject: "CN=quic-ts interop root", ca: true });
  const chain: Uint8Array[] = [];
  let issuer: CertificateAndKey = root;
  for (let i = 0; i < authorities; i++) {
    const unit = `authority ${i + 1} `.padEnd(60, "x");
    const subject = Array.from({ length: 5 }, (): [string, string] => ["OU", unit]);
    issuer = makeCertificate({
      ...common,
      issuer,
      ca: true,
      subject: [["CN", `authority ${i + 1}`], ...subject],
    });
    chain.unshift(issuer.cert);
  }
  const server = makeCertificate({
    ...common,
    issuer,
    subject: "CN=localhost",
    altNames: ["DNS:localhost", "IP:127.0.0.1", "IP:::1", `IP:${SERVER_ADDRESS}`],
  });
  chain.unshift(server.cert);
  writeFileSync(join(folder, "cert.pem"), chain.map((der) => toPem("CERTIFICATE", der)).join(""));
  writeFileSync(join(folder, "priv.key"), toPem("PRIVATE KEY", server.key), { mode: 0o600 });
  writeFileSync(join(folder, "ca.pem"), toPem("CERTIFICATE", root.cert));
  return chain.reduce((sum, der) => sum + der.length, 0);
}
