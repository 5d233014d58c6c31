import { Http3ConnectionError } from "../errors.ts";
import {
  FIELD_SECTION_SIZE,
  QPACK_BLOCKED_STREAMS,
  QPACK_DECODER_STREAM_BUFFER,
  QPACK_TABLE_CAPACITY,
} from "../limits.ts";
import { DynamicTable, maxEntries } from "./dynamic-table.ts";
import { FIELD_OVERHEAD, type Field } from "./field.ts";
import { PartialInstructions } from "./partial.ts";
import { INVALID, PrefixReader, PrefixWriter } from "./primitives.ts";
import { STATIC_TABLE } from "./static-table.ts";

/** Options of {@link QpackDecoder}; the first two are what this side announced in SETTINGS. */
export interface QpackDecoderOptions {
  /** SETTINGS_QPACK_MAX_TABLE_CAPACITY as announced, in bytes. Default 4,096. */
  readonly maxTableCapacity?: number;
  /** SETTINGS_QPACK_BLOCKED_STREAMS as announced. Default 100. */
  readonly maxBlockedStreams?: number;
  /** Bytes of names and values, and 32 a field, that a field section may have. Default 65,536. */
  readonly maxFieldSectionSize?: number;
}

/** What {@link QpackDecoder.decode} says of a section. */
export type DecodedSection =
  | { readonly kind: "fields"; readonly fields: Field[]; readonly size: number }
  /** Entries are still to come on the encoder stream: decode the same bytes again when the stream is unblocked. */
  | { readonly kind: "blocked"; readonly requiredInsertCount: number }
  /** Larger than `maxFieldSectionSize`; it counts as processed. rfc9114#4.2.2 */
  | { readonly kind: "too-large"; readonly size: number };

const NONE: readonly number[] = [];

/** The fewest chars that `length` bytes of a string literal stand for. */
function leastChars(length: number, huffman: boolean): number {
  return huffman ? Math.floor((length * 8) / 30) : length;
}

/**
 * The decoder of QPACK (rfc9204#2.2), without streams: bytes of the peer's encoder stream and of field sections go in,
 * fields and bytes for our decoder stream come out.
 *
 * A section that needs entries still under way is `blocked`: the caller keeps its bytes (best by not granting the
 * stream more credit) and decodes them again once {@link receiveEncoderStream} names the stream.
 *
 * All errors are {@link Http3ConnectionError}s: QPACK_DECOMPRESSION_FAILED for sections, QPACK_ENCODER_STREAM_ERROR for
 * instructions. After one the decoder is not to be used any more.
 */
export class QpackDecoder {
  readonly #maxTableCapacity: number;
  readonly #maxBlockedStreams: number;
  readonly #maxFieldSectionSize: number;
  readonly #maxEntries: number;
  readonly #table = new DynamicTable();
  readonly #instructions = new PartialInstructions();
  /** Required Insert Count by stream. */
  readonly #blocked = new Map<number, number>();
  readonly #out = new PrefixWriter();
  /** What the peer's encoder knows we have, rfc9204#2.1.4. */
  #knownReceivedCount = 0;

  constructor(options: QpackDecoderOptions = {}) {
    this.#maxTableCapacity = options.maxTableCapacity ?? QPACK_TABLE_CAPACITY;
    this.#maxBlockedStreams = options.maxBlockedStreams ?? QPACK_BLOCKED_STREAMS;
    this.#maxFieldSectionSize = options.maxFieldSectionSize ?? FIELD_SECTION_SIZE;
    this.#maxEntries = maxEntries(this.#maxTableCapacity);
  }

  /** Entries the peer has inserted so far. */
  get insertCount(): number {
    return this.#table.insertCount;
  }

  /** Bytes in the dynamic table now. */
  get tableSize(): number {
    return this.#table.size;
  }

  /** Streams that wait for entries. */
  get blockedStreams(): number {
    return this.#blocked.size;
  }

