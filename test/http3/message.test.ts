// rfc9114#4: which messages are malformed, and in what order frames come.
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkField, joinCookies, parseContentLength, splitCookies } from "../../http3/fields.ts";
import { checkRequest, checkResponse, checkTrailers, type RequestRules } from "../../http3/message-head.ts";
import { MessageSequence } from "../../http3/message-sequence.ts";
import type { Field } from "../../http3/qpack/index.ts";
import { connectionError, malformed } from "./helpers.ts";

/** Fields as `name: value` lines. */
const section = (...lines: readonly string[]): Field[] =>
  lines.map((line) => {
    const at = line.indexOf(": ", 1);
    return { name: line.slice(0, at), value: line.slice(at + 2) };
  });

const GET = [":method: GET", ":scheme: https", ":authority: example.com", ":path: /"];
const CONNECT = [":method: CONNECT", ":authority: example.com:443"];
const EXTENDED = [...GET.slice(1), ":method: CONNECT", ":protocol: websocket"];

const request = (lines: readonly string[], rules?: RequestRules) => checkRequest(section(...lines), rules);
const response = (...lines: readonly string[]) => checkResponse(section(...lines));
const get = (...more: readonly string[]) => request([...GET, ...more]);
/** GET with one pseudo-header field replaced, or left out. */
const getWith = (name: string, value: string | null, ...more: readonly string[]) =>
  request([
    ...GET.flatMap((line) =>
      line.startsWith(`${name}: `) ? (value === null ? [] : [`${name}: ${value}`]) : [line],
    ),
    ...more,
  ]);

test("a request", () => {
  assert.deepEqual(get("accept: */*", "content-length: 12", "te: trailers"), {
    method: "GET",
    scheme: "https",
    authority: "example.com",
    path: "/",
    protocol: null,
    fields: section("accept: */*", "content-length: 12", "te: trailers"),
    contentLength: 12,
  });
  // Pseudo-header fields come in any order.
  assert.equal(request([...GET].reverse()).path, "/");
});

test("a response, and trailers", () => {
  assert.deepEqual(response(":status: 200", "server: x"), {
    status: 200,
    fields: section("server: x"),
    contentLength: null,
  });
  assert.deepEqual(checkTrailers(section("digest: x")), section("digest: x"));
  for (const status of ["100", "103", "204", "599", "999"])
    assert.equal(response(`:status: ${status}`).status, Number(status));
});

test("rfc9114#4.2 A request or response containing uppercase characters in field names MUST be treated as malformed", () => {
  malformed("name-uppercase", () => get("Accept: */*"));
  malformed("name-uppercase", () => response(":status: 200", "x-A: 1"));
  malformed("name-uppercase", () => checkTrailers(section("X: 1")));
});

test("rfc9114#10.3 Requests or responses containing invalid field names MUST be treated as malformed", () => {
  for (const char of ["\0", " ", "\n", "\r", ":", "(", "/", "@", "[", "{", "\x7f", "\x80", "é"]) {
    malformed("name-character", () => checkField({ name: `x${char}y`, value: "" }, true));
    if (char !== ":") malformed("name-character", () => checkField({ name: char, value: "" }, true));
  }
  malformed("name-empty", () => checkField({ name: "", value: "x" }, true));
  malformed("name-empty", () => checkTrailers([{ name: "", value: "x" }]));
  for (const name of ["x", "x-y_z", "!#$%&'*+-.^_`|~09az"]) checkField({ name, value: "" }, true);
});

test("rfc9114#10.3 Any request or response that contains a character not permitted in a field value MUST be treated as malformed", () => {
  for (let code = 0; code < 0x100; code++) {
    const value = `a${String.fromCharCode(code)}b`;
    const good = code === 9 || (code >= 0x20 && code !== 0x7f);
    for (const name of ["x", "accept"]) {
      if (good) checkField({ name, value }, true);
      else malformed("value-character", () => checkField({ name, value }, true));
    }
  }
  for (const value of [" a", "a ", "\ta", "a\t", " "])
    malformed("value-whitespace", () => get(`x: ${value}`));
  get("x: ", "y: a b\tc");
});

test("rfc9114#4.2 any message containing connection-specific fields MUST be treated as malformed", () => {
  // rfc9114#4.1 the Transfer-Encoding header field MUST NOT be used.
  for (const line of [
    "connection: close",
    "keep-alive: 1",
    "proxy-connection: x",
    "transfer-encoding: chunked",
    "upgrade: h2c",
  ]) {
    malformed("connection-specific", () => get(line));
    malformed("connection-specific", () => response(":status: 200", line));
    malformed("connection-specific", () => checkTrailers(section(line)));
  }
});

