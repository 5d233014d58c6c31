// One message as it comes on a stream: frames in order, sections decoded, content counted. rfc9114#4.1

import { type ReceiveStream, StreamError } from "../src/index.ts";
import { H3_ERROR, Http3Error, Http3StreamError } from "./errors.ts";
import { FrameReader } from "./frame-reader.ts";
import { decodePushPromise, FRAME, type Role } from "./frames.ts";
import { READ_AHEAD } from "./limits.ts";
import { checkTrailers } from "./message-head.ts";
import { MessageSequence } from "./message-sequence.ts";
import type { Field } from "./qpack/field.ts";
import type { QpackStreams, Section } from "./qpack-streams.ts";
import type { Trace } from "./trace.ts";

/** What a message's reader needs of its connection and stream. */
export interface ReaderOwner {
  readonly role: Role;
  readonly qpack: QpackStreams;
  readonly maxFieldSectionSize: number;
  readonly trace: Trace | null;
  /** Types of an extension that take a stream over, see FrameReader. */
  readonly takeover: ReadonlySet<number> | null;
  /** Reading failed: the stream or the connection has to end. Gives back what to tell the caller. */
  onReadError(error: unknown): unknown;
  /** The message was read to its end, or reading was given up. */
  onReadEnd(): void;
  /** At a client: a PUSH_PROMISE among the frames. @throws {Http3ConnectionError} */
  onPushPromise(pushId: number, fields: readonly Field[]): void;
  /** An extension's type began the stream; `rest` is what was read beyond it. */
  onTakeover(type: number, rest: Uint8Array): void;
}

const NONE: Uint8Array[] = [];
const ONE = new Uint8Array(1);
const AHEAD = { maxBytes: READ_AHEAD };

/** A header section; `too-large`; or null where the stream ended before, or was taken over. */
export type Head = readonly Field[] | "too-large" | null;

/** What a frame that was read gives: null where that is nothing. */
type Found = readonly Field[] | "too-large" | null;

/** The peer is to be waited for. */
const LATER = Symbol("later");

/** Reads one message: sections and content, in turn. One call at a time. */
export class MessageReader {
  readonly stream: ReceiveStream;
  readonly sequence = new MessageSequence();
  readonly #owner: ReaderOwner;
  readonly #frames: FrameReader;
  #pieces: Uint8Array[] = NONE;
  #at = 0;
  #state: "open" | "ended" | "failed" = "open";
  #error: unknown = null;
  #waiting = false;
  #rounds = 0;
  #trailers: readonly Field[] | null = null;