  /**
   * Decodes a field section: the payload of a HEADERS frame, or that of a PUSH_PROMISE after its push ID.
   *
   * @param streamId - the stream it came on
   * @param bytes - the whole section; read only
   * @throws {Http3ConnectionError} QPACK_DECOMPRESSION_FAILED
   */
  decode(streamId: number, bytes: Uint8Array): DecodedSection {
    const reader = new PrefixReader(bytes);
    const required = this.#requiredInsertCount(sectionInteger(reader, 8));
    const negative = reader.position < reader.end && (reader.bytes[reader.position]! & 0x80) !== 0;
    const delta = sectionInteger(reader, 7);
    // rfc9204#4.5.1.2 The value of Base MUST NOT be negative. An endpoint MUST treat a field block with a Sign bit of 1
    // as invalid if the value of Required Insert Count is less than or equal to the value of Delta Base.
    if (negative && required <= delta) throw failed("the section's Base is negative");
    const base = negative ? required - delta - 1 : required + delta;

    if (required > this.#table.insertCount) {
      // rfc9204#2.1.2 If a decoder encounters more blocked streams than it promised to support, it MUST treat this as a
      // connection error of type QPACK_DECOMPRESSION_FAILED.
      if (!this.#blocked.has(streamId) && this.#blocked.size >= this.#maxBlockedStreams) {
        throw failed(`more than ${this.#maxBlockedStreams} streams wait for the encoder stream`);
      }
      this.#blocked.set(streamId, required);
      return { kind: "blocked", requiredInsertCount: required };
    }
    if (this.#blocked.size > 0) this.#blocked.delete(streamId);

    // rfc9204#2.2 The decoder MUST emit field lines in the order their representations appear in the encoded section.
    const fields: Field[] = [];
    let size = 0;
    while (reader.position < reader.end) {
      const field = this.#line(reader, base, required);
      size += field.name.length + field.value.length + FIELD_OVERHEAD;
      if (size > this.#maxFieldSectionSize) break;
      fields.push(field);
    }
    // rfc9204#2.2.2.1 After the decoder finishes decoding a field section encoded using representations containing
    // dynamic table references, it MUST emit a Section Acknowledgment instruction.
    if (required > 0) {
      this.#instruct(0x80, 7, streamId);
      if (required > this.#knownReceivedCount) this.#knownReceivedCount = required;
    }
    return size > this.#maxFieldSectionSize ? { kind: "too-large", size } : { kind: "fields", fields, size };
  }

  /** rfc9204#4.5.1.1 */
  #requiredInsertCount(encoded: number): number {
    if (encoded === 0) return 0;
    // rfc9204#4.5.1.1 If the decoder encounters a value of EncodedInsertCount that could not have been produced by a
    // conformant encoder, it MUST treat this as a connection error of type QPACK_DECOMPRESSION_FAILED.
    const fullRange = 2 * this.#maxEntries;
    if (encoded > fullRange) throw failed("the Required Insert Count is out of range");
    const maxValue = this.#table.insertCount + this.#maxEntries;
    const maxWrapped = Math.floor(maxValue / fullRange) * fullRange;
    let required = maxWrapped + encoded - 1;
    if (required > maxValue) {
      if (required <= fullRange) throw failed("the Required Insert Count is out of range");
      required -= fullRange;
    }
    if (required === 0) throw failed("a Required Insert Count of 0 is encoded as 0");
    return required;
  }

  /** One field line representation, rfc9204#4.5. */
  #line(reader: PrefixReader, base: number, required: number): Field {
    const first = reader.bytes[reader.position]!;
    if (first >= 0x80) {
      const index = sectionInteger(reader, 6);
      return (first & 0x40) !== 0 ? staticField(index) : this.#field(base - index - 1, required);
    }
    if (first >= 0x40) {
      const index = sectionInteger(reader, 4);
      const named = (first & 0x10) !== 0 ? staticField(index) : this.#field(base - index - 1, required);
      return { name: named.name, value: sectionText(reader, 8), sensitive: (first & 0x20) !== 0 };
    }
    if (first >= 0x20) {
      const name = sectionText(reader, 4);
      return { name, value: sectionText(reader, 8), sensitive: (first & 0x10) !== 0 };
    }
    if (first >= 0x10) return this.#field(base + sectionInteger(reader, 4), required);
    const { name } = this.#field(base + sectionInteger(reader, 3), required);
    return { name, value: sectionText(reader, 8), sensitive: (first & 0x08) !== 0 };
  }

  /** The field of a dynamic entry that a section references. */
  #field(index: number, required: number): Field {
    // rfc9204#2.2.3 If the decoder encounters a reference in a field line representation to a dynamic table entry that
    // has already been evicted or that has an absolute index greater than or equal to the declared Required Insert
    // Count, it MUST treat this as a connection error of type QPACK_DECOMPRESSION_FAILED.
    // rfc9204#2.2.1 If it encounters a Required Insert Count smaller than expected, it MUST treat this as a connection
    // error: it is the same thing. One larger than expected is let pass.
    if (index >= required) throw failed("a reference at or above the Required Insert Count");
    const entry = this.#table.get(index);
    if (entry === undefined) throw failed("a reference to an entry that is not in the table");
    return entry.field;
  }