test('rfc9114#4.2 TE: when it is, it MUST NOT contain any value other than "trailers"', () => {
  get("te: trailers");
  get("te: Trailers");
  for (const value of ["", "gzip", "trailers, gzip", "trailers;q=0.5"])
    malformed("te", () => get(`te: ${value}`));
  malformed("te", () => response(":status: 200", "te: trailers"));
});

test("rfc9114#4.3 Endpoints MUST treat a request or response that contains undefined or invalid pseudo-header fields as malformed", () => {
  malformed("pseudo-undefined", () => get(":x: 1"));
  malformed("pseudo-undefined", () => get(":: 1"));
  malformed("pseudo-undefined", () => get(":Method: GET"));
  // Pseudo-header fields defined for requests MUST NOT appear in responses; pseudo-header fields defined for responses MUST
  // NOT appear in requests. rfc9114#4.3
  malformed("pseudo-undefined", () => get(":status: 200"));
  malformed("pseudo-undefined", () => response(":status: 200", ":path: /"));
});

test("rfc9114#4.3 Any request or response that contains a pseudo-header field that appears in a header section after a regular header field MUST be treated as malformed", () => {
  malformed("pseudo-after-field", () => request([...GET.slice(0, 3), "accept: x", GET[3]!]));
  malformed("pseudo-after-field", () => response("server: x", ":status: 200"));
});

test("rfc9114#4.3 Pseudo-header fields MUST NOT appear in trailer sections", () => {
  malformed("pseudo-in-trailer", () => checkTrailers(section(":status: 200")));
  malformed("pseudo-in-trailer", () => checkTrailers(section("x: 1", ":path: /")));
});

test("rfc9114#4.3.1 All HTTP/3 requests MUST include exactly one value for the :method, :scheme, and :path pseudo-header fields", () => {
  for (const name of [":method", ":scheme", ":path"]) malformed("pseudo-missing", () => getWith(name, null));
  for (const line of GET) malformed("pseudo-duplicate", () => get(line));
  malformed("pseudo-duplicate", () => response(":status: 200", ":status: 200"));
});

test("rfc9114#4.3.2 This pseudo-header field MUST be included in all responses; otherwise, the response is malformed", () => {
  malformed("pseudo-missing", () => response("server: x"));
  malformed("pseudo-missing", () => response());
  for (const status of ["", "20", "2000", "099", "20x", "-10", "0200", " 20", "101"]) {
    malformed("status", () => response(`:status: ${status}`));
  }
});

test("methods are tokens", () => {
  for (const method of ["", "G T", "GET\n", "GET/", "G\xe9T"])
    malformed("method", () => getWith(":method", method));
  for (const method of ["PATCH", "x-own", "M-SEARCH"])
    assert.equal(getWith(":method", method).method, method);
});

test('rfc9114#4.3.1 This pseudo-header field MUST NOT be empty for "http" or "https" URIs', () => {
  for (const path of ["", "x", "*", "/a b", "/a#b", "/\x7f", "/\xe9", "/\n", "https://example.com/"]) {
    malformed("path", () => getWith(":path", path));
  }
  for (const path of ["/", "/a?b=c&d", "//x", "/%00", '/a|b{}^`"<>\\'])
    assert.equal(getWith(":path", path).path, path);
  // An OPTIONS request that does not include a path component includes the value *.
  assert.equal(request([":method: OPTIONS", ...GET.slice(1, 3), ":path: *"]).path, "*");
  // Other schemes may do without.
  assert.equal(request([":method: GET", ":scheme: coap", ":path: "]).path, "");
  malformed("path", () => request([":method: GET", ":scheme: coap", ":path: a b"]));
});

test("schemes", () => {
  for (const scheme of ["", "1http", "ht tp", "http:", "h\xe9"])
    malformed("scheme", () => getWith(":scheme", scheme));
  assert.equal(getWith(":scheme", "HTTPS").scheme, "https");
  malformed("path", () => request([":method: GET", ":scheme: HTTPS", ":authority: a", ":path: "]));
});

test("rfc9114#4.3.1 the request MUST contain either an :authority pseudo-header field or a Host header field. If these fields are present, they MUST NOT be empty", () => {
  malformed("pseudo-missing", () => getWith(":authority", null));
  malformed("authority", () => getWith(":authority", ""));
  malformed("authority", () => getWith(":authority", null, "host: "));
  assert.equal(getWith(":authority", null, "host: example.com").authority, "example.com");
  // rfc9114#4.3.1 If both fields are present, they MUST contain the same value.
  malformed("authority-mismatch", () => get("host: example.org"));
  malformed("authority-mismatch", () => get("host: "));
  assert.equal(get("host: Example.com").authority, "example.com");
  malformed("host-duplicate", () => get("host: example.com", "host: example.com"));
  assert.equal(request([":method: GET", ":scheme: coap", ":path: /"]).authority, "");
});

