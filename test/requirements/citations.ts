// Citations in the code: `// rfc9000#8.1 words of the requirement …`, over as many comment lines as it takes.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

export interface Citation {
  readonly rfc: string;
  readonly section: string;
  /** Words that follow, lower case, up to the next citation or the end of the comment. */
  readonly words: readonly string[];
  readonly file: string;
}

/** Words that count for comparing: letters, digits and underscores. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[a-z0-9_]+/g) ?? [];
}

/** All comments of a file as running text, a block of comment lines each. */
function comments(source: string): string[] {
  const blocks: string[] = [];
  let block = "";
  for (const line of source.split("\n")) {
    const match = /^\s*(?:\/\/|\/?\*+)\s?(.*?)(?:\*\/)?\s*$/.exec(line) ?? /\s\/\/\s(.*)$/.exec(line);
    if (match !== null) block += ` ${match[1]!}`;
    else if (block !== "") {
      blocks.push(block);
      block = "";
    }
  }
  if (block !== "") blocks.push(block);
  // Tests cite in their names as well.
  for (const match of source.matchAll(/["'`]([^"'`\n]*rfc\d{4}#[^"'`\n]*)["'`]/g)) blocks.push(match[1]!);
  return blocks;
}

/** Every citation in the TypeScript files below `folders`. */
export function findCitations(root: string, folders: readonly string[]): Citation[] {
  const found: Citation[] = [];
  for (const folder of folders) {
    let names: string[];
    try {
      names = readdirSync(join(root, folder), { recursive: true }) as string[];
    } catch {
      continue;
    }
    for (const name of names) {
      if (!name.endsWith(".ts") || name.includes("node_modules")) continue;
      const file = join(folder, name);
      for (const block of comments(readFileSync(join(root, file), "utf8"))) {
        const parts = block.split(/\b(rfc\d{4})#([0-9A-Z]+(?:\.\d+)*)/);
        for (let i = 1; i + 2 < parts.length + 1 && parts[i + 2] !== undefined; i += 3) {
          found.push({ rfc: parts[i]!, section: parts[i + 1]!, words: wordsOf(parts[i + 2]!), file });
        }
      }
    }
  }
  return found;
}

/** Consecutive words two texts must share for one to cite the other. */
const RUN = 5;

/**
 * Whether a citation quotes a requirement: five words of it in a row, or most of a short fragment's words in order.
 */
export function quotes(citation: readonly string[], requirement: readonly string[]): boolean {
  const text = ` ${requirement.join(" ")} `;
  for (let i = 0; i + RUN <= citation.length; i++) {
    if (text.includes(` ${citation.slice(i, i + RUN).join(" ")} `)) return true;
  }
  const fragment = citation.slice(0, 24);
  if (fragment.length < 4) return false;
  let at = 0;
  let inOrder = 0;
  for (const word of fragment) {
    const next = requirement.indexOf(word, at);
    if (next < 0) continue;
    inOrder++;
    at = next + 1;
  }
  return inOrder >= 4 && inOrder / fragment.length >= 0.6;
}
