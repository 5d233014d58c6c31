// A peer by script: real TLS and real packet protection, and no manners. It sends any bytes as the frames of any packet
// type, with any packet number and any header bits, and keeps what the victim answers.
import type { CipherSuite } from "../../internal/crypto/suites.ts";
import { simProvider } from "../../internal/crypto/sim.ts";
import { PacketProtection } from "../../internal/handshake/protection.ts";
import type { Address } from "../../internal/protocol/address.ts";
import { ECT_0, NOT_ECT } from "../../internal/protocol/batch.ts";
import {
  APPLICATION,
  HANDSHAKE,
  INITIAL,
  PACKET_HANDSHAKE,
  PACKET_INITIAL,
  PACKET_ONE_RTT,
  PACKET_ZERO_RTT,
  VERSION_1,
  type PacketType,
  type Role,
  type Space,
} from "../../internal/protocol/constants.ts";
import type { TracedFrame } from "../../internal/protocol/tracer.ts";
import { CryptoStreams } from "../../internal/stream/crypto-stream.ts";
import { TlsClient } from "../../internal/tls/client.ts";
import { loadIdentity } from "../../internal/tls/identity.ts";
import { makeCertificate } from "../../internal/tls/self-signed.ts";
import { TlsServer } from "../../internal/tls/server.ts";
import type { TlsSink } from "../../internal/tls/types.ts";
import { FrameCollector } from "../../internal/wire/frame-objects.ts";
import {
  writeAck,
  writeBareFrame,
  writeCryptoHeader,
  type EcnCounts,
} from "../../internal/wire/frame-writers.ts";
import { parseFrames } from "../../internal/wire/frames.ts";
import {
  isLongHeader,
  LongHeader,
  parseLongHeader,
  patchLength,
  writeLongHeader,
  writeShortHeader,
} from "../../internal/wire/header.ts";
import {
  defaultTransportParameters,
  encodeTransportParameters,
  type TransportParameters,
} from "../../internal/wire/transport-parameters.ts";
import { seeded } from "../path/seeded.ts";

const WALL = Date.UTC(2026, 0, 1);
const provider = simProvider();
const identity = loadIdentity(
  provider,
  makeCertificate({
    provider,
    random: seeded(78),
    altNames: ["server.example"],
    notBefore: WALL - 86_400_000,
    notAfter: WALL + 86_400_000,
  }),
);

const TYPES: readonly PacketType[] = [PACKET_INITIAL, PACKET_HANDSHAKE, PACKET_ONE_RTT];
const SPACES: readonly Space[] = [INITIAL, HANDSHAKE, APPLICATION];

export interface PeerOptions {
  readonly seed?: number;
  /** What it announces; bytes replace the encoding altogether. */
  readonly parameters?: (parameters: TransportParameters) => Uint8Array | undefined;
  /** Whether it sends what TLS wants at a level. */
  readonly sendsCrypto?: (level: Space) => boolean;
  /** What it says of the marks on the victim's packets at a level, of which so many came as ECT(0). Default: nothing. */
  readonly ecn?: (marked: number) => EcnCounts;
}

/** How a packet differs from an honest one. */
export interface PacketOptions {
  readonly number?: number;
  /** XORed into the first byte before protection. */
  readonly firstByte?: number;
  readonly dcid?: Uint8Array;
  readonly scid?: Uint8Array;
  /** Other 1-RTT keys than those that the victim's packets call for. */
  readonly keys?: PacketProtection;
}

/** Collects frames, and gives CRYPTO data to TLS. */
class Collector extends FrameCollector {
  level: Space = INITIAL;
  readonly crypto: CryptoStreams;

  constructor(crypto: CryptoStreams) {
    super();
    this.crypto = crypto;
  }

  /** The victim's connection IDs by sequence number. */
  readonly issued = new Map<number, Uint8Array>();

  override onNewConnectionId(
    seq: number,
    prior: number,
    buf: Uint8Array,
    start: number,
    length: number,
  ): void {
    this.issued.set(seq, buf.slice(start, start + length));
    super.onNewConnectionId(seq, prior, buf, start, length);
  }

