import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Amplification } from "../../internal/path/amplification.ts";
import { Path, type PathSettings } from "../../internal/path/path.ts";
import { MTU_SEARCH } from "../../internal/path/mtu-discovery.ts";
import { PathSet, type PathSetHost } from "../../internal/path/path-set.ts";
import { PathValidation } from "../../internal/path/validation.ts";
import { deriveResetToken, resetTokenSource } from "../../internal/path/reset-token.ts";
import { nodeProvider } from "../../internal/crypto/node.ts";
import { makeAddress, type Address } from "../../internal/protocol/address.ts";
import { FRAME_PATH_CHALLENGE, FRAME_PATH_RESPONSE, type Role } from "../../internal/protocol/constants.ts";
import { MAX_PATHS, MAX_QUEUED_PATH_RESPONSES } from "../../internal/protocol/limits.ts";
import { seeded } from "./seeded.ts";

const settings = (role: Role, seed: number): PathSettings => ({
  role,
  mtu: { base: 1200, ceiling: 1200, discovered: false, dontFragment: true, search: MTU_SEARCH },
  spin: "off",
  random: seeded(seed),
});

const records = { addRecord: () => {} };

describe("amplification limit", () => {
  // rfc9000#8.1 MUST NOT send more than three times as many bytes as the number of bytes they have received
  test("three times what came, then nothing, then all", () => {
    const account = new Amplification(false);
    assert.equal(account.budget(), 0);
    account.onReceived(1200);
    assert.equal(account.budget(), 3600);
    account.onSent(3600);
    assert.equal(account.budget(), 0);
    account.onSent(10);
    assert.equal(account.budget(), 0);
    account.onReceived(4);
    assert.equal(account.budget(), 2);
    account.validate();
    assert.equal(account.budget(), Infinity);
  });
});

describe("path validation", () => {
  test("succeeds with the data of any challenge that is out", () => {
    const validation = new PathValidation(seeded(1));
    validation.start(0, 100);
    const buf = new Uint8Array(64);
    validation.writeChallenge(buf, 0, true, 0);
    assert.equal(buf[0], FRAME_PATH_CHALLENGE);
    const first = buf.slice(1, 9);
    assert.equal(validation.timeout(), 50);
    validation.onTimeout(50);
    assert.ok(validation.challengeDue);
    validation.writeChallenge(buf, 0, true, 50);
    // rfc9000#8.2.1 MUST use unpredictable data in every PATH_CHALLENGE frame
    assert.notDeepEqual(buf.slice(1, 9), first);
    // The interval doubles.
    assert.equal(validation.timeout(), 150);
    assert.equal(validation.onResponse(new Uint8Array(8), 0, 0), "none");
    assert.equal(validation.onResponse(first, 0, 0), "path");
    assert.equal(validation.state, "succeeded");
    assert.equal(validation.timeout(), Infinity);
    assert.equal(validation.onResponse(first, 0, 0), "none");
  });

  // rfc9000#8.2.4 SHOULD abandon path validation based on a timer
  test("fails after three PTO", () => {
    const validation = new PathValidation(seeded(2));
    validation.start(1000, 100);
    const buf = new Uint8Array(9);
    let challenges = 0;
    for (let now = 1000; validation.state === "running"; now = validation.timeout()) {
      validation.onTimeout(now);
      if (validation.challengeDue) {
        validation.writeChallenge(buf, 0, true, now);
        challenges++;
      }
      assert.ok(now <= 1300);
    }
    assert.equal(validation.state, "failed");
    assert.equal(challenges, 3);
    assert.equal(validation.onResponse(buf, 1, 0), "none");
  });

  // rfc9000#8.2.1 a challenge in a datagram that was not expanded proves the address; the size needs another
  test("a short datagram proves the address alone", () => {
    const validation = new PathValidation(seeded(3));
    validation.start(0, 100);
    const buf = new Uint8Array(9);
    validation.writeChallenge(buf, 0, false, 0);
    assert.equal(validation.onResponse(buf, 1, 0), "address");
    assert.ok(validation.challengeDue);
    assert.equal(validation.onResponse(buf, 1, 0), "none");
    validation.writeChallenge(buf, 0, true, 10);
    assert.equal(validation.onResponse(buf, 1, 0), "path");
  });

  test("a challenge is answered once with its data, a flood within a bound", () => {
    const path = new Path(0, makeAddress("192.0.2.1", 1), null, true, settings("client", 4));
    const challenge = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
    path.onChallenge(challenge, 0);
    challenge.fill(0);
    const buf = new Uint8Array(100);
    assert.equal(path.writeFrames(buf, 0, 8, true, records, 0), 0);
    assert.equal(path.writeFrames(buf, 0, 100, true, records, 0), 9);
    assert.deepEqual([...buf.subarray(0, 9)], [FRAME_PATH_RESPONSE, 1, 2, 3, 4, 5, 6, 7, 8]);
    // rfc9000#8.2.2 MUST NOT send more than one PATH_RESPONSE frame in response to one PATH_CHALLENGE frame
    assert.equal(path.hasFrames, false);
    for (let i = 0; i < 1000; i++) path.onChallenge(challenge, 0);
    const big = new Uint8Array(20000);
    assert.equal(path.writeFrames(big, 0, big.length, true, records, 0), 9 * MAX_QUEUED_PATH_RESPONSES);
  });
});