  /**
   * Takes bytes of the peer's encoder stream (rfc9204#4.3), in any portions.
   *
   * @returns the streams that are no longer blocked: decode their sections again
   * @throws {Http3ConnectionError} QPACK_ENCODER_STREAM_ERROR
   */
  receiveEncoderStream(bytes: Uint8Array): readonly number[] {
    const reader = this.#instructions.join(bytes);
    if (reader === null) return NONE;
    const before = this.#table.insertCount;
    while (reader.position < reader.end) {
      const start = reader.position;
      const needed = this.#instruction(reader);
      if (needed > 0) {
        this.#instructions.hold(reader, start, needed);
        break;
      }
    }
    if (this.#table.insertCount === before || this.#blocked.size === 0) return NONE;
    const unblocked: number[] = [];
    for (const [streamId, required] of this.#blocked) {
      if (required <= this.#table.insertCount) unblocked.push(streamId);
    }
    for (const streamId of unblocked) this.#blocked.delete(streamId);
    return unblocked;
  }

  /** One encoder instruction; returns 0, or how many bytes from its start on have to be there to go on. */
  #instruction(reader: PrefixReader): number {
    const start = reader.position;
    const first = reader.bytes[start]!;
    if (first < 0x40) {
      const value = reader.integer(5);
      if (value < 0) return incomplete(reader, start, value);
      if (first >= 0x20) this.#setCapacity(value);
      else this.#insert(this.#referenced(this.#table.insertCount - 1 - value));
      return 0;
    }

    let name: string | null = null;
    let nameLength = 0;
    let nameAt = 0;
    const huffmanName = (first & 0x20) !== 0;
    const number = reader.integer(first >= 0x80 ? 6 : 5);
    if (number < 0) return incomplete(reader, start, number);
    if (first >= 0x80) {
      if ((first & 0x40) === 0) name = this.#referenced(this.#table.insertCount - 1 - number).name;
      else {
        // rfc9204#3.1 If this index is received on the encoder stream, this MUST be treated as a connection error of
        // type QPACK_ENCODER_STREAM_ERROR.
        const entry = STATIC_TABLE[number];
        if (entry === undefined) throw wrongInstruction(`the static table has no entry ${number}`);
        name = entry.name;
      }
    } else {
      nameLength = number;
      nameAt = reader.position;
      this.#mustFit(leastChars(nameLength, huffmanName));
      // The value's length takes at least one byte.
      if (nameAt + nameLength >= reader.end) return nameAt + nameLength + 1 - start;
      reader.position = nameAt + nameLength;
    }
    if (reader.position >= reader.end) return reader.position + 1 - start;
    const huffmanValue = (reader.bytes[reader.position]! & 0x80) !== 0;
    const valueLength = reader.integer(7);
    if (valueLength < 0) return incomplete(reader, start, valueLength);
    this.#mustFit(
      (name === null ? leastChars(nameLength, huffmanName) : name.length) +
        leastChars(valueLength, huffmanValue),
    );
    const valueAt = reader.position;
    if (valueAt + valueLength > reader.end) return valueAt + valueLength - start;
    if (name === null) {
      reader.position = nameAt;
      name = reader.text(nameLength, huffmanName);
      reader.position = valueAt;
    }
    const value = reader.text(valueLength, huffmanValue);
    if (name === null || value === null) throw wrongInstruction("a string's Huffman code is broken");
    this.#insert({ name, value, sensitive: false });
    return 0;
  }

