// Peers that are built or unpacked here: where that happens, and how.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { lastLine, run } from "../tools/npm.ts";
import type { Command } from "./implementations.ts";

const HERE = import.meta.dirname;
/** Sources and scripts of each peer. */
export const PEERS = join(HERE, "peers");
const CACHE = process.env["QUIC_TS_INTEROP_CACHE"] ?? join(HERE, ".cache");

/** A folder or file name that changes when one of the files does. */
export function keyed(name: string, folder: string, files: readonly string[]): string {
  const hash = createHash("sha256").update(`${process.platform} ${process.arch}`);
  for (const file of files) hash.update(readFileSync(join(folder, file)));
  mkdirSync(CACHE, { recursive: true });
  return join(CACHE, `${name}-${hash.digest("hex").slice(0, 12)}`);
}

/** A program of a Debian package, unpacked beside the system: its loader is called by name, so that it finds its libraries. */
export class Unpacked {
  readonly #folder: string;
  readonly #root: string;
  readonly #program: readonly string[];

  /** @param folder - where its unpack.sh is */
  constructor(name: string, program: readonly string[], folder = join(PEERS, name)) {
    this.#folder = folder;
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
