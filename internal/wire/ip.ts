// IP addresses between text and bytes, for the preferred address.

/** The four bytes of a dotted IPv4 address. */
export function ipv4Bytes(text: string): number[] {
  return text.split(".").map(Number);
}

export function formatIpv4(bytes: Uint8Array): string {
  return bytes.join(".");
}

/** The sixteen bytes of an IPv6 address in any of its spellings, rfc4291#2.2; no zone. */
export function ipv6Bytes(text: string): number[] {
  const [head = "", tail] = text.split("::");
  const front = groups(head);
  if (tail === undefined) return front;
  const back = groups(tail);
  return [...front, ...Array<number>(16 - front.length - back.length).fill(0), ...back];
}

function groups(part: string): number[] {
  if (part === "") return [];
  return part.split(":").flatMap((group) => {
    // The last 32 bits may be written as IPv4.
    if (group.includes(".")) return ipv4Bytes(group);
    const value = parseInt(group, 16);
    return [value >> 8, value & 255];
  });
}

/** As operating systems spell it (rfc5952#4): equal addresses compare equal as text. */
export function formatIpv6(bytes: Uint8Array): string {
  // rfc5952#5 IPv4-mapped addresses are shown mixed.
  if (bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff) {
    return `::ffff:${formatIpv4(bytes.subarray(12))}`;
  }
  const words = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
  // rfc5952#4.2 "::" stands for the longest run of zeros, the first among equals, and never for one group.
  let best = 0;
  let longest = 1;
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (i + run < 8 && words[i + run] === 0) run++;
    if (run > longest) [best, longest] = [i, run];
  }
  const hex = (part: number[]) => part.map((word) => word.toString(16)).join(":");
  if (longest === 1) return hex(words);
  return `${hex(words.slice(0, best))}::${hex(words.slice(best + longest))}`;
}
