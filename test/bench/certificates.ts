// One chain for everybody: a root and a server's certificate for loopback, both ECDSA P-256.

import { randomFillSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nodeProvider } from "../../internal/crypto/node.ts";
import { makeCertificate, toPem } from "../../internal/tls/self-signed.ts";

const DAY = 86_400_000;

export interface Certificates {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  remove(): void;
}

/** Writes PEM files into a temporary folder. */
export function writeCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), "quic-bench-"));
  const common = {
    provider: nodeProvider(),
    random: (out: Uint8Array) => void randomFillSync(out),
    notBefore: Date.now() - DAY,
    notAfter: Date.now() + 10 * DAY,
    keyType: "ec-p256",
  } as const;
  const root = makeCertificate({ ...common, subject: "CN=quic-ts benchmark root", ca: true });
  const server = makeCertificate({
    ...common,
    issuer: root,
    subject: "CN=localhost",
    altNames: ["DNS:localhost", "IP:127.0.0.1"],
  });
  const paths = {
    cert: join(folder, "cert.pem"),
    key: join(folder, "key.pem"),
    ca: join(folder, "ca.pem"),
  };
  writeFileSync(paths.cert, toPem("CERTIFICATE", server.cert));
  writeFileSync(paths.key, toPem("PRIVATE KEY", server.key), { mode: 0o600 });
  writeFileSync(paths.ca, toPem("CERTIFICATE", root.cert));
  return { ...paths, remove: () => rmSync(folder, { recursive: true, force: true }) };
}
