#!/usr/bin/env node
// The command `quic-ts`.

import { readFileSync } from "node:fs";
import { Command, InvalidArgumentError } from "commander";
import { get, type GetOptions } from "./get.ts";
import { stats } from "./qlog.ts";
import { serve, type ServeOptions } from "./serve.ts";

function version(): string {
  // From the sources the package is two folders up, from dist three.
  for (const up of ["../../package.json", "../../../package.json"]) {
    try {
      return (JSON.parse(readFileSync(new URL(up, import.meta.url), "utf8")) as { version: string }).version;
    } catch {
      // The other place.
    }
  }
  return "unknown";
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65535)
    throw new InvalidArgumentError("a port from 0 to 65535");
  return port;
}

const program = new Command("quic-ts").description("Files over QUIC").version(version());

program
  .command("serve")
  .description("serve a folder over HTTP/3")
  .argument("<folder>")
  .option("--port <number>", "UDP port", portNumber, 4433)
  .option("--address <ip>", "address to bind, default all")
  .option("--cert <file>", "certificate chain, PEM")
  .option("--key <file>", "private key, PEM")
  .action((folder: string, options: ServeOptions) => serve(folder, options));

program
  .command("get")
  .description("fetch files over HTTP/3")
  .argument("<url...>", "as https://host:port/path")
  .option("-o, --output <folder>", "write files there instead of to standard output")
  .option("--ca <file>", "authorities to trust, PEM")
  .option("--insecure", "go on where the certificate does not verify")
  .option("--hq", "HTTP/0.9 over QUIC (ALPN hq-interop) in place of HTTP/3")
  .action((urls: string[], options: GetOptions) => get(urls, options));

program
  .command("qlog")
  .description("look into qlog files")
  .command("stats")
  .description("summarise qlog files of any stack, JSON or JSON-SEQ")
  .argument("<file...>")
  .action((files: string[]) => stats(files));

program.parseAsync().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});
