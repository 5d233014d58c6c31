import { readFileSync } from "node:fs";
import { formatStats, qlogStats } from "../../qlog/index.ts";

/** Prints a summary of each file. */
export function stats(files: readonly string[]): void {
  for (const file of files) {
    let content: string;
    try {
      content = readFileSync(file, "utf8");
    } catch (error) {
      console.error(`${file}: ${(error as Error).message}`);
      process.exitCode = 1;
      continue;
    }
    for (const trace of qlogStats(content)) console.log(`${file}: ${formatStats(trace)}`);
  }
}
