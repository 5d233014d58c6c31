// A bidirectional stream: both sides in one object.

import { Duplex } from "node:stream";
import type { ReadableStream, WritableStream } from "node:stream/web";
import type { ReceiveStream } from "./receive-stream.ts";
import type { SendQueueInfo, SendStream, StreamPriority } from "./send-stream.ts";
import type { DeadlineOptions, WaitOptions } from "./waiter.ts";

/**
 * A bidirectional stream (rfc9000#2). Each side has one consumer at a time; the sides are independent.
 */
export class Stream implements AsyncIterable<Uint8Array>, AsyncDisposable {
  /** The reading side. */
  readonly receiving: ReceiveStream;
  /** The writing side. */
  readonly sending: SendStream;

  /** @internal */
  constructor(receiving: ReceiveStream, sending: SendStream) {
    this.receiving = receiving;
    this.sending = sending;
  }

  /** The stream ID, rfc9000#2.1. */
  get id(): number {
    return this.sending.id;
  }

  /** It began in 0-RTT: see ReceiveStream.early. */
  get early(): boolean {
    return this.receiving.early;
  }

  /** Whether either side has a consumer. */
  get locked(): boolean {
    return this.receiving.locked || this.sending.locked;
  }

  /** See ReceiveStream.read. */
  read(target: Uint8Array, options?: WaitOptions): Promise<number | null> {
    return this.receiving.read(target, options);
  }

  /** See ReceiveStream.readMany. */
  readMany(options?: WaitOptions & { maxBytes?: number }): Promise<Uint8Array[]> {
    return this.receiving.readMany(options);
  }

  /** See ReceiveStream.tryRead. */
  tryRead(target: Uint8Array): number | null {
    return this.receiving.tryRead(target);
  }

  /** See ReceiveStream.tryReadMany. */
  tryReadMany(maxBytes?: number): Uint8Array[] | null {
    return this.receiving.tryReadMany(maxBytes);
  }

  /** See ReceiveStream.peek. */
  peek(n: number): Uint8Array {
    return this.receiving.peek(n);
  }

  /** See SendStream.write. */
  write(data: Uint8Array, options?: WaitOptions): Promise<number> {
    return this.sending.write(data, options);
  }

  /** See SendStream.writeOwned. */
  writeOwned(data: Uint8Array, options?: WaitOptions): Promise<number> {
    return this.sending.writeOwned(data, options);
  }

  /** See SendStream.tryWrite. */
  tryWrite(data: Uint8Array): number {
    return this.sending.tryWrite(data);
  }

  /** See SendStream.writeWithLimit. */
  writeWithLimit(data: Uint8Array, limit: number, options?: WaitOptions): Promise<number> {
    return this.sending.writeWithLimit(data, limit, options);
  }

  /** See SendStream.capacity. */
  get capacity(): number {
    return this.sending.capacity;
  }

  /** See SendStream.isWritable. */
  isWritable(bytes = 1): boolean {
    return this.sending.isWritable(bytes);
  }

  /** See SendStream.sendQueue. */
  sendQueue(): SendQueueInfo {
    return this.sending.sendQueue();
  }

  /** See ReceiveStream.isReadable. */
  get isReadable(): boolean {
    return this.receiving.isReadable;
  }

  /** See ReceiveStream.available. */
  get available(): number {
    return this.receiving.available;
  }

  /** See ReceiveStream.finished. */
  get finished(): boolean {
    return this.receiving.finished;
  }

  /** See SendStream.drained. */
  drained(options?: WaitOptions): Promise<void> {
    return this.sending.drained(options);
  }

  /** Ends the writing side; reading goes on. See SendStream.close. */
  close(): void {
    this.sending.close();
  }

  /** See ReceiveStream.cancelRead. */
  cancelRead(code: number | bigint = 0): void {
    this.receiving.cancelRead(code);
  }

  /** See SendStream.setPriority. */
  setPriority(priority: StreamPriority): void {
    this.sending.setPriority(priority);
  }

  /** See SendStream.priority. */
  get priority(): Required<StreamPriority> {
    return this.sending.priority;
  }

  /** See SendStream.setReliableBoundary. */
  setReliableBoundary(): boolean {
    return this.sending.setReliableBoundary();
  }

  /** See SendStream.cancelWrite. */
  cancelWrite(code: number | bigint = 0): void {
    this.sending.cancelWrite(code);
  }

  /** Both deadlines at once (Unix ms or Date; null for none). */
  setDeadline(deadline: number | Date | null, options?: DeadlineOptions): void {
    this.setReadDeadline(deadline, options);
    this.setWriteDeadline(deadline, options);
  }

  /** See ReceiveStream.setReadDeadline. */
  setReadDeadline(deadline: number | Date | null, options?: DeadlineOptions): void {
    this.receiving.setReadDeadline(deadline, options);
  }

  /** See SendStream.setWriteDeadline. */
  setWriteDeadline(deadline: number | Date | null, options?: DeadlineOptions): void {
    this.sending.setWriteDeadline(deadline, options);
  }

  /** Aborted when the writing side ends. See SendStream.context. */
  get context(): AbortSignal {
    return this.sending.context;
  }

  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    return this.receiving[Symbol.asyncIterator]();
  }

  /** The reading side as a Web byte stream. */
  get readable(): ReadableStream<Uint8Array> {
    return this.receiving.readable;
  }

  /** The writing side as a Web stream. */
  get writable(): WritableStream<Uint8Array> {
    return this.sending.writable;
  }

  /** The reading side as an it-pipe source. */
  get source(): AsyncGenerator<Uint8Array, void, undefined> {
    return this.receiving.source;
  }

  /** The writing side as an it-pipe sink. */
  get sink(): (source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) => Promise<void> {
    return this.sending.sink;
  }

  /** Both sides as a Node Duplex; destroying it before the end resets and cancels. Takes both locks for good. */
  toNodeStream(): Duplex {
    const reading = this.receiving.nodeMethods();
    const writing = this.sending.nodeMethods();
    return new Duplex({
      allowHalfOpen: true,
      read: reading.read,
      write: writing.write,
      final: writing.final,
      destroy: (error, done) => {
        this.receiving.cancelRead(0);
        writing.destroy(error, done);
      },
    });
  }

  /** An unfinished stream is reset and cancelled: truncation must never look like success. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.sending[Symbol.asyncDispose]();
    await this.receiving[Symbol.asyncDispose]();
  }
}
