// Who can be put at the ends of the path, how each is found or built, and how it is started.

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { lastLine, run } from "../tools/npm.ts";
import { keyed, PEERS, Unpacked } from "./building.ts";
import { Caddy } from "./caddy.ts";
import { Ngtcp2 } from "./ngtcp2.ts";

export type Role = "client" | "server";

/** A command line. Servers say when they listen: by a line on stdout, or by a file. */
export interface Command {
  program: string;
  args: string[];
  cwd?: string;
  readyFile?: string;
  env?: Record<string, string>;
}

/** What an endpoint is told; becomes the environment of the interop runner's contract. */
export interface Assignment {
  role: Role;
  testcase: string;
  /** Everything of this run lies here: www, downloads, uploads, certs. */
  folder: string;
  listen: string;
  port: number;
  requests: readonly string[];
  keyLog: string;
  qlog: string | null;
}

export interface Implementation {
  readonly name: string;
  readonly roles: readonly Role[];
  /** It has nothing to do with the cases over HTTP/0.9, and some of those over HTTP/3 in their place. */
  readonly http3Alone?: boolean;
  /** As a client it makes a connection for each file in these, by TESTCASE. */
  readonly connectionForEach?: readonly string[];
  /** Finds or builds it. Returns why it cannot be had here, or null. */
  prepare(): Promise<string | null>;
  command(assignment: Assignment): Command;
}

const HERE = import.meta.dirname;
const ROOT = join(HERE, "..", "..");

const ours: Implementation = {
  name: "ours",
  roles: ["client", "server"],
  prepare: () =>
    Promise.resolve(existsSync(join(ROOT, "src", "index.ts")) ? null : "src/index.ts is not there"),
  command: () => ({
    program: process.execPath,
    args: ["--import", "tsx", join(HERE, "endpoint.ts")],
    cwd: ROOT,
  }),
};

class QuicGo implements Implementation {
  readonly name = "quic-go";
  readonly roles: readonly Role[] = ["client", "server"];
  readonly #folder = join(PEERS, "quic-go");
  readonly #binary: string;

