import { Http3ConnectionError } from "../errors.ts";
import {
  QPACK_ENCODER_STREAM_BUFFER,
  QPACK_ENCODER_TABLE_CAPACITY,
  QPACK_UNACKNOWLEDGED_SECTIONS,
} from "../limits.ts";
import { DynamicTable, maxEntries, type TableEntry } from "./dynamic-table.ts";
import { fieldSize, type Field } from "./field.ts";
import { OutstandingSections } from "./outstanding.ts";
import { PartialInstructions } from "./partial.ts";
import { DefaultPolicy, type QpackPolicy } from "./policy.ts";
import { codedLength, INVALID, PrefixWriter } from "./primitives.ts";
import { STATIC_NAMES } from "./static-table.ts";

/** Options of {@link QpackEncoder}. */
export interface QpackEncoderOptions {
  /** Bytes of dynamic table to use, where the peer offers as much. Default 16,384. */
  readonly maxTableCapacity?: number;
  /** Streams to risk being blocked, where the peer allows as many. Default: what the peer allows. */
  readonly maxBlockedStreams?: number;
  /** What goes into the table. Default {@link DefaultPolicy}. */
  readonly policy?: QpackPolicy;
  /** Whether strings are Huffman coded where that makes them shorter. Default true. */
  readonly huffman?: boolean;
}

/** What the peer's SETTINGS say to our encoder; the defaults are those of the RFC. rfc9204#5 */
export interface QpackPeerSettings {
  /** SETTINGS_QPACK_MAX_TABLE_CAPACITY. Default 0. */
  readonly maxTableCapacity?: number;
  /** SETTINGS_QPACK_BLOCKED_STREAMS. Default 0. */
  readonly blockedStreams?: number;
}

/** Entries of a name. */
interface DynamicName {
  latest: TableEntry;
  readonly values: Map<string, TableEntry>;
}

const NO_SECTION = new PrefixWriter();

/** Where the next section is written: one for all encoders, which an encoder takes while it is at work. */
let spare: PrefixWriter | null = null;

/** Bytes of a section that are kept room for when it is done. */
const SPARE_ROOM = 16_384;

/** Where the lines of a section begin in the buffer: before them there is room for the longest prefix. */
const PREFIX_ROOM = 24;

/**
 * The part of the table next to eviction that is referenced no more, so that it can be evicted: a quarter.
 * rfc9204#2.1.1.1
 */
const DRAINING = 1 / 4;

/**
 * The encoder of QPACK (rfc9204#2.1), without streams: fields and bytes of the peer's decoder stream go in, field
 * sections and bytes for our encoder stream come out.
 *
 * Until {@link setPeerSettings} it uses the static table alone.
 */
export class QpackEncoder {
  readonly #ownCapacity: number;
  readonly #ownBlockedStreams: number;
  readonly #policy: QpackPolicy;
  readonly #huffman: boolean;
  readonly #table: DynamicTable;
  readonly #names = new Map<string, DynamicName>();
  readonly #outstanding = new OutstandingSections();
  readonly #instructions = new PartialInstructions();
  /** Instructions to be sent. */
  readonly #stream = new PrefixWriter();
  /** The section at work, or the last one's. */
  #section = NO_SECTION;
  /** The peer's maximum; what counts for the Required Insert Count. */
  #peerCapacity = 0;
  #maxEntries = 0;
  #maxBlocked = 0;
  #remembered = false;
  /** Entries below this index are not referenced any more. */
  #draining = 0;

  // Of the section at work:
  #base = 0;
  #required = 0;
  /** The oldest entry it references. */
  #oldest: TableEntry | null = null;
  /** Whether it may reference what the peer may not have yet. */
  #mayBlock = false;
  /** Whether it may reference the dynamic table at all. */
  #mayReference = false;

  /** Bytes the encoder stream can take now; instructions that do not fit are not made. rfc9204#2.1.3 */
  streamCredit = Infinity;

