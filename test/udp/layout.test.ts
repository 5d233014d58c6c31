// Memory as the kernel reads and writes it: byte for byte, and against the headers of the C libraries that are at hand.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import type { Koffi } from "../../internal/ffi/koffi.ts";
import * as errors from "../../internal/ffi/libc.ts";
import { makeAddress } from "../../internal/protocol/address.ts";
import { ControlReader, ControlWriter } from "../../internal/udp/control-messages.ts";
import { readSockaddr, writeSockaddr } from "../../internal/udp/sockaddr.ts";
import * as L from "../../internal/udp/socket-layout.ts";

/** What `make` asks the address of, instead of giving it to C. */
function memoryOf<T>(make: (koffi: Koffi) => T): { object: T; memory: Uint8Array } {
  let memory: Uint8Array | null = null;
  const koffi = {
    address: (buffer: Uint8Array) => {
      memory = buffer;
      return 0x1000n;
    },
  } as unknown as Koffi;
  const object = make(koffi);
  return { object, memory: memory! };
}

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ""), "hex"));
const hex = (memory: Uint8Array, length: number): string =>
  Buffer.from(memory.subarray(0, length)).toString("hex");

// Written out from struct cmsghdr, in6_pktinfo and in_pktinfo of x64 and arm64, not from socket-layout.ts.
const SEGMENT_1200 = "1200000000000000 11000000 67000000 b004 000000000000";
const SEGMENT_1252 = "1200000000000000 11000000 67000000 e404 000000000000";
const TOS_2 = "1400000000000000 00000000 01000000 02000000 00000000";
const TCLASS_1 = "1400000000000000 29000000 43000000 01000000 00000000";
const FROM_V4 = "1c00000000000000 00000000 08000000 00000000 c0000207 00000000 00000000";
const FROM_V6 = "2400000000000000 29000000 32000000 20010db8000000000000000000000007 00000000 00000000";
const FROM_MAPPED = "2400000000000000 29000000 32000000 00000000000000000000ffffc0000207 00000000 00000000";

const V4 = makeAddress("192.0.2.7", 443);
const V6 = makeAddress("2001:db8::7", 443);

interface Send {
  readonly name: string;
  readonly socket: 4 | 6;
  readonly args: Parameters<ControlWriter["prepare"]>;
  readonly expected: string;
}

const SENDS: readonly Send[] = [
  { name: "nothing", socket: 4, args: [0, 0, 4, null], expected: "" },
  { name: "a segment size", socket: 4, args: [1200, 0, 4, null], expected: SEGMENT_1200 },
  { name: "IPv4 ECN", socket: 4, args: [0, 2, 4, null], expected: TOS_2 },
  { name: "IPv6 ECN", socket: 6, args: [0, 1, 6, null], expected: TCLASS_1 },
  { name: "IPv4 ECN on an IPv6 socket", socket: 6, args: [0, 2, 4, null], expected: TOS_2 },
  { name: "an IPv4 source", socket: 4, args: [0, 0, 4, V4], expected: FROM_V4 },
  { name: "an IPv6 source", socket: 6, args: [0, 0, 6, V6], expected: FROM_V6 },
  { name: "an IPv4 source on an IPv6 socket", socket: 6, args: [0, 0, 4, V4], expected: FROM_MAPPED },
  { name: "a source of the other family", socket: 6, args: [0, 0, 4, V6], expected: "" },
  { name: "all of IPv4", socket: 4, args: [1252, 2, 4, V4], expected: SEGMENT_1252 + TOS_2 + FROM_V4 },
  { name: "all of IPv6", socket: 6, args: [1200, 1, 6, V6], expected: SEGMENT_1200 + TCLASS_1 + FROM_V6 },
  { name: "all, mapped", socket: 6, args: [1200, 2, 4, V4], expected: SEGMENT_1200 + TOS_2 + FROM_MAPPED },
];

describe("control messages of a send", () => {
  for (const { name, socket, args, expected } of SENDS) {
    test(`${name}, IPv${socket} socket`, () => {
      const { object, memory } = memoryOf((koffi) => new ControlWriter(koffi, socket));
      object.prepare(...args);
      assert.equal(object.length, bytes(expected).length);
      assert.equal(hex(memory, object.length), hex(bytes(expected), object.length));
    });
  }

  test("nothing of the last send is left in the next one", () => {
    // Data alone: what lies between the end of one message and the start of the next is nobody's.
    const parts = (memory: Uint8Array, length: number): string[] => {
      const view = new DataView(memory.buffer, memory.byteOffset);
      const out: string[] = [];
      for (let at = 0; at < length; at += (view.getUint32(at, true) + 7) & ~7) {
        out.push(hex(memory.subarray(at), view.getUint32(at, true)));
      }
      return out;
    };
    for (const socket of [4, 6] as const) {
      const { object, memory } = memoryOf((koffi) => new ControlWriter(koffi, socket));
      const sends = SENDS.filter((send) => send.socket === socket);
      for (const { name, args, expected } of [...sends, ...sends.toReversed(), ...sends]) {
        object.prepare(...args);
        assert.equal(object.length, bytes(expected).length, name);
        assert.deepEqual(parts(memory, object.length), parts(bytes(expected), object.length), name);
      }
    }
  });
});

