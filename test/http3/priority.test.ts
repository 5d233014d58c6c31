import assert from "node:assert/strict";
import { test } from "node:test";
import { DisplayString, parseDictionary, parseItem, parseList, Token } from "structured-headers";
import { DEFAULT_PRIORITY, parsePriority, priorityOf, serializePriority } from "../../http3/priority.ts";
import { needsVectors, vectorFiles } from "../vectors.ts";

test("what priorities say", () => {
  const said = (value: string) => {
    const parsed = parsePriority(value);
    return parsed === null ? null : `${parsed.urgency} ${parsed.incremental}`;
  };
  assert.equal(said(""), "undefined undefined");
  assert.equal(said("u=0"), "0 undefined");
  assert.equal(said("u=5, i"), "5 true");
  assert.equal(said("i,u=7"), "7 true");
  assert.equal(said("i=?0"), "undefined false");
  assert.equal(said("u=1, u=2"), "2 undefined");
  assert.equal(said("u=3;x=1, i;y"), "3 true");
  assert.equal(said("u=1; i"), "1 undefined", "a parameter of u");
  // rfc9218#4 unknown priority parameters, priority parameters with out-of-range values, or values of unexpected types MUST
  // be ignored.
  assert.equal(said("u=8, i"), "undefined true");
  assert.equal(said("u=-1"), "undefined undefined");
  assert.equal(said("u=?1, i=1"), "undefined undefined");
  assert.equal(said('u="3", i=token'), "undefined undefined");
  assert.equal(said("u=1.5"), "undefined undefined");
  assert.equal(said("u=(1 2), foo=bar, U"), null);
  assert.equal(said("u=(1 2), foo=bar"), "undefined undefined");
  for (const broken of ["u=", "=1", "u=1,", "u 1", "ü=1"]) assert.equal(said(broken), null, broken);
});

test("priorities are merged with what holds otherwise", () => {
  assert.deepEqual(priorityOf(null), DEFAULT_PRIORITY);
  assert.deepEqual(priorityOf(parsePriority("i")), { urgency: 3, incremental: true });
  assert.deepEqual(priorityOf(parsePriority("u=1"), { urgency: 5, incremental: true }), {
    urgency: 1,
    incremental: true,
  });
});

test("priorities come back", () => {
  for (let urgency = 0; urgency <= 7; urgency++) {
    for (const incremental of [false, true]) {
      const value = serializePriority({ urgency, incremental });
      assert.deepEqual(priorityOf(parsePriority(value)), { urgency, incremental });
    }
  }
  assert.equal(serializePriority(DEFAULT_PRIORITY), "");
  assert.equal(serializePriority({ urgency: 1, incremental: true }), "u=1, i");
  for (const urgency of [-1, 8, 1.5, Number.NaN]) {
    assert.throws(() => serializePriority({ urgency, incremental: false }), RangeError);
  }
});

interface StructuredTest {
  readonly name: string;
  readonly raw?: readonly string[];
  readonly header_type: "item" | "list" | "dictionary";
  readonly must_fail?: boolean;
  readonly can_fail?: boolean;
  readonly expected?: unknown;
}

/** What the parser gives, in the tests' JSON. */
function toJson(value: unknown): unknown {
  if (value instanceof Map) return [...value].map(([key, one]) => [key, toJson(one)]);
  if (Array.isArray(value)) return value.map(toJson);
  if (value instanceof Token) return { __type: "token", value: value.toString() };
  if (value instanceof DisplayString) return { __type: "displaystring", value: value.toString() };
  if (value instanceof Date) return { __type: "date", value: value.getTime() / 1000 };
  if (value instanceof ArrayBuffer) return { __type: "binary", value: base32(new Uint8Array(value)) };
  // JSON has one zero.
  return value === 0 ? 0 : value;
}

/** rfc4648#6 */
function base32(bytes: Uint8Array): string {
  let bits = "";
  for (const byte of bytes) bits += byte.toString(2).padStart(8, "0");
  const text = bits.replace(
    /.{1,5}/g,
    (group) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[parseInt(group.padEnd(5, "0"), 2)]!,
  );
  return text.padEnd(Math.ceil(text.length / 8) * 8, "=");
}

test(
  "the structured fields parser against the working group's tests",
  needsVectors("structured-field-tests"),
  (context) => {
    const parse = { item: parseItem, list: parseList, dictionary: parseDictionary };
    let count = 0;
    for (const [file, content] of vectorFiles("structured-field-tests")) {
      if (!/^[a-z-]+\.json$/.test(file)) continue;
      for (const one of JSON.parse(Buffer.from(content).toString("utf8")) as StructuredTest[]) {
        if (one.raw === undefined) continue;
        count++;
        const run = () => toJson(parse[one.header_type](one.raw!.join(", ")));
        const name = `${file}: ${one.name}`;
        if (one.must_fail === true) assert.throws(run, name);
        else if (one.can_fail !== true) assert.deepEqual(run(), one.expected, name);
      }
    }
    context.diagnostic(`${count} tests`);
    assert.ok(count > 1000);
  },
);