  constructor() {
    const sources = readdirSync(this.#folder).sort();
    this.#binary = keyed("quic-go", this.#folder, sources) + (process.platform === "win32" ? ".exe" : "");
  }

  async prepare(): Promise<string | null> {
    if (existsSync(this.#binary)) return null;
    const { code, output } = await run("go", ["build", "-trimpath", "-o", this.#binary, "."], this.#folder);
    if (code === null) return "no Go toolchain";
    return code === 0 ? null : `go build failed: ${lastLine(output)}`;
  }

  command(): Command {
    return { program: this.#binary, args: [] };
  }
}

class Aioquic implements Implementation {
  readonly name = "aioquic";
  readonly roles: readonly Role[] = ["client", "server"];
  readonly #folder = join(PEERS, "aioquic");
  readonly #venv = keyed("aioquic", this.#folder, ["requirements.txt"]);
  readonly #python = join(
    this.#venv,
    ...(process.platform === "win32" ? ["Scripts", "python.exe"] : ["bin", "python"]),
  );

  async prepare(): Promise<string | null> {
    const done = join(this.#venv, "complete");
    if (existsSync(done)) return null;
    rmSync(this.#venv, { recursive: true, force: true });
    let made = await run("python3", ["-m", "venv", this.#venv], this.#folder);
    if (made.code === null) made = await run("python", ["-m", "venv", this.#venv], this.#folder);
    if (made.code === null) return "no Python";
    if (made.code !== 0) return `Python makes no virtual environment: ${lastLine(made.output)}`;
    const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"];
    const { code, output } = await run(this.#python, pip, this.#folder);
    if (code !== 0) return `pip install failed: ${lastLine(output)}`;
    writeFileSync(done, "");
    return null;
  }

  command(): Command {
    return { program: this.#python, args: [join(this.#folder, "peer.py")] };
  }
}

/** Client alone, and for HTTP/3 alone: over ngtcp2 and nghttp3. */
class Curl implements Implementation {
  readonly name = "curl";
  readonly roles: readonly Role[] = ["client"];
  readonly http3Alone = true;
  readonly #unpacked = new Unpacked("curl", ["usr", "bin", "curl"]);

  prepare(): Promise<string | null> {
    return this.#unpacked.prepare("--version", (version) =>
      /\bHTTP3\b/.test(version) ? null : "this curl has no HTTP/3",
    );
  }

  command({ folder, testcase, requests }: Assignment): Command {
    const { program, args } = this.#unpacked.command();
    const options = [
      "--http3-only",
      "--cacert",
      join(folder, "certs", "ca.pem"),
      "--fail",
      "--no-progress-meter",
    ];
    // One after the other where the server goes away in between.
    const parallel = testcase === "http3goaway" ? [] : ["--parallel", "--parallel-max", "40"];
    const downloads = ["--output-dir", join(folder, "downloads")];
    const one = (url: string): string[] => {
      const name = basename(url);
      const source = join(folder, "www", name);
      const to = (path: string): string => new URL(`${path}/${name}`, url).href;
      if (testcase === "http3upload") return ["--upload-file", source, "--output", name, to("/upload")];
      if (testcase === "http3post") return ["--data-binary", `@${source}`, "--output", name, to("/echo")];
      return ["--remote-name", url];
    };
    // What is said of one file ends at --next; --parallel does not.
    const files = requests.flatMap((url, i) => [
      ...(i === 0 ? [] : ["--next"]),
      ...options,
      ...downloads,
      ...one(url),
    ]);
    return { program, args: [...args, ...parallel, ...files] };
  }
}

/** Server alone. */
class Nginx implements Implementation {
  readonly name = "nginx";
  readonly roles: readonly Role[] = ["server"];
  readonly #folder = join(PEERS, "nginx");
  readonly #unpacked = new Unpacked("nginx", ["usr", "sbin", "nginx"]);

  prepare(): Promise<string | null> {
    return this.#unpacked.prepare("-V", (version) =>
      version.includes("http_v3_module") ? null : "this nginx has no HTTP/3",
    );
  }

  command({ folder, listen, port, testcase }: Assignment): Command {
    const at = listen.includes(":") ? `[${listen}]:${port}` : `${listen}:${port}`;
    const home = join(folder, "nginx");
    mkdirSync(home, { recursive: true });
    const fill: Record<string, string> = {
      user: process.getuid?.() === 0 ? "user root;" : "",
      at,
      home,
      www: join(folder, "www"),
      certs: join(folder, "certs"),
      uploads: join(folder, "uploads"),
      extra: [
        testcase.endsWith("retry") ? "quic_retry on;" : "",
        testcase === "http3goaway" ? "keepalive_requests 1;" : "",
        testcase === "chacha20" ? "ssl_conf_command Ciphersuites TLS_CHACHA20_POLY1305_SHA256;" : "",
      ].join(" "),
    };
    const template = readFileSync(join(this.#folder, "nginx.conf"), "utf8");
    const config = join(home, "nginx.conf");
    writeFileSync(
      config,
      template.replace(/@(\w+)@/g, (_, name: string) => fill[name] ?? ""),
    );
    const { program, args } = this.#unpacked.command();
    return {
      program,
      args: [...args, "-p", home, "-e", "stderr", "-c", config],
      readyFile: join(home, "nginx.pid"),
    };
  }
}

/** All of them; the first is the one under test unless told otherwise. */
export function implementations(): Map<string, Implementation> {
  return new Map(
    [ours, new QuicGo(), new Aioquic(), new Nginx(), new Caddy(), new Curl(), new Ngtcp2()].map((each) => [
      each.name,
      each,
    ]),
  );
}

/** Starts an endpoint with the environment of the contract; `on` gives the command line that runs it on another host. */
export function start(
  implementation: Implementation,
  assignment: Assignment,
  on?: (program: string, args: readonly string[]) => { program: string; args: string[] },
): { child: ChildProcess; command: Command } {
  const command = implementation.command(assignment);
  const { folder } = assignment;
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    ROLE: assignment.role,
    TESTCASE: assignment.testcase,
    REQUESTS: assignment.requests.join(" "),
    SSLKEYLOGFILE: assignment.keyLog,
    WWW: join(folder, "www"),
    DOWNLOADS: join(folder, "downloads"),
    UPLOADS: join(folder, "uploads"),
    CERTS: join(folder, "certs"),
    LISTEN: assignment.listen,
    PORT: String(assignment.port),
    NODE_NO_WARNINGS: "1",
    ...command.env,
  };
  delete env["QLOGDIR"];
  if (assignment.qlog !== null) {
    env["QLOGDIR"] = assignment.qlog;
    env["QLOGLEVEL"] ??= "extra";
  }
  const { program, args } = on?.(command.program, command.args) ?? command;
  const child = spawn(program, args, {
    cwd: command.cwd ?? folder,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  return { child, command };
}
