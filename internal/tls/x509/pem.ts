// PEM, rfc7468: base64 between labelled lines. Text around the blocks is ignored, as everybody does.

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const VALUE = new Int8Array(128).fill(-1);
for (let i = 0; i < 64; i++) VALUE[ALPHABET.charCodeAt(i)] = i;

/** One block of a PEM file. */
export interface PemBlock {
  readonly label: string;
  readonly der: Uint8Array;
  /** RFC 1421 headers (`Proc-Type: 4,ENCRYPTED`), which old encrypted keys carry. */
  readonly headers: string;
  /** The block as it stood. */
  readonly text: string;
}

/** All blocks in `text`, in order. Throws RangeError where one is damaged. */
export function parsePem(text: string): PemBlock[] {
  const blocks: PemBlock[] = [];
  const begin = /-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n/g;
  for (let match = begin.exec(text); match !== null; match = begin.exec(text)) {
    const label = match[1]!;
    const ending = `-----END ${label}-----`;
    const end = text.indexOf(ending, begin.lastIndex);
    if (end < 0) throw new RangeError(`PEM: "-----BEGIN ${label}-----" without its end`);
    const body = text.slice(begin.lastIndex, end);
    const blank = /^[\s\S]*?:[\s\S]*?\r?\n[ \t]*\r?\n/.exec(body);
    const headers = blank?.[0] ?? "";
    blocks.push({
      label,
      der: decodeBase64(body.slice(headers.length)),
      headers,
      text: text.slice(match.index, end + ending.length) + "\n",
    });
    begin.lastIndex = end + ending.length;
  }
  return blocks;
}

function decodeBase64(text: string): Uint8Array {
  const out = new Uint8Array(Math.floor((text.length * 3) / 4));
  let length = 0;
  let bits = 0;
  let have = 0;
  let padding = 0;
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 10 || code === 13 || code === 32 || code === 9) continue;
    count++;
    if (code === 61) {
      padding++;
      continue;
    }
    const value = code < 128 ? VALUE[code]! : -1;
    if (value < 0 || padding > 0) throw new RangeError("PEM: not base64");
    bits = ((bits << 6) | value) & 0xffffff;
    have += 6;
    if (have >= 8) {
      have -= 8;
      out[length++] = bits >> have;
    }
  }
  if (count % 4 !== 0 || padding > 2) throw new RangeError("PEM: base64 is cut off");
  return out.slice(0, length);
}

/** Base64 with padding. */
export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const word = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    text += ALPHABET[word >> 18]! + ALPHABET[(word >> 12) & 63]!;
    text += (left > 1 ? ALPHABET[(word >> 6) & 63]! : "=") + (left > 2 ? ALPHABET[word & 63]! : "=");
  }
  return text;
}

/** A PEM block with lines of 64 characters, as `toPem("CERTIFICATE", der)`. */
export function toPem(label: string, der: Uint8Array): string {
  const lines = toBase64(der).match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** Whether bytes are PEM text rather than DER (which begins with 0x30, "0"; a PEM file with "-" or a comment). */
export function looksLikePem(bytes: Uint8Array): boolean {
  // A DER SEQUENCE with a long length: its second byte is no ASCII.
  if (bytes[0] === 0x30 && bytes[1]! >= 0x80) return false;
  const marker = "-----BEGIN ";
  outer: for (let i = 0; i + marker.length <= bytes.length && i < 65_536; i++) {
    for (let j = 0; j < marker.length; j++) if (bytes[i + j] !== marker.charCodeAt(j)) continue outer;
    return true;
  }
  return false;
}

/** The DER of every block under one of `labels`. A string or PEM bytes give their blocks, DER bytes themselves. */
export function pemToDer(source: string | Uint8Array, ...labels: readonly string[]): Uint8Array[] {
  if (typeof source !== "string" && !looksLikePem(source)) return [source];
  const text = typeof source === "string" ? source : new TextDecoder().decode(source);
  return parsePem(text)
    .filter((block) => labels.includes(block.label))
    .map((block) => block.der);
}