interface Log {
  activated: [Path, boolean][];
  validated: [Path, boolean][];
  abandoned: Path[];
  answered: Path[];
  dead: boolean;
}

const A = makeAddress("192.0.2.1", 1000);
const A2 = makeAddress("192.0.2.1", 2000);
const B = makeAddress("198.51.100.7", 1000);

function paths(role: Role, given: { confirmed?: boolean; disabled?: boolean; remote?: Address } = {}) {
  const log: Log = { activated: [], validated: [], abandoned: [], answered: [], dead: false };
  const host: PathSetHost = {
    handshakeConfirmed: given.confirmed ?? true,
    pathPto: () => 100,
    pathActivated: (path, _previous, peerChangedCid) => void log.activated.push([path, peerChangedCid]),
    pathValidated: (path, reset) => void log.validated.push([path, reset]),
    pathAbandoned: (path) => void log.abandoned.push(path),
    noViablePath: () => void (log.dead = true),
    pathsChanged: () => {},
    pathProbed: () => {},
    pathUsable: (path) => void log.answered.push(path),
    pathForgotten: () => {},
    pathMeasured: () => {},
  };
  const set = new PathSet({
    remote: given.remote ?? A,
    local: null,
    validated: true,
    migrationDisabled: given.disabled ?? false,
    settings: settings(role, 9),
    host,
  });
  return { set, log };
}

/** Lets a path write its frames; returns its challenge. */
function challengeOf(path: Path, now: number): Uint8Array {
  const buf = new Uint8Array(200);
  const end = path.writeFrames(buf, 0, 200, true, records, now);
  assert.equal(buf[end - 9], FRAME_PATH_CHALLENGE);
  return buf.slice(end - 8, end);
}