// The kernel's: UDP_GRO and IPV6_TCLASS are ints, IP_TOS is one byte, in_pktinfo has the destination last.
const GRO_1200 = "1400000000000000 11000000 68000000 b0040000 00000000";
const GOT_TOS = "1100000000000000 00000000 01000000 b9 00000000000000";
const GOT_TCLASS = "1400000000000000 29000000 43000000 bb000000 00000000";
const TO_V4 = "1c00000000000000 00000000 08000000 02000000 0a000001 c0000207 00000000";
const TO_V6 = "2400000000000000 29000000 32000000 20010db8000000000000000000000007 02000000 00000000";
const TO_MAPPED = "2400000000000000 29000000 32000000 00000000000000000000ffffc0000207 02000000 00000000";
/** SO_TIMESTAMP, which nobody asked for. */
const UNKNOWN = "2000000000000000 01000000 1d000000 0102030405060708 090a0b0c0d0e0f10";

const RECEIVES = [
  { name: "nothing", control: "", segment: 0, ecn: 0, local: undefined },
  { name: "a segment size", control: GRO_1200, segment: 1200, ecn: 0, local: undefined },
  { name: "IPv4 TOS", control: GOT_TOS, segment: 0, ecn: 1, local: undefined },
  { name: "IPv6 traffic class", control: GOT_TCLASS, segment: 0, ecn: 3, local: undefined },
  { name: "an IPv4 destination", control: TO_V4, segment: 0, ecn: 0, local: "192.0.2.7" },
  { name: "an IPv6 destination", control: TO_V6, segment: 0, ecn: 0, local: "2001:db8::7" },
  { name: "a mapped one", control: TO_MAPPED, segment: 0, ecn: 0, local: "192.0.2.7" },
  { name: "all of IPv4", control: GRO_1200 + TO_V4 + GOT_TOS, segment: 1200, ecn: 1, local: "192.0.2.7" },
  {
    name: "all of IPv6",
    control: TO_V6 + GOT_TCLASS + GRO_1200,
    segment: 1200,
    ecn: 3,
    local: "2001:db8::7",
  },
  { name: "all, mapped", control: TO_MAPPED + GOT_TOS + GRO_1200, segment: 1200, ecn: 1, local: "192.0.2.7" },
  { name: "others between", control: UNKNOWN + GOT_TOS + UNKNOWN, segment: 0, ecn: 1, local: undefined },
  { name: "a length of zero", control: "00".repeat(16) + GOT_TOS, segment: 0, ecn: 0, local: undefined },
] as const;

test("control messages of a receive, one after the other in the same memory", () => {
  const { object, memory } = memoryOf((koffi) => new ControlReader(koffi, 4433));
  for (const { name, control, segment, ecn, local } of [...RECEIVES, ...RECEIVES.toReversed()]) {
    memory.fill(0xff);
    memory.set(bytes(control));
    object.read(bytes(control).length);
    assert.deepEqual(
      [object.segmentSize, object.ecn, object.local?.ip, object.local?.port],
      [segment, ecn, local, local === undefined ? undefined : 4433],
      name,
    );
  }
});

test("socket addresses", () => {
  const out = new Uint8Array(L.SOCKADDR_IN6_SIZE);
  const check = (ip: string, port: number, family: 4 | 6, expected: string): void => {
    out.fill(0xff);
    const length = writeSockaddr(out, makeAddress(ip, port), family);
    assert.equal(hex(out, length), hex(bytes(expected), 28), ip);
    assert.equal(readSockaddr(out).key, makeAddress(ip, port).key);
  };
  check("192.0.2.7", 443, 4, "0200 01bb c0000207 0000000000000000");
  check("255.254.253.252", 65535, 4, "0200 ffff fffefdfc 0000000000000000");
  check("2001:db8::7", 443, 6, "0a00 01bb 00000000 20010db8000000000000000000000007 00000000");
  check("::", 0x1234, 6, "0a00 1234 00000000 00000000000000000000000000000000 00000000");
  check("192.0.2.7", 443, 6, "0a00 01bb 00000000 00000000000000000000ffffc0000207 00000000");
  assert.throws(() => writeSockaddr(out, V6, 4), RangeError);
});

function numbersOf(module: Readonly<Record<string, unknown>>): [string, number][] {
  return Object.entries(module).flatMap(([name, value]) =>
    typeof value === "number" ? [[name, value]] : [],
  );
}

