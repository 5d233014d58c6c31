// Whom we are measured against.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { compiled } from "../build/tree.ts";
import { plainTree } from "../child.ts";
import { isHttp, type Workload } from "../engine/spec.ts";
import { Connection } from "../../../src/index.ts";
import { buildGo, installPackage, packageFolder, run } from "./install.ts";
import type { Command, Peer } from "./peer.ts";

const HERE = import.meta.dirname;
const NO_RESUMPTION = "no session can be resumed with it here";
const NO_HTTP = "its QUIC alone is measured";
const NO_CONNECTIONS = "the workload of many connections is ours alone";

/** A program of the engine's, compiled with our tree. */
const program = (name: string, file = "main.ts"): string => compiled(plainTree(), join(HERE, name, file));
const programFor = (name: string, { kind }: Workload): string =>
  program(name, isHttp(kind) ? "http.ts" : "main.ts");

/** Environment variables that change what ours uses. */
const SETTINGS = [
  "QUIC_TS_UDP",
  "QUIC_TS_CRYPTO",
  "QUIC_TS_GSO",
  "QUIC_TS_GRO",
  "QUIC_TS_FFI",
  "QUIC_TS_BENCH_NULL",
  "QUIC_TS_BENCH_BUSY_POLL",
  "QUIC_TS_BENCH_HTTP",
];

/** Ours, by default or in another mode: environment variables for each process. */
export class Ours implements Peer {
  readonly name: string;
  readonly #env: Readonly<Record<string, string>>;

  constructor(name = "ours", env: Readonly<Record<string, string>> = {}) {
    this.name = name;
    this.#env = env;
  }

  /** Its settings, those it inherits too. */
  get notes(): readonly string[] {
    const env = { ...process.env, ...this.#env };
    const settings = SETTINGS.filter((key) => env[key] !== undefined).map((key) => `${key}=${env[key]}`);
    return settings.length === 0 ? [] : [`${this.name} with ${settings.join(" ")}`];
  }

  prepare(): Promise<null> {
    plainTree();
    return Promise.resolve(null);
  }

  version(): string {
    const { version } = JSON.parse(readFileSync(join(HERE, "..", "..", "..", "package.json"), "utf8")) as {
      version: string;
    };
    return `quic-ts ${version}, Node ${process.version}`;
  }

  lacks({ kind }: Workload): string | null {
    return kind === "datagrams" && !("sendDatagram" in Connection.prototype) ? "no datagrams yet" : null;
  }

  command(_role: "client" | "server", workload: Workload): Command {
    return {
      program: process.execPath,
      args: [...FLAGS, programFor("ours", workload)],
      env: this.#env,
    };
  }
}

/** A server is asked how much memory it has in use; with many connections the client collects what opening them left. */
const FLAGS = ["--expose-gc"];

class QuicGo implements Peer {
  readonly name = "quic-go";
  readonly notes = [];
  readonly #folder = join(HERE, "quic-go");
  #binary = "";
  #toolchain = "";

  async prepare(): Promise<string | null> {
    const { binary, reason } = await buildGo(this.name, this.#folder, [
      "go.mod",
      "go.sum",
      "http.go",
      "main.go",
    ]);
    this.#binary = binary;
    this.#toolchain = (await run("go", ["env", "GOVERSION"], this.#folder)).output.trim();
    return reason;
  }

  version(): string {
    const module = /quic-go\/quic-go (v\S+)/.exec(readFileSync(join(this.#folder, "go.mod"), "utf8"));
    return `quic-go ${module?.[1] ?? "?"}, ${this.#toolchain}`;
  }

  lacks({ kind }: Workload): string | null {
    return kind === "connections" ? NO_CONNECTIONS : null;
  }

  command(): Command {
    return { program: this.#binary, args: [] };
  }
}

class Deno implements Peer {
  readonly name = "deno";
  readonly notes = [
    "deno: neither cipher, group nor datagram size can be chosen (rustls prefers AES-256-GCM; quinn finds the size)",
  ];
  static readonly VERSION = "2.9.6";

  prepare(): Promise<string | null> {
    return installPackage("deno", Deno.VERSION);
  }

  version(): string {
    return `Deno ${Deno.VERSION}`;
  }

  lacks({ kind, resumed }: Workload): string | null {
    if (resumed) return NO_RESUMPTION;
    if (isHttp(kind)) return NO_HTTP;
    return kind === "connections" ? NO_CONNECTIONS : null;
  }

  command(): Command {
    const script = join(packageFolder("deno"), "node_modules", "deno", "bin.cjs");
    return {
      program: process.execPath,
      args: [script, "run", "--quiet", "--unstable-net", "--allow-all", "--no-config", program("deno")],
    };
  }
}

class Currentspace implements Peer {
  readonly name = "currentspace";
  readonly notes = ["currentspace: neither cipher nor group can be chosen; asks for Node 24"];
  static readonly PACKAGE = "@currentspace/http3";
  static readonly VERSION = "0.9.0";

  get module(): string {
    return join(packageFolder(Currentspace.PACKAGE), "node_modules", Currentspace.PACKAGE);
  }

  prepare(): Promise<string | null> {
    return installPackage(Currentspace.PACKAGE, Currentspace.VERSION);
  }

  version(): string {
    return `${Currentspace.PACKAGE} ${Currentspace.VERSION}, Node ${process.version}`;
  }

  lacks({ kind, resumed }: Workload): string | null {
    if (resumed) return NO_RESUMPTION;
    if (isHttp(kind)) return NO_HTTP;
    return kind === "connections" ? NO_CONNECTIONS : null;
  }

  command(): Command {
    return { program: process.execPath, args: [program("currentspace")] };
  }
}

class Http2 implements Peer {
  readonly name = "http2";
  readonly notes = ["http2: node:http2 over TLS 1.3 and TCP"];

  prepare(): Promise<null> {
    return Promise.resolve(null);
  }

  version(): string {
    return `node:http2, Node ${process.version}`;
  }

  lacks({ kind }: Workload): string | null {
    if (kind === "datagrams") return "no datagrams";
    return kind === "connections" ? NO_CONNECTIONS : null;
  }

  command(_role: "client" | "server", workload: Workload): Command {
    return { program: process.execPath, args: [...FLAGS, programFor("http2", workload)] };
  }
}

/** In the order in which they stand in tables. */
export const PEER_NAMES = ["quic-go", "deno", "currentspace", "http2"] as const;

/**
 * The peer of that name; `ours:KEY=VALUE+KEY=VALUE` is ours in another mode, `ours:null` without packet encryption.
 * Undefined where there is none.
 */
export function peer(name: string): Peer | undefined {
  if (name === "ours") return new Ours();
  if (name === "ours:null") return new Ours(name, { QUIC_TS_BENCH_NULL: "1" });
  if (name.startsWith("ours:")) {
    const settings = name.slice("ours:".length).split("+").filter(Boolean);
    return new Ours(
      name,
      Object.fromEntries(
        settings.map((each): [string, string] => {
          const at = each.indexOf("=");
          return [each.slice(0, at), each.slice(at + 1)];
        }),
      ),
    );
  }
  switch (name) {
    case "quic-go":
      return new QuicGo();
    case "deno":
      return new Deno();
    case "currentspace":
    case Currentspace.PACKAGE:
      return new Currentspace();
    case "http2":
    case "node:http2":
      return new Http2();
    default:
      return undefined;
  }
}
