// Distinguished names, rfc5280#4.1.2.4, and when two of them are the same, rfc5280#7.1.

import { DER_OID, DER_SEQUENCE, readDer, readOne, type Tlv } from "../../crypto/der.ts";
import { bytesEqual, toHex } from "../../protocol/bytes.ts";
import { attributeName, decodeOid } from "./oid.ts";

/** One attribute of a name. */
export interface Attribute {
  /** Dotted. */
  readonly oid: string;
  /** The value as text; null where it is no string. */
  readonly text: string | null;
  /** Equal for equal attributes. */
  readonly canonical: string;
}

const UTF8_STRICT = new TextDecoder("utf-8", { fatal: true });

const UTF8_STRING = 0x0c;
const NUMERIC_STRING = 0x12;
const PRINTABLE_STRING = 0x13;
const TELETEX_STRING = 0x14;
const IA5_STRING = 0x16;
const VISIBLE_STRING = 0x1a;
const UNIVERSAL_STRING = 0x1c;
const BMP_STRING = 0x1e;

/** The text of a DirectoryString or one of the older types; null for what is no string. Throws RangeError if malformed. */
function stringValue(tlv: Tlv): string | null {
  const { tag, value } = tlv;
  switch (tag) {
    case UTF8_STRING:
      try {
        return UTF8_STRICT.decode(value);
      } catch {
        throw new RangeError("name is not UTF-8");
      }
    case NUMERIC_STRING:
    case PRINTABLE_STRING:
    case IA5_STRING:
    case VISIBLE_STRING:
      return ascii(value);
    case TELETEX_STRING:
      // T.61 in name only: in certificates it holds Latin-1.
      return String.fromCharCode(...value);
    case BMP_STRING:
    case UNIVERSAL_STRING: {
      const width = tag === BMP_STRING ? 2 : 4;
      if (value.length % width !== 0) throw new RangeError("name is cut off");
      let text = "";
      for (let i = 0; i < value.length; i += width) {
        let code = 0;
        for (let j = 0; j < width; j++) code = code * 256 + value[i + j]!;
        if (code > 0x10ffff) throw new RangeError("name holds no Unicode");
        text += String.fromCodePoint(code);
      }
      return text;
    }
    default:
      return null;
  }
}

/** Seven-bit text. Throws RangeError where it is not. */
export function ascii(value: Uint8Array): string {
  let text = "";
  for (let i = 0; i < value.length; i++) {
    if (value[i]! > 0x7f) throw new RangeError("string is not ASCII");
    text += String.fromCharCode(value[i]!);
  }
  return text;
}

/** rfc5280#7.1: case and runs of white space do not matter, and Unicode is compared in its compatibility form. */
function fold(text: string): string {
  return text.normalize("NFKC").toLowerCase().trim().replace(/\s+/g, " ");
}

function readAttribute(tlv: Tlv): Attribute {
  if (tlv.tag !== DER_SEQUENCE) throw new RangeError("attribute in name");
  const parts = readDer(tlv.value);
  const [type, value] = parts;
  if (parts.length !== 2 || type!.tag !== DER_OID) throw new RangeError("attribute in name");
  const oid = decodeOid(type!.value);
  const text = stringValue(value!);
  const canonical = text === null ? `${oid}#${toHex(value!.raw)}` : `${oid}=${JSON.stringify(fold(text))}`;
  return { oid, text, canonical };
}

/** A name, and what is asked of it, computed once. */
export class DistinguishedName {
  /** DER. */
  readonly raw: Uint8Array;
  /** The relative distinguished names, the most significant (country) first. */
  readonly rdns: readonly (readonly Attribute[])[];
  /** One string per relative distinguished name, equal for equal ones. */
  readonly canonicalRdns: readonly string[];
  /** Equal for equal names. */
  readonly key: string;

  /** Throws RangeError where `raw` is no name. */
  constructor(raw: Uint8Array) {
    this.raw = raw;
    this.rdns = readDer(readOne(raw, DER_SEQUENCE).value).map((set) => {
      const attributes = set.tag === 0x31 ? readDer(set.value) : [];
      if (attributes.length === 0) throw new RangeError("name");
      return attributes.map(readAttribute);
    });
    this.canonicalRdns = this.rdns.map((rdn) =>
      rdn.length === 1
        ? rdn[0]!.canonical
        : rdn
            .map((attribute) => attribute.canonical)
            .sort()
            .join("+"),
    );
    this.key = this.canonicalRdns.join(",");
  }

  get isEmpty(): boolean {
    return this.rdns.length === 0;
  }

  equals(other: DistinguishedName): boolean {
    return this === other || bytesEqual(this.raw, other.raw) || this.key === other.key;
  }

  /** Whether `other` is this name or lies below it: rfc5280#4.2.1.10, directoryName constraints. */
  contains(other: DistinguishedName): boolean {
    return (
      this.canonicalRdns.length <= other.canonicalRdns.length &&
      this.canonicalRdns.every((rdn, i) => rdn === other.canonicalRdns[i])
    );
  }

  /** The values of one attribute type (dotted). */
  values(oid: string): string[] {
    const out: string[] = [];
    for (const rdn of this.rdns) {
      for (const attribute of rdn)
        if (attribute.oid === oid && attribute.text !== null) out.push(attribute.text);
    }
    return out;
  }

  /** For messages: `C=US, O=Example, CN=Example Root`. */
  toString(): string {
    return this.rdns
      .map((rdn) => rdn.map(({ oid, text }) => `${attributeName(oid)}=${text ?? "#"}`).join("+"))
      .join(", ");
  }
}
