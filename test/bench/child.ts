// Processes that measure: each speaks lines of JSON.

import { spawn } from "node:child_process";
import { buildTree, compiled, type Tree } from "./build/tree.ts";

let plain: Tree | null = null;

/** The tree as it is, compiled once per run. */
export function plainTree(): Tree {
  return (plain ??= buildTree("plain"));
}

/** Runs a program of ours, compiled, to its end. Resolves with the JSON value of its last line. `flags` are node's. */
export function runOurs<T>(file: string, args: readonly string[], flags: readonly string[] = []): Promise<T> {
  const program = compiled(plainTree(), file);
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...flags, program, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.on("error", reject);
    child.on("close", (code) => {
      const last = output.trim().split("\n").at(-1) ?? "";
      if (code === 0) resolve(JSON.parse(last) as T);
      else reject(new Error(`${file} ended with ${code}: ${last}`));
    });
  });
}