describe("the paths of a connection", () => {
  test("known addresses find their path, by identity and by value", () => {
    const { set } = paths("server");
    assert.equal(set.onDatagram(A, null, 100), set.active);
    assert.equal(set.onDatagram(makeAddress(A.ip, A.port), null, 100), set.active);
    assert.equal(set.find(B, null), null);
  });

  // rfc9000#9 if a client receives packets from an unknown server address, the client MUST discard these packets
  test("a client takes nothing from other addresses", () => {
    const { set } = paths("client");
    assert.equal(set.onDatagram(A2, null, 100), null);
    assert.equal(set.onDatagram(B, null, 100), null);
  });

  test("nobody moves before the handshake is confirmed", () => {
    assert.equal(paths("server", { confirmed: false }).set.onDatagram(B, null, 100), null);
  });

  // rfc9000#9 an endpoint that has sent disable_active_migration MUST either drop the packets or validate the path
  test("with migration disabled a NAT may change the port, and nothing else changes", () => {
    const { set } = paths("server", { disabled: true });
    assert.equal(set.onDatagram(B, null, 100), null);
    assert.notEqual(set.onDatagram(A2, null, 100), null);
  });

  test("datagrams that do not authenticate leave no path", () => {
    const { set } = paths("server");
    for (let i = 0; i < 100; i++) set.onDatagram(makeAddress("203.0.113.9", 1 + i), null, 1200);
    assert.equal(set.all.length, 1);
    assert.equal(set.find(makeAddress("203.0.113.9", 1), null), null);
  });

  test("a rebinding to another port validates and keeps the congestion state", () => {
    const { set, log } = paths("server");
    const before = set.active;
    const path = set.onDatagram(A2, null, 100)!;
    set.onPacket(path, true, false, 0);
    assert.equal(set.active, path);
    assert.deepEqual(log.activated, [[path, false]]);
    // rfc9000#9.3.1 an unvalidated path is limited
    assert.equal(path.sendBudget(), 300);
    // rfc9000#9.3.3 MUST validate the previously active path using a PATH_CHALLENGE frame
    const due: Path[] = [];
    for (let next = set.nextWithFrames(); next !== null; next = set.nextWithFrames()) {
      due.push(next);
      const challenge = challengeOf(next, 0);
      if (next === path) assert.ok(set.onResponse(challenge, 0, 0));
    }
    assert.deepEqual(due, [before, path]);
    assert.ok(!set.onResponse(new Uint8Array(8), 0, 0));
    assert.ok(path.validated);
    assert.deepEqual(log.validated, [[path, false]]);
    assert.deepEqual(log.answered, [path]);
  });

  // rfc9000#9.4 MUST immediately reset the congestion controller and round-trip time estimator for the new path
  test("another IP address resets congestion control once it is validated", () => {
    const { set, log } = paths("server");
    const path = set.onDatagram(B, null, 1200)!;
    path.dcidSequence = 1;
    set.onPacket(path, true, false, 0);
    assert.deepEqual(log.activated, [[path, true]]);
    assert.deepEqual(log.validated, []);
    assert.ok(set.onResponse(challengeOf(path, 0), 0, 0));
    assert.deepEqual(log.validated, [[path, true]]);
    assert.equal(path.sendBudget(), Infinity);
  });

  // rfc9000#9.3 only in response to the highest-numbered non-probing packet
  test("probes and old packets do not move the connection", () => {
    const { set, log } = paths("server");
    const before = set.active;
    const path = set.onDatagram(B, null, 1200)!;
    set.onPacket(path, true, true, 0);
    set.onPacket(path, false, false, 0);
    assert.equal(set.active, before);
    assert.deepEqual(log.activated, []);
    // It is validated all the same, so that a migration finds it ready.
    assert.ok(set.onResponse(challengeOf(path, 0), 0, 0));
    assert.deepEqual([log.validated, log.answered], [[], [path]]);
    set.onPacket(path, true, false, 10);
    assert.deepEqual(log.validated, [[path, true]]);
    // It was not answered once more.
    assert.deepEqual(log.answered, [path]);
  });

  // rfc9000#9.3.2 MUST revert to using the last validated peer address
  test("a forged address loses to the validated one", () => {
    const { set, log } = paths("server");
    const before = set.active;
    const path = set.onDatagram(B, null, 1200)!;
    set.onPacket(path, true, false, 0);
    challengeOf(path, 0);
    assert.ok(set.timeout() <= 300);
    for (let now = 0; now <= 300; now += 10) set.onTimeout(now);
    assert.equal(set.active, before);
    assert.ok(log.abandoned.includes(path));
    assert.ok(!set.all.includes(path));
    assert.equal(log.dead, false);
  });

  test("the real peer wins the path back by sending", () => {
    const { set } = paths("server");
    const before = set.active;
    const path = set.onDatagram(B, null, 1200)!;
    set.onPacket(path, true, false, 0);
    set.onPacket(before, true, false, 20);
    assert.equal(set.active, before);
    assert.equal(before.sendBudget(), Infinity);
  });

  test("without a validated address the connection ends silently", () => {
    const { set, log } = paths("server");
    const first = set.onDatagram(B, null, 1200)!;
    set.onPacket(first, true, false, 0);
    assert.ok(set.onResponse(challengeOf(first, 0), 0, 0));
    const second = set.onDatagram(A2, null, 1200)!;
    set.onPacket(second, true, false, 10);
    for (let now = 10; now <= 400; now += 10) set.onTimeout(now);
    assert.equal(set.active, first);
    assert.equal(log.dead, false);
    assert.equal(set.timeout(), Infinity);
  });

  test("a storm of addresses stays within the bound", () => {
    const { set } = paths("server");
    for (let i = 0; i < 50; i++) {
      const path = set.onDatagram(makeAddress("198.51.100.1", 1 + i), null, 1200)!;
      set.onPacket(path, true, false, i);
      assert.ok(set.all.length <= MAX_PATHS);
      assert.ok(set.all.includes(set.active));
    }
  });
});

describe("reset tokens", () => {
  test("are a function of key and connection ID", () => {
    const provider = nodeProvider();
    const key = new Uint8Array(32).fill(1);
    const cid = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
    const token = deriveResetToken(provider, key, cid);
    assert.equal(token.length, 16);
    assert.deepEqual(resetTokenSource(provider, key, seeded(1))(cid), token);
    assert.notDeepEqual(deriveResetToken(provider, new Uint8Array(32).fill(2), cid), token);
    assert.notDeepEqual(deriveResetToken(provider, key, cid.subarray(1)), token);
    const random = resetTokenSource(provider, null, seeded(1));
    assert.notDeepEqual(random(cid), random(cid));
  });
});