  /** The field that an encoder instruction references. */
  #referenced(index: number): Field {
    const entry = this.#table.get(index);
    // rfc9204#2.2.3 If the decoder encounters a reference in an encoder instruction to a dynamic table entry that has
    // already been evicted, it MUST treat this as a connection error of type QPACK_ENCODER_STREAM_ERROR.
    if (entry === undefined) throw wrongInstruction("a reference to an entry that is not in the table");
    return entry.field;
  }

  #setCapacity(capacity: number): void {
    // rfc9204#4.3.1 The decoder MUST treat a new dynamic table capacity value that exceeds this limit as a connection
    // error of type QPACK_ENCODER_STREAM_ERROR.
    if (capacity > this.#maxTableCapacity) {
      throw wrongInstruction(`a table capacity of ${capacity} where ${this.#maxTableCapacity} was announced`);
    }
    this.#table.setCapacity(capacity);
  }

  /** Refuses entries that will not fit before their strings have come, so that little is ever held for them. */
  #mustFit(chars: number): void {
    // rfc9204#3.2.2 It is an error if the encoder attempts to add an entry that is larger than the dynamic table
    // capacity; the decoder MUST treat this as a connection error of type QPACK_ENCODER_STREAM_ERROR.
    if (chars + FIELD_OVERHEAD > this.#table.capacity) {
      throw wrongInstruction(`an entry larger than the table's capacity of ${this.#table.capacity}`);
    }
  }

  #insert(field: Field): void {
    // rfc9204#3.2 duplicate entries MUST NOT be treated as an error by the decoder.
    this.#mustFit(field.name.length + field.value.length);
    this.#table.insert(field);
  }

  /**
   * Gives up a stream that was reset or is no longer read, before all its sections were decoded.
   * Not to be called for streams that ended after their last section.
   */
  cancel(streamId: number): void {
    this.#blocked.delete(streamId);
    // rfc9204#2.2.2.2 A decoder with a maximum dynamic table capacity equal to zero MAY omit sending Stream
    // Cancellations.
    if (this.#maxTableCapacity > 0) this.#instruct(0x40, 6, streamId);
  }

  /** Whether `takeDecoderStream` would give anything. */
  get hasToTell(): boolean {
    return this.#out.position > 0 || this.#table.insertCount > this.#knownReceivedCount;
  }

  /**
   * Bytes to send on our decoder stream, or null where there is nothing to say. Taken once per round of received data,
   * it tells of new entries with as few instructions as can be. To be taken only when the stream takes bytes:
   * what is left here is bounded.
   */
  takeDecoderStream(): Uint8Array | null {
    // rfc9204#2.2.2.3 Coalesced: what the sections' acknowledgements already said is not said again.
    const increment = this.#table.insertCount - this.#knownReceivedCount;
    if (increment > 0) {
      this.#instruct(0x00, 6, increment);
      this.#knownReceivedCount = this.#table.insertCount;
    }
    if (this.#out.position === 0) return null;
    const bytes = this.#out.copy();
    this.#out.position = 0;
    return bytes;
  }

  #instruct(first: number, prefix: number, value: number): void {
    if (this.#out.position > QPACK_DECODER_STREAM_BUFFER) {
      throw new Http3ConnectionError(
        "H3_EXCESSIVE_LOAD",
        "sections arrive and the peer takes no acknowledgements for them",
      );
    }
    this.#out.integer(first, prefix, value);
  }
}

function failed(message: string): Http3ConnectionError {
  return new Http3ConnectionError("QPACK_DECOMPRESSION_FAILED", message);
}

function wrongInstruction(message: string): Http3ConnectionError {
  return new Http3ConnectionError("QPACK_ENCODER_STREAM_ERROR", message);
}

/** For an integer that is not whole: how much is needed to look again. */
function incomplete(reader: PrefixReader, start: number, result: number): number {
  if (result === INVALID) throw wrongInstruction("an integer of more than 62 bits");
  return reader.end - start + 1;
}

function staticField(index: number): Field {
  const field = STATIC_TABLE[index];
  // rfc9204#3.1 When the decoder encounters an invalid static table index in a field line representation, it MUST treat
  // this as a connection error of type QPACK_DECOMPRESSION_FAILED.
  if (field === undefined) throw failed(`the static table has no entry ${index}`);
  return field;
}

/**
 * An integer within a section, which is whole.
 *
 * rfc9204#7.4 If an implementation encounters a value larger than it is able to decode, this MUST be treated as a stream
 * error of type QPACK_DECOMPRESSION_FAILED if on a request stream. It is more here, as rfc9114#8 lets it: the section
 * can never be acknowledged, and what it references would stay for as long as the connection.
 */
function sectionInteger(reader: PrefixReader, prefix: number): number {
  const value = reader.integer(prefix);
  if (value < 0)
    throw failed(value === INVALID ? "an integer of more than 62 bits" : "the section is cut short");
  return value;
}

/** A string with an N-bit prefix within a section. */
function sectionText(reader: PrefixReader, prefix: number): string {
  const huffman =
    reader.position < reader.end && (reader.bytes[reader.position]! & (1 << (prefix - 1))) !== 0;
  const length = sectionInteger(reader, prefix - 1);
  if (length > reader.end - reader.position) throw failed("the section is cut short");
  const text = reader.text(length, huffman);
  if (text === null) throw failed("a string's Huffman code is broken");
  return text;
}