  constructor(stream: ReceiveStream, kind: "request" | "push", owner: ReaderOwner) {
    this.stream = stream;
    this.#owner = owner;
    this.#frames = new FrameReader({
      stream: kind,
      receiver: owner.role,
      maxFieldSection: owner.maxFieldSectionSize,
      ...(owner.takeover === null ? {} : { takeover: owner.takeover }),
    });
  }

  /** Whether all of the message was read, or reading was given up. */
  get over(): boolean {
    return this.#state !== "open";
  }

  /** Whether it was read to its end. */
  get ended(): boolean {
    return this.#state === "ended";
  }

  /** The trailer section, once `read` gave null: empty where there was none. */
  get trailers(): readonly Field[] | null {
    return this.#trailers;
  }

  /** Where somebody waits for the peer: a number that grows as bytes come. Null where nobody waits. */
  get waitsAt(): number | null {
    return this.#waiting ? this.#rounds : null;
  }

  /** Bytes that came before this reader was made. */
  unread(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#pieces = [bytes];
  }

  /** The next header section: at once where it is there, as it mostly is at a server. */
  section(): Head | Promise<Head> {
    try {
      const found = this.#sectionNow();
      return found === LATER || found instanceof Promise ? this.#section(found) : found;
    } catch (error) {
      throw this.#fail(error);
    }
  }

  async #section(found: Head | typeof LATER | Promise<Found>): Promise<Head> {
    try {
      for (;;) {
        if (found === LATER) this.#take(await this.#more());
        else if (found instanceof Promise) {
          const late = await found;
          if (late !== null) return late;
        } else return found;
        found = this.#sectionNow();
      }
    } catch (error) {
      throw this.#fail(error);
    }
  }

  #sectionNow(): Head | typeof LATER | Promise<Found> {
    for (;;) {
      const event = this.#next();
      if (event === null) return LATER;
      if (event === "data") this.sequence.data(this.#frames.payload.length);
      else if (event === "frame") {
        const found = this.#frame();
        if (found !== null) return found;
      } else {
        if (event === "end") this.#end();
        return null;
      }
    }
  }

  /** The next part of the content, not empty; null at its end. The bytes are the caller's. */
  async read(): Promise<Uint8Array | null> {
    if (this.#state === "ended") return null;
    try {
      for (;;) {
        const event = this.#next();
        if (event === null) this.#take(await this.#more());
        else if (event === "data") {
          const { payload } = this.#frames;
          if (this.#frames.begins && this.#owner.trace !== null) {
            this.#owner.trace.data("parsed", this.stream.id, payload.length + this.#frames.left);
          }
          this.sequence.data(payload.length);
          if (payload.length > 0) return payload;
        } else if (event === "frame") {
          const found = this.#frame();
          const fields = found instanceof Promise ? await found : found;
          // A second section is the trailers: those cannot be too large without harm to the message.
          if (fields === "too-large")
            throw new Http3StreamError("H3_EXCESSIVE_LOAD", "the trailers are too large");
          if (fields !== null) this.#trailers = checkTrailers(fields);
        } else {
          this.#end();
          return null;
        }
      }
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /** What comes next, or null where that is not there yet. */
  #next(): "data" | "frame" | "end" | "takeover" | null {
    if (this.#state === "failed") throw this.#error;
    for (;;) {
      const event = this.#frames.next();
      if (event === "takeover") return this.#takenOver();
      if (event !== null) return event;
      if (this.#at === this.#pieces.length) {
        const pieces = this.stream.tryReadMany(READ_AHEAD);
        if (pieces === null) {
          this.#frames.end();
          return "end";
        }
        if (pieces.length === 0) return null;
        this.#take(pieces);
      }
      this.#frames.push(this.#pieces[this.#at++]!);
    }
  }

  /** What the peer sends next. */
  #more(): Promise<Uint8Array[]> {
    this.#waiting = true;
    return this.stream.readMany(AHEAD);
  }

  #take(pieces: Uint8Array[]): void {
    this.#waiting = false;
    this.#pieces = pieces;
    this.#at = 0;
    this.#rounds++;
  }

  #takenOver(): "takeover" {
    this.#state = "ended";
    let rest = this.#frames.rest();
    if (this.#at < this.#pieces.length)
      rest = new Uint8Array(Buffer.concat([rest, ...this.#pieces.slice(this.#at)]));
    this.#owner.onTakeover(this.#frames.type, rest);
    return "takeover";
  }

  /** A whole frame: gives the section of a HEADERS frame, where that is not blocked at once. */
  #frame(): Found | Promise<Found> {
    const { type, payload } = this.#frames;
    const { qpack } = this.#owner;
    if (type === FRAME.HEADERS) {
      this.sequence.headers();
      const section = qpack.decodeNow(this.stream.id, payload);
      if (section !== null) return this.#decoded(section, payload.length);
      return qpack.decode(this.stream.id, payload).then((late) => this.#decoded(late, payload.length));
    }
    // PUSH_PROMISE: no other type is taken on these streams.
    this.sequence.pushPromise();
    return this.#promised(payload);
  }

  #decoded(section: Section, encodedLength: number): Found {
    if (section.kind !== "fields") return "too-large";
    this.#owner.trace?.headers("parsed", this.stream.id, section.fields, encodedLength);
    return section.fields;
  }

  async #promised(payload: Uint8Array): Promise<null> {
    const { pushId, section } = decodePushPromise(payload);
    const promised = await this.#owner.qpack.decode(this.stream.id, section);
    if (promised.kind === "fields") {
      this.#owner.trace?.pushPromise("parsed", this.stream.id, pushId, promised.fields);
      this.#owner.onPushPromise(pushId, promised.fields);
    } else
      throw new Http3StreamError("H3_EXCESSIVE_LOAD", "a promised request's header section is too large");
    return null;
  }

  #end(): void {
    this.sequence.end();
    this.#trailers ??= [];
    this.#state = "ended";
    this.#owner.onReadEnd();
  }

  #fail(error: unknown): unknown {
    this.#waiting = false;
    if (this.#state === "failed") return this.#error;
    const remoteReset = error instanceof StreamError && error.remote;
    const told = this.#owner.onReadError(error);
    if (this.#state === "open") {
      this.#error = told;
      // A frame that was not understood ends the stream: what is not read of it is not wanted.
      this.#giveUp(
        error instanceof Http3Error ? error.errorCode : H3_ERROR.H3_REQUEST_CANCELLED,
        remoteReset,
      );
    }
    return told;
  }

  /** Takes the message's end where it is there already. Returns whether reading is over: else `cancel` gives it up. */
  finish(): boolean {
    if (this.#state !== "open") return true;
    if (this.sequence.begun && this.#at === this.#pieces.length && !this.stream.locked) {
      try {
        if (this.#frames.next() === null && this.stream.tryRead(ONE) === null) {
          this.#frames.end();
          this.#end();
          return true;
        }
      } catch {
        // What it was that broke off or is malformed is not asked any more.
      }
    }
    return false;
  }

  /** Gives up reading: STOP_SENDING with `code`. Later reads reject with `error`. */
  cancel(code: number, error: unknown): void {
    if (this.#state !== "open") return;
    this.#error = error;
    this.#giveUp(code, false);
  }

  #giveUp(code: number, reset: boolean): void {
    this.#state = "failed";
    this.#pieces = NONE;
    this.#at = 0;
    if (!reset) this.stream.cancelRead(code);
    this.#owner.qpack.cancel(this.stream.id);
    this.#owner.onReadEnd();
  }
}