  override onCrypto(offset: number, buf: Uint8Array, start: number, length: number): void {
    this.crypto.receive(this.level, offset, buf, start, length);
    super.onCrypto(offset, buf, start, length);
  }
}

/**
 * 1-RTT keys that update whenever they are told to: two ends that talk to each other under a connection's secrets, and
 * never wait for its other end.
 */
export class RunawayKeys {
  readonly keys: PacketProtection;
  readonly #other: PacketProtection;
  #number = 0;

  constructor({ suite, read, write }: NonNullable<ScriptedPeer["secrets"]>) {
    this.keys = new PacketProtection(provider, "client", VERSION_1);
    this.#other = new PacketProtection(provider, "server", VERSION_1);
    this.keys.install(APPLICATION, suite, read, write);
    this.#other.install(APPLICATION, suite, write, read);
    this.#exchange();
  }

  update(): void {
    this.keys.initiateKeyUpdate();
    this.#exchange();
    this.keys.dropOldReadKeys();
    this.#other.dropOldReadKeys();
  }

  #exchange(): void {
    const number = this.#number;
    for (const [from, to] of [
      [this.#other, this.keys],
      [this.keys, this.#other],
      [this.#other, this.keys],
    ] as const) {
      const buf = new Uint8Array(60);
      const pnOffset = writeShortHeader(buf, 0, new Uint8Array(8), from.keyPhase, false, 4, this.#number);
      from.onAckSent();
      from.seal(APPLICATION, buf, 0, pnOffset, 4, 40, this.#number);
      from.maskPending();
      to.unprotectHeader(APPLICATION, buf, 0, pnOffset, 56, this.#number - 1);
      to.open(APPLICATION, buf, 0, pnOffset, 56);
      this.#number++;
    }
    this.keys.onAcked(number + 1);
  }
}

export class ScriptedPeer implements TlsSink {
  readonly address: Address;
  readonly role: Role;
  readonly protection: PacketProtection;
  readonly crypto = new CryptoStreams();
  readonly #collector = new Collector(this.crypto);
  readonly #options: PeerOptions;
  readonly #header = new LongHeader();
  #tls: TlsClient | TlsServer | null = null;
  /** Ours, and the victim's as we know it. */
  readonly scid: Uint8Array;
  dcid: Uint8Array;
  /** The DCID of the first Initial. */
  original: Uint8Array;
  #heard = false;
  complete = false;
  /** The next packet number of each level, and the largest of the victim's. */
  readonly next = [0, 0, 0];
  readonly largest = [-1, -1, -1];
  /** Where the run of numbers up to the largest begins: the victim skips some, to see who acknowledges them. */
  readonly #runLow = [0, 0, 0];
  #ackDue = [false, false, false];
  /** Packets of each level that came marked as ECN-capable, and what is said of them. */
  readonly marked = [0, 0, 0];
  ecn: PeerOptions["ecn"];
  #mark = NOT_ECT;
  /** Datagrams to deliver. */
  out: Uint8Array[] = [];
  readonly issued = this.#collector.issued;
  /** What the victim said. */
  readonly frames = this.#collector.frames;

  constructor(role: Role, address: Address, options: PeerOptions = {}) {
    this.role = role;
    this.address = address;
    this.#options = options;
    this.ecn = options.ecn;
    const random = seeded(options.seed ?? 4711);
    this.protection = new PacketProtection(provider, role, VERSION_1);
    this.scid = new Uint8Array(8);
    this.dcid = this.original = new Uint8Array(8);
    random(this.scid);
    if (role === "server") return;
    random(this.dcid);
    this.protection.installInitial(VERSION_1, this.dcid);
    const tls = new TlsClient(
      {
        provider,
        random,
        alpn: ["test"],
        serverName: "server.example",
        verify: () => ({ ok: true }),
        keyLog: false,
        transportParameters: this.#parameters(),
      },
      this,
    );
    this.#tls = tls;
    tls.start(WALL);
    this.flush();
  }

  #parameters(): Uint8Array {
    const parameters = defaultTransportParameters();
    parameters.initialMaxData = 1 << 20;
    parameters.initialMaxStreamDataBidiLocal = parameters.initialMaxStreamDataBidiRemote = 1 << 18;
    parameters.initialMaxStreamDataUni = 1 << 18;
    parameters.initialMaxStreamsBidi = parameters.initialMaxStreamsUni = 10;
    parameters.activeConnectionIdLimit = 4;
    parameters.initialSourceConnectionId = this.scid;
    if (this.role === "server") parameters.originalDestinationConnectionId = this.original;
    return this.#options.parameters?.(parameters) ?? encodeTransportParameters(parameters, this.role);
  }

  // What TLS asks for.

  sendCrypto(level: Space | number, bytes: Uint8Array): void {
    this.crypto.send(level as Space, bytes);
  }

  /** Of the first 1-RTT keys, for keys that update as they like. */
  secrets: { readonly suite: CipherSuite; readonly read: Uint8Array; readonly write: Uint8Array } | null =
    null;

  installSecrets: TlsSink["installSecrets"] = (level, suite, read, write) => {
    if (level === APPLICATION) {
      const known = this.secrets;
      this.secrets = {
        suite,
        read: read?.slice() ?? known?.read ?? new Uint8Array(0),
        write: write?.slice() ?? known?.write ?? new Uint8Array(0),
      };
    }
    this.protection.install(level, suite, read, write);
  };

  peerTransportParameters(): void {}
  pending(): void {}
  handshakeComplete(): void {
    this.complete = true;
  }
  keyLog(): void {}
  sessionTicket(): void {}
  earlyData(): void {}

  /** One protected packet with `payload` as its frames. */
  packet(level: Space, payload: Uint8Array, options: PacketOptions = {}, type = TYPES[level]!): Uint8Array {
    const buf = new Uint8Array(payload.length + 120);
    const number = options.number ?? this.next[level]!++;
    const dcid = options.dcid ?? this.dcid;
    const keys = options.keys ?? this.protection;
    const pnOffset =
      level === APPLICATION && type === PACKET_ONE_RTT
        ? writeShortHeader(buf, 0, dcid, keys.keyPhase, false, 4, number)
        : writeLongHeader(
            buf,
            0,
            type,
            VERSION_1,
            dcid,
            options.scid ?? this.scid,
            type === PACKET_INITIAL ? new Uint8Array(0) : null,
            4,
            number,
          );
    buf[0]! ^= options.firstByte ?? 0;
    buf.set(payload, pnOffset + 4);
    let end = pnOffset + 4 + payload.length;
    if (type !== PACKET_ONE_RTT) patchLength(buf, pnOffset, end + 16 - pnOffset);
    end = keys.seal(level, buf, 0, pnOffset, 4, end, number);
    keys.maskPending();
    return buf.slice(0, end);
  }

  /** Sends frames in a packet of their own; Initials fill 1,200 bytes. */
  send(level: Space, payload: Uint8Array, options: PacketOptions = {}): Uint8Array {
    let bytes = payload;
    if (level === INITIAL && payload.length < 1130) {
      bytes = new Uint8Array(1160);
      bytes.set(payload);
    }
    const datagram = this.packet(level, bytes, options);
    this.out.push(datagram);
    return datagram;
  }

  /** A 0-RTT packet under keys that nobody has. */
  sendZeroRtt(): void {
    this.out.push(this.packet(INITIAL, new Uint8Array(1180).fill(1), {}, PACKET_ZERO_RTT));
  }

  /** What TLS wants sent, and the acknowledgements due. */
  flush(): void {
    for (const level of SPACES) {
      if (!this.protection.canSeal(level)) continue;
      if (!(this.#options.sendsCrypto?.(level) ?? true)) continue;
      while (this.crypto.hasData(level) || this.#ackDue[level]) {
        const buf = new Uint8Array(1100);
        let pos = 0;
        if (this.#ackDue[level])
          pos = this.writeAck(buf, pos, this.#runLow[level]!, this.largest[level]!, level);
        this.#ackDue[level] = false;
        pos = this.crypto.writeFrames(level, buf, pos, buf.length, { addRecord: () => undefined } as never);
        this.send(level, pos < 4 ? buf.slice(0, 4) : buf.slice(0, pos));
      }
    }
  }

  writeAck(buf: Uint8Array, pos: number, low: number, high: number, level: Space = APPLICATION): number {
    const ecn = this.ecn?.(this.marked[level]!) ?? null;
    return writeAck(buf, pos, buf.length, Float64Array.of(low, high), 1, 0, ecn);
  }

  /** A datagram of the victim's, with its mark. */
  receive(datagram: Uint8Array, ecn = NOT_ECT): void {
    this.#mark = ecn;
    let pos = 0;
    while (pos < datagram.length) {
      let level: Space = APPLICATION;
      let pnOffset = pos + 1 + this.scid.length;
      let end = datagram.length;
      let type: PacketType = PACKET_ONE_RTT;
      if (isLongHeader(datagram[pos]!)) {
        const header = this.#header;
        if (!parseLongHeader(datagram, pos, end, header)) return;
        type = header.type;
        const known = TYPES.indexOf(type);
        // Version Negotiation and Retry: none of its business.
        if (known < 0) return;
        level = known as Space;
        pnOffset = header.pnOffset;
        end = header.packetEnd;
        if (!this.#heard) this.#first(datagram, header);
      }
      if (this.protection.canOpen(level)) this.#open(datagram, level, type, pos, pnOffset, end);
      pos = end;
    }
    this.flush();
  }

  #first(datagram: Uint8Array, header: LongHeader): void {
    this.#heard = true;
    this.dcid = datagram.slice(header.scidOffset, header.scidOffset + header.scidLength);
    if (this.role === "client") return;
    this.original = datagram.slice(header.dcidOffset, header.dcidOffset + header.dcidLength);
    this.protection.installInitial(VERSION_1, this.original);
    this.#tls = new TlsServer(
      {
        provider,
        random: seeded(99),
        alpn: ["test"],
        identity,
        clientAuth: "none",
        verify: () => ({ ok: true }),
        keyLog: false,
        transportParameters: this.#parameters(),
      },
      this,
    );
  }

  #open(buf: Uint8Array, level: Space, type: PacketType, pos: number, pnOffset: number, end: number): void {
    const { protection } = this;
    if (!protection.unprotectHeader(level, buf, pos, pnOffset, end, this.largest[level]!)) return;
    const length = protection.open(level, buf, pos, pnOffset, end);
    if (length < 0) return;
    if (protection.pn > this.largest[level]! + 1) this.#runLow[level] = protection.pn;
    this.largest[level] = Math.max(this.largest[level]!, protection.pn);
    if (this.#mark === ECT_0) this.marked[level]!++;
    const payload = pnOffset + protection.pnLength;
    this.#collector.level = level;
    const flags = parseFrames(buf, payload, payload + length, type, this.#collector);
    if ((flags & 1) !== 0) this.#ackDue[level] = true;
    const bytes = this.crypto.read(level);
    if (bytes !== null) this.#tls!.receive(level, bytes, WALL);
  }

  /** The victim's last CONNECTION_CLOSE. */
  get close(): TracedFrame | undefined {
    return this.frames.filter((frame) => frame.type === "connection_close").at(-1);
  }
}

/** CRYPTO frame with these bytes. */
export function cryptoFrame(offset: number, data: Uint8Array): Uint8Array {
  const buf = new Uint8Array(data.length + 20);
  const pos = writeCryptoHeader(buf, 0, offset, data.length);
  buf.set(data, pos);
  return buf.slice(0, pos + data.length);
}

/** What a writer of frames wrote. */
export function frame(write: (buf: Uint8Array) => number): Uint8Array {
  const buf = new Uint8Array(1400);
  return buf.slice(0, write(buf));
}

export const ping = (): Uint8Array => Uint8Array.of(1, 0, 0, 0);
export const bare = (type: number): Uint8Array => frame((buf) => writeBareFrame(buf, 0, type));
