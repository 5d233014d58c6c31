// GeneralName, rfc5280#4.2.1.6, and the subtrees of name constraints, rfc5280#4.2.1.10.

import { DER_SEQUENCE, readDer, readOne, type Tlv } from "../../crypto/der.ts";
import { ascii, DistinguishedName } from "./name.ts";

export type GeneralName =
  | { readonly kind: "dns" | "email" | "uri"; readonly value: string }
  /** 4 or 16 bytes (8 or 32 with the mask, in a constraint). */
  | { readonly kind: "ip"; readonly value: Uint8Array }
  | { readonly kind: "directory"; readonly value: DistinguishedName }
  /** otherName, x400Address, ediPartyName, registeredID: the context tag, and the element as it stands. */
  | { readonly kind: "other"; readonly tag: number; readonly value: Uint8Array };

/** rfc5280#4.2.1.10; null: nothing said. */
export interface NameConstraints {
  readonly permitted: readonly GeneralName[];
  readonly excluded: readonly GeneralName[];
}

/** One name. Throws RangeError where it is malformed. */
function readGeneralName(tlv: Tlv, constraint: boolean): GeneralName {
  switch (tlv.tag) {
    case 0x81:
      return { kind: "email", value: ascii(tlv.value) };
    case 0x82:
      return { kind: "dns", value: ascii(tlv.value) };
    case 0x86:
      return { kind: "uri", value: ascii(tlv.value) };
    case 0x87: {
      const size = constraint ? tlv.value.length / 2 : tlv.value.length;
      if (size !== 4 && size !== 16) throw new RangeError("IP address has a wrong length");
      // rfc5280#4.2.1.10: "in the style of RFC 4632 (CIDR)": ones, then zeros.
      if (constraint && !isPrefix(tlv.value.subarray(size)))
        throw new RangeError("IP address mask is no prefix");
      return { kind: "ip", value: tlv.value };
    }
    case 0xa4:
      // Name is a CHOICE, so its tag stays: explicit.
      return { kind: "directory", value: new DistinguishedName(readOne(tlv.value, DER_SEQUENCE).raw) };
    case 0xa0:
    case 0xa3:
    case 0xa5:
    case 0x88:
      return { kind: "other", tag: tlv.tag & 0x1f, value: tlv.value };
    default:
      throw new RangeError("unknown kind of general name");
  }
}

function isPrefix(mask: Uint8Array): boolean {
  let ended = false;
  for (const byte of mask) {
    for (let bit = 0x80; bit > 0; bit >>= 1) {
      if ((byte & bit) === 0) ended = true;
      else if (ended) return false;
    }
  }
  return true;
}

/** GeneralNames, from the value of subjectAltName. */
export function readGeneralNames(value: Uint8Array): GeneralName[] {
  const names = readDer(readOne(value, DER_SEQUENCE).value).map((tlv) => readGeneralName(tlv, false));
  // rfc5280#4.2.1.6: if the extension is present, the sequence MUST contain at least one entry.
  if (names.length === 0) throw new RangeError("no name in subjectAltName");
  return names;
}

function readSubtrees(list: Tlv): GeneralName[] {
  const subtrees = readDer(list.value);
  if (subtrees.length === 0) throw new RangeError("empty name constraints");
  return subtrees.map((subtree) => {
    if (subtree.tag !== DER_SEQUENCE) throw new RangeError("name constraints");
    const [base, ...range] = readDer(subtree.value);
    // rfc5280#4.2.1.10: minimum MUST be zero, and maximum MUST be absent. DER leaves a zero minimum out; some write it.
    const zero =
      range.length === 1 &&
      range[0]!.tag === 0x80 &&
      range[0]!.value.length === 1 &&
      range[0]!.value[0] === 0;
    if (base === undefined || (range.length > 0 && !zero)) {
      throw new RangeError("name constraints with minimum or maximum");
    }
    return readGeneralName(base, true);
  });
}

/** The value of nameConstraints. Throws RangeError where it is malformed. */
export function readNameConstraints(value: Uint8Array): NameConstraints {
  const fields = readDer(readOne(value, DER_SEQUENCE).value);
  let permitted: GeneralName[] = [];
  let excluded: GeneralName[] = [];
  let last = 0;
  for (const field of fields) {
    if (field.tag <= last || (field.tag !== 0xa0 && field.tag !== 0xa1))
      throw new RangeError("name constraints");
    last = field.tag;
    if (field.tag === 0xa0) permitted = readSubtrees(field);
    else excluded = readSubtrees(field);
  }
  // rfc5280#4.2.1.10 MUST NOT issue certificates where name constraints is an empty sequence.
  if (fields.length === 0) throw new RangeError("empty name constraints");
  return { permitted, excluded };
}