/** What C calls what socket-layout.ts and libc.ts say: each a constant expression. */
const IN_C: ReadonlyMap<string, number> = new Map([
  ...numbersOf(L).filter(([name]) => !/^(MAX|SOCKADDR)_/.test(name)),
  ...numbersOf(errors),
  ["sizeof(struct msghdr)", L.MSGHDR.size],
  ["offsetof(struct msghdr, msg_name)", L.MSGHDR.name],
  ["offsetof(struct msghdr, msg_namelen)", L.MSGHDR.nameLength],
  ["offsetof(struct msghdr, msg_iov)", L.MSGHDR.iov],
  ["offsetof(struct msghdr, msg_iovlen)", L.MSGHDR.iovLength],
  ["offsetof(struct msghdr, msg_control)", L.MSGHDR.control],
  ["offsetof(struct msghdr, msg_controllen)", L.MSGHDR.controlLength],
  ["offsetof(struct msghdr, msg_flags)", L.MSGHDR.flags],
  ["sizeof(struct iovec)", L.IOVEC.size],
  ["offsetof(struct iovec, iov_base)", L.IOVEC.base],
  ["offsetof(struct iovec, iov_len)", L.IOVEC.length],
  ["sizeof(struct cmsghdr)", L.CMSGHDR.size],
  ["CMSG_LEN(0)", L.CMSGHDR.size],
  ["offsetof(struct cmsghdr, cmsg_len)", L.CMSGHDR.length],
  ["offsetof(struct cmsghdr, cmsg_level)", L.CMSGHDR.level],
  ["offsetof(struct cmsghdr, cmsg_type)", L.CMSGHDR.type],
  // As control-messages.ts steps: to the next multiple of 8.
  ["CMSG_LEN(2)", 18],
  ["CMSG_SPACE(2)", 24],
  ["CMSG_SPACE(4)", 24],
  ["CMSG_SPACE(sizeof(struct in_pktinfo))", 32],
  ["CMSG_SPACE(sizeof(struct in6_pktinfo))", 40],
  ["sizeof(struct in_pktinfo)", 12],
  ["offsetof(struct in_pktinfo, ipi_spec_dst)", 4],
  ["offsetof(struct in_pktinfo, ipi_addr)", 8],
  ["sizeof(struct in6_pktinfo)", 20],
  ["offsetof(struct in6_pktinfo, ipi6_addr)", 0],
  ["offsetof(struct in6_pktinfo, ipi6_ifindex)", 16],
  ["sizeof(struct sockaddr_in)", L.SOCKADDR_IN_SIZE],
  ["offsetof(struct sockaddr_in, sin_family)", 0],
  ["offsetof(struct sockaddr_in, sin_port)", 2],
  ["offsetof(struct sockaddr_in, sin_addr)", 4],
  ["sizeof(struct sockaddr_in6)", L.SOCKADDR_IN6_SIZE],
  ["offsetof(struct sockaddr_in6, sin6_port)", 2],
  ["offsetof(struct sockaddr_in6, sin6_addr)", 8],
  ["offsetof(struct sockaddr_in6, sin6_scope_id)", 24],
  ["sizeof(sa_family_t)", 2],
]);

/** Compiles assertions of it, and runs nothing: what a cross compiler makes could not run here. */
function compile(
  compiler: string,
  values: ReadonlyMap<string, number>,
): { status: number | null; stderr: string } {
  const source = [
    "#define _GNU_SOURCE",
    ...["errno", "fcntl", "stddef", "sys/socket", "sys/uio", "netinet/in", "netinet/udp"].map(
      (name) => `#include <${name}.h>`,
    ),
    // What <linux/udp.h> has, and netinet/udp.h of an old C library does not.
    "#ifndef UDP_SEGMENT\n#include <linux/udp.h>\n#endif",
    ...[...values].map(
      ([name, value]) => `_Static_assert((${name}) == ${value}, "is not ${value}: ${name}");`,
    ),
  ].join("\n");
  return spawnSync(compiler, ["-std=gnu11", "-fsyntax-only", "-x", "c", "-"], {
    input: source,
    encoding: "utf8",
  });
}

describe("layouts and constants are those of the C library", () => {
  for (const compiler of ["cc", "musl-gcc", "aarch64-linux-gnu-gcc", "aarch64-linux-musl-gcc"]) {
    const foreign = process.platform !== "linux" || !["x64", "arm64"].includes(process.arch);
    const missing = spawnSync(compiler, ["--version"]).error !== undefined;
    const skip = foreign ? "not 64-bit Linux" : missing ? `${compiler} is not installed` : false;
    test(compiler, { skip }, () => {
      assert.ok(IN_C.size > 80, `${IN_C.size} values`);
      const { status, stderr } = compile(compiler, IN_C);
      assert.equal(status, 0, stderr);
      // It does look: each value that is another is named.
      const wrong = compile(compiler, new Map([...IN_C].map(([name, value]) => [name, value + 1])));
      assert.notEqual(wrong.status, 0);
      for (const name of IN_C.keys()) assert.ok(wrong.stderr.includes(`: ${name}"`), name);
    });
  }
});
