// `npm run requirements [-- --all]`: which MUSTs of RFC 9000, 9001, 9002, 9114 and 9204 are cited in code and tests,
// which are not and why. Fails where one is neither cited nor has a reason, and where a reason is no longer needed.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { vectorFiles, vectorPath } from "../vectors.ts";
import { findCitations, quotes, wordsOf, type Citation } from "./citations.ts";
import { specification, statements } from "./statements.ts";

/** Those whose requirements come as a list, and those whose text is searched for them. */
const LISTED = ["rfc9000", "rfc9001", "rfc9002"];
const RFCS = [...LISTED, ...["rfc9114", "rfc9204"].filter((rfc) => specification(rfc) !== null)];
const root = join(import.meta.dirname, "..", "..");

interface Requirement {
  readonly rfc: string;
  readonly section: string;
  readonly quote: string;
  readonly words: readonly string[];
}

interface Reason {
  readonly rfc: string;
  readonly section: string;
  /** The beginning of the requirement. */
  readonly quote: string;
  readonly reason: string;
}

/** The MUST and MUST NOT sentences: of the TOML files `level` and `quote` of each `[[spec]]`, of a text what it says. */
function requirements(): Requirement[] {
  const decoder = new TextDecoder();
  const all: Requirement[] = [];
  for (const rfc of RFCS) {
    if (!LISTED.includes(rfc)) {
      for (const { section, quote } of statements(specification(rfc)!)) {
        all.push({ rfc, section, quote, words: wordsOf(quote) });
      }
      continue;
    }
    for (const [name, bytes] of vectorFiles("requirements", "www.rfc-editor.org", "rfc", rfc)) {
      const section = name.replace(/\.toml$/, "").replace(/^appendix-/, "");
      const source = decoder.decode(bytes);
      for (const match of source.matchAll(/level = "MUST"\s+quote = '''\n([\s\S]*?)'''/g)) {
        const quote = match[1]!.replace(/\s+/g, " ").trim();
        all.push({ rfc, section, quote, words: wordsOf(quote) });
      }
    }
  }
  return all;
}

if (vectorPath("requirements") === null) {
  console.log("skipped: the list of requirements (vectors/requirements) is absent");
  process.exit(0);
}

const showAll = process.argv.includes("--all");
const inCode = findCitations(root, ["internal", "src", "http3", "qlog", "examples"]);
const inTests = findCitations(root, ["test"]);
const reasons = JSON.parse(readFileSync(join(import.meta.dirname, "reasons.json"), "utf8")) as Reason[];

const cites = (citation: Citation, requirement: Requirement) =>
  citation.rfc === requirement.rfc &&
  // A quote of a subsection's text may stand under its section.
  (citation.section === requirement.section || requirement.section.startsWith(`${citation.section}.`)) &&
  quotes(citation.words, requirement.words);

let failed = false;
const used = new Set<Reason>();
const table: Record<string, Record<string, number>> = {};
const listed: string[] = [];
for (const rfc of RFCS) {
  const counts = {
    requirements: 0,
    "cited in code": 0,
    "cited in tests": 0,
    "cited nowhere, with a reason": 0,
    open: 0,
  };
  for (const requirement of requirements().filter((one) => one.rfc === rfc)) {
    counts.requirements++;
    const code = inCode.some((citation) => cites(citation, requirement));
    const tests = inTests.some((citation) => cites(citation, requirement));
    if (code) counts["cited in code"]++;
    if (tests) counts["cited in tests"]++;
    const where = `${rfc}#${requirement.section}`;
    const reason = reasons.find(
      (one) =>
        one.rfc === rfc && one.section === requirement.section && requirement.quote.startsWith(one.quote),
    );
    if (code || tests) continue;
    if (reason !== undefined) {
      used.add(reason);
      counts["cited nowhere, with a reason"]++;
      listed.push(`${where} ${requirement.quote.slice(0, 100)}\n    reason: ${reason.reason}`);
    } else {
      counts.open++;
      failed = true;
      console.log(`OPEN ${where} ${requirement.quote}`);
    }
  }
  table[rfc] = counts;
}
for (const reason of reasons) {
  if (used.has(reason)) continue;
  failed = true;
  console.log(`STALE reason, nothing uncited begins so: ${reason.rfc}#${reason.section} ${reason.quote}`);
}
if (showAll || listed.length < 200) for (const line of listed) console.log(line);
console.table(table);
if (failed) process.exitCode = 1;
