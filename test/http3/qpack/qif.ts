// The files of the QPACK offline interop: lists of fields, and what encoders made of them.
import { vectorFiles } from "../../vectors.ts";
import type { Field } from "../../../http3/qpack/index.ts";

/** The field lists of a .qif file: lines of name, tab, value; an empty line ends a list. */
export function parseQif(text: string): Field[][] {
  const lists: Field[][] = [];
  let list: Field[] = [];
  for (const line of text.split("\n")) {
    if (line === "") {
      if (list.length > 0) lists.push(list);
      list = [];
    } else if (!line.startsWith("#")) {
      const tab = line.indexOf("\t");
      list.push({ name: line.slice(0, tab), value: line.slice(tab + 1) });
    }
  }
  if (list.length > 0) lists.push(list);
  return lists;
}

/** Every .qif file by name. */
export function qifs(): Map<string, Field[][]> {
  const files = new Map<string, Field[][]>();
  for (const [name, bytes] of vectorFiles("qifs", "qifs")) {
    files.set(name.replace(/\.qif$/, ""), parseQif(Buffer.from(bytes).toString("latin1")));
  }
  return files;
}

export interface QifRecord {
  /** 0 is the encoder stream. */
  readonly stream: number;
  readonly bytes: Uint8Array;
}

/** The records of an encoded file: 8 bytes of stream ID, 4 of length, payload. */
export function* records(file: Uint8Array): Generator<QifRecord> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = 0; at < file.length;) {
    const stream = Number(view.getBigUint64(at));
    const length = view.getUint32(at + 8);
    yield { stream, bytes: file.subarray(at + 12, at + 12 + length) };
    at += 12 + length;
  }
}
