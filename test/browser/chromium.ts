// Where Chromium is found, and how it is made to speak HTTP/3 with a server of ours.

import { createHash, X509Certificate } from "node:crypto";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { chromium, type BrowserContext } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** The program: of QUIC_TS_CHROMIUM, or what the path holds. Null where there is none. */
export function findChromium(): string | null {
  const named = process.env["QUIC_TS_CHROMIUM"];
  if (named !== undefined) return named;
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter(Boolean);
  const programs = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  return programs.find(executable) ?? null;
}

function executable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** What Chromium takes a certificate by that no authority of its own has signed: the hash of its public key. */
function publicKeyHash(cert: string): string {
  const spki = new X509Certificate(cert).publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(spki).digest("base64");
}

export interface LaunchOptions {
  readonly program: string;
  /** The server's, PEM. */
  readonly cert: string;
  readonly port: number;
  /** An empty folder: for the profile and the log of the network. */
  readonly folder: string;
}

/** Path of the network's log, complete when the browser was closed. */
export const netLogOf = (folder: string): string => join(folder, "netlog.json");

/** A browser with a profile of its own. */
export function launch({ program, cert, port, folder }: LaunchOptions): Promise<BrowserContext> {
  return chromium.launchPersistentContext(join(folder, "profile"), {
    executablePath: program,
    headless: true,
    viewport: { width: 700, height: 460 },
    // Chromium's sandbox refuses to be root's, as the user of a container is.
    chromiumSandbox: process.getuid?.() !== 0,
    args: [
      "--enable-quic",
      // Without this the first visit goes over TCP, and learns of HTTP/3 from Alt-Svc there.
      `--origin-to-force-quic-on=localhost:${port}`,
      `--ignore-certificate-errors-spki-list=${publicKeyHash(cert)}`,
      "--host-resolver-rules=MAP localhost 127.0.0.1",
      `--log-net-log=${netLogOf(folder)}`,
    ],
  });
}