  constructor(options: QpackEncoderOptions = {}) {
    this.#ownCapacity = options.maxTableCapacity ?? QPACK_ENCODER_TABLE_CAPACITY;
    this.#ownBlockedStreams = options.maxBlockedStreams ?? Infinity;
    this.#policy = options.policy ?? new DefaultPolicy();
    this.#huffman = options.huffman ?? true;
    this.#table = new DynamicTable((entry) => this.#forget(entry));
  }

  /** Entries inserted so far. */
  get insertCount(): number {
    return this.#table.insertCount;
  }

  /** Insertions the peer is known to have. rfc9204#2.1.4 */
  get knownReceivedCount(): number {
    return this.#outstanding.knownReceivedCount;
  }

  /** Bytes in the dynamic table. */
  get tableSize(): number {
    return this.#table.size;
  }

  /** Sections not acknowledged; streams that could be blocked. */
  get outstanding(): { readonly sections: number; readonly blockable: number } {
    return { sections: this.#outstanding.count, blockable: this.#outstanding.risking };
  }

  /**
   * Takes what the peer's SETTINGS say, once; before that, a client with 0-RTT takes the remembered values.
   *
   * @param remembered - whether these are the values of an earlier connection
   * @throws {Http3ConnectionError} QPACK_DECODER_STREAM_ERROR where a remembered capacity is not confirmed
   */
  setPeerSettings(settings: QpackPeerSettings, remembered = false): void {
    const capacity = settings.maxTableCapacity ?? 0;
    // rfc9204#3.2.3 If the remembered value is non-zero, the server MUST send the same non-zero value in its SETTINGS
    // frame. If it specifies any other value, or omits SETTINGS_QPACK_MAX_TABLE_CAPACITY from SETTINGS, the encoder
    // must treat this as a connection error of type QPACK_DECODER_STREAM_ERROR.
    if (this.#remembered && this.#peerCapacity > 0 && capacity !== this.#peerCapacity) {
      throw wrong(`the table capacity was ${this.#peerCapacity} and is ${capacity} after 0-RTT`);
    }
    this.#remembered = remembered;
    this.#maxBlocked = Math.min(this.#ownBlockedStreams, settings.blockedStreams ?? 0);
    if (capacity === this.#peerCapacity) return;
    this.#peerCapacity = capacity;
    this.#maxEntries = maxEntries(capacity);
    this.setCapacity(this.#ownCapacity);
  }

  /**
   * Changes the table's capacity, at most to what the peer allows.
   *
   * @returns false where that would evict entries that are not evictable yet: try again later
   */
  setCapacity(capacity: number): boolean {
    // rfc9204#3.2.3 The encoder MUST NOT set a dynamic table capacity that exceeds this maximum.
    // rfc9204#4.3.1 The new capacity MUST be lower than or equal to the limit.
    const wanted = Math.min(capacity, this.#peerCapacity);
    if (wanted === this.#table.capacity) return true;
    // rfc9204#4.3.1 This MUST NOT cause the eviction of entries that are not evictable.
    if (!this.#canEvict(this.#table.size - wanted)) return false;
    this.#stream.integer(0x20, 5, wanted);
    this.#table.setCapacity(wanted);
    return true;
  }

  /**
   * Inserts a field that will be needed, before a section needs it; one that is in the table already is duplicated.
   *
   * @returns false where the policy or the table's state does not allow it now
   */
  insert(field: Field): boolean {
    this.#oldest = null;
    const known = this.#names.get(field.name)?.values.get(field.value);
    if (known !== undefined) return this.#duplicate(known) !== null;
    return this.#mayInsert(field) === "insert" && this.#insert(field) !== null;
  }

  /**
   * Encodes a field section, and puts what it needs on the encoder stream.
   *
   * @param streamId - the stream it will be sent on; sections of a stream are sent in the order they are encoded
   * @param fields - in order; strings of bytes
   * @throws {InvalidFieldError} where a field is no string of bytes
   */
  encode(streamId: number, fields: readonly Field[]): Uint8Array {
    const section = (this.#section = spare ?? new PrefixWriter());
    spare = null;
    section.room(PREFIX_ROOM);
    section.position = PREFIX_ROOM;
    this.#base = this.#table.insertCount;
    this.#required = 0;
    this.#oldest = null;
    this.#mayReference = this.#outstanding.count < QPACK_UNACKNOWLEDGED_SECTIONS;
    // rfc9204#2.1.2 An encoder MUST limit the number of streams that could become blocked to the value of
    // SETTINGS_QPACK_BLOCKED_STREAMS at all times.
    this.#mayBlock =
      this.#mayReference &&
      (this.#outstanding.risking < this.#maxBlocked || this.#outstanding.risks(streamId));

    // rfc9204#2.1 An encoder MUST emit field representations in the order they appear in the input field section.
    for (let i = 0; i < fields.length; i++) this.#line(fields[i]!);

    if (this.#oldest !== null) this.#outstanding.add(streamId, this.#required, this.#oldest);
    this.#oldest = null;
    const end = section.position;
    section.position = 0;
    this.#prefix(section);
    // The prefix goes right before the lines.
    const start = PREFIX_ROOM - section.position;
    section.bytes.copyWithin(start, 0, section.position);
    section.position = end;
    const bytes = section.copy(start);
    this.#section = NO_SECTION;
    section.position = 0;
    if (section.bytes.length <= SPARE_ROOM) spare = section;
    return bytes;
  }

  /** rfc9204#4.5.1 */
  #prefix(section: PrefixWriter): void {
    const required = this.#required;
    section.integer(0, 8, required === 0 ? 0 : (required % (2 * this.#maxEntries)) + 1);
    if (required === 0) section.integer(0, 7, 0);
    else if (this.#base >= required) section.integer(0, 7, this.#base - required);
    // rfc9204#4.5.1.2 The value of Base MUST NOT be negative: it is the insert count when the section began.
    else section.integer(0x80, 7, required - this.#base - 1);
  }

  #line(field: Field): void {
    const { name, value } = field;
    // rfc9204#4.5.4 When the 'N' bit is set, the encoded field line MUST always be encoded with a literal
    // representation. In particular, when a peer sends a field line that it received represented as a literal field line
    // with the 'N' bit set, it MUST use a literal representation to forward this field line.
    // rfc9204#7.1.3 An intermediary MUST NOT re-encode a value that uses a literal representation with the 'N' bit set
    // with another representation that would index it. If QPACK is used for re-encoding, a literal representation with
    // the 'N' bit set MUST be used.
    if (field.sensitive === true) {
      this.#literal(field, true);
      return;
    }
    const fixed = STATIC_NAMES.get(name)?.values.get(value);
    if (fixed !== undefined) {
      this.#section.integer(0xc0, 6, fixed);
      return;
    }
    if (this.#table.capacity === 0) {
      this.#literal(field, this.#policy.indexing(field, false, 1) === "never");
      return;
    }
    const known = this.#names.get(name)?.values.get(value);
    if (known !== undefined) {
      const entry = this.#choose(known);
      if (entry !== null) this.#indexed(entry);
      else this.#literal(field, false);
      return;
    }
    const indexing = this.#mayInsert(field);
    if (indexing === "insert") {
      const entry = this.#insert(field);
      if (entry !== null && this.#mayBlock) {
        this.#indexed(entry);
        return;
      }
    }
    this.#literal(field, indexing === "never");
  }

  #mayInsert(field: Field): "never" | "literal" | "insert" {
    const { capacity } = this.#table;
    const size = fieldSize(field);
    return this.#policy.indexing(field, this.#table.size + size <= capacity, size / capacity);
  }

  /** The entry to reference for a field that is in the table, or null for none. */
  #choose(latest: TableEntry): TableEntry | null {
    if (!this.#mayReference) return null;
    let entry: TableEntry | null = latest;
    if (entry.index < this.#draining) {
      // rfc9204#2.1.1.1 Rather than reference an entry close to eviction, duplicate it and reference the duplicate.
      const copy = this.#duplicate(entry);
      if (copy === null) return null;
      entry = copy;
    }
    // Where nothing may block, an older copy that the peer has will do.
    while (entry !== null && !this.#referenceable(entry)) entry = entry.older;
    return entry;
  }

  #referenceable(entry: TableEntry): boolean {
    return this.#mayBlock || entry.index < this.#outstanding.knownReceivedCount;
  }

  /** Notes a reference by the section at work. */
  #reference(entry: TableEntry): void {
    if (entry.index >= this.#required) this.#required = entry.index + 1;
    if (this.#oldest === null || entry.index < this.#oldest.index) this.#oldest = entry;
  }

  /** rfc9204#4.5.2, rfc9204#4.5.3 */
  #indexed(entry: TableEntry): void {
    this.#reference(entry);
    if (entry.index < this.#base) this.#section.integer(0x80, 6, this.#base - entry.index - 1);
    else this.#section.integer(0x10, 4, entry.index - this.#base);
  }

  /** rfc9204#4.5.4, rfc9204#4.5.5, rfc9204#4.5.6 */
  #literal(field: Field, never: boolean): void {
    const { name, value } = field;
    const section = this.#section;
    const codedValue = codedLength(value, this.#huffman);
    const fixed = STATIC_NAMES.get(name);
    if (fixed !== undefined) section.integer(never ? 0x70 : 0x50, 4, fixed.index);
    else {
      const entry = this.#mayReference ? this.#names.get(name)?.latest : undefined;
      if (entry !== undefined && entry.index >= this.#draining && this.#referenceable(entry)) {
        this.#reference(entry);
        if (entry.index < this.#base) section.integer(never ? 0x60 : 0x40, 4, this.#base - entry.index - 1);
        else section.integer(never ? 0x08 : 0x00, 3, entry.index - this.#base);
      } else section.text(never ? 0x30 : 0x20, 4, name, codedLength(name, this.#huffman));
    }
    section.text(0, 8, value, codedValue);
  }

  /** Inserts a field; null where it cannot be now. rfc9204#4.3.2, rfc9204#4.3.3 */
  #insert(field: Field): TableEntry | null {
    const { name, value } = field;
    const codedName = codedLength(name, this.#huffman);
    const codedValue = codedLength(value, this.#huffman);
    if (!this.#canInsert(fieldSize(field), name.length + value.length + 24)) return null;
    const fixed = STATIC_NAMES.get(name);
    const named = this.#names.get(name);
    if (fixed !== undefined) this.#stream.integer(0xc0, 6, fixed.index);
    else if (named !== undefined) {
      this.#stream.integer(0x80, 6, this.#table.insertCount - 1 - named.latest.index);
    } else this.#stream.text(0x40, 6, name, codedName);
    this.#stream.text(0, 8, value, codedValue);
    // A field of the application's may be changed by it; the table's is ours.
    return this.#enter({ name, value, sensitive: false });
  }

  /** Inserts an entry again; null where it cannot be now. rfc9204#4.3.4 */
  #duplicate(entry: TableEntry): TableEntry | null {
    if (!this.#canInsert(entry.size, 12)) return null;
    this.#stream.integer(0x00, 5, this.#table.insertCount - 1 - entry.index);
    return this.#enter(entry.field);
  }

  #enter(field: Field): TableEntry {
    const entry = this.#table.insert(field);
    const named = this.#names.get(field.name);
    if (named === undefined) {
      this.#names.set(field.name, { latest: entry, values: new Map([[field.value, entry]]) });
    } else {
      entry.older = named.values.get(field.value) ?? null;
      named.latest = entry;
      named.values.set(field.value, entry);
    }
    this.#drain();
    return entry;
  }

  /** An entry left the table. */
  #forget(entry: TableEntry): void {
    const named = this.#names.get(entry.field.name)!;
    if (named.latest === entry) this.#names.delete(entry.field.name);
    else {
      let copy = named.values.get(entry.field.value)!;
      if (copy === entry) named.values.delete(entry.field.value);
      else {
        while (copy.older !== entry) copy = copy.older!;
        copy.older = null;
      }
    }
  }

  /** Moves the draining index so that a quarter of the capacity is free or draining. rfc9204#2.1.1.1 */
  #drain(): void {
    const table = this.#table;
    let room = table.capacity - table.size;
    let index = table.dropped;
    while (room < table.capacity * DRAINING && index < table.insertCount - 1)
      room += table.get(index++)!.size;
    if (index > this.#draining) this.#draining = index;
  }

  /**
   * Whether an entry of `size` bytes can be inserted, by an instruction of up to `length` bytes.
   *
   * rfc9204#2.1.1 If the dynamic table does not contain enough room for a new entry without evicting other entries, and
   * the entries that would be evicted are not evictable, the encoder MUST NOT insert that entry into the dynamic table.
   */
  #canInsert(size: number, length: number): boolean {
    const table = this.#table;
    // rfc9204#3.2.3 When the maximum table capacity is zero, the encoder MUST NOT insert entries into the dynamic table
    // and MUST NOT send any encoder instructions on the encoder stream.
    if (size > table.capacity) return false;
    // rfc9204#2.1.3 an encoder SHOULD NOT write an instruction unless sufficient credit is available for all of it.
    const pending = this.#stream.position + length;
    if (pending > QPACK_ENCODER_STREAM_BUFFER || pending > this.streamCredit) return false;
    return this.#canEvict(table.size + size - table.capacity);
  }

  /** Whether the oldest entries that make up `bytes` are evictable. rfc9204#2.1.1 */
  #canEvict(bytes: number): boolean {
    const table = this.#table;
    // rfc9204#3.2.2 The encoder MUST NOT cause a dynamic table entry to be evicted unless that entry is evictable.
    for (let index = table.dropped; bytes > 0; index++) {
      const entry = table.get(index);
      if (entry === undefined || entry.pins > 0 || index >= this.#outstanding.knownReceivedCount)
        return false;
      if (this.#oldest !== null && index >= this.#oldest.index) return false;
      bytes -= entry.size;
    }
    return true;
  }

  /** Bytes to send on our encoder stream, before the sections that were encoded with them; or null. */
  takeEncoderStream(): Uint8Array | null {
    if (this.#stream.position === 0) return null;
    const bytes = this.#stream.copy();
    this.#stream.position = 0;
    return bytes;
  }

  /**
   * Takes bytes of the peer's decoder stream (rfc9204#4.4), in any portions.
   *
   * @throws {Http3ConnectionError} QPACK_DECODER_STREAM_ERROR
   */
  receiveDecoderStream(bytes: Uint8Array): void {
    const reader = this.#instructions.join(bytes);
    if (reader === null) return;
    while (reader.position < reader.end) {
      const start = reader.position;
      const first = reader.bytes[start]!;
      const value = reader.integer(first >= 0x80 ? 7 : 6);
      if (value === INVALID) throw wrong("an integer of more than 62 bits");
      if (value < 0) {
        this.#instructions.hold(reader, start, reader.end - start + 1);
        return;
      }
      if (first >= 0x80) {
        // rfc9204#4.4.1 If an encoder receives a Section Acknowledgment instruction referring to a stream on which every
        // encoded field section with a non-zero Required Insert Count has already been acknowledged, this MUST be
        // treated as a connection error of type QPACK_DECODER_STREAM_ERROR.
        if (!this.#outstanding.acknowledge(value)) {
          throw wrong(`an acknowledgement for stream ${value}, where none is outstanding`);
        }
      } else if (first >= 0x40) this.cancelStream(value);
      else {
        // rfc9204#4.4.3 An encoder that receives an Increment field equal to zero, or one that increases the Known
        // Received Count beyond what the encoder has sent, MUST treat this as a connection error of type
        // QPACK_DECODER_STREAM_ERROR.
        const count = this.#outstanding.knownReceivedCount + value;
        if (value === 0 || count > this.#table.insertCount) throw wrong(`an increment of ${value}`);
        this.#outstanding.received(count);
      }
    }
  }

  /**
   * The peer said that it will not decode what is outstanding on a stream. To be called for a Stream Cancellation alone,
   * which {@link receiveDecoderStream} does: that this side reset a stream does not tell what the peer has read of it.
   */
  cancelStream(streamId: number): void {
    this.#outstanding.cancel(streamId);
  }
}

function wrong(message: string): Http3ConnectionError {
  return new Http3ConnectionError("QPACK_DECODER_STREAM_ERROR", message);
}
