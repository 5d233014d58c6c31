// The requirements in an RFC's text: its sentences with MUST or SHALL, by section.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const SPECS = process.env.QUIC_TS_SPECS ?? join(import.meta.dirname, "..", "..", "..", "shared", "specs");

export interface Statement {
  readonly section: string;
  readonly quote: string;
}

/** The text of an RFC, or null where it is absent. */
export function specification(rfc: string): string | null {
  const path = join(SPECS, `${rfc}.txt`);
  return existsSync(path) ? readFileSync(path, "utf8") : null;
}

/** Where a sentence ends: a full stop or a colon before a capital, not that of a reference or an abbreviation. */
const SENTENCE = /(?<=[.:])\s+(?=[A-Z(":])/;

/** Sentences with MUST or SHALL, in the order of the text; a list's items are sentences of their own. */
export function statements(text: string): Statement[] {
  const found: Statement[] = [];
  let section = "";
  let paragraph: string[] = [];
  const flush = () => {
    const running = paragraph.join(" ").replace(/\s+/g, " ").trim();
    paragraph = [];
    // The paragraph that defines the words is none of them.
    if (running.includes("are to be interpreted as described in")) return;
    for (const quote of running.split(SENTENCE)) {
      if (/\b(MUST|SHALL)\b/.test(quote)) found.push({ section, quote });
    }
  };
  for (const line of text.split("\n")) {
    // The table of contents is indented; headings are not.
    const heading = /^(?:Appendix )?([0-9A-Z]+(?:\.[0-9]+)*)\.\s{1,3}\S/.exec(line);
    if (heading !== null) {
      flush();
      section = heading[1]!;
    } else if (line.trim() === "" || /^\s+(\*|\d+\.)\s/.test(line)) {
      flush();
      paragraph.push(line.trim().replace(/^(\*|\d+\.)\s+/, ""));
    } else paragraph.push(line.trim());
  }
  flush();
  return found;
}
