// What is built to be sent, and the account of pushes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidFieldError } from "../../http3/errors.ts";
import { requestSection, responseSection, trailerSection } from "../../http3/message-build.ts";
import { ClientPushes, ServerPushes } from "../../http3/pushes.ts";
import { connectionError } from "./helpers.ts";

const lines = (section: readonly { name: string; value: string }[]) =>
  section.map(({ name, value }) => `${name}: ${value}`);
const field = (name: string, value: string) => ({ name, value });
const refused = (run: () => unknown) => assert.throws(run, InvalidFieldError);

const GET = { method: "GET", scheme: "https", authority: "a.b", path: "/" };

test("rfc9114#4.2 Characters in field names MUST be converted to lowercase prior to their encoding", () => {
  assert.deepEqual(lines(requestSection({ ...GET, fields: [field("X-Name", "V")] })), [
    ":method: GET",
    ":scheme: https",
    ":authority: a.b",
    ":path: /",
    "x-name: V",
  ]);
  assert.deepEqual(lines(responseSection(200, [field("Server", "x")])), [":status: 200", "server: x"]);
  assert.deepEqual(lines(trailerSection([field("Digest", "x")])), ["digest: x"]);
});

test("rfc9114#4.2 An endpoint MUST NOT generate an HTTP/3 field section containing connection-specific fields", () => {
  for (const name of ["Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade", "Proxy-Connection"]) {
    refused(() => requestSection({ ...GET, fields: [field(name, "x")] }));
    refused(() => responseSection(200, [field(name, "x")]));
    refused(() => trailerSection([field(name, "x")]));
  }
});

test("rfc9114#4.3 Endpoints MUST NOT generate pseudo-header fields other than those defined in this document", () => {
  refused(() => requestSection({ ...GET, fields: [field(":x", "1")] }));
  refused(() => responseSection(200, [field(":status", "200")]));
  refused(() => trailerSection([field(":path", "/")]));
});

test("what a receiver would refuse is not sent", () => {
  refused(() => requestSection({ ...GET, path: "" }));
  refused(() => requestSection({ method: "GET", scheme: "https", path: "/" }));
  refused(() => requestSection({ ...GET, fields: [field("x", "a\r\nb: c")] }));
  refused(() => responseSection(99));
  refused(() => responseSection(101));
  assert.equal(requestSection({ method: "CONNECT", authority: "a.b:443" }).length, 2);
  assert.equal(requestSection({ ...GET, method: "CONNECT", protocol: "websocket" }).length, 5);
  refused(() => requestSection({ ...GET, protocol: "websocket" }));
});

test("rfc9114#7.2.5 If a client receives a push ID that has already been promised and detects a mismatch, it MUST respond with a connection error of type H3_GENERAL_PROTOCOL_ERROR", () => {
  const pushes = new ClientPushes();
  pushes.allow(3);
  const fields = requestSection(GET);
  assert.equal(pushes.promise(1, fields), true);
  assert.equal(pushes.promise(1, requestSection(GET)), false);
  for (const other of [
    requestSection({ ...GET, path: "/x" }),
    fields.slice(0, 3),
    [...fields].reverse(),
    [...fields, field("a", "b")],
  ]) {
    connectionError("H3_GENERAL_PROTOCOL_ERROR", () => pushes.promise(1, other));
  }
  // A client MUST treat receipt of a PUSH_PROMISE frame that contains a larger push ID than the client has advertised as a
  // connection error of H3_ID_ERROR. rfc9114#7.2.5
  connectionError("H3_ID_ERROR", () => pushes.promise(4, fields));
  connectionError("H3_ID_ERROR", () => new ClientPushes().promise(0, fields));
});

test("rfc9114#6.2.2 a push ID that was used in another push stream header: the client MUST treat this as a connection error of type H3_ID_ERROR", () => {
  const pushes = new ClientPushes();
  pushes.allow(3);
  // The stream may come before the promise.
  assert.equal(pushes.open(2), true);
  assert.equal(pushes.promised(2), false);
  assert.equal(pushes.promise(2, requestSection(GET)), true);
  assert.equal(pushes.promised(2), true);
  connectionError("H3_ID_ERROR", () => pushes.open(2));
  connectionError("H3_ID_ERROR", () => pushes.open(4));
  connectionError("H3_ID_ERROR", () => new ClientPushes().open(0));
});

test("pushes that are done with take no memory and are ignored", () => {
  const pushes = new ClientPushes();
  pushes.allow(1000);
  for (let id = 1000; id >= 0; id--) {
    pushes.promise(id, requestSection(GET));
    pushes.done(id);
    assert.equal(pushes.promise(id, []), false);
    assert.equal(pushes.open(id), false, "cancelled before its stream came");
  }
  assert.ok(pushes.promised(500));
  pushes.allow(5);
  assert.equal(pushes.max, 1000);
});

test("rfc9114#7.2.5 A server MUST NOT use a push ID that is larger than the client has provided in a MAX_PUSH_ID frame", () => {
  const pushes = new ServerPushes();
  assert.equal(pushes.take(), null);
  pushes.allowed(1);
  assert.deepEqual([pushes.take(), pushes.take(), pushes.take()], [0, 1, null]);
  assert.ok(pushes.promised(1) && !pushes.promised(2));
  pushes.allowed(5);
  // rfc9114#5.2 Endpoints MUST NOT promise new pushes on the connection after receipt of a GOAWAY frame from the peer.
  pushes.stop();
  assert.equal(pushes.take(), null);
});
