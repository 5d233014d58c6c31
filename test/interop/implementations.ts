// Who can be put at the ends of the path, how each is found or built, and how it is started.

import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export type Role = "client" | "server";

/** A command line. Servers say when they listen: by a line on stdout, or by a file. */
export interface Command {
  program: string;
  args: string[];
  cwd?: string;
  readyFile?: string;
}

/** What an endpoint is told; becomes the environment of the interop runner's contract. */
export interface Assignment {
  role: Role;
  testcase: string;
  /** Everything of this run lies here: www, downloads, certs. */
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
  /** It has nothing to do with the cases over HTTP/0.9. */
  readonly http3Alone?: boolean;
  /** Finds or builds it. Returns why it cannot be had here, or null. */
  prepare(): Promise<string | null>;
  command(assignment: Assignment): Command;
}

const HERE = import.meta.dirname;
const ROOT = join(HERE, "..", "..");
const PEERS = join(HERE, "peers");
const CACHE = process.env["QUIC_TS_INTEROP_CACHE"] ?? join(HERE, ".cache");
const BUILD_TIMEOUT = 300_000;

/** A folder or file name that changes when one of the files does. */
function keyed(name: string, folder: string, files: readonly string[]): string {
  const hash = createHash("sha256").update(`${process.platform} ${process.arch}`);
  for (const file of files) hash.update(readFileSync(join(folder, file)));
  mkdirSync(CACHE, { recursive: true });
  return join(CACHE, `${name}-${hash.digest("hex").slice(0, 12)}`);
}

/** Runs a build step. Returns its exit code (null: it could not be started) and its output. */
function run(program: string, args: string[], cwd: string): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd, stdio: ["ignore", "pipe", "pipe"], timeout: BUILD_TIMEOUT });
    let output = "";
    const take = (data: Buffer): void => void (output += data.toString());
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.on("error", (error) => resolve({ code: null, output: error.message }));
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}
const lastLine = (output: string): string => output.trim().split("\n").at(-1) ?? "";

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

/** A program of a Debian package, unpacked beside the system: its loader is called by name, so that it finds its libraries. */
class Unpacked {
  readonly #folder: string;
  readonly #root: string;
  readonly #program: readonly string[];

  constructor(name: string, program: readonly string[]) {
    this.#folder = join(PEERS, name);
    this.#root = keyed(name, this.#folder, ["unpack.sh"]);
    this.#program = program;
  }

  /** @param check - why the version it tells will not do, or null */
  async prepare(versionFlag: string, check: (version: string) => string | null): Promise<string | null> {
    if (process.platform !== "linux") return "Debian packages run on Linux alone";
    if (existsSync(join(this.#root, "complete"))) return null;
    // A half unpacked folder never gets the final name.
    const partial = `${this.#root}.partial`;
    rmSync(partial, { recursive: true, force: true });
    const { code, output } = await run("bash", [join(this.#folder, "unpack.sh"), partial], this.#folder);
    if (code === null) return "no bash";
    if (code !== 0) return lastLine(output);
    rmSync(this.#root, { recursive: true, force: true });
    renameSync(partial, this.#root);
    const { program, args } = this.command();
    const version = await run(program, [...args, versionFlag], this.#root);
    if (version.code !== 0) return `${this.#program.at(-1)} does not start: ${lastLine(version.output)}`;
    const objection = check(version.output);
    if (objection !== null) return objection;
    writeFileSync(join(this.#root, "complete"), "");
    return null;
  }

  command(): Command {
    const libraries =
      readdirSync(join(this.#root, "usr", "lib")).find((name) => /-linux-gnu/.test(name)) ?? "";
    const path = join(this.#root, "usr", "lib", libraries);
    const loader = readdirSync(path).find((name) => name.startsWith("ld-linux"));
    return {
      program: join(path, loader ?? "no-loader"),
      args: ["--library-path", path, join(this.#root, ...this.#program)],
    };
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
    const where = ["--remote-name-all", "--output-dir", join(folder, "downloads")];
    return { program, args: [...args, ...options, ...parallel, ...where, ...requests] };
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
      extra: [
        testcase === "retry" ? "quic_retry on;" : "",
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
    [ours, new QuicGo(), new Aioquic(), new Nginx(), new Curl()].map((each) => [each.name, each]),
  );
}

/** Starts an endpoint with the environment of the contract. Output goes to the given file descriptor as well. */
export function start(
  implementation: Implementation,
  assignment: Assignment,
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
    CERTS: join(folder, "certs"),
    LISTEN: assignment.listen,
    PORT: String(assignment.port),
    NODE_NO_WARNINGS: "1",
  };
  delete env["QLOGDIR"];
  if (assignment.qlog !== null) env["QLOGDIR"] = assignment.qlog;
  const child = spawn(command.program, command.args, {
    cwd: command.cwd ?? folder,
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  return { child, command };
}