test('rfc9114#4.3.1 The authority MUST NOT include the deprecated userinfo subcomponent for URIs of scheme "http" or "https"', () => {
  for (const bad of [
    "user@example.com",
    "u:p@example.com",
    "@a",
    "a/b",
    "a b",
    "a?b",
    "a:x",
    "[::1",
    "[g]",
    "a:1:2",
    ":443",
    "\xe9",
  ]) {
    malformed("authority", () => getWith(":authority", bad));
    malformed("authority", () => getWith(":authority", null, `host: ${bad}`));
  }
  for (const good of [
    "a",
    "a:",
    "a:443",
    "[::1]",
    "[::1]:8080",
    "[v1.a:b]",
    "1.2.3.4",
    "x_y.example",
    "a%20b",
  ]) {
    assert.equal(getWith(":authority", good).authority, good);
  }
});

test("rfc9114#4.4 A CONNECT request MUST be constructed as follows", () => {
  assert.deepEqual(request(CONNECT), {
    method: "CONNECT",
    scheme: "",
    authority: "example.com:443",
    path: "",
    protocol: null,
    fields: [],
    contentLength: null,
  });
  // The :scheme and :path pseudo-header fields are omitted.
  malformed("pseudo-not-allowed", () => request([...CONNECT, ":scheme: https"]));
  malformed("pseudo-not-allowed", () => request([...CONNECT, ":path: /"]));
  malformed("pseudo-missing", () => request([":method: CONNECT", "host: example.com:443"]));
  for (const authority of ["example.com", "example.com:", "", "u@a:1", "https://a:1", "a:1234567"]) {
    malformed("authority", () => request([":method: CONNECT", `:authority: ${authority}`]));
  }
  assert.equal(request([":method: CONNECT", ":authority: [::1]:443"]).authority, "[::1]:443");
});

test("extended CONNECT has everything, and was agreed upon", () => {
  // rfc9220#3, rfc8441#4
  const rules = { extendedConnect: true };
  const head = request(EXTENDED, rules);
  assert.deepEqual(
    [head.protocol, head.path, head.scheme, head.authority],
    ["websocket", "/", "https", "example.com"],
  );
  malformed("pseudo-not-allowed", () => request(EXTENDED));
  malformed("pseudo-not-allowed", () => request([...GET, ":protocol: websocket"], rules));
  for (const name of [":scheme", ":path", ":authority"]) {
    malformed("pseudo-missing", () =>
      request(
        EXTENDED.filter((line) => !line.startsWith(name)),
        rules,
      ),
    );
  }
  malformed("pseudo-missing", () =>
    request([...EXTENDED.filter((line) => !line.startsWith(":authority")), "host: example.com"], rules),
  );
  for (const protocol of ["", "web socket", "a/b/c", "/a", "a/"]) {
    malformed("protocol", () => request([...EXTENDED.slice(0, -1), `:protocol: ${protocol}`], rules));
  }
  assert.equal(request([...EXTENDED.slice(0, -1), ":protocol: HTTP/2.0"], rules).protocol, "HTTP/2.0");
  // CONNECT without :protocol is the old one.
  assert.equal(request(CONNECT, rules).protocol, null);
});

test("content-length", () => {
  // rfc9110#8.6
  for (const bad of [
    "",
    "-1",
    "+1",
    "1.0",
    "0x1",
    "1,1",
    "1 1",
    "9007199254740992",
    "99999999999999999",
    "1e3",
  ]) {
    malformed("content-length", () => parseContentLength(bad));
    if (bad !== "") malformed("content-length", () => get(`content-length: ${bad}`));
  }
  malformed("content-length", () => get("content-length: 1", "content-length: 1"));
  assert.equal(parseContentLength("9007199254740991"), Number.MAX_SAFE_INTEGER);
  assert.equal(parseContentLength("007"), 7);
});

