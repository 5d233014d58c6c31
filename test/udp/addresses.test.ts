// Address objects of a native socket: one for each peer, and a flood of strangers does not change that.
import assert from "node:assert/strict";
import { test } from "node:test";
import { makeAddress, type Address } from "../../internal/protocol/address.ts";
import { SOCKADDR_IN6_SIZE } from "../../internal/udp/socket-layout.ts";
import { AddressTable, writeSockaddr } from "../../internal/udp/sockaddr.ts";

function table() {
  const memory = new Uint8Array(SOCKADDR_IN6_SIZE);
  const addresses = new AddressTable(memory);
  return (ip: string, port: number): Address => {
    const { family } = makeAddress(ip, port);
    writeSockaddr(memory, makeAddress(ip, port), family);
    return addresses.get();
  };
}
const stranger = (n: number): string => `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;

test("one object for one ip and port, of either family", () => {
  const get = table();
  for (const [ip, port] of [
    ["192.0.2.1", 443],
    ["192.0.2.1", 444],
    ["192.0.2.2", 443],
    ["2001:db8::1", 443],
  ] as const) {
    const first = get(ip, port);
    assert.deepEqual(first, makeAddress(ip, port));
    assert.equal(get(ip, port), first);
    get("198.51.100.1", 9);
    assert.equal(get(ip, port), first);
  }
});

test("peers keep theirs through a flood of addresses that come once", () => {
  const get = table();
  // Enough for the table to have its full size.
  for (let n = 0; n < 20_000; n++) get(stranger(n), 1);
  const peers = Array.from({ length: 20 }, (_, n) => get("192.0.2.1", 1000 + n));
  const met = peers.filter((peer) => get(peer.ip, peer.port) === peer);
  assert.ok(met.length >= 18, `${met.length}`);
  for (let n = 20_000; n < 120_000; n++) get(stranger(n), 2);
  for (const peer of met) assert.equal(get(peer.ip, peer.port), peer);
});
