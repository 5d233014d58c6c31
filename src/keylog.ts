// The key log: whoever has it reads the connection. sslkeylogfile draft.

import { appendFileSync } from "node:fs";
import type { TlsOptions } from "./tls-options.ts";

let warned = false;

/** Where key log lines go, or null: the `keylog` option, and the file that SSLKEYLOGFILE names. */
export function keyLogOf(tls: TlsOptions): ((line: string) => void) | null {
  const path = process.env["SSLKEYLOGFILE"];
  if (path === undefined || path === "") return tls.keylog ?? null;
  if (!warned) {
    warned = true;
    process.emitWarning(
      "SSLKEYLOGFILE is set: TLS secrets are written to a file, connections can be read with it.",
    );
  }
  let broken = false;
  return (line) => {
    tls.keylog?.(line);
    if (broken) return;
    try {
      appendFileSync(path, `${line}\n`, { mode: 0o600 });
    } catch (error) {
      broken = true;
      process.emitWarning(`Cannot write SSLKEYLOGFILE: ${(error as Error).message}`);
    }
  };
}