test('rfc9114#4.2.1 If a decompressed field section contains multiple cookie field lines, these MUST be concatenated into a single byte string using the two-byte delimiter of "; "', () => {
  assert.deepEqual(
    get("a: 1", "cookie: x=1", "b: 2", "cookie: y=2", "cookie: z=3").fields.map(
      ({ name, value }) => `${name}=${value}`,
    ),
    ["a=1", "cookie=x=1; y=2; z=3", "b=2"],
  );
  assert.deepEqual(get("cookie: x=1", "cookie: ").fields, [
    { name: "cookie", value: "x=1", sensitive: false },
  ]);
  const one = section("cookie: x=1; y=2");
  assert.equal(joinCookies(one), one);
  const crumbs = splitCookies([{ name: "cookie", value: "x=1; y=2", sensitive: true }]);
  assert.deepEqual(
    crumbs.map(({ value, sensitive }) => [value, sensitive]),
    [
      ["x=1", true],
      ["y=2", true],
    ],
  );
  assert.deepEqual(joinCookies(crumbs), [{ name: "cookie", value: "x=1; y=2", sensitive: true }]);
  assert.equal(
    joinCookies([...section("cookie: a=1"), { name: "cookie", value: "b=2", sensitive: true }])[0]!.sensitive,
    true,
  );
});

const requestWith = (...more: readonly string[]) => get(...more);

/** A sequence after a request's head. */
function after(head = requestWith()): MessageSequence {
  const sequence = new MessageSequence();
  assert.equal(sequence.headers(), "head");
  sequence.requestHead(head);
  return sequence;
}

test("head, content, trailers", () => {
  const sequence = after();
  assert.ok(sequence.begun);
  sequence.data(10);
  sequence.data(0);
  assert.equal(sequence.headers(), "trailers");
  sequence.end();
  after().end();
});

test("rfc9114#4.1 Receipt of an invalid sequence of frames MUST be treated as a connection error of type H3_FRAME_UNEXPECTED. In particular, a DATA frame before any HEADERS frame, or a HEADERS or DATA frame after the trailing HEADERS frame", () => {
  connectionError("H3_FRAME_UNEXPECTED", () => new MessageSequence().data(0));
  const sequence = after();
  sequence.headers();
  connectionError("H3_FRAME_UNEXPECTED", () => sequence.data(0));
  connectionError("H3_FRAME_UNEXPECTED", () => sequence.headers());
});

test("interim responses come before the final one, without content", () => {
  const sequence = new MessageSequence();
  for (const status of ["100", "103", "103"]) {
    assert.equal(sequence.headers(), "head");
    assert.equal(sequence.responseHead(response(`:status: ${status}`), "GET"), false);
    connectionError("H3_FRAME_UNEXPECTED", () => sequence.data(1));
    assert.equal(sequence.begun, false);
  }
  assert.equal(sequence.headers(), "head");
  assert.equal(sequence.responseHead(response(":status: 200"), "GET"), true);
  // rfc9114#4.1 receipt of an additional HTTP response following a final HTTP response MUST be treated as malformed.
  assert.equal(sequence.headers(), "trailers");
  malformed("pseudo-in-trailer", () => checkTrailers(section(":status: 200")));
});

test("rfc9114#4.4 Once the CONNECT method has completed, only DATA frames are permitted: any other known frame type MUST be treated as H3_FRAME_UNEXPECTED", () => {
  const client = after(request(CONNECT));
  client.data(5);
  connectionError("H3_FRAME_UNEXPECTED", () => client.headers());
  const server = new MessageSequence();
  server.headers();
  // A length says nothing about a tunnel. rfc9110#8.6
  server.responseHead(response(":status: 200", "content-length: 1"), "CONNECT");
  server.data(5);
  connectionError("H3_FRAME_UNEXPECTED", () => server.headers());
  connectionError("H3_FRAME_UNEXPECTED", () => server.pushPromise());
  server.end();
  // Refused, it is a response like others.
  const refused = new MessageSequence();
  refused.headers();
  refused.responseHead(response(":status: 502"), "CONNECT");
  refused.pushPromise();
  assert.equal(refused.headers(), "trailers");
});

test("malformed if Content-Length does not equal the sum of the DATA frame lengths received", () => {
  // rfc9114#4.1.2
  const exact = after(requestWith("content-length: 10"));
  exact.data(4);
  exact.data(6);
  exact.end();
  malformed("content-length-mismatch", () => exact.data(1));
  const less = after(requestWith("content-length: 10"));
  less.data(9);
  malformed("content-length-mismatch", () => less.end());
  malformed("content-length-mismatch", () => after(requestWith("content-length: 0")).data(1));
  after(requestWith("content-length: 0")).end();
});

test("responses that never have content may have a length, and no content", () => {
  // rfc9114#4.1.2, rfc9110#6.4.1
  for (const [status, method] of [
    ["200", "HEAD"],
    ["204", "GET"],
    ["304", "GET"],
  ] as const) {
    const sequence = new MessageSequence();
    sequence.headers();
    sequence.responseHead(response(`:status: ${status}`, "content-length: 10"), method);
    sequence.data(0);
    sequence.end();
    malformed("content-length-mismatch", () => sequence.data(1));
  }
});
