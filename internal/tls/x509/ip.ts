// IP addresses as certificates hold them (rfc5280#4.2.1.6): 4 or 16 bytes, and as people write them.

/** The bytes of an address, dotted or with colons (also in brackets), or null where `text` is none. */
export function parseIp(text: string): Uint8Array | null {
  if (text.startsWith("[") && text.endsWith("]")) {
    const inner = text.slice(1, -1);
    return inner.includes(":") ? parseIpv6(inner) : null;
  }
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): Uint8Array | null {
  const parts = text.split(".");
  if (parts.length !== 4) return null;
  const out = new Uint8Array(4);
  for (let i = 0; i < 4; i++) {
    // Leading zeros are octal to some: refused.
    if (!/^(0|[1-9]\d{0,2})$/.test(parts[i]!)) return null;
    const value = Number(parts[i]);
    if (value > 255) return null;
    out[i] = value;
  }
  return out;
}

function parseIpv6(text: string): Uint8Array | null {
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const head = groups(halves[0]!, halves.length === 1);
  const tail = halves.length === 2 ? groups(halves[1]!, true) : [];
  if (head === null || tail === null) return null;
  const missing = 16 - head.length - tail.length;
  // "::" stands for at least one group.
  if (halves.length === 2 ? missing < 2 : missing !== 0) return null;
  const out = new Uint8Array(16);
  out.set(head);
  out.set(tail, 16 - tail.length);
  return out;
}

function groups(text: string, last: boolean): number[] | null {
  if (text === "") return [];
  const bytes: number[] = [];
  const parts = text.split(":");
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]!;
    if (last && i === parts.length - 1 && part.includes(".")) {
      const v4 = parseIpv4(part);
      if (v4 === null) return null;
      bytes.push(...v4);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return null;
      const value = parseInt(part, 16);
      bytes.push(value >> 8, value & 255);
    }
  }
  return bytes;
}

/** As OpenSSL and node:tls print it: dotted, or eight groups in upper-case hexadecimal without "::". */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) return "<invalid>";
  const out: string[] = [];
  for (let i = 0; i < 16; i += 2) out.push(((bytes[i]! << 8) | bytes[i + 1]!).toString(16).toUpperCase());
  return out.join(":");
}

/** The mask of a prefix length over `size` bytes. */
export function prefixMask(size: number, prefix: number): Uint8Array {
  const out = new Uint8Array(size);
  for (let i = 0; i < prefix; i++) out[i >> 3]! |= 0x80 >> (i & 7);
  return out;
}
