import assert from "node:assert/strict";
import { isIPv6 } from "node:net";
import { test } from "node:test";
import { fromHex, toHex } from "../../internal/protocol/bytes.ts";
import { formatIpv4, formatIpv6, ipv4Bytes, ipv6Bytes } from "../../internal/wire/ip.ts";

test("IPv4", () => {
  assert.deepEqual(ipv4Bytes("192.0.2.255"), [192, 0, 2, 255]);
  assert.equal(formatIpv4(Uint8Array.of(192, 0, 2, 255)), "192.0.2.255");
});

test("IPv6 in its canonical spelling", () => {
  // rfc5952#4: lower case, no leading zeros, the longest run of zeros shortened, the first among equals
  const cases: [string, string][] = [
    ["00000000000000000000000000000000", "::"],
    ["00000000000000000000000000000001", "::1"],
    ["20010db8000000000000000000000000", "2001:db8::"],
    ["20010db8000000000000000000000001", "2001:db8::1"],
    ["20010db8000000000001000000000001", "2001:db8::1:0:0:1"],
    ["20010db8000000010001000100010001", "2001:db8:0:1:1:1:1:1"],
    ["20010db80aaa000000000000000abcde", "2001:db8:aaa::a:bcde"],
    ["fe800000000000000123456789abcdef", "fe80::123:4567:89ab:cdef"],
    ["00010002000300040005000600070008", "1:2:3:4:5:6:7:8"],
    ["00000002000300040005000600070000", "0:2:3:4:5:6:7:0"],
    ["00000000000000000000ffffc0000207", "::ffff:192.0.2.7"],
  ];
  for (const [hex, text] of cases) {
    assert.equal(formatIpv6(fromHex(hex)), text);
    assert.ok(isIPv6(text));
    assert.equal(toHex(Uint8Array.from(ipv6Bytes(text))), hex, text);
  }
});

test("other spellings of IPv6 are read", () => {
  for (const text of ["2001:DB8:0:0:0:0:0:1", "2001:0db8::0001", "2001:db8::0.0.0.1"]) {
    assert.equal(toHex(Uint8Array.from(ipv6Bytes(text))), "20010db8000000000000000000000001", text);
  }
});
